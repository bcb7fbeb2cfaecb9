//! How fast the service is, beside a bare write loop and nchan. Writes docs/PERFORMANCE.md.
//!
//! Run by `scripts/bench`. Arguments name the parts to measure (`fanout`, `idle`, `webhook`, `rest`, `growth`,
//! `redis`, `log`), or how much
//! of something (`--clients=500`, `--rate`, `--calm`, `--seconds`, `--rounds`, `--idle`, `--streams`,
//! `--requests=2` seconds of each); `--quick` is a little of
//! everything. With any of them nothing is written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for the command line"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod audience;
mod carries;
mod cases;
mod fanout;
mod figures;
mod floor;
mod nchan;
mod process;
mod report;
mod requests;
mod rest;
mod service;
mod wire;

use cases::{Part, Scale};

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [role, clients] = &arguments[..]
        && role == floor::ROLE
    {
        return floor::write(clients.parse().expect("a number of clients"));
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let mut scale = if is_quick { Scale::QUICK } else { Scale::FULL };
    let options: Vec<_> = arguments.iter().filter_map(|argument| argument.split_once('=')).collect();
    for (name, value) in &options {
        scale.set(name, value.parse().expect("a number"));
    }
    let (before, runtime) = (report::load_average(), tokio::runtime::Runtime::new().expect("a runtime"));
    let mut lines = Vec::new();
    for part in
        Part::ALL.iter().filter(|part| wanted.is_empty() || wanted.iter().any(|one| *one == part.name()))
    {
        for line in part.measure(&scale, &runtime) {
            println!("{}", line.text());
            lines.push(line);
        }
    }
    if wanted.is_empty() && !is_quick && options.is_empty() {
        report::write(&scale, &lines, &before);
    }
}

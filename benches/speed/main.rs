//! Speed of the service, compared with a bare write loop and nchan. Writes docs/PERFORMANCE.md.
//!
//! `scripts/bench` runs it. Arguments select parts (`fanout`, `idle`, `webhook`, `requests`, `growth`, `redis`,
//! `endpoints`, `log`, `audience`, `partitions`, `archive`). Options set sizes (`--clients=500`, `--rate`,
//! `--low-rate`,
//! `--seconds`, `--rounds`, `--idle`, `--streams`, `--requests=2` seconds for each kind); `--quick` makes all of them
//! small. With arguments or options, no file is written; `audience`, `partitions` or
//! `archive` alone writes its section.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for the command line"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod archive;
mod audience;
mod cpu_share;
mod delivery;
mod deployment;
mod endpoints;
mod fanout;
mod http;
mod http_load;
mod nchan;
mod partition_load;
mod partitions;
mod parts;
mod process;
mod redis_cost;
mod report;
mod requests;
mod scale;
mod section;
mod service;
mod sse_clients;
mod statistics;
mod table;
mod webhooks;
mod write_loop;

use parts::Part;
use scale::Scale;
use section::Section;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [role, clients] = &arguments[..]
        && role == write_loop::ROLE
    {
        return write_loop::run(clients.parse().expect("a number of clients"));
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let mut scale = if is_quick { Scale::QUICK } else { Scale::FULL };
    let options: Vec<_> = arguments.iter().filter_map(|argument| argument.split_once('=')).collect();
    for (name, value) in &options {
        scale.set(name, value.parse().expect("a number"));
    }
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|one| *one == part);
    let (before, runtime) = (report::load_average(), tokio::runtime::Runtime::new().expect("a runtime"));
    let mut lines = Vec::new();
    for part in Part::ALL.iter().filter(|part| is_wanted(part.name())) {
        for line in part.measure(&scale, &runtime) {
            println!("{}", line.text());
            lines.push(line);
        }
    }
    let sections = Section::ALL.iter().filter(|section| is_wanted(section.name()));
    let sections: Vec<_> = sections.map(|section| (*section, section.measure(&scale, &runtime))).collect();
    if is_quick || !options.is_empty() {
        return;
    }
    match (&wanted[..], &sections[..]) {
        ([], _) => report::write(&scale, &lines, &sections, &before),
        ([_], [(section, lines)]) => report::replace(*section, &scale, lines, &before),
        _ => {}
    }
}

//! Attacks of one caller, and their cost for the others: joins of another room, Redis, the instance. Writes its section
//! of docs/RELIABILITY.md.
//!
//! Run by `scripts/neighbours`. Arguments are parts of the names of the attacks to run; then nothing is written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the command line"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod attacks;
mod deployment;
mod measurement;
mod report;
mod victim;

use attacks::ATTACKS;

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let mut rows = Vec::new();
    println!("{}", report::HEAD);
    for attack in ATTACKS.iter().filter(|attack| is_wanted(attack.name)) {
        let row = measurement::measure(attack).await;
        println!("{}", row.line());
        rows.push(row);
    }
    if wanted.is_empty() {
        report::write(&rows);
    }
    let broken: Vec<_> = rows.iter().filter(|row| !row.is_bounded()).map(|row| row.attack.name).collect();
    assert!(broken.is_empty(), "these attacks cost other callers too much: {broken:?}");
}

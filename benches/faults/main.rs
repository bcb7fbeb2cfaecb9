//! One fault after another against three instances under steady changes, with an audience of 230 clients that reconnect
//! as real ones do; what each of them heard is compared with the log. Writes docs/RELIABILITY.md.
//!
//! Run by `scripts/faults`. Arguments are parts of the names of the faults to play; then nothing is written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for the command line"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod faults;
mod report;
mod scene;

use faults::FAULTS;
use scene::Scene;
use support::servers::LiveKit;

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let livekit = LiveKit::start(None);
    let mut rows = Vec::new();
    println!("{}", report::head());
    for fault in FAULTS {
        if !wanted.is_empty() && !wanted.iter().any(|part| fault.name().contains(part.as_str())) {
            continue;
        }
        let row = Scene::set(*fault, &livekit.url()).await.play().await;
        println!("{}", row.line());
        rows.push(row);
    }
    if wanted.is_empty() {
        report::write(&rows);
    }
    assert!(rows.iter().all(report::Row::is_as_promised), "something was lost, doubled, disordered or reset");
}

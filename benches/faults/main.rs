//! Delivery under faults: three instances under constant changes, with 230 clients that reconnect as real ones do.
//!
//! Injects one fault after another and compares what each client received with the log. `scripts/faults` runs it and
//! writes docs/RELIABILITY.md. Arguments select faults by parts of their names, `moderation` the time until
//! participants that are blocked or removed are out, and `history` the kills of what makes the history; then no file is
//! written, but `history` alone writes its section.
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
mod backend;
mod exclusion;
mod fault;
mod history;
mod inject;
mod load;
mod logs;
mod report;
mod run;
mod test_bed;

use fault::FAULTS;
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
        let row = run::run(*fault, &livekit.url()).await;
        println!("{}", row.line());
        rows.push(row);
    }
    let is_wanted = wanted.is_empty() || wanted.iter().any(|part| part == exclusion::NAME);
    let exclusions = if is_wanted { exclusion::measure().await } else { Vec::new() };
    if is_wanted {
        println!("{}", exclusion::section(&exclusions));
    }
    let is_history = wanted.is_empty() || wanted.iter().any(|part| part == history::NAME);
    let history = if is_history { Some(history::measure().await) } else { None };
    if let Some(row) = &history {
        println!("{}", history::table(row));
        match &wanted[..] {
            [] => report::write(&rows, &exclusions, row),
            [_] => report::write_history(row),
            _ => {}
        }
    }
    assert!(
        rows.iter().all(report::Row::meets_guarantees),
        "events were lost, duplicated or out of order, counts were wrong, or clients were reset"
    );
    assert!(exclusions.iter().all(exclusion::Row::meets_bound), "participants stayed too long");
    assert!(history.iter().all(history::Row::is_exact), "rows of the history differ from the logs");
}

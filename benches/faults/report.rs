//! The report, docs/RELIABILITY.md.

use std::{fmt::Write, process::Command};

use super::{
    exclusion,
    fault::Fault,
    history,
    load::CHANGES_PER_SECOND,
    support::{recording::DeliveryReport, servers::redis_server},
    test_bed::CLIENTS,
};

/// Results of one fault.
pub struct Row {
    pub fault: Fault,
    /// Acknowledged changes.
    pub changes: usize,
    /// Longest time without an acknowledged change, in milliseconds.
    pub pause: i64,
    pub delivery: DeliveryReport,
    /// Clients and documents with counts that are not those of the audience.
    pub wrong_counts: usize,
    /// Connections that clients lost.
    pub disconnects: usize,
    /// Times from an event to its receipt, in milliseconds, sorted.
    pub delays: Vec<i64>,
    /// Time from the end of the fault until every client had all earlier events, in milliseconds.
    pub caught_up: i64,
}

impl Row {
    /// Reports whether no event was lost, duplicated or out of order, no counts were wrong, and resets came only where
    /// Redis may lose data.
    pub fn meets_guarantees(&self) -> bool {
        let is_right = self.delivery.has_no_silent_loss() && self.wrong_counts == 0;
        is_right && (self.fault.may_lose_data() || self.delivery.resets.is_empty())
    }

    fn percentile(&self, share: usize) -> i64 {
        self.delays.get((self.delays.len() * share / 1_000).min(self.delays.len() - 1)).copied().unwrap()
    }

    pub fn line(&self) -> String {
        let DeliveryReport { received, lost, duplicates, out_of_order, unannounced, resets } = &self.delivery;
        let resets: Vec<_> = resets.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
        let resets = if resets.is_empty() { "0".to_owned() } else { resets.join(", ") };
        format!(
            "| {} | {} | {:.1} s | {received} | {} | {lost} | {duplicates} | {out_of_order} | {unannounced} \
             | {} | {resets} | {} | {} | {} | {:.1} s |",
            self.fault.name(),
            self.changes,
            self.pause as f64 / 1_000.0,
            self.disconnects,
            self.wrong_counts,
            self.percentile(500),
            self.percentile(990),
            self.percentile(1_000),
            self.caught_up as f64 / 1_000.0,
        )
    }
}

pub fn head() -> String {
    "| fault | changes | no change for | deliveries | connections lost | lost | duplicated | out of order \
     | unannounced | wrong counts | resets | p50 ms | p99 ms | max ms | caught up after |\n\
     | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- | --: | --: | --: | --: |"
        .to_owned()
}

/// Returns what a program prints, or an empty string if it cannot run.
fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Returns when, where and of what was measured.
fn circumstances(everything: &str) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Measured on {}, commit {}, {} cores ({}) for everything at once: {everything}.",
        chrono::Utc::now().format("%Y-%m-%d"),
        output_of("git", &["rev-parse", "--short", "HEAD"]),
        cores,
        cpu.map_or("unknown", |(_, model)| model),
    )
}

/// Returns the version of Redis.
fn redis_version() -> String {
    output_of(&redis_server(), &["--version"]).split(" sha").next().unwrap_or_default().to_owned()
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RELIABILITY.md");
/// The mark before the section that scripts/neighbours writes.
const NEIGHBOURS: &str = "<!-- neighbours: begin -->";

/// Returns the section of the history.
fn history_section(row: &history::Row) -> String {
    let everything = format!("two instances, {}, Postgres and LiveKit", redis_version());
    history::section(row, &circumstances(&everything))
}

/// Writes the section of the history into docs/RELIABILITY.md, in place of the one that is there.
pub fn write_history(row: &history::Row) {
    let page = std::fs::read_to_string(PATH).unwrap();
    let (begin, end) = history::place(&page).unwrap_or_else(|| {
        let end = page.find(NEIGHBOURS).unwrap_or(page.len());
        (end, end)
    });
    let text = format!("{}{}{}", &page[..begin], history_section(row), &page[end..]);
    std::fs::write(PATH, text).unwrap();
}

/// Writes docs/RELIABILITY.md.
pub fn write(rows: &[Row], exclusions: &[exclusion::Row], history: &history::Row) {
    let [sse, websocket, grpc] = CLIENTS.map(|(_, count)| count);
    let clients = format!("{sse} SSE, {websocket} WebSocket and {grpc} gRPC");
    let mut text = include_str!("intro.md").to_owned();
    text = text.replace("{clients}", &clients).replace("{changes}", &CHANGES_PER_SECOND.to_string());
    writeln!(text, "{}", head()).unwrap();
    for row in rows {
        writeln!(text, "{}", row.line()).unwrap();
    }
    write!(text, "{}", exclusion::section(exclusions)).unwrap();
    let everything = format!("three instances, the clients, {}, and LiveKit", redis_version());
    write!(text, "\n{}\n\n{}", circumstances(&everything), history_section(history)).unwrap();
    let page = std::fs::read_to_string(PATH).unwrap_or_default();
    if let Some(section) = page.find(NEIGHBOURS) {
        text.push_str(&page[section..]);
    }
    std::fs::write(PATH, text).unwrap();
}

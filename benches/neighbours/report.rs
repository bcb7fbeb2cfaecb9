//! The table in docs/RELIABILITY.md.

use std::{fmt::Write, process::Command};

use super::{
    attacks::{Attack, DURATION},
    support::servers::redis_server,
    victim::Joins,
};

/// The attack may lengthen another room's joins by this factor, at p95.
const JOIN_FACTOR: f64 = 2.0;
/// Joins below this many milliseconds are as fast as the clock of a busy machine tells.
const JOIN_FLOOR: f64 = 5.0;
/// Bytes by which Redis may grow in a minute beside the attacker's own stream.
const REDIS_BYTES_A_MINUTE: i64 = 5_000_000;

/// Marks of the section in docs/RELIABILITY.md that this program writes.
const BEGIN: &str = "<!-- neighbours: begin -->\n";
const END: &str = "<!-- neighbours: end -->\n";

pub const HEAD: &str = "| caller | attack | calls | join p50 ms | p95 ms | p99 ms | failed | Redis MB a minute | \
    instance MB | slow calls of Redis |\n| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |";

/// One attack and its cost.
pub struct Row {
    pub attack: &'static Attack,
    pub calm: Joins,
    pub beside: Joins,
    pub calls: usize,
    /// Bytes in Redis that are not the attacker's own stream.
    pub redis_growth: i64,
    pub memory_growth_kib: u64,
    pub slow_calls: usize,
}

impl Row {
    fn redis_a_minute(&self) -> i64 {
        self.redis_growth * 60 / i64::try_from(DURATION.as_secs()).unwrap()
    }

    /// Reports whether the attack cost others no more than it may.
    pub fn is_bounded(&self) -> bool {
        let limit = (self.calm.percentile(0.95) * JOIN_FACTOR).max(JOIN_FLOOR);
        self.beside.percentile(0.95) <= limit
            && self.beside.failures == 0
            && self.redis_a_minute() < REDIS_BYTES_A_MINUTE
            && self.slow_calls == 0
    }

    pub fn line(&self) -> String {
        let both =
            |share| format!("{:.1} → {:.1}", self.calm.percentile(share), self.beside.percentile(share));
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.0} | {} |",
            self.attack.caller,
            self.attack.name,
            self.calls,
            both(0.5),
            both(0.95),
            both(0.99),
            self.beside.failures,
            self.redis_a_minute() as f64 / 1e6,
            self.memory_growth_kib as f64 / 1024.0,
            self.slow_calls,
        )
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Replaces the section of docs/RELIABILITY.md.
pub fn write(rows: &[Row]) {
    let mut section = include_str!("intro.md").to_owned();
    writeln!(section, "{HEAD}").unwrap();
    for row in rows {
        writeln!(section, "{}", row.line()).unwrap();
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let (date, commit) =
        (chrono::Utc::now().format("%Y-%m-%d"), output("git", &["rev-parse", "--short", "HEAD"]));
    let redis = output(&redis_server(), &["--version"]);
    let redis = redis.split(" sha").next().unwrap_or_default();
    writeln!(
        section,
        "\nMeasured on {date}, commit {commit}, {cores} cores for everything at once: one instance, {redis}, \
         LiveKit, the attacker and the other room's caller."
    )
    .unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RELIABILITY.md");
    let page = std::fs::read_to_string(path).unwrap();
    let before = page.split(BEGIN).next().unwrap_or_default().trim_end();
    let after = page.split_once(END).map_or("", |(_, after)| after);
    std::fs::write(path, format!("{before}\n\n{BEGIN}{section}{END}{after}")).unwrap();
}

//! The report, docs/PERFORMANCE.md.

use std::{fmt::Write, fs, process::Command};

use super::{
    scale::{LOG_ROUNDS, Scale},
    table::{HEAD, Line},
};

/// Returns the load averages of the machine over 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Returns what a program prints, or an empty string if it cannot run.
fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Writes docs/PERFORMANCE.md: the introduction, the table and the experiments.
pub fn write(scale: &Scale, lines: &[Line], load_before: &str) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut text = include_str!("intro.md").to_owned();
    text = text.replace("{rounds}", &scale.rounds.to_string());
    text = text.replace("{log_rounds}", &LOG_ROUNDS.to_string());
    writeln!(text, "{HEAD}").unwrap();
    for line in lines {
        writeln!(text, "{}", line.text()).unwrap();
    }
    writeln!(
        text,
        "\nMeasured on {}, commit {}, {cores} cores ({}) for everything at once: the service, Redis, the load \
         generator, {}. Load averages of the machine before: {load_before}; after: {}.\n",
        chrono::Utc::now().format("%Y-%m-%d"),
        output_of("git", &["rev-parse", "--short", "HEAD"]),
        cpu.map_or("unknown", |(_, model)| model),
        output_of("redis-server", &["--version"]).split(" sha").next().unwrap_or_default(),
        load_average(),
    )
    .unwrap();
    text.push_str(include_str!("experiments.md"));
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PERFORMANCE.md"), text).unwrap();
}

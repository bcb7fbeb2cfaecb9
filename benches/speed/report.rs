//! What is told of it.

use std::{fmt::Write, fs, process::Command};

use super::cases::Scale;

/// A line of the table. What others reach where they do not run beside is quoted.
pub struct Line {
    case: String,
    floor: String,
    nchan: String,
    mercure: String,
    express: String,
    target: String,
    /// This service as deployed, and bare.
    own: String,
    bare: String,
}

impl Line {
    pub fn new(case: String) -> Self {
        let [floor, nchan, mercure, express, target, own, bare] = std::array::from_fn(|_| "–".to_owned());
        Self { case, floor, nchan, mercure, express, target, own, bare }
    }

    pub fn peers(self, floor: String, nchan: String, mercure: &str, express: &str) -> Self {
        let (mercure, express) = (mercure.to_owned(), express.to_owned());
        Self { floor, nchan, mercure, express, ..self }
    }

    pub fn express(self, express: String) -> Self {
        Self { express, ..self }
    }

    pub fn target(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }

    pub fn own(self, own: String) -> Self {
        Self { own, ..self }
    }

    /// With what the same measurement gave bare.
    pub fn beside(self, bare: Self) -> Self {
        Self { bare: bare.own, ..self }
    }

    pub fn text(&self) -> String {
        let Self { case, floor, nchan, mercure, express, target, own, bare } = self;
        format!("| {case} | {floor} | {nchan} | {mercure} | {express} | {target} | **{own}** | {bare} |")
    }
}

const HEAD: &str = "| case | bare write loop | nchan | Mercure | Express | to reach | this service, as deployed | this service, bare |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- |";

/// How busy the machine has been: over 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Writes docs/PERFORMANCE.md: what is said about the numbers, the numbers, and what was tried.
pub fn write(scale: &Scale, lines: &[Line], load_before: &str) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut text = include_str!("intro.md").to_owned();
    text = text.replace("{rounds}", &scale.rounds.to_string());
    text = text.replace("{log_rounds}", &super::requests::LOG_ROUNDS.to_string());
    writeln!(text, "{HEAD}").unwrap();
    for line in lines {
        writeln!(text, "{}", line.text()).unwrap();
    }
    writeln!(
        text,
        "\nMeasured on {}, commit {}, {cores} cores ({}) for everything at once: the service, Redis, the load \
         generator, {}. Load averages of the machine before: {load_before}; after: {}.\n",
        chrono::Utc::now().format("%Y-%m-%d"),
        said("git", &["rev-parse", "--short", "HEAD"]),
        cpu.map_or("unknown", |(_, model)| model),
        said("redis-server", &["--version"]).split(" sha").next().unwrap_or_default(),
        load_average(),
    )
    .unwrap();
    text.push_str(include_str!("tried.md"));
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PERFORMANCE.md"), text).unwrap();
}

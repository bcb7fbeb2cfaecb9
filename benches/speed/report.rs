//! The report, docs/PERFORMANCE.md.

use std::{fmt::Write, fs, process::Command};

use super::{
    scale::{LOG_ROUNDS, Scale},
    section::Section,
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

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PERFORMANCE.md");

/// Returns when, where and of what was measured. The load averages are of the time before.
fn circumstances(load_before: &str) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Measured on {}, commit {}, {cores} cores ({}) for everything at once: the service, Redis, the load \
         generator, {}. Load averages of the machine before: {load_before}; after: {}.\n",
        chrono::Utc::now().format("%Y-%m-%d"),
        output_of("git", &["rev-parse", "--short", "HEAD"]),
        cpu.map_or("unknown", |(_, model)| model),
        output_of("redis-server", &["--version"]).split(" sha").next().unwrap_or_default(),
        load_average(),
    )
}

/// Writes docs/PERFORMANCE.md: the introduction, the tables and the experiments.
pub fn write(scale: &Scale, lines: &[Line], sections: &[(Section, Vec<String>)], load_before: &str) {
    let mut text = include_str!("intro.md").to_owned();
    text = text.replace("{rounds}", &scale.rounds.to_string());
    text = text.replace("{log_rounds}", &LOG_ROUNDS.to_string());
    writeln!(text, "{HEAD}").unwrap();
    for line in lines {
        writeln!(text, "{}", line.text()).unwrap();
    }
    writeln!(text, "\n{}", circumstances(load_before)).unwrap();
    for (section, lines) in sections {
        writeln!(text, "{}", section_text(*section, scale, lines, load_before)).unwrap();
    }
    text.push_str(include_str!("experiments.md"));
    fs::write(PATH, text).unwrap();
}

/// Writes a section into docs/PERFORMANCE.md, in place of the one that is there.
pub fn replace(section: Section, scale: &Scale, lines: &[String], load_before: &str) {
    let text = fs::read_to_string(PATH).unwrap();
    let marks = marks(section);
    let [begin, end] = [0, 1].map(|mark| text.find(&marks[mark]).expect("the marks of the section"));
    let section = section_text(section, scale, lines, load_before);
    let rest = &text[end + marks[1].len()..];
    fs::write(PATH, format!("{}{section}{rest}", &text[..begin])).unwrap();
}

/// Returns the lines around a section.
fn marks(section: Section) -> [String; 2] {
    ["begin", "end"].map(|mark| format!("<!-- {}: {mark} -->\n", section.name()))
}

fn section_text(section: Section, scale: &Scale, lines: &[String], load_before: &str) -> String {
    let [begin, end] = marks(section);
    let (intro, head) = (section.intro(scale), section.head());
    format!("{begin}{intro}{head}\n{}\n\n{}{end}", lines.join("\n"), circumstances(load_before))
}

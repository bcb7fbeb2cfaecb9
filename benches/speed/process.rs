//! CPU time and memory of other processes, from /proc.

use std::{fs, time::Duration};

/// /proc reports CPU time in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A process and its children.
pub struct ProcessGroup(Vec<u32>);

impl ProcessGroup {
    /// Returns the process and its current children.
    pub fn of(pid: u32) -> Self {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let children = children.split_ascii_whitespace().map(|pid| pid.parse().expect("a process id"));
        Self([pid].into_iter().chain(children).collect())
    }

    /// Returns the processes alone. Redis has a child only while it rewrites its append-only file.
    pub const fn without_children(pids: Vec<u32>) -> Self {
        Self(pids)
    }

    /// Returns the processes.
    pub fn pids(&self) -> &[u32] {
        &self.0
    }

    /// Returns the CPU time used so far, in user space and in the kernel.
    pub fn cpu(&self) -> Duration {
        self.0.iter().map(|pid| cpu(*pid)).sum()
    }

    /// Returns the proportional set size, in bytes.
    pub fn memory(&self) -> u64 {
        self.0.iter().map(|pid| memory(*pid)).sum()
    }
}

fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in parentheses may contain any character. The 12th and 13th fields after it are utime and stime.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    TICK * ticks.map(|ticks| ticks.parse::<u32>().expect("a number")).sum()
}

fn memory(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("Pss");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

//! A limit of the CPU time of processes, by control groups of Linux (version 1 or 2). Needs the rights of root.

use std::{fs, path::PathBuf, time::Duration};

use super::support::unique;

/// Period of the limit. A short one, because a process that has used its share stops until the period ends.
const PERIOD: Duration = Duration::from_millis(10);

/// A control group with one process. Dropping it after the end of the process removes the group.
pub struct CpuShare(PathBuf);

impl CpuShare {
    /// Limits a process to a share of one core; `None` where control groups cannot be made.
    pub fn limit(pid: u32, share: f64) -> Option<Self> {
        let period = PERIOD.as_micros();
        let quota = (PERIOD.as_secs_f64() * share * 1e6).round();
        let version_1 = PathBuf::from("/sys/fs/cgroup/cpu");
        let root = if version_1.is_dir() { version_1.clone() } else { PathBuf::from("/sys/fs/cgroup") };
        let group = root.join(unique("speed"));
        fs::create_dir(&group).ok()?;
        let limited = if root == version_1 {
            fs::write(group.join("cpu.cfs_period_us"), period.to_string())
                .and_then(|()| fs::write(group.join("cpu.cfs_quota_us"), quota.to_string()))
        } else {
            fs::write(group.join("cpu.max"), format!("{quota} {period}"))
        };
        let joined = limited.and_then(|()| fs::write(group.join("cgroup.procs"), pid.to_string()));
        let share = Self(group);
        joined.ok().map(|()| share)
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

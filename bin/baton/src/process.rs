//! What the operating system says about processes and directories, and signals to our own children.

use eyre::{WrapErr as _, eyre};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// CPU and memory of one process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
}

/// Reads `/proc/PID`.
pub fn usage(pid: u32) -> eyre::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .wrap_err_with(|| format!("cannot read the CPU time of process {pid}"))?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| eyre!("/proc/{pid}/stat has an unknown format"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    Ok(Usage {
        cpu_seconds: float(ticks) / float(rustix::param::clock_ticks_per_second()),
        resident_bytes: resident_kib * 1024,
    })
}

/// User and system time of a `/proc/PID/stat` line.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, also spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Bytes that a directory takes on disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let below = if metadata.is_dir() { disk_bytes(&entry.path()) } else { 0 };
            Some(metadata.blocks() * 512 + below)
        })
        .sum()
}

/// Asks one of our children to stop. It may be gone already.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Makes one of our children stand still, or go on.
pub fn pause(pid: u32, still: bool) {
    signal(pid, if still { Signal::STOP } else { Signal::CONT });
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Fails only when the process has ended, which is what was wanted.
        let _ = kill_process(pid, signal);
    }
}

/// For ratios and reports, where the last bits do not matter.
#[allow(clippy::cast_precision_loss, reason = "reports need no more than 52 bits")]
pub const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_strange_names() {
        let stat = "1 (a) b (c)) S 1 1 1 0 -1 4194304 1 2 3 4 700 50 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(750));
        assert_eq!(cpu_ticks("nonsense"), None);
        assert!(usage(std::process::id()).unwrap().resident_bytes > 0);
    }
}

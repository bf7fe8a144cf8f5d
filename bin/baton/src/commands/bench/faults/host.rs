//! Faults that the machine causes: packets that are lost, a slow disk, a wrong clock. Other programs do it: nft,
//! strace, libfaketime.

use eyre::{WrapErr as _, bail, ensure, eyre};
use std::{
    fs::{self, File},
    io::Write as _,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A user of its own, so that packets tell whose they are.
const USER: &str = "60001";
const TABLE: &str = "baton_bench";
const LOSS_PERCENT: u32 = 30;
pub const SLOWER: u32 = 10;
pub const AHEAD: &str = "+5s";
const SYNCS: usize = 50;

/// Refuses to lose packets of anybody else.
pub fn check_network() -> eyre::Result<()> {
    let devices = fs::read_to_string("/proc/net/dev").wrap_err("cannot read /proc/net/dev")?;
    let mut devices = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    if let Some(other) = devices.find(|device| *device != "lo") {
        bail!(
            "packets are lost only where nobody else has any, but here is the device {other}; in a network of its \
             own: unshare --net sh -c 'ip link set lo up && baton bench faults …'"
        );
    }
    nft("list tables").map(drop)
}

/// So many of the packets between nodes get lost, until this is dropped.
pub fn lose(ports: &RangeInclusive<u16>) -> eyre::Result<Lost> {
    lost(ports, &format!("numgen random mod 100 < {LOSS_PERCENT} drop"))
}

/// What the node of [`as_user`] sends to others gets lost.
pub fn deafen_others(ports: &RangeInclusive<u16>) -> eyre::Result<Lost> {
    lost(ports, &format!("meta skuid {USER} drop"))
}

pub struct Lost(());

impl Drop for Lost {
    fn drop(&mut self) {
        // With the network of this program it would go as well.
        let _ = nft(&format!("delete table inet {TABLE}"));
    }
}

fn lost(ports: &RangeInclusive<u16>, rule: &str) -> eyre::Result<Lost> {
    let ports = format!("{}-{}", ports.start(), ports.end());
    let chain =
        format!("type filter hook output priority 0; tcp dport {ports} {rule}; tcp sport {ports} {rule};");
    nft(&format!("table inet {TABLE} {{ chain sent {{ {chain} }}; }};"))?;
    Ok(Lost(()))
}

fn nft(script: &str) -> eyre::Result<()> {
    let missing = || "cannot run nft; it is in the package nftables, and needs root";
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().wrap_err_with(missing)?;
    let mut input = child.stdin.take().ok_or_else(|| eyre!("nft has no input"))?;
    writeln!(input, "{script}").wrap_err_with(missing)?;
    drop(input);
    let status = child.wait().wrap_err_with(missing)?;
    ensure!(status.success(), "nft ends with {status}; it needs root");
    Ok(())
}

/// Becomes a node of another user, who may write what is root's.
pub fn as_user() -> Vec<String> {
    let flags = ["--reuid", USER, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"];
    words("setpriv", &flags)
}

/// Becomes a node for which a sync of a file takes [`SLOWER`] times as long as it does in this directory.
pub fn slow_disk(dir: &Path) -> eyre::Result<(Vec<String>, Duration)> {
    let usual = sync_time(dir)?;
    let more = usual * (SLOWER - 1);
    let inject = format!("inject=fsync,fdatasync:delay_enter={}", more.as_micros());
    let flags = ["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"];
    let mut under = words("strace", &flags);
    under.push(inject);
    Ok((under, usual))
}

/// The median of some.
fn sync_time(dir: &Path) -> eyre::Result<Duration> {
    let path = dir.join("sync");
    let failed = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).wrap_err_with(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).wrap_err_with(failed)?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path).wrap_err_with(failed)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// Becomes a node whose clock is ahead.
pub fn fast_clock() -> eyre::Result<Vec<String>> {
    let library = libfaketime()
        .ok_or_else(|| eyre!("no libfaketime.so.1 below /usr/lib; it is in the package faketime"))?;
    let preload = format!("LD_PRELOAD={}", library.display());
    let ahead = format!("FAKETIME={AHEAD}");
    Ok(words("env", &[&preload, &ahead, "FAKETIME_DONT_FAKE_MONOTONIC=1"]))
}

fn libfaketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let path = |entry: fs::DirEntry| entry.path().join("faketime/libfaketime.so.1");
    libraries.map(path).find(|path| path.exists())
}

fn words(program: &str, flags: &[&str]) -> Vec<String> {
    [program].iter().chain(flags).map(|word| (*word).to_owned()).collect()
}

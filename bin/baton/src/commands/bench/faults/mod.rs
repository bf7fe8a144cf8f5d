mod host;

use super::{
    Target,
    load::{self, Plan},
    meter::Meter,
    report::row,
    watch::{follow, follow_for_ever},
    with_devnet_of,
};
use crate::{
    cluster::{
        Cluster,
        layout::{NODES_MAX, Options},
    },
    output::{Outcome, Output, note},
    process::{self, float},
};
use clap::ValueEnum;
use eyre::{WrapErr as _, bail, eyre};
use serde::Serialize;
use std::{cell::RefCell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Measure how long each fault holds a loaded cluster up, and when the node is back.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of the devnet that is started for each fault.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// Faults to measure [default: those that need no other program].
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',', hide_default_value = true, default_values_t = Fault::OURS)]
    faults: Vec<Fault>,
    /// How many times each; every time on a fresh devnet.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: u16,
    /// Transactions per second meanwhile.
    #[arg(long, value_name = "TPS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long a fault lasts.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = crate::data::duration)]
    lasting: Duration,
    /// Blocks per epoch [default: as `baton devnet`]. With fewer, faults meet the ends of epochs.
    #[arg(long, value_name = "N")]
    epoch_blocks: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// kill -9 of one node, which is started again at the end
    Kill,
    /// One process stands still (SIGSTOP)
    Stop,
    /// One process stands still for 90 of every 100 ms
    Slow,
    /// kill -9 of one node, which is started again at once with an empty disk
    Wipe,
    /// kill -9 of all nodes, which are started again at once
    KillAll,
    /// kill -9 of one node every three seconds, started again after one
    Flap,
    /// 30 % of the packets between nodes are lost (nft)
    Loss,
    /// What one node sends to the others is lost, what they send arrives (nft)
    OneWay,
    /// Each sync of one node's disk takes ten times as long (strace)
    SlowDisk,
    /// The clock of one node is 5 s ahead (libfaketime)
    Skew,
}

impl Fault {
    const OURS: [Self; 6] = [Self::Kill, Self::Stop, Self::Slow, Self::Wipe, Self::KillAll, Self::Flap];

    const fn loses_packets(self) -> bool {
        matches!(self, Self::Loss | Self::OneWay)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("no fault is hidden");
        f.write_str(value.get_name())
    }
}

const EXAMPLES: &str = "\
The longest gap is the longest time without a finalized block, from the fault until two seconds
after the node is back, on the node that waited longest. A node is back when it is ready and has
what the others had when the fault ended. A wiped one has no share of the key left: it is back when
it has the blocks. A slow disk and a wrong clock are so from before the load.

Where packets get lost, the network has to be one of its own, with nothing but a loopback device.

Examples:
  baton bench faults
  baton bench faults --faults kill --repeat 5
  baton bench faults --faults stop,slow --lasting 60s --json
  baton bench faults --faults slow-disk,skew
  unshare --net sh -c 'ip link set lo up && baton bench faults --faults loss,one-way'";

/// How long a node may take to come back.
const BACK_TIMEOUT: Duration = Duration::from_secs(120);
/// Until members have made their first proofs, the load is steady and all leaders have had their turn.
const SETTLE: Duration = Duration::from_secs(8);
/// How long to look on after a node is back.
const AFTER: Duration = Duration::from_secs(2);
const FLAP_DOWN: Duration = Duration::from_secs(1);
const FLAP_UP: Duration = Duration::from_secs(2);
const SLOW_STILL: Duration = Duration::from_millis(90);
const SLOW_GOING: Duration = Duration::from_millis(10);

#[derive(Debug, Serialize)]
struct Measured {
    fault: Fault,
    nodes: u16,
    rate: u32,
    /// From the fault to the next finalized block.
    next_block_ms: f64,
    longest_gap_ms: f64,
    blocks_per_second: f64,
    /// From the end of the fault until the node was back.
    back_ms: f64,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    if args.faults.iter().any(|fault| fault.loses_packets()) {
        host::check_network()?;
    }
    output.line(format!("{} nodes, {} tx/s", args.devnet, args.rate));
    output.line(row("", "next block  longest gap   blocks/s      back after"));
    for fault in &args.faults {
        for round in 0..args.repeat {
            note(format!("{fault}, round {} of {}", round + 1, args.repeat));
            // Another one each time, for they do not lead equally often.
            let node = round % args.devnet;
            let (nodes, epoch_blocks) = (Some(args.devnet), args.epoch_blocks);
            let options = Options { nodes, epoch_blocks, ..Options::default() };
            let measured =
                with_devnet_of(options, async |cluster| measure(&args, *fault, node, cluster).await);
            let Some(measured) = measured.await? else { return Ok(Outcome::Failed) };
            output.object(&measured);
            let Measured { next_block_ms, longest_gap_ms, blocks_per_second, back_ms, .. } = measured;
            output.line(row(
                &fault.to_string(),
                format!(
                    "{next_block_ms:>7.0} ms {longest_gap_ms:>9.0} ms {blocks_per_second:>10.1} {back_ms:>12.0} ms"
                ),
            ));
        }
    }
    Ok(Outcome::Done)
}

async fn measure(args: &Args, fault: Fault, node: u16, cluster: &mut Cluster) -> eyre::Result<Measured> {
    prepare(fault, node, cluster).await?;
    let target = Target::of(cluster).await?;
    let plan = Plan::steady(args.rate, SETTLE + args.lasting + BACK_TIMEOUT + AFTER);
    let load = load::Load::new(plan, Rc::new(RefCell::new(Meter::new())), Rc::new(Notify::new()));
    let mut workers = load.start(&target.urls, 0..target.urls.len())?;
    sleep(SETTLE).await;
    let mut watched = Vec::new();
    for index in (0..args.devnet).filter(|index| *index != node) {
        let url = cluster.layout().rpc_url(index);
        watched.push(match fault {
            Fault::KillAll => follow_for_ever(url).await?,
            _ => follow(&url).await?,
        });
    }
    // Not together with the first blocks that they see.
    sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let ended = suffer(args, fault, node, cluster).await?;
    back(cluster, node, fault != Fault::Wipe).await?;
    let back = ended.elapsed();
    sleep(AFTER).await;
    let length = began.elapsed();
    workers.abort_all();
    let mut after = Vec::new();
    for (seen, watcher) in watched {
        // Who was not killed has no reason to hang up.
        if watcher.is_finished() {
            watcher.await.wrap_err("a watcher failed")??;
            bail!("a node that nothing happened to closed its subscription");
        }
        watcher.abort();
        let seen = seen.borrow().iter().filter(|at| **at > began).map(|at| *at - began).collect();
        after.push(seen);
    }
    let longest = |part: fn(&[Duration], Duration) -> Duration| {
        after.iter().map(|after: &Vec<Duration>| part(after, length)).max().unwrap_or(length)
    };
    let blocks = after.iter().map(Vec::len).max().unwrap_or(0);
    Ok(Measured {
        fault,
        nodes: args.devnet,
        rate: args.rate,
        next_block_ms: ms(longest(|after, length| after.first().copied().unwrap_or(length))),
        longest_gap_ms: ms(longest(longest_gap)),
        blocks_per_second: float(u64::try_from(blocks).unwrap_or(u64::MAX)) / length.as_secs_f64(),
        back_ms: ms(back),
    })
}

/// Starts the node by the program that the fault takes.
async fn prepare(fault: Fault, node: u16, cluster: &mut Cluster) -> eyre::Result<()> {
    let under = match fault {
        Fault::OneWay => host::as_user(),
        Fault::SlowDisk => {
            let (under, usual) = host::slow_disk(cluster.layout().dir())?;
            note(format!("a sync takes {usual:?} here, and {:?} for node {node}", usual * host::SLOWER));
            under
        }
        Fault::Skew => host::fast_clock()?,
        _ => return Ok(()),
    };
    cluster.kill(node).await?;
    cluster.restart_under(node, &under)?;
    cluster.ready().await
}

/// Lets it happen; when it was over.
async fn suffer(args: &Args, fault: Fault, node: u16, cluster: &mut Cluster) -> eyre::Result<Instant> {
    match fault {
        Fault::Kill => {
            cluster.kill(node).await?;
            sleep(args.lasting).await;
            cluster.restart(node, &[])?;
        }
        Fault::Stop | Fault::Slow => {
            let pid = cluster.pid(node).ok_or_else(|| eyre!("node {node} has ended"))?;
            let end = Instant::now() + args.lasting;
            while Instant::now() < end {
                process::pause(pid, true);
                if fault == Fault::Stop {
                    sleep(args.lasting).await;
                    break;
                }
                sleep(SLOW_STILL).await;
                process::pause(pid, false);
                sleep(SLOW_GOING).await;
            }
            process::pause(pid, false);
        }
        Fault::Wipe => {
            cluster.kill(node).await?;
            cluster.wipe(node)?;
            cluster.restart(node, &[])?;
        }
        Fault::Flap => {
            let end = Instant::now() + args.lasting;
            while Instant::now() < end {
                cluster.kill(node).await?;
                sleep(FLAP_DOWN).await;
                cluster.restart(node, &[])?;
                sleep(FLAP_UP).await;
            }
        }
        Fault::Loss | Fault::OneWay => {
            let ports = cluster.layout().p2p_ports();
            let _lost = if fault == Fault::Loss { host::lose(&ports) } else { host::deafen_others(&ports) }?;
            sleep(args.lasting).await;
        }
        Fault::SlowDisk | Fault::Skew => sleep(args.lasting).await,
        Fault::KillAll => {
            for index in 0..args.devnet {
                cluster.kill(index).await?;
            }
            for index in 0..args.devnet {
                cluster.restart(index, &[])?;
            }
        }
    }
    Ok(Instant::now())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// From the fault on, up to the end of the observation.
fn longest_gap(after: &[Duration], end: Duration) -> Duration {
    let mut previous = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for at in after.iter().chain([&end]) {
        longest = longest.max(at.saturating_sub(previous));
        previous = *at;
    }
    longest
}

/// Waits until a node is as far as another is now, and ready if it can be. How far that is.
pub async fn back(cluster: &Cluster, node: u16, to_be_ready: bool) -> eyre::Result<u64> {
    let deadline = Instant::now() + BACK_TIMEOUT;
    let mut goal = None;
    loop {
        let reason = match advance(cluster, node, to_be_ready, &mut goal).await {
            Ok(height) => return Ok(height),
            Err(reason) => reason,
        };
        if Instant::now() > deadline {
            return Err(eyre!("node {node} did not come back within {BACK_TIMEOUT:?}: {reason}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether it is there; if not, what is missing.
async fn advance(
    cluster: &Cluster,
    node: u16,
    to_be_ready: bool,
    goal: &mut Option<u64>,
) -> Result<u64, String> {
    let text = |error: eyre::Report| error.to_string();
    let goal = match *goal {
        Some(height) => height,
        None => {
            let other = if node == 0 { 1 } else { 0 };
            let height = cluster.status(other).await.map_err(text)?.finalized_height;
            *goal.insert(height)
        }
    };
    if to_be_ready {
        cluster.is_ready(node).await?;
    }
    let height = cluster.status(node).await.map_err(text)?.finalized_height;
    if height >= goal { Ok(goal) } else { Err(format!("at height {height} of {goal}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_count_from_the_fault_to_the_end() {
        let ms = Duration::from_millis;
        for (after, end, expect) in [
            (vec![], 500, 500),
            (vec![10, 20, 400, 410], 500, 380),
            (vec![300, 310], 320, 300),
            (vec![10, 20], 500, 480),
        ] {
            let after: Vec<_> = after.into_iter().map(ms).collect();
            assert_eq!(longest_gap(&after, ms(end)), ms(expect));
        }
    }
}

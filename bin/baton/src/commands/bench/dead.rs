use super::{
    Target, load,
    meter::Meter,
    report::row,
    watch::{Seen, follow},
    with_devnet,
};
use crate::{
    cluster::{Cluster, layout::NODES_MAX},
    output::{Outcome, Output, note},
    process::float,
};
use baton_types::{faults_tolerated, genesis::Election};
use eyre::bail;
use serde::Serialize;
use std::{cell::RefCell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Measure what dead nodes cost: blocks per second before they die and from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// How many of them die, all at once; fewer than a third.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    dead: u16,
    /// How proposers are drawn [default: as `baton devnet`].
    #[arg(long)]
    election: Option<Election>,
    /// Transactions per second meanwhile.
    #[arg(long, value_name = "TPS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long to measure with all nodes alive.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = crate::data::duration)]
    healthy: Duration,
    /// How long to measure afterwards.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::data::duration)]
    seconds: Duration,
}

const EXAMPLES: &str = "\
Each line is five seconds.

Examples:
  baton bench dead
  baton bench dead --devnet 7 --dead 2
  baton bench dead --election threshold-lottery --seconds 30s --json";

/// One line of the report.
const SLICE: Duration = Duration::from_secs(5);
/// Until the load is steady.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
struct Slice {
    /// After the nodes died; the end of the slice.
    seconds: f64,
    blocks_per_second: f64,
    /// Of the healthy cluster's.
    share: f64,
    longest_gap_ms: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    dead: u16,
    election: &'static str,
    rate: u32,
    healthy_blocks_per_second: f64,
    slices: Vec<Slice>,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let tolerated = faults_tolerated(args.devnet.into());
    if u32::from(args.dead) > tolerated {
        bail!("--dead {}: a cluster of {} goes on with at most {tolerated}", args.dead, args.devnet);
    }
    let report = with_devnet(args.devnet, args.election, async |cluster| measure(&args, cluster).await);
    let Some(report) = report.await? else { return Ok(Outcome::Failed) };
    output.object(&report);
    print(&report, output);
    Ok(Outcome::Done)
}

async fn measure(args: &Args, cluster: &mut Cluster) -> eyre::Result<Report> {
    let target = Target::of(cluster).await?;
    let plan = load::Plan::steady(args.rate, SETTLE + args.healthy + args.seconds);
    // Those that live; their clients are not held up by requests to the dead.
    let living = 0..usize::from(args.devnet - args.dead);
    let load = load::Load::new(plan, Rc::new(RefCell::new(Meter::new())), Rc::new(Notify::new()));
    let mut workers = load.start(&target.urls, living)?;
    let (seen, watcher) = follow(&target.urls[0]).await?;
    let start = Instant::now() + SETTLE;
    sleep_until(start + args.healthy).await;
    let healthy = rate(&seen, start, args.healthy);
    note(format!("{healthy:.1} blocks per second; killing {}", args.dead));
    let died = Instant::now();
    for index in args.devnet - args.dead..args.devnet {
        cluster.kill(index).await?;
    }
    let mut slices = Vec::new();
    let mut from = died;
    while from + SLICE <= died + args.seconds {
        sleep_until(from + SLICE).await;
        if watcher.is_finished() {
            bail!("a node that was not killed closed its subscription");
        }
        let blocks_per_second = rate(&seen, from, SLICE);
        slices.push(Slice {
            seconds: (from + SLICE - died).as_secs_f64(),
            blocks_per_second,
            share: blocks_per_second / healthy,
            longest_gap_ms: longest_gap(&seen, from, from + SLICE),
        });
        from += SLICE;
    }
    watcher.abort();
    workers.abort_all();
    Ok(Report {
        nodes: args.devnet,
        dead: args.dead,
        election: cluster.layout().genesis().election.name(),
        rate: args.rate,
        healthy_blocks_per_second: healthy,
        slices,
    })
}

/// Blocks per second in a window.
fn rate(seen: &Seen, from: Instant, window: Duration) -> f64 {
    let blocks = seen.borrow().iter().filter(|at| (from..from + window).contains(*at)).count();
    float(u64::try_from(blocks).unwrap_or(u64::MAX)) / window.as_secs_f64()
}

/// Longest time without a block that ended in the window, or that its end cut short.
fn longest_gap(seen: &Seen, from: Instant, to: Instant) -> f64 {
    let seen = seen.borrow();
    let before = seen.iter().rev().find(|at| **at < from).copied().unwrap_or(from);
    let inside = seen.iter().copied().filter(|at| (from..to).contains(at));
    let ends: Vec<_> = std::iter::once(before).chain(inside).chain([to]).collect();
    ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3).fold(0.0, f64::max)
}

fn print(report: &Report, output: Output) {
    output.line(format!(
        "{} of {} nodes dead, {}, {} tx/s",
        report.dead, report.nodes, report.election, report.rate
    ));
    output.line(row("all alive", format!("{:.1} blocks/s", report.healthy_blocks_per_second)));
    for slice in &report.slices {
        output.line(row(
            &format!("  up to {:.0} s", slice.seconds),
            format!(
                "{:.1} blocks/s ({:.0} %), longest gap {:.0} ms",
                slice.blocks_per_second,
                100.0 * slice.share,
                slice.longest_gap_ms
            ),
        ));
    }
}

use super::{
    Target,
    load::Snapshot,
    meter::Quantiles,
    report::{cpu_seconds, quantiles, row},
    watch, with_devnet,
};
use crate::{
    cluster::layout::NODES_MAX,
    output::{Outcome, Output},
    process::float,
};
use baton_types::{api::BlockEvent, receipt::Rung};
use eyre::eyre;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Measure what a cluster costs when nothing happens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton bench idle\n  baton bench idle --devnet 7 --seconds 60s --json")]
pub struct Args {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// How long to measure.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = crate::data::duration)]
    seconds: Duration,
}

/// Start-up work, such as connecting and opening files, is not what is measured.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    measured_seconds: f64,
    /// Of one core, in percent.
    node_cpu_percent: Vec<f64>,
    node_resident_bytes: Vec<u64>,
    blocks_per_second: f64,
    block_gap: Quantiles,
    /// From the block's timestamp to when node 0 saw it final.
    block_time: Quantiles,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let outcome = with_devnet(args.devnet, None, async |cluster| {
        let report = measure(&args, &Target::of(cluster).await?).await?;
        output.object(&report);
        print(&report, output);
        Ok(Outcome::Done)
    });
    Ok(outcome.await?.unwrap_or(Outcome::Failed))
}

async fn measure(args: &Args, target: &Target) -> eyre::Result<Report> {
    let api = target.apis()?.into_iter().next().ok_or_else(|| eyre!("no node to watch"))?;
    sleep(SETTLE).await;
    let mut subscription = watch::open(&api, false).await?;
    let (from, start) = (Snapshot::take(target)?, Instant::now());
    let (mut times, mut gaps, mut last) = (Vec::new(), Vec::new(), None::<Instant>);
    while let Ok(event) = timeout_at(start + args.seconds, subscription.next()).await {
        let event = event?.ok_or_else(|| eyre!("{} closed the subscription", api.url()))?;
        let block: BlockEvent = event.parse()?;
        if block.rung != Rung::Finalized {
            continue;
        }
        let now = Instant::now();
        gaps.extend(last.map(|last| micros((now - last).as_micros())));
        last = Some(now);
        times.push(micros(u128::from(block.time_ms.saturating_sub(block.timestamp_ms)) * 1_000));
    }
    let to = Snapshot::take(target)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report {
        nodes: args.devnet,
        measured_seconds: seconds,
        node_cpu_percent: cpu_seconds(&from, &to).iter().map(|cpu| 100.0 * cpu / seconds).collect(),
        node_resident_bytes: to.nodes.iter().map(|usage| usage.resident_bytes).collect(),
        blocks_per_second: float(u64::try_from(times.len()).unwrap_or(u64::MAX)) / seconds,
        block_gap: Quantiles::of(gaps),
        block_time: Quantiles::of(times),
    })
}

fn micros(micros: u128) -> u32 {
    u32::try_from(micros).unwrap_or(u32::MAX)
}

fn print(report: &Report, output: Output) {
    let cpu: Vec<_> = report.node_cpu_percent.iter().map(|cpu| format!("{cpu:.1} %")).collect();
    let resident: Vec<_> =
        report.node_resident_bytes.iter().map(|bytes| format!("{} MiB", bytes / (1024 * 1024))).collect();
    output.line(format!("{} idle nodes, {:.0} s", report.nodes, report.measured_seconds));
    output.line(row("CPU of nodes", format!("{} of a core", cpu.join(", "))));
    output.line(row("memory of nodes", resident.join(", ")));
    output.line(row("empty blocks", format!("{:.2} per s", report.blocks_per_second)));
    output.line(quantiles("between blocks", &report.block_gap));
    output.line(quantiles("block → finalized", &report.block_time));
}

use super::{
    Target,
    check::{self, Checked},
    load::{self, Part, Plan, Run},
    meter::{Quantiles, Times},
    report::{cpu_seconds, row, whole},
    with_devnet_of,
};
use crate::{
    cluster::{
        Cluster,
        layout::{NODES_MAX, Options},
    },
    output::{Outcome, Output, grouped, note},
    process::float,
};
use eyre::{WrapErr as _, bail};
use serde::Serialize;
use std::{ops::Range, time::Duration};

/// Offer a cluster many times what it sustains: what is shed, and when the rest is final.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// How long the overload lasts.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::data::duration)]
    seconds: Duration,
    /// How long to measure before that: once as fast as finalized, once at half of it.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = crate::data::duration)]
    calm: Duration,
    /// How many times what is sustained is offered.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    times: u32,
    /// All of it to node 0, while each other node is offered its part of half the load.
    #[arg(long)]
    one_node: bool,
    /// Bytes of one payload.
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    size: u32,
    /// Transactions in one request.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Clients of each overloaded node. Each waits for its answer, and then as long as the node asks it to.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=500))]
    connections: u16,
    /// None of them waits longer than this, whatever it is told.
    #[arg(long, value_name = "DURATION", value_parser = crate::data::duration)]
    pause_max: Option<Duration>,
    /// Most bytes that a block has of the rollup [default: as `baton devnet`]. With few, little is too much.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4_096..=16_777_216))]
    block_bytes: Option<u32>,
}

const EXAMPLES: &str = "\
Times are from before the request that was accepted; what was refused is offered again. The loader
shares the machine with the nodes, and its clients keep to the times they are told: what they
offered in the end is part of the report.

Examples:
  baton bench overload
  baton bench overload --one-node --seconds 2m
  baton bench overload --block-bytes 65536 --pause-max 100ms --seconds 3m
  baton bench overload --times 20 --batch 1 --connections 400 --json";

/// Until members have made their first proofs and memory has grown to what it needs.
const SETTLE: Duration = Duration::from_secs(8);
/// Connections to each node in the calm phases.
const CALM_CONNECTIONS: u16 = 4;

/// What some nodes did in one phase.
#[derive(Debug, Serialize)]
struct Figures {
    of: String,
    offered_per_second: f64,
    accepted_per_second: f64,
    shed_per_second: f64,
    /// Of what was shed, with a time to come back.
    with_retry_after_percent: f64,
    receipt: Quantiles,
    finalized: Quantiles,
}

#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    size: u32,
    batch: u32,
    seconds: f64,
    sustained_per_second: f64,
    half_load: Figures,
    overload: Figures,
    by_node: Vec<Figures>,
    /// Overload against half load.
    p99_ratio: f64,
    drained_ms: f64,
    node_cpu_seconds: Vec<f64>,
    loader_cpu_seconds: f64,
    node_resident_bytes_before: Vec<u64>,
    node_resident_bytes_after: Vec<u64>,
    check: Checked,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    if args.one_node && args.devnet < 2 {
        bail!("--one-node: --devnet 2 or more, so that there are others");
    }
    let opaque_block_bytes_max = args.block_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let options = Options { nodes: Some(args.devnet), opaque_block_bytes_max, ..Options::default() };
    let report = with_devnet_of(options, async |cluster| measure(&args, cluster).await);
    let Some(report) = report.await? else { return Ok(Outcome::Failed) };
    output.object(&report);
    print(&report, output);
    Ok(if report.check.fine() { Outcome::Done } else { Outcome::Failed })
}

async fn measure(args: &Args, cluster: &Cluster) -> eyre::Result<Report> {
    let all = 0..usize::from(args.devnet);
    let plan = |rate: u32, connections: u16, warmup: Duration, measured: Duration| Plan {
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
        batch: usize::try_from(args.batch).unwrap_or(usize::MAX),
        connections,
        warmup,
        ..Plan::steady(rate, measured)
    };
    note(format!("finding what it sustains, for {:?}", SETTLE + args.calm));
    let fastest = Plan { outstanding: 20_000, ..plan(0, CALM_CONNECTIONS, SETTLE, args.calm) };
    let (most, _) = phase(cluster, vec![Part { plan: fastest, nodes: all.clone() }]).await?;
    let sustained = per_second(&most, finalized(&most));
    let half =
        u64::try_from(finalized(&most) / 2).unwrap_or(u64::MAX) * 1_000_000 / u64::from(most.to - most.from);
    let half = u32::try_from(half).wrap_err("half of what is sustained")?.max(1);
    note(format!("{} tx/s sustained; half of it, for {:?}", whole(sustained), args.calm));
    let calm = plan(half, CALM_CONNECTIONS, Duration::from_secs(2), args.calm);
    let (calm, _) = phase(cluster, vec![Part { plan: calm, nodes: all.clone() }]).await?;

    note(format!("{} times of what is sustained, for {:?}", args.times, args.seconds));
    let rate = half.saturating_mul(2).saturating_mul(args.times);
    let pause_max = args.pause_max.unwrap_or(Duration::MAX);
    let flood = Plan { pause_max, ..plan(rate, args.connections, Duration::ZERO, args.seconds) };
    let parts = if args.one_node {
        let others = 1..usize::from(args.devnet);
        let part = u64::from(half) * u64::from(args.devnet - 1) / u64::from(args.devnet);
        let part = u32::try_from(part).wrap_err("what the others are offered")?.max(1);
        let aside = plan(part, CALM_CONNECTIONS, Duration::ZERO, args.seconds);
        vec![Part { plan: flood, nodes: 0..1 }, Part { plan: aside, nodes: others }]
    } else {
        vec![Part { plan: flood, nodes: all.clone() }]
    };
    let (run, check) = phase(cluster, parts).await?;
    let resident = |nodes: &[crate::process::Usage]| nodes.iter().map(|usage| usage.resident_bytes).collect();
    let half_load = figures(&calm, "half load".to_owned(), all.clone());
    let overload = figures(&run, "overload".to_owned(), all.clone());
    Ok(Report {
        nodes: args.devnet,
        size: args.size,
        batch: args.batch,
        seconds: args.seconds.as_secs_f64(),
        sustained_per_second: sustained,
        p99_ratio: overload.finalized.p99_ms / half_load.finalized.p99_ms,
        half_load,
        overload,
        by_node: all.map(|node| figures(&run, format!("  node {node}"), node..node + 1)).collect(),
        drained_ms: run.drained.as_secs_f64() * 1e3,
        node_cpu_seconds: cpu_seconds(&run.at_start, &run.at_end),
        loader_cpu_seconds: run.at_end.loader.cpu_seconds - run.at_start.loader.cpu_seconds,
        node_resident_bytes_before: resident(&run.before.nodes),
        node_resident_bytes_after: resident(&run.at_end.nodes),
        check,
    })
}

async fn phase(cluster: &Cluster, parts: Vec<Part>) -> eyre::Result<(Run, Checked)> {
    // Anew, so that only the blocks of this phase are checked.
    let target = Target::of(cluster).await?;
    let run = load::run(&target, &parts).await?;
    let checked = check::run(&target, &run).await.wrap_err("cannot check what was finalized")?;
    if !checked.fine() {
        note(format!("{checked:?}"));
    }
    Ok((run, checked))
}

fn finalized(run: &Run) -> usize {
    let window = run.from..run.to;
    run.meter.borrow().own().filter(|(_, times)| window.contains(&times.finalized)).count()
}

/// In the measured window.
fn per_second(run: &Run, count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX)) * 1e6 / f64::from(run.to - run.from)
}

fn figures(run: &Run, of: String, nodes: Range<usize>) -> Figures {
    let meter = run.meter.borrow();
    let window = run.from..run.to;
    let here = |times: &&Times| nodes.contains(&usize::from(times.node)) && window.contains(&times.sent);
    let latency = |stamp: fn(&Times) -> u32| {
        let own = meter.own().map(|(_, times)| times).filter(here);
        let measured = own.filter(|times| stamp(times) >= times.sent && !times.unmeasured);
        Quantiles::of(measured.map(|times| stamp(times) - times.sent).collect())
    };
    let asked = meter.asked.iter().enumerate().filter(|(node, _)| nodes.contains(node));
    let [offered, accepted, refused, invited] = asked.fold([0; 4], |sum, (_, asked)| {
        let parts = [asked.offered, asked.accepted, asked.refused, asked.invited];
        std::array::from_fn(|index| sum[index] + parts[index])
    });
    // Counted from the first request on, the warm-up included.
    let seconds = f64::from(run.to) / 1e6;
    Figures {
        of,
        offered_per_second: float(offered) / seconds,
        accepted_per_second: float(accepted) / seconds,
        shed_per_second: float(refused) / seconds,
        with_retry_after_percent: if refused == 0 { 100.0 } else { 100.0 * float(invited) / float(refused) },
        receipt: latency(|times| times.receipt),
        finalized: latency(|times| times.finalized),
    }
}

fn print(report: &Report, output: Output) {
    let Report { nodes, size, batch, seconds, .. } = report;
    output.line(format!("{nodes} nodes, {size} bytes, {batch} per request, overloaded for {seconds:.0} s"));
    output.line(row("sustained", format!("{} tx/s", whole(report.sustained_per_second))));
    output.line(row("", "  offered/s accepted/s     shed/s   receipt p50 / p99 ms   finalized p50 / p99 ms"));
    for each in [&report.half_load, &report.overload].into_iter().chain(&report.by_node) {
        output.line(row(
            &each.of,
            format!(
                "{:>11} {:>10} {:>10}   {:>9.1} / {:>8.1}   {:>11.1} / {:>8.1}",
                whole(each.offered_per_second),
                whole(each.accepted_per_second),
                whole(each.shed_per_second),
                each.receipt.p50_ms,
                each.receipt.p99_ms,
                each.finalized.p50_ms,
                each.finalized.p99_ms
            ),
        ));
    }
    let times = report.overload.offered_per_second / report.sustained_per_second;
    let invited = report.overload.with_retry_after_percent;
    output.line(row("offered", format!("{times:.1} times what is sustained")));
    output.line(row("shed", format!("{invited:.1} % with a time to come back")));
    output.line(row("finalized p99", format!("{:.2} times that of half the load", report.p99_ratio)));
    output.line(row("drained", format!("{:.0} ms after the load", report.drained_ms)));
    let percent = |cpu: f64| format!("{:.0} %", 100.0 * cpu / seconds);
    let cpu: Vec<_> = report.node_cpu_seconds.iter().map(|cpu| percent(*cpu)).collect();
    let loader = percent(report.loader_cpu_seconds);
    output.line(row("CPU", format!("{} of a core for nodes, {loader} for the loader", cpu.join(", "))));
    let mib = |bytes: &[u64]| {
        let each: Vec<_> = bytes.iter().map(|bytes| (bytes / (1024 * 1024)).to_string()).collect();
        each.join(", ")
    };
    let (before, after) = (mib(&report.node_resident_bytes_before), mib(&report.node_resident_bytes_after));
    output.line(row("memory of nodes", format!("{before} MiB before, {after} MiB at the end")));
    let Checked { missing, duplicates, disagreements, .. } = report.check;
    let accepted = report.by_node.iter().map(|node| node.finalized.count).sum::<usize>();
    let accepted = grouped(u64::try_from(accepted).unwrap_or(u64::MAX));
    output.line(row(
        "check",
        if report.check.fine() {
            format!("{accepted} accepted, each exactly once on every node")
        } else {
            format!("of {accepted}: {missing} MISSING, {duplicates} TWICE, {disagreements} blocks DIFFER")
        },
    ));
}

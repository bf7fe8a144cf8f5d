use super::{
    Target, load,
    meter::{Meter, Quantiles},
    report::{quantiles, row},
    watch, with_devnet,
};
use crate::{
    cluster::{Cluster, layout::NODES_MAX},
    output::{Outcome, Output, note},
    rpc::Api,
};
use baton_types::receipt::Rung;
use eyre::{WrapErr as _, bail, eyre};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Kill a node under load, and measure how long the others take to go on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// How many times; each time another node.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: u16,
    /// Transactions per second meanwhile.
    #[arg(long, value_name = "TPS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long to watch with the node down.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = crate::data::duration)]
    down: Duration,
}

const EXAMPLES: &str = "\
Examples:
  baton bench kill
  baton bench kill --repeat 10 --rate 10000 --json";

/// How long a restarted node may take to catch up.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(60);

/// One kill.
#[derive(Debug, Serialize)]
struct Kill {
    node: u16,
    /// From the kill to the next finalized block, on the node that saw it last.
    next_block_ms: f64,
    /// Longest time without a finalized block while the node was down.
    longest_gap_ms: f64,
    /// Finalized blocks per second while the node was down.
    blocks_per_second: f64,
    /// From the restart until the node had caught up.
    rejoin_ms: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    rate: u32,
    next_block: Quantiles,
    longest_gap: Quantiles,
    rejoin: Quantiles,
    kills: Vec<Kill>,
}

/// When a node reported finalized blocks, in order.
type Seen = Rc<RefCell<Vec<Instant>>>;

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    with_devnet(args.devnet, async |cluster| {
        let report = measure(&args, cluster).await?;
        output.object(&report);
        print(&report, output);
        Ok(Outcome::Done)
    })
    .await
}

async fn measure(args: &Args, cluster: &mut Cluster) -> eyre::Result<Report> {
    let target = Target::of(cluster).await?;
    let once = args.down + Duration::from_secs(5) + REJOIN_TIMEOUT;
    let plan = load::Plan {
        rollup: "demo".to_owned(),
        size: 200,
        batch: 50,
        rate: args.rate,
        outstanding: u64::MAX,
        warmup: Duration::ZERO,
        measured: once * args.repeat.into(),
        connections: 4,
        seed: rand::random(),
    };
    let meter = Rc::new(RefCell::new(Meter::new()));
    let load = load::Load::new(plan, meter, Rc::new(Notify::new()));
    let mut workers = load.start(&target.urls)?;
    let mut kills = Vec::new();
    for round in 0..args.repeat {
        // Long enough for the load to be steady and for the leaders to have gone round.
        sleep(Duration::from_secs(3)).await;
        let kill = kill_one(cluster, round % args.devnet, args.down).await?;
        note(format!(
            "node {}: next block after {:.0} ms, longest gap {:.0} ms, back after {:.0} ms",
            kill.node, kill.next_block_ms, kill.longest_gap_ms, kill.rejoin_ms
        ));
        kills.push(kill);
    }
    workers.abort_all();
    let all = |part: fn(&Kill) -> f64| {
        let micros = kills.iter().map(|kill| Duration::from_secs_f64(part(kill) / 1e3).as_micros());
        Quantiles::of(micros.map(|micros| u32::try_from(micros).unwrap_or(u32::MAX)).collect())
    };
    Ok(Report {
        nodes: args.devnet,
        rate: args.rate,
        next_block: all(|kill| kill.next_block_ms),
        longest_gap: all(|kill| kill.longest_gap_ms),
        rejoin: all(|kill| kill.rejoin_ms),
        kills,
    })
}

async fn kill_one(cluster: &mut Cluster, node: u16, down: Duration) -> eyre::Result<Kill> {
    let mut others = Vec::new();
    for index in (0..cluster.layout().nodes()).filter(|index| *index != node) {
        others.push(follow(&cluster.layout().rpc_url(index)).await?);
    }
    sleep(Duration::from_millis(200)).await;
    let killed = Instant::now();
    cluster.kill(node).await?;
    sleep(down).await;
    let seen: Vec<Vec<Instant>> = others.iter().map(|(seen, _)| seen.borrow().clone()).collect();
    for (_, watcher) in &others {
        if watcher.is_finished() {
            bail!("a node that was not killed closed its subscription");
        }
        watcher.abort();
    }
    let end = Instant::now();
    let after: Vec<Vec<Duration>> = seen
        .iter()
        .map(|seen| seen.iter().filter(|at| **at > killed).map(|at| *at - killed).collect())
        .collect();
    let next = after.iter().map(|after| after.first().copied().unwrap_or(down)).max().unwrap_or(down);
    let gap = after.iter().map(|after| longest_gap(after, end - killed)).max().unwrap_or(down);
    let blocks = u32::try_from(after.iter().map(Vec::len).max().unwrap_or(0)).unwrap_or(u32::MAX);
    let restarted = Instant::now();
    cluster.restart(node)?;
    rejoin(cluster, node).await?;
    Ok(Kill {
        node,
        next_block_ms: ms(next),
        longest_gap_ms: ms(gap),
        blocks_per_second: f64::from(blocks) / down.as_secs_f64(),
        rejoin_ms: ms(restarted.elapsed()),
    })
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// From the kill on, up to the end of the observation.
fn longest_gap(after: &[Duration], end: Duration) -> Duration {
    let mut previous = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for at in after.iter().chain([&end]) {
        longest = longest.max(at.saturating_sub(previous));
        previous = *at;
    }
    longest
}

#[derive(Deserialize)]
struct BlockNote {
    rung: Option<Rung>,
}

async fn follow(url: &str) -> eyre::Result<(Seen, tokio::task::JoinHandle<eyre::Result<()>>)> {
    let mut subscription = watch::open(&Api::new(url)?, false).await?;
    let seen = Seen::default();
    let noted = seen.clone();
    let watcher = tokio::task::spawn_local(async move {
        while let Some(event) = subscription.next().await? {
            if event.parse::<BlockNote>()?.rung == Some(Rung::Finalized) {
                noted.borrow_mut().push(Instant::now());
            }
        }
        Ok(())
    });
    Ok((seen, watcher))
}

/// Waits until a node is ready and as far as another was when it started.
async fn rejoin(cluster: &Cluster, node: u16) -> eyre::Result<()> {
    let other = if node == 0 { 1 } else { 0 };
    let goal =
        cluster.status(other).await.wrap_err("cannot ask a node that was not killed")?.finalized_height;
    let deadline = Instant::now() + REJOIN_TIMEOUT;
    loop {
        let reason = match cluster.is_ready(node).await {
            Err(reason) => reason,
            Ok(()) => match cluster.status(node).await {
                Ok(status) if status.finalized_height >= goal => return Ok(()),
                Ok(status) => format!("at height {} of {goal}", status.finalized_height),
                Err(error) => error.to_string(),
            },
        };
        if Instant::now() > deadline {
            return Err(eyre!("node {node} did not come back within {REJOIN_TIMEOUT:?}: {reason}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn print(report: &Report, output: Output) {
    output.line(format!("{} nodes, {} tx/s, {} kills", report.nodes, report.rate, report.kills.len()));
    output.line(quantiles("kill → next block", &report.next_block));
    output.line(quantiles("longest gap", &report.longest_gap));
    output.line(quantiles("restart → caught up", &report.rejoin));
    for kill in &report.kills {
        let Kill { node, next_block_ms, longest_gap_ms, blocks_per_second, rejoin_ms } = kill;
        output.line(row(
            &format!("  node {node}"),
            format!(
                "next {next_block_ms:.0} ms, gap {longest_gap_ms:.0} ms, {blocks_per_second:.1} blocks/s, \
                 back {rejoin_ms:.0} ms"
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_count_from_the_kill_to_the_end() {
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

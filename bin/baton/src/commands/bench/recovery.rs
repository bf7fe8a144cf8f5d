use super::{
    faults::back,
    load::{Load, Plan},
    meter::{Meter, RUN_MAX},
    report::row,
    with_devnet_of,
};
use crate::{
    cluster::{
        Cluster,
        layout::{NODES_MAX, Options},
    },
    output::{Outcome, Output, grouped, note},
    process::float,
    rpc::Api,
};
use baton_types::api::{BlockParams, BlockRef, BlockView};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::{cell::RefCell, ops::Range, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};

/// Measure how soon a node is back: killed, after many missed blocks, with an empty disk.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// Transactions on the chain before the first kill.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    transactions: u64,
    /// Blocks that the node misses.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    blocks: u64,
    /// Transactions per second while it misses and fetches them.
    #[arg(long, value_name = "TPS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
}

const EXAMPLES: &str = "\
Times are from the start of the process until it is ready and has what the others had then. A wiped
node has no share of the key left: it is back when it has the blocks. The last time it keeps a
window only, so that it joins near the tip.

Examples:
  baton bench recovery
  baton bench recovery --transactions 100000 --blocks 500 --json";

/// The node that things happen to.
const NODE: u16 = 3;
/// Short, so that a window of blocks, which has to be two epochs and more, is exceeded soon.
const EPOCH_BLOCKS: u64 = 200;
/// More than is ever taken; what is too much is shed.
const FLOOD: u32 = 200_000;
const POLL: Duration = Duration::from_millis(200);
/// Blocks asked for at once, to know their sizes.
const CONCURRENCY: usize = 8;

#[derive(Debug, Serialize)]
struct Recovered {
    what: &'static str,
    /// Of the others when the node started.
    height: u64,
    /// Fetched from them, and their encoded size.
    blocks: u64,
    bytes: u64,
    ms: f64,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let options =
        Options { nodes: Some(args.devnet), epoch_blocks: Some(EPOCH_BLOCKS), ..Options::default() };
    output.line(row("", "    height     blocks         MB        time   blocks/s      MB/s"));
    let outcome = with_devnet_of(options, async |cluster| measure(&args, cluster, output).await);
    Ok(outcome.await?.map_or(Outcome::Failed, |()| Outcome::Done))
}

async fn measure(args: &Args, cluster: &mut Cluster, output: Output) -> eyre::Result<()> {
    note(format!("until {} transactions are final", grouped(args.transactions)));
    let flood = Plan { batch: 100, ..Plan::steady(FLOOD, RUN_MAX) };
    let mut workers = start(cluster, flood, 0..usize::from(args.devnet)).await?;
    fill(cluster, args.transactions).await?;
    workers.shutdown().await;
    let had = down(cluster, false).await?;
    up(cluster, "kill -9", had, &[], output).await?;

    let others = 0..usize::from(NODE);
    let mut workers = start(cluster, Plan::steady(args.rate, RUN_MAX), others).await?;
    let had = down(cluster, false).await?;
    let goal = had + args.blocks;
    note(format!("away until height {goal}"));
    while cluster.status(0).await?.finalized_height < goal {
        sleep(POLL).await;
    }
    up(cluster, "away", had, &[], output).await?;

    let had = down(cluster, true).await?;
    up(cluster, "empty disk", had, &[], output).await?;

    let had = down(cluster, true).await?;
    let genesis = cluster.layout().genesis();
    let window = 2 * (genesis.validity_blocks_max + genesis.epoch_blocks);
    let height = cluster.status(0).await?.finalized_height;
    if height <= window {
        note(format!("at height {height} a window of {window} holds the whole chain; --blocks makes more"));
    }
    let history = format!("storage.history={window}");
    up(cluster, "empty disk, window", had, &["--set", &history], output).await?;
    workers.shutdown().await;
    Ok(())
}

async fn start(cluster: &Cluster, plan: Plan, nodes: Range<usize>) -> eyre::Result<JoinSet<()>> {
    let urls: Vec<_> = (0..cluster.layout().nodes()).map(|index| cluster.layout().rpc_url(index)).collect();
    Load::new(plan, Rc::new(RefCell::new(Meter::new())), Rc::new(Notify::new())).start(&urls, nodes)
}

/// Waits until so many transactions are final.
async fn fill(cluster: &Cluster, transactions: u64) -> eyre::Result<()> {
    let api = Api::new(&cluster.layout().rpc_url(0))?;
    let (mut height, mut sum) = (0, 0);
    while sum < transactions {
        let tip = cluster.status(0).await?.finalized_height;
        for height in height + 1..=tip {
            sum += block(&api, height).await?.transactions;
        }
        height = tip;
        sleep(POLL).await;
    }
    Ok(())
}

async fn block(api: &Api, height: u64) -> eyre::Result<BlockView> {
    let params = BlockParams { block: BlockRef::Height(height), payloads: false };
    Ok(api.call("baton_block", Some(params)).await?)
}

/// Kills the node, and takes its disk away if it is to be wiped. The height that it still has.
async fn down(cluster: &mut Cluster, wiped: bool) -> eyre::Result<u64> {
    let height = cluster.status(NODE).await?.finalized_height;
    cluster.kill(NODE).await?;
    if wiped {
        cluster.wipe(NODE)?;
    }
    Ok(if wiped { 0 } else { height })
}

/// Starts the node, which has the blocks up to `had`, and measures until it is back.
async fn up(
    cluster: &mut Cluster,
    what: &'static str,
    had: u64,
    flags: &[&str],
    output: Output,
) -> eyre::Result<()> {
    let began = Instant::now();
    cluster.restart(NODE, flags)?;
    let height = back(cluster, NODE, had > 0).await?;
    let seconds = began.elapsed().as_secs_f64();
    // One that keeps a window has no more than that.
    let lowest = cluster.status(NODE).await?.lowest_height;
    let first = (had + 1).max(lowest);
    let api = Api::new(&cluster.layout().rpc_url(0))?;
    let sizes: Vec<u64> = stream::iter(first..=height)
        .map(|height| {
            let api = &api;
            async move { block(api, height).await.map(|block| block.bytes) }
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let (blocks, bytes) = (height.saturating_sub(first - 1), sizes.iter().sum());
    let recovered = Recovered { what, height, blocks, bytes, ms: seconds * 1e3 };
    output.object(&recovered);
    let megabytes = float(bytes) / 1e6;
    output.line(row(
        what,
        format!(
            "{:>10} {:>10} {megabytes:>10.1} {:>8.0} ms {:>10.0} {:>9.1}",
            grouped(height),
            grouped(blocks),
            recovered.ms,
            float(blocks) / seconds,
            megabytes / seconds
        ),
    ));
    Ok(())
}

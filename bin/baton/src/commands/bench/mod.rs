//! Measures a cluster by loading it, and checks afterwards that nothing accepted was lost or repeated.
//!
//! ```text
//!  workers (connections × nodes) ── baton_submitBatch ──► nodes
//!     │ id, sent, receipt                                   │ blocks, with ids
//!     ▼                                                     ▼
//!   Meter: id ─► times  ◄─────────────────────────────── watcher (WebSocket to one node)
//!     │ after the drain
//!     ▼
//!   check: every accepted id in exactly one finalized block, on every node
//! ```
//! Times are this program's own: from just before a request is sent to when the event of the block
//! with the id has arrived here. The loader shares the machine with the nodes, so it runs on one
//! thread and does as little as it can per transaction; its own CPU time is part of the report.

mod check;
mod dead;
mod derive;
mod elections;
mod evm;
mod faults;
mod idle;
mod load;
mod meter;
mod on_l1;
mod overload;
mod payload;
mod recovery;
mod report;
mod settlement;
mod watch;

use crate::{
    cluster::{
        self, Cluster,
        layout::{Layout, NODES_MAX, Options},
    },
    data,
    output::{Outcome, Output, note},
    rpc::{Api, NONE},
};
use baton_types::{
    api::StatusView,
    genesis::{Data, Election, Rollup},
};
use clap::Subcommand;
use eyre::{WrapErr as _, bail, eyre};
use report::Report;
use std::{path::PathBuf, time::Duration};

/// Load a cluster and report what it does; check that nothing was lost.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    Overload(overload::Args),
    Faults(faults::Args),
    Recovery(recovery::Args),
    Dead(dead::Args),
    Derive(derive::Args),
    Elections(elections::Args),
    Evm(evm::Args),
    Idle(idle::Args),
    Settlement(settlement::Args),
}

#[derive(Debug, clap::Args)]
struct TargetArgs {
    /// APIs of all nodes; by default the four of a devnet.
    #[arg(
        long,
        value_name = "URL,…",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8545,http://127.0.0.1:8546,http://127.0.0.1:8547,http://127.0.0.1:8548",
        conflicts_with = "devnet",
        hide_default_value = true
    )]
    urls: Vec<String>,
    /// Processes of the nodes, for CPU and memory.
    #[arg(long, value_name = "PID,…", value_delimiter = ',', conflicts_with = "devnet")]
    pids: Vec<u32>,
    /// Start a devnet of N nodes on free ports for this run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    devnet: Option<u16>,
    /// How that devnet draws its proposers [default: as `baton devnet`].
    #[arg(long, requires = "devnet")]
    election: Option<Election>,
}

#[derive(Clone, Debug, clap::Args)]
struct LoadArgs {
    /// Rollup that gets the transactions.
    #[arg(long, default_value = "demo")]
    rollup: String,
    /// Bytes of one payload.
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    size: u32,
    /// Transactions in one request.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Transactions per second, whatever the answers (open loop); 0: as fast as they are finalized.
    #[arg(long, value_name = "TPS", default_value_t = 0)]
    rate: u32,
    /// With --rate 0: most transactions accepted and not yet final.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: u32,
    /// How long to measure.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = data::duration)]
    seconds: Duration,
    /// How long to load before that.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = data::duration)]
    warmup: Duration,
    /// Connections to each node; one request at a time on each.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Makes payloads repeatable; runs with one seed repeat ids, so use it once per chain.
    #[arg(long)]
    seed: Option<u64>,
}

const EXAMPLES: &str = "\
Exit code 1 when an accepted transaction is missing or stands twice.

Examples:
  baton bench --seconds 10s
  baton bench --devnet 4 --size 200 --batch 100 --json
  baton bench --rate 5000 --batch 1 --connections 32
  baton bench overload
  baton bench faults
  baton bench recovery
  baton bench dead --devnet 7 --dead 2
  baton bench derive
  baton bench elections --repeat 3
  baton bench evm
  baton bench idle
  baton bench settlement";

/// The nodes under load, and what is known of them on this machine.
struct Target {
    urls: Vec<String>,
    pids: Vec<u32>,
    data_dirs: Vec<PathBuf>,
    members: u32,
    start_height: u64,
}

impl Target {
    fn apis(&self) -> eyre::Result<Vec<Api>> {
        self.urls.iter().map(|url| Api::new(url)).collect()
    }

    /// Asks every node who it is, so that a wrong or repeated address shows before the load does.
    async fn find(urls: Vec<String>, pids: Vec<u32>, data_dirs: Vec<PathBuf>) -> eyre::Result<Self> {
        if urls.len() > usize::from(NODES_MAX) {
            bail!("--urls: at most {NODES_MAX}");
        }
        let mut seen: Vec<StatusView> = Vec::new();
        for url in &urls {
            let status: StatusView = Api::new(url)?.call("baton_status", NONE).await?;
            if let Some(first) = seen.first().filter(|first| first.chain != status.chain) {
                bail!("{url} is of chain {}, {} of {}", status.chain, urls[0], first.chain);
            }
            if seen.iter().any(|other| other.identity == status.identity) {
                bail!("{url} is a node that stands in --urls before");
            }
            seen.push(status);
        }
        let first = seen.first().ok_or_else(|| eyre!("--urls: at least one"))?;
        let start_height = seen.iter().map(|status| status.finalized_height).min().unwrap_or(0);
        Ok(Self { members: first.members, urls, pids, data_dirs, start_height })
    }

    async fn of(cluster: &Cluster) -> eyre::Result<Self> {
        let layout = cluster.layout();
        let all = || 0..layout.nodes();
        let pids = all()
            .map(|index| cluster.pid(index).ok_or_else(|| eyre!("node {index} has ended")))
            .collect::<Result<_, _>>()?;
        let urls = all().map(|index| layout.rpc_url(index)).collect();
        Self::find(urls, pids, all().map(|index| layout.data(index)).collect()).await
    }
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let work = async {
        match args.scenario {
            Some(Scenario::Overload(args)) => overload::run(args, output).await,
            Some(Scenario::Faults(args)) => faults::run(args, output).await,
            Some(Scenario::Recovery(args)) => recovery::run(args, output).await,
            Some(Scenario::Dead(args)) => dead::run(args, output).await,
            Some(Scenario::Derive(args)) => derive::run(args, output).await,
            Some(Scenario::Elections(args)) => elections::run(args, output).await,
            Some(Scenario::Evm(args)) => evm::run(args, output).await,
            Some(Scenario::Idle(args)) => idle::run(args, output).await,
            Some(Scenario::Settlement(args)) => settlement::run(args, output).await,
            None => bench(args.target, args.load, output).await,
        }
    };
    // Everything runs on one thread, so that the state needs no locks.
    tokio::task::LocalSet::new().run_until(work).await
}

async fn bench(args: TargetArgs, load: LoadArgs, output: Output) -> eyre::Result<Outcome> {
    let Some(nodes) = args.devnet else {
        let target = Target::find(args.urls, args.pids, Vec::new()).await?;
        return measure(&target, &load, output).await;
    };
    let outcome = with_devnet(nodes, args.election, async |cluster| {
        let target = Target::of(cluster).await?;
        measure(&target, &load, output).await
    });
    Ok(outcome.await?.unwrap_or(Outcome::Failed))
}

async fn with_devnet<T>(
    nodes: u16,
    election: Option<Election>,
    work: impl AsyncFnOnce(&mut Cluster) -> eyre::Result<T>,
) -> eyre::Result<Option<T>> {
    with_devnet_of(Options { nodes: Some(nodes), election, ..Options::default() }, work).await
}

/// Runs `work` on a devnet of its own, and stops that in any case. None when the user ended it.
async fn with_devnet_of<T>(
    options: Options,
    work: impl AsyncFnOnce(&mut Cluster) -> eyre::Result<T>,
) -> eyre::Result<Option<T>> {
    with_devnet_on(options, async |_| Ok(()), async |cluster, ()| work(cluster).await).await
}

/// Likewise; `ground` starts what the devnet stands on.
async fn with_devnet_on<G, T>(
    options: Options,
    ground: impl AsyncFnOnce(&Layout) -> eyre::Result<G>,
    work: impl AsyncFnOnce(&mut Cluster, G) -> eyre::Result<T>,
) -> eyre::Result<Option<T>> {
    let shutdown = cluster::shutdown();
    tokio::pin!(shutdown);
    let (mut cluster, ground) = tokio::select! {
        result = &mut shutdown => return result.map(|()| None),
        started = cluster::temporary(options, ground) => started?,
    };
    let outcome = tokio::select! {
        result = &mut shutdown => result.map(|()| None),
        outcome = work(&mut cluster, ground) => outcome.map(Some),
    };
    if outcome.is_err() {
        (0..cluster.layout().nodes()).for_each(|index| note(cluster.log_tail(index)));
    }
    cluster.stop().await;
    outcome
}

async fn measure(target: &Target, args: &LoadArgs, output: Output) -> eyre::Result<Outcome> {
    let report = report(target, args).await?;
    output.object(&report);
    report.lines().into_iter().for_each(|line| output.line(line));
    Ok(if report.fine() { Outcome::Done } else { Outcome::Failed })
}

/// Loads a cluster, and checks what became of it.
async fn report(target: &Target, args: &LoadArgs) -> eyre::Result<Report> {
    let rollup = find_rollup(target, args).await?;
    let plan = load::Plan::new(args, &rollup);
    note(format!(
        "loading {} nodes for {:?}, after {:?} to warm up",
        target.urls.len(),
        args.seconds,
        args.warmup
    ));
    let run = load::run(target, &[load::Part { plan, nodes: 0..target.urls.len() }]).await?;
    note(format!("checking {} transactions on {} nodes", run.meter.borrow().accepted(), target.urls.len()));
    let checked = check::run(target, &run).await.wrap_err("cannot check what was finalized")?;
    Ok(Report::new(target, args, &run, &checked))
}

/// The rollup's limits decide whether the load makes sense at all.
async fn find_rollup(target: &Target, args: &LoadArgs) -> eyre::Result<Rollup> {
    let url = target.urls.first().ok_or_else(|| eyre!("no node to ask"))?;
    let rollups: Vec<Rollup> = Api::new(url)?.call("baton_rollups", NONE).await?;
    let names: Vec<_> = rollups.iter().map(|rollup| rollup.name.clone()).collect();
    let rollup = rollups
        .into_iter()
        .find(|rollup| rollup.name == args.rollup || rollup.id.to_string() == args.rollup)
        .ok_or_else(|| eyre!("--rollup {}: this cluster has {}", args.rollup, names.join(", ")))?;
    let size = usize::try_from(args.size).wrap_err("--size")?;
    if size > rollup.transaction_bytes_max {
        bail!("--size {size}: {} takes {} bytes at most", rollup.name, rollup.transaction_bytes_max);
    }
    if rollup.data == Data::Hash && size != 32 {
        bail!("--size {size}: {} takes hashes; use --size 32", rollup.name);
    }
    Ok(rollup)
}

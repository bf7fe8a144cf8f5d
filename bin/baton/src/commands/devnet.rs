use crate::{
    cluster::{
        self, Cluster, l1,
        layout::{BASE_PORT, Layout, NODES_MAX, Options},
    },
    output::{Outcome, Output, note},
};
use baton_l1::anvil;
use baton_types::{
    api::DevnetView,
    faults_tolerated,
    genesis::{Data, Election},
    settlement::DataKind,
};
use eyre::{WrapErr as _, bail, eyre};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

/// Run a whole cluster on this machine, one process per node.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How many nodes, 1 to 16 [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u16>,
    /// Node i: RPC on B+i, ops on B+1000+i, p2p on B+22000+i [default: 8545].
    #[arg(long, value_name = "B")]
    base_port: Option<u16>,
    /// Keep the state here and go on from it at the next start. Without it, nothing is kept.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Make the same keys every time.
    #[arg(long)]
    seed: Option<u64>,
    /// One more rollup, besides demo and evm; `:hash` orders 32-byte hashes only. Repeatable.
    #[arg(long = "rollup", value_name = "NAME[:hash]", value_parser = rollup)]
    rollups: Vec<(String, Data)>,
    /// Blocks per epoch [default: 2000, or the most that the election allows fewer than four nodes].
    #[arg(long, value_name = "N")]
    epoch_blocks: Option<u64>,
    /// At most one block per this many milliseconds [default: 40]: less is faster, and costs more
    /// processor time.
    #[arg(long, value_name = "MS")]
    block_interval: Option<u64>,
    /// How proposers are drawn: zk-lottery, threshold-lottery, stake-weighted or round-robin [default:
    /// zk-lottery].
    #[arg(long)]
    election: Option<Election>,
    /// Run a local L1 (anvil, on B+2000) with the contracts, and settle on it.
    #[arg(long)]
    l1: bool,
    /// The program anvil; otherwise the one on PATH, or the one that npm installed in contracts/.
    #[arg(long, value_name = "FILE", requires = "l1")]
    anvil: Option<PathBuf>,
    /// Where the data of batches go: blobs, calldata or directory [default: blobs].
    #[arg(long, value_name = "KIND", requires = "l1", value_parser = data_kind)]
    l1_data: Option<DataKind>,
}

const EXAMPLES: &str = "\
With --json the first line on standard output describes the cluster once it finalizes.
Ctrl-C stops all nodes. Logs are in DIR/node-0/log and so on.

Examples:
  baton devnet
  baton devnet --nodes 7 --dir ./devnet
  baton devnet --rollup game --rollup blobs:hash --base-port 9545
  baton devnet --json";

fn rollup(text: &str) -> Result<(String, Data), String> {
    match text.split_once(':') {
        None => Ok((text.to_owned(), Data::Bytes)),
        Some((name, "hash")) => Ok((name.to_owned(), Data::Hash)),
        Some((_, data)) => Err(format!("unknown kind of data {data:?}; NAME or NAME:hash")),
    }
}

pub fn data_kind(text: &str) -> Result<DataKind, String> {
    match text {
        "blobs" => Ok(DataKind::Blobs),
        "calldata" => Ok(DataKind::Calldata),
        "directory" => Ok(DataKind::Directory),
        other => Err(format!("unknown kind of data {other:?}; blobs, calldata or directory")),
    }
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let started = Instant::now();
    let shutdown = cluster::shutdown();
    tokio::pin!(shutdown);
    let (dir, temporary) = match args.dir {
        Some(dir) => (dir, None),
        None => {
            let temporary = tempfile::Builder::new().prefix("baton-devnet-").tempdir();
            let temporary = temporary.wrap_err("cannot make a temporary directory; name one with --dir")?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    // Found out before anything is made.
    let anvil = if args.l1 { Some(anvil::find(args.anvil.as_deref(), Path::new("."))?) } else { None };
    let kept = temporary.is_none();
    let seeded = args.seed.is_some();
    let options = Options {
        nodes: args.nodes,
        base_port: args.base_port,
        seed: args.seed,
        rollups: args.rollups,
        election: args.election,
        epoch_blocks: args.epoch_blocks,
        block_interval_min_ms: args.block_interval,
        l1: args.l1.then_some(l1::Wanted { data: args.l1_data.unwrap_or(DataKind::Blobs) }),
        opaque_block_bytes_max: None,
        batches: true,
        evm_alloc: BTreeMap::new(),
    };
    let layout = Layout::prepare(&dir, options)?;
    if layout.genesis().l1.is_some() && anvil.is_none() {
        bail!("the devnet in {} settles on a local L1; start it with --l1", dir.display());
    }
    if !output.json {
        note(format!("starting {} nodes in {}", layout.nodes(), layout.dir().display()));
    }
    let mut chain = match &anvil {
        Some(program) => Some(l1::start(&layout, program).await?),
        None => None,
    };
    let mut cluster = Cluster::start(layout, temporary)?;
    let l1_ended = async {
        match &mut chain {
            Some(chain) => chain.ended().await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = &mut shutdown => result,
        status = l1_ended => Err(eyre!("the local L1 ended ({status}); its log is in l1/anvil.log")),
        result = serve(&mut cluster, output, Facts { started, kept, seeded }) => result,
    };
    if !output.json {
        note("stopping");
    }
    cluster.stop().await;
    if let Some(chain) = chain {
        chain.stop().await;
    }
    result.map(|()| Outcome::Done)
}

/// What the banner cannot learn from the cluster.
#[derive(Clone, Copy)]
struct Facts {
    started: Instant,
    /// Whether the state outlives this program.
    kept: bool,
    seeded: bool,
}

/// Waits for the cluster, describes it, then reports nodes that end. Returns only when it cannot go on.
async fn serve(cluster: &mut Cluster, output: Output, facts: Facts) -> eyre::Result<()> {
    cluster.ready().await?;
    let view = cluster.view()?;
    output.object(&view);
    banner(cluster, &view, facts).into_iter().for_each(|line| output.line(line));
    loop {
        let (index, status) = cluster.next_exit().await;
        cluster::report_exit(cluster, index, status);
        if cluster.running() == 0 {
            eyre::bail!("no node is left");
        }
    }
}

fn banner(cluster: &Cluster, view: &DevnetView, facts: Facts) -> Vec<String> {
    let count = view.nodes.len();
    let faults = faults_tolerated(u32::try_from(count).unwrap_or(u32::MAX));
    let layout = cluster.layout();
    let mut lines = vec![
        String::new(),
        format!("Baton devnet: {count} nodes finalize after {:.1} s", facts.started.elapsed().as_secs_f64()),
        String::new(),
        "  node  pid      RPC and WebSocket        health and metrics".to_owned(),
    ];
    for node in &view.nodes {
        lines.push(format!("  {:<4}  {:<7}  {:23}  {}", node.index, node.pid, node.rpc, node.ops));
    }
    lines.push(String::new());
    lines.push(format!("  chain      {}", view.chain));
    lines.push(format!("  group key  {}", view.group_key));
    lines.extend(rollups(view));
    if let Some(l1) = &layout.genesis().l1 {
        let (url, data) = (layout.l1_url(), format!("{:?}", l1.data).to_lowercase());
        lines.push(format!(
            "  L1         {url}, chain id {}: batches go there, their data as {data}",
            l1.chain_id
        ));
    }
    if layout.genesis().batches.is_some() {
        let batches = layout.batches();
        lines.push(format!("  batches    {}: the rollups, as the group signed them", batches.display()));
    }
    let state = layout.dir().display();
    lines.push(if facts.kept {
        format!("  state      {state}: kept; start there again to go on")
    } else {
        format!("  state      {state}: removed at the end; --dir keeps it")
    });
    lines.push(match faults {
        0 => format!("  faults     none tolerated: {count} nodes are too few, 4 tolerate one"),
        faults => format!("  faults     {faults} of {count} nodes may fail, or lie"),
    });
    if !view.accounts.is_empty() {
        lines.push(String::new());
        lines.push(
            "  accounts with 10,000 ether each; their keys are public, so send nothing of value here:"
                .to_owned(),
        );
        for account in &view.accounts {
            lines.push(format!("    {}  {}", account.address, account.key));
        }
        lines.push(String::new());
    }
    lines.push(
        "  keys       dealt by this program, which knew the whole group key: for trials only".to_owned(),
    );
    if facts.seeded {
        lines.push("             and made from --seed, so anyone can make them again".to_owned());
    }
    let url = match layout.base_port() {
        BASE_PORT => String::new(),
        port => format!(" --url http://127.0.0.1:{port}"),
    };
    let urls: Vec<_> = view.nodes.iter().map(|node| node.rpc.as_str()).collect();
    let urls =
        if url.is_empty() && count == 4 { String::new() } else { format!(" --urls {}", urls.join(",")) };
    lines.extend([
        String::new(),
        "Next, in another terminal:".to_owned(),
        format!("  baton submit demo 'hello' --wait finalized{url}"),
        format!("  baton status{url}"),
        format!("  baton bench --seconds 10{urls}"),
        String::new(),
        "Ctrl-C stops all nodes.".to_owned(),
    ]);
    lines
}

fn rollups(view: &DevnetView) -> Vec<String> {
    let mut lines = Vec::new();
    for rollup in &view.rollups {
        let what = match (&rollup.evm, rollup.data) {
            (Some(evm), _) => format!("Ethereum transactions, chain id {}, executed", evm.chain_id),
            (None, Data::Hash) => "32-byte hashes, ordered but not executed".to_owned(),
            (None, Data::Bytes) => "any bytes, ordered but not executed".to_owned(),
        };
        lines.push(format!("  rollup     {} (id {}): {what}", rollup.name, rollup.id));
        if let (Some(_), Some(node)) = (&rollup.evm, view.nodes.first()) {
            lines.push(format!("             for wallets: {}/rollup/{}", node.rpc, rollup.name));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_node::accounts::devnet_rollup;
    use baton_types::{Rollup, api::DevnetNode};

    #[test]
    fn the_banner_says_where_wallets_go() {
        let url = |scheme: &str| format!("{scheme}://127.0.0.1:9545");
        let node = DevnetNode { index: 0, pid: 1, rpc: url("http"), ws: url("ws"), ops: url("http") };
        let rollups = vec![Rollup::opaque(1, "demo", Data::Bytes), devnet_rollup(2)];
        let (chain, group_key, accounts) = (String::new(), String::new(), Vec::new());
        let view = DevnetView { chain, group_key, nodes: vec![node], rollups, accounts };
        assert_eq!(
            super::rollups(&view),
            [
                "  rollup     demo (id 1): any bytes, ordered but not executed",
                "  rollup     evm (id 2): Ethereum transactions, chain id 2211, executed",
                "             for wallets: http://127.0.0.1:9545/rollup/evm",
            ]
        );
    }

    #[test]
    fn rollup_arguments() {
        assert_eq!(rollup("game"), Ok(("game".to_owned(), Data::Bytes)));
        assert_eq!(rollup("blobs:hash"), Ok(("blobs".to_owned(), Data::Hash)));
        assert!(rollup("blobs:zip").unwrap_err().contains("NAME:hash"));
    }
}

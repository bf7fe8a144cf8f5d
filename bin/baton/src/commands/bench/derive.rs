use super::{
    evm::{
        accounts::Account,
        alloc,
        load::{self as wallets, Load as Wallets},
        target::Target as Chain,
    },
    load::{Load, Plan},
    meter::Meter,
    on_l1::OnL1,
    report::{row, whole},
    settlement::{climb, follow},
};
use crate::{
    cluster::{
        Cluster,
        layout::{Layout, Options},
    },
    commands::derive,
    output::{Outcome, Output, grouped, note},
    process::float,
    rpc::Api,
};
use alloy_primitives::{Bytes, TxKind};
use baton_types::settlement::DataKind;
use eyre::{ensure, eyre};
use serde::Serialize;
use serde_json::{Value, json};
use std::{cell::RefCell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Measure how fast a rollup is rebuilt from L1 alone.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    on: OnL1,
    /// Transactions per second of each rollup meanwhile.
    #[arg(long, value_name = "TPS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each rollup is loaded.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = crate::data::duration)]
    seconds: Duration,
}

const EXAMPLES: &str = "\
First signed transfers of 1,000 accounts go to the rollup evm, then payloads of 200 bytes to the rollup
demo. When L1 calls all of it final, each is derived from its first block, as `baton derive` does it:
certificates checked, data fetched and checked, transactions executed. Exit code 1 when the last block
is not the one that the nodes have.

Examples:
  baton bench derive
  baton bench derive --l1-data calldata --seconds 60s --json";

const ACCOUNTS: u32 = 1_000;
/// Of a transaction to an account without data.
const GAS: u64 = 21_000;

#[derive(Debug, Serialize)]
struct Row {
    rollup: String,
    data: DataKind,
    batches: u64,
    transactions: u64,
    /// As L1 has them.
    bytes: u64,
    seconds: f64,
    transactions_per_second: f64,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let mut accounts = Account::derive(1, ACCOUNTS)?;
    let options = Options { evm_alloc: alloc(&accounts), ..Options::default() };
    let rows = args
        .on
        .devnet(options, async |cluster, chain| measure(&args, cluster, &chain.url, &mut accounts).await);
    let Some(rows) = rows.await? else { return Ok(Outcome::Failed) };
    output.line(format!("{} nodes, {:?}", args.on.devnet, args.on.l1_data));
    for each in &rows {
        output.object(each);
        let (transactions, batches) = (grouped(each.transactions), each.batches);
        output.line(row(
            &each.rollup,
            format!(
                "{transactions} transactions, {} bytes, {batches} batches in {:.2} s: {} per s",
                grouped(each.bytes),
                each.seconds,
                whole(each.transactions_per_second)
            ),
        ));
    }
    Ok(Outcome::Done)
}

async fn measure(
    args: &Args,
    cluster: &Cluster,
    l1: &str,
    accounts: &mut [Account],
) -> eyre::Result<Vec<Row>> {
    let layout = cluster.layout();
    let chain = Chain::of_cluster(cluster, accounts).await?;
    let load = Wallets { token: false, rate: args.rate, batch: 10, connections: 16, length: args.seconds };
    wallets::run(&chain, &load, accounts).await?;
    // Behind all others, so that L1 has them when it has this one.
    let api = Api::new(&chain.urls[0])?;
    let address = accounts[0].address;
    let (raw, hash) = accounts[0].sign(chain.chain_id, TxKind::Call(address), GAS, Bytes::new(), 0)?;
    let _: Value = api.call("eth_sendRawTransaction", Some(json!([raw]))).await?;
    let urls: Vec<_> = (0..layout.nodes()).map(|index| layout.rpc_url(index)).collect();
    note(format!("{} tx/s for {:?}", args.rate, args.seconds));
    let meter = Rc::new(RefCell::new(Meter::new()));
    let load = Load::new(Plan::steady(args.rate, args.seconds), meter, Rc::new(Notify::new()));
    let mut workers = load.start(&urls, 0..urls.len())?;
    sleep(args.seconds).await;
    workers.abort_all();
    note("waiting until L1 calls all of it final".to_owned());
    let api = Api::new(&urls[0])?;
    follow(api.clone(), true).await?;
    climb(&api, hash.to_string(), true).await?;
    Ok(vec![derived(args, layout, l1, "evm").await?, derived(args, layout, l1, "demo").await?])
}

async fn derived(args: &Args, layout: &Layout, l1: &str, rollup: &str) -> eyre::Result<Row> {
    let source = derive::Args {
        l1: vec![l1.to_owned()],
        rollup: rollup.to_owned(),
        genesis: layout.dir().join("genesis.json"),
        blobs: vec![format!("anvil:{l1}")],
        directory: (args.on.l1_data == DataKind::Directory).then(|| layout.dir().join("batches")),
        state: None,
        follow: false,
    };
    let started = Instant::now();
    let mut deriver = derive::open(layout.genesis(), &source).await?;
    let (mut batches, mut transactions, mut bytes) = (0, 0, 0);
    let mut more = true;
    while more {
        let each = |derived: &baton_l1::derive::Derived| {
            batches += 1;
            transactions += derived.contents.transactions() as u64;
            bytes += derived.bytes as u64;
        };
        more = deriver.advance(each).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if let Some(head) = deriver.head() {
        let api = Api::new(&format!("{}/rollup/{rollup}", layout.rpc_url(0)))?;
        let params = json!([format!("{:#x}", head.number), false]);
        let block: Value = api.call("eth_getBlockByNumber", Some(params)).await?;
        let theirs =
            block["hash"].as_str().ok_or_else(|| eyre!("the nodes have no block {}", head.number))?;
        let ours = head.hash.to_string();
        ensure!(theirs == ours, "block {} is {ours} here, and {theirs} on the nodes", head.number);
    }
    let transactions_per_second = float(transactions) / seconds;
    let (rollup, data) = (rollup.to_owned(), args.on.l1_data);
    Ok(Row { rollup, data, batches, transactions, bytes, seconds, transactions_per_second })
}

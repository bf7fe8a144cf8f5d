use super::{
    load::{Load, Plan},
    meter::{Meter, Quantiles},
    on_l1::OnL1,
    report::{quantiles, row, whole},
};
use crate::{
    cluster::{Cluster, l1, layout::Options},
    output::{Outcome, Output, note},
    process::{self, float},
    rpc::Api,
};
use baton_l1::Client;
use baton_types::{
    api::{
        Ack, BatchesParams, BatchesResult, RollupRef, SubmitParams, SubmitResult, TransactionParams,
        TransactionView,
    },
    hex::Hex,
    receipt::Rung,
    settlement::DataKind,
};
use eyre::{WrapErr as _, bail, eyre};
use serde::Serialize;
use std::{cell::RefCell, collections::HashSet, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};

/// Measure how soon what is final is on L1, what that costs there, and what a silent L1 leaves behind.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    on: OnL1,
    /// Transactions of 200 bytes per second meanwhile.
    #[arg(long, value_name = "TPS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long the load runs before it is measured.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = crate::data::duration)]
    warmup: Duration,
    /// How long to measure.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::data::duration)]
    seconds: Duration,
    /// How long L1 then stands still.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = crate::data::duration)]
    stall: Duration,
}

const EXAMPLES: &str = "\
The local L1 makes a block every two seconds and calls the eighth before the newest one final.

Examples:
  baton bench settlement
  baton bench settlement --devnet 16 --l1-data calldata
  baton bench settlement --rate 2000 --stall 2m --json";

const POLL: Duration = Duration::from_millis(100);
/// Between transactions that are followed to L1.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Of the load, too.
const ROLLUP: &str = "demo";
/// A rung that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    data: DataKind,
    rate: u32,
    finalized_to_posted: Quantiles,
    posted_to_settled: Quantiles,
    batches: u64,
    l1_transactions: u64,
    transactions: u64,
    gas_per_batch: f64,
    gas_per_transaction: f64,
    blob_gas_per_transaction: f64,
    stall_seconds: f64,
    /// From when L1 went on until everything that was final by then was on it.
    backlog_ms: f64,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let report = args.on.devnet(Options::default(), async |cluster, chain| {
        let pid = chain.pid().ok_or_else(|| eyre!("the local L1 has ended"))?;
        measure(&args, cluster, &chain.url, pid).await
    });
    let Some(report) = report.await? else { return Ok(Outcome::Failed) };
    output.object(&report);
    print(&report, output);
    Ok(Outcome::Done)
}

async fn measure(args: &Args, cluster: &Cluster, l1: &str, l1_pid: u32) -> eyre::Result<Report> {
    let layout = cluster.layout();
    let urls: Vec<_> = (0..layout.nodes()).map(|index| layout.rpc_url(index)).collect();
    let api = Api::new(&urls[0])?;
    note(format!("{} nodes, {} tx/s for {:?}", args.on.devnet, args.rate, args.seconds));
    let (whole, meter) = (args.warmup + args.seconds, Rc::new(RefCell::new(Meter::new())));
    let end = Instant::now() + whole;
    let mut workers = load(args.rate, whole, &meter, &urls)?;
    sleep(args.warmup).await;
    let mut samples = JoinSet::new();
    while Instant::now() < end {
        samples.spawn_local(follow(api.clone(), true));
        sleep(SAMPLE_EVERY).await;
    }
    workers.abort_all();
    let (mut to_posted, mut to_settled) = (Vec::new(), Vec::new());
    while let Some(climbed) = samples.join_next().await {
        let Climbed { finalized, posted, settled } = climbed.wrap_err("following a transaction")??;
        to_posted.push(micros(posted - finalized));
        to_settled.push(micros(settled - posted));
    }
    let transactions = meter.borrow().accepted() + to_posted.len() as u64;
    let Spent { batches, l1_transactions, gas, blob_gas } = spent(&api, l1).await?;

    note(format!("L1 stands still for {:?}", args.stall));
    process::pause(l1_pid, true);
    let mut workers = load(args.rate, args.stall, &Rc::new(RefCell::new(Meter::new())), &urls)?;
    sleep(args.stall).await;
    workers.abort_all();
    process::pause(l1_pid, false);
    let resumed = Instant::now();
    let last = follow(api.clone(), false).await?;
    Ok(Report {
        nodes: args.on.devnet,
        data: args.on.l1_data,
        rate: args.rate,
        finalized_to_posted: Quantiles::of(to_posted),
        posted_to_settled: Quantiles::of(to_settled),
        batches,
        l1_transactions,
        transactions,
        gas_per_batch: float(gas) / float(batches),
        gas_per_transaction: float(gas) / float(transactions),
        blob_gas_per_transaction: float(blob_gas) / float(transactions),
        stall_seconds: args.stall.as_secs_f64(),
        backlog_ms: (last.posted - resumed).as_secs_f64() * 1e3,
    })
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn load(
    rate: u32,
    lasts: Duration,
    meter: &Rc<RefCell<Meter>>,
    urls: &[String],
) -> eyre::Result<JoinSet<()>> {
    Load::new(Plan::steady(rate, lasts), meter.clone(), Rc::new(Notify::new())).start(urls, 0..urls.len())
}

/// When a transaction was seen on each rung.
pub struct Climbed {
    finalized: Instant,
    posted: Instant,
    settled: Instant,
}

/// Submits a transaction and waits until L1 has it; for good, if that is wanted.
pub async fn follow(api: Api, to_the_end: bool) -> eyre::Result<Climbed> {
    let params = SubmitParams {
        rollup: RollupRef::Name(ROLLUP.to_owned()),
        data: Hex(rand::random::<[u8; 32]>().to_vec()),
        valid_until: None,
        fee_hint: None,
        ack: Ack::default(),
    };
    let SubmitResult { id, .. } = api.call("baton_submit", Some(params)).await?;
    climb(&api, id, to_the_end).await
}

/// Likewise, for one that was submitted.
pub async fn climb(api: &Api, id: String, to_the_end: bool) -> eyre::Result<Climbed> {
    let started = Instant::now();
    let params = TransactionParams { id };
    let (mut finalized, mut posted) = (None, None);
    loop {
        let view: TransactionView = api.call("baton_transaction", Some(&params)).await?;
        let now = Instant::now();
        if view.rung.is_failure() || now > started + PATIENCE {
            bail!("transaction {} came no further than {} in {:?}", params.id, view.rung, now - started);
        }
        if view.rung >= Rung::Finalized {
            finalized.get_or_insert(now);
        }
        if view.rung >= Rung::Posted {
            posted.get_or_insert(now);
        }
        if let (Some(finalized), Some(posted)) = (finalized, posted)
            && (view.rung >= Rung::Settled || !to_the_end)
        {
            return Ok(Climbed { finalized, posted, settled: now });
        }
        sleep(POLL).await;
    }
}

/// Batches on L1, and what they cost there.
#[derive(Default)]
struct Spent {
    batches: u64,
    /// One can carry several.
    l1_transactions: u64,
    gas: u64,
    blob_gas: u64,
}

/// So far.
async fn spent(api: &Api, l1: &str) -> eyre::Result<Spent> {
    let client = Client::new(&[l1.to_owned()], l1::CHAIN_ID).map_err(|error| eyre!(error))?;
    let (mut from_index, mut spent, mut seen) = (0, Spent::default(), HashSet::new());
    loop {
        let params = BatchesParams { rollup: RollupRef::Name(ROLLUP.to_owned()), from_index, limit: None };
        let found: BatchesResult = api.call("baton_batches", Some(params)).await?;
        if found.batches.is_empty() {
            return Ok(spent);
        }
        from_index = found.next_index;
        for transaction in found.batches.into_iter().filter_map(|batch| batch.l1_transaction) {
            spent.batches += 1;
            if !seen.insert(transaction.clone()) {
                continue;
            }
            let hash = transaction.parse().wrap_err("baton_batches names no transaction hash")?;
            let receipt = client.receipt(hash).await?;
            let receipt = receipt.ok_or_else(|| eyre!("L1 does not know transaction {transaction}"))?;
            spent.l1_transactions += 1;
            spent.gas += receipt.gas_used;
            spent.blob_gas += receipt.blob_gas_used.unwrap_or(0);
        }
    }
}

fn print(report: &Report, output: Output) {
    output.line(format!("{} nodes, {:?}, {} tx/s", report.nodes, report.data, report.rate));
    output.line(quantiles("finalized → posted", &report.finalized_to_posted));
    output.line(quantiles("posted → settled", &report.posted_to_settled));
    output.line(row(
        "on L1",
        format!(
            "{} batches of {:.0} transactions in {} of L1, {} gas each",
            report.batches,
            float(report.transactions) / float(report.batches),
            report.l1_transactions,
            whole(report.gas_per_batch)
        ),
    ));
    output.line(row(
        "per transaction",
        format!("{:.0} gas, {:.0} blob gas", report.gas_per_transaction, report.blob_gas_per_transaction),
    ));
    output.line(row(
        "after the stall",
        format!("all on L1 {:.1} s after its {:.0} s", report.backlog_ms / 1e3, report.stall_seconds),
    ));
}

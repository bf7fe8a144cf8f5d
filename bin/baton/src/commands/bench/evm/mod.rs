//! The load of an Ethereum wallet, many times over, on a cluster and on what people use instead.

pub mod accounts;
pub mod load;
pub mod target;

use super::{
    report::{row, whole},
    with_devnet_of,
};
use crate::{
    cluster::layout::{NODES_MAX, Options},
    data,
    output::{Outcome, Output, note},
};
use accounts::Account;
use baton_types::{genesis::evm::AllocAccount, hex::HexArray};
use load::{Load, Row};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use target::{BALANCE_ETHER, Mining, Target};

/// Measure an Ethereum chain: transactions included per second, and how soon there are receipts.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Load the chain that answers here.
    #[arg(long, value_name = "URL", conflicts_with_all = ["devnet", "anvil"])]
    endpoint: Option<String>,
    /// Its processes, for their CPU time.
    #[arg(long, value_name = "PID,…", value_delimiter = ',', requires = "endpoint")]
    pids: Vec<u32>,
    /// Load a devnet of N nodes that is started for this [default: 4, without --endpoint and --anvil].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    devnet: Option<u16>,
    /// Load this anvil, with blocks of its own for each transaction and with one every second.
    #[arg(long, value_name = "PROGRAM")]
    anvil: Option<PathBuf>,
    /// Transactions per second, whatever the answers; 0: as fast as they are taken.
    #[arg(long, value_name = "TPS")]
    rate: Option<u32>,
    /// Transactions in one request.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: Option<u32>,
    /// ERC-20 transfers.
    #[arg(long)]
    tokens: bool,
    /// How long each load takes.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = data::duration)]
    seconds: Duration,
    /// Connections, with one request at a time on each.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=500))]
    connections: u16,
    /// Senders.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    accounts: u32,
    /// Makes other senders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the senders as accounts of a genesis, and do nothing else.
    #[arg(long)]
    alloc: bool,
}

const EXAMPLES: &str = "\
Without --rate, --batch and --tokens it goes through five loads. Transactions are signed before
the clock starts. A receipt counts when it is here; afterwards all are read again, from every
node. Exit code 1 when one is missing or has changed, or a transaction was refused.

Examples:
  baton bench evm
  baton bench evm --devnet 4 --anvil ~/.foundry/bin/anvil
  baton bench evm --endpoint http://127.0.0.1:8545/rollup/evm --rate 150
  baton bench evm --devnet 7 --rate 0 --batch 100 --tokens --json";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let mut accounts = Account::derive(args.seed, args.accounts)?;
    let alloc = alloc(&accounts);
    if args.alloc {
        crate::output::write_line(&serde_json::to_string_pretty(&alloc)?);
        return Ok(Outcome::Done);
    }
    let loads = loads(&args);
    let (mut rows, mut complete) = (Vec::new(), true);
    if let Some(url) = &args.endpoint {
        let target = Target::of_url(url.clone(), args.pids.clone(), &mut accounts).await?;
        complete &= measure(&target, &loads, &mut accounts, &mut rows).await;
    }
    let usual = (args.endpoint.is_none() && args.anvil.is_none()).then_some(4);
    if let Some(nodes) = args.devnet.or(usual) {
        let options = Options { nodes: Some(nodes), evm_alloc: alloc, ..Options::default() };
        let outcome = with_devnet_of(options, async |cluster| {
            let target = Target::of_cluster(cluster, &mut accounts).await?;
            Ok(measure(&target, &loads, &mut accounts, &mut rows).await)
        });
        let Some(done) = outcome.await? else { return Ok(Outcome::Failed) };
        complete &= done;
    }
    if let Some(program) = &args.anvil {
        for mining in [Mining::Auto, Mining::EverySecond] {
            let target = Target::start_anvil(program, mining, &mut accounts).await?;
            complete &= measure(&target, &loads, &mut accounts, &mut rows).await;
        }
    }
    rows.iter().for_each(|row| output.object(row));
    loads.iter().for_each(|load| print(load, &rows, output));
    Ok(if complete && rows.iter().all(Row::fine) { Outcome::Done } else { Outcome::Failed })
}

pub fn alloc(accounts: &[Account]) -> BTreeMap<HexArray<20>, AllocAccount> {
    let rich = AllocAccount { balance: BALANCE_ETHER * 1_000_000_000_000_000_000, ..AllocAccount::default() };
    accounts.iter().map(|account| (HexArray(account.address.0.0), rich.clone())).collect()
}

/// The one that was asked for, or those of the comparison.
fn loads(args: &Args) -> Vec<Load> {
    let load = |token: bool, rate: u32, batch: u32| Load {
        token,
        rate,
        batch,
        connections: args.connections,
        length: args.seconds,
    };
    if args.rate.is_some() || args.batch.is_some() || args.tokens {
        return vec![load(args.tokens, args.rate.unwrap_or(0), args.batch.unwrap_or(1))];
    }
    vec![
        load(false, 150, 1),
        load(false, 2_000, 1),
        load(false, 0, 1),
        load(false, 0, 100),
        load(true, 0, 100),
    ]
}

/// Whether every load came to its end.
async fn measure(target: &Target, loads: &[Load], accounts: &mut [Account], rows: &mut Vec<Row>) -> bool {
    let bearable = |load: &&Load| target.rate_max.is_none_or(|max| (1..=max).contains(&load.rate));
    for load in loads.iter().filter(bearable) {
        match load::run(target, load, accounts).await {
            Ok(row) => rows.push(row),
            // What was measured before, and elsewhere, is worth its row.
            Err(error) => {
                note(format!("{}, {}: {error:#}; going on with the next chain", target.name, load.name()));
                return false;
            }
        }
    }
    true
}

fn print(load: &Load, rows: &[Row], output: Output) {
    let rows: Vec<_> = rows.iter().filter(|row| row.load.name() == load.name()).collect();
    if rows.is_empty() {
        return;
    }
    output.line(format!("{}, {} connections", load.name(), load.connections));
    output.line(row("", "submitted/s  included/s   receipt p50 / p90 / p99 ms   CPU s per 1,000"));
    for each in rows {
        let cpu = each.cpu_seconds_per_1000.map_or_else(|| "?".to_owned(), |cpu| format!("{cpu:.3}"));
        output.line(row(
            &format!("  {}", each.target),
            format!(
                "{:>11} {:>11}   {:>7.1} / {:>7.1} / {:>7.1}   {cpu:>15}{}",
                whole(each.submitted_per_second),
                whole(each.included_per_second),
                each.receipt.p50_ms,
                each.receipt.p90_ms,
                each.receipt.p99_ms,
                verdict(each)
            ),
        ));
    }
}

fn verdict(row: &Row) -> String {
    if row.fine() {
        return String::new();
    }
    let refusal = row.refusal.as_deref().map_or_else(String::new, |why| format!(" ({why:.80})"));
    format!(
        "   {} WITHOUT RECEIPT, {} BLOCKS CHANGED, {} refused{refusal}",
        row.missing, row.changed_blocks, row.refused
    )
}

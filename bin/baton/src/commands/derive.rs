use crate::output::{Outcome, Output, Progress, grouped};
use baton_l1::{
    Client,
    da::{Backend, BlobSource, Blobs, BlockId, Calldata, Directory},
    derive::{Config, DeriveError, Derived, Deriver, Head, LocalDeriver, Rescued},
    events::Posted,
    local::LocalError,
};
use baton_settlement::{Contents, Terms};
use baton_types::{
    Genesis,
    api::{DerivedHead, DerivedView, RescuedView},
    hex,
    settlement::Batch,
};
use eyre::{WrapErr as _, ensure, eyre};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often L1 is asked for more.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(4);

/// Rebuild a rollup from L1 alone, or from a directory, and check everything on the way.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// An endpoint of L1, http:// or ws://. Repeatable: the others are asked when one fails. Not for
    /// a cluster without L1.
    #[arg(long = "l1", value_name = "URL", required_unless_present = "directory")]
    pub l1: Vec<String>,
    /// Name or id of the rollup.
    #[arg(long, value_name = "NAME")]
    pub rollup: String,
    /// The genesis of the cluster.
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// Where blobs are read: a beacon node, or anvil as `anvil:URL`. Repeatable.
    #[arg(long, value_name = "URL", requires = "l1")]
    pub blobs: Vec<String>,
    /// Where batches of the kind `directory`, or of a cluster without L1, are.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Keep the state here, and go on from it at the next start.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Wait for more.
    #[arg(long)]
    pub follow: bool,
}

const EXAMPLES: &str = "\
Reads what L1 calls final, or without --l1 all of the directory. Checks every certificate under
the group key of the genesis, the data against their commitments, that the transactions lead to the
certified order, and for an EVM rollup executes them to the same block hashes. What the inbox took
without the cluster is executed behind the cluster's last block.

Examples:
  baton derive --rollup evm --genesis state/genesis.json --directory state/batches
  baton derive --l1 http://127.0.0.1:10545 --rollup evm --genesis genesis.json --directory batches
  baton derive --l1 https://l1.example --blobs https://beacon.example --rollup evm \\
    --genesis genesis.json --state derived --follow";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let genesis = genesis(&args)?;
    if args.l1.is_empty() {
        return from_directory(&genesis, &args, output).await;
    }
    let mut deriver = open(&genesis, &args).await?;
    let mut work = Work { started: Instant::now(), transactions: 0, line: Progress::new() };
    let mut told = Vec::new();
    loop {
        let more = deriver.advance(|derived| {
            work.line.clear();
            let Derived { posted, contents, bytes, block, .. } = derived;
            let seen = (posted, derived.certificate_seen);
            tell(output, &posted.batch, contents, *bytes, *block, Some(seen));
            work.transactions += contents.transactions() as u64;
            work.show(L1_BLOCK, posted.l1_number, derived.l1_final);
        });
        let more = more.await;
        work.line.clear();
        let more = match more {
            Ok(false) => rescue(&mut deriver, &mut told, output).await.map(|()| false),
            more => more,
        };
        match more {
            Ok(true) => work.show(L1_BLOCK, deriver.next_block() - 1, deriver.l1_final()),
            Ok(false) if args.follow => tokio::time::sleep(FOLLOW_INTERVAL).await,
            Ok(false) => break,
            // L1 or the place of the data may come back.
            Err(error @ (DeriveError::L1(_) | DeriveError::Data { .. })) if args.follow => {
                crate::output::note(format!("{error}; trying again"));
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    total(output, work.transactions, work.started, deriver.next_index());
    Ok(Outcome::Done)
}

fn total(output: Output, transactions: u64, started: Instant, batches: u64) {
    let time = started.elapsed();
    output.line(format!(
        "{} transactions in {:.1} s, {} per second; the next batch is {batches}",
        grouped(transactions),
        time.as_secs_f64(),
        grouped(per_second(transactions, time))
    ));
}

/// Of a cluster without L1.
async fn from_directory(genesis: &Genesis, args: &Args, output: Output) -> eyre::Result<Outcome> {
    let directory =
        args.directory.as_ref().ok_or_else(|| eyre!("name a --directory, or an endpoint with --l1"))?;
    ensure!(genesis.l1.is_none(), "this cluster settles on L1: name an endpoint with --l1");
    ensure!(genesis.batches.is_some(), "the genesis has no section batches: nothing settles");
    existing(directory)?;
    let mut deriver = LocalDeriver::open(directory, config(genesis, args)?)?;
    let mut work = Work { started: Instant::now(), transactions: 0, line: Progress::new() };
    loop {
        let last = deriver.last_index()?;
        let more = deriver.advance(|filed| {
            work.line.clear();
            let batch = &filed.certified.batch;
            tell(output, batch, &filed.contents, filed.certified.data.len(), filed.block, None);
            work.transactions += filed.contents.transactions() as u64;
            work.show("batch", batch.index, last);
        });
        work.line.clear();
        match more {
            Ok(true) => {}
            Ok(false) if args.follow => tokio::time::sleep(FOLLOW_INTERVAL).await,
            Ok(false) => break,
            // Whoever copies the files may not be done.
            Err(DeriveError::Local(error @ (LocalError::Io { .. } | LocalError::Gap { .. })))
                if args.follow =>
            {
                crate::output::note(format!("{error}; trying again"));
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    total(output, work.transactions, work.started, deriver.next_index());
    Ok(Outcome::Done)
}

fn genesis(args: &Args) -> eyre::Result<Genesis> {
    let text = fs::read_to_string(&args.genesis)
        .wrap_err_with(|| format!("cannot read the genesis {}", args.genesis.display()))?;
    Genesis::from_json(&text).wrap_err_with(|| format!("in {}", args.genesis.display()))
}

/// From L1, at the beginning or where the state says.
pub async fn open(genesis: &Genesis, args: &Args) -> eyre::Result<Deriver> {
    let client = client(genesis, &args.l1)?;
    let mut config = config(genesis, args)?;
    config.backends = backends(args, &client).await?;
    Ok(Deriver::open(client, config).await?)
}

const L1_BLOCK: &str = "L1 block";

/// What was done since the start.
struct Work {
    started: Instant,
    transactions: u64,
    line: Progress,
}

impl Work {
    fn show(&mut self, what: &str, number: u64, last: u64) {
        self.line.show(progress(what, number, last, self.transactions, self.started.elapsed()));
    }
}

fn progress(what: &str, number: u64, last: u64, transactions: u64, time: Duration) -> String {
    let percent = number.min(last) * 100 / last.max(1);
    format!(
        "{what} {} of {} ({percent} %), {} transactions, {} per second",
        grouped(number),
        grouped(last),
        grouped(transactions),
        grouped(per_second(transactions, time))
    )
}

fn per_second(transactions: u64, time: Duration) -> u64 {
    let per_second = u128::from(transactions) * 1_000 / time.as_millis().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

fn client(genesis: &Genesis, urls: &[String]) -> eyre::Result<Arc<Client>> {
    let none =
        || eyre!("the genesis has no section l1: leave --l1 out, and name the --directory of the batches");
    let l1 = genesis.l1.as_ref().ok_or_else(none)?;
    Ok(Arc::new(Client::new(urls, l1.chain_id).map_err(|error| eyre!(error))?))
}

async fn backends(args: &Args, client: &Arc<Client>) -> eyre::Result<Vec<Arc<dyn Backend>>> {
    let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(Calldata::new(client.clone()))];
    let sources = args.blobs.iter().map(|url| source(url));
    let sources = futures::future::try_join_all(sources).await?;
    backends.push(Arc::new(Blobs::new(client.clone(), sources)));
    if let Some(directory) = &args.directory {
        existing(directory)?;
        backends.push(Arc::new(Directory::open(directory)?));
    }
    Ok(backends)
}

fn config(genesis: &Genesis, args: &Args) -> eyre::Result<Config> {
    let rollup = genesis.find_rollup(&args.rollup).ok_or_else(|| {
        let names: Vec<_> = genesis.rollups.iter().map(|rollup| &rollup.name[..]).collect();
        eyre!("there is no rollup {}; the genesis has {}", args.rollup, names.join(", "))
    })?;
    let terms = Terms::all(genesis).into_iter().find(|terms| terms.rollup == rollup.id());
    let terms = terms.ok_or_else(|| eyre!("rollup {} does not settle", rollup.name))?;
    Ok(Config {
        chain: genesis.digest(),
        group_key: genesis.group_key().map_err(|error| eyre!(error))?,
        limits: terms.limits(rollup),
        rollup: rollup.clone(),
        terms,
        start_block: genesis.l1.as_ref().map_or(0, |l1| l1.start_block),
        backends: Vec::new(),
        directory: args.state.clone(),
    })
}

fn existing(directory: &Path) -> eyre::Result<()> {
    ensure!(directory.is_dir(), "--directory {}: no such directory", directory.display());
    Ok(())
}

/// A beacon node says itself when its slots began.
async fn source(url: &str) -> eyre::Result<BlobSource> {
    match url.strip_prefix("anvil:") {
        Some(url) => Ok(BlobSource { url: url.to_owned(), block_id: BlockId::Number }),
        None => BlobSource::beacon(url).await.map_err(|error| eyre!("--blobs {url}: {error}")),
    }
}

/// Tells what went through the hatch, when that is news.
async fn rescue(
    deriver: &mut Deriver,
    told: &mut Vec<RescuedView>,
    output: Output,
) -> Result<(), DeriveError> {
    let rescued: Vec<_> = deriver.rescued().await?.iter().map(view_of).collect();
    if rescued == *told {
        return Ok(());
    }
    if rescued.is_empty() {
        output.line("the cluster has ordered what went through the hatch".to_owned());
    }
    for view in &rescued {
        output.object(view);
        let executed = view.executed.zip(view.head.as_ref()).map_or_else(String::new, |(executed, head)| {
            format!(", {executed} executed: block {} {}", head.block, head.block_hash)
        });
        let (first, last, l1_block) = (view.first_entry, view.last_entry, view.l1_block);
        output.line(format!(
            "hatch: entries {first} to {last} in block {l1_block} of L1, behind the cluster's last block{executed}"
        ));
    }
    *told = rescued;
    Ok(())
}

fn view_of(rescued: &Rescued) -> RescuedView {
    let Rescued { entries, l1_number, executed, block } = rescued;
    RescuedView {
        first_entry: entries.first().map_or(0, |entry| entry.index),
        last_entry: entries.last().map_or(0, |entry| entry.index),
        l1_block: *l1_number,
        executed: executed.map(|executed| executed as u64),
        head: block.map(head_view),
    }
}

fn head_view(head: Head) -> DerivedHead {
    DerivedHead {
        block: head.number,
        block_hash: head.hash.to_string(),
        state_root: head.state_root.to_string(),
    }
}

/// `on_l1` is where the batch was posted, and whether its certificate was seen there.
fn tell(
    output: Output,
    batch: &Batch,
    contents: &Contents,
    bytes: usize,
    block: Option<Head>,
    on_l1: Option<(&Posted, bool)>,
) {
    let view = DerivedView {
        index: batch.index,
        first_height: batch.first_height,
        last_height: batch.last_height,
        transactions: contents.transactions() as u64,
        bytes: bytes as u64,
        order_root: hex::encode(&batch.order_root),
        l1_block: on_l1.map(|(posted, _)| posted.l1_number),
        l1_transaction: on_l1.map(|(posted, _)| posted.transaction.to_string()),
        certificate_seen: on_l1.is_none_or(|(_, seen)| seen),
        head: block.map(head_view),
    };
    output.object(&view);
    let executed = block.map_or_else(String::new, |head| format!(", block {} {}", head.number, head.hash));
    output.line(format!(
        "batch {}: blocks {} to {}, {} transactions, order root {}{executed}",
        view.index, view.first_height, view.last_height, view.transactions, view.order_root
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        let check = |number, last, transactions, ms, expect: &str| {
            let text = progress(L1_BLOCK, number, last, transactions, Duration::from_millis(ms));
            assert_eq!(text, expect);
        };
        check(0, 0, 0, 0, "L1 block 0 of 0 (0 %), 0 transactions, 0 per second");
        check(
            12_500,
            50_000,
            40_000,
            2_500,
            "L1 block 12,500 of 50,000 (25 %), 40,000 transactions, 16,000 per second",
        );
        check(7, 5, 1, 10, "L1 block 7 of 5 (100 %), 1 transactions, 100 per second");
    }
}

//! What the Ethereum API asks of an EVM rollup, answered by this node's executor, pool and history.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use baton_consensus::{
    Client,
    client::Submit,
    evm::{self, Execution, Outcome},
    settlement::Board,
};
use baton_execution::{
    evm::{OpenBlock, Params, Past, Refused, Signed, Skip, Stored},
    pool::Unit,
};
use baton_rpc::eth::{
    Backend,
    backend::{Asked, Block, Event, Head, Heads, Place, Rejected},
};
use baton_types::{
    Transaction, TxId,
    api::Ack,
    receipt::{Reason, Refusal},
};
use futures::{FutureExt as _, future::BoxFuture};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::sleep,
};

/// Events a slow subscriber may be behind.
const EVENTS_MAX: usize = 4_096;
/// Headers kept in memory: a query of logs looks at them first, and reads few blocks as a whole.
const HEADERS_MAX: usize = 16_384;
/// An executor further behind finality is said to be syncing.
const SYNCING_BLOCKS: u64 = 32;

/// How often it is looked how far L1 has a rollup for good.
const SETTLED_EVERY: Duration = Duration::from_secs(1);

/// One rollup of a running node.
pub struct Rollup {
    client: Client,
    execution: Arc<Execution>,
    validity_blocks_max: u64,
    headers: Arc<Headers>,
    /// The newest block that L1 has for good; none where the rollup does not settle.
    settled: Option<Arc<AtomicU64>>,
    events: broadcast::Sender<Event>,
}

/// Where the look at L1 stands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled {
    below: u64,
    number: u64,
}

impl Settled {
    /// L1 has everything below a height for good, and so the block `number` and all before; none when this cannot
    /// be told now. Then what was true stays, unless L1 went back.
    fn step(&mut self, below: u64, number: Option<u64>) {
        match number {
            Some(number) => *self = Self { below, number },
            None if below < self.below => *self = Self::default(),
            None => {}
        }
    }
}

/// Of the newest final blocks, without a gap.
#[derive(Default)]
struct Headers(Mutex<VecDeque<Arc<Head>>>);

impl Headers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Head>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, head: Arc<Head>) {
        let mut heads = self.lock();
        if heads.back().is_some_and(|last| last.header.number + 1 != head.header.number) {
            heads.clear();
        }
        heads.push_back(head);
        if heads.len() > HEADERS_MAX {
            heads.pop_front();
        }
    }

    fn get(&self, number: u64) -> Option<Arc<Head>> {
        let heads = self.lock();
        let first = heads.front()?.header.number;
        heads.get(usize::try_from(number.checked_sub(first)?).ok()?).cloned()
    }
}

impl Rollup {
    /// All EVM rollups by name, in the order of their ids. Has to be called within the runtime: what happens is
    /// passed on by a task each, which ends with the node.
    pub fn all(client: &Client, validity_blocks_max: u64) -> Vec<(String, Arc<dyn Backend>)> {
        let served = |execution: &Arc<Execution>| {
            let events = broadcast::channel(EVENTS_MAX).0;
            let headers = Arc::<Headers>::default();
            tokio::spawn(pass_on(execution.events.subscribe(), events.clone(), headers.clone()));
            let (client, execution) = (client.clone(), execution.clone());
            let settles = |board: &&Arc<Board>| board.final_below(execution.id).is_some();
            let settled = client.batches().filter(settles).map(|board| {
                let number = Arc::<AtomicU64>::default();
                tokio::spawn(follow_l1(board.clone(), execution.clone(), number.clone()));
                number
            });
            let name = execution.name.clone();
            let rollup: Arc<dyn Backend> =
                Arc::new(Self { client, execution, validity_blocks_max, headers, settled, events });
            (name, rollup)
        };
        client.executions().map(served).collect()
    }

    /// Of a transaction in what the block of the cluster at this height brought.
    async fn place_at(&self, height: u64, transaction: &B256) -> Result<Option<Place>, Refusal> {
        let Some(number) = self.execution.number_at(height).await? else { return Ok(None) };
        let Some(stored) = self.execution.block(number).await? else { return Ok(None) };
        Ok(stored.index(transaction).map(|index| Place { number, index }))
    }

    /// A transaction that was ordered and left out. The cluster orders an id once in a window, so that the same
    /// bytes come too soon; signed again, with another fee, they are another transaction.
    async fn skipped(&self, id: TxId) -> Option<Rejected> {
        let height = self.client.ordered_at(id).await.ok()??;
        let Outcome::Skipped(skip) = self.execution.outcome(height, &id).await? else { return None };
        let again = height + self.validity_blocks_max;
        Some(Rejected::Skipped { skip, blocks: again.saturating_sub(self.client.finalized_height()) })
    }

    /// What was submitted and refused, in the words that wallets know.
    async fn rejected(&self, raw: &[u8], refusal: Refusal) -> Rejected {
        if let Some(skip) =
            Skip::ALL.into_iter().find(|skip| skip.code() < 20 && skip.reason() == refusal.reason)
        {
            return Rejected::Invalid(skip);
        }
        if refusal.reason == Reason::Duplicate {
            let skipped = self.skipped(TxId(keccak256(raw).0)).await;
            return skipped.unwrap_or(Rejected::Pool(Refused::Duplicate));
        }
        let signed = Signed::decode(raw, &self.execution.params).ok();
        let again = signed.map(|signed| self.client.check_signed(self.execution.id, &signed));
        match again {
            Some(Err(refused)) => Rejected::Pool(refused),
            _ => Rejected::Node(refusal),
        }
    }
}

async fn pass_on(
    mut from: broadcast::Receiver<evm::Event>,
    to: broadcast::Sender<Event>,
    headers: Arc<Headers>,
) {
    loop {
        let event = match from.recv().await {
            Ok(evm::Event::Block(stored)) => {
                let block = block(&stored);
                headers.push(block.head.clone());
                Event::Head(Arc::new(block))
            }
            Ok(evm::Event::Waiting(signed)) => Event::Waiting(signed),
            // Blocks can be read again by number.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let _ = to.send(event);
    }
}

/// Notes how far L1 has the rollup for good, as far as it is executed here.
async fn follow_l1(board: Arc<Board>, execution: Arc<Execution>, number: Arc<AtomicU64>) {
    let mut settled = Settled::default();
    loop {
        let below = board.final_below(execution.id).unwrap_or(0).min(execution.heads().executed_to + 1);
        if below != settled.below {
            settled.step(below, execution.last_below(below).await.ok().flatten());
            number.store(settled.number, Relaxed);
        }
        sleep(SETTLED_EVERY).await;
    }
}

fn head(stored: &Stored) -> Arc<Head> {
    Arc::new(Head { header: stored.record.header.clone(), hash: stored.hash })
}

fn block(stored: &Stored) -> Block {
    Block { head: head(stored), transactions: stored.transactions.clone(), receipts: stored.receipts.clone() }
}

/// Block 0, which executed nothing.
fn genesis(past: &Past) -> Block {
    let head = Arc::new(Head { header: past.header.clone(), hash: past.hash });
    Block { head, transactions: Vec::new(), receipts: Vec::new() }
}

impl Backend for Rollup {
    fn params(&self) -> &Params {
        &self.execution.params
    }

    fn heads(&self) -> Heads {
        let evm::Heads { latest, executed_to, oldest_block, .. } = self.execution.heads();
        let newest = latest.header.number;
        let finalized = self.settled.as_ref().map_or(newest, |settled| settled.load(Relaxed).min(newest));
        let syncing = self.client.finalized_height() > executed_to + SYNCING_BLOCKS;
        // Block 0 is always here.
        let oldest = if oldest_block == 1 { 0 } else { oldest_block };
        Heads { latest, finalized, oldest, syncing }
    }

    fn pending(&self) -> Asked<'_, OpenBlock> {
        async move {
            self.execution.check()?;
            Ok((*self.execution.heads().pending).clone())
        }
        .boxed()
    }

    fn past(&self, number: u64) -> Asked<'_, Option<Arc<Past>>> {
        async move {
            self.execution.check()?;
            let heads = self.execution.heads();
            match self.execution.past(number) {
                None if number < heads.oldest_state => {
                    let detail = format!(
                        "the state of block {number} is not kept here; the oldest is that of block {}",
                        heads.oldest_state
                    );
                    Err(Refusal::new(Reason::Pruned, detail))
                }
                past => Ok(past),
            }
        }
        .boxed()
    }

    fn number(&self, block: B256) -> Asked<'_, Option<u64>> {
        async move {
            if self.execution.genesis.hash == block {
                return Ok(Some(0));
            }
            self.execution.number(block.0).await
        }
        .boxed()
    }

    fn header(&self, number: u64) -> Asked<'_, Option<Arc<Head>>> {
        async move {
            self.execution.check()?;
            if let Some(head) = self.headers.get(number) {
                return Ok(Some(head));
            }
            let latest = self.execution.heads().latest;
            if latest.header.number == number {
                // Also where this node joined at this very block, and has no more of it.
                return Ok(Some(Arc::new(Head { header: latest.header.clone(), hash: latest.hash })));
            }
            Ok(self.block(number).await?.map(|block| block.head.clone()))
        }
        .boxed()
    }

    fn block(&self, number: u64) -> Asked<'_, Option<Arc<Block>>> {
        async move {
            self.execution.check()?;
            if number == 0 {
                return Ok(Some(Arc::new(genesis(&self.execution.genesis))));
            }
            Ok(self.execution.block(number).await?.map(|stored| Arc::new(block(&stored))))
        }
        .boxed()
    }

    fn place(&self, transaction: B256) -> Asked<'_, Option<Place>> {
        async move {
            self.execution.check()?;
            let id = TxId(transaction.0);
            // What was final lately is known at once; the index has everything, and legs of bundles by their hashes.
            if let Some(height) = self.client.final_lately(&id)
                && let Some(place) = self.place_at(height, &transaction).await?
            {
                return Ok(Some(place));
            }
            let mut pruned = None;
            for height in self.client.heights_of(id).await? {
                match self.place_at(height, &transaction).await {
                    Ok(None) => {}
                    Ok(place) => return Ok(place),
                    Err(refusal) if refusal.reason == Reason::Pruned => pruned = Some(refusal),
                    Err(refusal) => return Err(refusal),
                }
            }
            pruned.map_or(Ok(None), Err)
        }
        .boxed()
    }

    fn waiting(&self, transaction: B256) -> Asked<'_, Option<Arc<Signed>>> {
        let waiting = self.client.waiting(self.execution.id, TxId(transaction.0));
        async move { Ok(waiting) }.boxed()
    }

    fn next_nonce(&self, sender: Address) -> Asked<'_, u64> {
        async move {
            self.execution.check()?;
            let heads = self.execution.heads();
            let executed = heads.pending.state.account(&sender).map_or(0, |facts| facts.nonce);
            let waits = self.client.next_nonce(self.execution.id, &sender);
            Ok(waits.map_or(executed, |next| next.max(executed)))
        }
        .boxed()
    }

    fn submit(&self, client: Arc<str>, raw: Bytes) -> BoxFuture<'_, Result<B256, Rejected>> {
        async move {
            self.execution.check().map_err(Rejected::Node)?;
            let valid_until = self.client.finalized_height() + self.validity_blocks_max;
            let transaction = Transaction { valid_until, bundle: None, payload: raw.0.clone() };
            let units = vec![Unit::Single { rollup: self.execution.id, transaction, fee_hint: 0 }];
            let submit = Submit { client, units, ack: Ack::Pending };
            let results = self.client.submit_unsigned(submit).await.map_err(Rejected::Node)?;
            match results.into_iter().next() {
                Some(Ok(ids)) if ids.len() == 1 => Ok(B256::from(ids[0].0)),
                Some(Err(refusal)) => Err(self.rejected(&raw, refusal).await),
                _ => Err(Rejected::Node(Refusal::new(Reason::Internal, "no result for the transaction"))),
            }
        }
        .boxed()
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Header;

    #[test]
    fn what_is_settled_goes_back_only_with_l1() {
        let mut settled = Settled::default();
        for (below, found, number) in [
            (10, Some(4), 4),
            // Not to be told now: what was true stays.
            (20, None, 4),
            (20, Some(9), 9),
            // L1 went back.
            (15, Some(6), 6),
            (12, None, 0),
            (15, None, 0),
            (15, Some(6), 6),
        ] {
            settled.step(below, found);
            assert_eq!(settled.number, number, "below {below}");
        }
        assert_eq!(settled, Settled { below: 15, number: 6 });
    }

    #[test]
    fn headers_are_kept_without_a_gap() {
        let headers = Headers::default();
        let push = |number: u64| {
            headers.push(Arc::new(Head { header: Header { number, ..Header::default() }, hash: B256::ZERO }));
        };
        let has = |number: u64| headers.get(number).is_some_and(|head| head.header.number == number);
        assert!(!has(0));
        (5..9).for_each(push);
        assert!(!has(4) && has(5) && has(8) && !has(9));
        // Events were lost in between.
        push(11);
        assert!(!has(8) && has(11));
        let most = u64::try_from(HEADERS_MAX).unwrap();
        (12..12 + most).for_each(push);
        assert!(!has(11) && has(12) && has(11 + most));
    }
}

//! What the contracts of one rollup logged, checked against the hash chains that they keep: nothing can be left out
//! in the middle, added or changed by an endpoint. That nothing is left out at the end is asked of the contracts.

use crate::{
    client::{Client, L1Error},
    contracts::{BatchInbox, ForcedQueue},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::SolEvent as _;
use baton_settlement::{ForcedEntry, InboxState, Place, Posting, RollupView, Terms};
use baton_types::{
    Digest,
    merkle::EMPTY,
    settlement::{Batch, Escape, Forced, L1Address},
};
use std::sync::Arc;

/// Blocks that one request for logs covers.
const RANGE_BLOCKS: u64 = 2_000;

/// A batch that the inbox took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub batch: Batch,
    pub l1_number: u64,
    pub l1_hash: B256,
    pub transaction: B256,
    pub poster: Address,
    /// Versioned hashes.
    pub blobs: Vec<B256>,
    /// Forced entries that the inbox had taken before.
    pub taken_before: u64,
}

/// Forced entries that the inbox took without the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped {
    pub from: u64,
    /// Behind the last one.
    pub to: u64,
    /// Of the inbox after it.
    pub head: Digest,
    pub l1_number: u64,
    pub l1_hash: B256,
}

/// Batches of which it is known which transaction has posted them.
const POSTINGS_MAX: usize = 1_024;

/// An inbox after an event.
#[derive(Clone, Copy, Debug)]
struct After {
    l1_number: u64,
    state: InboxState,
    /// Entries before this one stand in blocks of the cluster. Those after it that the hatch has taken may not yet.
    ordered: u64,
}

impl After {
    const fn new(l1_number: u64, state: InboxState) -> Self {
        Self { l1_number, state, ordered: state.forced_cursor }
    }
}

/// Everything of one rollup up to some block of L1.
#[derive(Clone, Debug)]
pub struct RollupEvents {
    terms: Terms,
    /// Before the first event that is kept, then after each that changed it.
    states: Vec<After>,
    /// Ascending by index, from the first that is kept.
    pub posted: Vec<Posted>,
    postings: Vec<Posting>,
    escapes: Vec<Escaped>,
    entries: Vec<ForcedEntry>,
    /// Index and hash before the first entry that is kept.
    entries_base: (u64, Digest),
}

fn digest(hash: &B256) -> Digest {
    Digest::from(hash.0)
}

pub(crate) fn address(of: &L1Address) -> Address {
    Address::from(of.0)
}

impl RollupEvents {
    /// Of contracts without any events.
    pub fn new(terms: Terms) -> Self {
        let state =
            InboxState { next_index: 0, head: EMPTY, next_height: terms.first_height, forced_cursor: 0 };
        Self {
            terms,
            states: vec![After::new(0, state)],
            posted: Vec::new(),
            postings: Vec::new(),
            escapes: Vec::new(),
            entries: Vec::new(),
            entries_base: (0, EMPTY),
        }
    }

    /// Goes on behind everything up to this block of L1; `queue` is the length and the hash of the queue there.
    pub fn resume(terms: Terms, number: u64, state: InboxState, queue: (u64, Digest)) -> Self {
        Self { states: vec![After::new(number, state)], entries_base: queue, ..Self::new(terms) }
    }

    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    pub fn addresses(&self) -> [Address; 2] {
        [address(&self.terms.inbox), address(&self.terms.queue)]
    }

    /// After every event so far.
    pub fn latest(&self) -> InboxState {
        self.last().state
    }

    fn last(&self) -> After {
        *self.states.last().expect("there is always one")
    }

    /// After this block of L1.
    pub fn at(&self, number: u64) -> InboxState {
        let after = self.states.iter().rev().find(|after| after.l1_number <= number);
        after.unwrap_or(&self.states[0]).state
    }

    /// Length and hash of the queue.
    pub fn queue_end(&self) -> (u64, Digest) {
        self.entries.last().map_or(self.entries_base, |entry| (entry.index + 1, entry.hash))
    }

    /// Forgets what happened above this block of L1.
    pub fn rewind(&mut self, number: u64) {
        while self.states.len() > 1 && self.last().l1_number > number {
            self.states.pop();
        }
        self.posted.retain(|posted| posted.l1_number <= number);
        self.postings.retain(|posting| posting.l1_number <= number);
        self.escapes.retain(|escaped| escaped.l1_number <= number);
        self.entries.retain(|entry| entry.l1_number <= number);
    }

    /// Forgets what is settled: nobody asks for it any more. What the hatch took is not, before the cluster has ordered
    /// it as well.
    pub fn prune(&mut self, finalized: u64) {
        let settled = self.states.iter().rposition(|after| after.l1_number <= finalized).unwrap_or(0);
        self.states.drain(..settled);
        let ordered = self.states[0].ordered;
        self.posted.retain(|posted| posted.l1_number > finalized);
        self.escapes.retain(|escaped| escaped.l1_number > finalized);
        let taken =
            self.entries.iter().take_while(|entry| entry.index < ordered && entry.l1_number <= finalized);
        let taken = taken.count();
        if let Some(last) = self.entries.drain(..taken).next_back() {
            self.entries_base = (last.index + 1, last.hash);
        }
    }

    /// For consensus.
    pub fn view(&self, finalized: u64) -> RollupView {
        RollupView {
            latest: self.latest(),
            finalized: self.at(finalized),
            forced: Arc::new(self.entries.clone()),
            postings: Arc::new(self.postings.clone()),
        }
    }

    pub fn entries(&self) -> &[ForcedEntry] {
        &self.entries
    }

    pub fn escapes(&self) -> &[Escaped] {
        &self.escapes
    }

    /// Takes the next log, in the order of L1. Logs of other contracts and kinds change nothing.
    pub fn take(&mut self, log: &Log) -> Result<(), String> {
        let (Some(number), Some(hash)) = (log.block_number, log.block_hash) else {
            return Err("a log without a block".to_owned());
        };
        let [inbox, queue] = self.addresses();
        let topic = log.topic0().copied().unwrap_or_default();
        let broken =
            |error: alloy_sol_types::Error| format!("a log in block {number} does not decode: {error}");
        if log.address() == queue && topic == ForcedQueue::Forced::SIGNATURE_HASH {
            let event = log.log_decode::<ForcedQueue::Forced>().map_err(broken)?.inner.data;
            self.forced(number, &event)
        } else if log.address() == inbox && topic == BatchInbox::BatchPosted::SIGNATURE_HASH {
            let event = log.log_decode::<BatchInbox::BatchPosted>().map_err(broken)?.inner.data;
            let transaction = log.transaction_hash.ok_or("a log without a transaction")?;
            self.batch_posted(number, hash, transaction, &event)
        } else if log.address() == inbox && topic == BatchInbox::Escaped::SIGNATURE_HASH {
            let event = log.log_decode::<BatchInbox::Escaped>().map_err(broken)?.inner.data;
            self.escaped(number, hash, &event)
        } else {
            Ok(())
        }
    }

    fn forced(&mut self, l1_number: u64, event: &ForcedQueue::Forced) -> Result<(), String> {
        let (index, previous) = self.queue_end();
        let ForcedQueue::Forced { index: found, sender, deadline, gas, data, hash } = event;
        let forced = Forced {
            rollup: self.terms.rollup,
            index,
            sender: L1Address(sender.0.0),
            deadline: *deadline,
            gas: *gas,
            data,
        };
        let expected = forced.hash(&previous);
        if *found != index || digest(hash) != expected {
            return Err(format!(
                "forced entry {found} in block {l1_number} is not entry {index} of the queue"
            ));
        }
        self.entries.push(ForcedEntry {
            index,
            l1_number,
            sender: sender.0.0,
            deadline: *deadline,
            gas: *gas,
            data: data.0.clone(),
            hash: expected,
        });
        Ok(())
    }

    fn batch_posted(
        &mut self,
        l1_number: u64,
        l1_hash: B256,
        transaction: B256,
        event: &BatchInbox::BatchPosted,
    ) -> Result<(), String> {
        let After { state: before, ordered, .. } = self.last();
        let batch = batch_of(&self.terms, before.place(), &event.batch)?;
        let head = batch.head();
        if event.index != before.next_index || digest(&event.head) != head {
            let (index, next) = (event.index, before.next_index);
            return Err(format!(
                "batch {index} in block {l1_number} does not follow batch {next} of the inbox"
            ));
        }
        let state = InboxState {
            next_index: before.next_index + 1,
            head,
            next_height: batch.last_height.saturating_add(1),
            forced_cursor: batch.forced_cursor,
        };
        // A batch whose blocks have taken less than the inbox has the cursor of the inbox.
        let own = (batch.forced_cursor > before.forced_cursor).then_some(batch.forced_cursor);
        self.states.push(After { l1_number, state, ordered: own.unwrap_or(ordered) });
        let (poster, blobs) = (event.poster, event.blobs.clone());
        if self.postings.len() == POSTINGS_MAX {
            self.postings.remove(0);
        }
        self.postings.push(Posting { index: batch.index, l1_number, transaction: digest(&transaction) });
        let taken_before = before.forced_cursor;
        self.posted.push(Posted { batch, l1_number, l1_hash, transaction, poster, blobs, taken_before });
        Ok(())
    }

    fn escaped(&mut self, l1_number: u64, l1_hash: B256, event: &BatchInbox::Escaped) -> Result<(), String> {
        let After { state: before, ordered, .. } = self.last();
        let last = event.to.checked_sub(1);
        let last = last.and_then(|last| self.entries.iter().find(|entry| entry.index == last));
        let last =
            last.ok_or_else(|| format!("an escape in block {l1_number} to an entry that there is not"))?;
        let escape = Escape {
            l1_chain_id: self.terms.l1_chain_id,
            inbox: self.terms.inbox,
            rollup: self.terms.rollup,
            index: before.next_index,
            previous_head: before.head,
            from: event.from,
            to: event.to,
            last_hash: last.hash,
        };
        let head = escape.head();
        if event.index != before.next_index
            || event.from != before.forced_cursor
            || digest(&event.head) != head
        {
            return Err(format!("escape {} in block {l1_number} does not follow the inbox", event.index));
        }
        let state = InboxState { next_index: before.next_index + 1, head, forced_cursor: event.to, ..before };
        self.states.push(After { l1_number, state, ordered });
        self.escapes.push(Escaped { from: event.from, to: event.to, head, l1_number, l1_hash });
        Ok(())
    }
}

/// The signed message behind what the inbox was given.
pub fn batch_of(terms: &Terms, place: Place, given: &BatchInbox::Batch) -> Result<Batch, String> {
    let data_kind: u8 = given.dataKind;
    Ok(Batch {
        l1_chain_id: terms.l1_chain_id,
        inbox: terms.inbox,
        key_generation: given.keyGeneration,
        rollup: terms.rollup,
        index: given.index,
        previous_head: place.previous_head,
        first_height: given.firstHeight,
        last_height: given.lastHeight,
        slot: given.slot,
        order_root: digest(&given.orderRoot),
        data_kind: data_kind.try_into().map_err(|_| format!("data of kind {data_kind}"))?,
        data_commitment: digest(&given.dataCommitment),
        forced_cursor: given.forcedCursor,
        claimed_state_root: digest(&given.claimedStateRoot),
    })
}

/// What the inbox is given for a batch.
pub fn given(batch: &Batch) -> BatchInbox::Batch {
    BatchInbox::Batch {
        keyGeneration: batch.key_generation,
        index: batch.index,
        firstHeight: batch.first_height,
        lastHeight: batch.last_height,
        slot: batch.slot,
        orderRoot: B256::from(batch.order_root.0),
        dataKind: batch.data_kind.byte(),
        dataCommitment: B256::from(batch.data_commitment.0),
        forcedCursor: batch.forced_cursor,
        claimedStateRoot: B256::from(batch.claimed_state_root.0),
    }
}

/// Reads the logs of these blocks, both included, into `rollups`. `is_mine` says which block stands at a height.
pub async fn scan(
    client: &Client,
    rollups: &mut [RollupEvents],
    from: u64,
    to: u64,
    is_mine: impl Fn(u64, B256) -> bool,
) -> Result<(), L1Error> {
    let addresses: Vec<_> = rollups.iter().flat_map(RollupEvents::addresses).collect();
    let (mut next, mut range) = (from, RANGE_BLOCKS);
    while next <= to {
        let end = to.min(next.saturating_add(range - 1));
        let filter = Filter::new().address(addresses.clone()).from_block(next).to_block(end);
        let logs = match client.logs(&filter).await {
            Ok(logs) => logs,
            // Endpoints limit the logs of one answer; each in its own words.
            Err(_) if range > 1 && end > next => {
                range = (range / 4).max(1);
                continue;
            }
            Err(error) => return Err(error),
        };
        for log in &logs {
            let place = log.block_number.zip(log.block_hash);
            if !place.is_some_and(|(number, hash)| (next..=end).contains(&number) && is_mine(number, hash)) {
                return Err(client.distrust("logs of blocks that are not on its chain"));
            }
            let taken = rollups.iter_mut().try_for_each(|rollup| rollup.take(log));
            taken.map_err(|what| client.distrust(what))?;
        }
        next = end + 1;
    }
    Ok(())
}

/// Asks the contracts, at the block that was scanned last, whether anything was left out at the end.
pub async fn nothing_left_out(client: &Client, rollup: &RollupEvents, at: BlockId) -> Result<(), L1Error> {
    let [inbox, queue] = rollup.addresses();
    let length = client.read(queue, &ForcedQueue::lengthCall {}, at).await?;
    let index = client.read(inbox, &BatchInbox::nextIndexCall {}, at).await?;
    let (found, known) = ((index, length), (rollup.latest().next_index, rollup.queue_end().0));
    if found == known {
        return Ok(());
    }
    let what = format!("the contracts are at batch {index} and entry {length}, its logs at {known:?}");
    Err(client.distrust(what))
}

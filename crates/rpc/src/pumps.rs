//! What runs for each subscription: events in, notifications out.
//!
//! A pump waits while its connection is slower than its events. Meanwhile the ring of events, which all
//! subscribers share, moves on: that is the only queue, so a slow subscriber costs no memory.
//! - *blocks*: what fell out of the ring is counted, and told as `{"lagged": n}`.
//! - *transaction*: after a gap, the node is asked where the transaction stands.
//! - *batches*: always the board as it is; events only say that it has changed.
//! - *cluster*: the present alone, at an interval.
//! - *rollup*: always by height; events only say that there is more, or bring the next block along.

use crate::{
    api::Chain,
    blocks::{Blocks, Facts},
    methods::{batches::view, views},
    session::{Closed, Feed},
};
use baton_consensus::{
    client::{Event, Place, TransactionStatus},
    settlement::BatchSight,
};
use baton_types::{
    Block, RollupId, TxId,
    api::{BlockEvent, ClusterView},
    lottery::Indices,
    receipt::{Reason, Refusal, Rung},
};
use commonware_cryptography::Digested;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval},
};

#[cfg(test)]
mod tests;

/// How often a finalized block that cannot be read is tried again, and how long between.
const RETRIES_MAX: u32 = 50;
const RETRY: Duration = Duration::from_millis(100);
/// Batches looked at together.
const BATCHES_AT_ONCE: usize = 256;
/// Between two looks at the cluster: as often as people can follow.
const CLUSTER_INTERVAL: Duration = Duration::from_millis(250);

/// Events were missed.
#[derive(Serialize)]
struct Lagged {
    lagged: u64,
}

/// A subscription that ends early says why.
#[derive(Serialize)]
struct Ended {
    error: baton_types::api::ErrorData,
}

pub(crate) async fn blocks(
    feed: Feed,
    mut events: Receiver<Event>,
    chain: Chain,
    recent: Arc<Blocks>,
    ids: bool,
) -> Result<(), Closed> {
    loop {
        match events.recv().await {
            Ok(Event::Block { rung, block, time_ms, voters }) => {
                let facts = recent.facts(&block);
                let event = block_event(&chain, &facts, rung, time_ms, voters);
                let text = serde_json::to_string(&event).expect("views of the API have a JSON form");
                if ids {
                    let open = text.strip_suffix('}').expect("an event is an object");
                    feed.send(&[open, ",\"ids\":", facts.ids_json(), "}"]).await?;
                } else {
                    feed.send(&[&text]).await?;
                }
            }
            Ok(Event::Ended { .. } | Event::Executed { .. } | Event::Batches { .. }) => (),
            Err(RecvError::Lagged(lagged)) => {
                feed.metrics().lagged.fetch_add(lagged, Relaxed);
                feed.send_value(&Lagged { lagged }).await?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// What the node sees now, again and again. A subscriber that does not keep up gets fewer, never older ones.
pub(crate) async fn cluster(feed: Feed, now: impl Fn() -> ClusterView + Send) -> Result<(), Closed> {
    let mut ticks = interval(CLUSTER_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        feed.send_value(&now()).await?;
    }
}

/// Without the ids, which are appended as text.
fn block_event(chain: &Chain, facts: &Facts, rung: Rung, time_ms: u64, voters: Indices) -> BlockEvent {
    let block = &facts.block;
    let header = block.inner().header();
    BlockEvent {
        rung,
        height: header.height,
        hash: views::block_hash(block),
        epoch: header.epoch,
        view: header.view,
        committer: chain.index_of(&header.committer),
        author: chain.index_of(&header.author),
        timestamp_ms: header.timestamp_ms,
        time_ms,
        transactions: u64::try_from(block.inner().transactions()).unwrap_or(u64::MAX),
        bytes: facts.bytes(),
        voters: voters.iter().filter_map(|member| u32::try_from(member).ok()).collect(),
        ids: None,
    }
}

/// What becomes of transactions once they are final.
pub(crate) struct Ladder {
    /// Whether a rollup is executed.
    pub executes: Box<dyn Fn(RollupId) -> bool + Send + Sync>,
    /// Whether it settles, and is followed there.
    pub settles: Box<dyn Fn(RollupId) -> bool + Send + Sync>,
    /// How far L1 has its block at a height.
    pub on_l1: Box<dyn Fn(RollupId, u64) -> Option<Rung> + Send + Sync>,
}

impl Ladder {
    fn is_end(&self, status: &TransactionStatus) -> bool {
        let rollup = status.place.as_ref().map(|place| place.rollup);
        status.rung.is_end(rollup.is_some_and(&self.executes), rollup.is_some_and(&self.settles))
    }

    /// How far L1 has a transaction with which the cluster is done.
    fn reached(&self, status: &TransactionStatus) -> Option<Rung> {
        let place = status.place.as_ref()?;
        let done = match status.rung {
            Rung::Finalized => !(self.executes)(place.rollup),
            rung => matches!(rung, Rung::Executed | Rung::Posted | Rung::Settled),
        };
        if done && (self.settles)(place.rollup) { (self.on_l1)(place.rollup, place.height) } else { None }
    }
}

/// `events` were subscribed to before `present` was asked for, so nothing falls in between.
pub(crate) async fn transaction<F, Fut>(
    feed: Feed,
    id: TxId,
    present: TransactionStatus,
    mut events: Receiver<Event>,
    recent: Arc<Blocks>,
    ladder: Ladder,
    look_up: F,
) -> Result<(), Closed>
where
    F: Fn() -> Fut + Send,
    Fut: Future<Output = Result<TransactionStatus, Refusal>> + Send,
{
    let mut known = present;
    feed.send_value(&views::transaction(id, &known)).await?;
    while !ladder.is_end(&known) {
        let mut next = match events.recv().await {
            Ok(Event::Block { rung, block, time_ms, .. }) if recent.facts(&block).contains(&id) => {
                placed(&known, id, rung, &block, time_ms)
            }
            Ok(Event::Ended { ids, rung, reason, time_ms }) if ids.contains(&id) => {
                let mut next = TransactionStatus { rung, place: None, reason: Some(reason), ..known.clone() };
                next.times_ms.insert(rung, time_ms);
                next
            }
            Ok(Event::Executed { outcomes, time_ms, .. }) => {
                let Some((_, outcome)) = outcomes.iter().find(|(other, _)| *other == id) else { continue };
                let (rung, reason) = (outcome.rung(), outcome.reason());
                let mut next = TransactionStatus { rung, reason, ..known.clone() };
                next.times_ms.insert(rung, time_ms);
                next
            }
            Ok(Event::Batches { rollup, time_ms }) if is_of(&known, rollup) => match ladder.reached(&known) {
                Some(rung) => {
                    let mut next = known.clone();
                    next.times_ms.entry(rung).or_insert(time_ms);
                    next
                }
                // A reorg took it; the node knows what it was before.
                None if is_on_l1(known.rung) => match look_up().await {
                    Ok(next) => next,
                    Err(_) => continue,
                },
                None => continue,
            },
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => match look_up().await {
                Ok(next) => next,
                Err(_) => continue,
            },
            Err(RecvError::Closed) => return Ok(()),
        };
        next.rung = ladder.reached(&next).unwrap_or(next.rung);
        let back = is_on_l1(known.rung) && next.rung != known.rung;
        if back || next.rung > known.rung || (next.rung == known.rung && next.place != known.place) {
            known = next;
            feed.send_value(&views::transaction(id, &known)).await?;
        }
    }
    Ok(())
}

const fn is_on_l1(rung: Rung) -> bool {
    matches!(rung, Rung::Posted | Rung::Settled)
}

fn is_of(status: &TransactionStatus, rollup: RollupId) -> bool {
    status.place.as_ref().is_some_and(|place| place.rollup == rollup)
}

fn placed(
    known: &TransactionStatus,
    id: TxId,
    rung: Rung,
    block: &Digested<Block>,
    time_ms: u64,
) -> TransactionStatus {
    let mut next = TransactionStatus { rung, reason: None, ..known.clone() };
    next.times_ms.entry(rung).or_insert(time_ms);
    next.place = block.inner().position(&id).map(|(rollup, index)| Place {
        rollup,
        height: block.inner().header().height,
        block: views::digest(block),
        index,
    });
    next
}

/// Batches of one rollup from an index on, each whenever it is another than the last that was told of its index.
/// `read` gives so many as they are now.
pub(crate) async fn batches(
    feed: Feed,
    rollup: RollupId,
    from_index: Option<u64>,
    mut events: Receiver<Event>,
    read: impl Fn(u64, usize) -> Vec<BatchSight> + Send,
) -> Result<(), Closed> {
    // What was told of those that are not settled.
    let mut told = BTreeMap::new();
    let mut from = from_index.unwrap_or(0);
    loop {
        let mut next = from;
        loop {
            let sights = read(next, BATCHES_AT_ONCE);
            let Some(last) = sights.last() else { break };
            next = last.batch.index + 1;
            for sight in sights {
                let index = sight.batch.index;
                if sight.settled {
                    from = index + 1;
                }
                let skipped = from_index.is_none() && sight.settled && !told.contains_key(&index);
                let state = (sight.batch.head(), sight.signature.is_some(), sight.posted, sight.settled);
                if !skipped && told.insert(index, state) != Some(state) {
                    feed.send_value(&view(&sight)).await?;
                }
            }
            told = told.split_off(&from);
        }
        loop {
            match events.recv().await {
                Ok(Event::Batches { rollup: of, .. }) if of == rollup => break,
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return Ok(()),
                Ok(_) => (),
            }
        }
    }
}

/// Finalized segments of one rollup from the height `next` on. `tip` is the last finalized height.
pub(crate) async fn rollup<T, F, Fut>(
    feed: Feed,
    rollup: RollupId,
    mut next: u64,
    mut events: Receiver<Event>,
    tip: T,
    read: F,
) -> Result<(), Closed>
where
    T: Fn() -> u64 + Send,
    F: Fn(u64) -> Fut + Send,
    Fut: Future<Output = Result<Digested<Block>, Refusal>> + Send,
{
    let mut target = tip();
    loop {
        while next <= target {
            match read_patiently(&read, next).await {
                Ok(block) => deliver(&feed, rollup, &block).await?,
                Err(refusal) => {
                    return feed.send_value(&Ended { error: crate::dispatch::error_data(&refusal) }).await;
                }
            }
            next += 1;
        }
        match events.recv().await {
            Ok(Event::Block { rung: Rung::Finalized, block, .. }) => {
                let height = block.inner().header().height;
                if height == next {
                    deliver(&feed, rollup, &block).await?;
                    next += 1;
                }
                target = target.max(height);
            }
            Ok(_) => (),
            Err(RecvError::Lagged(_)) => target = target.max(tip()),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// The tip may run a moment ahead of what can be read; what is gone for good stays gone.
async fn read_patiently<F, Fut>(read: &F, height: u64) -> Result<Digested<Block>, Refusal>
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = Result<Digested<Block>, Refusal>>,
{
    let mut tries = 0;
    loop {
        match read(height).await {
            Err(refusal) if tries < RETRIES_MAX && passing(refusal.reason) => {
                tries += 1;
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

const fn passing(reason: Reason) -> bool {
    matches!(reason, Reason::NotFound | Reason::Busy | Reason::NotReady)
}

async fn deliver(feed: &Feed, rollup: RollupId, block: &Digested<Block>) -> Result<(), Closed> {
    match views::rollup_block(rollup, block) {
        Some(view) => feed.send_value(&view).await,
        None => Ok(()),
    }
}

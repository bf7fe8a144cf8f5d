//! What runs for each subscription: events in, notifications out.
//!
//! A pump waits while its connection is slower than its events. Meanwhile the ring of events, which all
//! subscribers share, moves on: that is the only queue, so a slow subscriber costs no memory.
//! - *blocks*: what fell out of the ring is counted, and told as `{"lagged": n}`.
//! - *transaction*: after a gap, the node is asked where the transaction stands.
//! - *cluster*: the present alone, at an interval.
//! - *rollup*: always by height; events only say that there is more, or bring the next block along.

use crate::{
    api::Chain,
    blocks::{Blocks, Facts},
    methods::views,
    session::{Closed, Feed},
};
use baton_consensus::client::{Event, Place, TransactionStatus};
use baton_types::{
    Block, RollupId, TxId,
    api::{BlockEvent, ClusterView},
    lottery::Indices,
    receipt::{Reason, Refusal, Rung},
};
use commonware_cryptography::Digested;
use serde::Serialize;
use std::{
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
            Ok(Event::Ended { .. } | Event::Executed { .. }) => (),
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

/// `events` were subscribed to before `present` was asked for, so nothing falls in between. `executes`: whether a
/// rollup is executed, and a final transaction goes on.
pub(crate) async fn transaction<F, Fut>(
    feed: Feed,
    id: TxId,
    present: TransactionStatus,
    mut events: Receiver<Event>,
    recent: Arc<Blocks>,
    executes: impl Fn(RollupId) -> bool + Send,
    look_up: F,
) -> Result<(), Closed>
where
    F: Fn() -> Fut + Send,
    Fut: Future<Output = Result<TransactionStatus, Refusal>> + Send,
{
    let mut known = present;
    feed.send_value(&views::transaction(id, &known)).await?;
    while !known.rung.is_end(known.place.as_ref().is_some_and(|place| executes(place.rollup))) {
        let next = match events.recv().await {
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
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => match look_up().await {
                Ok(next) => next,
                Err(_) => continue,
            },
            Err(RecvError::Closed) => return Ok(()),
        };
        if next.rung > known.rung || (next.rung == known.rung && next.place != known.place) {
            known = next;
            feed.send_value(&views::transaction(id, &known)).await?;
        }
    }
    Ok(())
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

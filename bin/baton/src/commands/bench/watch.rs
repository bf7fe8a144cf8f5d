//! The stream of blocks of one node, into the meter.

use super::meter::{BlockSeen, Meter, key};
use crate::rpc::{Api, Subscription};
use baton_types::{
    api::{BlockParams, BlockRef, BlockView, Topic},
    receipt::Rung,
};
use eyre::{WrapErr as _, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{cell::RefCell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A block event, or the count of events that were dropped.
#[derive(Deserialize)]
struct BlockNote<'a> {
    rung: Option<Rung>,
    #[serde(default)]
    height: u64,
    #[serde(default)]
    transactions: u64,
    #[serde(borrow)]
    ids: Option<&'a RawValue>,
    #[serde(default)]
    lagged: u64,
}

/// Feeds the meter until the node closes the connection. `progress` rings at every finalized block.
pub async fn run(
    api: Api,
    mut subscription: Subscription,
    meter: Rc<RefCell<Meter>>,
    progress: Rc<Notify>,
) -> eyre::Result<()> {
    let mut last: Option<u64> = None;
    while let Some(event) = subscription.next().await? {
        let at = meter.borrow().now();
        let note: BlockNote<'_> = event.parse()?;
        meter.borrow_mut().lagged += note.lagged;
        match note.rung {
            Some(rung @ (Rung::Notarized | Rung::Finalized)) => {
                let ids: Vec<&str> = match note.ids {
                    Some(ids) => serde_json::from_str(ids.get()).wrap_err("ids of a block")?,
                    None => Vec::new(),
                };
                let mut meter = meter.borrow_mut();
                for key in ids.into_iter().filter_map(key) {
                    if rung == Rung::Finalized {
                        meter.finalized(key, at, false)
                    } else {
                        meter.notarized(key, at)
                    }
                }
            }
            _ => continue,
        }
        if note.rung != Some(Rung::Finalized) {
            continue;
        }
        // Events that were dropped leave a gap; without these ids the load would wait for ever.
        for height in last.map_or(note.height, |last| last + 1)..note.height {
            fill(&api, height, &meter).await?;
        }
        last = Some(note.height);
        meter.borrow_mut().blocks.push(BlockSeen {
            at,
            height: note.height,
            transactions: note.transactions,
        });
        progress.notify_waiters();
    }
    bail!("{} closed the subscription", api.url())
}

async fn fill(api: &Api, height: u64, meter: &RefCell<Meter>) -> eyre::Result<()> {
    let params = BlockParams { block: BlockRef::Height(height), payloads: false };
    let block: BlockView = api.call("baton_block", Some(params)).await?;
    let mut meter = meter.borrow_mut();
    let at = meter.now();
    meter.blocks.push(BlockSeen { at, height, transactions: block.transactions });
    for id in block.segments.iter().flat_map(|segment| &segment.ids) {
        if let Some(key) = key(id) {
            meter.finalized(key, at, true);
        }
    }
    Ok(())
}

/// When a node reported finalized blocks, in order.
pub type Seen = Rc<RefCell<Vec<Instant>>>;

/// Notes when a node reports finalized blocks, until it closes the subscription.
pub async fn follow(url: &str) -> eyre::Result<(Seen, JoinHandle<eyre::Result<()>>)> {
    let subscription = open(&Api::new(url)?, false).await?;
    let seen = Seen::default();
    Ok((seen.clone(), tokio::task::spawn_local(note(subscription, seen))))
}

/// As [`follow`], and again whenever the node has come back.
pub async fn follow_for_ever(url: String) -> eyre::Result<(Seen, JoinHandle<eyre::Result<()>>)> {
    let api = Api::new(&url)?;
    let mut subscription = open(&api, false).await?;
    let seen = Seen::default();
    let noted = seen.clone();
    let watcher = tokio::task::spawn_local(async move {
        loop {
            // It ends with its node, however that ends.
            let _ = note(subscription, noted.clone()).await;
            subscription = loop {
                match open(&api, false).await {
                    Ok(again) => break again,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            };
        }
    });
    Ok((seen, watcher))
}

async fn note(mut subscription: Subscription, seen: Seen) -> eyre::Result<()> {
    while let Some(event) = subscription.next().await? {
        if event.parse::<BlockNote<'_>>()?.rung == Some(Rung::Finalized) {
            seen.borrow_mut().push(Instant::now());
        }
    }
    Ok(())
}

/// Subscribes to all blocks of a node.
pub async fn open(api: &Api, ids: bool) -> eyre::Result<Subscription> {
    Subscription::open(api.url(), &Topic::Blocks { ids }).await
}

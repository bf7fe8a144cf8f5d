//! Subscriptions: what each topic needs before its pump can run.

use super::{
    batches::{board, not_settled},
    read::{cluster_view, parse_id},
};
use crate::{
    api::{Api, Caller},
    pumps,
    session::{self, Style},
};
use baton_types::{
    api::{Topic, UnsubscribeParams},
    receipt::Refusal,
};

pub async fn subscribe(api: Api, caller: Caller, topic: Topic) -> Result<u64, Refusal> {
    let (session, starts) = session::of(&caller)?;
    let events = api.client.subscribe();
    let recent = api.blocks.clone();
    match topic {
        Topic::Blocks { ids } => {
            let chain = api.chain.clone();
            session.subscribe(starts, Style::Baton, |feed| pumps::blocks(feed, events, chain, recent, ids))
        }
        Topic::Transaction { id, l1 } => {
            let id = parse_id(&id)?;
            let client = api.client.clone();
            let present = client.transaction(id).await?;
            let look_up = move || {
                let client = client.clone();
                async move { client.transaction(id).await }
            };
            let evm = api.chain.genesis.limits().evm;
            let board = api.client.batches().filter(|_| l1).cloned();
            let settling = board.clone();
            let ladder = pumps::Ladder {
                executes: Box::new(move |rollup| evm.contains(rollup)),
                settles: Box::new(move |rollup| settling.as_ref().is_some_and(|board| board.settles(rollup))),
                on_l1: Box::new(move |rollup, height| board.as_ref()?.rung(rollup, height)),
            };
            session.subscribe(starts, Style::Baton, |feed| {
                pumps::transaction(feed, id, present, events, recent, ladder, look_up)
            })
        }
        Topic::Cluster => {
            let (api, peers) = (api.clone(), api.peers.clone());
            session.subscribe(starts, Style::Baton, |feed| {
                pumps::cluster(feed, move || cluster_view(&api, &peers))
            })
        }
        Topic::Batches { rollup, from_index } => {
            let rollup = api.chain.rollup(&rollup)?.id();
            board(&api)?.batches(rollup, 0, 0).ok_or_else(not_settled)?;
            let board = api.client.batches().cloned();
            let read = move |from, limit| {
                let found = board.as_ref().and_then(|board| board.batches(rollup, from, limit));
                found.unwrap_or_default()
            };
            session.subscribe(starts, Style::Baton, |feed| {
                pumps::batches(feed, rollup, from_index, events, read)
            })
        }
        Topic::Rollup { rollup, from_height } => {
            let rollup = api.chain.rollup(&rollup)?.id();
            let (client, reader) = (api.client.clone(), api.client.clone());
            let now = client.finalized_height().saturating_add(1);
            // The genesis block has no segments.
            let from = from_height.unwrap_or(now).max(1);
            if from < now {
                // Refuse at once what this node does not keep.
                client.finalized(from).await?;
            }
            let tip = move || client.finalized_height();
            let read = move |height| {
                let client = reader.clone();
                async move { client.finalized(height).await }
            };
            session
                .subscribe(starts, Style::Baton, |feed| pumps::rollup(feed, rollup, from, events, tip, read))
        }
    }
}

/// False when there was no such subscription on this connection.
pub async fn unsubscribe(_: Api, caller: Caller, params: UnsubscribeParams) -> Result<bool, Refusal> {
    let (session, _) = session::of(&caller)?;
    Ok(session.unsubscribe(params.subscription))
}

//! Subscriptions: what each topic needs before its pump can run.

use super::read::{cluster_view, parse_id};
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
        Topic::Transaction { id } => {
            let id = parse_id(&id)?;
            let client = api.client.clone();
            let present = client.transaction(id).await?;
            let look_up = move || {
                let client = client.clone();
                async move { client.transaction(id).await }
            };
            let evm = api.chain.genesis.limits().evm;
            let executes = move |rollup| evm.contains(rollup);
            session.subscribe(starts, Style::Baton, |feed| {
                pumps::transaction(feed, id, present, events, recent, executes, look_up)
            })
        }
        Topic::Cluster => {
            let (api, peers) = (api.clone(), api.peers.clone());
            session.subscribe(starts, Style::Baton, |feed| {
                pumps::cluster(feed, move || cluster_view(&api, &peers))
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

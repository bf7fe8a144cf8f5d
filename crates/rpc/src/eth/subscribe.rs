//! Subscriptions over a WebSocket: new heads, logs, waiting transactions.
//!
//! Heads and logs go by number: a client that does not keep up gets every one of them, later. Of waiting
//! transactions it loses what falls out of the ring of events.

use super::{
    Methods, Rollup,
    backend::{Block, Event},
    errors, logs,
    views::{self, Within},
};
use crate::{
    api::Caller,
    dispatch::Failure,
    session::{self, Closed, Feed, Style},
};
use alloy_primitives::U64;
use alloy_rpc_types_eth::Filter;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::broadcast::{Receiver, error::RecvError};

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_subscribe",
            "Starts a subscription on this WebSocket. Notifications are calls of eth_subscription.",
            subscribe,
        )
        .with(
            "eth_unsubscribe",
            "Ends a subscription of this WebSocket; false when there was none.",
            unsubscribe,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Topic {
    NewHeads,
    Logs,
    NewPendingTransactions,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SubscribeParams {
    topic: Topic,
    /// For `logs` an object with `address` and `topics`; for `newPendingTransactions` true for transactions
    /// as a whole.
    #[serde(default)]
    #[schemars(with = "Value")]
    options: Option<Options>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Options {
    Full(bool),
    Filter(#[schemars(with = "Map<String, Value>")] Box<Filter>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UnsubscribeParams {
    #[schemars(with = "String")]
    subscription: U64,
}

async fn subscribe(rollup: Arc<Rollup>, caller: Caller, params: SubscribeParams) -> Result<U64, Failure> {
    let (session, starts) = session::of(&caller)?;
    let events = rollup.backend.subscribe();
    let next = rollup.latest() + 1;
    let subscription = match (params.topic, params.options) {
        (Topic::NewHeads, _) => session.subscribe(starts, Style::Ethereum, |feed| async move {
            blocks(&feed, &rollup, events, next, |block| {
                Some(vec![serde_json::to_value(Within::sealed(block).header())])
            })
            .await
        })?,
        (Topic::Logs, Some(Options::Full(_))) => {
            return Err(errors::invalid("options: logs take an object with address and topics"));
        }
        (Topic::Logs, filter) => {
            let filter = match filter {
                Some(Options::Filter(filter)) => filter,
                _ => Box::default(),
            };
            logs::check(&filter)?;
            session.subscribe(starts, Style::Ethereum, |feed| async move {
                blocks(&feed, &rollup, events, next, |block| {
                    if !filter.matches_bloom(block.head.header.logs_bloom) {
                        return None;
                    }
                    let logs = Within::sealed(block).logs().filter(|log| filter.matches(&log.inner));
                    Some(logs.map(serde_json::to_value).collect())
                })
                .await
            })?
        }
        (Topic::NewPendingTransactions, Some(Options::Filter(_))) => {
            return Err(errors::invalid("options: newPendingTransactions takes true or false"));
        }
        (Topic::NewPendingTransactions, options) => {
            let full = matches!(options, Some(Options::Full(true)));
            session.subscribe(starts, Style::Ethereum, move |feed| waiting(feed, events, full))?
        }
    };
    Ok(U64::from(subscription))
}

async fn unsubscribe(_: Arc<Rollup>, caller: Caller, params: UnsubscribeParams) -> Result<bool, Failure> {
    let (session, _) = session::of(&caller)?;
    Ok(session.unsubscribe(params.subscription.to()))
}

/// What `shown` makes of every final block from number `next` on, in order.
async fn blocks(
    feed: &Feed,
    rollup: &Rollup,
    mut events: Receiver<Event>,
    mut next: u64,
    shown: impl Fn(&Block) -> Option<Vec<serde_json::Result<Value>>> + Send,
) -> Result<(), Closed> {
    loop {
        let block = match events.recv().await {
            Ok(Event::Head(block)) => Some(block),
            Ok(Event::Waiting(_)) => continue,
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return Ok(()),
        };
        let last = block.as_ref().map_or_else(|| rollup.latest(), |block| block.head.header.number);
        while next <= last {
            let block = match &block {
                Some(block) if block.head.header.number == next => block.clone(),
                // What was missed. A block that cannot be read now is tried again with the next event.
                _ => match rollup.backend.block(next).await {
                    Ok(Some(block)) => block,
                    Ok(None) | Err(_) => break,
                },
            };
            for value in shown(&block).into_iter().flatten() {
                feed.send_value(&value.expect("views of blocks have a JSON form")).await?;
            }
            next += 1;
        }
    }
}

async fn waiting(feed: Feed, mut events: Receiver<Event>, full: bool) -> Result<(), Closed> {
    loop {
        match events.recv().await {
            Ok(Event::Waiting(signed)) if full => feed.send_value(&views::waiting(&signed)).await?,
            Ok(Event::Waiting(signed)) => feed.send_value(&signed.hash()).await?,
            Ok(Event::Head(_)) => {}
            Err(RecvError::Lagged(lost)) => {
                feed.metrics().lagged.fetch_add(lost, Relaxed);
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

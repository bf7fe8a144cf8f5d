//! Filters: what is new since a client last asked.
//!
//! | filter | what it keeps | bound |
//! |---|---|---|
//! | blocks, logs | the number of the next block | one answer looks at `logs_blocks_max` blocks; the rest comes with the next |
//! | waiting transactions | a place in the node's ring of events | what falls out of the ring is lost |
//!
//! A filter that is not asked for `filter_idle_ms` is gone. A client has at most its share of all. Names are
//! drawn at random, so that nobody ends another's.

use super::{Methods, Rollup, backend::Event, errors, logs, views};
use crate::{api::Caller, config::Limits, dispatch::Failure};
use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{Filter, FilterChanges, Log, Transaction};
use baton_types::receipt::{Reason, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_getLogs",
            "Logs of final blocks, by address and topics.",
            |rollup: Arc<Rollup>, _, params: FilterParams| async move { rollup.logs(&params.filter).await },
        )
        .with("eth_newFilter", "Starts a filter of new logs.", new_filter)
        .with("eth_newBlockFilter", "Starts a filter of new blocks.", new_block_filter)
        .with(
            "eth_newPendingTransactionFilter",
            "Starts a filter of transactions that begin to wait.",
            new_waiting_filter,
        )
        .with("eth_getFilterChanges", "What is new since this was last asked.", changes)
        .with("eth_getFilterLogs", "All logs that a filter matches.", filter_logs)
        .with("eth_uninstallFilter", "Ends a filter; false when there was none.", uninstall)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FilterParams {
    /// `fromBlock` and `toBlock`, or `blockHash`; `address`; `topics`.
    #[schemars(with = "Map<String, Value>")]
    filter: Box<Filter>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullParams {
    /// Transactions as a whole instead of their hashes.
    #[serde(default)]
    full: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IdParams {
    #[schemars(with = "String")]
    id: U128,
}

enum Kind {
    Blocks { next: u64 },
    Logs { filter: Box<Filter>, next: u64 },
    Waiting { events: Receiver<Event>, full: bool },
}

struct Entry {
    client: Arc<str>,
    asked: Instant,
    /// Whoever reads it goes on where the one before ended.
    kind: Arc<tokio::sync::Mutex<Kind>>,
}

pub struct Filters {
    idle: Duration,
    max: usize,
    client_max: usize,
    entries: Mutex<BTreeMap<U128, Entry>>,
}

impl Filters {
    pub fn new(limits: &Limits) -> Self {
        let max = limits.eth.filters_max;
        let client_max = (max.saturating_mul(limits.client_share_percent) / 100).max(1);
        Self { idle: limits.eth.filter_idle(), max, client_max, entries: Mutex::default() }
    }

    /// Without those that nobody has asked for. The lock is never held where something can panic, so a
    /// poisoned one is as good as any.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<U128, Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.asked.elapsed() < self.idle);
        entries
    }

    fn add(&self, client: Arc<str>, kind: Kind) -> Result<U128, Failure> {
        let mut entries = self.entries();
        if entries.len() >= self.max {
            let detail = format!("{} filters are open on this node; retry later, or subscribe", self.max);
            return Err(Refusal::new(Reason::Busy, detail).retry_after(1_000).into());
        }
        if entries.values().filter(|entry| entry.client == client).count() >= self.client_max {
            let detail = format!("{} filters of this client are open; uninstall one first", self.client_max);
            return Err(Refusal::new(Reason::ClientLimit, detail).into());
        }
        let id = U128::from(rand::random::<u128>());
        let kind = Arc::new(tokio::sync::Mutex::new(kind));
        entries.insert(id, Entry { client, asked: Instant::now(), kind });
        Ok(id)
    }

    fn get(&self, id: U128) -> Result<Arc<tokio::sync::Mutex<Kind>>, Failure> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).ok_or_else(|| errors::plain("filter not found"))?;
        entry.asked = Instant::now();
        Ok(entry.kind.clone())
    }
}

async fn new_filter(rollup: Arc<Rollup>, caller: Caller, params: FilterParams) -> Result<U128, Failure> {
    logs::check(&params.filter)?;
    let next = rollup.latest() + 1;
    rollup.filters.add(caller.key, Kind::Logs { filter: params.filter, next })
}

async fn new_block_filter(
    rollup: Arc<Rollup>,
    caller: Caller,
    _: super::state::Nothing,
) -> Result<U128, Failure> {
    let next = rollup.latest() + 1;
    rollup.filters.add(caller.key, Kind::Blocks { next })
}

async fn new_waiting_filter(
    rollup: Arc<Rollup>,
    caller: Caller,
    params: FullParams,
) -> Result<U128, Failure> {
    let full = params.full.unwrap_or(false);
    rollup.filters.add(caller.key, Kind::Waiting { events: rollup.backend.subscribe(), full })
}

async fn changes(rollup: Arc<Rollup>, _: Caller, params: IdParams) -> Result<FilterChanges, Failure> {
    let kind = rollup.filters.get(params.id)?;
    let mut kind = kind.lock().await;
    match &mut *kind {
        Kind::Blocks { next } => {
            let hashes = rollup.new_blocks(next).await?;
            Ok(FilterChanges::Hashes(hashes))
        }
        Kind::Logs { filter, next } => Ok(FilterChanges::Logs(rollup.new_logs(filter, next).await?)),
        Kind::Waiting { events, full: false } => {
            Ok(FilterChanges::Hashes(waiting(events, |signed| signed.hash())))
        }
        Kind::Waiting { events, full: true } => {
            Ok(FilterChanges::Transactions(waiting::<Transaction>(events, views::waiting)))
        }
    }
}

impl Rollup {
    async fn new_blocks(&self, next: &mut u64) -> Result<Vec<B256>, Failure> {
        let last = self.latest().min(next.saturating_add(self.limits.eth.logs_blocks_max - 1));
        let mut hashes = Vec::new();
        for number in *next..=last {
            hashes.push(self.backend.header(number).await?.ok_or_else(errors::no_block)?.hash);
        }
        *next = (*next).max(last.saturating_add(1));
        Ok(hashes)
    }

    async fn new_logs(&self, filter: &Filter, next: &mut u64) -> Result<Vec<Log>, Failure> {
        let (from, to) = filter.extract_block_range();
        let last = self.latest().min(next.saturating_add(self.limits.eth.logs_blocks_max - 1));
        // A filter that ends, or begins later, is silent outside.
        let (first, end) = ((*next).max(from.unwrap_or(0)), last.min(to.unwrap_or(u64::MAX)));
        if first > end {
            *next = (*next).max(last.saturating_add(1));
            return Ok(Vec::new());
        }
        let page = self.page(filter, first, end).await?;
        *next = page.next;
        Ok(page.logs)
    }
}

/// What began to wait, as far as it is still in the ring.
fn waiting<T>(events: &mut Receiver<Event>, shown: impl Fn(&baton_execution::evm::Signed) -> T) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        match events.try_recv() {
            Ok(Event::Waiting(signed)) => all.push(shown(&signed)),
            Ok(Event::Head(_)) | Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return all,
        }
    }
}

async fn filter_logs(rollup: Arc<Rollup>, _: Caller, params: IdParams) -> Result<Vec<Log>, Failure> {
    let kind = rollup.filters.get(params.id)?;
    let kind = kind.lock().await;
    match &*kind {
        Kind::Logs { filter, .. } => rollup.logs(filter).await,
        _ => Err(errors::plain("filter not found: this one is not of logs")),
    }
}

async fn uninstall(rollup: Arc<Rollup>, _: Caller, params: IdParams) -> Result<bool, Failure> {
    Ok(rollup.filters.entries().remove(&params.id).is_some())
}

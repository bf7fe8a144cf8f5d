//! The API of EVM rollups, as Ethereum's clients speak it: `eth_*`, `net_*`, `web3_*`, and
//! `debug_traceTransaction`.
//!
//! ```text
//!  method ─► Rollup ─┬─ blocks, logs, fees ─► Backend ─► the node
//!                    ├─ calls, traces ─► at most `calls_max` threads ─► Scene ─► virtual machine
//!                    ├─ filters (bounded, forgotten when nobody asks)
//!                    └─ subscriptions ─► pump ─► Outbox
//! ```
//!
//! - `latest` and `safe` are the newest final block, `pending` the speculative tip, `finalized` what is final
//!   on L1 too. Blocks never go back, so no log is ever removed.
//! - The nonce of an account at `latest` and `pending` counts what waits: two transactions sent right after
//!   one another get nonces of their own.
//! - Everything is bounded by [`EthLimits`]: gas of a call, threads, blocks and logs of a query, filters, the
//!   size of a trace.
//!
//! Absent: accounts of the node (`eth_sendTransaction`, `eth_sign`), mining, uncles, blobs.

pub mod backend;
mod blocks;
mod call;
mod errors;
mod fees;
mod filters;
pub mod limits;
mod logs;
mod send;
mod state;
mod subscribe;
mod trace;
mod views;

pub use backend::Backend;
pub use limits::EthLimits;

use crate::{
    api::Caller,
    config::Limits,
    dispatch::{Failure, METHOD_NOT_FOUND, Table},
};
use alloy_eips::{BlockId, BlockNumberOrTag};
use backend::Block;
use baton_execution::evm::{Params, Scene};
use baton_types::receipt::{Reason, Refusal};
use fees::Suggestions;
use filters::Filters;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, future::Future, sync::Arc};
use tokio::sync::Semaphore;

/// One EVM rollup behind its methods.
pub struct Rollup {
    name: String,
    version: String,
    backend: Arc<dyn Backend>,
    limits: Limits,
    filters: Filters,
    suggestions: Suggestions,
    /// Threads for what takes the processor long.
    calls: Arc<Semaphore>,
    /// Transactions sent that a client waits for.
    waits: Arc<Semaphore>,
}

/// A block that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Final(u64),
    Pending,
}

impl Rollup {
    pub fn new(name: String, backend: Arc<dyn Backend>, limits: Limits, version: &str) -> Arc<Self> {
        let filters = Filters::new(&limits);
        let calls = Arc::new(Semaphore::new(limits.eth.calls_max));
        Arc::new(Self {
            name,
            version: version.to_owned(),
            backend,
            limits,
            filters,
            suggestions: Suggestions::default(),
            calls,
            waits: Arc::new(Semaphore::new(send::WAITS_MAX)),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn params(&self) -> &Params {
        self.backend.params()
    }

    fn latest(&self) -> u64 {
        self.backend.heads().latest.header.number
    }

    async fn at(&self, block: BlockId) -> Result<Option<At>, Failure> {
        let heads = self.backend.heads();
        let latest = heads.latest.header.number;
        let number = match block {
            BlockId::Hash(hash) => return Ok(self.backend.number(hash.block_hash).await?.map(At::Final)),
            BlockId::Number(BlockNumberOrTag::Pending) => return Ok(Some(At::Pending)),
            BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Safe) => latest,
            BlockId::Number(BlockNumberOrTag::Finalized) => heads.finalized,
            BlockId::Number(BlockNumberOrTag::Earliest) => 0,
            BlockId::Number(BlockNumberOrTag::Number(number)) => number,
        };
        Ok((number <= latest).then_some(At::Final(number)))
    }

    /// The state at a block, and what code run there sees.
    async fn scene(&self, block: BlockId) -> Result<Scene, Failure> {
        match self.at(block).await? {
            None => Err(errors::no_block()),
            Some(At::Pending) => Ok(Scene::within(&self.backend.pending().await?)),
            Some(At::Final(number)) => {
                let latest = self.backend.heads().latest;
                if latest.header.number == number {
                    return Ok(Scene::after(&latest));
                }
                let past = self.backend.past(number).await?.ok_or_else(errors::no_block)?;
                Ok(Scene::after(&past))
            }
        }
    }

    /// A block with all that is in it, and whether it goes on.
    async fn whole(&self, block: BlockId) -> Result<Option<(Arc<Block>, At)>, Failure> {
        let Some(at) = self.at(block).await? else { return Ok(None) };
        let block = match at {
            At::Final(number) => self.backend.block(number).await?,
            At::Pending => {
                let open = self.backend.pending().await?;
                Some(Arc::new(Block::from(&open.seal(self.params()))))
            }
        };
        Ok(block.map(|block| (block, at)))
    }

    /// Runs on a thread of its own, when there is one.
    async fn heavy<T, F>(self: &Arc<Self>, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    {
        let lost = || Refusal::new(Reason::Internal, "the node could not run this to its end");
        let permit = self.calls.clone().acquire_owned().await.map_err(|_| lost())?;
        let rollup = self.clone();
        let running = tokio::task::spawn_blocking(move || {
            // Held until the end, even when nobody waits any more.
            let _permit = permit;
            work(&rollup)
        });
        running.await.map_err(|_| lost())?
    }
}

/// A result in the form that Ethereum's clients have for it.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown<T>(T);

impl<T> JsonSchema for Shown<T> {
    fn schema_name() -> Cow<'static, str> {
        "EthereumResult".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"description": "As in Ethereum's execution API."})
    }
}

/// The rollup that a state's methods of Ethereum are about.
pub type Served<S> = fn(&S) -> Option<Arc<Rollup>>;

/// Whether a state's node takes transactions now, whatever they are.
pub type Admits<S> = fn(&S) -> Result<(), Refusal>;

/// A table that gets the methods of an EVM rollup.
struct Methods<S> {
    table: Table<S>,
    served: Served<S>,
    admits: Admits<S>,
}

impl<S: Clone + Send + Sync + 'static> Methods<S> {
    fn with<P, R, F, Fut>(self, name: &'static str, summary: &'static str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize,
        F: Fn(Arc<Rollup>, Caller, P) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let served = self.served;
        let table = self.table.with_failures(name, summary, move |state: S, caller: Caller, params: P| {
            let rollup = served(&state);
            async move {
                let Some(rollup) = rollup else {
                    let detail =
                        format!("{name} is a method of EVM rollups, and none is served on this path");
                    return Err(Failure::protocol(METHOD_NOT_FOUND, detail));
                };
                function(rollup, caller, params).await.map(Shown)
            }
        });
        Self { table, ..self }
    }

    /// The method added last is refused, unread, while the node takes no transactions.
    fn gated(self) -> Self {
        Self { table: self.table.gated(self.admits), ..self }
    }
}

/// Adds every method of an EVM rollup.
pub fn methods<S: Clone + Send + Sync + 'static>(
    table: Table<S>,
    served: Served<S>,
    admits: Admits<S>,
) -> Table<S> {
    let methods = Methods { table, served, admits };
    let methods = state::methods(blocks::methods(methods));
    let methods = fees::methods(call::methods(methods));
    let methods = filters::methods(send::methods(methods));
    trace::methods(subscribe::methods(methods)).table
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

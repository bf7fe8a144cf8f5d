//! Sending transactions.

use super::{Methods, Rollup, backend::Event, errors, views::Within};
use crate::{api::Caller, dispatch::Failure};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::TransactionReceipt;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How long a transaction is waited for when the client does not say, and at most.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(20);
/// Calls of one rollup that wait; a quarter of the requests that a node serves at the same time, unless told otherwise.
pub const WAITS_MAX: usize = 128;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_sendRawTransaction",
            "Takes a signed transaction. Resolves with its hash when it is on this node's journal.",
            raw,
        )
        .gated()
        .with(
            "eth_sendRawTransactionSync",
            "Takes a signed transaction (EIP-7966). Resolves with its receipt when it is in a final block. The second \
             parameter is how many milliseconds to wait, 5000 when it is left out and 20000 at most; after that the \
             error 4 has the hash, under which the receipt can be asked for.",
            raw_sync,
        )
        .gated()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawParams {
    /// Signed, of type 0, 1, 2 or 4.
    #[schemars(with = "String")]
    transaction: Bytes,
}

async fn raw(rollup: Arc<Rollup>, caller: Caller, params: RawParams) -> Result<B256, Failure> {
    let taken = rollup.backend.submit(caller.key, params.transaction).await;
    taken.map_err(|rejected| errors::rejected(rejected, rollup.params()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSyncParams {
    /// Signed, of type 0, 1, 2 or 4.
    #[schemars(with = "String")]
    transaction: Bytes,
    /// A number, or a hex string.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    timeout_ms: Option<U64>,
}

async fn raw_sync(
    rollup: Arc<Rollup>,
    caller: Caller,
    params: RawSyncParams,
) -> Result<TransactionReceipt, Failure> {
    let RawSyncParams { transaction, timeout_ms } = params;
    let patience = timeout_ms.map_or(PATIENCE, |ms| Duration::from_millis(ms.to())).min(PATIENCE_MAX);
    // Who waits must not take the place of who does not.
    let _waits = rollup.waits.clone().try_acquire_owned().map_err(|_| errors::too_many_wait())?;
    let events = rollup.backend.subscribe();
    let hash = raw(rollup.clone(), caller, RawParams { transaction }).await?;
    if let Ok(receipt) = tokio::time::timeout(patience, executed(&rollup, events, hash)).await {
        return Ok(receipt);
    }
    rollup.receipt(hash).await.ok().flatten().ok_or_else(|| errors::not_yet(hash, patience))
}

/// The receipt of a transaction that was sent after `events` began.
async fn executed(rollup: &Rollup, mut events: Receiver<Event>, hash: B256) -> TransactionReceipt {
    loop {
        let receipt = match events.recv().await {
            Ok(Event::Head(block)) => {
                let index = block.transactions.iter().position(|signed| signed.hash() == hash);
                index.and_then(|index| Within::sealed(&block).receipt(index))
            }
            Ok(Event::Waiting(_)) => None,
            Err(RecvError::Lagged(_)) => rollup.receipt(hash).await.ok().flatten(),
            // The node ends.
            Err(RecvError::Closed) => std::future::pending().await,
        };
        if let Some(receipt) = receipt {
            return receipt;
        }
    }
}

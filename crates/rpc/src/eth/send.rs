//! Sending transactions.

use super::{Methods, Rollup, errors};
use crate::{api::Caller, dispatch::Failure};
use alloy_primitives::{B256, Bytes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_sendRawTransaction",
            "Takes a signed transaction. Resolves with its hash when it is on this node's journal.",
            raw,
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

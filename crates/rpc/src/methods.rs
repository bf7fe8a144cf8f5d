//! The methods of the API: one async function each, and the one table that names them all.

pub mod read;
pub mod submit;
pub mod subscribe;
pub mod views;

use crate::{api::Api, dispatch::Table};
use std::sync::{Arc, LazyLock};

static TABLE: LazyLock<Arc<Table<Api>>> = LazyLock::new(|| Arc::new(build()));

/// Every method, in the order of the documentation.
pub fn table() -> &'static Arc<Table<Api>> {
    &TABLE
}

fn build() -> Table<Api> {
    Table::default()
        .with(
            "baton_submit",
            "Submits one transaction. Resolves when it is on this node's journal, or with ack \"replicated\" \
             on those of 2f+1 nodes; returns its id and a signed receipt.",
            submit::submit,
        )
        .with(
            "baton_submitBatch",
            "Submits transactions that are taken or refused one by one, under one receipt.",
            submit::submit_batch,
        )
        .with(
            "baton_submitBundle",
            "Submits transactions of several rollups that enter the same block or none.",
            submit::submit_bundle,
        )
        .with("baton_transaction", "Where a transaction stands, as this node knows it.", read::transaction)
        .with(
            "baton_proof",
            "Proof that a transaction is final, for whoever knows the group key.",
            read::proof,
        )
        .with("baton_block", "A block by height, by hash, or the last finalized one.", read::block)
        .with(
            "baton_rollupBlocks",
            "A rollup's segments in finalized blocks, from a height on.",
            read::rollup_blocks,
        )
        .with("baton_rollups", "The rollups of this cluster.", read::rollups)
        .with("baton_mempool", "What waits on this node to be ordered.", read::mempool)
        .with("baton_validators", "The members, and what this node sees of them.", read::validators)
        .with("baton_epoch", "The present epoch.", read::epoch)
        .with("baton_status", "This node and what it sees of the cluster.", read::status)
        .with("baton_genesis", "The genesis.", read::genesis)
        .with(
            "baton_subscribe",
            "Starts a subscription on this WebSocket. Notifications are calls of baton_subscription with the \
             subscription's number and a result: BlockEvent or {\"lagged\": n} for blocks, TransactionView \
             for transaction, RollupBlock for rollup. One that ends early sends {\"error\": ErrorData}.",
            subscribe::subscribe,
        )
        .with(
            "baton_unsubscribe",
            "Ends a subscription of this WebSocket; false when there was none.",
            subscribe::unsubscribe,
        )
        .with("rpc.discover", "This description of the API, as OpenRPC.", read::discover)
}

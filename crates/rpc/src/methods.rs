//! The methods of the API: one async function each, and the one table that names them all.

pub mod batches;
pub mod elections;
pub mod read;
pub mod submit;
pub mod subscribe;
pub mod views;

use crate::{api::Api, dispatch::Table, eth};
use std::sync::{Arc, LazyLock};

static TABLE: LazyLock<Arc<Table<Api>>> = LazyLock::new(|| Arc::new(build()));

/// Every method, in the order of the documentation.
pub fn table() -> &'static Arc<Table<Api>> {
    &TABLE
}

fn build() -> Table<Api> {
    eth::methods(cluster(), Api::served, submit::admits)
}

/// The methods of the cluster.
fn cluster() -> Table<Api> {
    Table::default()
        .with(
            "baton_submit",
            "Submits one transaction. Resolves when it is on this node's journal, or with ack \"replicated\" \
             on those of 2f+1 nodes; returns its id and a signed receipt.",
            submit::submit,
        )
        .gated(submit::admits)
        .with(
            "baton_submitBatch",
            "Submits transactions that are taken or refused one by one, under one receipt.",
            submit::submit_batch,
        )
        .gated(submit::admits)
        .with(
            "baton_submitBundle",
            "Submits transactions of several rollups that enter the same block or none.",
            submit::submit_bundle,
        )
        .gated(submit::admits)
        .with("baton_transaction", "Where a transaction stands, as this node knows it.", read::transaction)
        .with(
            "baton_proof",
            "Proof that a transaction is final, for whoever knows the group key.",
            read::proof,
        )
        .with("baton_block", "A block by height, by hash, or the last finalized one.", read::block)
        .with(
            "baton_blockProof",
            "Proof that a block is final, for whoever knows the group key.",
            read::block_proof,
        )
        .with(
            "baton_evmProof",
            "Proof of an account with slots, or of a transaction's receipt, of an EVM rollup, for whoever knows \
             the group key.",
            read::evm_proof,
        )
        .with(
            "baton_rollupBlocks",
            "A rollup's segments in finalized blocks, from a height on.",
            read::rollup_blocks,
        )
        .with("baton_rollups", "The rollups of this cluster.", read::rollups)
        .with("baton_mempool", "What waits on this node to be ordered.", read::mempool)
        .with(
            "baton_lastMinute",
            "What became final in each of the last 60 seconds, oldest first; seconds without a block are left out.",
            read::last_minute,
        )
        .with("baton_validators", "The members, and what this node sees of them.", read::validators)
        .with("baton_epoch", "The present epoch.", read::epoch)
        .with(
            "baton_election",
            "How the author of a finalized block came to build it: committer, reveal, output, draw.",
            elections::election,
        )
        .with(
            "baton_electionProof",
            "Proof of an election by zk-lottery, for whoever knows the group key.",
            elections::election_proof,
        )
        .with(
            "baton_epochProof",
            "A member's zero-knowledge proof of all its reveals of an epoch, from a node that holds it: by epoch \
             and member, or by the proof's hash.",
            elections::epoch_proof,
        )
        .with(
            "baton_batches",
            "Batches of a rollup for L1 as they are placed now, from an index on.",
            batches::batches,
        )
        .with(
            "baton_batch",
            "A batch for L1 with its certificate, which anyone who knows the group key can check.",
            batches::batch,
        )
        .with("baton_status", "This node and what it sees of the cluster.", read::status)
        .with("baton_genesis", "The genesis.", read::genesis)
        .with(
            "baton_subscribe",
            "Starts a subscription on this WebSocket. Notifications are calls of baton_subscription with the \
             subscription's number and a result: BlockEvent or {\"lagged\": n} for blocks, TransactionView \
             for transaction, BatchView for batches, RollupBlock for rollup, ClusterView for cluster. One that \
             ends early sends {\"error\": ErrorData}.",
            subscribe::subscribe,
        )
        .with(
            "baton_unsubscribe",
            "Ends a subscription of this WebSocket; false when there was none.",
            subscribe::unsubscribe,
        )
        .with("rpc.discover", "This description of the API, as OpenRPC.", read::discover)
}

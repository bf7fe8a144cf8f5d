//! Batches for L1.

use crate::api::{Api, Caller};
use baton_consensus::settlement::{BatchSight, Board, QueueSight};
use baton_types::{
    api::{BatchParams, BatchView, BatchesParams, BatchesResult, ForcedQueueView},
    hex,
    receipt::{Reason, Refusal},
    settlement::BatchCertificate,
};

const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

pub(super) fn board(api: &Api) -> Result<&Board, Refusal> {
    let none = || {
        Refusal::new(
            Reason::NotFound,
            "this cluster does not settle: its genesis has no section l1 or batches",
        )
    };
    api.client.batches().map(AsRef::as_ref).ok_or_else(none)
}

pub(super) fn not_settled() -> Refusal {
    Refusal::new(Reason::NotFound, "this rollup does not settle: it is not among l1.rollups of the genesis")
}

pub async fn batches(api: Api, _: Caller, params: BatchesParams) -> Result<BatchesResult, Refusal> {
    let rollup = api.chain.rollup(&params.rollup)?.id();
    let limit = params.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = board(&api)?.batches(rollup, params.from_index, limit).ok_or_else(not_settled)?;
    let next_index = found.last().map_or(params.from_index, |sight| sight.batch.index + 1);
    let queue = board(&api)?.queue(rollup);
    let forced = queue.map(|QueueSight { length, taken }| ForcedQueueView { length, taken });
    Ok(BatchesResult { batches: found.iter().map(view).collect(), next_index, forced })
}

pub async fn batch(api: Api, _: Caller, params: BatchParams) -> Result<BatchView, Refusal> {
    let rollup = api.chain.rollup(&params.rollup)?.id();
    let index = params.index;
    let found = board(&api)?.batches(rollup, index, 1).ok_or_else(not_settled)?;
    found.iter().find(|sight| sight.batch.index == index).map(view).ok_or_else(|| {
        let detail =
            format!("no batch {index} of rollup {rollup} here: not cut yet, taken by the hatch, or too old");
        Refusal::new(Reason::NotFound, detail)
    })
}

pub(crate) fn view(sight: &BatchSight) -> BatchView {
    let BatchSight { batch, signature, posted, settled, posting } = sight;
    let certificate = signature.map(|signature| BatchCertificate { batch: batch.clone(), signature });
    BatchView {
        rollup: batch.rollup.0,
        index: batch.index,
        inbox: hex::encode(&batch.inbox.0),
        key_generation: batch.key_generation,
        first_height: batch.first_height,
        last_height: batch.last_height,
        slot: batch.slot,
        previous_head: hex::encode(&batch.previous_head),
        head: hex::encode(&batch.head()),
        order_root: hex::encode(&batch.order_root),
        data: batch.data_kind,
        data_commitment: hex::encode(&batch.data_commitment),
        forced_cursor: batch.forced_cursor,
        posted: *posted,
        settled: *settled,
        l1_block: posting.map(|posting| posting.l1_number),
        l1_transaction: posting.map(|posting| hex::encode(&posting.transaction)),
        certificate: certificate.as_ref().map(Into::into),
    }
}

//! Batches that the group has signed, and where the poster takes them from.

use crate::Place;
use baton_types::{
    GroupKey, RollupId, SeedPoint,
    settlement::{Batch, BatchCertificate},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;

/// A batch with the signature of the group, and its data.
#[derive(Clone, Debug)]
pub struct Certified {
    pub batch: Batch,
    /// In G1, under [`L1_BATCH`](baton_types::domain::L1_BATCH).
    pub signature: SeedPoint,
    /// What [`Batch::data_commitment`] commits to.
    pub data: Bytes,
}

/// Whether the group signed `batch`.
pub fn is_signed(batch: &Batch, signature: &SeedPoint, group_key: &GroupKey) -> bool {
    BatchCertificate { batch: batch.clone(), signature: *signature }.verify(group_key)
}

/// The cluster, as the poster sees it.
pub trait BatchSource: Send + Sync {
    /// The batch that goes to this place of the rollup's inbox; none while it is not cut or not signed yet.
    fn certified(&self, rollup: RollupId, place: Place) -> BoxFuture<'_, Option<Arc<Certified>>>;
}

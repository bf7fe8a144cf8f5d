//! The three accumulators of a header: transactions of the block, one hash chain per rollup, and
//! all earlier headers.
//!
//! - [`transactions`]: binary Merkle tree over SHA-256(_BATON_LEAF ‖ rollup ‖ index ‖ id), in block
//!   order (`commonware_storage::bmt`).
//! - [`Heads`]: head' = SHA-256(_BATON_CHAIN_HEAD ‖ rollup ‖ head ‖ height ‖ segment), only for rollups with
//!   transactions in the block. Whoever follows one rollup needs nothing of the others.
//! - [`History`]: Merkle mountain range over header digests (`commonware_storage::merkle::mmr`), so
//!   that a certificate for one block proves every block before it.
//!
//! Heads and peaks travel in the body: a block alone is enough to check its child, and a node that
//! restarts or joins needs no derived state.

use crate::{Digest, RollupId, TxId, domain};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_storage::{
    bmt,
    merkle::{Bagging, mmr},
};
use std::collections::BTreeMap;

/// Hashes of one rollup's segment chain, by rollup.
pub type Heads = BTreeMap<RollupId, Digest>;

/// Peaks of a mountain range never exceed the bits of its leaf count.
pub const PEAKS_MAX: usize = 64;

pub const fn hasher() -> mmr::StandardHasher<Sha256> {
    mmr::StandardHasher::new(Bagging::ForwardFold)
}

pub fn leaf(rollup: RollupId, index: u32, id: &TxId) -> Digest {
    domain::hash(domain::LEAF, &[&rollup.0.to_be_bytes(), &index.to_be_bytes(), &id.0])
}

/// The tree over all transactions of a block, given their ids by segment.
pub fn transactions<'a>(segments: impl Iterator<Item = (RollupId, &'a [TxId])>) -> bmt::Tree<Digest> {
    let mut builder = bmt::Builder::<Sha256>::new(0);
    for (rollup, ids) in segments {
        for (index, id) in (0u32..).zip(ids) {
            builder.add(&leaf(rollup, index, id));
        }
    }
    builder.build()
}

/// Advances the chain of every rollup that has a segment in the block at `height`.
pub fn advance_heads<'a>(
    heads: &mut Heads,
    height: u64,
    segments: impl Iterator<Item = (RollupId, &'a [TxId])>,
) {
    for (rollup, ids) in segments {
        let mut segment = Sha256::default();
        segment.update(domain::SEGMENT);
        segment.update(&(ids.len() as u64).to_be_bytes());
        for id in ids {
            segment.update(&id.0);
        }
        let segment = segment.finalize().1;
        let head = heads.entry(rollup).or_insert(EMPTY);
        *head = domain::hash(domain::HEAD, &[&rollup.0.to_be_bytes(), head, &height.to_be_bytes(), &segment]);
    }
}

/// What heads start from, and every field of a header that is not used yet.
pub const EMPTY: Digest = commonware_cryptography::sha256::Digest([0; 32]);

pub fn heads_root(heads: &Heads) -> Digest {
    let mut hasher = Sha256::default();
    hasher.update(domain::HEADS);
    for (rollup, head) in heads {
        hasher.update(&rollup.0.to_be_bytes());
        hasher.update(head);
    }
    hasher.finalize().1
}

/// Accumulator over the digests of the headers at heights `0..leaves`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub leaves: u64,
    pub peaks: Vec<Digest>,
}

impl History {
    pub const fn new() -> Self {
        Self { leaves: 0, peaks: Vec::new() }
    }

    fn range(&self) -> Option<mmr::mem::Mmr<Digest>> {
        let leaves = mmr::Location::new(self.leaves);
        if !leaves.is_valid() {
            return None;
        }
        mmr::mem::Mmr::from_components(Vec::new(), leaves, self.peaks.clone()).ok()
    }

    /// The root, or none when there are not exactly as many peaks as `leaves` makes.
    pub fn root(&self) -> Option<Digest> {
        self.range()?.root(&hasher(), 0).ok()
    }

    /// The accumulator with one more header, or none when this one is malformed or full (2^62 headers).
    pub fn append(&self, header: &Digest) -> Option<Self> {
        if !mmr::Location::new(self.leaves).is_valid_index() {
            return None;
        }
        let mut range = self.range()?;
        let batch = range.new_batch().add(&hasher(), header).merkleize(&range, &hasher());
        range.apply_batch(&batch).ok()?;
        let peaks =
            range.peak_iterator().map(|(position, _)| range.get_node(position)).collect::<Option<_>>()?;
        Some(Self { leaves: self.leaves + 1, peaks })
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

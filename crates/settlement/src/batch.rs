//! From contents to what the group signs.

use crate::{Contents, ContentsLimits, CutRule, blobs, cut::SLICE_BYTES};
use baton_types::{
    Digest, Genesis, Rollup, RollupId,
    genesis::Batches,
    merkle::EMPTY,
    settlement::{Batch, DataKind, L1Address},
};
use commonware_cryptography::{Hasher as _, Sha256};

/// What the genesis says of one rollup's settlement. Without L1 the inbox is a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub rollup: RollupId,
    pub l1_chain_id: u64,
    pub inbox: L1Address,
    pub queue: L1Address,
    pub key_generation: u32,
    pub data_kind: DataKind,
    /// Length of a slot of the sequencing policy.
    pub slot_seconds: u64,
    /// First block of the first batch.
    pub first_height: u64,
    pub rule: CutRule,
}

/// Where in the inbox a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub index: u64,
    pub previous_head: Digest,
}

impl Place {
    /// Of the first batch.
    pub const FIRST: Self = Self { index: 0, previous_head: EMPTY };
}

impl Terms {
    /// Of each rollup that settles, from a genesis that was checked.
    pub fn all(genesis: &Genesis) -> Vec<Self> {
        let generation = || {
            let generation = genesis.key_generation.generation;
            u32::try_from(generation).expect("a genesis with a section l1 or batches has a small one")
        };
        if let Some(batches) = &genesis.batches {
            return Self::without_l1(genesis, batches, generation());
        }
        let Some(l1) = &genesis.l1 else { return Vec::new() };
        let rule = CutRule { bytes_target: l1.batch_bytes_target as u64, age_max_ms: l1.batch_age_ms_max };
        let terms = l1.rollups.iter().map(|settled| Self {
            rollup: settled.id(),
            l1_chain_id: l1.chain_id,
            inbox: L1Address(settled.inbox.0),
            queue: L1Address(settled.queue.0),
            key_generation: generation(),
            data_kind: l1.data,
            slot_seconds: l1.slot_seconds,
            first_height: settled.first_height,
            rule,
        });
        terms.collect()
    }

    /// No chain has the id 0, so a signature means nothing on any L1; what stands for the inbox keeps apart clusters of
    /// one key.
    fn without_l1(genesis: &Genesis, batches: &Batches, key_generation: u32) -> Vec<Self> {
        let digest = genesis.digest();
        let mut inbox = [0; 20];
        inbox.copy_from_slice(&digest.0[..20]);
        let rule = CutRule { bytes_target: batches.bytes_target as u64, age_max_ms: batches.age_ms_max };
        let terms = genesis.rollups.iter().map(|rollup| Self {
            rollup: rollup.id(),
            l1_chain_id: 0,
            inbox: L1Address(inbox),
            queue: L1Address([0; 20]),
            key_generation,
            data_kind: DataKind::Directory,
            slot_seconds: 1,
            first_height: 1,
            rule,
        });
        terms.collect()
    }

    /// Otherwise a directory is all there is.
    pub const fn on_l1(&self) -> bool {
        self.l1_chain_id != 0
    }

    /// What bounds the contents of a batch, whose blocks follow the genesis.
    pub fn limits(&self, rollup: &Rollup) -> ContentsLimits {
        let target = usize::try_from(self.rule.bytes_target).unwrap_or(usize::MAX);
        let block = rollup.block_bytes_max + SLICE_BYTES;
        let bytes_max = target.max(block) + Contents::FRAME_BYTES_MAX;
        ContentsLimits { bytes_max, transaction_bytes_max: rollup.transaction_bytes_max }
    }

    /// What the group signs for `contents`, of whose encoding L1 has `data_commitment`. After an escape the inbox has taken more forced
    /// entries than the cluster's blocks: then the higher cursor takes the place of this one.
    pub fn batch(&self, place: Place, contents: &Contents, data_commitment: Digest) -> Batch {
        Batch {
            l1_chain_id: self.l1_chain_id,
            inbox: self.inbox,
            key_generation: self.key_generation,
            rollup: self.rollup,
            index: place.index,
            previous_head: place.previous_head,
            first_height: contents.first_height,
            last_height: contents.last_height,
            slot: contents.last_timestamp_ms / 1_000 / self.slot_seconds.max(1),
            order_root: contents.order_root(),
            data_kind: self.data_kind,
            data_commitment,
            forced_cursor: contents.forced_cursor(),
            claimed_state_root: contents.result.map_or(EMPTY, |result| Digest::from(result.state_root.0)),
        }
    }
}

/// What L1 checks the data against.
pub fn data_commitment(kind: DataKind, data: &[u8]) -> Digest {
    match kind {
        DataKind::Blobs => blobs::commitment(&blobs::versioned_hashes(&blobs::pack(data))),
        DataKind::Calldata | DataKind::Directory => Sha256::hash(&[data]),
    }
}

//! What the genesis says about L1: where batches go, which of its blocks count, how much is forced. Or about batches
//! without L1.

use super::{Genesis, Invalid, evm::Address, invalid};
use crate::{RollupId, forced, settlement::DataKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// Of a batch.
const AGE_MS: RangeInclusive<u64> = 1_000..=86_400_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// Of L1 (EIP-155); in every batch that the group signs.
    pub chain_id: u64,
    /// Where the contracts keep the keys of clusters.
    pub registry: Address,
    /// Origins are above this block of L1: the contracts are there by then.
    pub start_block: u64,
    /// Which blocks of L1 can be an origin.
    pub confirmation: Confirmation,
    /// How long such a block is known to a proposer before it makes it the origin, so that slower voters know
    /// it too.
    pub origin_wait_ms: u64,
    /// Blocks of L1 that the origin may stay behind what 2f+1 members report.
    pub origin_slack: u64,
    /// Length of a slot of the sequencing policy.
    pub slot_seconds: u64,
    pub data: DataKind,
    /// A batch ends before its transactions have more bytes than this.
    pub batch_bytes_target: usize,
    /// A batch ends before the block that is so much later than its first one with anything in it.
    pub batch_age_ms_max: u64,
    pub forced: ForcedQuota,
    /// In ascending order.
    pub rollups: Vec<SettledRollup>,
}

/// When a block of L1 can be an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// With so many blocks on top of it.
    Depth(u64),
    /// When L1 calls it final. The right one where forced entries carry value.
    Finalized,
}

/// Forced entries of one rollup in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForcedQuota {
    pub entries_max: usize,
    pub bytes_max: usize,
}

/// Where a rollup settles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettledRollup {
    pub rollup: u32,
    /// Takes its batches.
    pub inbox: Address,
    /// Has its forced entries.
    pub queue: Address,
    /// The first block of the cluster in its first batch; as in the inbox.
    pub first_height: u64,
}

/// Batches of all rollups, from block 1 on, for a directory instead of L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// A batch ends before its transactions have more bytes than this.
    pub bytes_target: usize,
    /// A batch ends before the block that is so much later than its first one with anything in it.
    pub age_ms_max: u64,
}

impl Batches {
    pub(super) fn check(&self, genesis: &Genesis) -> Result<(), Invalid> {
        if genesis.l1.is_some() {
            return Err(invalid(
                "batches",
                "with l1",
                "one of the two: rollups settle on L1 or in a directory",
            ));
        }
        let most = Settlement::DIRECTORY_BYTES_MAX;
        if !(1_024..=most / 2).contains(&self.bytes_target) {
            return Err(invalid("batches.bytes_target", self.bytes_target, format!("1024 to {}", most / 2)));
        }
        if !AGE_MS.contains(&self.age_ms_max) {
            let allowed = format!("{} to {}", AGE_MS.start(), AGE_MS.end());
            return Err(invalid("batches.age_ms_max", self.age_ms_max, allowed));
        }
        let generation = genesis.key_generation.generation;
        if u32::try_from(generation).is_err() {
            return Err(invalid("key_generation.generation", generation, "below 4294967296 with batches"));
        }
        Ok(())
    }
}

impl SettledRollup {
    pub const fn id(&self) -> RollupId {
        RollupId(self.rollup)
    }
}

impl Settlement {
    /// Most rollups that settle: their queues stand in every block.
    pub const ROLLUPS_MAX: usize = 16;
    /// What six blobs hold, at 31 bytes per element of 32.
    const BLOB_BYTES_MAX: usize = 6 * 4_096 * 31 - 4;
    /// Nodes of L1 relay no larger transaction.
    const CALLDATA_BYTES_MAX: usize = 120 * 1_024;
    const DIRECTORY_BYTES_MAX: usize = 64 * 1_024 * 1_024;

    pub fn rollup(&self, id: RollupId) -> Option<&SettledRollup> {
        self.rollups.iter().find(|rollup| rollup.id() == id)
    }

    /// What bounds the part of a block that speaks of L1.
    pub fn limits(&self) -> forced::Limits {
        let ForcedQuota { entries_max, bytes_max } = self.forced;
        forced::Limits { rollups: self.rollups.len(), entries_max, bytes_max }
    }

    pub(super) fn check(&self, genesis: &Genesis) -> Result<(), Invalid> {
        if self.chain_id == 0 {
            return Err(invalid("l1.chain_id", 0, "1 or more"));
        }
        check_address("l1.registry", &self.registry)?;
        if let Confirmation::Depth(depth) = self.confirmation
            && depth > 10_000
        {
            return Err(invalid("l1.confirmation.depth", depth, "0 to 10000"));
        }
        let bounds = [
            ("origin_wait_ms", self.origin_wait_ms, 0, 600_000),
            ("origin_slack", self.origin_slack, 0, 100_000),
            ("slot_seconds", self.slot_seconds, 1, 3_600),
            ("batch_age_ms_max", self.batch_age_ms_max, *AGE_MS.start(), *AGE_MS.end()),
            ("forced.entries_max", self.forced.entries_max as u64, 1, forced::PENDING_MAX as u64),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(invalid(format!("l1.{key}"), value, format!("{least} to {most}")));
            }
        }
        let generation = genesis.key_generation.generation;
        if u32::try_from(generation).is_err() {
            return Err(invalid("key_generation.generation", generation, "below 4294967296 with l1"));
        }
        self.check_rollups(genesis)?;
        self.check_sizes(genesis)
    }

    fn check_rollups(&self, genesis: &Genesis) -> Result<(), Invalid> {
        if !(1..=Self::ROLLUPS_MAX).contains(&self.rollups.len()) {
            return Err(invalid("l1.rollups", self.rollups.len(), format!("1 to {}", Self::ROLLUPS_MAX)));
        }
        let mut addresses = BTreeSet::from([self.registry]);
        let mut previous = 0;
        for (index, settled) in self.rollups.iter().enumerate() {
            let key = |field: &str| format!("l1.rollups[{index}].{field}");
            if genesis.rollup(settled.id()).is_none() {
                return Err(invalid(key("rollup"), settled.rollup, "the id of one of rollups"));
            }
            if settled.rollup <= previous {
                return Err(invalid(key("rollup"), settled.rollup, "in ascending order, once each"));
            }
            previous = settled.rollup;
            if settled.first_height == 0 {
                return Err(invalid(key("first_height"), 0, "1 or more: block 0 has no transactions"));
            }
            for (field, address) in [("inbox", settled.inbox), ("queue", settled.queue)] {
                check_address(&key(field), &address)?;
                if !addresses.insert(address) {
                    return Err(invalid(key(field), address, "a contract of its own"));
                }
            }
        }
        Ok(())
    }

    /// Whether a block of a rollup fits a batch, and forced entries a block.
    fn check_sizes(&self, genesis: &Genesis) -> Result<(), Invalid> {
        let most = match self.data {
            DataKind::Blobs => Self::BLOB_BYTES_MAX,
            DataKind::Calldata => Self::CALLDATA_BYTES_MAX,
            DataKind::Directory => Self::DIRECTORY_BYTES_MAX,
        };
        let target = self.batch_bytes_target;
        if !(1_024..=most / 2).contains(&target) {
            let allowed = format!("1024 to {}: half of what a transaction of L1 has room for", most / 2);
            return Err(invalid("l1.batch_bytes_target", target, allowed));
        }
        for rollup in self.rollups.iter().filter_map(|settled| genesis.rollup(settled.id())) {
            let name = &rollup.name;
            // A block above the target is a batch by itself.
            let room = most - most / 16;
            if rollup.block_bytes_max > room {
                let allowed = format!("at most {room} for rollup {name}: one block must fit one batch");
                return Err(invalid("rollups[].block_bytes_max", rollup.block_bytes_max, allowed));
            }
            let (least, most) = (rollup.transaction_bytes_max, rollup.block_bytes_max / 2);
            if !(least..=most).contains(&self.forced.bytes_max) {
                let allowed = format!(
                    "{least} to {most} for rollup {name}: its largest transaction, and half of its segment"
                );
                return Err(invalid("l1.forced.bytes_max", self.forced.bytes_max, allowed));
            }
        }
        let together = self.forced.bytes_max * self.rollups.len();
        if together > genesis.block_bytes_max / 2 {
            let allowed = format!("at most {}, half of a block", genesis.block_bytes_max / 2);
            return Err(invalid("l1.forced.bytes_max", format!("{together} of all rollups"), allowed));
        }
        Ok(())
    }
}

fn check_address(key: &str, address: &Address) -> Result<(), Invalid> {
    if address.0 == [0; 20] {
        return Err(invalid(key, address, "the address of the contract"));
    }
    Ok(())
}

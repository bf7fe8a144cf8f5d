//! Rules for a block's body, and for its accumulators given its parent.
//!
//! ```text
//! check_body          needs the block alone: shape, sizes, payloads, validity, bundles
//! check_accumulators  needs the parent too: rollup heads and history
//! Recent::contains    needs the ancestry: no id a second time (module recent)
//! ```
//!
//! A voter applies all three before it votes; a proposer keeps them by construction ([`Pool`]).
//! Signature, roots and decoding limits are checked where blocks are decoded (`baton_types::block`).
//!
//! # Bundles
//! A bundle's id is a hash over its legs sorted by rollup, and blocks order segments by rollup. So
//! the legs with one bundle id, taken in block order, must hash to exactly that id: a missing,
//! foreign, repeated or reordered leg gives another. Nothing else tells how many legs there are.
//!
//! # Deliberately absent
//! Fee hints of opaque transactions bind nobody and are not in blocks, so order is not checked. Time,
//! author, ceremony payload and seed are consensus' business.
//!
//! [`Pool`]: crate::Pool

use crate::Rules;
use baton_types::{
    Block, Bundle, BundleId, Rollup, RollupId, Segment, Transaction, TxId, genesis::Data, merkle,
    receipt::Reason, transaction::bundle_id,
};
use commonware_codec::EncodeSize as _;
use std::collections::{BTreeMap, btree_map::Entry};
use thiserror::Error;

/// The rule that a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    #[error("segment of rollup {rollup} comes after that of rollup {previous}; ids must ascend")]
    SegmentOrder { rollup: RollupId, previous: RollupId },
    #[error("segment of rollup {rollup} is empty; rollups without transactions have none")]
    EmptySegment { rollup: RollupId },
    #[error("rollup {rollup} is not in the genesis")]
    UnknownRollup { rollup: RollupId },
    #[error("segments take {bytes} bytes; a block may have {max}")]
    BlockTooLarge { bytes: usize, max: usize },
    #[error("segment of rollup {rollup} takes {bytes} bytes; it may take {max}")]
    SegmentTooLarge { rollup: RollupId, bytes: usize, max: usize },
    #[error("transaction {id} has no payload")]
    EmptyPayload { id: TxId },
    #[error("payload of transaction {id} has {bytes} bytes; its rollup allows {max}")]
    PayloadTooLarge { id: TxId, bytes: usize, max: usize },
    #[error("payload of transaction {id} has {bytes} bytes; its rollup takes hashes of 32")]
    NotAHash { id: TxId, bytes: usize },
    #[error("transaction {id} was valid until {valid_until}; the block has height {height}")]
    Expired { id: TxId, valid_until: u64, height: u64 },
    #[error("transaction {id} is valid until {valid_until}; at this height at most {latest}")]
    ValidityTooLong { id: TxId, valid_until: u64, latest: u64 },
    #[error("transaction {id} stands in the block twice")]
    RepeatedId { id: TxId },
    #[error("bundle {bundle} is interrupted in the segment of rollup {rollup}")]
    BundleInterrupted { bundle: BundleId, rollup: RollupId },
    #[error("bundle {bundle} has more than {max} legs")]
    BundleTooLong { bundle: BundleId, max: usize },
    #[error("legs of bundle {bundle} are valid until {one} and until {other}; all must agree")]
    BundleValidity { bundle: BundleId, one: u64, other: u64 },
    #[error("the legs in the block do not make bundle {bundle}: some are missing, foreign or reordered")]
    BundleIncomplete { bundle: BundleId },
    #[error("height {height} does not follow the parent's height {parent}")]
    Height { height: u64, parent: u64 },
    #[error("rollup heads do not follow from the parent's and the block's segments")]
    Heads,
    #[error("history does not follow from the parent's")]
    History,
    #[error("forced entries of rollup {rollup} exceed the quota of one block")]
    ForcedQuota { rollup: RollupId },
    #[error("a forced entry of rollup {rollup} should be {}", .reason.map_or("ordered".to_owned(), |reason| format!("left out: {}", reason.name())))]
    ForcedFate { rollup: RollupId, reason: Option<Reason> },
}

impl Violation {
    /// For metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SegmentOrder { .. } => "segment_order",
            Self::EmptySegment { .. } => "empty_segment",
            Self::UnknownRollup { .. } => "unknown_rollup",
            Self::BlockTooLarge { .. } => "block_too_large",
            Self::SegmentTooLarge { .. } => "segment_too_large",
            Self::EmptyPayload { .. } => "empty_payload",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::NotAHash { .. } => "not_a_hash",
            Self::Expired { .. } => "expired",
            Self::ValidityTooLong { .. } => "validity_too_long",
            Self::RepeatedId { .. } => "repeated_id",
            Self::BundleInterrupted { .. } => "bundle_interrupted",
            Self::BundleTooLong { .. } => "bundle_too_long",
            Self::BundleValidity { .. } => "bundle_validity",
            Self::BundleIncomplete { .. } => "bundle_incomplete",
            Self::Height { .. } => "height",
            Self::Heads => "heads",
            Self::History => "history",
            Self::ForcedQuota { .. } => "forced_quota",
            Self::ForcedFate { .. } => "forced_fate",
        }
    }
}

/// Rules that need neither parent nor ancestry.
pub fn check_body(rules: &Rules, block: &Block) -> Result<(), Violation> {
    let segments = &block.body().segments;
    check_segments(rules, segments)?;
    for (segment, (_, ids)) in segments.iter().zip(block.segment_ids()) {
        let rollup =
            rules.rollup(segment.rollup).ok_or(Violation::UnknownRollup { rollup: segment.rollup })?;
        for (transaction, id) in segment.transactions.iter().zip(ids) {
            check_payload(rollup, transaction, *id)?;
            check_validity(rules, block.header().height, transaction, *id)?;
        }
    }
    check_unique(block)?;
    check_bundles(segments)
}

fn check_segments(rules: &Rules, segments: &[Segment]) -> Result<(), Violation> {
    for pair in segments.windows(2) {
        let (previous, rollup) = (pair[0].rollup, pair[1].rollup);
        if previous >= rollup {
            return Err(Violation::SegmentOrder { rollup, previous });
        }
    }
    let mut bytes = segments.len().encode_size();
    for segment in segments {
        let rollup = segment.rollup;
        let max = rules.rollup(rollup).ok_or(Violation::UnknownRollup { rollup })?.block_bytes_max;
        if segment.transactions.is_empty() {
            return Err(Violation::EmptySegment { rollup });
        }
        let size = segment.encode_size();
        if size > max {
            return Err(Violation::SegmentTooLarge { rollup, bytes: size, max });
        }
        bytes += size;
    }
    let max = rules.limits().block_bytes_max;
    if bytes > max {
        return Err(Violation::BlockTooLarge { bytes, max });
    }
    Ok(())
}

fn check_payload(rollup: &Rollup, transaction: &Transaction, id: TxId) -> Result<(), Violation> {
    let bytes = transaction.payload.len();
    let max = rollup.transaction_bytes_max;
    if bytes == 0 {
        return Err(Violation::EmptyPayload { id });
    }
    if rollup.data == Data::Hash && bytes != 32 {
        return Err(Violation::NotAHash { id, bytes });
    }
    if bytes > max {
        return Err(Violation::PayloadTooLarge { id, bytes, max });
    }
    Ok(())
}

fn check_validity(rules: &Rules, height: u64, transaction: &Transaction, id: TxId) -> Result<(), Violation> {
    // That it is in its queue is checked against the parent.
    if rules.forced().is_some() && transaction.forced().is_some() {
        return Ok(());
    }
    let valid_until = transaction.valid_until;
    let latest = height.saturating_add(rules.validity_blocks_max());
    if valid_until < height {
        return Err(Violation::Expired { id, valid_until, height });
    }
    if valid_until > latest {
        return Err(Violation::ValidityTooLong { id, valid_until, latest });
    }
    Ok(())
}

/// Sorting needs no table that a proposer could fill with colliding ids.
fn check_unique(block: &Block) -> Result<(), Violation> {
    let mut ids: Vec<_> = block.ids().copied().collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Violation::RepeatedId { id: pair[0] }),
        None => Ok(()),
    }
}

/// Legs of one bundle found so far, in block order.
struct Legs<'a> {
    valid_until: u64,
    payloads: Vec<(RollupId, &'a [u8])>,
    /// Rollup of the last leg.
    rollup: RollupId,
}

fn check_bundles(segments: &[Segment]) -> Result<(), Violation> {
    let mut bundles: BTreeMap<BundleId, Legs<'_>> = BTreeMap::new();
    for segment in segments {
        let mut previous = None;
        for transaction in &segment.transactions {
            if let Some(bundle) = transaction.bundle {
                let continues = previous == Some(bundle);
                collect_leg(&mut bundles, bundle, segment.rollup, transaction, continues)?;
            }
            previous = transaction.bundle;
        }
    }
    for (bundle, legs) in &bundles {
        if bundle_id(legs.valid_until, legs.payloads.iter().copied()) != *bundle {
            return Err(Violation::BundleIncomplete { bundle: *bundle });
        }
    }
    Ok(())
}

/// `continues`: the transaction before it, in the same segment, is of the same bundle.
fn collect_leg<'a>(
    bundles: &mut BTreeMap<BundleId, Legs<'a>>,
    bundle: BundleId,
    rollup: RollupId,
    transaction: &'a Transaction,
    continues: bool,
) -> Result<(), Violation> {
    let valid_until = transaction.valid_until;
    let legs = match bundles.entry(bundle) {
        Entry::Vacant(entry) => entry.insert(Legs { valid_until, payloads: Vec::new(), rollup }),
        Entry::Occupied(entry) => {
            let legs = entry.into_mut();
            if legs.rollup == rollup && !continues {
                return Err(Violation::BundleInterrupted { bundle, rollup });
            }
            if legs.valid_until != valid_until {
                return Err(Violation::BundleValidity { bundle, one: legs.valid_until, other: valid_until });
            }
            legs
        }
    };
    if legs.payloads.len() == Bundle::LEGS_MAX {
        return Err(Violation::BundleTooLong { bundle, max: Bundle::LEGS_MAX });
    }
    legs.payloads.push((rollup, &transaction.payload));
    legs.rollup = rollup;
    Ok(())
}

/// Rules that follow from the parent: the block carries on its heads and its history. That `parent` is
/// the block's parent is for the caller to see.
pub fn check_accumulators(parent: &Block, block: &Block) -> Result<(), Violation> {
    let (height, parent_height) = (block.header().height, parent.header().height);
    if parent_height.checked_add(1) != Some(height) {
        return Err(Violation::Height { height, parent: parent_height });
    }
    let mut heads = parent.body().heads.clone();
    merkle::advance_heads(&mut heads, height, block.segment_ids());
    if block.body().heads != heads {
        return Err(Violation::Heads);
    }
    match parent.history_after() {
        Some(history) if history.peaks == block.body().peaks => Ok(()),
        _ => Err(Violation::History),
    }
}

#[cfg(test)]
mod tests;

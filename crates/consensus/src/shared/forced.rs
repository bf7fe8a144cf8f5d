//! Forced entries between L1 and the pool.

use super::{Shared, State, lags};
use crate::settlement::Offer;
use baton_execution::{
    Violation,
    forced::{Pick, check, pick},
};
use baton_types::{Block, Digest, Height, RollupId, Segment, TxId, forced::Taken};
use commonware_consensus::Heightable as _;
use commonware_cryptography::{Digested, Digestible as _};
use std::collections::{BTreeMap, BTreeSet};

/// What a block carries.
#[derive(Default)]
pub struct Selection {
    pub segments: Vec<Segment>,
    pub taken: BTreeMap<RollupId, Vec<Taken>>,
}

impl Shared {
    /// The transactions of a block on `parent`, forced ones first; none when its ancestry is not known. A rollup
    /// with pending entries that are not among `offers` has none at all.
    pub fn select(&self, parent: &Digested<Block>, offers: BTreeMap<RollupId, Offer>) -> Selection {
        let (digest, height) = (parent.digest(), parent.height().get());
        let results = &parent.inner().body().results;
        let mut rooms = self.rooms(&digest, height, results);
        let mut state = self.state.lock();
        let State { pool, recent, strain, .. } = &mut *state;
        let Some(ancestry) = recent.ancestry(&digest, height) else { return Selection::default() };
        let (mut first, mut taken, mut closed) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for (rollup, Offer { cursor, entries }) in offers {
            let paused = results.get(&rollup).is_some_and(|known| lags(known, height + 1));
            let picked = if paused {
                Pick::default()
            } else {
                pick(&self.rules, rollup, cursor, entries.into_iter(), |id| ancestry.has_lately(id))
            };
            if picked.taken.is_empty() {
                closed.insert(rollup);
                continue;
            }
            if let Some(room) = rooms.get_mut(&rollup) {
                room.gas = room.gas.saturating_sub(picked.gas);
            }
            taken.insert(rollup, picked.taken);
            if !picked.transactions.is_empty() {
                first.push(Segment { rollup, transactions: picked.transactions });
            }
        }
        let evm = &self.rules.limits().evm;
        let ids = |segment: &Segment| -> Vec<TxId> {
            segment.transactions.iter().map(|forced| evm.id(segment.rollup, forced)).collect()
        };
        let forced: BTreeSet<TxId> = first.iter().flat_map(ids).collect();
        pool.set_rooms(&rooms);
        pool.set_closed(&closed);
        pool.set_block_bytes(strain.bytes(self.rules.limits().block_bytes_max));
        let skip = |id: &TxId| forced.contains(id) || ancestry.contains(id);
        Selection { segments: pool.select_behind(height + 1, first, skip), taken }
    }

    /// Whether a block ordered and left out the forced entries that it had to; an outer none when its
    /// ancestry is not known.
    pub fn check_forced(
        &self,
        parent: &Digest,
        parent_height: Height,
        block: &Block,
    ) -> Option<Result<(), Violation>> {
        let state = self.state.lock();
        let ancestry = state.recent.ancestry(parent, parent_height.get())?;
        Some(check(&self.rules, block, |id| ancestry.has_lately(id)))
    }
}

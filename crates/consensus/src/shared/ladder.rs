//! Where a transaction stands, read off the pool, the unfinalized blocks and the finalized ones.

use super::{Shared, Times};
use crate::client::{Place, TransactionStatus};
use baton_types::{Block, Digest, TxId, receipt::Rung};
use commonware_consensus::Heightable as _;
use commonware_cryptography::{Digested, Digestible as _};
use std::collections::BTreeMap;

impl Shared {
    /// Where a transaction stands, as far as memory tells. For finalized ones only the height is known.
    pub fn standing(&self, id: &TxId) -> Standing {
        let state = self.state.lock();
        if let Some(height) = state.recent.height_of(id) {
            let times = state.times.get(&height).copied().unwrap_or_default();
            return Standing::Finalized { height, times_ms: named(&times) };
        }
        let best = state
            .tracked
            .values()
            .filter(|tracked| tracked.rung >= Rung::Proposed)
            .filter_map(|tracked| Some((tracked, tracked.block.inner().position(id)?)))
            .max_by_key(|(tracked, _)| (tracked.rung, tracked.block.height()));
        if let Some((tracked, (rollup, index))) = best {
            return Standing::Here(TransactionStatus {
                rung: tracked.rung,
                place: Some(Place {
                    rollup,
                    height: tracked.block.height().get(),
                    block: tracked.block.digest(),
                    index,
                }),
                times_ms: named(&tracked.times),
                reason: None,
            });
        }
        let waiting = state.pool.rung(id).map(|rung| (rung, None));
        let ended = || state.ended.get(id).map(|(rung, reason)| (*rung, Some(*reason)));
        match waiting.or_else(ended) {
            Some((rung, reason)) => {
                Standing::Here(TransactionStatus { rung, place: None, times_ms: BTreeMap::new(), reason })
            }
            None => Standing::Unknown,
        }
    }

    /// An unfinalized block by its digest, with its rung.
    pub fn unfinalized(&self, digest: &Digest) -> Option<(Digested<Block>, Rung)> {
        let state = self.state.lock();
        state.tracked.get(digest).map(|tracked| (tracked.block.clone(), tracked.rung))
    }
}

/// See [`Shared::standing`].
pub enum Standing {
    Here(TransactionStatus),
    Finalized { height: u64, times_ms: BTreeMap<Rung, u64> },
    Unknown,
}

fn named(times: &Times) -> BTreeMap<Rung, u64> {
    [Rung::Proposed, Rung::Notarized, Rung::Finalized]
        .into_iter()
        .zip(*times)
        .filter(|(_, time)| *time != 0)
        .collect()
}

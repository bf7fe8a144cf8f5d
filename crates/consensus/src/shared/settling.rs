//! What settlement asks of the rest of the node.

use super::Shared;
use crate::settlement::L1;
use baton_execution::pool::Unit;
use baton_types::{RollupId, receipt::Refusal};
use std::collections::BTreeMap;

pub struct Settling {
    /// The lowest block that batches may need which L1 does not have for good.
    pub needs_from: u64,
    /// Rollups that take nothing from clients until L1 has caught up.
    pub behind: BTreeMap<RollupId, Refusal>,
}

impl Default for Settling {
    fn default() -> Self {
        Self { needs_from: u64::MAX, behind: BTreeMap::new() }
    }
}

impl Shared {
    /// From here on `l1` is told what became of views.
    pub fn settle(&self, l1: L1) {
        let _ = self.l1.set(l1);
    }

    pub fn set_settling(&self, settling: Settling) {
        *self.settling.lock() = settling;
    }

    /// Why a client's unit is not taken for now. One leg that has to wait is enough: a bundle is atomic.
    pub fn held_up(&self, unit: &Unit) -> Option<Refusal> {
        let behind = &self.settling.lock().behind;
        if behind.is_empty() {
            return None;
        }
        match unit {
            Unit::Single { rollup, .. } => behind.get(rollup).cloned(),
            Unit::Bundle(bundle) => bundle.legs.iter().find_map(|(rollup, _)| behind.get(rollup).cloned()),
        }
    }
}

//! The facts of the genesis that decide whether a transaction or a block is acceptable.

use baton_types::{BlockLimits, Genesis, Rollup, RollupId};
use std::sync::Arc;

/// Cheap to clone; the same on every node of a chain.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    /// In ascending order of id.
    rollups: Vec<Rollup>,
    limits: BlockLimits,
    validity_blocks_max: u64,
}

impl Rules {
    pub fn new(genesis: &Genesis) -> Self {
        let mut rollups = genesis.rollups.clone();
        rollups.sort_unstable_by_key(Rollup::id);
        Self(Arc::new(Facts {
            rollups,
            limits: genesis.limits(),
            validity_blocks_max: genesis.validity_blocks_max,
        }))
    }

    /// In ascending order of id.
    pub fn rollups(&self) -> &[Rollup] {
        &self.0.rollups
    }

    pub fn rollup(&self, id: RollupId) -> Option<&Rollup> {
        let index = self.0.rollups.binary_search_by_key(&id, Rollup::id).ok()?;
        self.0.rollups.get(index)
    }

    pub fn limits(&self) -> &BlockLimits {
        &self.0.limits
    }

    /// How far beyond a block's height `valid_until` of its transactions may lie.
    pub fn validity_blocks_max(&self) -> u64 {
        self.0.validity_blocks_max
    }
}

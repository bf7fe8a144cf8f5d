//! The facts of the genesis that decide whether a transaction or a block is acceptable.

use crate::evm::Params;
use baton_types::{BlockLimits, Genesis, Rollup, RollupId, genesis::settlement::ForcedQuota};
use std::{collections::BTreeMap, sync::Arc};

/// Cheap to clone; the same on every node of a chain.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    /// In ascending order of id.
    rollups: Vec<Rollup>,
    evm: BTreeMap<RollupId, Params>,
    limits: BlockLimits,
    validity_blocks_max: u64,
    forced: Option<ForcedQuota>,
}

impl Rules {
    pub fn new(genesis: &Genesis) -> Self {
        let mut rollups = genesis.rollups.clone();
        rollups.sort_unstable_by_key(Rollup::id);
        Self(Arc::new(Facts {
            evm: rollups.iter().filter_map(|rollup| Some((rollup.id(), Params::new(rollup)?))).collect(),
            rollups,
            limits: genesis.limits(),
            validity_blocks_max: genesis.validity_blocks_max,
            forced: genesis.l1.as_ref().map(|l1| l1.forced),
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

    /// What the executor of an EVM rollup needs to know; none for the others.
    pub fn evm(&self, id: RollupId) -> Option<&Params> {
        self.0.evm.get(&id)
    }

    pub fn limits(&self) -> &BlockLimits {
        &self.0.limits
    }

    /// How much of a block is forced entries of one rollup at most; none for a chain that knows nothing of L1.
    pub fn forced(&self) -> Option<&ForcedQuota> {
        self.0.forced.as_ref()
    }

    /// How far beyond a block's height `valid_until` of its transactions may lie.
    pub fn validity_blocks_max(&self) -> u64 {
        self.0.validity_blocks_max
    }
}

//! The newest headers of L1, each the parent of the next.

use alloy_primitives::B256;
use std::collections::BTreeMap;

/// Headers that are kept, and how far a branch may be walked back: some three hours.
pub const KEPT_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    pub timestamp: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Chain {
    blocks: BTreeMap<u64, Block>,
    finalized: Option<Block>,
}

impl Chain {
    /// Begins with a final block.
    pub fn starting(block: Block) -> Self {
        Self { blocks: BTreeMap::from([(block.number, block)]), finalized: Some(block) }
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub fn tip(&self) -> Option<&Block> {
        self.blocks.last_key_value().map(|(_, block)| block)
    }

    pub fn hash(&self, number: u64) -> Option<B256> {
        self.blocks.get(&number).map(|block| block.hash)
    }

    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    pub const fn finalized(&self) -> Option<&Block> {
        self.finalized.as_ref()
    }

    /// Takes blocks that follow one of the chain; what stood above that one is gone. Returns how much that was.
    pub fn adopt(&mut self, branch: Vec<Block>) -> u64 {
        let Some(first) = branch.first() else { return 0 };
        let dropped = self.blocks.split_off(&first.number).len() as u64;
        debug_assert_eq!(self.hash(first.number - 1), Some(first.parent));
        self.blocks.extend(branch.into_iter().map(|block| (block.number, block)));
        while self.blocks.len() > KEPT_MAX {
            self.blocks.pop_first();
        }
        dropped
    }

    /// Finality never goes down.
    pub fn finalize(&mut self, number: u64) {
        if self.finalized.is_none_or(|finalized| finalized.number < number)
            && let Some(block) = self.blocks.get(&number)
        {
            self.finalized = Some(*block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(numbers: std::ops::RangeInclusive<u64>, fork: u8, parent: B256) -> Vec<Block> {
        let mut parent = parent;
        let block = |number: u64| {
            let hash = B256::from_slice(&[[fork; 16], [u8::try_from(number).unwrap(); 16]].concat());
            let block = Block { number, hash, parent, timestamp: number * 12 };
            parent = hash;
            block
        };
        numbers.map(block).collect()
    }

    #[test]
    fn a_branch_replaces_what_stood_above_its_ancestor() {
        let first = branch(10..=20, 1, B256::ZERO);
        let mut chain = Chain::starting(first[0]);
        assert_eq!(chain.adopt(first[1..].to_vec()), 0);
        chain.finalize(12);
        chain.finalize(11);
        assert_eq!(chain.finalized().unwrap().number, 12);
        let ancestor = chain.hash(17).unwrap();
        let other = branch(18..=19, 2, ancestor);
        assert_eq!(chain.adopt(other.clone()), 3);
        assert_eq!(chain.tip(), other.last());
        assert_eq!(
            (chain.hash(10), chain.hash(17), chain.hash(20)),
            (Some(first[0].hash), Some(ancestor), None)
        );
    }

    #[test]
    fn it_keeps_no_more_than_it_may() {
        let mut chain = Chain::starting(branch(0..=0, 1, B256::ZERO)[0]);
        for number in 1..3_000 {
            let parent = chain.tip().unwrap().hash;
            let hash = alloy_primitives::keccak256(parent);
            chain.adopt(vec![Block { number, hash, parent, timestamp: number }]);
        }
        assert_eq!(chain.blocks().count(), KEPT_MAX);
        assert_eq!(chain.tip().unwrap().number, 2_999);
    }
}

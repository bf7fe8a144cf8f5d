//! Blocks for tests.

use crate::{CutRule, Cutter, L1Origin, Part};
use baton_types::{
    Digest, EvmRollups, ExecutionResult, RollupId, SeedPoint, Transaction, hex,
    merkle::{self, EMPTY, Heads},
};
use bytes::Bytes;
use commonware_cryptography::{Hasher as _, Sha256};

pub const ROLLUP: RollupId = RollupId(2);
pub const RULE: CutRule = CutRule { bytes_target: 1_000, age_max_ms: 5_000 };

pub fn digest(number: u64) -> Digest {
    Sha256::hash(&[&number.to_be_bytes()])
}

/// For what does not look at it: the generator of the curve's group.
pub fn signature() -> SeedPoint {
    const GENERATOR: &str =
        "0x97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
    hex::decode_value(GENERATOR, &()).expect("it is a point")
}

pub fn transaction(height: u64, payload: &[u8]) -> Transaction {
    Transaction { valid_until: height + 100, bundle: None, payload: Bytes::copy_from_slice(payload) }
}

/// A chain of blocks with one rollup.
pub struct Chain {
    pub cutter: Cutter,
    pub executed: bool,
    pub head: Digest,
    pub height: u64,
    pub forced: u64,
}

impl Chain {
    pub const fn new(executed: bool) -> Self {
        let cutter = Cutter::new(RULE, ROLLUP, 1, EMPTY, 0);
        Self { cutter, executed, head: EMPTY, height: 0, forced: 0 }
    }

    /// The next block, at this time.
    pub fn push(&mut self, timestamp_ms: u64, transactions: &[Transaction]) -> Option<crate::Contents> {
        self.height += 1;
        let evm = EvmRollups::new(self.executed.then_some(ROLLUP));
        let ids: Vec<_> = transactions.iter().map(|transaction| evm.id(ROLLUP, transaction)).collect();
        let mut heads = Heads::from([(ROLLUP, self.head)]);
        if !ids.is_empty() {
            merkle::advance_heads(&mut heads, self.height, [(ROLLUP, &ids[..])].into_iter());
        }
        self.head = heads[&ROLLUP];
        let part = Part {
            height: self.height,
            timestamp_ms,
            parent: digest(self.height - 1),
            parent_seed: [u8::try_from(self.height % 256).unwrap(); 48],
            origin: L1Origin { number: self.height / 4, hash: digest(1_000 + self.height / 4) },
            forced_cursor: self.forced,
            transactions,
            head: self.head,
            result: self.executed.then(|| ExecutionResult::genesis(self.height)),
        };
        self.cutter.push(&part).unwrap()
    }
}

//! Hashes of the last 256 blocks, for the opcode BLOCKHASH. A clone costs nothing.

use super::{state::State, trie::Trie};
use alloy_eips::eip2935::{HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS};
use alloy_primitives::{B256, U256};

#[derive(Clone, Debug, Default)]
pub struct RecentHashes(Trie<B256>);

const KEPT: u64 = 256;

fn key(number: u64) -> B256 {
    U256::from(number).into()
}

impl RecentHashes {
    /// Of the blocks before `number`, as the state after block `number` has them.
    pub fn from_state(state: &State, number: u64) -> Self {
        let mut hashes = Self::default();
        for number in number.saturating_sub(KEPT - 1)..number {
            hashes.push(number, in_state(state, number));
        }
        hashes
    }

    pub fn get(&self, number: u64) -> Option<B256> {
        self.0.get(&key(number)).copied()
    }

    pub fn push(&mut self, number: u64, hash: B256) {
        self.0.insert(key(number), hash);
        if let Some(old) = number.checked_sub(KEPT) {
            self.0.remove(&key(old));
        }
    }
}

/// The hash of one of the last blocks, where EIP-2935 keeps it.
pub fn in_state(state: &State, number: u64) -> B256 {
    let slot = U256::from(number) % U256::from(HISTORY_SERVE_WINDOW);
    state.storage(&HISTORY_STORAGE_ADDRESS, slot).into()
}

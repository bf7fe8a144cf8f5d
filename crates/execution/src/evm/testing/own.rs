//! What the tests of this crate share: its contracts, a rollup, and traffic of every kind.

use super::{
    CHAIN_ID, ETHER, INVALID, STORE, Wallet, call, contract, create, delegation, deploy, legacy,
    with_access_list, words,
};
use crate::{
    evm::{ClusterBlock, Entry, Params, Signed, Skip, State},
    testing::Rng,
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use baton_types::{
    Digest, Rollup,
    genesis::evm::{AllocAccount, Evm},
    hex::{Hex, HexArray},
};
use std::sync::Arc;

/// Emits a log with the caller as topic.
pub const LOG: &[u8] = &[0x33, 0x60, 0x00, 0x60, 0x00, 0xa1, 0x00];
/// Writes slot 0 and then reverts.
pub const REVERT: &[u8] = &[0x60, 0x01, 0x60, 0x00, 0x55, 0x60, 0x00, 0x60, 0x00, 0xfd];
/// Gives everything to the caller and asks to be destroyed.
pub const DESTRUCT: &[u8] = &[0x33, 0xff];
/// Writes number, time, randao, base fee, coinbase, chain id, gas limit, blob base fee and the parent's
/// hash to slots 0 to 8.
pub const ENVIRONMENT: &[u8] = &[
    0x43, 0x60, 0x00, 0x55, 0x42, 0x60, 0x01, 0x55, 0x44, 0x60, 0x02, 0x55, 0x48, 0x60, 0x03, 0x55, 0x41,
    0x60, 0x04, 0x55, 0x46, 0x60, 0x05, 0x55, 0x45, 0x60, 0x06, 0x55, 0x4a, 0x60, 0x07, 0x55, 0x60, 0x01,
    0x43, 0x03, 0x40, 0x60, 0x08, 0x55, 0x00,
];

/// Those of the genesis, in the order of [`contract`].
pub const CONTRACTS: [&[u8]; 6] = [STORE, LOG, REVERT, INVALID, DESTRUCT, ENVIRONMENT];

/// An evm rollup with `wallets` rich wallets and the contracts above.
pub fn rollup(wallets: u64) -> Rollup {
    let mut evm = Evm::new(CHAIN_ID);
    evm.fee_recipient = HexArray([0xfe; 20]);
    for wallet in (0..wallets).map(Wallet::new) {
        let account = AllocAccount { balance: 1_000 * ETHER, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(wallet.address.0.0), account);
    }
    for (index, code) in (0..).zip(CONTRACTS) {
        let account = AllocAccount { nonce: 1, code: Some(Hex(code.to_vec())), ..AllocAccount::default() };
        evm.alloc.insert(HexArray(contract(index).0.0), account);
    }
    Rollup::evm(2, "evm", evm)
}

pub fn params(rollup: &Rollup) -> Params {
    Params::new(rollup).unwrap()
}

pub fn entry(params: &Params, raw: &[u8]) -> Entry {
    Entry { transaction: Signed::decode(raw, params).map(Arc::new), bundle: None }
}

pub fn skipped(skip: Skip) -> Entry {
    Entry { transaction: Err(skip), bundle: None }
}

pub fn digest(number: u64) -> Digest {
    Digest::from(keccak256(number.to_be_bytes()).0)
}

pub fn cluster_block(number: u64, parent: u64, timestamp_ms: u64, entries: Vec<Entry>) -> ClusterBlock {
    ClusterBlock {
        digest: digest(number),
        parent: digest(parent),
        height: number,
        timestamp_ms,
        parent_seed: [u8::try_from(number % 251).unwrap(); 48],
        entries,
    }
}

/// Transactions of every kind, mostly executable ones.
pub struct Traffic {
    pub rng: Rng,
    pub wallets: Vec<Wallet>,
    pub nonces: Vec<u64>,
}

impl Traffic {
    pub fn new(seed: u64, wallets: u64) -> Self {
        let nonces = vec![0; usize::try_from(wallets).unwrap()];
        Self { rng: Rng::new(seed), wallets: (0..wallets).map(Wallet::new).collect(), nonces }
    }

    /// Goes on with the nonces of this state.
    pub fn catch_up(&mut self, state: &State) {
        for (nonce, wallet) in self.nonces.iter_mut().zip(&self.wallets) {
            *nonce = state.account(&wallet.address).map_or(0, |facts| facts.nonce);
        }
    }

    pub fn raw(&mut self) -> Bytes {
        let who = self.rng.below(self.wallets.len());
        let wallet = self.wallets[who];
        let nonce = if self.rng.chance(5) { self.rng.next() % 9 } else { self.nonces[who] };
        if nonce == self.nonces[who] {
            self.nonces[who] += 1;
        }
        let someone = Address::from_word(keccak256((self.rng.next() % 40).to_be_bytes()));
        let slot = self.rng.next() % 12;
        // Zero frees the slot.
        let value = self.rng.next() % 3;
        let target = contract(u8::try_from(self.rng.below(CONTRACTS.len())).unwrap());
        match self.rng.below(9) {
            0 => wallet.raw(legacy(nonce, someone, 3)),
            1 => wallet.raw(with_access_list(nonce, contract(0))),
            2 | 3 => wallet.raw(TxEip1559 { value: U256::from(7), ..call(nonce, someone) }),
            4 => wallet.raw(TxEip1559 { input: words(&[slot, value]), ..call(nonce, contract(0)) }),
            5 => wallet.raw(call(nonce, target)),
            6 => wallet.raw(create(nonce, deploy(CONTRACTS[self.rng.below(CONTRACTS.len())]))),
            7 => wallet.raw(create(nonce, DESTRUCT.to_vec())),
            _ => {
                let other = self.rng.below(self.wallets.len());
                let to = if self.rng.chance(30) { Address::ZERO } else { contract(0) };
                let authorization = self.wallets[other].authorize(self.nonces[other], to);
                self.nonces[other] += 1;
                wallet.raw(delegation(nonce, self.wallets[other].address, vec![authorization]))
            }
        }
    }
}

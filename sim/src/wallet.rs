//! Signed transactions of EVM rollups, from the accounts that everybody knows.

use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip4844, TxEip4844Variant, TxEnvelope,
    crypto::secp256k1::sign_message,
};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use baton_consensus::{Client, evm::Execution};
use baton_execution::pool::Unit;
use baton_node::accounts::{ACCOUNTS, CHAIN_ID, devnet_rollup};
use baton_types::{
    Genesis, Rollup, RollupId, Transaction,
    genesis::{Ordering, evm::Cadence},
    receipt::Reason,
};
use bytes::Bytes;
use std::sync::Arc;

/// The rollup that [`with_evm`] adds.
pub const EVM: RollupId = RollupId(4);
/// The second of the two that [`with_two_evms`] adds.
pub const OTHER: RollupId = RollupId(5);
const GWEI: u128 = 1_000_000_000;

/// The EVM rollups of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evm {
    #[default]
    None,
    PerBlock,
    Slotted,
    Arrival,
    Two,
}

impl Evm {
    pub fn add(self, genesis: &mut Genesis) {
        match self {
            Self::None => {}
            Self::PerBlock => with_evm(genesis),
            Self::Slotted => with_slots(genesis),
            Self::Arrival => with_arrival(genesis),
            Self::Two => with_two_evms(genesis),
        }
    }
}

/// Adds an EVM rollup, ordered by tips.
pub fn with_evm(genesis: &mut Genesis) {
    genesis.rollups.push(devnet_rollup(EVM.0));
}

/// As [`with_evm`], with blocks of a second.
pub fn with_slots(genesis: &mut Genesis) {
    let mut rollup = devnet_rollup(EVM.0);
    if let Some(evm) = &mut rollup.evm {
        evm.cadence = Cadence::Slotted { ms: 1_000 };
    }
    genesis.rollups.push(rollup);
}

/// As [`with_evm`], ordered as it comes, so that voters do not look at what a proposer takes.
pub fn with_arrival(genesis: &mut Genesis) {
    genesis.rollups.push(Rollup { ordering: Ordering::Arrival, ..devnet_rollup(EVM.0) });
}

/// As [`with_evm`], and another with a chain id of its own.
pub fn with_two_evms(genesis: &mut Genesis) {
    with_evm(genesis);
    let mut rollup = Rollup { name: "other".to_owned(), ..devnet_rollup(OTHER.0) };
    if let Some(evm) = &mut rollup.evm {
        evm.chain_id = CHAIN_ID + 1;
    }
    genesis.rollups.push(rollup);
}

/// An account's address.
pub fn address(account: usize) -> Address {
    ACCOUNTS[account % ACCOUNTS.len()].0.parse().expect("a constant")
}

fn key(account: usize) -> B256 {
    ACCOUNTS[account % ACCOUNTS.len()].1.parse().expect("a constant")
}

fn sign<T: SignableTransaction<Signature>>(key: B256, transaction: T) -> Bytes
where
    TxEnvelope: From<Signed<T>>,
{
    let signature = sign_message(key, transaction.signature_hash()).expect("a key signs");
    Bytes::from(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
}

fn one_wei(chain_id: u64, nonce: u64, tip_gwei: u128, to: Address) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: (100 + tip_gwei) * GWEI,
        max_priority_fee_per_gas: tip_gwei * GWEI,
        to: TxKind::Call(to),
        value: U256::ONE,
        ..TxEip1559::default()
    }
}

/// A raw transfer of one wei.
pub fn transfer(account: usize, nonce: u64, tip_gwei: u128, to: Address) -> Bytes {
    sign(key(account), one_wei(CHAIN_ID, nonce, tip_gwei, to))
}

/// What execution leaves out of the rollup [`EVM`], and why. No two numbers have one in common.
pub fn waste(number: u64) -> Vec<(Bytes, Reason)> {
    let rich = key(0);
    let poor = keccak256(number.to_be_bytes());
    let to = Address::repeat_byte(0x22);
    let plain = TxEip1559 { value: U256::from(number), ..one_wei(CHAIN_ID, 0, 1, to) };
    let gap = TxEip1559 { nonce: 1_000_000 + number, ..plain.clone() };
    let cheap = TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 1, ..plain.clone() };
    let elsewhere = TxEip1559 { chain_id: CHAIN_ID + 9, ..plain.clone() };
    let gasless = TxEip1559 { gas_limit: 20_999, ..plain.clone() };
    let blobs: TxEip4844Variant = TxEip4844Variant::TxEip4844(TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_fee_per_blob_gas: GWEI,
        to,
        value: U256::from(number),
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        ..TxEip4844::default()
    });
    let cut = sign(rich, plain.clone());
    vec![
        (sign(rich, gap), Reason::NonceTooHigh),
        (sign(poor, plain), Reason::Balance),
        (sign(poor, cheap), Reason::FeeBelowBase),
        (sign(rich, elsewhere), Reason::WrongChainId),
        (sign(rich, gasless), Reason::IntrinsicGas),
        (sign(rich, blobs), Reason::UnsupportedType),
        (cut.slice(..cut.len() - 1), Reason::Malformed),
    ]
}

/// The next transfer of one of the accounts in each EVM rollup, as a node sees it.
pub fn next_transfers(client: &Client, turn: usize, validity_blocks: u64) -> Vec<Unit> {
    let (sender, tip) = (address(turn), (turn % 7) as u128 + 1);
    let valid_until = client.finalized_height() + validity_blocks;
    let transfer = |execution: &Arc<Execution>| {
        let latest = execution.heads().latest;
        let used = || latest.state.account(&sender).map_or(0, |facts| facts.nonce);
        let nonce = client.next_nonce(execution.id, &sender).unwrap_or_else(used);
        let next = one_wei(execution.params.chain_id, nonce, tip, Address::repeat_byte(0x11));
        let transaction = Transaction { valid_until, bundle: None, payload: sign(key(turn), next) };
        Unit::Single { rollup: execution.id, transaction, fee_hint: 0 }
    };
    client.executions().map(transfer).collect()
}

//! Signed transactions of an EVM rollup, from the accounts that everybody knows.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, TxKind, U256};
use baton_consensus::Client;
use baton_execution::pool::Unit;
use baton_node::accounts::{ACCOUNTS, CHAIN_ID, devnet_rollup};
use baton_types::{Genesis, RollupId, Transaction, genesis::evm::Cadence};
use bytes::Bytes;

/// The rollup that [`with_evm`] adds.
pub const EVM: RollupId = RollupId(4);
const GWEI: u128 = 1_000_000_000;

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

/// An account's address.
pub fn address(account: usize) -> Address {
    ACCOUNTS[account % ACCOUNTS.len()].0.parse().expect("a constant")
}

/// A raw transfer of one wei.
pub fn transfer(account: usize, nonce: u64, tip_gwei: u128, to: Address) -> Bytes {
    let key: B256 = ACCOUNTS[account % ACCOUNTS.len()].1.parse().expect("a constant");
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: (100 + tip_gwei) * GWEI,
        max_priority_fee_per_gas: tip_gwei * GWEI,
        to: TxKind::Call(to),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let signature = sign_message(key, transaction.signature_hash()).expect("a key signs");
    Bytes::from(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
}

/// The next transfer of one of the accounts, as a node sees it; none where there is no such rollup.
pub fn next_transfer(client: &Client, turn: usize, validity_blocks: u64) -> Option<Unit> {
    let execution = client.execution(EVM)?;
    let sender = address(turn);
    let latest = execution.heads().latest;
    let used = || latest.state.account(&sender).map_or(0, |facts| facts.nonce);
    let nonce = client.next_nonce(EVM, &sender).unwrap_or_else(used);
    let tip = (turn % 7) as u128 + 1;
    let payload = transfer(turn, nonce, tip, Address::repeat_byte(0x11));
    let valid_until = client.finalized_height() + validity_blocks;
    let transaction = Transaction { valid_until, bundle: None, payload };
    Some(Unit::Single { rollup: EVM, transaction, fee_hint: 0 })
}

//! Wallets, transactions and small contracts, for the tests of this crate and of those above it.

#![allow(clippy::unwrap_used, reason = "for tests, which may stand in another crate")]

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod own;

#[cfg(test)]
pub use oracle::Oracle;
#[cfg(test)]
pub use own::*;

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy,
    crypto::secp256k1::sign_message,
};
use alloy_eips::{
    eip2718::Encodable2718 as _,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};

pub const CHAIN_ID: u64 = 2_211;
pub const GWEI: u128 = 1_000_000_000;
pub const ETHER: u128 = GWEI * GWEI;

/// A key with its address.
#[derive(Clone, Copy, Debug)]
pub struct Wallet {
    secret: B256,
    pub address: Address,
}

impl Wallet {
    pub fn new(seed: u64) -> Self {
        Self::of(keccak256(seed.to_be_bytes()))
    }

    pub fn of(secret: B256) -> Self {
        let signature = sign_message(secret, secret).unwrap();
        Self { secret, address: signature.recover_address_from_prehash(&secret).unwrap() }
    }

    fn sign(&self, hash: B256) -> Signature {
        sign_message(self.secret, hash).unwrap()
    }

    pub fn raw<T: SignableTransaction<Signature>>(&self, transaction: T) -> Bytes
    where
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.sign(transaction.signature_hash());
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    pub fn authorize(&self, nonce: u64, address: Address) -> SignedAuthorization {
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address, nonce };
        let signature = self.sign(authorization.signature_hash());
        authorization.into_signed(signature)
    }
}

/// Of type 2, as most.
pub fn call(nonce: u64, to: Address) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(to),
        ..TxEip1559::default()
    }
}

pub fn create(nonce: u64, init: Vec<u8>) -> TxEip1559 {
    TxEip1559 { to: TxKind::Create, input: init.into(), gas_limit: 1_000_000, ..call(nonce, Address::ZERO) }
}

pub fn legacy(nonce: u64, to: Address, value: u128) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 5 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::new(),
    }
}

pub fn with_access_list(nonce: u64, to: Address) -> TxEip2930 {
    let item = AccessListItem { address: to, storage_keys: vec![B256::ZERO, B256::with_last_byte(1)] };
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 5 * GWEI,
        gas_limit: 150_000,
        to: TxKind::Call(to),
        value: U256::ZERO,
        access_list: AccessList(vec![item]),
        input: words(&[0, 7]),
    }
}

pub fn delegation(nonce: u64, to: Address, authorizations: Vec<SignedAuthorization>) -> TxEip7702 {
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 300_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        authorization_list: authorizations,
        input: words(&[1, 9]),
        ..TxEip7702::default()
    }
}

pub fn words(words: &[u64]) -> Bytes {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect::<Vec<_>>().into()
}

/// Writes the second word of its input to the slot named by the first.
pub const STORE: &[u8] = &[0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x55, 0x00];
/// Burns all its gas.
pub const INVALID: &[u8] = &[0xfe];

/// Init code that deploys `runtime`.
pub fn deploy(runtime: &[u8]) -> Vec<u8> {
    let size = u8::try_from(runtime.len()).unwrap();
    let mut init = vec![0x60, size, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, size, 0x60, 0x00, 0xf3];
    init.extend_from_slice(runtime);
    init
}

/// Where the genesis has its contracts.
pub const fn contract(index: u8) -> Address {
    Address::repeat_byte(0xc0 + index)
}

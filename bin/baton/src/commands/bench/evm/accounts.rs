//! Accounts of the load, and what they sign.

use crate::commands::bench::meter::{Key, Stamp};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use eyre::eyre;

const GWEI: u128 = 1_000_000_000;
/// Base fees rise while blocks are full; nobody is to be left behind for that.
const FEE_MAX: u128 = 10_000 * GWEI;
const TRANSFER_GAS: u64 = 21_000;
const TOKEN_TRANSFER_GAS: u64 = 65_000;

/// What one transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One wei to an account that does not exist yet.
    Transfer,
    /// One token of this contract to somebody who has none yet.
    Token(Address),
}

/// A signed transaction as a JSON-RPC call, written once.
pub struct Call {
    /// Number in its load.
    pub id: u64,
    pub text: String,
    pub key: Key,
    /// When it was due or first sent; 0 before.
    pub sent: Stamp,
}

pub struct Account {
    secret: B256,
    pub address: Address,
    /// Of its next transaction.
    pub nonce: u64,
}

impl Account {
    /// The same for the same seed, and nobody's otherwise.
    pub fn derive(seed: u64, count: u32) -> eyre::Result<Vec<Self>> {
        let account = |index: u32| {
            let secret = keccak256([&b"baton load"[..], &seed.to_be_bytes(), &index.to_be_bytes()].concat());
            // A signature tells its signer.
            let signature =
                sign_message(secret, secret).map_err(|error| eyre!("a key of the load: {error}"))?;
            let address = signature.recover_address_from_prehash(&secret);
            Ok(Self { secret, address: address.map_err(|error| eyre!("{error}"))?, nonce: 0 })
        };
        (0..count).map(account).collect()
    }

    /// Signs its next transaction.
    pub fn sign(
        &mut self,
        chain_id: u64,
        to: TxKind,
        gas_limit: u64,
        input: Bytes,
        value: u64,
    ) -> eyre::Result<(String, B256)> {
        let transaction = TxEip1559 {
            chain_id,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: FEE_MAX,
            max_priority_fee_per_gas: 1,
            to,
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        };
        let signature = sign_message(self.secret, transaction.signature_hash())
            .map_err(|error| eyre!("cannot sign a transaction: {error}"))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        self.nonce += 1;
        Ok((hex::encode_prefixed(envelope.encoded_2718()), *envelope.tx_hash()))
    }

    /// The call with number `id` of a load.
    pub fn call(&mut self, chain_id: u64, kind: Kind, id: u64) -> eyre::Result<Call> {
        let someone = Address::from_word(keccak256([&self.address[..], &self.nonce.to_be_bytes()].concat()));
        let (raw, hash) = match kind {
            Kind::Transfer => self.sign(chain_id, TxKind::Call(someone), TRANSFER_GAS, Bytes::new(), 1)?,
            Kind::Token(token) => {
                let input = arguments("transfer(address,uint256)", &[someone.into_word(), one()]);
                self.sign(chain_id, TxKind::Call(token), TOKEN_TRANSFER_GAS, input, 0)?
            }
        };
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_sendRawTransaction","params":["{raw}"]}}"#);
        Ok(Call { id, text, key: key(&hash), sent: 0 })
    }
}

/// As [`crate::commands::bench::meter::key`] of the hash as text.
fn key(hash: &B256) -> Key {
    let half = |from: usize| {
        let bytes = hash[from..from + 8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    };
    [half(0), half(8)]
}

const fn one() -> B256 {
    B256::with_last_byte(1)
}

/// A call of a Solidity function with these words.
pub fn arguments(signature: &str, words: &[B256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    words.iter().for_each(|word| input.extend_from_slice(&word[..]));
    input.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_what_nodes_take() {
        let mut accounts = Account::derive(7, 3).unwrap();
        assert_ne!(accounts[0].address, accounts[1].address);
        assert_eq!(accounts[2].address, Account::derive(7, 3).unwrap()[2].address);
        assert_ne!(accounts[0].address, Account::derive(8, 1).unwrap()[0].address);
        let call = accounts[1].call(2_211, Kind::Token(Address::repeat_byte(1)), 5).unwrap();
        let read: serde_json::Value = serde_json::from_str(&call.text).unwrap();
        let raw = hex::decode(read["params"][0].as_str().unwrap()).unwrap();
        let hash = keccak256(&raw);
        assert_eq!(crate::commands::bench::meter::key(&hash.to_string()), Some(call.key));
        assert_eq!((read["id"].as_u64(), accounts[1].nonce), (Some(5), 1));
    }
}

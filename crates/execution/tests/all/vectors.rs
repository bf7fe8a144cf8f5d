//! The golden vector of EVM rollups: blocks of the cluster in, outcomes, headers and records out.
//!
//! `cargo xtask vectors` writes it anew. A difference is a break of the protocol.

use alloy_consensus::{
    SignableTransaction, Signed as AlloySigned, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy,
    crypto::secp256k1::sign_message,
};
use alloy_eips::{
    eip2718::Encodable2718 as _,
    eip2930::{AccessList, AccessListItem},
    eip7702::Authorization,
};
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use baton_execution::evm::{
    Chain, ChainLimits, ClusterBlock, Entry, Executed, Outcome, Params, Signed, Skip,
};
use baton_types::{
    Digest, Rollup,
    genesis::evm::{AllocAccount, Cadence, Evm},
    hex::{self, Hex, HexArray},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

const CHAIN_ID: u64 = 2_211;
const LIMITS: ChainLimits = ChainLimits { branches_max: 16, history_max: 16 };
/// Writes the second word of its input to the slot named by the first.
const STORE: [u8; 8] = [0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x55, 0x00];
const CONTRACT: Address = Address::repeat_byte(0xc0);

fn secret(wallet: u8) -> B256 {
    keccak256([wallet])
}

fn address(wallet: u8) -> Address {
    let signature = sign_message(secret(wallet), B256::ZERO).unwrap();
    signature.recover_address_from_prehash(&B256::ZERO).unwrap()
}

fn raw<T: SignableTransaction<Signature>>(wallet: u8, transaction: T) -> Vec<u8>
where
    TxEnvelope: From<AlloySigned<T>>,
{
    let signature = sign_message(secret(wallet), transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

fn call(nonce: u64, to: TxKind, value: u64, input: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value: U256::from(value),
        input: input.into(),
        ..TxEip1559::default()
    }
}

fn store(slot: u64, value: u64) -> Vec<u8> {
    [slot, value].iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect()
}

fn transactions() -> [Vec<Vec<u8>>; 3] {
    let to = TxKind::Call(Address::repeat_byte(1));
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        gas_price: 5_000_000_000,
        gas_limit: 21_000,
        to,
        value: U256::from(3),
        ..TxLegacy::default()
    };
    let access_list = TxEip2930 {
        chain_id: CHAIN_ID,
        gas_price: 5_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        access_list: AccessList(vec![AccessListItem { address: CONTRACT, storage_keys: vec![B256::ZERO] }]),
        input: store(0, 7).into(),
        ..TxEip2930::default()
    };
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: CONTRACT, nonce: 0 };
    let signature = sign_message(secret(9), authorization.signature_hash()).unwrap();
    let delegation = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 200_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: address(9),
        authorization_list: vec![authorization.into_signed(signature)],
        input: store(1, 9).into(),
        ..TxEip7702::default()
    };
    // Deploys one byte, STOP.
    let init = vec![0x60, 0x01, 0x60, 0x00, 0xf3];
    let other_chain = TxEip1559 { chain_id: 1, ..call(0, to, 0, Vec::new()) };
    [
        vec![raw(0, legacy), raw(1, call(0, TxKind::Create, 5, init)), raw(0, call(7, to, 0, Vec::new()))],
        vec![raw(2, access_list), raw(1, other_chain), vec![3, 0xc0]],
        vec![raw(3, delegation), raw(1, call(1, TxKind::Call(CONTRACT), 0, store(0, 0)))],
    ]
}

fn rollup(cadence: Cadence) -> Rollup {
    let mut evm = Evm::new(CHAIN_ID);
    evm.fee_recipient = HexArray([0xfe; 20]);
    evm.cadence = cadence;
    for wallet in 0..4 {
        let account = AllocAccount { balance: 1_000_000_000_000_000_000, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(address(wallet).0.0), account);
    }
    let code = Some(Hex(STORE.to_vec()));
    evm.alloc.insert(HexArray(CONTRACT.0.0), AllocAccount { nonce: 1, code, ..AllocAccount::default() });
    Rollup::evm(2, "evm", evm)
}

fn digest(height: u64) -> Digest {
    Digest::from(keccak256(height.to_be_bytes()).0)
}

fn result(executed: &Executed, raws: &[Vec<u8>]) -> Value {
    let transactions = raws.iter().zip(&executed.outcomes).map(|(raw, outcome)| match outcome {
        Outcome::Executed { index } => json!({"raw": hex::encode(raw), "index": index}),
        Outcome::Skipped(skip) => json!({"raw": hex::encode(raw), "skipped": skip.name()}),
    });
    let transactions: Vec<_> = transactions.collect();
    json!({"transactions": transactions, "number": executed.number})
}

fn run(cadence: Cadence) -> Value {
    let rollup = rollup(cadence);
    let params = Params::new(&rollup).unwrap();
    let mut chain = Chain::new(&rollup, digest(0), LIMITS).unwrap();
    let block_0 = json!({"hash": hex::encode(&chain.head().hash.0), "header": hex::encode(&alloy_rlp::encode(&chain.head().header))});
    let mut blocks = Vec::new();
    for (height, raws) in (1..).zip(transactions().into_iter().chain([Vec::new()])) {
        let decode = |raw: &Vec<u8>| Signed::decode(raw, &params).map(Arc::new);
        let block = ClusterBlock {
            digest: digest(height),
            parent: digest(height - 1),
            height,
            timestamp_ms: 1_700_000_000_000 + 600 * height,
            parent_seed: [5; 48],
            entries: raws.iter().map(|raw| Entry { transaction: decode(raw), bundle: None }).collect(),
        };
        let executed = chain.execute(&block).unwrap();
        let mut value = result(&executed, &raws);
        value["digest"] = json!(hex::encode(&block.digest));
        value["timestamp_ms"] = json!(block.timestamp_ms);
        if let Some(made) = &executed.made {
            value["sealed"] = json!({
                "hash": hex::encode(&made.sealed.hash.0),
                "header": hex::encode(&alloy_rlp::encode(&made.sealed.header)),
                "changes": hex::encode_value(&made.sealed.changes),
                "record": hex::encode(&made.record().to_bytes()),
            });
        }
        blocks.push(value);
        chain.finalize(&block.digest).unwrap();
    }
    json!({"rollup": rollup, "block_0": block_0, "parent_seed": hex::encode(&[5; 48]), "cluster": blocks})
}

/// With its keys in order, whatever map serde_json is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn vectors() {
    let skips: Vec<_> =
        Skip::ALL.iter().map(|skip| json!({"number": skip.code(), "name": skip.name()})).collect();
    let value = json!({
        "per_block": run(Cadence::PerBlock),
        "slotted": run(Cadence::Slotted { ms: 1_000 }),
        "skips": skips,
    });
    let text = serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/evm.json");
    if std::env::var_os("BATON_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "specs/vectors/evm.json differs; if that is meant: cargo xtask vectors");
}

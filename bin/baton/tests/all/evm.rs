//! A wallet against a real cluster: sends a transfer, gets its receipt from every node, and gets the same one
//! after nodes were killed.

use crate::support::{Cluster, Node, PATIENCE, baton, eventually, http};
use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEnvelope, TxLegacy, crypto::secp256k1::sign_message,
};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Signature, TxKind, U256, hex, keccak256};
use baton_node::accounts::{ACCOUNTS, CHAIN_ID};
use serde_json::{Value, json};
use std::fs;

const GWEI: u128 = 1_000_000_000;
const TO: Address = Address::repeat_byte(0x11);

fn raw<T: SignableTransaction<Signature>>(transaction: T) -> String
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let key: B256 = ACCOUNTS[0].1.parse().unwrap();
    let signature = sign_message(key, transaction.signature_hash()).unwrap();
    format!("0x{}", hex::encode(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()))
}

pub fn transfer(nonce: u64) -> String {
    raw(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 20 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(TO),
        value: U256::from(7),
        ..TxEip1559::default()
    })
}

/// The whole answer on the rollup's own path.
fn ask(node: &Node, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let (_, answer) = http(node.rpc, "POST /rollup/evm", &body).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn receipt(node: &Node, hash: &str) -> Value {
    let found = eventually(PATIENCE, || {
        let answer = ask(node, "eth_getTransactionReceipt", json!([hash]));
        answer["result"].is_object().then(|| answer["result"].clone())
    });
    found.unwrap_or_else(|| panic!("no receipt of {hash}\n{}", node.log_text()))
}

#[test]
fn a_transfer_has_one_receipt_on_every_node_and_after_kills() {
    let mut cluster = Cluster::start(4);
    let (address, _) = ACCOUNTS[0];
    let node = &cluster.nodes[0];
    assert_eq!(ask(node, "eth_chainId", json!([]))["result"], format!("{CHAIN_ID:#x}"));
    let rich = ask(node, "eth_getBalance", json!([address, "latest"]));
    assert_eq!(rich["result"], format!("{:#x}", 10_000 * GWEI * GWEI));
    let mut hashes = Vec::new();
    // The second needs the first, which need not be in a block yet.
    for nonce in 0..2 {
        let sent = ask(node, "eth_sendRawTransaction", json!([transfer(nonce)]));
        hashes.push(sent["result"].as_str().unwrap_or_else(|| panic!("{sent}")).to_owned());
        let next = ask(node, "eth_getTransactionCount", json!([address, "pending"]));
        assert_eq!(next["result"], format!("{:#x}", nonce + 1));
    }
    let first = receipt(node, &hashes[0]);
    assert_eq!((&first["status"], &first["from"]), (&json!("0x1"), &json!(address)));
    let second = receipt(node, &hashes[1]);
    for other in &cluster.nodes[1..] {
        assert_eq!(receipt(other, &hashes[0]), first);
        assert_eq!(receipt(other, &hashes[1]), second);
        let paid = ask(other, "eth_getBalance", json!([TO, "latest"]));
        assert_eq!(paid["result"], "0xe");
    }
    let status = node.call("baton_transaction", json!({"id": hashes[0]})).unwrap();
    assert_eq!(status["rung"], "executed", "{status}");
    refusals(node);
    balances_and_receipts_are_proven(&cluster, &hashes[1]);
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    for node in &cluster.nodes {
        assert_eq!(receipt(node, &hashes[1]), second);
    }
    let third = ask(&cluster.nodes[2], "eth_sendRawTransaction", json!([transfer(2)]));
    let third = receipt(&cluster.nodes[3], third["result"].as_str().unwrap());
    assert_eq!(third["status"], "0x1");
    a_leg_of_a_bundle_is_found_by_its_hash(&cluster);
}

/// By the program, to who knows the group key alone; and a copy with a change is refused.
fn balances_and_receipts_are_proven(cluster: &Cluster, hash: &str) {
    let url = format!("http://{}", cluster.nodes[1].rpc);
    let path = cluster.dir.path().join("evm-proof.json");
    let (file, to) = (path.to_str().unwrap(), format!("{TO:#x}"));
    let verify = || {
        let key = &cluster.genesis.key_generation.group_key;
        baton().args(["verify", file, "--group-key", key]).output().unwrap()
    };
    for (flag, subject, expect) in
        [("--account", to.as_str(), "balance    14 wei"), ("--transaction", hash, "was executed")]
    {
        let mut said = String::new();
        // What the newest attested block does not have yet comes with the next ones.
        let proven = eventually(PATIENCE, || {
            let made =
                baton().args(["evm-proof", flag, subject, "--out", file, "--url", &url]).output().unwrap();
            said = String::from_utf8_lossy(&made.stderr).into_owned();
            if !made.status.success() {
                return None;
            }
            let verified = verify();
            assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
            said = String::from_utf8_lossy(&verified.stdout).into_owned();
            (said.contains(subject) && said.contains(expect)).then_some(())
        });
        assert!(proven.is_some(), "{flag} {subject}: {said}");
        let mut lie: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        match flag {
            "--account" => lie["account"]["balance"] = "15".into(),
            _ => lie["receipt"]["index"] = (lie["receipt"]["index"].as_u64().unwrap() + 1).into(),
        }
        fs::write(&path, lie.to_string()).unwrap();
        let refused = verify();
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("does not hold"), "{refused:?}");
    }
}

/// Its id is another: it commits to the bundle.
fn a_leg_of_a_bundle_is_found_by_its_hash(cluster: &Cluster) {
    let leg = transfer(3);
    let legs = json!([{"rollup": "evm", "data": leg}, {"rollup": "demo", "data": "0x01"}]);
    let sent = cluster.nodes[1].call("baton_submitBundle", json!({ "legs": legs })).unwrap();
    let hash = keccak256(hex::decode(leg).unwrap()).to_string();
    assert_ne!(sent["ids"][0], hash.as_str(), "{sent}");
    for node in &cluster.nodes {
        assert_eq!(receipt(node, &hash)["status"], "0x1");
        let found = ask(node, "eth_getTransactionByHash", json!([hash]));
        assert_eq!((&found["result"]["hash"], &found["result"]["nonce"]), (&json!(hash), &json!("0x3")));
    }
}

/// In the words that wallets look for; and the accounts of block 0 are not in every answer.
fn refusals(node: &Node) {
    let message = |transaction: String| {
        let answer = ask(node, "eth_sendRawTransaction", json!([transaction]));
        answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert!(message(transfer(0)).contains("already known"), "{}", message(transfer(0)));
    let used_up = raw(TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 30_000,
        max_fee_per_gas: 20 * GWEI,
        to: TxKind::Call(TO),
        ..TxEip1559::default()
    });
    assert!(message(used_up).contains("nonce too low"));
    let legacy =
        TxLegacy { gas_price: 20 * GWEI, gas_limit: 21_000, to: TxKind::Call(TO), ..TxLegacy::default() };
    assert!(message(raw(legacy)).contains("replay-protected"));
    assert!(message("0x02aabb".to_owned()).contains("failed to decode"));
    let rollups = node.call("baton_rollups", json!({})).unwrap();
    assert_eq!(rollups[1]["evm"]["alloc"], json!({}), "{rollups}");
}

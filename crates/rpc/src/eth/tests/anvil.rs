//! The same signed transactions on anvil: whatever does not follow from a block's hash or time is equal, but
//! for what anvil does in its own way: `size` counts no withdrawals, every receipt has a `blobGasPrice`, and
//! the gas of a trace as a whole is without the intrinsic part, or of all transactions of the block up to it.

use super::{clients::installed, *};
use crate::eth::testing::{
    CONTRACTS, GWEI, REVERT, STORE, call, contract, create, delegation, deploy, legacy, with_access_list,
    words,
};
use alloy_consensus::TxEip1559;
use alloy_sol_types::{Revert, SolError as _};
use std::{process::Stdio, time::Duration};
use tokio::process::{Child, Command};

struct Anvil {
    url: String,
    client: reqwest::Client,
    /// Ends with it.
    _process: Child,
}

impl Anvil {
    async fn start() -> Self {
        // Free a moment ago, and nobody else takes ports here.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = free.port().to_string();
        let arguments = [
            "--port",
            &port,
            "--chain-id",
            "2211",
            "--hardfork",
            "prague",
            "--gas-limit",
            "30000000",
            "--no-mining",
            "--steps-tracing",
            "--order",
            "fifo",
        ];
        let process =
            Command::new(installed("../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
        let anvil = Self {
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            _process: process,
        };
        let mut tries = 0;
        while anvil.reply("eth_chainId", &json!([])).await.is_none() {
            tries += 1;
            assert!(tries < 600, "anvil does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (index, code) in (0..).zip(CONTRACTS) {
            anvil.ask("anvil_setCode", json!([contract(index), Bytes::from(code)])).await;
            anvil.ask("anvil_setNonce", json!([contract(index), "0x1"])).await;
        }
        anvil
    }

    async fn reply(&self, method: &str, params: &Value) -> Option<Value> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request =
            self.client.post(&self.url).header("content-type", "application/json").body(call.to_string());
        let text = request.send().await.ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let mut reply = self.reply(method, &params).await.unwrap();
        assert!(reply.get("error").is_none(), "anvil: {method} {params}: {reply}");
        reply["result"].take()
    }

    async fn fail(&self, method: &str, params: Value) -> (i64, String, Value) {
        let reply = self.reply(method, &params).await.unwrap();
        let error = reply.get("error").unwrap_or_else(|| panic!("anvil: {method} {params}: {reply}"));
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
            error["data"].clone(),
        )
    }
}

/// Both chains, and where they differ: one run shows everything.
struct Pair {
    node: Node,
    anvil: Anvil,
    number: u64,
    differences: std::sync::Mutex<Vec<String>>,
}

/// The places where two values differ.
fn differences(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let field = |map: &serde_json::Map<String, Value>| {
                    map.get(name).cloned().unwrap_or(json!("(absent)"))
                };
                differences(&format!("{at}.{name}"), &field(a), &field(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}[{index}]"), a, b, found);
            }
        }
        _ if ours != theirs => found.push(format!("{at}: ours {ours}, anvil {theirs}")),
        _ => {}
    }
}

/// Follow from the block's hash or time, or are anvil's own.
const LEFT_OUT: [&str; 3] = ["blockHash", "blockTimestamp", "blobGasPrice"];

fn comparable(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            LEFT_OUT.iter().for_each(|field| drop(fields.remove(*field)));
            fields.values_mut().for_each(|field| *field = comparable(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    value
}

impl Pair {
    async fn new() -> Self {
        let differences = std::sync::Mutex::default();
        Self { node: Node::per_block(), anvil: Anvil::start().await, number: 0, differences }
    }

    async fn traces(&self, hash: &B256) {
        let calls = json!([hash, {"tracer": "callTracer", "tracerConfig": {"withLog": true}}]);
        let bare = |mut trace: Value| {
            let fields = trace.as_object_mut().unwrap();
            ["gas", "gasUsed"].iter().for_each(|field| drop(fields.remove(*field)));
            trace
        };
        let (ours, theirs) = self.both("debug_traceTransaction", &calls).await;
        self.compare(&format!("calls of {hash}"), &bare(ours), &bare(theirs));
        let (ours, theirs) = self.both("debug_traceTransaction", &json!([hash])).await;
        let steps = |trace: Value| -> Value {
            let fields = ["pc", "op", "gas", "gasCost", "depth", "stack"];
            let steps = trace["structLogs"].as_array().unwrap().iter();
            steps.map(|step| fields.iter().map(|field| step[*field].clone()).collect::<Value>()).collect()
        };
        for field in ["failed", "returnValue"] {
            self.compare(&format!("steps of {hash}: {field}"), &ours[field], &theirs[field]);
        }
        self.compare(&format!("steps of {hash}"), &steps(ours), &steps(theirs));
    }

    async fn both(&self, method: &str, params: &Value) -> (Value, Value) {
        (self.node.ask(method, params.clone()).await, self.anvil.ask(method, params.clone()).await)
    }

    async fn same(&self, method: &str, params: Value) -> Value {
        let (ours, theirs) = self.both(method, &params).await;
        let (ours, theirs) = (comparable(ours), comparable(theirs));
        self.compare(&format!("{method} {params}"), &ours, &theirs);
        ours
    }

    fn compare(&self, at: &str, ours: &Value, theirs: &Value) {
        differences(at, ours, theirs, &mut self.differences.lock().unwrap());
    }

    /// A block with these on both, and everything about it is the same.
    async fn block(&mut self, raws: &[Bytes]) -> Vec<B256> {
        let mut hashes = Vec::new();
        for raw in raws {
            hashes.push(self.node.send(raw.clone()).await);
            let theirs = self.anvil.ask("eth_sendRawTransaction", json!([raw])).await;
            assert_eq!(theirs, json!(hashes.last()));
        }
        self.node.chain.advance();
        self.number += 1;
        let number = format!("{:#x}", self.number);
        let ours = self.node.ask("eth_getBlockByNumber", json!([number, false])).await;
        self.anvil.ask("anvil_setNextBlockBaseFeePerGas", json!([ours["baseFeePerGas"]])).await;
        self.anvil.ask("evm_mine", json!([])).await;
        let theirs = self.anvil.ask("eth_getBlockByNumber", json!([number, false])).await;
        for field in [
            "number",
            "gasUsed",
            "gasLimit",
            "baseFeePerGas",
            "transactions",
            "transactionsRoot",
            "receiptsRoot",
            "logsBloom",
            "difficulty",
            "nonce",
            "sha3Uncles",
            "uncles",
            "extraData",
            "miner",
            "blobGasUsed",
            "excessBlobGas",
            "withdrawalsRoot",
            "withdrawals",
            "requestsHash",
        ] {
            self.compare(&format!("block {number}: {field}"), &ours[field], &theirs[field]);
        }
        for hash in &hashes {
            self.same("eth_getTransactionByHash", json!([hash])).await;
            self.same("eth_getTransactionReceipt", json!([hash])).await;
            self.traces(hash).await;
        }
        self.same("eth_getBlockReceipts", json!([number])).await;
        self.same("eth_getLogs", json!([{"fromBlock": number, "toBlock": number}])).await;
        self.same("eth_getTransactionByBlockNumberAndIndex", json!([number, "0x0"])).await;
        hashes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_to_anvil() {
    let mut pair = Pair::new().await;
    let (wallet, someone) = (rich, Address::repeat_byte(9));
    let authority = wallet(4);
    let authorize = |nonce, to| vec![authority.authorize(nonce, to)];
    let oog = TxEip1559 { gas_limit: 43_000, input: words(&[8, 1]), ..call(2, contract(0)) };
    let blocks = [
        vec![wallet(0).raw(legacy(0, someone, 3))],
        vec![wallet(1).raw(with_access_list(0, contract(0)))],
        vec![wallet(2).raw(TxEip1559 { input: words(&[5]), ..call(0, contract(2)) })],
        vec![wallet(3).raw(delegation(0, authority.address, authorize(0, contract(0))))],
        vec![wallet(0).raw(create(1, deploy(STORE)))],
        // Creation that fails.
        vec![wallet(0).raw(create(2, REVERT.to_vec()))],
        vec![wallet(1).raw(TxEip1559 { input: vec![1, 2, 3].into(), ..call(1, contract(3)) })],
        vec![wallet(2).raw(call(1, contract(4)))],
        vec![wallet(2).raw(oog)],
        vec![wallet(1).raw(TxEip1559 { input: words(&[3, 4]), ..call(2, contract(5)) })],
        // Several, with logs of their own, in the order of their nonces.
        (3..6)
            .map(|nonce| wallet(2).raw(TxEip1559 { input: words(&[nonce]), ..call(nonce, contract(2)) }))
            .collect(),
        // Frees a slot, which gives gas back.
        vec![wallet(1).raw(TxEip1559 { input: words(&[3, 0]), ..call(3, contract(0)) })],
        vec![wallet(3).raw(delegation(1, authority.address, authorize(1, Address::ZERO)))],
    ];
    for raws in blocks {
        pair.block(&raws).await;
    }
    for address in (0..5).map(|index| wallet(index).address).chain((0..6).map(contract)).chain([someone]) {
        pair.same("eth_getBalance", json!([address, "latest"])).await;
        pair.same("eth_getTransactionCount", json!([address, "latest"])).await;
        pair.same("eth_getCode", json!([address, "latest"])).await;
        pair.same("eth_getStorageAt", json!([address, "0x3", "latest"])).await;
    }
    pair.same("eth_getBalance", json!([Address::ZERO, "latest"])).await;
    let range =
        json!([{"fromBlock": "0x1", "toBlock": "latest", "topics": [[wallet(2).address.into_word()]]}]);
    assert_eq!(pair.same("eth_getLogs", range).await.as_array().unwrap().len(), 4);
    calls_are_equal(&pair).await;
    errors_are_alike(&pair).await;
    let found = pair.differences.into_inner().unwrap();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

async fn calls_are_equal(pair: &Pair) {
    let from = rich(0).address;
    let call = |index, input: Bytes| json!({"from": from, "to": contract(index), "input": input});
    pair.same("eth_call", json!([call(1, Bytes::new()), "latest"])).await;
    let code = json!({contract(0).to_string(): {"code": Bytes::from(CONTRACTS[1])}});
    pair.same("eth_call", json!([call(0, Bytes::new()), "latest", code])).await;
    pair.same("eth_call", json!([{"from": from, "input": Bytes::from(deploy(STORE))}, "latest"])).await;
    // In any order.
    let sorted = |mut list: Value| {
        list["accessList"].as_array_mut().unwrap().sort_by_key(|item| item["address"].to_string());
        list
    };
    let (ours, theirs) = pair.both("eth_createAccessList", &json!([call(5, words(&[3, 4])), "latest"])).await;
    pair.compare("access list", &sorted(ours), &sorted(theirs));
    for asked in
        [call(0, words(&[7, 7])), call(5, words(&[6, 6])), json!({"from": from, "to": from, "value": "0x1"})]
    {
        let ours = quantity(&pair.node.ask("eth_estimateGas", json!([asked])).await);
        let theirs = quantity(&pair.anvil.ask("eth_estimateGas", json!([asked])).await);
        assert!(ours.abs_diff(theirs) * 20 < theirs, "{asked}: {ours}, anvil {theirs}");
    }
}

/// The same words decide what libraries make of an error.
async fn errors_are_alike(pair: &Pair) {
    let (wallet, to) = (rich(0), Address::repeat_byte(9));
    let revert =
        json!([{"to": contract(3), "input": Bytes::from(Revert::from("no").abi_encode())}, "latest"]);
    let (ours, theirs) =
        (pair.node.fail("eth_call", revert.clone()).await, pair.anvil.fail("eth_call", revert).await);
    assert_eq!((ours.0, &ours.2), (theirs.0, &theirs.2));
    assert!(
        ours.1.contains("execution reverted: no") && theirs.1.contains("execution reverted: no"),
        "{theirs:?}"
    );
    // One waits, on both.
    let waiting = wallet.raw(call(4, to));
    pair.node.send(waiting.clone()).await;
    pair.anvil.ask("eth_sendRawTransaction", json!([waiting])).await;
    for (raw, phrase) in [
        (wallet.raw(call(0, to)), "nonce too low"),
        (wallet.raw(TxEip1559 { value: U256::ONE, ..call(4, to) }), "replacement transaction underpriced"),
        (poor().raw(call(0, to)), "insufficient funds for gas * price + value"),
        (wallet.raw(TxEip1559 { gas_limit: 20_000, ..call(3, to) }), "intrinsic gas too low"),
        (
            wallet.raw(TxEip1559 { gas_limit: 30_000_001, ..call(3, to) }),
            "block gas limit|intrinsic gas too high",
        ),
        (
            wallet.raw(TxEip1559 { max_priority_fee_per_gas: 11 * GWEI, ..call(3, to) }),
            "max priority fee per gas higher than max fee per gas",
        ),
        (wallet.raw(TxEip1559 { chain_id: 1, ..call(3, to) }), "invalid chain id for signer"),
        (Bytes::from_static(&[2, 0xc0]), "failed to decode"),
    ] {
        let ours = pair.node.fail("eth_sendRawTransaction", json!([raw])).await.1;
        let theirs = pair.anvil.fail("eth_sendRawTransaction", json!([raw])).await.1;
        let found = |message: &str| phrase.split('|').any(|words| message.to_lowercase().contains(words));
        if !found(&ours) || !found(&theirs) {
            pair.compare(phrase, &json!(ours), &json!(theirs));
        }
    }
}

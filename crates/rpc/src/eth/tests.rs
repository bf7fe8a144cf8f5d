//! Every method over the real executor: results against the chain's own, errors in the words of clients.

#[cfg(feature = "clients")]
mod anvil;
mod asking;
#[cfg(feature = "clients")]
mod clients;
mod fees;
mod news;
mod reading;
mod sending;
mod tracing;

use super::{
    testing::{Lone, poor, rich},
    *,
};
use crate::{
    api::Caller,
    dispatch::{Dispatcher, Table},
    metrics::Metrics,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use baton_types::genesis::evm::Cadence;
use serde_json::{Value, json};

const fn open(_: &Arc<Rollup>) -> Result<(), Refusal> {
    Ok(())
}

/// One rollup behind its methods, asked as over HTTP.
struct Node {
    chain: Arc<Lone>,
    rollup: Arc<Rollup>,
    dispatcher: Dispatcher<Arc<Rollup>>,
}

impl Node {
    fn new(chain: Arc<Lone>, limits: Limits) -> Self {
        Self::with(chain, limits, open)
    }

    fn with(chain: Arc<Lone>, limits: Limits, admits: Admits<Arc<Rollup>>) -> Self {
        let rollup = Rollup::new("evm".into(), chain.clone(), limits.clone(), "1.2.3");
        let table = Arc::new(methods(Table::default(), |rollup: &Arc<Rollup>| Some(rollup.clone()), admits));
        let metrics = Arc::new(Metrics::new(table.methods().iter().map(|method| method.name)));
        Self { chain, rollup, dispatcher: Dispatcher::new(table, limits, metrics) }
    }

    fn per_block() -> Self {
        Self::new(Lone::new(Cadence::PerBlock), Limits::default())
    }

    fn slotted() -> Self {
        Self::new(Lone::new(Cadence::Slotted { ms: 2_000 }), Limits::default())
    }

    async fn reply(&self, method: &str, params: &Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply = self.dispatcher.answer(&self.rollup, &Caller::new("test"), &call.to_string()).await;
        serde_json::from_str(&reply.unwrap()).unwrap()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let mut reply = self.reply(method, &params).await;
        assert!(reply.get("error").is_none(), "{method} {params}: {reply}");
        reply["result"].take()
    }

    /// Code, message and data.
    async fn fail(&self, method: &str, params: Value) -> (i64, String, Value) {
        let reply = self.reply(method, &params).await;
        let error = reply.get("error").unwrap_or_else(|| panic!("{method} {params}: {reply}"));
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
            error["data"].clone(),
        )
    }

    async fn check_failure(&self, method: &str, params: Value, code: i64, message: &str) {
        let (got_code, got, _) = self.fail(method, params.clone()).await;
        assert!(got_code == code && got.contains(message), "{method} {params}: {got_code} {got}");
    }

    async fn send(&self, raw: Bytes) -> B256 {
        serde_json::from_value(self.ask("eth_sendRawTransaction", json!([raw])).await).unwrap()
    }
}

fn quantity(value: &Value) -> u128 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no quantity"));
    u128::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

#[tokio::test]
async fn without_a_rollup_there_are_no_such_methods() {
    let table = Arc::new(methods(Table::default(), |(): &()| None, |()| Ok(())));
    let metrics = Arc::new(Metrics::new(std::iter::empty()));
    let dispatcher = Dispatcher::new(table, Limits::default(), metrics);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let reply = dispatcher.answer(&(), &Caller::new("test"), call).await.unwrap();
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["error"]["code"], -32_601);
    assert!(reply["error"]["message"].as_str().unwrap().contains("none is served on this path"));
}

#[tokio::test]
async fn what_never_changes() {
    let node = Node::per_block();
    assert_eq!(node.ask("eth_chainId", json!([])).await, "0x8a3");
    assert_eq!(node.ask("net_version", json!([])).await, "2211");
    assert_eq!(node.ask("net_listening", json!([])).await, true);
    assert_eq!(node.ask("web3_clientVersion", json!(null)).await, "baton/v1.2.3");
    assert_eq!(node.ask("eth_accounts", json!([])).await, json!([]));
    assert_eq!(node.ask("eth_syncing", json!([])).await, false);
    let hash = node.ask("web3_sha3", json!(["0x68656c6c6f"])).await;
    assert_eq!(hash, "0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8");
    node.check_failure("anvil_nodeInfo", json!([]), -32_601, "no method").await;
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let node = Node::per_block();
    let zero = Address::ZERO;
    for (method, params, message) in [
        ("eth_getBalance", json!([]), "parameter 1 (address) is missing"),
        ("eth_getBalance", json!(["0x12"]), "address: "),
        ("eth_getBalance", json!([zero, "newest"]), "block: "),
        ("eth_getBalance", json!([zero, 7]), "block: "),
        ("eth_getBalance", json!([zero, "latest", 1]), "3 parameters; at most 2: address, block"),
        ("eth_getBalance", json!({"adress": zero}), "adress"),
        ("eth_getBlockByNumber", json!(["0x1", "yes"]), "full: "),
        ("eth_getBlockByNumber", json!(["1"]), "block: "),
        ("eth_getBlockByHash", json!(["0x01"]), "hash: "),
        ("eth_getStorageAt", json!([zero, "0x1g"]), "slot: "),
        ("eth_call", json!([]), "parameter 1 (transaction) is missing"),
        ("eth_call", json!(["0x"]), "transaction: "),
        ("eth_call", json!([{"to": "0x1"}]), "transaction"),
        ("eth_call", json!([{"to": zero, "value": "1 ether"}]), "transaction"),
        ("eth_call", json!([{"to": zero}, "latest", {"0x1": {}}]), "overrides"),
        ("eth_call", json!([{"to": zero}, "latest", {zero.to_string(): {"balance": "lots"}}]), "overrides"),
        ("eth_call", json!([{"data": "0x01", "input": "0x02"}]), "data and input"),
        ("eth_call", json!([{"to": zero, "chainId": "0x1"}]), "chainId does not match"),
        ("eth_call", json!([{"gasPrice": "0x1", "maxFeePerGas": "0x1"}]), "both gasPrice"),
        ("eth_sendRawTransaction", json!(["hello"]), "transaction: "),
        ("eth_sendRawTransaction", json!(["0x00"]), "transaction type not supported"),
        ("eth_getLogs", json!([{"fromBlock": 1}]), "filter"),
        ("eth_getLogs", json!([{"topics": [1]}]), "filter"),
        ("eth_getLogs", json!([{"from": "0x1"}]), "filter"),
        ("eth_feeHistory", json!(["0x1", "latest", [101]]), "percentiles"),
        ("eth_feeHistory", json!(["0x1"]), "parameter 2 (newest) is missing"),
        ("eth_getFilterChanges", json!(["first"]), "id: "),
        ("debug_traceTransaction", json!([B256::ZERO, {"tracer": "4byteTracer"}]), "options.tracer"),
        ("debug_traceTransaction", json!([B256::ZERO, {"tracer": "{}"}]), "options.tracer"),
        ("eth_subscribe", json!(["heads"]), "topic"),
    ] {
        let (code, got, _) = node.fail(method, params.clone()).await;
        let unsupported = message == "transaction type not supported";
        assert_eq!(code, if unsupported { -32_000 } else { -32_602 }, "{method} {params}: {got}");
        assert!(got.contains(message), "{method} {params}: {got}");
    }
}

/// Whatever is asked, there is an answer, and it is not that the node failed.
#[tokio::test]
async fn odd_parameters_break_nothing() {
    let node = Node::per_block();
    node.send(rich(0).raw(testing::legacy(0, testing::contract(1), 0))).await;
    node.chain.advance();
    let (address, hash, big) = (testing::contract(0), B256::ZERO, format!("0x{}", "f".repeat(64)));
    let call =
        json!({"to": address, "gas": big, "value": big, "gasPrice": "0xffffffffffffffffffffffffffffffff"});
    let huge =
        json!({"to": address, "gas": "0xffffffffffffffff", "input": format!("0x{}", "00".repeat(100_000))});
    let odd = [
        json!([]),
        json!({}),
        json!([null, null, null]),
        json!([[], {}, ""]),
        json!([0, -1, 1.5]),
        json!(["", "", ""]),
        json!([address]),
        json!([address, "pending"]),
        json!([address, "0xffffffffffffffff"]),
        json!([address, "0x0", "earliest"]),
        json!([address, [big], "latest"]),
        json!([hash]),
        json!([hash, big]),
        json!([hash, "0xffffffffffffffff"]),
        json!([big, big, big]),
        json!(["latest"]),
        json!(["latest", "0xffffffffffffffff"]),
        json!(["pending", true]),
        json!(["earliest", "latest", []]),
        json!(["0xffffffffffffffff", "latest", [0, 100]]),
        json!([call]),
        json!([call, "pending", {address.to_string(): {"balance": big, "nonce": "0xffffffffffffffff"}}]),
        json!([huge]),
        json!([{"from": address, "maxFeePerGas": "0x0", "maxPriorityFeePerGas": "0x0"}, "earliest"]),
        json!([{"fromBlock": "0x0", "toBlock": "0xffffffffffffffff"}]),
        json!([{"fromBlock": "0xffffffffffffffff", "toBlock": "0xffffffffffffffff"}]),
        json!([{"address": [], "topics": [[], null, [null]]}]),
        json!([{"blockHash": hash, "address": address}]),
        json!([{"to": address, "accessList": [{"address": address, "storageKeys": [hash]}], "type": "0xff"}]),
        json!([{"to": address, "authorizationList": []}]),
    ];
    for method in methods(Table::default(), |rollup: &Arc<Rollup>| Some(rollup.clone()), open).methods() {
        for params in &odd {
            let reply = node.reply(method.name, params).await;
            assert!(
                reply.get("result").is_some() || reply.get("error").is_some(),
                "{}: {reply}",
                method.name
            );
            assert_ne!(reply["error"]["data"]["reason"], "internal", "{} {params}: {reply}", method.name);
        }
    }
}

//! The Ethereum API: every method, with parameters from outside, over a rollup in one process.

use super::text;
use crate::run::{Outcome, Target};
use baton_rpc::{
    Caller, Limits,
    dispatch::{Dispatcher, Table},
    eth::{
        EthLimits, Rollup, methods,
        testing::{Lone, call, contract, rich, words},
    },
    metrics::Metrics,
};
use baton_types::genesis::evm::Cadence;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;

/// What contracts may take and traces may record, for a few bytes of input.
const MEMORY_PER_BYTE: usize = 64 * 1_024;

pub fn targets() -> Vec<Target> {
    vec![requests()]
}

/// Two blocks with transactions and logs, and a transaction that waits.
fn rollup(limits: &Limits, runtime: &tokio::runtime::Runtime) -> Arc<Rollup> {
    let chain = Lone::new(Cadence::PerBlock);
    let rollup = Rollup::new("evm".to_owned(), chain.clone(), limits.clone(), "fuzz");
    let submit = |nonce: u64, to: u8, input: &[u64]| {
        let transaction = alloy_consensus::TxEip1559 { input: words(input), ..call(nonce, contract(to)) };
        let raw = rich(0).raw(transaction);
        let sent = baton_rpc::eth::Backend::submit(&*chain, "fuzz".into(), raw);
        runtime.block_on(sent).expect("the pool takes it");
    };
    submit(0, 0, &[1, 2]);
    submit(1, 2, &[7]);
    chain.advance();
    submit(2, 5, &[3, 4]);
    chain.advance();
    submit(3, 0, &[1, 0]);
    rollup
}

/// One call of each method that reads parameters.
fn seeds(block: &Value) -> Vec<Vec<u8>> {
    let (account, hash) = (rich(0).address, &block["hash"]);
    let transaction = &block["transactions"][0];
    let asked = json!({"from": account, "to": contract(1), "gas": "0xffff", "value": "0x0", "input": "0x"});
    let code = json!({contract(1).to_string(): {"code": "0x60005460005260206000f3", "balance": "0x1"}});
    let filter =
        json!({"fromBlock": "0x1", "toBlock": "latest", "address": [contract(2)], "topics": [null, [hash]]});
    let calls = [
        ("eth_getBalance", json!([account, "latest"])),
        ("eth_getTransactionCount", json!({"address": account, "block": "pending"})),
        ("eth_getCode", json!([contract(0), {"blockHash": hash}])),
        ("eth_getStorageAt", json!([contract(0), "0x1", "0x2"])),
        ("eth_getProof", json!([contract(0), ["0x1"], "latest"])),
        ("eth_getBlockByNumber", json!(["0x1", true])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockReceipts", json!(["latest"])),
        ("eth_getTransactionByHash", json!([transaction])),
        ("eth_getTransactionReceipt", json!([transaction])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_call", json!([asked, "latest", code])),
        ("eth_estimateGas", json!([asked, "pending"])),
        ("eth_createAccessList", json!([asked, "0x1"])),
        ("eth_feeHistory", json!(["0x2", "latest", [25.0, 75.0]])),
        ("eth_getLogs", json!([filter])),
        ("eth_newFilter", json!([filter])),
        ("eth_getFilterChanges", json!(["0x1"])),
        ("eth_sendRawTransaction", json!([rich(1).raw(call(0, account))])),
        (
            "debug_traceTransaction",
            json!([transaction, {"tracer": "callTracer", "tracerConfig": {"withLog": true}}]),
        ),
        ("debug_traceTransaction", json!([transaction, {"enableMemory": true}])),
        ("eth_subscribe", json!(["logs", filter])),
        ("web3_sha3", json!(["0x68656c6c6f"])),
    ];
    let call = |(method, params): &(&str, Value)| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string().into_bytes()
    };
    calls.iter().map(call).collect()
}

#[derive(Deserialize)]
struct Reply<'a> {
    jsonrpc: &'a str,
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
    error: Option<Error>,
}

/// `null` is a result as well: there is no such block.
fn given<'de, D: Deserializer<'de>>(result: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(result).map(Some)
}

#[derive(Deserialize)]
struct Error {
    code: i32,
    message: String,
}

fn requests() -> Target {
    let eth = EthLimits {
        call_gas_max: 100_000,
        filters_max: 8,
        logs_max: 64,
        trace_bytes_max: 256 * 1_024,
        ..EthLimits::default()
    };
    let limits = Limits { batch_calls_max: 4, eth, ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime can be made");
    let rollup = rollup(&limits, &runtime);
    let table = methods(Table::default(), |rollup: &Arc<Rollup>| Some(rollup.clone()), |_| Ok(()));
    let metrics = Metrics::new(table.methods().iter().map(|method| method.name));
    let dispatcher = Dispatcher::new(Arc::new(table), limits, Arc::new(metrics));
    let caller = Caller::new("fuzz");
    let first = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x1",false]}"#;
    let answer = runtime.block_on(dispatcher.answer(&rollup, &caller, first)).expect("a call is answered");
    let block: Value = serde_json::from_str(&answer).expect("an answer is JSON");
    let target = text("eth-request", seeds(&block["result"]), move |text| {
        let Some(answer) = runtime.block_on(dispatcher.answer(&rollup, &caller, text)) else {
            return Outcome::Decoded;
        };
        let replies = if answer.starts_with('[') {
            serde_json::from_str(&answer)
        } else {
            serde_json::from_str(&answer).map(|reply| vec![reply])
        };
        let replies: Vec<Reply<'_>> = replies.expect("replies are as JSON-RPC wants them");
        let mut outcome = Outcome::Decoded;
        for Reply { jsonrpc, result, error } in replies {
            assert_eq!((jsonrpc, result.is_some()), ("2.0", error.is_none()), "{answer}");
            if let Some(Error { code, message }) = error {
                assert!(!message.is_empty(), "{answer}");
                outcome = Outcome::Refused(format!("{code} {message}"));
            }
        }
        outcome
    });
    Target { memory_per_byte: MEMORY_PER_BYTE, cost: 8, ..target }
}

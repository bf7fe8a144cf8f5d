use super::*;
use crate::eth::testing::{call, contract, legacy, words};
use alloy_consensus::TxEip1559;

async fn traced(node: &Node) -> [B256; 3] {
    let raw = |who: usize, to, input| rich(who).raw(TxEip1559 { input, ..call(0, to) });
    let hashes = [
        node.send(raw(0, contract(0), words(&[3, 1]))).await,
        node.send(raw(1, contract(5), words(&[3, 4]))).await,
        node.send(raw(2, contract(3), vec![0xaa, 0xbb].into())).await,
    ];
    node.chain.advance();
    node.send(rich(3).raw(legacy(0, contract(1), 1))).await;
    node.chain.advance();
    hashes
}

#[tokio::test]
async fn calls_of_a_transaction() {
    let node = Node::per_block();
    let [store, caller, revert] = traced(&node).await;
    let trace = async |hash: B256, config: Value| {
        let options = json!({"tracer": "callTracer", "tracerConfig": config});
        node.ask("debug_traceTransaction", json!([hash, options])).await
    };
    for hash in [store, caller, revert] {
        let receipt = node.ask("eth_getTransactionReceipt", json!([hash])).await;
        let root = trace(hash, json!({})).await;
        assert_eq!(root["gasUsed"], receipt["gasUsed"]);
        assert_eq!(
            (&root["type"], &root["from"], &root["to"]),
            (&json!("CALL"), &receipt["from"], &receipt["to"])
        );
        assert_eq!(quantity(&root["gas"]), 200_000);
    }
    let root = trace(caller, json!({"withLog": true})).await;
    let calls = root["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!((&calls[0]["to"], &calls[0]["input"]), (&json!(contract(0)), &json!(words(&[3, 4]))));
    assert_eq!(calls[1]["logs"][0]["address"], json!(contract(2)));
    let top = trace(caller, json!({"onlyTopCall": true})).await;
    assert_eq!(top.get("calls"), None);
    let failed = trace(revert, json!({})).await;
    assert_eq!((&failed["error"], &failed["output"]), (&json!("execution reverted"), &json!("0xaabb")));
    let bad = json!([caller, {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": 7}}]);
    node.check_failure("debug_traceTransaction", bad, -32_602, "options.tracerConfig").await;
    node.check_failure("debug_traceTransaction", json!([B256::ZERO]), -32_000, "transaction not found").await;
}

#[tokio::test]
async fn steps_of_a_transaction() {
    let node = Node::per_block();
    let [store, _, revert] = traced(&node).await;
    let trace = node.ask("debug_traceTransaction", json!([store])).await;
    let ops: Vec<_> = trace["structLogs"].as_array().unwrap().iter().map(|step| step["op"].clone()).collect();
    assert_eq!(ops, ["PUSH1", "CALLDATALOAD", "PUSH1", "CALLDATALOAD", "SSTORE", "STOP"]);
    let step = &trace["structLogs"][4];
    assert_eq!((&step["depth"], &step["pc"], &step["stack"]), (&json!(1), &json!(6), &json!(["0x1", "0x3"])));
    assert_eq!(step["storage"].as_object().unwrap().len(), 1);
    let receipt = node.ask("eth_getTransactionReceipt", json!([store])).await;
    assert_eq!(
        (trace["gas"].as_u64().map(u128::from), &trace["failed"]),
        (Some(quantity(&receipt["gasUsed"])), &json!(false))
    );
    let bare =
        json!([store, {"disableStack": true, "disableStorage": true, "enableMemory": true, "limit": 3}]);
    let bare = node.ask("debug_traceTransaction", bare).await;
    assert_eq!(bare["structLogs"].as_array().unwrap().len(), 3);
    assert_eq!((bare["structLogs"][0].get("stack"), bare["structLogs"][0].get("storage")), (None, None));
    let raw = rich(4).raw(call(0, contract(4)));
    let burned = node.send(raw).await;
    node.chain.advance();
    let burned = node.ask("debug_traceTransaction", json!([burned])).await;
    assert_eq!(burned["structLogs"][0]["error"], "InvalidFEOpcode");
    let failed = node.ask("debug_traceTransaction", json!([revert])).await;
    assert_eq!((&failed["failed"], &failed["returnValue"]), (&json!(true), &json!("0xaabb")));
}

#[tokio::test]
async fn accounts_before_and_after_a_transaction() {
    let node = Node::per_block();
    let [store, ..] = traced(&node).await;
    let trace = async |config: Value| {
        let options = json!({"tracer": "prestateTracer", "tracerConfig": config});
        node.ask("debug_traceTransaction", json!([store, options])).await
    };
    let receipt = node.ask("eth_getTransactionReceipt", json!([store])).await;
    let (sender, target) = (receipt["from"].as_str().unwrap(), receipt["to"].as_str().unwrap());
    let diff = trace(json!({"diffMode": true})).await;
    let slot = |number: u8| json!(B256::with_last_byte(number));
    // Slot 3 of the contract was zero and becomes one; its code is as before.
    assert_eq!(diff["post"][target], json!({"storage": {slot(3).as_str().unwrap(): slot(1)}}));
    assert_eq!(diff["pre"][target].get("storage"), None);
    let balance = |side: &str| quantity(&diff[side][sender]["balance"]);
    let paid = quantity(&receipt["gasUsed"]) * quantity(&receipt["effectiveGasPrice"]);
    assert_eq!(balance("pre") - balance("post"), paid);
    assert_eq!((diff["pre"][sender].get("nonce"), &diff["post"][sender]["nonce"]), (None, &json!(1)));

    let before = trace(json!({})).await;
    assert_eq!(quantity(&before[sender]["balance"]), balance("pre"));
    let code = node.ask("eth_getCode", json!([target])).await;
    assert_eq!(before[target]["code"], code);
    let bare = trace(json!({"disableCode": true, "disableStorage": true})).await;
    assert_eq!((bare[target].get("code"), bare[target].get("storage")), (None, None));
}

#[tokio::test]
async fn traces_are_bounded() {
    let eth = EthLimits { trace_bytes_max: 1_500, ..EthLimits::default() };
    let node = Node::new(Lone::new(Cadence::PerBlock), Limits { eth, ..Limits::default() });
    let [_, caller, _] = traced(&node).await;
    node.check_failure("debug_traceTransaction", json!([caller]), -32_005, "the trace takes over 1500 bytes")
        .await;
    let calls = json!([caller, {"tracer": "callTracer"}]);
    node.check_failure("debug_traceTransaction", calls, -32_005, "the trace takes over 1500 bytes").await;
    let states = json!([caller, {"tracer": "prestateTracer"}]);
    node.check_failure("debug_traceTransaction", states, -32_005, "the trace takes over 1500 bytes").await;
}

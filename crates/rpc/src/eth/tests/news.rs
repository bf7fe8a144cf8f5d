use super::*;
use crate::{
    eth::testing::{call, contract, legacy, words},
    session::{self, Starts},
    testing::Connection,
};
use alloy_consensus::TxEip1559;

fn emit(who: usize, nonce: u64, word: u64) -> Bytes {
    rich(who).raw(TxEip1559 { input: words(&[word]), ..call(nonce, contract(2)) })
}

fn topic(who: usize) -> B256 {
    rich(who).address.into_word()
}

/// Blocks 1 to 4: a log of 0, of 1, none, of both.
async fn with_logs(limits: Limits) -> Node {
    let node = Node::new(Lone::new(Cadence::PerBlock), limits);
    node.send(emit(0, 0, 10)).await;
    node.chain.advance();
    node.send(emit(1, 0, 11)).await;
    node.chain.advance();
    node.send(rich(2).raw(legacy(0, Address::repeat_byte(1), 1))).await;
    node.chain.advance();
    node.send(emit(0, 1, 12)).await;
    node.send(emit(1, 1, 13)).await;
    node.chain.advance();
    node
}

fn data(logs: &Value) -> Vec<u128> {
    logs.as_array().unwrap().iter().map(|log| quantity(&log["data"])).collect()
}

#[tokio::test]
async fn logs_by_range_address_and_topics() {
    let node = with_logs(Limits::default()).await;
    let from = |mut filter: Value| {
        filter["fromBlock"] = json!("0x0");
        filter
    };
    for (filter, expect) in [
        (json!({}), &[12, 13][..]),
        (from(json!({})), &[10, 11, 12, 13]),
        (from(json!({"toBlock": "0x2"})), &[10, 11]),
        (json!({"fromBlock": "0x2", "toBlock": "0x3"}), &[11]),
        (json!({"fromBlock": "earliest", "toBlock": "0xfff"}), &[10, 11, 12, 13]),
        (json!({"fromBlock": "0x9"}), &[]),
        (from(json!({"address": contract(2)})), &[10, 11, 12, 13]),
        (from(json!({"address": [contract(0), contract(1)]})), &[]),
        (from(json!({"topics": [topic(1)]})), &[11, 13]),
        (from(json!({"topics": [[topic(0), topic(1)]]})), &[10, 11, 12, 13]),
        (from(json!({"topics": [null]})), &[10, 11, 12, 13]),
        (from(json!({"topics": [topic(0), topic(0)]})), &[]),
    ] {
        if filter["fromBlock"] == "0x9" {
            node.check_failure("eth_getLogs", json!([filter]), -32_602, "invalid block range params").await;
            continue;
        }
        assert_eq!(data(&node.ask("eth_getLogs", json!([filter])).await), expect, "{filter}");
    }
    let block = node.ask("eth_getBlockByNumber", json!(["0x4"])).await;
    let by_hash = node.ask("eth_getLogs", json!([{"blockHash": block["hash"]}])).await;
    assert_eq!(data(&by_hash), [12, 13]);
    assert_eq!((&by_hash[1]["logIndex"], &by_hash[1]["transactionIndex"]), (&json!("0x1"), &json!("0x1")));
    assert_eq!((&by_hash[0]["removed"], &by_hash[0]["blockNumber"]), (&json!(false), &json!("0x4")));
    node.check_failure("eth_getLogs", json!([{"blockHash": B256::ZERO}]), -32_000, "unknown block").await;
    let both = json!([{"blockHash": B256::ZERO, "fromBlock": "0x1"}]);
    node.check_failure("eth_getLogs", both, -32_602, "blockHash").await;
}

#[tokio::test]
async fn queries_are_bounded() {
    let eth = EthLimits { logs_blocks_max: 3, logs_max: 2, ..EthLimits::default() };
    let node = with_logs(Limits { eth, ..Limits::default() }).await;
    let ask = |from: &str, to: &str| json!([{"fromBlock": from, "toBlock": to}]);
    node.check_failure("eth_getLogs", ask("0x1", "0x4"), -32_005, "4 blocks; at most 3").await;
    node.check_failure("eth_getLogs", ask("0x2", "0x4"), -32_005, "blocks 0x2 to 0x3 fit").await;
    assert_eq!(data(&node.ask("eth_getLogs", ask("0x4", "0x4")).await), [12, 13]);
    let many = vec![contract(0); 1];
    let choices: Vec<_> = (0..1_001_u64).map(|number| B256::from(U256::from(number))).collect();
    let filter = json!([{"address": many, "topics": [choices]}]);
    node.check_failure("eth_getLogs", filter, -32_602, "at most 1000").await;
}

#[tokio::test]
async fn filters_tell_what_is_new() {
    let node = with_logs(Limits::default()).await;
    let logs = node.ask("eth_newFilter", json!([{"topics": [topic(0)], "fromBlock": "0x0"}])).await;
    let blocks = node.ask("eth_newBlockFilter", json!([])).await;
    let waiting = node.ask("eth_newPendingTransactionFilter", json!([])).await;
    let full = node.ask("eth_newPendingTransactionFilter", json!([true])).await;
    let new = async |filter: &Value| node.ask("eth_getFilterChanges", json!([filter])).await;
    for filter in [&logs, &blocks, &waiting, &full] {
        assert_eq!(new(filter).await, json!([]));
    }
    let mut hashes = vec![node.send(emit(0, 2, 20)).await];
    node.chain.advance();
    hashes.push(node.send(emit(1, 2, 21)).await);
    node.chain.advance();
    assert_eq!(data(&new(&logs).await), [20]);
    let five = node.ask("eth_getBlockByNumber", json!(["0x5"])).await["hash"].clone();
    let six = node.ask("eth_getBlockByNumber", json!(["0x6"])).await["hash"].clone();
    assert_eq!(new(&blocks).await, json!([five, six]));
    assert_eq!(new(&waiting).await, json!(hashes));
    assert_eq!(new(&full).await[1]["hash"], json!(hashes[1]));
    for filter in [&logs, &blocks, &waiting, &full] {
        assert_eq!(new(filter).await, json!([]), "told once");
    }
    assert_eq!(data(&node.ask("eth_getFilterLogs", json!([logs])).await), [10, 12, 20]);
    node.check_failure("eth_getFilterLogs", json!([blocks]), -32_000, "not of logs").await;
    assert_eq!(node.ask("eth_uninstallFilter", json!([logs])).await, true);
    assert_eq!(node.ask("eth_uninstallFilter", json!([logs])).await, false);
    node.check_failure("eth_getFilterChanges", json!([logs]), -32_000, "filter not found").await;
}

#[tokio::test]
async fn a_client_has_its_share_of_filters() {
    let eth = EthLimits { filters_max: 4, ..EthLimits::default() };
    let node = Node::new(Lone::new(Cadence::PerBlock), Limits { eth, ..Limits::default() });
    let first = node.ask("eth_newBlockFilter", json!([])).await;
    node.ask("eth_newBlockFilter", json!([])).await;
    node.check_failure("eth_newBlockFilter", json!([]), -32_000, "2 filters of this client are open").await;
    node.ask("eth_uninstallFilter", json!([first])).await;
    node.ask("eth_newBlockFilter", json!([])).await;
}

#[tokio::test]
async fn filters_that_nobody_asks_for_are_gone() {
    let eth = EthLimits { filter_idle_ms: 100, ..EthLimits::default() };
    let node = Node::new(Lone::new(Cadence::PerBlock), Limits { eth, ..Limits::default() });
    let filter = node.ask("eth_newBlockFilter", json!([])).await;
    // That its time runs out is what is tested.
    let made = std::time::Instant::now();
    while made.elapsed() < std::time::Duration::from_millis(110) {
        tokio::task::yield_now().await;
    }
    node.check_failure("eth_getFilterChanges", json!([filter]), -32_000, "filter not found").await;
}

/// Long after, in parts.
#[tokio::test]
async fn late_answers_come_in_parts() {
    let eth = EthLimits { logs_blocks_max: 2, ..EthLimits::default() };
    let node = Node::new(Lone::new(Cadence::PerBlock), Limits { eth, ..Limits::default() });
    let logs = node.ask("eth_newFilter", json!([{}])).await;
    let blocks = node.ask("eth_newBlockFilter", json!([])).await;
    for nonce in 0..5 {
        node.send(emit(0, nonce, nonce)).await;
        node.chain.advance();
    }
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(data(&node.ask("eth_getFilterChanges", json!([logs])).await));
    }
    assert_eq!(got, [vec![0, 1], vec![2, 3], vec![4], vec![]]);
    let mut counts = Vec::new();
    for _ in 0..4 {
        let hashes = node.ask("eth_getFilterChanges", json!([blocks])).await;
        counts.push(hashes.as_array().unwrap().len());
    }
    assert_eq!(counts, [2, 2, 1, 0]);
}

/// A WebSocket without the socket.
async fn subscribe(node: &Node, connection: &Connection, params: Value) -> Value {
    let starts = Starts::default();
    let caller = Caller { key: "test".into(), session: Some((connection.session.clone(), starts.clone())) };
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params});
    let reply = node.dispatcher.answer(&node.rollup, &caller, &call.to_string()).await.unwrap();
    session::start(&starts);
    serde_json::from_str::<Value>(&reply).unwrap()["result"].clone()
}

#[tokio::test]
async fn subscriptions_tell_what_is_new() {
    let node = with_logs(Limits::default()).await;
    let mut heads = Connection::new(&Limits::default());
    assert_eq!(subscribe(&node, &heads, json!(["newHeads"])).await, "0x1");
    let mut logs = Connection::new(&Limits::default());
    subscribe(&node, &logs, json!(["logs", {"topics": [topic(1)]}])).await;
    let mut hashes = Connection::new(&Limits::default());
    subscribe(&node, &hashes, json!(["newPendingTransactions"])).await;
    let mut full = Connection::new(&Limits::default());
    subscribe(&node, &full, json!(["newPendingTransactions", true])).await;
    let hash = node.send(emit(1, 2, 30)).await;
    assert_eq!(hashes.next_of("eth_subscription").await, json!(hash));
    assert_eq!(full.next_of("eth_subscription").await["hash"], json!(hash));
    node.chain.advance();
    assert_eq!(heads.next_of("eth_subscription").await["number"], "0x5");
    let log = logs.next_of("eth_subscription").await;
    assert_eq!((quantity(&log["data"]), &log["transactionHash"]), (30, &json!(hash)));
    // The ring of events has 64 places; what falls out is read again.
    for nonce in 0..100 {
        node.send(emit(3, nonce, nonce)).await;
        node.chain.advance();
    }
    for number in 6..106 {
        assert_eq!(quantity(&heads.next_of("eth_subscription").await["number"]), number);
    }
    node.check_failure("eth_subscribe", json!(["newHeads"]), -32_000, "subscriptions need a WebSocket").await;
    assert_eq!(subscribe(&node, &heads, json!(["logs", true])).await, Value::Null);
}

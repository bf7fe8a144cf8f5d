use super::*;
use crate::eth::testing::{
    CHAIN_ID, ETHER, GWEI, STORE, call, contract, create, delegation, deploy, legacy, with_access_list, words,
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Bloom, keccak256};
use alloy_rlp::Decodable as _;
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};

/// One transaction of every kind, in one block.
async fn every_kind(node: &Node) -> Vec<B256> {
    let wallet = rich;
    let authority = wallet(4);
    let authorization = authority.authorize(0, contract(0));
    let raws = [
        wallet(0).raw(legacy(0, Address::repeat_byte(9), 3)),
        wallet(1).raw(with_access_list(0, contract(0))),
        wallet(2).raw(TxEip1559 { input: words(&[5]), ..call(0, contract(2)) }),
        wallet(3).raw(delegation(0, authority.address, vec![authorization])),
        wallet(0).raw(create(1, deploy(STORE))),
        wallet(1).raw(call(1, contract(3))),
        wallet(2).raw(call(1, contract(4))),
    ];
    let mut hashes = Vec::new();
    for raw in raws {
        hashes.push(node.send(raw).await);
    }
    node.chain.advance();
    hashes
}

#[tokio::test]
async fn transactions_blocks_and_receipts() {
    let node = Node::per_block();
    let hashes = every_kind(&node).await;
    assert_eq!(node.ask("eth_blockNumber", json!([])).await, "0x1");
    let block = node.ask("eth_getBlockByNumber", json!(["0x1", false])).await;
    let full = node.ask("eth_getBlockByNumber", json!(["latest", true])).await;
    assert_eq!(node.ask("eth_getBlockByHash", json!([block["hash"], true])).await, full);
    assert_eq!(node.ask("eth_getBlockByNumber", json!({"block": "safe"})).await, block);
    let count = node.ask("eth_getBlockTransactionCountByHash", json!([block["hash"]])).await;
    assert_eq!((count, full["transactions"].as_array().unwrap().len()), (json!("0x7"), 7));
    let receipts = node.ask("eth_getBlockReceipts", json!(["latest"])).await;
    let mut cumulative = 0;
    let mut logs = 0;
    for hash in &hashes {
        let transaction = node.ask("eth_getTransactionByHash", json!([hash])).await;
        let index = usize::try_from(quantity(&transaction["transactionIndex"])).unwrap();
        assert_eq!(transaction, full["transactions"][index]);
        assert_eq!(block["transactions"][index], json!(hash));
        let place = json!(["0x1", transaction["transactionIndex"]]);
        assert_eq!(node.ask("eth_getTransactionByBlockNumberAndIndex", place).await, transaction);
        let raw = node.ask("eth_getRawTransactionByHash", json!([hash])).await;
        let raw: Bytes = serde_json::from_value(raw).unwrap();
        assert_eq!(keccak256(&raw), *hash);
        assert_eq!(node.ask("eth_getTransactionReceipt", json!([hash])).await, receipts[index]);
    }
    for receipt in receipts.as_array().unwrap() {
        cumulative += quantity(&receipt["gasUsed"]);
        assert_eq!(quantity(&receipt["cumulativeGasUsed"]), cumulative);
        for log in receipt["logs"].as_array().unwrap() {
            assert_eq!((quantity(&log["logIndex"]), &log["blockHash"]), (logs, &block["hash"]));
            assert_eq!(log["transactionHash"], receipt["transactionHash"]);
            logs += 1;
        }
    }
    assert_eq!((cumulative, logs), (quantity(&block["gasUsed"]), 1));
    check_kinds(&node, &hashes).await;
}

async fn check_kinds(node: &Node, hashes: &[B256]) {
    let mut kinds = Vec::new();
    for hash in hashes {
        let receipt = node.ask("eth_getTransactionReceipt", json!([hash])).await;
        kinds.push((quantity(&receipt["type"]), quantity(&receipt["status"])));
        let transaction = node.ask("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(transaction["type"], receipt["type"]);
        let price = quantity(&receipt["effectiveGasPrice"]);
        assert_eq!(price, quantity(&transaction["gasPrice"]));
        let dynamic = quantity(&receipt["type"]) >= 2;
        assert_eq!(price, if dynamic { 875_000_000 + GWEI } else { 5 * GWEI });
        assert_eq!(quantity(&transaction["chainId"]), CHAIN_ID.into());
    }
    assert_eq!(kinds, [(0, 1), (1, 1), (2, 1), (4, 1), (2, 1), (2, 0), (2, 0)]);
    let created = node.ask("eth_getTransactionReceipt", json!([hashes[4]])).await;
    let address = rich(0).address.create(1);
    assert_eq!(created["contractAddress"], json!(address));
    assert_eq!(created["to"], Value::Null);
    assert_eq!(node.ask("eth_getCode", json!([address, "latest"])).await, json!(Bytes::from(STORE)));
    let delegated = node.ask("eth_getCode", json!([rich(4).address])).await;
    assert_eq!(delegated, format!("0xef0100{}", "c0".repeat(20)));
}

#[tokio::test]
async fn what_is_not_there() {
    let node = Node::per_block();
    every_kind(&node).await;
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x2", false])),
        ("eth_getBlockByHash", json!([B256::ZERO, false])),
        ("eth_getBlockReceipts", json!(["0x9"])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x9"])),
        ("eth_getTransactionByHash", json!([B256::ZERO])),
        ("eth_getTransactionReceipt", json!([B256::ZERO])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x7"])),
        ("eth_getRawTransactionByHash", json!([B256::ZERO])),
    ] {
        assert_eq!(node.ask(method, params).await, Value::Null, "{method}");
    }
    let address = rich(0).address;
    for block in [json!("0x2"), json!(B256::ZERO), json!({"blockNumber": "0xff"})] {
        node.check_failure("eth_getBalance", json!([address, block]), -32_000, "header not found").await;
    }
    for nonce in 2..8 {
        node.send(rich(0).raw(legacy(nonce, address, 1))).await;
        node.chain.advance();
    }
    // The test's chain keeps four states.
    node.check_failure("eth_getBalance", json!([address, "0x1"]), -32_000, "is not kept").await;
    assert!(node.ask("eth_getBlockByNumber", json!(["0x1"])).await.is_object());
}

#[tokio::test]
async fn accounts_at_every_tag() {
    let node = Node::per_block();
    let to = Address::repeat_byte(9);
    let wallet = rich(0);
    let pay = |nonce| wallet.raw(legacy(nonce, to, ETHER));
    let balance =
        async |block: Value| quantity(&node.ask("eth_getBalance", json!([to, block])).await) / ETHER;
    let nonce = async |block: Value| {
        quantity(&node.ask("eth_getTransactionCount", json!([wallet.address, block])).await)
    };
    for number in 0..2 {
        node.send(pay(number)).await;
        node.chain.advance();
    }
    // Executed ahead, and waiting.
    node.send(pay(2)).await;
    node.chain.propose(1_000);
    node.send(pay(3)).await;
    assert_eq!(balance(json!("earliest")).await, 0);
    assert_eq!(balance(json!("0x1")).await, 1);
    assert_eq!(balance(json!("finalized")).await, 1);
    assert_eq!(balance(json!("safe")).await, 2);
    assert_eq!(balance(json!("latest")).await, 2);
    assert_eq!(balance(json!("pending")).await, 3);
    let hash = node.ask("eth_getBlockByNumber", json!(["0x1"])).await["hash"].clone();
    assert_eq!(balance(hash.clone()).await, 1);
    assert_eq!(balance(json!({"blockHash": hash, "requireCanonical": true})).await, 1);
    assert_eq!((nonce(json!("0x1")).await, nonce(json!("safe")).await), (1, 2));
    // So that whoever sends right after another gets the next.
    assert_eq!((nonce(json!("latest")).await, nonce(json!("pending")).await), (4, 4));
    let waiting = node.ask("eth_getTransactionByHash", json!([keccak256(pay(3))])).await;
    assert_eq!((&waiting["blockHash"], &waiting["nonce"]), (&Value::Null, &json!("0x3")));
    let ahead = keccak256(pay(2));
    assert_eq!(node.ask("eth_getTransactionByHash", json!([ahead])).await["blockNumber"], Value::Null);
    assert_eq!(node.ask("eth_getTransactionReceipt", json!([ahead])).await, Value::Null);
    node.chain.finalize();
    assert_eq!(balance(json!("latest")).await, 3);
    assert_eq!(node.ask("eth_getTransactionReceipt", json!([ahead])).await["status"], "0x1");
}

#[tokio::test]
async fn an_open_block_is_pending() {
    let node = Node::slotted();
    let raw = rich(0).raw(TxEip1559 { input: words(&[6]), ..call(0, contract(2)) });
    let hash = node.send(raw).await;
    // The rest of the slot.
    node.chain.propose(100);
    node.chain.finalize();
    assert_eq!(node.ask("eth_blockNumber", json!([])).await, "0x0");
    let block = node.ask("eth_getBlockByNumber", json!(["pending", true])).await;
    assert_eq!((&block["hash"], &block["number"]), (&Value::Null, &json!("0x1")));
    assert_eq!(block["transactions"][0]["hash"], json!(hash));
    let receipts = node.ask("eth_getBlockReceipts", json!(["pending"])).await;
    assert_eq!((&receipts[0]["status"], &receipts[0]["blockHash"]), (&json!("0x1"), &Value::Null));
    assert_eq!(node.ask("eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    node.chain.propose(2_000);
    node.chain.finalize();
    assert_eq!(node.ask("eth_blockNumber", json!([])).await, "0x1");
    let receipt = node.ask("eth_getTransactionReceipt", json!([hash])).await;
    for field in ["status", "gasUsed", "cumulativeGasUsed", "logsBloom", "effectiveGasPrice", "blockNumber"] {
        assert_eq!(receipt[field], receipts[0][field], "{field}");
    }
}

#[tokio::test]
async fn proofs_verify_against_the_state_root() {
    let node = Node::per_block();
    let input = words(&[5, 77]);
    node.send(rich(0).raw(TxEip1559 { input, ..call(0, contract(0)) })).await;
    node.chain.advance();
    let root: B256 = serde_json::from_value(
        node.ask("eth_getBlockByNumber", json!(["latest"])).await["stateRoot"].clone(),
    )
    .unwrap();
    let nodes = |value: &Value| -> Vec<Bytes> { serde_json::from_value(value.clone()).unwrap() };
    let proof = node.ask("eth_getProof", json!([contract(0), ["0x5", B256::ZERO], "latest"])).await;
    let account_nodes = nodes(&proof["accountProof"]);
    let storage_root: B256 = serde_json::from_value(proof["storageHash"].clone()).unwrap();
    let account = TrieAccount { nonce: 1, balance: U256::ZERO, storage_root, code_hash: keccak256(STORE) };
    let key = Nibbles::unpack(keccak256(contract(0)));
    verify_proof(root, key, Some(alloy_rlp::encode(account)), &account_nodes).unwrap();
    let slot = &proof["storageProof"][0];
    assert_eq!((&slot["key"], &slot["value"]), (&json!("0x5"), &json!("0x4d")));
    let key = Nibbles::unpack(keccak256(B256::with_last_byte(5)));
    verify_proof(storage_root, key, Some(alloy_rlp::encode(77_u64)), &nodes(&slot["proof"])).unwrap();
    let absent = &proof["storageProof"][1];
    let key = Nibbles::unpack(keccak256(B256::ZERO));
    assert_eq!((&absent["key"], &absent["value"]), (&json!(B256::ZERO), &json!("0x0")));
    verify_proof(storage_root, key, None, &nodes(&absent["proof"])).unwrap();
    let nobody = Address::repeat_byte(0x77);
    let proof = node.ask("eth_getProof", json!([nobody, []])).await;
    verify_proof(root, Nibbles::unpack(keccak256(nobody)), None, &nodes(&proof["accountProof"])).unwrap();
    let many = vec!["0x0"; 1_025];
    node.check_failure("eth_getProof", json!([nobody, many]), -32_602, "at most 1024").await;
    let value = node.ask("eth_getStorageAt", json!([contract(0), "0x5", "latest"])).await;
    assert_eq!(value, json!(B256::with_last_byte(77)));
}

/// The block's own encoding has this size, and its header this hash.
#[tokio::test]
async fn blocks_are_what_their_headers_say() {
    let node = Node::per_block();
    every_kind(&node).await;
    let view = node.ask("eth_getBlockByNumber", json!(["latest", true])).await;
    let typed: alloy_rpc_types_eth::Block = serde_json::from_value(view.clone()).unwrap();
    assert_eq!(typed.header.inner.hash_slow(), typed.header.hash);
    let block = node.rollup.backend.block(1).await.unwrap().unwrap();
    let transactions: Vec<_> = block.transactions.iter().map(|signed| signed.envelope().clone()).collect();
    let body =
        alloy_consensus::BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
    let encoded = alloy_rlp::encode(alloy_consensus::Block { header: block.head.header.clone(), body });
    assert_eq!(quantity(&view["size"]), encoded.len() as u128);
    assert!(alloy_consensus::Block::<alloy_consensus::TxEnvelope>::decode(&mut &encoded[..]).is_ok());
    let mut bloom = Bloom::ZERO;
    bloom.accrue_log(&alloy_primitives::Log::new_unchecked(
        contract(2),
        vec![rich(2).address.into_word()],
        Bytes::new(),
    ));
    assert_eq!(typed.header.logs_bloom, bloom);
}

use super::*;
use crate::eth::testing::{CHAIN_ID, ETHER, GWEI, call, contract, create, delegation, legacy};
use alloy_consensus::{TxEip1559, TxLegacy};

/// In the words that libraries look for.
#[tokio::test]
async fn refusals_in_the_words_of_clients() {
    let node = Node::per_block();
    let (wallet, to) = (rich(0), Address::repeat_byte(9));
    node.send(wallet.raw(call(0, to))).await;
    node.chain.advance();
    node.send(wallet.raw(call(1, to))).await;
    let tip = |tip| TxEip1559 { max_priority_fee_per_gas: tip, ..call(1, to) };
    let poor = poor();
    for (raw, code, message) in [
        (wallet.raw(call(0, to)), -32_000, "nonce too low: next nonce 1, tx nonce 0"),
        (wallet.raw(call(1, to)), -32_000, "already known"),
        (wallet.raw(tip(GWEI + 1)), -32_000, "replacement transaction underpriced"),
        (wallet.raw(call(99, to)), -32_000, "nonce too high"),
        (poor.raw(call(0, to)), -32_000, "insufficient funds for gas * price + value: balance 0, tx cost"),
        (
            wallet.raw(TxEip1559 { value: U256::from(20_000 * ETHER), ..call(2, to) }),
            -32_000,
            "insufficient funds for gas * price + value",
        ),
        (wallet.raw(TxEip1559 { gas_limit: 20_999, ..call(2, to) }), -32_000, "intrinsic gas too low"),
        (wallet.raw(TxEip1559 { gas_limit: 30_000_001, ..call(2, to) }), -32_000, "exceeds block gas limit"),
        (wallet.raw(tip(11 * GWEI)), -32_000, "max priority fee per gas higher than max fee per gas"),
        (
            wallet.raw(TxEip1559 { chain_id: CHAIN_ID + 1, ..call(2, to) }),
            -32_000,
            "invalid chain id for signer",
        ),
        (
            wallet.raw(TxLegacy { chain_id: None, ..legacy(2, to, 0) }),
            -32_000,
            "only replay-protected (EIP-155) transactions allowed over RPC",
        ),
        (wallet.raw(create(2, vec![0; 49_153])), -32_000, "max initcode size exceeded"),
        (wallet.raw(delegation(2, to, vec![])), -32_000, "EIP-7702 transaction with empty auth list"),
        (Bytes::from_static(&[3, 0xc0]), -32_000, "transaction type not supported"),
        (Bytes::from_static(&[2, 0xc0]), -32_602, "failed to decode signed transaction"),
        (Bytes::new(), -32_602, "failed to decode signed transaction"),
    ] {
        node.check_failure("eth_sendRawTransaction", json!([raw]), code, message).await;
    }
    // A tenth more on both replaces.
    let better = TxEip1559 { max_fee_per_gas: 11 * GWEI, ..tip(GWEI + GWEI / 10) };
    let hash = node.send(wallet.raw(better)).await;
    node.chain.advance();
    assert_eq!(node.ask("eth_getTransactionReceipt", json!([hash])).await["status"], "0x1");
}

/// EIP-7966.
#[tokio::test]
async fn a_receipt_in_the_same_call() {
    let node = Node::per_block();
    let (wallet, to) = (rich(0), Address::repeat_byte(9));
    let method = "eth_sendRawTransactionSync";
    let next = async || node.ask("eth_getTransactionCount", json!([wallet.address, "pending"])).await;
    // Others that begin to wait may push the block out of what is told.
    for (nonce, others) in [(0, 0), (1, 100)] {
        let executed = async {
            while quantity(&next().await) <= u128::from(nonce) {
                tokio::task::yield_now().await;
            }
            node.chain.advance();
            for other in 0..others {
                let wallet = rich(1 + other / 16 % 4);
                let value = U256::from(other);
                let raw = wallet.raw(TxEip1559 { value, ..call(u64::try_from(other % 16).unwrap(), to) });
                node.reply("eth_sendRawTransaction", &json!([raw])).await;
            }
        };
        let (receipt, ()) = tokio::join!(node.ask(method, json!([wallet.raw(call(nonce, to))])), executed);
        let again = node.ask("eth_getTransactionReceipt", json!([receipt["transactionHash"]])).await;
        assert_eq!((&receipt["status"], &receipt), (&json!("0x1"), &again));
    }

    for (nonce, timeout) in [(2, json!(10)), (3, json!("0xa"))] {
        let (code, message, data) = node.fail(method, json!([wallet.raw(call(nonce, to)), timeout])).await;
        assert!(code == 4 && message.contains("in no final block after 10 ms"), "{code} {message}");
        node.chain.advance();
        assert_eq!(node.ask("eth_getTransactionReceipt", json!([data])).await["status"], "0x1");
    }
    node.check_failure(method, json!([wallet.raw(call(0, to))]), -32_000, "nonce too low").await;
    let waits = node.rollup.waits.clone().try_acquire_many_owned(128).unwrap();
    let (_, message, data) = node.fail(method, json!([wallet.raw(call(4, to))])).await;
    assert!(message.contains("too many calls wait") && data["reason"] == "busy", "{message} {data}");
    assert_eq!(quantity(&next().await), 4, "it was not taken");
    drop(waits);
    node.check_failure(method, json!(["0x00", "soon"]), -32_602, "timeout_ms: ").await;
}

#[tokio::test]
async fn a_batch_of_many() {
    let node = Node::per_block();
    let wallet = rich(1);
    let calls: Vec<_> = (0..8)
        .map(|nonce| {
            let raw = wallet.raw(legacy(nonce, contract(1), 0));
            json!({"jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [raw]})
        })
        .collect();
    let reply =
        node.dispatcher.answer(&node.rollup, &Caller::new("test"), &json!(calls).to_string()).await.unwrap();
    let replies: Vec<Value> = serde_json::from_str(&reply).unwrap();
    node.chain.advance();
    for (nonce, reply) in replies.iter().enumerate() {
        assert_eq!(reply["id"], nonce);
        let receipt = node.ask("eth_getTransactionReceipt", json!([reply["result"]])).await;
        assert_eq!(quantity(&receipt["transactionIndex"]), nonce as u128);
    }
}

/// Admission control comes before the parameters are read.
#[tokio::test]
async fn a_busy_node_takes_none() {
    let busy = |_: &Arc<Rollup>| Err(Refusal::new(Reason::Busy, "much waits").retry_after(70));
    let node = Node::with(Lone::new(Cadence::PerBlock), Limits::default(), busy);
    let (code, message, data) = node.fail("eth_sendRawTransaction", json!(["no transaction"])).await;
    assert!(code == -32_000 && message.contains("much waits"), "{code} {message}");
    assert_eq!((&data["reason"], &data["retry_after_ms"]), (&json!("busy"), &json!(70)));
    // Questions are answered as ever.
    assert_eq!(node.ask("eth_blockNumber", json!([])).await, "0x0");
}

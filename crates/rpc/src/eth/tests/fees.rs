use super::*;
use crate::eth::testing::{GWEI, call, contract, legacy};
use alloy_consensus::{TxEip1559, TxLegacy};
use baton_types::genesis::Ordering;

/// Burns a third of a block for this tip.
fn burn(who: usize, nonce: u64, tip: u128) -> Bytes {
    rich(who).raw(TxEip1559 {
        gas_limit: 9_900_000,
        max_fee_per_gas: 1_000 * GWEI,
        max_priority_fee_per_gas: tip,
        ..call(nonce, contract(4))
    })
}

async fn price(node: &Node, method: &str) -> u128 {
    quantity(&node.ask(method, json!([])).await)
}

#[tokio::test]
async fn history_of_fees() {
    let node = Node::per_block();
    for nonce in 0..3 {
        node.send(burn(0, nonce, GWEI)).await;
        node.send(burn(1, nonce, 2 * GWEI)).await;
        node.send(burn(2, nonce, 3 * GWEI)).await;
        node.chain.advance();
    }
    let history = node.ask("eth_feeHistory", json!(["0xa", "latest", [0, 50, 100]])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    let bases = history["baseFeePerGas"].as_array().unwrap();
    assert_eq!((bases.len(), history["gasUsedRatio"].as_array().unwrap().len()), (5, 4));
    assert_eq!(history["gasUsedRatio"][1], 0.99);
    for (number, base) in bases.iter().take(4).enumerate() {
        let block = node.ask("eth_getBlockByNumber", json!([format!("{number:#x}")])).await;
        assert_eq!(*base, block["baseFeePerGas"]);
    }
    assert!(quantity(&bases[4]) > quantity(&bases[3]), "full blocks make it rise");
    let tips: Vec<_> = history["reward"][3].as_array().unwrap().iter().map(quantity).collect();
    assert_eq!(tips, [GWEI, 2 * GWEI, 3 * GWEI]);
    assert_eq!(history["reward"][0], json!(["0x0", "0x0", "0x0"]));
    let one = node.ask("eth_feeHistory", json!([1, "0x2"])).await;
    assert_eq!((&one["oldestBlock"], one.get("reward")), (&json!("0x2"), None));
    assert_eq!(one["baseFeePerGas"][1], bases[3]);
    node.check_failure("eth_feeHistory", json!(["0x1", "0x9"]), -32_000, "request beyond head block").await;
    assert_eq!(node.ask("eth_feeHistory", json!(["0x0", "latest"])).await["gasUsedRatio"], json!([]));
}

/// What is suggested while blocks are full gets into one of the next, whatever the base fee did meanwhile.
#[tokio::test]
async fn suggestions_hold_under_load() {
    let node = Node::per_block();
    assert_eq!(price(&node, "eth_maxPriorityFeePerGas").await, 1_000_000);
    assert!(price(&node, "eth_gasPrice").await > 875_000_000);
    let mut waiting = None;
    let mut late = 0;
    for round in 0..12 {
        for who in 0..3 {
            node.send(burn(who, round, 5 * GWEI)).await;
        }
        if waiting.is_none() && round > 4 {
            let asked = price(&node, "eth_gasPrice").await;
            assert!(asked > 5 * GWEI, "{asked}");
            let tip = price(&node, "eth_maxPriorityFeePerGas").await;
            assert!((5 * GWEI..6 * GWEI).contains(&tip), "as others pay: {tip}");
            waiting = Some(node.send(priced(asked)).await);
        }
        node.chain.advance();
        if let Some(hash) = waiting
            && node.ask("eth_getTransactionReceipt", json!([hash])).await.is_null()
        {
            late += 1;
        }
    }
    assert!(late <= 2, "{late} blocks too late");
}

fn priced(gas_price: u128) -> Bytes {
    rich(3).raw(TxLegacy { gas_price, gas_limit: 21_000, ..legacy(0, Address::repeat_byte(1), 1) })
}

#[tokio::test]
async fn by_arrival_the_least_tip_is_enough() {
    let node = Node::new(Lone::with(Cadence::PerBlock, Ordering::Arrival), Limits::default());
    for who in 0..3 {
        node.send(burn(who, 0, 5 * GWEI)).await;
    }
    node.chain.advance();
    assert_eq!(price(&node, "eth_maxPriorityFeePerGas").await, 1_000_000);
}

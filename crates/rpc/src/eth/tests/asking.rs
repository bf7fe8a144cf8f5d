use super::*;
use crate::eth::testing::{LOAD, STORE, call, contract, create, deploy, words};
use alloy_consensus::TxEip1559;
use alloy_primitives::TxKind;
use alloy_sol_types::{Panic, Revert, SolError as _};

fn request(to: Address, input: &Bytes) -> Value {
    json!({"from": rich(0).address, "to": to, "input": input})
}

#[tokio::test]
async fn calls_see_the_state_they_name() {
    let node = Node::per_block();
    let store = |nonce, value| {
        let input = words(&[0, value]);
        rich(0).raw(TxEip1559 { input, ..call(nonce, contract(0)) })
    };
    // LOAD's code where STORE's storage is.
    let load = async |block: &str| {
        let code = json!({contract(0).to_string(): {"code": Bytes::from(LOAD)}});
        let asked = json!([request(contract(0), &Bytes::new()), block, code]);
        quantity(&node.ask("eth_call", asked).await)
    };
    node.send(store(0, 5)).await;
    node.chain.advance();
    node.send(store(1, 6)).await;
    node.chain.advance();
    node.send(store(2, 7)).await;
    node.chain.propose(1_000);
    assert_eq!(
        [load("0x0").await, load("0x1").await, load("latest").await, load("pending").await],
        [0, 5, 6, 7]
    );
    node.check_failure(
        "eth_call",
        json!([request(contract(0), &Bytes::new()), "0x9"]),
        -32_000,
        "header not found",
    )
    .await;
}

#[tokio::test]
async fn overrides_are_pretended() {
    let node = Node::per_block();
    let nobody = Address::repeat_byte(0x33);
    let one = format!("{:#066x}", 1);
    let load =
        |overrides: Value| json!([{"to": contract(1)}, "latest", {contract(1).to_string(): overrides}]);
    let slot = |value: u8| json!({B256::ZERO.to_string(): B256::with_last_byte(value)});
    assert_eq!(quantity(&node.ask("eth_call", load(json!({"state": slot(8)}))).await), 8);
    assert_eq!(quantity(&node.ask("eth_call", load(json!({"stateDiff": slot(9)}))).await), 9);
    assert_eq!(quantity(&node.ask("eth_call", load(json!({}))).await), 0);
    let both = load(json!({"state": slot(8), "stateDiff": slot(9)}));
    node.check_failure("eth_call", both, -32_602, "send one").await;
    let moved = load(json!({"movePrecompileToAddress": nobody}));
    node.check_failure("eth_call", moved, -32_602, "not supported").await;
    let bad = load(json!({"code": "0xef0100aa"}));
    node.check_failure("eth_call", bad, -32_602, "overrides").await;
    let pay = json!({"from": nobody, "to": contract(1), "value": "0x5"});
    node.check_failure(
        "eth_call",
        json!([pay, "latest"]),
        -32_000,
        "insufficient funds for gas * price + value: address 0x3333333333333333333333333333333333333333 have 0 want 5",
    )
    .await;
    let rich = json!({nobody.to_string(): {"balance": "0x5", "nonce": one}});
    assert_eq!(quantity(&node.ask("eth_call", json!([pay, "latest", rich])).await), 0);
}

#[tokio::test]
async fn failures_say_what_the_contract_said() {
    let node = Node::per_block();
    let revert = |output: Vec<u8>| request(contract(3), &output.into());
    let said = Revert::from("not today").abi_encode();
    let (code, message, data) = node.fail("eth_call", json!([revert(said.clone()), "latest"])).await;
    assert_eq!(
        (code, &message[..], data),
        (3, "execution reverted: not today", json!(Bytes::from(said.clone())))
    );
    let panic = Panic { code: U256::from(0x11) }.abi_encode();
    let (code, message, _) = node.fail("eth_call", json!([revert(panic)])).await;
    assert_eq!((code, &message[..]), (3, "execution reverted: arithmetic underflow or overflow"));
    let custom = vec![0xde, 0xad, 0xbe, 0xef];
    let (code, message, data) = node.fail("eth_call", json!([revert(custom)])).await;
    assert_eq!((code, &message[..], data), (3, "execution reverted", json!("0xdeadbeef")));
    let (code, message, data) = node.fail("eth_estimateGas", json!([revert(said.clone())])).await;
    assert_eq!((code, &message[..], data), (3, "execution reverted: not today", json!(Bytes::from(said))));
    node.check_failure("eth_call", json!([request(contract(4), &Bytes::new())]), -32_000, "invalid opcode")
        .await;
    let poor =
        json!([{"from": rich(0).address, "to": contract(0), "gas": "0x5300", "input": words(&[1, 2])}]);
    node.check_failure("eth_call", poor.clone(), -32_000, "intrinsic gas too low").await;
    node.check_failure("eth_estimateGas", poor, -32_000, "gas required exceeds allowance (21248)").await;
    let low = json!([{"to": contract(0), "gas": "0x6000", "input": words(&[1, 2])}]);
    node.check_failure("eth_call", low, -32_000, "out of gas").await;
    let cheap = json!([{"from": rich(0).address, "to": contract(0), "gasPrice": "0x1"}]);
    node.check_failure("eth_call", cheap, -32_000, "max fee per gas less than block base fee").await;
    let tip = json!([{"from": rich(0).address, "maxFeePerGas": "0xffffffffff", "maxPriorityFeePerGas": "0xffffffffff1"}]);
    node.check_failure("eth_call", tip, -32_000, "max priority fee per gas higher than max fee per gas")
        .await;
    let blob = json!([{"to": contract(0), "maxFeePerBlobGas": "0x1"}]);
    node.check_failure("eth_call", blob, -32_602, "blobs").await;
}

/// What is estimated suffices when it is sent, and little less does not.
#[tokio::test]
async fn estimates_suffice() {
    let node = Node::per_block();
    let wallet = rich(0);
    let cases = [
        (TxKind::Call(Address::repeat_byte(9)), Bytes::new(), 1),
        (TxKind::Call(contract(0)), words(&[1, 2]), 0),
        (TxKind::Call(contract(2)), words(&[5]), 0),
        (TxKind::Call(contract(5)), words(&[3, 4]), 0),
        (TxKind::Create, deploy(STORE).into(), 0),
        (TxKind::Call(Address::repeat_byte(8)), vec![0xff; 400].into(), 0),
    ];
    for (nonce, (to, input, value)) in (0..).zip(cases) {
        let mut asked = json!({"from": wallet.address, "input": input, "value": U256::from(value)});
        if let TxKind::Call(to) = to {
            asked["to"] = json!(to);
        }
        let gas =
            u64::try_from(quantity(&node.ask("eth_estimateGas", json!([asked, "pending"])).await)).unwrap();
        // With a price, what the sender can pay bounds it; here that is enough.
        asked["gasPrice"] = json!("0xba43b7400");
        let priced = quantity(&node.ask("eth_estimateGas", json!([asked])).await);
        assert!(priced.abs_diff(gas.into()) * 50 < gas.into(), "{nonce}: {priced}, {gas}");
        let transaction =
            TxEip1559 { gas_limit: gas, value: U256::from(value), to, input, ..create(nonce, vec![]) };
        let hash = node.send(wallet.raw(transaction)).await;
        node.chain.advance();
        let receipt = node.ask("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "case {nonce} with {gas}");
        let used = quantity(&receipt["gasUsed"]);
        assert!(u128::from(gas) < used * 13 / 10 + 2, "case {nonce}: estimated {gas}, used {used}");
    }
    let first = node.ask("eth_estimateGas", json!([{"to": Address::repeat_byte(9), "value": "0x0"}])).await;
    assert_eq!(first, "0x5208");
    let broke = json!([{"from": poor().address, "to": Address::repeat_byte(9), "value": "0x1"}]);
    node.check_failure("eth_estimateGas", broke, -32_000, "insufficient funds").await;
}

#[tokio::test]
async fn gas_of_a_call_is_bounded() {
    let limits =
        Limits { eth: EthLimits { call_gas_max: 60_000, ..EthLimits::default() }, ..Limits::default() };
    let node = Node::new(Lone::new(Cadence::PerBlock), limits);
    // Runs for ever.
    let endless = json!({contract(1).to_string(): {"code": "0x5b600056"}});
    let asked = json!([{"to": contract(1), "gas": "0xffffffff"}, "latest", endless]);
    node.check_failure("eth_call", asked, -32_000, "out of gas").await;
    let burn = json!([request(contract(4), &Bytes::new())]);
    node.check_failure("eth_estimateGas", burn, -32_000, "invalid opcode").await;
}

#[tokio::test]
async fn access_lists_are_found() {
    let node = Node::per_block();
    let asked = json!([request(contract(5), &words(&[3, 4])), "latest"]);
    let found = node.ask("eth_createAccessList", asked).await;
    let list = found["accessList"].as_array().unwrap();
    let storage = list.iter().find(|item| item["address"] == json!(contract(0))).unwrap();
    assert_eq!(storage["storageKeys"], json!([B256::with_last_byte(3)]));
    assert!(list.iter().any(|item| item["address"] == json!(contract(2))));
    assert!(quantity(&found["gasUsed"]) > 21_000 && found.get("error").is_none());
    let reverting = node.ask("eth_createAccessList", json!([request(contract(3), &Bytes::new())])).await;
    assert_eq!(reverting["error"], "execution reverted");
}

use super::{
    super::{
        Chain, ChainLimits,
        testing::{
            ETHER, LOG, Traffic, Wallet, call, cluster_block, contract, deploy, digest, entry, params,
            rollup, words,
        },
    },
    *,
};
use alloy_primitives::{Bytes, TxKind, U256};
use revm::context::result::InvalidTransaction;
use std::collections::BTreeMap;

const LIMITS: ChainLimits = ChainLimits { branches_max: 8, history_max: 100 };

fn ask(from: Address, to: TxKind, data: Bytes) -> TxEnv {
    TxEnv { caller: from, kind: to, data, gas_limit: 1_000_000, chain_id: Some(2_211), ..TxEnv::default() }
}

fn run(scene: &Scene, params: &Params, ask: TxEnv) -> Ran {
    scene.run(params, ask, Rules::FreeCall)
}

/// A chain, with the transactions of its blocks from number 1 on.
fn chain() -> (Params, Chain, Vec<Vec<Arc<Signed>>>) {
    let rollup = rollup(6);
    let params = params(&rollup);
    let mut chain = Chain::new(&rollup, digest(0), LIMITS).unwrap();
    let (mut traffic, mut blocks) = (Traffic::new(7, 6), Vec::new());
    for number in 1..12 {
        traffic.catch_up(&chain.head().state);
        let entries = (0..8).map(|_| entry(&params, &traffic.raw())).collect();
        let executed = chain.execute(&cluster_block(number, number - 1, 1_000 * number, entries)).unwrap();
        if let Some(made) = &executed.made {
            blocks.push(made.sealed.transactions().cloned().collect());
        }
        chain.finalize(&digest(number)).unwrap();
    }
    (params, chain, blocks)
}

#[test]
fn calls_change_nothing() {
    let (params, chain, _) = chain();
    let head = chain.head();
    let root = head.state.root();
    let scene = Scene::after(head);
    let nobody = Address::repeat_byte(0x33);
    let store = || ask(nobody, TxKind::Call(contract(0)), words(&[77, 2]));
    assert!(run(&scene, &params, store()).unwrap().is_success());
    let created = run(&scene, &params, ask(nobody, TxKind::Create, deploy(LOG).into())).unwrap();
    assert_eq!(created.output().unwrap()[..], *LOG);
    assert!(
        !run(&scene, &params, ask(nobody, TxKind::Call(contract(2)), Bytes::new())).unwrap().is_success()
    );
    let by_contract = ask(contract(1), TxKind::Call(contract(1)), Bytes::new());
    assert!(run(&scene, &params, by_contract.clone()).unwrap().is_success(), "contracts may ask");
    let signed = scene.run(&params, TxEnv { nonce: 1, ..by_contract }, Rules::Signed);
    assert!(signed.is_err(), "and cannot sign");
    let rich = TxEnv { value: U256::ONE, ..store() };
    assert!(matches!(
        run(&scene, &params, rich.clone()),
        Err(EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { .. }))
    ));
    let mut gift = Changes::default();
    gift.put(nobody, 0, U256::from(ETHER), None, BTreeMap::new());
    let scene = scene.with(&gift).unwrap();
    assert!(run(&scene, &params, rich).unwrap().is_success());
    assert_eq!(head.state.root(), root);
    assert_eq!(head.state.storage(&contract(0), U256::from(77)), U256::ZERO);
}

/// Gas, outcome and logs of every transaction are those of its receipt.
#[test]
fn every_transaction_can_be_run_again() {
    let (params, chain, blocks) = chain();
    let mut runs = 0;
    for (number, transactions) in (1..).zip(&blocks) {
        let (parent, header) = (chain.past(number - 1).unwrap(), &chain.past(number).unwrap().header);
        let mut gas_used = 0;
        for (index, signed) in transactions.iter().enumerate() {
            let scene = Scene::before(&params, parent, header, &transactions[..index]);
            let again = scene.run(&params, Scene::signed(signed), Rules::Signed).unwrap();
            gas_used += again.tx_gas_used();
            runs += 1;
        }
        assert_eq!(gas_used, header.gas_used, "block {number}");
    }
    assert!(runs > 40, "{runs}");
}

/// The contract writes the hash of the parent to slot 8: read back, it is the one the chain has.
#[test]
fn block_hashes_come_from_the_state() {
    let rollup = rollup(2);
    let params = params(&rollup);
    let mut chain = Chain::new(&rollup, digest(0), LIMITS).unwrap();
    let ask = |nonce| alloy_consensus::TxEip1559 { gas_limit: 400_000, ..call(nonce, contract(5)) };
    let mut transactions = Vec::new();
    for number in 1..4 {
        let entry = entry(&params, &Wallet::new(0).raw(ask(number - 1)));
        transactions.push(entry.transaction.clone().unwrap());
        chain.execute(&cluster_block(number, number - 1, 1_000 * number, vec![entry])).unwrap();
        chain.finalize(&digest(number)).unwrap();
    }
    let (two, three) = (chain.past(2).unwrap(), chain.past(3).unwrap());
    let again = Scene::before(&params, two, &three.header, &transactions[2..]);
    assert_eq!(again.state.storage(&contract(5), U256::from(8)), U256::from_be_bytes(two.hash.0));
    assert_eq!(hashes_of(&three.state), [chain.past(1).unwrap().hash, two.hash]);
    // BLOCKHASH(NUMBER - 1), returned.
    let code = [0x60, 0x01, 0x43, 0x03, 0x40, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
    let mut changes = Changes::default();
    let nobody = Address::repeat_byte(0x33);
    changes.put(nobody, 1, U256::ZERO, Some(Bytes::from(code)), BTreeMap::new());
    let scene = Scene::after(three).with(&changes).unwrap();
    let result = run(&scene, &params, self::ask(nobody, TxKind::Call(nobody), Bytes::new())).unwrap();
    assert_eq!(result.output().unwrap()[..], two.hash[..]);
}

fn hashes_of(state: &State) -> [B256; 2] {
    let hashes = RecentHashes::from_state(state, 3);
    [1, 2].map(|number| hashes.get(number).unwrap())
}

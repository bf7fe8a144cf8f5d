use super::*;
use crate::evm::{
    Chain, ChainLimits, ClusterBlock, Entry, Params, Signed, stored,
    testing::{Wallet, contract, digest, legacy, rollup},
};
use std::sync::Arc;

const LIMITS: ChainLimits = ChainLimits { branches_max: 4, history_max: 4 };

/// A block with so many transactions of one wallet.
fn block(count: u64) -> (Stored, Chain) {
    let rollup = rollup(2);
    let params = Params::new(&rollup).unwrap();
    let entry = |nonce| {
        let raw = Wallet::new(0).raw(legacy(nonce, contract(0), 3));
        Entry { transaction: Signed::decode(&raw, &params).map(Arc::new), bundle: None }
    };
    let mut chain = Chain::new(&rollup, digest(0), LIMITS).unwrap();
    let block = ClusterBlock {
        digest: digest(1),
        parent: digest(0),
        height: 1,
        timestamp_ms: 1_000,
        parent_seed: [0; 48],
        entries: (0..count).map(entry).collect(),
    };
    let executed = chain.execute(&block).unwrap();
    let left_out = stored::skipped(&executed, [].iter());
    let stored = Stored::new(executed.made.as_ref().expect("a block"), left_out);
    chain.finalize(&digest(1)).unwrap();
    assert_eq!(stored.transactions.len() as u64, count);
    (stored, chain)
}

#[test]
fn receipts_are_proven_by_their_place() {
    for count in [1, 2, 17, 130] {
        let (stored, _) = block(count);
        let header = &stored.record.header;
        for index in (0..u32::try_from(count).unwrap()).filter(|index| *index < 3 || *index > 125) {
            let proof = ReceiptProof::new(&stored, index).unwrap();
            assert_eq!(proof.verify(header), Ok(()), "{index} of {count}");
            assert_eq!(proof.hash(), stored.transactions[index as usize].hash());
            let other = ReceiptProof { index: index + 1, ..proof.clone() };
            assert_eq!(other.verify(header), Err(Refused::Transaction));
            let mut receipt = proof.receipt.to_vec();
            receipt[10] ^= 1;
            let other = ReceiptProof { receipt: receipt.into(), ..proof.clone() };
            assert_eq!(other.verify(header), Err(Refused::Receipt));
            let other = ReceiptProof { receipt_nodes: proof.transaction_nodes.clone(), ..proof };
            assert_eq!(other.verify(header), Err(Refused::Receipt));
        }
        assert_eq!(ReceiptProof::new(&stored, u32::try_from(count).unwrap()), None);
    }
}

#[test]
fn accounts_and_slots_are_there_or_not() {
    let (_, chain) = block(3);
    let state = &chain.head().state;
    let root = state.root();
    let history = alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
    let proof = state.prove(history, &[U256::ZERO, U256::from(77)]);
    assert!(!proof.slots[0].value.is_zero() && proof.slots[1].value.is_zero());
    let nobody = Address::repeat_byte(0x99);
    for good in [proof.clone(), state.prove(Wallet::new(0).address, &[]), state.prove(nobody, &[U256::ONE])] {
        assert_eq!(good.verify(root), Ok(()));
        let facts = AccountFacts { balance: good.facts.balance + U256::ONE, ..good.facts };
        assert_eq!(AccountProof { facts, ..good.clone() }.verify(root), Err(Refused::Account));
        assert_eq!(AccountProof { storage_root: root, ..good.clone() }.verify(root), Err(Refused::Account));
        let nodes = good.nodes[..good.nodes.len() - 1].to_vec();
        assert_eq!(AccountProof { nodes, ..good }.verify(root), Err(Refused::Account));
    }
    let mut wrong = proof;
    wrong.slots[1].value = U256::ONE;
    assert_eq!(wrong.verify(root), Err(Refused::Slot { slot: U256::from(77) }));
    let mut absent = state.prove(nobody, &[U256::ONE]);
    absent.slots[0].value = U256::ONE;
    assert_eq!(absent.verify(root), Err(Refused::Slot { slot: U256::ONE }));
}

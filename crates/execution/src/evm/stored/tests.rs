use super::*;
use crate::{
    evm::{
        Chain, ChainLimits,
        testing::{
            Wallet, call, cluster_block, contract, digest, entry, legacy, params, rollup,
            skipped as entry_skipped,
        },
    },
    testing::Rng,
};

/// A block with a transfer, a log and a transaction that is left out.
fn stored() -> Stored {
    let rollup = rollup(3);
    let limits = ChainLimits { branches_max: 5, history_max: 5 };
    let mut chain = Chain::new(&rollup, digest(0), limits).unwrap();
    let params = params(&rollup);
    let entries = vec![
        entry(&params, &Wallet::new(0).raw(legacy(0, Address::repeat_byte(1), 3))),
        entry_skipped(Skip::Malformed),
        entry(&params, &Wallet::new(1).raw(call(0, contract(1)))),
    ];
    let executed = chain.execute(&cluster_block(1, 0, 5_999, entries)).unwrap();
    let ids = [TxId([1; 32]), TxId([2; 32]), TxId([3; 32])];
    let left_out = skipped(&executed, ids.iter());
    assert_eq!(left_out, [(TxId([2; 32]), Skip::Malformed)]);
    assert!(executed.touched.contains(&Address::repeat_byte(1)));
    Stored::new(executed.made.as_ref().unwrap(), left_out)
}

#[test]
fn a_block_reads_back() {
    let stored = stored();
    let back = Stored::from_bytes(&stored.to_bytes()).unwrap();
    assert_eq!(back.record, stored.record);
    assert_eq!((back.hash, back.number()), (stored.hash, 1));
    assert_eq!((&back.transactions, &back.receipts), (&stored.transactions, &stored.receipts));
    assert_eq!(back.skipped, stored.skipped);
    assert!(!back.receipts[1].logs().is_empty());
    let second = stored.transactions[1].hash();
    assert_eq!((back.index(&second), back.index(&B256::ZERO)), (Some(1), None));
}

#[test]
fn mutants_are_refused_or_have_one_encoding() {
    let bytes = stored().to_bytes();
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        let mut mutant = bytes.to_vec();
        let at = rng.below(mutant.len());
        match rng.below(3) {
            0 => mutant[at] ^= 1 << rng.below(8),
            1 => mutant.truncate(at),
            _ => mutant.insert(at, rng.next().to_be_bytes()[0]),
        }
        if let Ok(read) = Stored::from_bytes(&mutant) {
            assert_eq!(read.to_bytes(), mutant);
        }
    }
}

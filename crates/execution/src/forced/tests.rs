use super::*;
use crate::{
    evm::testing::{Wallet, call, rollup as evm_rollup},
    testing::{child, genesis, payload, rollup, segment, some_id},
};
use alloy_primitives::Address;
use baton_types::{
    Rollup,
    forced::{L1Part, News},
    genesis::{
        Settlement,
        settlement::{Confirmation, ForcedQuota},
    },
    hex::HexArray,
    settlement::{DataKind, L1Address},
};
use std::collections::BTreeMap;

const BYTES: RollupId = RollupId(1);
const EVM: RollupId = RollupId(2);
const HASHES: RollupId = RollupId(4);

fn rules() -> Rules {
    let mut evm = evm_rollup(3);
    (evm.block_bytes_max, evm.transaction_bytes_max) = (4_000, 1_000);
    let hashes = Rollup { data: Data::Hash, ..rollup(4) };
    let mut genesis = genesis(vec![rollup(1), evm, hashes], 8_000);
    genesis.l1 = Some(Box::new(Settlement {
        chain_id: 1,
        registry: HexArray([1; 20]),
        start_block: 0,
        confirmation: Confirmation::Finalized,
        origin_wait_ms: 0,
        origin_slack: 0,
        slot_seconds: 12,
        data: DataKind::Directory,
        batch_bytes_target: 1_024,
        batch_age_ms_max: 1_000,
        forced: ForcedQuota { entries_max: 3, bytes_max: 1_000 },
        rollups: Vec::new(),
    }));
    Rules::new(&genesis)
}

const fn envelope(gas: u64) -> Envelope {
    Envelope { sender: L1Address([7; 20]), deadline: 0, gas }
}

fn raw(nonce: u64) -> Bytes {
    Wallet::new(0).raw(call(nonce, Address::ZERO)).into()
}

fn picked(rollup: RollupId, entries: &[(u64, Bytes)]) -> Pick {
    let entries = entries.iter().map(|(gas, data)| (envelope(*gas), data.clone()));
    pick(&rules(), rollup, 10, entries, |_| false)
}

/// What a voter says of a block with these entries and transactions.
fn judged(rollup: RollupId, taken: Vec<Taken>, transactions: Vec<Transaction>) -> Result<(), Violation> {
    let segments = if transactions.is_empty() { Vec::new() } else { vec![segment(rollup.0, transactions)] };
    let block = child(&crate::testing::block(1, Vec::new()), segments);
    let news = News { taken: BTreeMap::from([(rollup, taken)]), ..News::default() };
    let mut body = block.body().clone();
    body.l1 = Some(Box::new(L1Part { news, ..L1Part::default() }));
    check(&rules(), &Block::seal(block.header().clone(), body, None), |_| false)
}

#[test]
fn what_a_rollup_does_not_take_is_left_out_with_a_reason() {
    let rows = [
        (BYTES, 0, payload("x"), None),
        (BYTES, 0, Bytes::new(), Some(Reason::Empty)),
        (BYTES, 0, vec![1; 1_000].into(), None),
        (BYTES, 0, vec![1; 1_001].into(), Some(Reason::TooLarge)),
        (HASHES, 0, vec![1; 32].into(), None),
        (HASHES, 0, vec![1; 31].into(), Some(Reason::NotAHash)),
        (EVM, 200_000, raw(0), None),
        (EVM, 199_999, raw(0), Some(Reason::GasLimit)),
        (EVM, 200_000, vec![2, 1].into(), Some(Reason::Malformed)),
    ];
    for (number, (rollup, gas, data, reason)) in rows.into_iter().enumerate() {
        assert_eq!(unfit(&rules(), rollup, gas, &data), reason, "row {number}");
        let Pick { taken, transactions, .. } = picked(rollup, &[(gas, data.clone())]);
        assert_eq!(transactions.len(), usize::from(reason.is_none()), "row {number}");
        let fate = match reason {
            None => Fate::Ordered,
            Some(Reason::TooLarge) => Fate::TooLarge(data_hash(&data)),
            Some(_) => Fate::LeftOut(data.clone()),
        };
        assert_eq!(taken, [Taken { envelope: envelope(gas), fate }], "row {number}");
        assert_eq!(judged(rollup, taken, transactions), Ok(()), "row {number}");
        // The other way round.
        let wrong = match reason {
            None => (Fate::LeftOut(data), Vec::new()),
            Some(_) => (Fate::Ordered, vec![transaction(10, data)]),
        };
        let taken = vec![Taken { envelope: envelope(gas), fate: wrong.0 }];
        assert_eq!(
            judged(rollup, taken, wrong.1),
            Err(Violation::ForcedFate { rollup, reason }),
            "row {number}"
        );
    }
}

#[test]
fn a_copy_is_left_out_where_ids_can_come_twice() {
    let rules = rules();
    let twice = [(200_000, raw(0)), (200_000, raw(0))];
    let Pick { taken, transactions, .. } = picked(EVM, &twice);
    assert_eq!(transactions.len(), 1);
    assert_eq!(taken[1].fate, Fate::LeftOut(raw(0)));
    assert_eq!(judged(EVM, taken, transactions), Ok(()));
    // The pool's copy came before.
    let known = id(&rules, EVM, &transaction(0, raw(0)));
    let entries = twice.iter().map(|(gas, data)| (envelope(*gas), data.clone()));
    let pick = pick(&rules, EVM, 10, entries, |id| *id == known);
    assert!(pick.transactions.is_empty() && pick.taken.len() == 2, "{pick:?}");
    // Bytes are what their sender says; each entry is another transaction.
    let Pick { transactions, .. } = picked(BYTES, &[(0, payload("x")), (0, payload("x"))]);
    let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id(BYTES)).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && !ids.contains(&some_id(0)));
    assert_eq!(transactions[1].forced(), Some(11));
}

#[test]
fn the_quota_bounds_all_but_the_first() {
    let of = |sizes: &[usize]| {
        let entries: Vec<_> = sizes.iter().map(|size| (0, Bytes::from(vec![1; *size]))).collect();
        picked(BYTES, &entries).taken.len()
    };
    assert_eq!(of(&[1, 1, 1, 1, 1]), 3, "by number");
    assert_eq!(of(&[600, 400, 1]), 2, "by bytes");
    assert_eq!(of(&[1_000, 1]), 1);
    assert_eq!(of(&[1_001, 1_000, 1]), 2, "what is too large takes no bytes");
    let gas = evm_rollup(3).evm.unwrap().gas_limit;
    let of_gas = |gas: &[u64]| {
        let entries: Vec<_> = (0..).zip(gas).map(|(nonce, gas)| (*gas, raw(nonce))).collect();
        picked(EVM, &entries).taken.len()
    };
    assert_eq!(of_gas(&[gas, gas, gas]), 1, "one may use a whole block");
    assert_eq!(of_gas(&[gas / 4, gas / 4, gas / 4]), 2, "by gas");
    // A voter counts as a proposer does.
    let all: Vec<_> = (10..14)
        .map(|index| (Taken { envelope: envelope(0), fate: Fate::Ordered }, transaction(index, payload("x"))))
        .collect();
    let (taken, transactions): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    assert_eq!(judged(BYTES, taken, transactions), Err(Violation::ForcedQuota { rollup: BYTES }));
}

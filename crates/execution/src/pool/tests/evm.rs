//! Transactions of EVM rollups: two homes, one life.

use super::{limits, rules, *};
use crate::{
    evm::{
        Room, Skip, State,
        testing::{GWEI, Wallet, call, rollup as evm_rollup},
    },
    testing::{payload, rollup, single},
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, U256};
use baton_types::{genesis::Ordering, receipt::Rung};
use bytes::Bytes;
use std::collections::BTreeMap;

const EVM: RollupId = RollupId(2);
const TIP: u64 = 500;

/// Rollup 1 takes bytes, rollup 2 executes, with three rich wallets.
fn world() -> (Rules, Pool, Rollup) {
    let mut evm = Rollup { ordering: Ordering::PriorityFee, ..evm_rollup(3) };
    evm.block_bytes_max = 4_000;
    evm.transaction_bytes_max = 1_000;
    evm.mempool_bytes_max = 1_000;
    let rollups = vec![rollup(1), evm.clone()];
    let rules = rules(rollups.clone(), 8_000);
    let mut pool = Pool::new(&rollups, limits(8_000), 7);
    pool.executed(EVM, State::genesis(evm.evm.as_ref().unwrap()), &[], &[]);
    pool.set_rooms(&rooms(30_000_000));
    (rules, pool, evm)
}

fn rooms(gas: u64) -> BTreeMap<RollupId, Room> {
    BTreeMap::from([(EVM, Room { order_fee: 0, base_fee: 0, gas })])
}

fn raw(who: u64, nonce: u64, tip: u128) -> Bytes {
    let transaction = TxEip1559 {
        max_priority_fee_per_gas: tip * GWEI,
        max_fee_per_gas: (10 + tip) * GWEI,
        ..call(nonce, Address::ZERO)
    };
    Wallet::new(who).raw(transaction).into()
}

fn unit(who: u64, nonce: u64, tip: u128) -> Unit {
    single(EVM.0, TIP + 50, raw(who, nonce, tip))
}

fn id(who: u64, nonce: u64, tip: u128) -> TxId {
    TxId(alloy_primitives::keccak256(raw(who, nonce, tip)).0)
}

fn admit(rules: &Rules, pool: &mut Pool, unit: Unit) -> Result<(), Reason> {
    let checked = Pool::check(rules, unit, TIP).map_err(|refusal| refusal.reason)?;
    pool.admit(checked, Source::Client("me".into()), TIP).map_err(|refusal| refusal.reason)
}

fn ordered(rules: &Rules, pool: &Pool, skip: impl Fn(&TxId) -> bool) -> Vec<TxId> {
    let evm = rules.limits().evm;
    let segments = pool.select(TIP + 1, skip);
    let evm_segment = segments.iter().find(|segment| segment.rollup == EVM);
    evm_segment
        .map_or_else(Vec::new, |segment| segment.transactions.iter().map(|tx| evm.id(EVM, tx)).collect())
}

/// The state in which a wallet has used so many nonces and has this balance.
fn state(evm: &Rollup, who: u64, nonce: u64, balance: U256) -> State {
    let mut state = State::genesis(evm.evm.as_ref().unwrap());
    let mut changes = crate::evm::Changes::default();
    changes.put(Wallet::new(who).address, nonce, balance, None, BTreeMap::new());
    state.apply(&changes).unwrap();
    state
}

#[test]
fn senders_and_tips_give_the_order() {
    let (rules, mut pool, _) = world();
    for (who, nonce, tip) in [(0, 1, 9), (0, 0, 1), (1, 0, 5)] {
        admit(&rules, &mut pool, unit(who, nonce, tip)).unwrap();
    }
    assert_eq!(ordered(&rules, &pool, |_| false), [id(1, 0, 5), id(0, 0, 1), id(0, 1, 9)]);
    assert_eq!(ordered(&rules, &pool, |other| *other == id(0, 0, 1)), [id(0, 1, 9), id(1, 0, 5)]);
    assert!(pool.has_work(TIP + 1, |other| *other == id(1, 0, 5)));
    pool.set_rooms(&rooms(200_000));
    assert_eq!(ordered(&rules, &pool, |_| false), [id(1, 0, 5)], "the gas of a block");
    pool.set_rooms(&BTreeMap::new());
    assert!(ordered(&rules, &pool, |_| false).is_empty() && !pool.has_work(TIP + 1, |_| false), "paused");
    admit(&rules, &mut pool, single(1, TIP + 50, payload("other"))).unwrap();
    assert_eq!(pool.select(TIP + 1, |_| false).len(), 1, "the others go on");
}

#[test]
fn what_can_never_be_executed_is_refused_with_its_reason() {
    let (rules, mut pool, _) = world();
    let mut check = |payload: Bytes, reason: Reason| {
        assert_eq!(admit(&rules, &mut pool, single(EVM.0, TIP + 50, payload)), Err(reason));
    };
    check(payload("\u{2}nonsense"), Reason::Malformed);
    check(Bytes::from_static(&[3, 1]), Reason::UnsupportedType);
    let foreign = TxEip1559 { chain_id: 1, ..call(0, Address::ZERO) };
    check(Wallet::new(0).raw(foreign).into(), Reason::WrongChainId);
    check(Wallet::new(9).raw(call(0, Address::ZERO)).into(), Reason::Balance);
    check(raw(0, 16, 1), Reason::NonceTooHigh);
    let bundle = baton_types::Bundle::new(TIP + 50, vec![(RollupId(1), payload("a")), (EVM, payload("b"))]);
    assert_eq!(admit(&rules, &mut pool, Unit::Bundle(bundle)), Err(Reason::UnsupportedType));
    for skip in Skip::ALL {
        assert_eq!(skip.reason().name(), skip.name());
    }
}

#[test]
fn a_replacement_supersedes() {
    let (rules, mut pool, _) = world();
    admit(&rules, &mut pool, unit(0, 0, 10)).unwrap();
    assert_eq!(admit(&rules, &mut pool, unit(0, 0, 10)), Err(Reason::Duplicate));
    assert_eq!(admit(&rules, &mut pool, unit(0, 0, 11)), Err(Reason::Underpriced));
    admit(&rules, &mut pool, unit(0, 0, 20)).unwrap();
    let ended = Ended { id: id(0, 0, 10), rung: Rung::Superseded, reason: Reason::Replaced };
    assert_eq!((pool.take_ended(), pool.take_ended()), (vec![ended], vec![]));
    assert!(!pool.contains(&id(0, 0, 10)) && pool.stats().transactions == 1);
    // Once it is ordered for good there is nothing to replace.
    pool.finalized(TIP + 1, [id(0, 0, 20)].iter());
    assert_eq!(admit(&rules, &mut pool, unit(0, 0, 40)), Err(Reason::NonceTooLow));
}

#[test]
fn what_is_ordered_holds_its_nonce_until_it_is_executed() {
    let (rules, mut pool, evm) = world();
    for nonce in 0..3 {
        admit(&rules, &mut pool, unit(0, nonce, 5)).unwrap();
    }
    pool.finalized(TIP + 1, [id(0, 0, 5)].iter());
    assert_eq!(pool.stats().transactions, 2);
    assert!(pool.signed(EVM, &id(0, 0, 5)).is_some(), "the executor needs its sender");
    assert_eq!(pool.next_nonce(EVM, &Wallet::new(0).address), Some(3));
    assert_eq!(ordered(&rules, &pool, |_| false), [id(0, 1, 5), id(0, 2, 5)]);
    let touched = [Wallet::new(0).address];
    pool.executed(EVM, state(&evm, 0, 1, U256::from(10_u128.pow(18))), &touched, &[]);
    assert!(pool.signed(EVM, &id(0, 0, 5)).is_none());
    assert_eq!(ordered(&rules, &pool, |_| false), [id(0, 1, 5), id(0, 2, 5)]);
    // Another transaction with nonce 1 was executed, and the last is not covered any more.
    pool.executed(EVM, state(&evm, 0, 2, U256::ZERO), &touched, &[]);
    let ended = pool.take_ended();
    let ends = |id, rung, reason| ended.contains(&Ended { id, rung, reason });
    assert!(ends(id(0, 1, 5), Rung::Superseded, Reason::NonceTooLow), "{ended:?}");
    assert!(ends(id(0, 2, 5), Rung::Rejected, Reason::Balance), "{ended:?}");
    assert_eq!((pool.stats().transactions, pool.stats().bytes), (0, 0));
}

/// Incident: invalid transactions filled Astria's proposals.
#[test]
fn what_was_left_out_frees_its_nonce() {
    let (rules, mut pool, evm) = world();
    admit(&rules, &mut pool, unit(0, 0, 5)).unwrap();
    pool.finalized(TIP + 1, [id(0, 0, 5)].iter());
    let rich = State::genesis(evm.evm.as_ref().unwrap());
    pool.executed(EVM, rich, &[], &[id(0, 0, 5)]);
    assert_eq!(pool.next_nonce(EVM, &Wallet::new(0).address), None);
    admit(&rules, &mut pool, unit(0, 0, 6)).unwrap();
}

#[test]
fn a_full_rollup_loses_the_worst_and_expiry_clears_both_homes() {
    let (rules, mut pool, _) = world();
    let size = raw(0, 0, 5).len();
    let fits = u64::try_from(1_000 / size).unwrap();
    for nonce in 0..fits {
        admit(&rules, &mut pool, unit(0, nonce, 5)).unwrap();
    }
    assert_eq!(admit(&rules, &mut pool, unit(1, 0, 4)), Err(Reason::Busy));
    admit(&rules, &mut pool, unit(1, 0, 6)).unwrap();
    let ended = Ended { id: id(0, fits - 1, 5), rung: Rung::Rejected, reason: Reason::Busy };
    assert_eq!(pool.take_ended(), [ended]);
    let expired = pool.expire(TIP + 50);
    assert_eq!(u64::try_from(expired.len()).unwrap(), fits);
    assert!(pool.signed(EVM, &id(1, 0, 6)).is_none() && pool.stats().transactions == 0);
    assert_eq!(pool.next_nonce(EVM, &Wallet::new(0).address), None);
}

#[test]
fn gas_of_bundles_counts_against_the_block() {
    let (rules, mut pool, _) = world();
    let bundle = |legs: Vec<Bytes>| {
        let legs = legs.into_iter().map(|leg| (EVM, leg)).collect();
        Unit::Bundle(baton_types::Bundle::new(TIP + 50, legs))
    };
    // 200,000 gas each.
    admit(&rules, &mut pool, bundle(vec![raw(0, 0, 1), raw(1, 0, 1)])).unwrap();
    admit(&rules, &mut pool, unit(2, 0, 5)).unwrap();
    for (gas, transactions) in [(600_000, 3), (599_999, 2), (400_000, 2), (399_999, 1), (199_999, 0)] {
        pool.set_rooms(&rooms(gas));
        assert_eq!(ordered(&rules, &pool, |_| false).len(), transactions, "{gas}");
        assert_eq!(pool.has_work(TIP + 1, |_| false), transactions > 0, "{gas}");
    }
    let large = |who: u64| {
        let transaction = TxEip1559 { gas_limit: 15_000_001, ..call(0, Address::ZERO) };
        Wallet::new(who).raw(transaction).into()
    };
    assert_eq!(admit(&rules, &mut pool, bundle(vec![large(0), large(1)])), Err(Reason::BadBundle));
}

#[test]
fn contracts_cannot_send() {
    let (rules, mut pool, evm) = world();
    let with_code = |code: Vec<u8>| {
        let mut state = State::genesis(evm.evm.as_ref().unwrap());
        let mut changes = crate::evm::Changes::default();
        let rich = U256::from(10_u128.pow(20));
        changes.put(Wallet::new(0).address, 0, rich, Some(code.into()), BTreeMap::new());
        state.apply(&changes).unwrap();
        state
    };
    pool.executed(EVM, with_code(vec![0x60, 0x00]), &[], &[]);
    assert_eq!(admit(&rules, &mut pool, unit(0, 0, 1)), Err(Reason::SenderIsContract));
    // Who delegates to code (EIP-7702) still signs.
    pool.executed(EVM, with_code([&[0xef, 0x01, 0x00][..], &[0x11; 20]].concat()), &[], &[]);
    admit(&rules, &mut pool, unit(0, 0, 1)).unwrap();
}

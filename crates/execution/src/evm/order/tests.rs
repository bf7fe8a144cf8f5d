use super::{
    super::{
        pool::{EvmPool, EvmPoolLimits, Room, Turn},
        testing::{GWEI, Wallet, call, params, rollup},
    },
    *,
};
use crate::{evm::AccountFacts, testing::Rng};
use alloy_consensus::TxEip1559;
use alloy_primitives::U256;
use baton_types::genesis::Ordering;
use std::sync::Arc;

fn signed(who: u64, nonce: u64, tip: u128, fee: u128) -> Arc<Signed> {
    let transaction = TxEip1559 {
        max_priority_fee_per_gas: tip * GWEI,
        max_fee_per_gas: fee * GWEI,
        ..call(nonce, Address::ZERO)
    };
    Arc::new(Signed::decode(&Wallet::new(who).raw(transaction), &params(&rollup(0))).unwrap())
}

fn check(base_fee: u64, transactions: &[(u64, u64, u128, u128)], expect: Option<usize>) {
    let all: Vec<_> =
        transactions.iter().map(|(who, nonce, tip, fee)| signed(*who, *nonce, *tip, *fee)).collect();
    let refs: Vec<_> = all.iter().map(|signed| &**signed).collect();
    let expect = expect.map(|at| all[at].hash());
    assert_eq!(misplaced(&refs, base_fee).map(Signed::hash), expect, "{transactions:?}");
}

#[test]
fn the_highest_tip_goes_first_and_senders_keep_their_order() {
    check(0, &[], None);
    check(0, &[(0, 0, 5, 9), (1, 0, 5, 9), (2, 0, 3, 9)], None);
    check(0, &[(0, 0, 3, 9), (1, 0, 5, 9)], Some(0));
    check(0, &[(0, 0, 5, 9), (1, 0, 1, 9), (2, 0, 2, 9)], Some(1));
    // The sender's first holds back its dear second.
    check(0, &[(1, 0, 5, 9), (0, 0, 3, 9), (0, 1, 9, 9)], None);
    check(0, &[(0, 0, 3, 9), (0, 1, 9, 9), (1, 0, 5, 9)], Some(0));
    check(0, &[(0, 1, 5, 9), (0, 0, 5, 9)], Some(0));
    // At this base fee the first pays a tip of 1 only.
    check(8 * 1_000_000_000, &[(0, 0, 5, 9), (1, 0, 2, 20)], Some(0));
    check(8 * 1_000_000_000, &[(1, 0, 2, 20), (0, 0, 5, 9)], None);
    check(99 * 1_000_000_000, &[(0, 0, 5, 9), (1, 0, 2, 20)], None);
}

#[test]
fn what_a_pool_selects_is_in_order_and_a_swap_is_found() {
    let mut rng = Rng::new(7);
    let limits =
        EvmPoolLimits { transactions_max: 1_000, bytes_max: usize::MAX, sender_transactions_max: 16 };
    let account = AccountFacts { balance: U256::from(u128::MAX), ..AccountFacts::default() };
    let mut found = 0;
    for _ in 0..20 {
        let mut pool = EvmPool::new(limits, Ordering::PriorityFee);
        for who in 0..6 {
            for nonce in 0..4 {
                let tip = u128::from(rng.next() % 8);
                pool.admit(signed(who, nonce, tip, tip + u128::from(rng.next() % 8)), account).unwrap();
            }
        }
        let fee = (rng.next() % 10) * 1_000_000_000;
        let room = Room { order_fee: fee, base_fee: 0, gas: u64::MAX };
        let chosen = pool.select(room, usize::MAX, |_| Turn::Ready);
        let mut refs: Vec<_> = chosen.iter().map(|signed| &**signed).collect();
        assert_eq!((refs.len(), misplaced(&refs, fee)), (24, None));
        let at = rng.below(23);
        let (left, right) = (refs[at], refs[at + 1]);
        refs.swap(at, at + 1);
        if left.sender() != right.sender() && tip(left, fee) > tip(right, fee) {
            found += 1;
            assert_eq!(misplaced(&refs, fee), Some(right));
        }
    }
    assert!(found > 3, "{found}");
}

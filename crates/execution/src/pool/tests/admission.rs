use super::*;
use crate::testing::{VALIDITY, bundle, hinted, numbered, payload, rollup, single};
use baton_types::{Bundle, EvmRollups};
use bytes::Bytes;

const TIP: u64 = 500;

fn check(unit: Unit) -> Result<Vec<TxId>, Reason> {
    let rules = rules(rollups(), BLOCK_BYTES);
    Pool::check(&rules, unit, TIP).map(|checked| checked.ids().to_vec()).map_err(|refusal| refusal.reason)
}

#[test]
fn says_why_a_transaction_breaks_the_rules() {
    let cases = [
        (single(1, TIP + 1, payload("x")), None),
        (single(1, TIP + VALIDITY, vec![1; 1_000].into()), None),
        (single(4, TIP + 1, vec![1; 32].into()), None),
        (single(9, TIP + 1, payload("x")), Some(Reason::UnknownRollup)),
        (single(1, TIP + 1, vec![1; 1_001].into()), Some(Reason::TooLarge)),
        (single(4, TIP + 1, vec![1; 31].into()), Some(Reason::NotAHash)),
        (single(4, TIP + 1, vec![1; 33].into()), Some(Reason::NotAHash)),
        (single(1, TIP + 1, Bytes::new()), Some(Reason::Empty)),
        (single(4, TIP + 1, Bytes::new()), Some(Reason::Empty)),
        (single(1, TIP, payload("x")), Some(Reason::Expired)),
        (single(1, 0, payload("x")), Some(Reason::Expired)),
        (single(1, TIP + VALIDITY + VALIDITY_LEAD, payload("x")), None),
        (single(1, TIP + VALIDITY + VALIDITY_LEAD + 1, payload("x")), Some(Reason::ValidityTooLong)),
        (single(1, u64::MAX, payload("x")), Some(Reason::ValidityTooLong)),
    ];
    for (unit, reason) in cases {
        let expected = reason.map_or_else(|| Ok(unit.ids(&EvmRollups::default())), Err);
        assert_eq!(check(unit.clone()), expected, "{unit:?}");
    }
}

#[test]
fn says_why_a_bundle_breaks_the_rules() {
    let many = |count: usize| -> Bundle {
        let legs = (0..count).map(|index| (RollupId(1), payload(&index.to_string())));
        Bundle::new(TIP + 1, legs.collect())
    };
    let sized = |legs: &[(u32, usize)]| -> Bundle {
        let legs =
            (0..).zip(legs).map(|(number, (rollup, size))| (RollupId(*rollup), numbered(number, *size)));
        Bundle::new(TIP + 1, legs.collect())
    };
    let cases = [
        (many(1), None),
        (many(16), None),
        (bundle(TIP + 1, &[(2, "a"), (1, "a")]), None),
        (many(0), Some(Reason::BadBundle)),
        (many(17), Some(Reason::BadBundle)),
        (bundle(TIP + 1, &[(1, "a"), (1, "a")]), Some(Reason::BadBundle)),
        (bundle(TIP + 1, &[(1, "a"), (9, "b")]), Some(Reason::UnknownRollup)),
        (bundle(TIP + 1, &[(1, "a"), (2, "")]), Some(Reason::Empty)),
        (bundle(TIP + 1, &[(1, "a"), (4, "b")]), Some(Reason::NotAHash)),
        (sized(&[(1, 10), (2, 1_001)]), Some(Reason::TooLarge)),
        (bundle(TIP, &[(1, "a"), (2, "b")]), Some(Reason::Expired)),
        (bundle(u64::MAX, &[(1, "a"), (2, "b")]), Some(Reason::ValidityTooLong)),
        // One rollup's part of a block has 4,000 bytes, all together 8,192.
        (sized(&[(1, 1_000), (1, 1_000), (1, 1_000), (1, 800)]), None),
        (sized(&[(1, 1_000), (1, 1_000), (1, 1_000), (1, 1_000)]), Some(Reason::BadBundle)),
        (sized(&[[(1, 900); 4], [(2, 900); 4]].concat()), None),
        (sized(&[&[(1, 900); 4][..], &[(2, 900); 4], &[(3, 700)]].concat()), Some(Reason::BadBundle)),
    ];
    for (bundle, reason) in cases {
        let unit = Unit::Bundle(bundle);
        let expected = reason.map_or_else(|| Ok(unit.ids(&EvmRollups::default())), Err);
        assert_eq!(check(unit.clone()), expected, "{unit:?}");
    }
}

#[test]
fn a_bundle_made_by_hand_must_bind_its_legs() {
    let sound = || bundle(TIP + 1, &[(1, "a"), (2, "b")]);
    type Change = fn(&mut Bundle);
    let cases: [(&str, Change); 6] = [
        ("id", |bundle| bundle.id.0 = [1; 32]),
        ("order", |bundle| bundle.legs.reverse()),
        ("a leg without bundle", |bundle| bundle.legs[0].1.bundle = None),
        ("a leg of another bundle", |bundle| bundle.legs[1].1.bundle = Some(TxId([1; 32]))),
        ("validity", |bundle| bundle.legs[1].1.valid_until += 1),
        ("payload", |bundle| bundle.legs[1].1.payload = payload("c")),
    ];
    assert!(check(Unit::Bundle(sound())).is_ok());
    for (name, change) in cases {
        let mut bundle = sound();
        change(&mut bundle);
        assert_eq!(check(Unit::Bundle(bundle)), Err(Reason::BadBundle), "{name}");
    }
    let (rollup, leg) = sound().legs.remove(0);
    let stray = Unit::Single { rollup, transaction: leg, fee_hint: 0 };
    assert_eq!(check(stray), Err(Reason::BadBundle));
}

#[test]
fn a_bundle_larger_than_a_rollups_mempool_is_no_reason_to_retry() {
    let small = Rollup { mempool_bytes_max: 1_000, ..rollup(1) };
    let rules = rules(vec![small], BLOCK_BYTES);
    let bundle = Bundle::new(1, vec![(RollupId(1), numbered(1, 600)), (RollupId(1), numbered(2, 600))]);
    assert_eq!(Pool::check(&rules, Unit::Bundle(bundle), 0).unwrap_err().reason, Reason::BadBundle);
}

/// Admits `units` from `source` with `limits` at [`TIP`]; returns what became of each.
fn outcomes(
    limits: Limits,
    units: impl IntoIterator<Item = (Source, Unit)>,
) -> (Pool, Vec<Result<(), Refusal>>) {
    let rules = rules(rollups(), BLOCK_BYTES);
    let mut pool = Pool::new(rules.rollups(), limits, 7);
    let outcomes = units
        .into_iter()
        .map(|(source, unit)| pool.admit(Pool::check(&rules, unit, TIP).unwrap(), source, TIP))
        .collect();
    (pool, outcomes)
}

fn reasons(outcomes: &[Result<(), Refusal>]) -> Vec<Option<Reason>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(|refusal| refusal.reason)).collect()
}

fn at_tip(number: u64, size: usize) -> Unit {
    single(1, TIP + 5, numbered(number, size))
}

#[test]
fn the_same_id_waits_once() {
    let unit = Unit::Bundle(bundle(TIP + 5, &[(1, "a"), (2, "b")]));
    let units =
        [(PEER, unit.clone()), (client("c"), unit), (PEER, at_tip(1, 8)), (client("c"), at_tip(1, 8))];
    let (pool, outcomes) = outcomes(limits(BLOCK_BYTES), units);
    assert_eq!(reasons(&outcomes), [None, Some(Reason::Duplicate), None, Some(Reason::Duplicate)]);
    assert_eq!(pool.stats().transactions, 3);
}

#[test]
fn a_client_has_its_own_limits() {
    let limits = Limits { client_transactions_max: 3, client_bytes_max: 100, ..limits(BLOCK_BYTES) };
    let full = Some(Reason::ClientLimit);
    let pair = Unit::Bundle(bundle(TIP + 5, &[(1, "a"), (2, "b")]));
    let units = [
        (client("count"), at_tip(1, 8), None),
        (client("count"), at_tip(2, 8), None),
        (client("count"), pair.clone(), full),
        (client("count"), at_tip(3, 8), None),
        (client("count"), at_tip(4, 8), full),
        (client("bytes"), at_tip(5, 60), None),
        (client("bytes"), at_tip(6, 41), full),
        (client("bytes"), at_tip(7, 40), None),
        (client("large"), at_tip(8, 101), Some(Reason::TooLarge)),
        (PEER, pair, None),
        (PEER, at_tip(9, 900), None),
    ];
    let (_, outcomes) =
        outcomes(limits, units.iter().map(|(source, unit, _)| (source.clone(), unit.clone())));
    assert_eq!(reasons(&outcomes), units.iter().map(|(_, _, reason)| *reason).collect::<Vec<_>>());
    let retry = outcomes[2].as_ref().unwrap_err().retry_after_ms;
    assert!(retry.is_some());
    assert_eq!(outcomes[8].as_ref().unwrap_err().retry_after_ms, None, "it will never fit");
}

#[test]
fn what_leaves_makes_room_for_its_client() {
    let limits = Limits { client_transactions_max: 1, ..limits(BLOCK_BYTES) };
    let (mut pool, _) = outcomes(limits, [(client("c"), at_tip(1, 8))]);
    let rules = rules(rollups(), BLOCK_BYTES);
    let second = || Pool::check(&rules, single(1, TIP + 6, numbered(2, 8)), TIP).unwrap();
    assert_eq!(pool.admit(second(), client("c"), TIP).unwrap_err().reason, Reason::ClientLimit);
    pool.finalized(TIP + 1, at_tip(1, 8).ids(&EvmRollups::default()).iter());
    assert!(pool.clients.is_empty());
    pool.admit(second(), client("c"), TIP + 1).unwrap();
    pool.expire(TIP + 6);
    assert!(pool.clients.is_empty());
}

#[test]
fn a_full_pool_is_busy() {
    let base = || limits(BLOCK_BYTES);
    let cases = [
        ("transactions", Limits { transactions_max: 2, ..base() }),
        ("bytes", Limits { bytes_max: 200, ..base() }),
    ];
    for (name, limits) in cases {
        let units = (1..=3).map(|number| (PEER, at_tip(number, 100)));
        let (_, outcomes) = outcomes(limits, units);
        assert_eq!(reasons(&outcomes), [None, None, Some(Reason::Busy)], "{name}");
        assert!(outcomes[2].as_ref().unwrap_err().retry_after_ms.is_some(), "{name}");
    }
}

#[test]
fn a_busy_rollup_leaves_the_others_their_part() {
    let rules = rules(vec![rollup(1), rollup(2)], BLOCK_BYTES);
    let limits = Limits { transactions_max: 10, ..limits(BLOCK_BYTES) };
    let mut pool = Pool::new(rules.rollups(), limits, 7);
    let mut admitted = |rollup: u32, numbers: std::ops::Range<u64>| {
        let units = numbers.map(|number| checked(&rules, single(rollup, 9, numbered(number, 8))));
        units.filter(|unit| pool.admit(unit.clone(), PEER, 0).is_ok()).count()
    };
    assert_eq!(admitted(1, 0..50), 5, "ten times what is its part");
    assert_eq!(admitted(2, 100..103), 3);
    assert_eq!(admitted(2, 200..250), 2);
}

#[test]
fn a_full_rollup_leaves_the_others_alone() {
    let small = Rollup { mempool_bytes_max: 1_000, ..rollup(1) };
    let rules = rules(vec![small, rollup(2)], BLOCK_BYTES);
    let mut pool = Pool::new(rules.rollups(), limits(BLOCK_BYTES), 7);
    let mut reason =
        |unit: Unit| pool.admit(checked(&rules, unit), PEER, 0).err().map(|refusal| refusal.reason);
    assert_eq!(reason(single(1, 9, numbered(1, 900))), None);
    assert_eq!(reason(single(1, 9, numbered(2, 101))), Some(Reason::Busy));
    assert_eq!(reason(single(2, 9, numbered(3, 101))), None);
    let legs = |size: usize| {
        let legs = vec![
            (RollupId(1), numbered(4, size)),
            (RollupId(1), numbered(5, size)),
            (RollupId(2), payload("x")),
        ];
        Unit::Bundle(Bundle::new(9, legs))
    };
    assert_eq!(reason(legs(51)), Some(Reason::Busy));
    assert_eq!(reason(legs(50)), None);
}

/// Member 1 sends what it can. Of the two members that it takes to fill a pool of f = 1, it is one.
#[test]
fn one_member_cannot_fill_the_pool() {
    let (hostile, honest) = (Source::Peer(MemberIndex(1)), Source::Peer(MemberIndex(2)));
    let wide = || Rollup { mempool_bytes_max: 50_000, ..rollup(1) };
    let shared = || Limits { faults_max: 1, ..limits(BLOCK_BYTES) };
    // (rollups, limits, bytes per transaction, transactions taken)
    let cases = [
        (vec![wide()], Limits { transactions_max: 100, ..shared() }, 8, 50),
        (vec![wide(), rollup(2)], Limits { transactions_max: 100, ..shared() }, 8, 25),
        (vec![wide()], Limits { bytes_max: 20_000, ..shared() }, 100, 100),
        (vec![wide()], shared(), 100, 250),
        (vec![wide()], Limits { faults_max: 4, ..shared() }, 100, 100),
    ];
    for (rollups, limits, size, expected) in cases {
        let rules = rules(rollups, BLOCK_BYTES);
        let mut pool = Pool::new(rules.rollups(), limits.clone(), 7);
        let mut admitted = |source: &Source, numbers: std::ops::Range<u64>| {
            let units = numbers.map(|number| checked(&rules, single(1, 9, numbered(number, size))));
            units.filter(|unit| pool.admit(unit.clone(), source.clone(), 0).is_ok()).count()
        };
        assert_eq!(admitted(&hostile, 0..1_000), expected, "{limits:?}");
        assert_eq!(admitted(&hostile, 1_000..1_001), 0, "{limits:?}");
        assert!(admitted(&honest, 2_000..2_010) == 10, "an honest member's are refused with {limits:?}");
        assert!(admitted(&client("c"), 3_000..3_010) == 10, "a client's are refused with {limits:?}");
    }
}

#[test]
fn a_member_s_share_is_free_again_when_its_units_leave() {
    let rules = rules(vec![rollup(1)], BLOCK_BYTES);
    let limits = Limits { transactions_max: 4, faults_max: 1, ..limits(BLOCK_BYTES) };
    let mut pool = Pool::new(rules.rollups(), limits, 7);
    let unit = |number: u64| single(1, number, numbered(number, 8));
    let reason = |pool: &mut Pool, number: u64| {
        pool.admit(checked(&rules, unit(number)), PEER, 0).err().map(|refusal| refusal.reason)
    };
    assert_eq!([1, 2, 3].map(|number| reason(&mut pool, number)), [None, None, Some(Reason::ClientLimit)]);
    pool.finalized(1, unit(2).ids(&EvmRollups::default()).iter());
    assert_eq!([4, 5].map(|number| reason(&mut pool, number)), [None, Some(Reason::ClientLimit)]);
    pool.expire(9);
    assert!(pool.members.is_empty() && pool.lanes[0].members.is_empty());
}

/// A share may be smaller than the largest unit; what fits nobody's share would never be replicated.
#[test]
fn a_member_may_always_have_one_unit() {
    let rules = rules(vec![rollup(1)], BLOCK_BYTES);
    let limits = Limits { bytes_max: 1_000, faults_max: 9, ..limits(BLOCK_BYTES) };
    let mut pool = Pool::new(rules.rollups(), limits, 7);
    let mut reason = |number: u64, size: usize| {
        let unit = checked(&rules, single(1, 9, numbered(number, size)));
        pool.admit(unit, PEER, 0).err().map(|refusal| refusal.reason)
    };
    assert_eq!(reason(1, 900), None);
    assert_eq!(reason(2, 8), Some(Reason::ClientLimit));
}

/// What the journal holds was admitted once, and may have a receipt.
#[test]
fn the_journal_s_units_come_back_whatever_the_limits() {
    let limits = Limits { transactions_max: 1, bytes_max: 10, faults_max: 1, ..limits(BLOCK_BYTES) };
    let units = [
        (Source::Journal, at_tip(1, 8)),
        (Source::Journal, at_tip(2, 8)),
        (Source::Journal, at_tip(2, 8)),
        (PEER, at_tip(3, 8)),
    ];
    let (mut pool, outcomes) = outcomes(limits, units);
    assert_eq!(reasons(&outcomes), [None, None, Some(Reason::Duplicate), Some(Reason::Busy)]);
    assert!(at_tip(1, 8).ids(&EvmRollups::default()).iter().all(|id| pool.journaled(id)));
    pool.finalized(TIP + 1, at_tip(1, 8).ids(&EvmRollups::default()).iter());
    pool.expire(TIP + 5);
    assert_eq!(pool.stats().transactions, 0);
}

/// A unit checked before the tip moved is held to the new tip.
#[test]
fn admission_looks_at_the_tip_again() {
    let (rules, mut pool) = pool();
    let early = checked(&rules, single(1, 3, payload("x")));
    assert_eq!(pool.admit(early.clone(), PEER, 3).unwrap_err().reason, Reason::Expired);
    pool.finalized(3, [].iter());
    assert_eq!(pool.admit(early, PEER, 0).unwrap_err().reason, Reason::Expired);
}

/// A peer may have finalized a little more; a client asks what this node says is allowed.
#[test]
fn peers_may_be_a_few_blocks_ahead() {
    let far = |extra: u64| single(1, TIP + VALIDITY + extra, payload("x"));
    let cases = [
        (PEER, 0, None),
        (PEER, VALIDITY_LEAD, None),
        (Source::Journal, VALIDITY_LEAD, None),
        (client("c"), 0, None),
        (client("c"), 1, Some(Reason::ValidityTooLong)),
    ];
    for (source, extra, reason) in cases {
        let (_, outcomes) = outcomes(limits(BLOCK_BYTES), [(source.clone(), far(extra))]);
        assert_eq!(reasons(&outcomes), [reason], "{source:?} {extra}");
    }
}

#[test]
fn rungs_rise_and_leave_with_the_unit() {
    let (rules, mut pool) = pool();
    let ids = admit(
        &rules,
        &mut pool,
        [Unit::Bundle(bundle(9, &[(1, "a"), (2, "b")])), single(1, 9, payload("c"))],
    );
    let [first, second] = [ids[0][0], ids[0][1]];
    assert_eq!([pool.rung(&first), pool.rung(&ids[1][0])], [Some(Rung::Pending); 2]);
    pool.set_replicated(&[first, TxId([9; 32])]);
    assert_eq!([pool.rung(&first), pool.rung(&second)], [Some(Rung::Replicated); 2]);
    assert_eq!(pool.rung(&ids[1][0]), Some(Rung::Pending));
    // One leg is enough to know that the others are in the block too.
    pool.finalized(1, [first].iter());
    assert_eq!([pool.rung(&first), pool.rung(&second)], [None; 2]);
    assert!(pool.contains(&ids[1][0]) && !pool.contains(&second));
    assert!(pool.get(&second).is_none() && pool.get(&ids[1][0]).is_some());
}

#[test]
fn expiry_removes_what_no_further_block_may_carry() {
    let (rules, mut pool) = pool();
    let units =
        [(1, 5), (2, 7), (3, 5), (4, 6)].map(|(number, until)| single(1, until, numbered(number, 16)));
    let ids = admit(&rules, &mut pool, units).concat();
    assert_eq!(pool.expire(4), []);
    let mut expired = pool.expire(5);
    expired.sort_unstable();
    let mut expected = vec![ids[0], ids[2]];
    expected.sort_unstable();
    assert_eq!(expired, expected);
    pool.finalized(6, [ids[3]].iter());
    assert_eq!(pool.expire(6), []);
    assert_eq!(pool.expire(100), [ids[1]]);
    assert_eq!(pool.stats().transactions, 0);
    assert!(pool.expiry.is_empty());
}

#[test]
fn stats_count_legs_where_they_go() {
    let (rules, mut pool) = pool();
    admit(
        &rules,
        &mut pool,
        [Unit::Bundle(bundle(9, &[(1, "aa"), (2, "bbb"), (1, "c")])), hinted(3, 9, payload("dddd"), 1)],
    );
    let stats = pool.stats();
    assert_eq!((stats.transactions, stats.bytes, stats.bytes_max), (4, 10, 1_000_000));
    let rollups: Vec<_> =
        stats.rollups.iter().map(|r| (r.id.0, r.transactions, r.bytes, r.bytes_max)).collect();
    assert_eq!(rollups, [(1, 2, 3, 100_000), (2, 1, 3, 100_000), (3, 1, 4, 100_000), (4, 0, 0, 100_000)]);
}

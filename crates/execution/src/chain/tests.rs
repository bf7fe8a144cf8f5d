use super::*;
use crate::testing::{
    block, bundle as make_bundle, child, payload, rollup, rollups, rules, segment, transaction,
};
use baton_types::{Body, merkle::EMPTY};
use bytes::Bytes;

const HEIGHT: u64 = 1_000;
const BLOCK_BYTES: usize = 8_192;

fn ok(text: &str) -> Transaction {
    transaction(HEIGHT, payload(text))
}

fn sized(size: usize) -> Transaction {
    transaction(HEIGHT, vec![7; size].into())
}

fn check(segments: Vec<Segment>) -> Result<(), Violation> {
    check_body(&rules(rollups(), BLOCK_BYTES), &block(HEIGHT, segments))
}

fn id(rollup: u32, transaction: &Transaction) -> TxId {
    transaction.id(RollupId(rollup))
}

/// The legs of a bundle, as segments.
fn segments(bundle: &Bundle) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (rollup, leg) in &bundle.legs {
        match segments.last_mut().filter(|segment| segment.rollup == *rollup) {
            Some(segment) => segment.transactions.push(leg.clone()),
            None => segments.push(segment(rollup.0, vec![leg.clone()])),
        }
    }
    segments
}

#[test]
fn accepts_what_keeps_the_rules() {
    let four = transaction(HEIGHT + crate::testing::VALIDITY, vec![1; 32].into());
    let bundle = make_bundle(HEIGHT, &[(1, "x"), (2, "y"), (1, "z")]);
    let mut mixed = segments(&bundle);
    mixed[0].transactions.insert(0, ok("before"));
    mixed[0].transactions.push(ok("after"));
    mixed.push(segment(4, vec![four]));
    let cases = [
        Vec::new(),
        vec![segment(1, vec![ok("a")])],
        // Ids differ between rollups.
        vec![segment(1, vec![ok("a"), ok("b")]), segment(2, vec![ok("a")])],
        segments(&bundle),
        mixed,
        segments(&make_bundle(HEIGHT, &[(3, "alone")])),
    ];
    for case in cases {
        assert_eq!(check(case), Ok(()));
    }
}

#[test]
fn names_the_rule_that_a_segment_breaks() {
    let (one, two) = (RollupId(1), RollupId(2));
    let full = |n: u32| segment(n, vec![sized(990), sized(991), sized(992), sized(950)]);
    let cases = [
        (
            vec![segment(2, vec![ok("a")]), segment(1, vec![ok("b")])],
            Violation::SegmentOrder { rollup: one, previous: two },
        ),
        (
            vec![segment(1, vec![ok("a")]), segment(1, vec![ok("b")])],
            Violation::SegmentOrder { rollup: one, previous: one },
        ),
        (vec![segment(1, Vec::new())], Violation::EmptySegment { rollup: one }),
        (vec![segment(9, vec![ok("a")])], Violation::UnknownRollup { rollup: RollupId(9) }),
        (
            vec![segment(1, vec![sized(1_000), sized(999), sized(998), sized(997)])],
            Violation::SegmentTooLarge { rollup: one, bytes: 4 + 1 + 3_994 + 4 * 5, max: 4_000 },
        ),
        (
            vec![full(1), full(2), segment(3, vec![sized(400)])],
            Violation::BlockTooLarge { bytes: 1 + 2 * (5 + 3_923 + 4 * 5) + 5 + 405, max: BLOCK_BYTES },
        ),
    ];
    for (case, violation) in cases {
        assert_eq!(check(case), Err(violation));
    }
}

#[test]
fn a_block_may_be_exactly_full() {
    let rollups = vec![rollup(1)];
    let segments = |last| vec![segment(1, vec![sized(1_000), sized(999), sized(998), sized(last)])];
    let size = |last| segments(last).encode_size();
    // The segment's own limit leaves out the one byte that counts the segments.
    let last = 4_000 + 1 - size(0) - 1;
    let rules = |bytes| rules(rollups.clone(), bytes);
    assert_eq!(check_body(&rules(4_001), &block(HEIGHT, segments(last))), Ok(()));
    assert_eq!(
        check_body(&rules(4_000), &block(HEIGHT, segments(last))),
        Err(Violation::BlockTooLarge { bytes: 4_001, max: 4_000 })
    );
    assert_eq!(
        check_body(&rules(4_001), &block(HEIGHT, segments(last + 1))),
        Err(Violation::SegmentTooLarge { rollup: RollupId(1), bytes: 4_001, max: 4_000 })
    );
}

#[test]
fn names_the_rule_that_a_transaction_breaks() {
    let latest = HEIGHT + crate::testing::VALIDITY;
    let empty = transaction(HEIGHT, Bytes::new());
    let (large, short, long) = (sized(1_001), sized(31), sized(33));
    let expired = transaction(HEIGHT - 1, payload("a"));
    let far = transaction(latest + 1, payload("a"));
    let cases = [
        (1, empty.clone(), Violation::EmptyPayload { id: id(1, &empty) }),
        (1, large.clone(), Violation::PayloadTooLarge { id: id(1, &large), bytes: 1_001, max: 1_000 }),
        (4, short.clone(), Violation::NotAHash { id: id(4, &short), bytes: 31 }),
        (4, long.clone(), Violation::NotAHash { id: id(4, &long), bytes: 33 }),
        (4, empty.clone(), Violation::EmptyPayload { id: id(4, &empty) }),
        (
            1,
            expired.clone(),
            Violation::Expired { id: id(1, &expired), valid_until: HEIGHT - 1, height: HEIGHT },
        ),
        (1, far.clone(), Violation::ValidityTooLong { id: id(1, &far), valid_until: latest + 1, latest }),
    ];
    for (rollup, transaction, violation) in cases {
        assert_eq!(check(vec![segment(rollup, vec![transaction.clone()])]), Err(violation.clone()));
        // Wherever it stands.
        let behind = if rollup == 4 { sized(32) } else { ok("fine") };
        assert_eq!(check(vec![segment(rollup, vec![behind, transaction])]), Err(violation));
    }
}

#[test]
fn no_id_twice() {
    let repeated = Violation::RepeatedId { id: id(1, &ok("a")) };
    assert_eq!(check(vec![segment(1, vec![ok("a"), ok("b"), ok("a")])]), Err(repeated));
    let bundle = make_bundle(HEIGHT, &[(1, "x"), (1, "x")]);
    let repeated = Violation::RepeatedId { id: id(1, &bundle.legs[0].1) };
    assert_eq!(check(segments(&bundle)), Err(repeated));
}

/// Breaks the segments of a sound bundle over rollups 1 (two legs) and 2 (two legs) and checks.
fn broken(change: impl FnOnce(&mut Vec<Segment>)) -> Result<(), Violation> {
    let mut segments = segments(&make_bundle(HEIGHT, &[(1, "a"), (1, "b"), (2, "c"), (2, "d")]));
    change(&mut segments);
    check(segments)
}

#[test]
fn a_bundle_is_whole_and_in_one_piece() {
    let bundle = make_bundle(HEIGHT, &[(1, "a"), (1, "b"), (2, "c"), (2, "d")]).id;
    let incomplete = Err(Violation::BundleIncomplete { bundle });
    let interrupted = |rollup| Err(Violation::BundleInterrupted { bundle, rollup: RollupId(rollup) });
    let foreign = Transaction { bundle: Some(bundle), ..ok("foreign") };
    let moved = Transaction { bundle: Some(bundle), ..ok("a") };

    assert_eq!(broken(|_| {}), Ok(()));
    assert_eq!(broken(|s| drop(s.remove(0))), incomplete, "a rollup is missing");
    assert_eq!(broken(|s| drop(s[1].transactions.pop())), incomplete, "the last leg is missing");
    assert_eq!(broken(|s| s[0].transactions.swap(0, 1)), incomplete, "legs are reordered");
    assert_eq!(broken(|s| s[1].transactions.push(foreign.clone())), incomplete, "one leg too many");
    assert_eq!(broken(|s| s[0].transactions[0] = foreign.clone()), incomplete, "one leg is another");
    let elsewhere = broken(|s| {
        s[0].transactions.remove(0);
        s.push(segment(3, vec![moved]));
    });
    assert_eq!(elsewhere, incomplete, "a leg is in another rollup");
    assert_eq!(broken(|s| s[0].transactions.insert(1, ok("between"))), interrupted(1));
    assert_eq!(broken(|s| s[1].transactions.insert(1, ok("between"))), interrupted(2));
    let plain = broken(|s| s[0].transactions[0].bundle = None);
    assert_eq!(plain, incomplete, "a leg without its bundle");
}

#[test]
fn two_bundles_do_not_interleave() {
    let one = make_bundle(HEIGHT, &[(1, "a"), (1, "b")]);
    let two = make_bundle(HEIGHT, &[(1, "c"), (1, "d")]);
    let leg = |bundle: &Bundle, index: usize| bundle.legs[index].1.clone();
    let after = vec![leg(&one, 0), leg(&one, 1), leg(&two, 0), leg(&two, 1)];
    assert_eq!(check(vec![segment(1, after)]), Ok(()));
    let interleaved = vec![leg(&one, 0), leg(&two, 0), leg(&one, 1), leg(&two, 1)];
    let violation = Violation::BundleInterrupted { bundle: one.id, rollup: RollupId(1) };
    assert_eq!(check(vec![segment(1, interleaved)]), Err(violation));
}

#[test]
fn legs_share_their_validity() {
    let violation = broken(|segments| segments[1].transactions[0].valid_until += 1);
    let bundle = make_bundle(HEIGHT, &[(1, "a"), (1, "b"), (2, "c"), (2, "d")]).id;
    assert_eq!(violation, Err(Violation::BundleValidity { bundle, one: HEIGHT, other: HEIGHT + 1 }));
}

#[test]
fn a_bundle_has_at_most_sixteen_legs() {
    let legs = |count: usize| {
        let legs = (0..count).map(|index| (RollupId(1), payload(&index.to_string())));
        Bundle::new(HEIGHT, legs.collect())
    };
    assert_eq!(check(segments(&legs(16))), Ok(()));
    let seventeen = legs(17);
    let violation = Violation::BundleTooLong { bundle: seventeen.id, max: 16 };
    assert_eq!(check(segments(&seventeen)), Err(violation));
}

/// Whoever submits the legs in whatever order: voters can recompute the id from the block.
#[test]
fn legs_of_one_bundle_stand_in_block_order() {
    let bundle = make_bundle(HEIGHT, &[(2, "a"), (1, "b"), (2, "c"), (1, "d")]);
    let order: Vec<_> = bundle.legs.iter().map(|(rollup, leg)| (rollup.0, &leg.payload[..])).collect();
    assert_eq!(order, [(1, &b"b"[..]), (1, b"d"), (2, b"a"), (2, b"c")]);
    assert_eq!(check(segments(&bundle)), Ok(()));
}

#[test]
fn accumulators_follow_from_the_parent() {
    let genesis = block(0, Vec::new());
    let one = child(&genesis, vec![segment(1, vec![ok("a")]), segment(2, vec![ok("b")])]);
    let two = child(&one, vec![segment(2, vec![ok("c")])]);
    let three = child(&two, Vec::new());
    for (parent, block) in [(&genesis, &one), (&one, &two), (&two, &three)] {
        assert_eq!(check_accumulators(parent, block), Ok(()));
    }
    assert_eq!(check_accumulators(&one, &three), Err(Violation::Height { height: 3, parent: 1 }));
    assert_eq!(check_accumulators(&two, &two), Err(Violation::Height { height: 2, parent: 2 }));
}

#[test]
fn names_the_accumulator_that_is_wrong() {
    let genesis = block(0, Vec::new());
    let one = child(&genesis, vec![segment(1, vec![ok("a")])]);
    let two = child(&one, vec![segment(2, vec![ok("b")])]);
    let change = |edit: &dyn Fn(&mut Body)| {
        let mut body = two.body().clone();
        edit(&mut body);
        check_accumulators(&one, &Block::seal(two.header().clone(), body, None))
    };
    assert_eq!(change(&|_| {}), Ok(()));
    assert_eq!(change(&|body| body.segments[0].transactions[0] = ok("c")), Err(Violation::Heads));
    assert_eq!(change(&|body| drop(body.segments.pop())), Err(Violation::Heads));
    assert_eq!(change(&|body| body.heads.clear()), Err(Violation::Heads));
    assert_eq!(change(&|body| body.heads.extend([(RollupId(7), EMPTY)])), Err(Violation::Heads));
    assert_eq!(change(&|body| body.peaks[0] = EMPTY), Err(Violation::History));
    // The right heads of another parent.
    let other = child(&genesis, vec![segment(1, vec![ok("z")])]);
    assert_eq!(check_accumulators(&other, &two), Err(Violation::Heads));
}

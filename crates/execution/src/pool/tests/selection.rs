use super::*;
use crate::{
    check_body,
    testing::{VALIDITY, block, bundle, hinted, numbered, payload, rollup, single},
};
use baton_types::Bundle;
use commonware_codec::EncodeSize as _;

const NONE: fn(&TxId) -> bool = |_| false;

fn until(text: &str) -> Unit {
    single(1, 9, payload(text))
}

#[test]
fn nothing_waits_nothing_is_selected() {
    let (_, pool) = pool();
    assert_eq!(pool.select(1, NONE), []);
    assert!(!pool.has_work(1, NONE));
}

#[test]
fn arrival_order_is_kept_when_some_leave() {
    let (rules, mut pool) = pool();
    let ids = admit(&rules, &mut pool, ["a", "b", "c", "d", "e"].map(until)).concat();
    assert_eq!(texts(&pool.select(1, NONE), 1), ["a", "b", "c", "d", "e"]);
    let cases: [(&[usize], &[&str]); 4] =
        [(&[0], &["b", "c", "d", "e"]), (&[4], &["b", "c", "d"]), (&[2], &["b", "d"]), (&[1, 3], &[])];
    for (gone, left) in cases {
        pool.finalized(1, gone.iter().map(|index| &ids[*index]));
        assert_eq!(texts(&pool.select(1, NONE), 1), left);
        assert_eq!(pool.has_work(1, NONE), !left.is_empty());
    }
    admit(&rules, &mut pool, ["f", "a"].map(until));
    assert_eq!(texts(&pool.select(2, NONE), 1), ["f", "a"]);
}

#[test]
fn selecting_takes_nothing_out() {
    let (rules, mut pool) = pool();
    admit(&rules, &mut pool, ["a", "b"].map(until));
    assert_eq!(pool.select(1, NONE), pool.select(1, NONE));
    assert_eq!(pool.stats().transactions, 2);
}

#[test]
fn what_the_ancestry_has_is_left_out() {
    let (rules, mut pool) = pool();
    let ids = admit(&rules, &mut pool, ["a", "b", "c"].map(until)).concat();
    let pair = admit(&rules, &mut pool, [Unit::Bundle(bundle(9, &[(1, "x"), (2, "y")]))]).concat();
    let skip = |id: &TxId| *id == ids[1] || pair.contains(id);
    assert_eq!(texts(&pool.select(1, skip), 1), ["a", "c"]);
    let all = |id: &TxId| ids.contains(id) || pair.contains(id);
    assert!(pool.has_work(1, skip) && !pool.has_work(1, all));
    assert_eq!(pool.select(1, all), []);
}

#[test]
fn a_unit_enters_only_blocks_it_is_valid_in() {
    let (rules, mut pool) = pool();
    let far = VALIDITY + VALIDITY_LEAD;
    admit(&rules, &mut pool, [single(1, 5, payload("soon")), single(1, far, payload("far"))]);
    let cases: [(u64, &[&str]); 6] = [
        (1, &["soon"]),
        (5, &["soon"]),
        (6, &[]),
        (VALIDITY_LEAD - 1, &[]),
        (VALIDITY_LEAD, &["far"]),
        (far + 1, &[]),
    ];
    for (height, expected) in cases {
        assert_eq!(texts(&pool.select(height, NONE), 1), expected, "height {height}");
        assert_eq!(pool.has_work(height, NONE), !expected.is_empty(), "height {height}");
    }
}

#[test]
fn fee_hints_order_only_rollups_that_want_it() {
    let (rules, mut pool) = pool();
    let hinted = |rollup, text, hint| hinted(rollup, 9, payload(text), hint);
    admit(
        &rules,
        &mut pool,
        [
            hinted(3, "low", 1),
            hinted(3, "high", 9),
            hinted(3, "highest", u64::MAX),
            hinted(3, "high too", 9),
            Unit::Bundle(bundle(9, &[(3, "first leg"), (3, "second leg")])),
            Unit::Bundle(bundle(9, &[(3, "later bundle")])),
            hinted(1, "low", 1),
            hinted(1, "high", 9),
        ],
    );
    let segments = pool.select(1, NONE);
    let bundles_first = ["first leg", "second leg", "later bundle", "highest", "high", "high too", "low"];
    assert_eq!(texts(&segments, 3), bundles_first);
    assert_eq!(texts(&segments, 1), ["low", "high"]);
}

#[test]
fn segments_ascend_and_are_never_empty() {
    let (rules, mut pool) = pool();
    admit(&rules, &mut pool, [single(3, 9, payload("c")), single(1, 9, payload("a"))]);
    for height in 1..9 {
        let rollups: Vec<_> = pool.select(height, NONE).iter().map(|segment| segment.rollup.0).collect();
        assert_eq!(rollups, [1, 3]);
    }
}

/// Legs of a bundle stay together, whatever waits around them.
#[test]
fn bundles_are_whole_and_contiguous() {
    let (rules, mut pool) = pool();
    let legs = [(2, "B1"), (1, "A1"), (2, "B2"), (1, "A2")];
    admit(
        &rules,
        &mut pool,
        [
            single(2, 9, payload("b")),
            until("a"),
            Unit::Bundle(bundle(9, &legs)),
            Unit::Bundle(bundle(9, &[(1, "C1"), (2, "C2")])),
            until("z"),
        ],
    );
    for height in 1..5 {
        let segments = pool.select(height, NONE);
        assert_eq!(texts(&segments, 1), ["a", "A1", "A2", "C1", "z"]);
        let second = texts(&segments, 2);
        let at = second.iter().position(|text| text == "B1").unwrap();
        assert_eq!(second[at + 1], "B2");
        assert_eq!(check_body(&rules, &block(height, segments)), Ok(()));
    }
}

/// Rollup 2's segment has no room for the second leg: rollup 1 goes on without the bundle.
#[test]
fn a_bundle_that_does_not_fit_is_left_out_whole_and_holds_nobody_up() {
    let rules = rules(vec![rollup(1), Rollup { block_bytes_max: 1_300, ..rollup(2) }], 100_000);
    let mut pool = Pool::new(rules.rollups(), limits(100_000), 7);
    let large = Bundle::new(50, vec![(RollupId(1), payload("leg")), (RollupId(2), numbered(1, 900))]);
    let leg = large.legs[0].1.id(RollupId(1));
    admit(
        &rules,
        &mut pool,
        [
            single(1, 50, payload("first")),
            single(2, 50, numbered(2, 900)),
            Unit::Bundle(large),
            single(1, 50, payload("last")),
        ],
    );
    // Where rollup 2 goes first its own transaction fills the segment.
    let segments = pool.select(1, NONE);
    assert_eq!(texts(&segments, 1), ["first", "last"]);
    assert!(!ids(&segments).contains(&leg));
    // Where rollup 1 does the bundle may win; never half of it.
    for height in 1..9 {
        let segments = pool.select(height, NONE);
        let chosen = ids(&segments);
        assert_eq!(chosen.contains(&leg), segments[1].transactions[0].bundle.is_some());
        assert_eq!(check_body(&rules, &block(height, segments)), Ok(()));
    }
}

/// As full as it gets, and not a byte more.
#[test]
fn limits_hold_to_the_byte() {
    for size in (30..150).chain([500, 999, 1_000]) {
        for block_bytes in [2_048, 5_000, 8_192] {
            let rules = rules(vec![rollup(1), rollup(2), rollup(3)], block_bytes);
            let mut pool = Pool::new(rules.rollups(), limits(block_bytes), 7);
            for number in 0..300 {
                for rollup in 1..=3 {
                    let unit = checked(&rules, single(rollup, 9, numbered(number, size)));
                    let _ = pool.admit(unit, PEER, 0);
                }
            }
            let segments = pool.select(1, NONE);
            let used = segments.encode_size();
            assert!(used <= block_bytes, "{used} of {block_bytes} with {size}");
            assert!(used + size + 64 > block_bytes, "{used} of {block_bytes} with {size}");
            assert!(segments.iter().all(|segment| segment.encode_size() <= 4_000));
            assert_eq!(check_body(&rules, &block(1, segments)), Ok(()));
        }
    }
}

/// A segment costs more than its transactions: the last bytes of a block may be too few to open one.
#[test]
fn a_segment_opens_only_where_its_frame_fits_too() {
    let full = Rollup { block_bytes_max: 5_000, reserved_percent: 100, ..rollup(1) };
    let rules = rules(vec![full, rollup(2)], 5_000);
    let mut opened = 0;
    for size in 700..900 {
        let mut pool = Pool::new(rules.rollups(), limits(5_000), 7);
        let mut units: Vec<_> = (0..4).map(|number| single(1, 9, numbered(number, 1_000))).collect();
        units.push(single(1, 9, numbered(4, size)));
        units.push(single(2, 9, numbered(5, 100)));
        admit(&rules, &mut pool, units);
        let segments = pool.select(2, NONE);
        assert_eq!(check_body(&rules, &block(2, segments.clone())), Ok(()), "{size}");
        opened += segments.len() - 1;
    }
    assert!((150..200).contains(&opened), "{opened}");
}

#[test]
fn a_rollups_own_limit_holds_when_the_block_has_room() {
    let rules = rules(vec![rollup(1), rollup(2)], 100_000);
    let mut pool = Pool::new(rules.rollups(), limits(100_000), 7);
    admit(&rules, &mut pool, (0..100).map(|number| single(1, 9, numbered(number, 100))));
    let segments = pool.select(1, NONE);
    assert_eq!(segments.len(), 1);
    assert!((3_850..=4_000).contains(&segments[0].encode_size()), "{}", segments[0].encode_size());
}

/// As its author wants it while blocks do not get through.
#[test]
fn a_smaller_block_is_filled_as_far_as_it_goes_and_a_large_transaction_goes_alone() {
    let rules = rules(vec![rollup(1), rollup(2)], 100_000);
    let mut pool = Pool::new(rules.rollups(), limits(100_000), 7);
    let units = [(1, 900), (2, 100), (3, 100), (4, 100)];
    let waiting = admit(&rules, &mut pool, units.map(|(number, size)| single(1, 9, numbered(number, size))));
    let waiting = waiting.concat();
    pool.set_block_bytes(300);
    assert!(pool.has_work(1, NONE));
    assert_eq!(ids(&pool.select(1, NONE)), waiting[..1], "it is the first, whatever its size");
    assert_eq!(ids(&pool.select(2, |id| *id == waiting[0])), waiting[1..3]);
    pool.set_block_bytes(usize::MAX);
    assert_eq!(ids(&pool.select(1, NONE)), waiting);
}

/// The earlier one waits for the next block; the later one does not overtake it.
#[test]
fn a_small_transaction_does_not_overtake_a_large_one() {
    let rules = rules(vec![Rollup { block_bytes_max: 1_100, ..rollup(1) }], 100_000);
    let mut pool = Pool::new(rules.rollups(), limits(100_000), 7);
    let units = [(1, 500), (2, 600), (3, 10)].map(|(number, size)| single(1, 9, numbered(number, size)));
    let waiting = admit(&rules, &mut pool, units).concat();
    assert_eq!(ids(&pool.select(1, NONE)), waiting[..1]);
    assert_eq!(ids(&pool.select(2, |id| *id == waiting[0])), waiting[1..]);
}

//! A busy rollup cannot starve another.

use super::*;
use crate::testing::{numbered, rollup, single};
use baton_types::Bundle;
use commonware_codec::EncodeSize as _;

const BLOCK: usize = 100_000;
const UNTIL: u64 = 90;
const NONE: fn(&TxId) -> bool = |_| false;

/// A pool over rollups 1, 2, … with these reserved shares and room for any load.
fn pool_of(reserved: &[u32]) -> (Rules, Pool) {
    let rollups = (1..).zip(reserved).map(|(id, reserved)| Rollup {
        block_bytes_max: BLOCK,
        transaction_bytes_max: 50_000,
        mempool_bytes_max: 100_000_000,
        reserved_percent: *reserved,
        ..rollup(id)
    });
    let rules = rules(rollups.collect(), BLOCK);
    let wide = Limits { bytes_max: 1_000_000_000, transactions_max: 1_000_000, ..limits(BLOCK) };
    let pool = Pool::new(rules.rollups(), wide, 7);
    (rules, pool)
}

/// Different payloads in every call.
struct Load {
    number: u64,
}

impl Load {
    fn add(&mut self, rules: &Rules, pool: &mut Pool, rollup: u32, count: usize, size: usize) {
        for _ in 0..count {
            self.number += 1;
            admit(rules, pool, [single(rollup, UNTIL, numbered(self.number, size))]);
        }
    }
}

fn bytes(segments: &[Segment], rollup: u32) -> usize {
    segments
        .iter()
        .filter(|segment| segment.rollup == RollupId(rollup))
        .map(|segment| segment.encode_size())
        .sum()
}

/// Rollup 1 offers ten times what rollup 2 does, block after block. Returns rollup 2's bytes per
/// block, and what waits of it after each.
fn compete(reserved: &[u32], per_block: usize) -> Vec<(usize, u64)> {
    let (rules, mut pool) = pool_of(reserved);
    let mut load = Load { number: 0 };
    (1..=12)
        .map(|height| {
            load.add(&rules, &mut pool, 1, 10 * per_block, 200);
            load.add(&rules, &mut pool, 2, per_block, 200);
            let segments = pool.select(height, NONE);
            let selected = ids(&segments);
            assert!(segments.encode_size() > BLOCK - 300, "the block at {height} is not full");
            pool.finalized(height, selected.iter());
            (bytes(&segments, 2), pool.stats().rollups[1].transactions)
        })
        .collect()
}

#[test]
fn a_modest_rollup_never_waits_for_a_busy_one() {
    // 100 transactions of 200 bytes are a fifth of a block; rollup 1 offers two blocks.
    for reserved in [[0, 0], [0, 30], [50, 30], [70, 30]] {
        for (height, (_, waiting)) in (1..).zip(compete(&reserved, 100)) {
            assert_eq!(waiting, 0, "rollup 2 waits after block {height} with {reserved:?}");
        }
    }
}

#[test]
fn two_busy_rollups_share_by_halves_or_as_reserved() {
    // 600 transactions of 200 bytes are more than a block; rollup 1 offers ten.
    let cases = [([0, 0], 50), ([0, 20], 60), ([0, 70], 85), ([60, 40], 40), ([100, 0], 0)];
    for (reserved, percent) in cases {
        for (height, (bytes, _)) in (1..).zip(compete(&reserved, 600)) {
            let expected = BLOCK * percent / 100;
            // One quantum of credit, and one transaction at the end of each step.
            assert!(
                bytes.abs_diff(expected) <= 4_096 + 2 * 210,
                "rollup 2 has {bytes} of block {height} with {reserved:?}, not {expected}"
            );
        }
    }
}

#[test]
fn one_among_many_gets_its_part_of_every_block() {
    let (rules, mut pool) = pool_of(&[0; 10]);
    let mut load = Load { number: 0 };
    for rollup in 1..=10 {
        load.add(&rules, &mut pool, rollup, 2_000, 150);
    }
    for height in 1..=30 {
        let segments = pool.select(height, NONE);
        for rollup in 1..=10 {
            let bytes = bytes(&segments, rollup);
            assert!((8_000..=12_500).contains(&bytes), "rollup {rollup} has {bytes} of block {height}");
        }
        pool.finalized(height, ids(&segments).iter());
    }
}

/// A large transaction needs more credit than a block's fair share. It enters when its rollup is first.
#[test]
fn a_large_transaction_waits_for_its_turn_and_no_longer() {
    let count = 10;
    let (rules, mut pool) = pool_of(&vec![0; count]);
    let mut load = Load { number: 0 };
    for rollup in 1..10 {
        load.add(&rules, &mut pool, rollup, 10_000, 150);
    }
    load.add(&rules, &mut pool, 10, 3, 50_000);
    let mut waiting = pool.stats().rollups[9].transactions;
    for height in 1..=3 * count as u64 {
        pool.finalized(height, ids(&pool.select(height, NONE)).iter());
        let now = pool.stats().rollups[9].transactions;
        assert!(now < waiting || height % count as u64 != 9, "passed over at its turn, height {height}");
        waiting = now;
    }
    assert_eq!(waiting, 0);
}

#[test]
fn a_transaction_larger_than_its_reservation_does_not_hold_it_up() {
    let (rules, mut pool) = pool_of(&[90, 10]);
    let mut load = Load { number: 0 };
    load.add(&rules, &mut pool, 1, 5_000, 200);
    load.add(&rules, &mut pool, 2, 1, 50_000);
    load.add(&rules, &mut pool, 2, 1_000, 100);
    for height in 1..=5 {
        let segments = pool.select(height, NONE);
        let bytes = bytes(&segments, 2);
        assert!((9_500..=10_500).contains(&bytes), "rollup 2 has {bytes} of block {height}");
        pool.finalized(height, ids(&segments).iter());
    }
}

/// Bundles that start in rollup 1 are paid by rollup 1 and leave rollup 2's reservation alone.
#[test]
fn bundles_do_not_eat_another_rollups_share() {
    for reserved in [[0, 0], [40, 40]] {
        let (rules, mut pool) = pool_of(&reserved);
        let bundles = (0..1_000_u64).map(|number| {
            let legs = vec![(RollupId(1), numbered(number, 20)), (RollupId(2), numbered(number, 400))];
            Unit::Bundle(Bundle::new(UNTIL, legs))
        });
        admit(&rules, &mut pool, bundles);
        let mut load = Load { number: 10_000 };
        load.add(&rules, &mut pool, 2, 3_000, 200);
        for height in 1..=5 {
            let segments = pool.select(height, NONE);
            let own = own_bytes(&segments);
            assert!(own.abs_diff(BLOCK / 2) < 5_000, "{own} bytes of its own at {height} with {reserved:?}");
            pool.finalized(height, ids(&segments).iter());
        }
    }
}

/// Rollup 2's segment is small. Bundles of rollup 1, which goes first at even heights, leave room in it.
#[test]
fn bundles_leave_room_for_another_rollups_reservation() {
    let wide = |id, reserved_percent| Rollup { block_bytes_max: BLOCK, reserved_percent, ..rollup(id) };
    let small = Rollup { block_bytes_max: 20_000, ..wide(2, 10) };
    let rules = rules(vec![wide(1, 50), small], BLOCK);
    let mut pool = Pool::new(rules.rollups(), limits(BLOCK), 7);
    let bundles = (0..100_u64).map(|number| {
        let legs = vec![(RollupId(1), numbered(number, 20)), (RollupId(2), numbered(number, 400))];
        Unit::Bundle(Bundle::new(UNTIL, legs))
    });
    admit(&rules, &mut pool, bundles);
    let mut load = Load { number: 10_000 };
    load.add(&rules, &mut pool, 2, 200, 200);
    for height in 1..=4 {
        let own = own_bytes(&pool.select(height, NONE));
        assert!((9_500..=15_000).contains(&own), "{own} bytes of its own at {height}");
    }
}

/// Encoded transactions that are in no bundle.
fn own_bytes(segments: &[Segment]) -> usize {
    segments
        .iter()
        .flat_map(|segment| &segment.transactions)
        .filter(|transaction| transaction.bundle.is_none())
        .map(|transaction| transaction.encode_size())
        .sum()
}

/// The largest bundle there can be neither blocks its rollup nor waits for ever.
#[test]
fn a_bundle_that_fills_a_block_gets_one() {
    let (rules, mut pool) = pool_of(&[0, 0]);
    let legs = [(1, 45_000), (2, 45_000)].map(|(rollup, size)| (RollupId(rollup), numbered(1, size)));
    let mut load = Load { number: 10 };
    load.add(&rules, &mut pool, 1, 5, 200);
    let ids_of = admit(&rules, &mut pool, [Unit::Bundle(Bundle::new(UNTIL, legs.to_vec()))]).concat();
    load.add(&rules, &mut pool, 1, 5_000, 200);
    load.add(&rules, &mut pool, 2, 5_000, 200);
    for height in 1..=4 {
        let selected = ids(&pool.select(height, NONE));
        pool.finalized(height, selected.iter());
        if selected.contains(&ids_of[0]) {
            assert!(selected.contains(&ids_of[1]));
            return;
        }
        assert!(selected.len() > 400, "others go on at {height}");
    }
    panic!("four blocks without the bundle");
}

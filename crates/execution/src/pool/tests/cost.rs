//! What a transaction costs. Printed, not asserted: run in release with `--nocapture`.

use super::*;
use crate::{
    Recent,
    testing::{VALIDITY, block, numbered, rollup, single},
};
use baton_types::merkle::EMPTY;
use std::time::Duration;

/// Transactions per block, and blocks.
const COUNT: u32 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
const BLOCKS: u32 = 20;

/// Time spent on each step, in the order of their first use.
#[derive(Default)]
struct Clock(Vec<(&'static str, Duration)>);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "measures this machine and decides nothing")]
    fn time<T>(&mut self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let result = work();
        let spent = start.elapsed();
        match self.0.iter_mut().find(|(known, _)| *known == step) {
            Some((_, total)) => *total += spent,
            None => self.0.push((step, spent)),
        }
        result
    }
}

#[test]
fn print_cost_per_transaction() {
    for ordering in [Ordering::Arrival, Ordering::FeeHint] {
        for waiting in [0, 10] {
            println!("{ordering:?}, {} transactions wait behind each block", waiting * COUNT);
            for (step, total) in cost(ordering, waiting).0 {
                println!("  {step:<28} {:>6} ns per transaction", (total / (BLOCKS * COUNT)).as_nanos());
            }
        }
    }
}

fn cost(ordering: Ordering, waiting: u32) -> Clock {
    let block_bytes = usize::try_from(COUNT).unwrap() * 209;
    let rollup =
        |id| Rollup { block_bytes_max: block_bytes, mempool_bytes_max: usize::MAX, ordering, ..rollup(id) };
    let rules = rules(vec![rollup(1), rollup(2)], block_bytes);
    let wide = Limits {
        bytes_max: usize::MAX,
        transactions_max: 1_000_000,
        client_transactions_max: 1_000_000,
        client_bytes_max: usize::MAX,
        ..limits(block_bytes)
    };
    let mut pool = Pool::new(rules.rollups(), wide, 7);
    let mut recent = Recent::new(VALIDITY, 7);
    let unit = |number: u32| {
        let rollup = if number.is_multiple_of(2) { 1 } else { 2 };
        single(rollup, VALIDITY - u64::from(number % 50), numbered(number.into(), 200))
    };
    let mut clock = Clock::default();
    let source = client("10.0.0.1");
    let mut number = 0;
    let mut submit = |clock: &mut Clock, pool: &mut Pool| {
        let units: Vec<_> = (number..number + COUNT).map(unit).collect();
        number += COUNT;
        let checked: Vec<_> = clock.time("check (hash of 200 bytes)", || {
            units.into_iter().map(|unit| Pool::check(&rules, unit, 0).unwrap()).collect()
        });
        clock.time("admit", || {
            for unit in checked {
                pool.admit(unit, source.clone(), 0).unwrap();
            }
        });
    };
    for _ in 0..waiting {
        submit(&mut Clock::default(), &mut pool);
    }
    for height in 1..=BLOCKS.into() {
        submit(&mut clock, &mut pool);
        let segments = clock.time("select", || pool.select(height, |id| recent.height_of(id).is_some()));
        let block = block(height, segments);
        clock.time("check_body", || crate::check_body(&rules, &block).unwrap());
        clock.time("insert into recent", || recent.insert(EMPTY, &block));
        clock.time("finalize in recent", || recent.finalize(height, block.ids()));
        clock.time("finalized", || pool.finalized(height, block.ids()));
        assert!(block.transactions() > 9 * usize::try_from(COUNT).unwrap() / 10);
    }
    clock
}

//! What a transaction costs. Printed, not asserted: run in release with `--nocapture`.

use super::*;
use crate::{
    Recent,
    testing::{VALIDITY, block, numbered, rollup, single},
};

const COUNT: u64 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

#[allow(clippy::disallowed_methods, reason = "measures this machine and decides nothing")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    let ns = start.elapsed().as_nanos() / u128::from(COUNT);
    println!("{what:<28} {ns:>6} ns per transaction");
    result
}

#[test]
fn print_cost_per_transaction() {
    for ordering in [Ordering::Arrival, Ordering::FeeHint] {
        println!("{ordering:?}");
        cost(ordering);
    }
}

fn cost(ordering: Ordering) {
    let block_bytes = 100_000_000;
    let rollup =
        |id| Rollup { block_bytes_max: block_bytes, mempool_bytes_max: block_bytes, ordering, ..rollup(id) };
    let rules = rules(vec![rollup(1), rollup(2)], block_bytes);
    let wide = Limits {
        bytes_max: block_bytes,
        transactions_max: 1_000_000,
        client_transactions_max: 1_000_000,
        client_bytes_max: block_bytes,
        ..limits(block_bytes)
    };
    let mut pool = Pool::new(rules.rollups(), wide, 7);
    let unit = |number: u64| {
        let rollup = if number.is_multiple_of(2) { 1 } else { 2 };
        single(rollup, VALIDITY - number % 50, numbered(number, 200))
    };
    let units: Vec<_> = (0..COUNT).map(unit).collect();
    let checked: Vec<_> = timed("check (two hash blocks)", || {
        units.into_iter().map(|unit| Pool::check(&rules, unit, 0).unwrap()).collect()
    });
    let source = client("10.0.0.1");
    timed("admit", || {
        for unit in checked {
            pool.admit(unit, source.clone(), 0).unwrap();
        }
    });
    let mut recent = Recent::new(VALIDITY, 7);
    let segments = timed("select", || pool.select(1, |id| recent.height_of(id).is_some()));
    let selected = ids(&segments);
    assert_eq!(selected.len() as u64, COUNT);
    let block = block(1, segments);
    timed("check_body", || crate::check_body(&rules, &block).unwrap());
    timed("insert into recent", || recent.insert(baton_types::merkle::EMPTY, &block));
    timed("has_work, all in ancestry", || {
        assert!(!pool.has_work(2, |id| recent.contains(&baton_types::merkle::EMPTY, 1, id)));
    });
    timed("finalize in recent", || recent.finalize(1, block.ids()));
    timed("finalized", || pool.finalized(1, selected.iter()));
    assert_eq!(pool.stats().transactions, 0);
}

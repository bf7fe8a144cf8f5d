mod admission;
mod codec;
mod cost;
mod evm;
mod fairness;
mod model;
mod selection;

use super::*;
use crate::testing::{checked, limits, rollups, rules};
use baton_types::{Segment, TxId};

const BLOCK_BYTES: usize = 8_192;
const PEER: Source = Source::Peer(MemberIndex(0));

fn pool() -> (Rules, Pool) {
    let rules = rules(rollups(), BLOCK_BYTES);
    let pool = Pool::new(rules.rollups(), limits(BLOCK_BYTES), 7);
    (rules, pool)
}

fn client(name: &str) -> Source {
    Source::Client(name.into())
}

/// Admits units that must be acceptable and returns the ids of each.
fn admit(rules: &Rules, pool: &mut Pool, units: impl IntoIterator<Item = Unit>) -> Vec<Vec<TxId>> {
    units
        .into_iter()
        .map(|unit| {
            let unit = checked(rules, unit);
            let ids = unit.ids().to_vec();
            pool.admit(unit, PEER, 0).unwrap();
            ids
        })
        .collect()
}

fn ids(segments: &[Segment]) -> Vec<TxId> {
    segments
        .iter()
        .flat_map(|segment| segment.transactions.iter().map(|transaction| transaction.id(segment.rollup)))
        .collect()
}

/// Payloads of one rollup's segment, as text.
fn texts(segments: &[Segment], rollup: u32) -> Vec<String> {
    segments
        .iter()
        .filter(|segment| segment.rollup == RollupId(rollup))
        .flat_map(|segment| &segment.transactions)
        .map(|transaction| String::from_utf8(transaction.payload.to_vec()).unwrap())
        .collect()
}

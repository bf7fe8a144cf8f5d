//! Filling a block: deficit round robin over rollups.
//!
//! 1. **Reserved.** Each rollup takes from its own queue up to its reserved share of the block.
//! 2. **Shared.** What is left goes round: every visit credits a rollup with [`QUANTUM`] bytes, and it
//!    takes units while its credit lasts. A unit larger than the credit waits for more. The round
//!    begins with another rollup at every height, and the first rollup with work may take one unit
//!    whatever its size: so a large one waits for its rollup's turn, not for ever.
//!
//! A rollup ends when its queue is empty, or when its next transaction fits neither its segment
//! nor the block: a later one never overtakes it, with the exceptions that keep one unit from
//! holding up a whole rollup:
//! - a unit larger than the whole reservation leaves the reservation to those behind it;
//! - a bundle that does not fit is passed over, because it may be another rollup's segment that is full.
//!
//! In an EVM rollup bundles come first, then what its senders' nonces and fees give; there nothing overtakes.
//!
//! The rollup of a bundle's first leg pays for all legs, and in the first step the other legs leave
//! their rollups' reservations alone. So bundles give nobody more than their own rollup's share.
//!
//! The block is never empty while a unit waits that it may carry: the first rollup's first unit
//! fits an empty block, for every unit does that was admitted.

use super::{
    Checked, Pool, sizes,
    slab::{Entry, Slot, Walk},
};
use crate::evm::{Signed, Turn};
use alloy_primitives::B256;
use baton_types::{RollupId, Segment, Transaction, TxId};
use std::{collections::VecDeque, sync::Arc};

/// Credit per visit in bytes: small against a block, large against a usual transaction.
const QUANTUM: usize = 4_096;
/// Most units of one rollup passed over in one step; bounds the search when nothing fits.
const PASSED_MAX: usize = 64;

pub(super) fn has_work(pool: &Pool, height: u64, skip: impl Fn(&TxId) -> bool) -> bool {
    pool.lanes.iter().any(|lane| {
        if lane.evm.as_ref().is_some_and(|evm| evm.has_work(|hash| turn(pool, height, &skip, hash))) {
            return true;
        }
        let mut walk = lane.queue.walk();
        std::iter::from_fn(|| walk.next(&pool.slab)).any(|(_, entry)| eligible(pool, height, &skip, entry))
    })
}

fn eligible(pool: &Pool, height: u64, skip: &impl Fn(&TxId) -> bool, entry: &Entry) -> bool {
    let latest = height.saturating_add(pool.limits.validity_blocks_max);
    // All legs of a bundle are ordered together, so the first speaks for the others.
    (height..=latest).contains(&entry.valid_until)
        && !skip(&entry.id)
        && !paused(pool, entry)
        && has_gas(pool, entry)
}

/// Whether a leg is of a rollup that may have no segment.
fn paused(pool: &Pool, entry: &Entry) -> bool {
    let lane_paused = |rollup| {
        let lane = &pool.lanes[pool.lane(rollup)];
        lane.closed || lane.evm.as_ref().is_some_and(super::evm::EvmLane::is_paused)
    };
    entry.checked.unit.legs().any(|(rollup, _)| lane_paused(rollup))
}

/// Whether the next block, otherwise empty, has the gas of a bundle's legs in each rollup.
fn has_gas(pool: &Pool, entry: &Entry) -> bool {
    let Checked { unit, gas, .. } = &entry.checked;
    let legs: Vec<_> = unit.legs().zip(gas.iter()).map(|((rollup, _), gas)| (rollup, *gas)).collect();
    // Legs stand in ascending order of rollup.
    legs.chunk_by(|(left, _), (right, _)| left == right).all(|legs| {
        let room = legs.first().and_then(|(rollup, _)| pool.lanes[pool.lane(*rollup)].evm.as_ref()?.gas());
        room.is_none_or(|room| legs.iter().map(|(_, gas)| gas).sum::<u64>() <= room)
    })
}

/// Whether a transaction of an EVM rollup may be the next of its sender.
fn turn(pool: &Pool, height: u64, skip: &impl Fn(&TxId) -> bool, hash: &B256) -> Turn {
    let id = super::evm::id(hash);
    // It leaves the slab when it is ordered for good.
    let Some(slot) = pool.ids.get(&id) else { return Turn::Ordered };
    match (skip(&id), eligible(pool, height, skip, pool.slab.get(*slot))) {
        (true, _) => Turn::Ordered,
        (false, true) => Turn::Ready,
        (false, false) => Turn::Blocked,
    }
}

pub(super) fn select(
    pool: &Pool,
    height: u64,
    first: Vec<Segment>,
    skip: impl Fn(&TxId) -> bool,
) -> Vec<Segment> {
    let count = pool.lanes.len();
    if count == 0 {
        return Vec::new();
    }
    let turn = usize::try_from(height % (count as u64)).expect("below the number of rollups");
    let order: Vec<_> = (turn..count).chain(0..turn).collect();
    let mut filler = Filler::new(pool, height, skip);
    first.into_iter().for_each(|segment| filler.begin(segment));
    for &lane in &order {
        filler.fill_reserved(lane);
    }
    filler.fill_shared(order);
    filler.into_segments()
}

/// A block being filled.
struct Filler<'a, S> {
    pool: &'a Pool,
    height: u64,
    skip: S,
    lanes: Vec<Filling<'a>>,
    /// Encoded bytes so far.
    used: usize,
}

/// One rollup's part of it.
struct Filling<'a> {
    walk: Walk<'a>,
    /// Units to look at before going on with `walk`.
    ahead: VecDeque<Slot>,
    /// What follows when `walk` is at its end, in an EVM rollup: chosen when the bundles before have taken
    /// their gas.
    signed: Option<std::vec::IntoIter<Arc<Signed>>>,
    /// Gas that is left of the rollup's block; all there is where nothing is executed.
    gas: u64,
    transactions: Vec<Transaction>,
    /// Encoded bytes of the segment so far.
    used: usize,
    /// Room that legs of other rollups' bundles must leave.
    held: usize,
    /// What it may still take before the next round.
    credit: usize,
    /// Units passed over in the second step.
    passed: usize,
}

/// What a unit takes of the block.
struct Cost {
    bytes: usize,
    /// Whether every segment and the block have room for it.
    fits: bool,
}

impl<'a, S: Fn(&TxId) -> bool> Filler<'a, S> {
    fn new(pool: &'a Pool, height: u64, skip: S) -> Self {
        let lanes: Vec<_> = pool
            .lanes
            .iter()
            .map(|lane| Filling {
                walk: lane.queue.walk(),
                ahead: VecDeque::new(),
                signed: None,
                gas: lane.evm.as_ref().map_or(u64::MAX, |evm| evm.gas().unwrap_or(0)),
                transactions: Vec::new(),
                used: 0,
                held: reserved(pool, lane.reserved_percent).min(lane.segment_bytes_max),
                credit: 0,
                passed: 0,
            })
            .collect();
        Self { pool, height, skip, lanes, used: sizes::BLOCK_OVERHEAD }
    }

    /// What comes first in a rollup's segment, whatever else there is.
    fn begin(&mut self, Segment { rollup, transactions }: Segment) {
        let bytes = sizes::SEGMENT_OVERHEAD + transactions.iter().map(sizes::leg).sum::<usize>();
        let filling = &mut self.lanes[self.pool.lane(rollup)];
        filling.used += bytes;
        self.used += bytes;
        filling.transactions = transactions;
    }

    /// The next unit that the block may carry, without taking it.
    fn peek(&mut self, lane: usize) -> Option<Slot> {
        let filling = &mut self.lanes[lane];
        if let Some(&slot) = filling.ahead.front() {
            return Some(slot);
        }
        while let Some((slot, entry)) = filling.walk.next(&self.pool.slab) {
            if eligible(self.pool, self.height, &self.skip, entry) {
                filling.ahead.push_back(slot);
                return Some(slot);
            }
        }
        let (pool, gas) = (self.pool, filling.gas);
        if filling.signed.is_none() {
            let home = &pool.lanes[lane];
            let chosen = home
                .evm
                .as_ref()?
                .select(gas, home.segment_bytes_max, |hash| turn(pool, self.height, &self.skip, hash));
            filling.signed = Some(chosen.into_iter());
        }
        let signed = filling.signed.as_mut()?.next()?;
        let slot = *self.pool.ids.get(&super::evm::id(&signed.hash()))?;
        filling.ahead.push_back(slot);
        Some(slot)
    }

    /// Legs of a unit as (lane, encoded bytes, gas) per rollup, with what opening a segment costs.
    fn parts(&self, slot: Slot) -> impl Iterator<Item = (usize, usize, u64)> {
        let checked = &self.pool.slab.get(slot).checked;
        let mut legs = checked.unit.legs().enumerate().peekable();
        std::iter::from_fn(move || {
            let (leg, (rollup, transaction)) = legs.next()?;
            let (mut bytes, mut gas) = (sizes::leg(transaction), checked.gas(leg));
            while let Some((leg, (_, transaction))) = legs.next_if(|(_, (next, _))| *next == rollup) {
                bytes += sizes::leg(transaction);
                gas = gas.saturating_add(checked.gas(leg));
            }
            let lane = self.pool.lane(rollup);
            if self.lanes[lane].transactions.is_empty() {
                bytes += sizes::SEGMENT_OVERHEAD;
            }
            Some((lane, bytes, gas))
        })
    }

    fn cost(&self, home: usize, slot: Slot) -> Cost {
        let mut cost = Cost { bytes: 0, fits: true };
        for (lane, bytes, gas) in self.parts(slot) {
            let filling = &self.lanes[lane];
            let held = if lane == home { 0 } else { filling.held };
            cost.fits &= filling.used + held + bytes <= self.pool.lanes[lane].segment_bytes_max;
            cost.fits &= gas <= filling.gas;
            cost.bytes += bytes;
        }
        let alone = self.used == sizes::BLOCK_OVERHEAD;
        let room = if alone { self.pool.limits.block_bytes_max } else { self.pool.block_bytes };
        cost.fits &= self.used + cost.bytes <= room;
        cost
    }

    /// Whether later units may overtake it: not where senders' nonces and tips give the order.
    fn may_pass(&self, lane: usize, slot: Slot) -> bool {
        self.is_bundle(slot) || self.pool.lanes[lane].evm.is_none()
    }

    fn is_bundle(&self, slot: Slot) -> bool {
        !self.pool.slab.get(slot).rank.single
    }

    /// Takes the unit that `peek` returned.
    fn take(&mut self, lane: usize, slot: Slot) {
        self.lanes[lane].ahead.pop_front();
        let checked = &self.pool.slab.get(slot).checked;
        for (leg, (rollup, transaction)) in checked.unit.legs().enumerate() {
            let filling = &mut self.lanes[self.pool.lane(rollup)];
            let mut bytes = sizes::leg(transaction);
            if filling.transactions.is_empty() {
                bytes += sizes::SEGMENT_OVERHEAD;
            }
            filling.used += bytes;
            filling.gas -= checked.gas(leg);
            self.used += bytes;
            filling.transactions.push(transaction.clone());
        }
    }

    fn fill_reserved(&mut self, lane: usize) {
        let reservation = reserved(self.pool, self.pool.lanes[lane].reserved_percent);
        let mut left = reservation;
        let mut passed = VecDeque::new();
        while left > 0
            && passed.len() < PASSED_MAX
            && let Some(slot) = self.peek(lane)
        {
            let cost = self.cost(lane, slot);
            if cost.fits && cost.bytes <= left {
                self.take(lane, slot);
                left -= cost.bytes;
            } else if self.may_pass(lane, slot)
                && (cost.bytes > reservation || !cost.fits && self.is_bundle(slot))
            {
                self.lanes[lane].ahead.pop_front();
                passed.push_back(slot);
            } else {
                break;
            }
        }
        let filling = &mut self.lanes[lane];
        passed.append(&mut filling.ahead);
        filling.ahead = passed;
        filling.held = 0;
    }

    fn fill_shared(&mut self, mut order: Vec<usize>) {
        let first = order.iter().copied().find(|&lane| self.peek(lane).is_some());
        if let Some(lane) = first {
            self.lanes[lane].credit = self.pool.limits.block_bytes_max;
            self.visit(lane, 1);
            self.lanes[lane].credit = 0;
        }
        while !order.is_empty() {
            order.retain(|&lane| {
                self.lanes[lane].credit += QUANTUM;
                self.visit(lane, usize::MAX)
            });
        }
    }

    /// Takes up to `units_max` units while the credit lasts. Returns whether there may be more.
    fn visit(&mut self, lane: usize, units_max: usize) -> bool {
        let mut taken = 0;
        while taken < units_max {
            let Some(slot) = self.peek(lane) else { return false };
            let cost = self.cost(lane, slot);
            if cost.fits && cost.bytes > self.lanes[lane].credit {
                return true;
            }
            if cost.fits {
                self.take(lane, slot);
                self.lanes[lane].credit -= cost.bytes;
                taken += 1;
                continue;
            }
            self.lanes[lane].passed += 1;
            if !self.is_bundle(slot) || self.lanes[lane].passed == PASSED_MAX {
                return false;
            }
            self.lanes[lane].ahead.pop_front();
        }
        true
    }

    fn into_segments(self) -> Vec<Segment> {
        let segment = |(lane, filling): (RollupId, Filling<'_>)| Segment {
            rollup: lane,
            transactions: filling.transactions,
        };
        self.pool
            .lanes
            .iter()
            .map(|lane| lane.rollup)
            .zip(self.lanes)
            .filter(|(_, filling)| !filling.transactions.is_empty())
            .map(segment)
            .collect()
    }
}

/// Bytes of a block that only the rollup itself may fill.
const fn reserved(pool: &Pool, percent: usize) -> usize {
    pool.block_bytes / 100 * percent
}

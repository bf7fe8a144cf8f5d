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
//! The rollup of a bundle's first leg pays for all legs, and in the first step the other legs leave
//! their rollups' reservations alone. So bundles give nobody more than their own rollup's share.
//!
//! The block is never empty while a unit waits that it may carry: the first rollup's first unit
//! fits an empty block, for every unit does that was admitted.

use super::{
    Pool, sizes,
    slab::{Entry, Slot, Walk},
};
use baton_types::{RollupId, Segment, Transaction, TxId};
use std::collections::VecDeque;

/// Credit per visit in bytes: small against a block, large against a usual transaction.
const QUANTUM: usize = 4_096;
/// Most units of one rollup passed over in one step; bounds the search when nothing fits.
const PASSED_MAX: usize = 64;

pub(super) fn has_work(pool: &Pool, height: u64, skip: impl Fn(&TxId) -> bool) -> bool {
    pool.lanes.iter().any(|lane| {
        let mut walk = lane.queue.walk();
        std::iter::from_fn(|| walk.next(&pool.slab)).any(|(_, entry)| eligible(pool, height, &skip, entry))
    })
}

fn eligible(pool: &Pool, height: u64, skip: &impl Fn(&TxId) -> bool, entry: &Entry) -> bool {
    let latest = height.saturating_add(pool.limits.validity_blocks_max);
    // All legs of a bundle are ordered together, so the first speaks for the others.
    (height..=latest).contains(&entry.valid_until) && !skip(&entry.id)
}

pub(super) fn select(pool: &Pool, height: u64, skip: impl Fn(&TxId) -> bool) -> Vec<Segment> {
    let count = pool.lanes.len();
    if count == 0 {
        return Vec::new();
    }
    let turn = usize::try_from(height % (count as u64)).expect("below the number of rollups");
    let order: Vec<_> = (turn..count).chain(0..turn).collect();
    let mut filler = Filler::new(pool, height, skip);
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
        let lanes = pool.lanes.iter().map(|lane| Filling {
            walk: lane.queue.walk(),
            ahead: VecDeque::new(),
            transactions: Vec::new(),
            used: 0,
            held: reserved(pool, lane.reserved_percent).min(lane.segment_bytes_max),
            credit: 0,
            passed: 0,
        });
        Self { pool, height, skip, lanes: lanes.collect(), used: sizes::BLOCK_OVERHEAD }
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
        None
    }

    /// Legs of a unit as (lane, encoded bytes) per rollup, with what opening a segment costs.
    fn parts(&self, slot: Slot) -> impl Iterator<Item = (usize, usize)> {
        let mut legs = self.pool.slab.get(slot).checked.unit.legs().peekable();
        std::iter::from_fn(move || {
            let (rollup, transaction) = legs.next()?;
            let mut bytes = sizes::leg(transaction);
            while let Some((_, transaction)) = legs.next_if(|(next, _)| *next == rollup) {
                bytes += sizes::leg(transaction);
            }
            let lane = self.pool.lane(rollup);
            if self.lanes[lane].transactions.is_empty() {
                bytes += sizes::SEGMENT_OVERHEAD;
            }
            Some((lane, bytes))
        })
    }

    fn cost(&self, home: usize, slot: Slot) -> Cost {
        let mut cost = Cost { bytes: 0, fits: true };
        for (lane, bytes) in self.parts(slot) {
            let held = if lane == home { 0 } else { self.lanes[lane].held };
            cost.fits &= self.lanes[lane].used + held + bytes <= self.pool.lanes[lane].segment_bytes_max;
            cost.bytes += bytes;
        }
        cost.fits &= self.used + cost.bytes <= self.pool.limits.block_bytes_max;
        cost
    }

    fn is_bundle(&self, slot: Slot) -> bool {
        !self.pool.slab.get(slot).rank.single
    }

    /// Takes the unit that `peek` returned.
    fn take(&mut self, lane: usize, slot: Slot) {
        self.lanes[lane].ahead.pop_front();
        for (rollup, transaction) in self.pool.slab.get(slot).checked.unit.legs() {
            let filling = &mut self.lanes[self.pool.lane(rollup)];
            let mut bytes = sizes::leg(transaction);
            if filling.transactions.is_empty() {
                bytes += sizes::SEGMENT_OVERHEAD;
            }
            filling.used += bytes;
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
            } else if cost.bytes > reservation || (!cost.fits && self.is_bundle(slot)) {
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
    pool.limits.block_bytes_max / 100 * percent
}

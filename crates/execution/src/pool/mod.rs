//! The mempool's rules: who gets in, what goes into a block, who leaves.
//!
//! ```text
//!            check (no pool needed)            admit                        select
//!  Unit ───► rollup, size, hash, validity ───► duplicate, client, room ───► one queue per rollup:
//!            bundle: bound, fits one block     slab + id table              deficit round robin
//!                                                                              │
//!            finalized(ids), expire(height)  ◄──────── block ◄─────────────────┘
//! ```
//!
//! | event | effect |
//! |---|---|
//! | `admit` | the unit waits in the queue of its (first leg's) rollup, or is refused for one stated reason |
//! | `set_replicated` | its rung rises from pending to replicated |
//! | `set_journaled` | the unit is known to be on this node's journal |
//! | `select` | nothing: the choice depends only on the queues, the height and the ancestry |
//! | `finalized` | units with any of the ids leave |
//! | `expire` | units that no further block may carry leave |
//!
//! Invariants: an id belongs to at most one unit; a unit is in exactly one queue and one expiry
//! bucket; a bundle is in the pool with all of its legs or with none; the sums per pool, rollup,
//! client and member are those of the units present, and who has no units has no sum.
//!
//! **Members.** What another member sends was admitted by that member's own rules, if it is honest. If
//! it is not, it may send what it likes: so one member's units take at most 1/(f+1) of the pool, of its
//! bytes and of each rollup's part. All f together leave as much to the others. A member of whom nothing
//! waits in a rollup may have one unit there, whatever its size.
//!
//! Queues are by arrival, or by fee hint with bundles in front of it (they are exempt: moving one
//! leg by its fee would move the others). A later transaction overtakes an earlier one only where
//! one unit would hold up its whole rollup, see `select.rs`.
//!
//! **EVM rollups** (`evm.rs`) order their single transactions by sender and nonce; there a better one may
//! take the place of another, and what execution makes worthless leaves.
//!
//! Deliberately absent: eviction elsewhere. What was admitted stays until it is ordered or expires, because
//! its submitter holds a receipt for it. A full pool refuses.

mod check;
mod evm;
mod select;
pub(crate) mod sizes;
mod slab;
mod unit;

#[cfg(test)]
mod tests;

pub use check::Checked;
pub use evm::Ended;
pub use unit::Unit;

use crate::{IdMap, Rules, parallel};
use baton_types::{
    Rollup, RollupId, Segment, Transaction, TxId,
    genesis::Ordering,
    receipt::{Reason, Refusal, Rung},
};
use evm::EvmLane;
use slab::{Entry, Queue, Rank, Slab, Slot};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How much further ahead than allowed `valid_until` of a peer's transaction may lie. A peer that has
/// finalized a few blocks more than this node admits what this node cannot propose yet.
const VALIDITY_LEAD: u64 = 64;

const RETRY_BUSY_MS: u64 = 500;
const RETRY_CLIENT_MS: u64 = 1_000;

/// What one node is willing to hold, and the facts of the genesis that selection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payloads of the whole pool.
    pub bytes_max: usize,
    pub transactions_max: usize,
    pub client_transactions_max: usize,
    /// Payloads of one client.
    pub client_bytes_max: usize,
    /// How long clients' transactions may wait before more of them are refused. The pool itself does not
    /// measure time.
    pub wait_ms_max: u64,
    /// In an EVM rollup: nonces from its account's next one on that a sender may have waiting.
    pub sender_transactions_max: u64,
    /// Genesis: members that may be hostile, f; what one member may fill follows from it.
    pub faults_max: usize,
    /// Genesis: how far beyond a block's height `valid_until` may lie.
    pub validity_blocks_max: u64,
    /// Genesis: encoded segments of one block.
    pub block_bytes_max: usize,
}

/// A member's position in the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberIndex(pub usize);

/// Where a unit came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address or the name of an API token; the client's limits apply.
    Client(Arc<str>),
    /// Another member, which should have applied its own clients' limits; its share applies.
    Peer(MemberIndex),
    /// This node's journal. It was admitted before and may have a receipt, so that no limit applies:
    /// there is no more of it than was admitted and not known to be ordered when the node stopped.
    Journal,
}

/// What waits, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    pub transactions: u64,
    /// Payloads.
    pub bytes: u64,
    pub bytes_max: u64,
    /// In ascending order of id.
    pub rollups: Vec<RollupStats>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupStats {
    pub id: RollupId,
    pub transactions: u64,
    pub bytes: u64,
    pub bytes_max: u64,
}

/// Transactions that wait to be ordered.
#[derive(Debug)]
pub struct Pool {
    /// Encoded segments of the next block, at most.
    block_bytes: usize,
    limits: Limits,
    /// In ascending order of rollup id.
    lanes: Vec<Lane>,
    slab: Slab,
    ids: IdMap<Slot>,
    /// Units by `valid_until`.
    expiry: BTreeMap<u64, Vec<Slot>>,
    clients: BTreeMap<Arc<str>, Usage>,
    members: BTreeMap<MemberIndex, Usage>,
    usage: Usage,
    /// Of this node's clients together.
    own: Usage,
    /// Arrivals so far.
    sequence: u64,
    finalized_height: u64,
    /// What left without being ordered since somebody asked.
    ended: Vec<Ended>,
}

/// One rollup's part of the pool.
#[derive(Debug)]
struct Lane {
    rollup: RollupId,
    bytes_max: usize,
    segment_bytes_max: usize,
    reserved_percent: usize,
    /// Of an EVM rollup: its bundles only.
    queue: Queue,
    evm: Option<EvmLane>,
    /// Whether the next block may carry nothing of it.
    closed: bool,
    usage: Usage,
    members: BTreeMap<MemberIndex, Usage>,
}

/// Transactions, and bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub transactions: usize,
    pub bytes: usize,
}

/// Keeps the sum of one among many, who has none before its first unit and after its last.
fn charge<K: Ord>(sums: &mut BTreeMap<K, Usage>, key: K, bytes: usize) {
    sums.entry(key).or_default().add(bytes);
}

fn discharge<K: Ord>(sums: &mut BTreeMap<K, Usage>, key: &K, bytes: usize) {
    let usage = sums.get_mut(key).expect("who has waiting units has a sum");
    usage.subtract(bytes);
    if usage.transactions == 0 {
        sums.remove(key);
    }
}

impl Usage {
    const fn add(&mut self, bytes: usize) {
        self.transactions += 1;
        self.bytes += bytes;
    }

    const fn subtract(&mut self, bytes: usize) {
        self.transactions -= 1;
        self.bytes -= bytes;
    }
}

impl Lane {
    fn new(rollup: &Rollup, limits: &Limits) -> Self {
        Self {
            rollup: rollup.id(),
            bytes_max: rollup.mempool_bytes_max,
            segment_bytes_max: rollup.block_bytes_max,
            reserved_percent: usize::try_from(rollup.reserved_percent).expect("at most 100"),
            queue: match rollup.ordering {
                Ordering::Arrival => Queue::arrival(),
                Ordering::FeeHint | Ordering::PriorityFee => Queue::fee_hint(),
            },
            evm: rollup.evm.as_ref().map(|_| EvmLane::new(rollup, limits)),
            closed: false,
            usage: Usage::default(),
            members: BTreeMap::new(),
        }
    }
}

impl Pool {
    /// An empty pool. `hash_key` is a secret of this node; it never influences a result.
    pub fn new(rollups: &[Rollup], limits: Limits, hash_key: u64) -> Self {
        let mut lanes: Vec<_> = rollups.iter().map(|rollup| Lane::new(rollup, &limits)).collect();
        lanes.sort_unstable_by_key(|lane| lane.rollup);
        Self {
            block_bytes: limits.block_bytes_max,
            limits,
            lanes,
            slab: Slab::default(),
            ids: IdMap::new(hash_key),
            expiry: BTreeMap::new(),
            clients: BTreeMap::new(),
            members: BTreeMap::new(),
            usage: Usage::default(),
            own: Usage::default(),
            sequence: 0,
            finalized_height: 0,
            ended: Vec::new(),
        }
    }

    /// Checks a unit against the rules of its rollups and computes its ids, without a pool, so that
    /// many can be checked at once. `tip` is the last finalized height.
    pub fn check(rules: &Rules, unit: Unit, tip: u64) -> Result<Checked, Refusal> {
        check::check(rules, unit, tip)
    }

    /// As [`Self::check`] for many; what takes long is done on as many cores as there are.
    pub fn check_all(rules: &Rules, units: Vec<Unit>, tip: u64) -> Vec<Result<Checked, Refusal>> {
        let signed = |unit: &Unit| unit.legs().any(|(rollup, _)| rules.evm(rollup).is_some());
        if units.iter().any(signed) {
            parallel::map(&units, |unit| check::check(rules, unit.clone(), tip))
        } else {
            units.into_iter().map(|unit| check::check(rules, unit, tip)).collect()
        }
    }

    /// Takes a unit in, or says why not. `tip` is the last finalized height.
    pub fn admit(&mut self, checked: Checked, source: Source, tip: u64) -> Result<(), Refusal> {
        let tip = tip.max(self.finalized_height);
        let lead = if matches!(source, Source::Client(_)) { 0 } else { VALIDITY_LEAD };
        let latest = tip.saturating_add(self.limits.validity_blocks_max).saturating_add(lead);
        let valid_until = checked.unit.valid_until();
        check::check_validity(valid_until, tip, latest)?;
        if let Some(id) = checked.ids.iter().find(|id| self.ids.contains(id)) {
            return Err(Refusal::new(Reason::Duplicate, format!("{id} is already waiting here")));
        }
        match &source {
            Source::Client(client) => {
                self.check_client(client, &checked.unit)?;
                self.check_room(&checked.unit)?;
            }
            Source::Peer(member) => {
                self.check_room(&checked.unit)?;
                self.check_member(*member, &checked.unit)?;
            }
            Source::Journal => {}
        }
        self.admit_signed(&checked)?;
        self.insert(checked, source, valid_until);
        Ok(())
    }

    fn check_client(&self, client: &str, unit: &Unit) -> Result<(), Refusal> {
        let (transactions, bytes) = (unit.legs().count(), unit.bytes());
        let limits = &self.limits;
        if transactions > limits.client_transactions_max || bytes > limits.client_bytes_max {
            let detail = format!(
                "{transactions} transactions of {bytes} bytes; one client may have {} of {} bytes waiting here",
                limits.client_transactions_max, limits.client_bytes_max
            );
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let usage = self.clients.get(client).copied().unwrap_or_default();
        if usage.transactions + transactions > limits.client_transactions_max {
            let (waiting, max) = (usage.transactions, limits.client_transactions_max);
            let detail = format!("{waiting} transactions of yours wait already; at most {max}");
            return Err(Refusal::new(Reason::ClientLimit, detail).retry_after(RETRY_CLIENT_MS));
        }
        if usage.bytes + bytes > limits.client_bytes_max {
            let (waiting, max) = (usage.bytes, limits.client_bytes_max);
            let detail = format!("{waiting} bytes of yours wait already; at most {max}");
            return Err(Refusal::new(Reason::ClientLimit, detail).retry_after(RETRY_CLIENT_MS));
        }
        Ok(())
    }

    /// Whether a member's share has room. See the module's words on members.
    fn check_member(&self, member: MemberIndex, unit: &Unit) -> Result<(), Refusal> {
        let limits = &self.limits;
        let part = limits.transactions_max - self.sure() * self.lanes.len().saturating_sub(1);
        self.check_share(member, &self.members, unit.legs(), limits.transactions_max, limits.bytes_max)?;
        unit.legs().try_for_each(|(rollup, _)| {
            let lane = &self.lanes[self.lane(rollup)];
            let legs = unit.legs().filter(|(leg, _)| *leg == rollup);
            self.check_share(member, &lane.members, legs, part, lane.bytes_max)
        })
    }

    fn check_share<'a>(
        &self,
        member: MemberIndex,
        sums: &BTreeMap<MemberIndex, Usage>,
        legs: impl Iterator<Item = (RollupId, &'a Transaction)>,
        transactions_max: usize,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let Some(waiting) = sums.get(&member) else { return Ok(()) };
        let mut usage = *waiting;
        legs.for_each(|(_, leg)| usage.add(leg.payload.len()));
        let sharers = self.limits.faults_max + 1;
        let (transactions_max, bytes_max) = (transactions_max / sharers, bytes_max / sharers);
        if usage.transactions > transactions_max || usage.bytes > bytes_max {
            let detail = format!(
                "{} transactions of {} bytes from member {} wait; at most {transactions_max} of {bytes_max} bytes",
                waiting.transactions, waiting.bytes, member.0
            );
            return Err(Refusal::new(Reason::ClientLimit, detail).retry_after(RETRY_CLIENT_MS));
        }
        Ok(())
    }

    fn check_room(&self, unit: &Unit) -> Result<(), Refusal> {
        let busy = |detail: String| Refusal::new(Reason::Busy, detail).retry_after(RETRY_BUSY_MS);
        let (waiting, max) = (self.usage.transactions, self.limits.transactions_max);
        if self.committed(unit) > max {
            return Err(busy(format!(
                "{waiting} of at most {max} transactions wait, and the rest is kept for other rollups; try again \
                 or elsewhere"
            )));
        }
        let (waiting, max) = (self.usage.bytes, self.limits.bytes_max);
        if waiting + unit.bytes() > max {
            return Err(busy(format!("{waiting} of at most {max} bytes wait; try again or elsewhere")));
        }
        for (rollup, _) in unit.legs() {
            let lane = &self.lanes[self.lane(rollup)];
            let legs = unit.legs().filter(|(leg, _)| *leg == rollup);
            let bytes: usize = legs.map(|(_, transaction)| transaction.payload.len()).sum();
            let (waiting, max) = (lane.usage.bytes, lane.bytes_max);
            // There the worst makes room.
            let displaces = lane.evm.is_some() && matches!(unit, Unit::Single { .. });
            if waiting + bytes > max && !displaces {
                let detail =
                    format!("{waiting} of at most {max} bytes of rollup {rollup} wait; try again later");
                return Err(busy(detail));
            }
        }
        Ok(())
    }

    /// Transactions that would be in use or kept for a rollup with `unit` in the pool. Every rollup is sure
    /// of an equal part; more than that it gets only of what nobody is sure of, so that a busy
    /// one cannot shut the others out.
    fn committed(&self, unit: &Unit) -> usize {
        let sure = self.sure();
        self.lanes
            .iter()
            .map(|lane| {
                let legs = unit.legs().filter(|(rollup, _)| *rollup == lane.rollup).count();
                (lane.usage.transactions + legs).max(sure)
            })
            .sum()
    }

    /// Transactions that every rollup has room for, whatever the others do.
    fn sure(&self) -> usize {
        self.limits.transactions_max / self.lanes.len().max(1)
    }

    fn lane(&self, rollup: RollupId) -> usize {
        self.lanes
            .binary_search_by_key(&rollup, |lane| lane.rollup)
            .expect("units are checked against the genesis whose rollups the pool has")
    }

    fn insert(&mut self, checked: Checked, source: Source, valid_until: u64) {
        for (rollup, transaction) in checked.unit.legs() {
            let lane = self.lane(rollup);
            let bytes = transaction.payload.len();
            self.lanes[lane].usage.add(bytes);
            self.usage.add(bytes);
            match &source {
                Source::Client(client) => {
                    self.own.add(bytes);
                    charge(&mut self.clients, client.clone(), bytes);
                }
                Source::Peer(member) => {
                    charge(&mut self.members, *member, bytes);
                    charge(&mut self.lanes[lane].members, *member, bytes);
                }
                Source::Journal => {}
            }
        }
        let (single, fee_hint) = match *checked.unit {
            Unit::Single { fee_hint, .. } => (true, fee_hint),
            Unit::Bundle(_) => (false, 0),
        };
        let (home, _) = checked.unit.legs().next().expect("checked units have legs");
        let lane = self.lane(home);
        let rank = Rank { single, fee_hint: Reverse(fee_hint), sequence: self.sequence };
        self.sequence += 1;
        let bucket = self.expiry.entry(valid_until).or_default();
        let slot = self.slab.insert(Entry {
            id: checked.ids[0],
            checked,
            valid_until,
            lane,
            rank,
            expiry_index: bucket.len(),
            journaled: source == Source::Journal,
            source,
            replicated: false,
            previous: Slot::MAX,
            next: Slot::MAX,
        });
        bucket.push(slot);
        for id in self.slab.get(slot).checked.ids.iter() {
            self.ids.insert(*id, slot);
        }
        if !self.by_nonce(lane, single) {
            self.lanes[lane].queue.push(&mut self.slab, slot);
        }
    }

    pub fn contains(&self, id: &TxId) -> bool {
        self.ids.contains(id)
    }

    /// The unit that `id` is a leg of.
    pub fn get(&self, id: &TxId) -> Option<&Checked> {
        self.ids.get(id).map(|slot| &self.slab.get(*slot).checked)
    }

    /// Pending or replicated; none for what does not wait here.
    pub fn rung(&self, id: &TxId) -> Option<Rung> {
        let slot = self.ids.get(id)?;
        Some(if self.slab.get(*slot).replicated { Rung::Replicated } else { Rung::Pending })
    }

    /// Ids that do not wait here are ignored.
    pub fn set_replicated(&mut self, ids: &[TxId]) {
        for id in ids {
            if let Some(slot) = self.ids.get(id) {
                self.slab.get_mut(*slot).replicated = true;
            }
        }
    }

    /// Ids that do not wait here are ignored.
    pub fn set_journaled<'a>(&mut self, ids: impl Iterator<Item = &'a TxId>) {
        for id in ids {
            if let Some(slot) = self.ids.get(id) {
                self.slab.get_mut(*slot).journaled = true;
            }
        }
    }

    /// Whether `id` waits here and is on this node's journal.
    pub fn journaled(&self, id: &TxId) -> bool {
        self.ids.get(id).is_some_and(|slot| self.slab.get(*slot).journaled)
    }

    /// What to put in a block at `height`, in ascending order of rollup; `skip` tells ids that its
    /// ancestry has already. The encoding keeps the block's and every rollup's limit.
    pub fn select(&self, height: u64, skip: impl Fn(&TxId) -> bool) -> Vec<Segment> {
        self.select_behind(height, Vec::new(), skip)
    }

    /// Of these rollups the next block carries nothing; of the others it may.
    pub fn set_closed(&mut self, rollups: &BTreeSet<RollupId>) {
        for lane in &mut self.lanes {
            lane.closed = rollups.contains(&lane.rollup);
        }
    }

    /// The next block is filled up to so many bytes, if that is less than the genesis allows. A unit that
    /// is larger goes alone.
    pub fn set_block_bytes(&mut self, bytes: usize) {
        self.block_bytes = bytes.min(self.limits.block_bytes_max);
    }

    /// As [`Self::select`], behind transactions that have to come first; `skip` knows these.
    pub fn select_behind(
        &self,
        height: u64,
        first: Vec<Segment>,
        skip: impl Fn(&TxId) -> bool,
    ) -> Vec<Segment> {
        select::select(self, height, first, skip)
    }

    /// Whether [`Self::select`] would return anything.
    pub fn has_work(&self, height: u64, skip: impl Fn(&TxId) -> bool) -> bool {
        select::has_work(self, height, skip)
    }

    /// Removes the units of a finalized block. Ids that do not wait here are ignored.
    pub fn finalized<'a>(&mut self, height: u64, ids: impl Iterator<Item = &'a TxId>) {
        self.finalized_height = self.finalized_height.max(height);
        for id in ids {
            if let Some(slot) = self.ids.remove(id) {
                self.remove(slot);
            }
        }
    }

    /// Removes the units that no block above `height` may carry, and returns their ids.
    pub fn expire(&mut self, height: u64) -> Vec<TxId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.expiry.first_entry() {
            if *bucket.key() > height {
                break;
            }
            let Some(&slot) = bucket.get().last() else {
                bucket.remove();
                continue;
            };
            let removed = self.remove(slot);
            self.forget_signed(&removed);
            expired.extend_from_slice(&removed.ids);
        }
        expired
    }

    fn remove(&mut self, slot: Slot) -> Checked {
        let entry = self.slab.remove(slot);
        if !self.by_nonce(entry.lane, entry.rank.single) {
            self.lanes[entry.lane].queue.unlink(&mut self.slab, &entry);
        }
        self.leave_bucket(&entry);
        for id in entry.checked.ids.iter() {
            self.ids.remove(id);
        }
        for (rollup, transaction) in entry.checked.unit.legs() {
            let bytes = transaction.payload.len();
            let lane = self.lane(rollup);
            self.lanes[lane].usage.subtract(bytes);
            self.usage.subtract(bytes);
            match &entry.source {
                Source::Client(client) => {
                    self.own.subtract(bytes);
                    discharge(&mut self.clients, client, bytes);
                }
                Source::Peer(member) => {
                    discharge(&mut self.members, member, bytes);
                    discharge(&mut self.lanes[lane].members, member, bytes);
                }
                Source::Journal => {}
            }
        }
        entry.checked
    }

    fn leave_bucket(&mut self, entry: &Entry) {
        let bucket = self.expiry.get_mut(&entry.valid_until).expect("every unit is in its bucket");
        bucket.swap_remove(entry.expiry_index);
        match bucket.get(entry.expiry_index) {
            Some(&moved) => self.slab.get_mut(moved).expiry_index = entry.expiry_index,
            None if bucket.is_empty() => {
                self.expiry.remove(&entry.valid_until);
            }
            None => {}
        }
    }

    /// What waits.
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// What of it came from this node's clients since it started.
    pub const fn own(&self) -> Usage {
        self.own
    }

    pub fn stats(&self) -> PoolStats {
        PoolStats {
            transactions: self.usage.transactions as u64,
            bytes: self.usage.bytes as u64,
            bytes_max: self.limits.bytes_max as u64,
            rollups: self
                .lanes
                .iter()
                .map(|lane| RollupStats {
                    id: lane.rollup,
                    transactions: lane.usage.transactions as u64,
                    bytes: lane.usage.bytes as u64,
                    bytes_max: lane.bytes_max as u64,
                })
                .collect(),
        }
    }
}

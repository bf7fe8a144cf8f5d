//! Where admitted units live, and the queue that strings together those of one rollup.

use super::{Checked, Source};
use baton_types::TxId;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map},
};

/// A place in the [`Slab`]; reused once its unit has left.
pub(super) type Slot = usize;

/// In place of a neighbour at either end of a list.
const NONE: Slot = Slot::MAX;

#[derive(Debug)]
pub(super) struct Entry {
    pub checked: Checked,
    /// First of the ids, kept here to spare `select` two jumps in memory.
    pub id: TxId,
    pub valid_until: u64,
    /// Index of the rollup whose queue it waits in.
    pub lane: usize,
    pub rank: Rank,
    /// Index in its bucket of units that expire together.
    pub expiry_index: usize,
    pub source: Source,
    pub replicated: bool,
    /// On this node's journal.
    pub journaled: bool,
    pub previous: Slot,
    pub next: Slot,
}

/// Place in a queue ordered by fee hint: bundles, then the highest hint, then the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub single: bool,
    pub fee_hint: Reverse<u64>,
    pub sequence: u64,
}

#[derive(Debug, Default)]
pub(super) struct Slab {
    entries: Vec<Option<Entry>>,
    free: Vec<Slot>,
}

impl Slab {
    pub fn get(&self, slot: Slot) -> &Entry {
        self.entries[slot].as_ref().expect("tables name occupied slots only")
    }

    pub fn get_mut(&mut self, slot: Slot) -> &mut Entry {
        self.entries[slot].as_mut().expect("tables name occupied slots only")
    }

    pub fn insert(&mut self, entry: Entry) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.entries[slot] = Some(entry);
            return slot;
        }
        self.entries.push(Some(entry));
        self.entries.len() - 1
    }

    pub fn remove(&mut self, slot: Slot) -> Entry {
        let entry = self.entries[slot].take().expect("tables name occupied slots only");
        self.free.push(slot);
        entry
    }
}

/// Units of one rollup in the order in which its proposer takes them.
#[derive(Debug)]
pub(super) enum Queue {
    /// A linked list through the slab: leaving the middle of a long queue costs as little as leaving its front.
    Arrival {
        first: Slot,
        last: Slot,
    },
    FeeHint(BTreeMap<Rank, Slot>),
}

impl Queue {
    pub const fn arrival() -> Self {
        Self::Arrival { first: NONE, last: NONE }
    }

    pub const fn fee_hint() -> Self {
        Self::FeeHint(BTreeMap::new())
    }

    pub fn push(&mut self, slab: &mut Slab, slot: Slot) {
        match self {
            Self::FeeHint(queue) => {
                queue.insert(slab.get(slot).rank, slot);
            }
            Self::Arrival { first, last } => {
                let entry = slab.get_mut(slot);
                (entry.previous, entry.next) = (*last, NONE);
                if *last == NONE {
                    *first = slot;
                } else {
                    slab.get_mut(*last).next = slot;
                }
                *last = slot;
            }
        }
    }

    /// Takes out an entry that has just left the slab.
    pub fn unlink(&mut self, slab: &mut Slab, entry: &Entry) {
        match self {
            Self::FeeHint(queue) => {
                queue.remove(&entry.rank);
            }
            Self::Arrival { first, last } => {
                match entry.previous {
                    NONE => *first = entry.next,
                    previous => slab.get_mut(previous).next = entry.next,
                }
                match entry.next {
                    NONE => *last = entry.previous,
                    next => slab.get_mut(next).previous = entry.previous,
                }
            }
        }
    }

    pub fn walk(&self) -> Walk<'_> {
        match self {
            Self::Arrival { first, .. } => Walk::Arrival(*first),
            Self::FeeHint(queue) => Walk::FeeHint(queue.values()),
        }
    }
}

/// From the front of a queue to its end.
pub(super) enum Walk<'a> {
    Arrival(Slot),
    FeeHint(btree_map::Values<'a, Rank, Slot>),
}

impl Walk<'_> {
    pub fn next<'a>(&mut self, slab: &'a Slab) -> Option<(Slot, &'a Entry)> {
        match self {
            Self::Arrival(NONE) => None,
            Self::Arrival(next) => {
                let slot = *next;
                let entry = slab.get(slot);
                *next = entry.next;
                Some((slot, entry))
            }
            Self::FeeHint(slots) => slots.next().map(|&slot| (slot, slab.get(slot))),
        }
    }
}

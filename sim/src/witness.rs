//! What one node said had happened, and whether it may have said so.

use crate::trace::{Entry, Trace};
use baton_consensus::client::Event;
use baton_types::{Block, Digest, TxId, receipt::Rung};
use commonware_cryptography::{Digested, Digestible as _};
use std::collections::{BTreeMap, btree_map::Entry as Slot};

/// Everything a node reported since it last started, and what earlier lives of it finalized.
#[derive(Default)]
pub struct Witness {
    rungs: BTreeMap<Digest, Rung>,
    /// Finalized blocks by height, over all lives of the node.
    pub chain: BTreeMap<u64, Digest>,
    /// Blocks that the group agreed on, by the epoch and view they were proposed in.
    pub notarized: BTreeMap<(u64, u64), Digest>,
    /// Height of every finalized transaction.
    pub ordered: BTreeMap<TxId, u64>,
    pub expired: BTreeMap<TxId, u64>,
    last_finalized: Option<u64>,
    last_timestamp_ms: u64,
    pub blocks_with_transactions: u64,
}

impl Witness {
    /// A node was started again: its events begin anew.
    pub fn restart(&mut self) {
        self.rungs.clear();
        self.last_finalized = None;
        self.last_timestamp_ms = 0;
    }

    /// As `take`, and for the record.
    pub fn hear(&mut self, member: usize, event: &Event, trace: &Trace) -> Result<(), String> {
        if let Event::Block { rung: Rung::Finalized, block, .. } = event {
            let header = block.inner().header();
            trace.record(Entry::Final {
                member,
                height: header.height,
                epoch: header.epoch,
                view: header.view,
                transactions: block.inner().transactions(),
            });
        }
        self.take(event)
    }

    /// Takes an event; `Err` when the node's own account contradicts itself.
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Block { rung, block, .. } => self.block(*rung, block),
            Event::Ended { ids, .. } => {
                let height = self.last_finalized.unwrap_or(0);
                self.expired.extend(ids.iter().map(|id| (*id, height)));
                match ids.iter().find(|id| self.ordered.contains_key(*id)) {
                    Some(id) => Err(format!("transaction {id} expired at {height} though it was ordered")),
                    None => Ok(()),
                }
            }
            Event::Executed { .. } | Event::Batches { .. } => Ok(()),
        }
    }

    fn block(&mut self, rung: Rung, block: &Digested<Block>) -> Result<(), String> {
        let digest = block.digest();
        let header = block.inner().header();
        let height = header.height;
        let before = self.rungs.insert(digest, rung);
        if before.is_some_and(|before| before >= rung) {
            return Err(format!("block {height} went from {before:?} to {rung:?}"));
        }
        if rung == Rung::Notarized || rung == Rung::Finalized {
            let view = (header.epoch, header.view);
            if *self.notarized.entry(view).or_insert(digest) != digest {
                return Err(format!("two blocks of view {}/{} are {rung}", view.0, view.1));
            }
        }
        if rung == Rung::Finalized { self.finalized(block) } else { Ok(()) }
    }

    /// Takes a block that became final before anybody listened.
    pub fn missed(&mut self, block: &Digested<Block>) -> Result<(), String> {
        let (last, timestamp_ms) = (self.last_finalized.take(), std::mem::take(&mut self.last_timestamp_ms));
        let taken = self.finalized(block);
        (self.last_finalized, self.last_timestamp_ms) = (last, timestamp_ms);
        taken
    }

    fn finalized(&mut self, block: &Digested<Block>) -> Result<(), String> {
        let header = block.inner().header();
        let height = header.height;
        if self.last_finalized.is_some_and(|last| height != last + 1) {
            return Err(format!("finalized {height} after {:?}", self.last_finalized));
        }
        self.last_finalized = Some(height);
        if header.timestamp_ms < self.last_timestamp_ms {
            return Err(format!("time goes back at height {height}"));
        }
        self.last_timestamp_ms = header.timestamp_ms;
        let parent = self.chain.get(&(height - 1));
        if parent.is_some_and(|parent| *parent != header.parent) {
            return Err(format!("block {height} does not follow the one finalized before it"));
        }
        match self.chain.entry(height) {
            Slot::Occupied(known) if *known.get() != block.digest() => {
                return Err(format!("finalized two blocks at height {height}"));
            }
            Slot::Occupied(_) => {}
            Slot::Vacant(free) => {
                free.insert(block.digest());
            }
        }
        self.blocks_with_transactions += u64::from(block.inner().transactions() > 0);
        for id in block.inner().ids() {
            if let Some(first) = self.ordered.insert(*id, height)
                && first != height
            {
                return Err(format!("transaction {id} ordered at {first} and again at {height}"));
            }
        }
        let segments = &block.inner().body().segments;
        if segments.iter().flat_map(|segment| &segment.transactions).any(|tx| tx.valid_until < height) {
            return Err(format!("block {height} orders a transaction that was no longer valid"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

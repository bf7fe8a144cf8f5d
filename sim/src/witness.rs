//! What one node said had happened, and whether it may have said so.

use baton_consensus::client::Event;
use baton_types::{Digest, TxId, receipt::Rung};
use commonware_cryptography::Digestible as _;
use std::collections::BTreeMap;

/// Everything a node reported since it last started, and what earlier lives of it finalized.
#[derive(Default)]
pub struct Witness {
    rungs: BTreeMap<Digest, Rung>,
    /// Finalized blocks by height, over all lives of the node.
    pub chain: BTreeMap<u64, Digest>,
    /// Height of every finalized transaction.
    pub ordered: BTreeMap<TxId, u64>,
    pub expired: BTreeMap<TxId, u64>,
    last_finalized: Option<u64>,
    pub blocks_with_transactions: u64,
}

impl Witness {
    /// A node was started again: its events begin anew.
    pub fn restart(&mut self) {
        self.rungs.clear();
        self.last_finalized = None;
    }

    /// Takes an event; `Err` when the node's own account contradicts itself.
    pub fn hear(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Block { rung, block, .. } => {
                let digest = block.digest();
                let height = block.inner().header().height;
                let before = self.rungs.insert(digest, *rung);
                if before.is_some_and(|before| before >= *rung) {
                    return Err(format!("block {height} went from {before:?} to {rung:?}"));
                }
                if *rung != Rung::Finalized {
                    return Ok(());
                }
                if self.last_finalized.is_some_and(|last| height != last + 1) {
                    return Err(format!("finalized {height} after {:?}", self.last_finalized));
                }
                self.last_finalized = Some(height);
                if let Some(other) = self.chain.insert(height, digest)
                    && other != digest
                {
                    return Err(format!("finalized two blocks at height {height}"));
                }
                self.blocks_with_transactions += u64::from(block.inner().transactions() > 0);
                for id in block.inner().ids() {
                    if let Some(first) = self.ordered.insert(*id, height)
                        && first != height
                    {
                        return Err(format!("transaction {id} ordered at {first} and again at {height}"));
                    }
                }
            }
            Event::Ended { ids, .. } => {
                let height = self.last_finalized.unwrap_or(0);
                self.expired.extend(ids.iter().map(|id| (*id, height)));
            }
        }
        Ok(())
    }
}

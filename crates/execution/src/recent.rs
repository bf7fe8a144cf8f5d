//! Which ids a block's ancestry has already, so that none is ordered twice.
//!
//! ```text
//!     finalized: height of every id                        unfinalized: ids of each block
//! ─────────┬──────────────────────────────────────┬─────────── block ◄── block ◄── parent P
//!       forgotten                          finalized tip      └─────── block (another branch)
//!                └─── validity_blocks_max ───┘
//! ```
//!
//! | event | effect |
//! |---|---|
//! | a block is seen | `insert` |
//! | a block is built on P, or checked | `connected(P)`, then `contains(P, id)` for each id |
//! | a block is finalized | `finalize`: its ids move to the finalized ones, its rivals are forgotten |
//!
//! An id is in the ancestry of P if a block on the path from P down to the finalized tip has it, or
//! a finalized block not above P.
//!
//! Forgetting is safe: a block at height h may carry only what is valid at most until
//! h + validity_blocks_max, so what was ordered more than that many blocks ago has expired.
//!
//! A node that joined later knows the ids from a height F on only. Until V = `validity_blocks_max` blocks
//! after F there may be ids below F that are still valid, so it cannot tell what repeats one: it
//! judges blocks above F + V, and answers as if the path were broken for all others.
//!
//! The path is a chain of parents, so it meets the finalized chain as long as consensus is safe; that
//! no two finalized blocks conflict is not checked again here.

use crate::ids::{Fingerprint, Fingerprinter, Fingerprints};
use baton_types::{Block, Digest, TxId};
use std::collections::{BTreeMap, VecDeque};

/// Ids of the last finalized blocks, and of those after them.
#[derive(Debug)]
pub struct Recent {
    validity_blocks_max: u64,
    fingerprinter: Fingerprinter,
    finalized_height: u64,
    /// The lowest height whose ids are known; 0 where all are.
    known_from: u64,
    /// Low halves of heights: the window is far shorter than 2^32 blocks.
    finalized: Fingerprints<u32>,
    /// The finalized ids by height, ascending.
    buckets: VecDeque<(u64, Vec<Fingerprint>)>,
    unfinalized: BTreeMap<Digest, Overlay>,
}

/// What one unfinalized block adds to its ancestry.
#[derive(Debug)]
struct Overlay {
    parent: Digest,
    height: u64,
    ids: Fingerprints<()>,
}

impl Recent {
    /// Most unfinalized blocks. A handful is usual; hundreds mean that the cluster finalizes nothing.
    pub const BLOCKS_MAX: usize = 1_024;

    /// `hash_key` is a secret of this node; it never influences a result.
    pub fn new(validity_blocks_max: u64, hash_key: u64) -> Self {
        Self {
            validity_blocks_max,
            fingerprinter: Fingerprinter::new(hash_key),
            finalized_height: 0,
            known_from: 0,
            finalized: Fingerprints::with_capacity(0),
            buckets: VecDeque::new(),
            unfinalized: BTreeMap::new(),
        }
    }

    /// Forgets everything finalized: the next block to be finalized is the one at `height`, and nothing is
    /// known of those before it.
    pub fn start_at(&mut self, height: u64) {
        self.known_from = height;
        self.finalized_height = height.saturating_sub(1);
        self.finalized = Fingerprints::with_capacity(0);
        self.buckets.clear();
        self.unfinalized.retain(|_, overlay| overlay.height >= height);
    }

    /// The lowest height at which blocks can be judged.
    pub const fn judges_from(&self) -> u64 {
        if self.known_from <= 1 { 1 } else { self.known_from + self.validity_blocks_max + 1 }
    }

    /// Remembers the ids of the finalized block at `height`, and forgets those too old to matter and
    /// the unfinalized blocks up to this height. Heights ascend; one not above the last is ignored.
    pub fn finalize<'a>(&mut self, height: u64, ids: impl Iterator<Item = &'a TxId>) {
        if height <= self.finalized_height {
            return;
        }
        self.finalized_height = height;
        self.unfinalized.retain(|_, overlay| overlay.height > height);
        let ids: Vec<_> = ids.map(|id| self.fingerprinter.of(id)).collect();
        for id in &ids {
            self.finalized.insert(*id, low_half(height));
        }
        if !ids.is_empty() {
            self.buckets.push_back((height, ids));
        }
        self.prune();
    }

    fn prune(&mut self) {
        // The next block has the finalized height plus one.
        let floor = (self.finalized_height + 1).saturating_sub(self.validity_blocks_max);
        while self.buckets.front().is_some_and(|(height, _)| *height < floor) {
            let Some((height, ids)) = self.buckets.pop_front() else { break };
            for id in ids {
                // An id ordered a second time, after it had been forgotten, has a later height.
                if self.finalized.get(&id) == Some(low_half(height)) {
                    self.finalized.remove(&id);
                }
            }
        }
    }

    pub const fn finalized_height(&self) -> u64 {
        self.finalized_height
    }

    /// Where the id was finalized, if that is not too long ago.
    pub fn height_of(&self, id: &TxId) -> Option<u64> {
        self.height(&self.fingerprinter.of(id))
    }

    fn height(&self, id: &Fingerprint) -> Option<u64> {
        let blocks_ago = low_half(self.finalized_height).wrapping_sub(self.finalized.get(id)?);
        Some(self.finalized_height - u64::from(blocks_ago))
    }

    /// Remembers a block above the finalized tip. Refuses when there are [`Self::BLOCKS_MAX`]:
    /// [`Self::remove`] the least useful first. Returns whether the block is remembered.
    pub fn insert(&mut self, digest: Digest, block: &Block) -> bool {
        if self.unfinalized.contains_key(&digest) {
            return true;
        }
        let header = block.header();
        if header.height <= self.finalized_height || self.unfinalized.len() >= Self::BLOCKS_MAX {
            return false;
        }
        let mut ids = Fingerprints::with_capacity(block.transactions());
        for id in block.ids() {
            ids.insert(self.fingerprinter.of(id), ());
        }
        self.unfinalized.insert(digest, Overlay { parent: header.parent, height: header.height, ids });
        true
    }

    /// Forgets an unfinalized block; what descends from it is no longer connected.
    pub fn remove(&mut self, digest: &Digest) {
        self.unfinalized.remove(digest);
    }

    /// Whether all blocks from `block` down to the finalized tip are known. Finalized blocks always are.
    pub fn connected(&self, block: &Digest, height: u64) -> bool {
        self.path(block, height).all(|overlay| overlay.is_some())
    }

    /// Whether `id` is in the block `parent` or before it. Where the path from `parent` is broken
    /// nobody can tell, and the answer is yes: better to leave an id out than to order it twice.
    pub fn contains(&self, parent: &Digest, parent_height: u64, id: &TxId) -> bool {
        self.ancestry(parent, parent_height).is_none_or(|ancestry| ancestry.contains(id))
    }

    /// The ids that a block on `parent` must not repeat, with the path walked once for many questions;
    /// none where the path is broken, or where ids are still valid that this node never saw.
    pub fn ancestry(&self, parent: &Digest, parent_height: u64) -> Option<Ancestry<'_>> {
        if parent_height + 1 < self.judges_from() {
            return None;
        }
        let path = self.path(parent, parent_height).collect::<Option<_>>()?;
        Some(Ancestry { path, recent: self, parent_height })
    }

    /// The unfinalized blocks from `block` downwards; ends after the first that is not known.
    fn path(&self, block: &Digest, height: u64) -> impl Iterator<Item = Option<&Overlay>> {
        let mut next = Some((*block, height));
        std::iter::from_fn(move || {
            let (digest, height) = next.take().filter(|(_, height)| *height > self.finalized_height)?;
            let overlay = self.unfinalized.get(&digest).filter(|overlay| overlay.height == height);
            next = overlay.map(|overlay| (overlay.parent, height - 1));
            Some(overlay)
        })
    }
}

/// See [`Recent::ancestry`].
#[derive(Debug)]
pub struct Ancestry<'a> {
    path: Vec<&'a Overlay>,
    recent: &'a Recent,
    parent_height: u64,
}

impl Ancestry<'_> {
    pub fn contains(&self, id: &TxId) -> bool {
        let id = self.recent.fingerprinter.of(id);
        self.path.iter().any(|overlay| overlay.ids.get(&id).is_some())
            || self.recent.height(&id).is_some_and(|height| height <= self.parent_height)
    }

    /// Whether the last `validity_blocks_max` blocks before the next one have `id`. All nodes agree, also on ids
    /// that do not expire: none has forgotten one of these, and some remember older ones.
    pub fn has_lately(&self, id: &TxId) -> bool {
        let floor = (self.parent_height + 1).saturating_sub(self.recent.validity_blocks_max);
        let id = self.recent.fingerprinter.of(id);
        let lately = floor..=self.parent_height;
        self.path.iter().any(|overlay| overlay.height >= floor && overlay.ids.get(&id).is_some())
            || self.recent.height(&id).is_some_and(|height| lately.contains(&height))
    }
}

fn low_half(height: u64) -> u32 {
    u32::try_from(height & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests;

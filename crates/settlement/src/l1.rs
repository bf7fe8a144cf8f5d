//! What a node sees of L1, as consensus uses it: plain values, without a client of L1.
//!
//! A [`Snapshot`] is all of one moment. The watcher of `baton-l1` makes them; simulations make their own.

use crate::Place;
use baton_types::{Digest, RollupId, merkle::EMPTY};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// A block of L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Origin {
    pub number: u64,
    pub hash: Digest,
}

impl L1Origin {
    /// Of blocks before the cluster looked at L1.
    pub const NONE: Self = Self { number: 0, hash: EMPTY };
}

/// Where a block of L1 stands for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On this node's chain, as deep as the genesis wants.
    Eligible,
    /// On this node's chain, not deep enough yet.
    Shallow,
    /// Above everything this node has seen.
    Unseen,
    /// This node has another block there.
    Other,
    /// Below what this node keeps.
    Forgotten,
}

/// A transaction that the cluster has to take, from the rollup's queue on L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedEntry {
    pub index: u64,
    /// Block of L1 that has it.
    pub l1_number: u64,
    pub sender: [u8; 20],
    /// Seconds, in the time of L1.
    pub deadline: u64,
    pub gas: u64,
    pub data: Bytes,
    /// Of the queue's hash chain up to and including it.
    pub hash: Digest,
}

/// A rollup's inbox after one block of L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxState {
    pub next_index: u64,
    pub head: Digest,
    pub next_height: u64,
    pub forced_cursor: u64,
}

impl InboxState {
    /// Before the first batch.
    pub const fn start(first_height: u64) -> Self {
        Self { next_index: 0, head: EMPTY, next_height: first_height, forced_cursor: 0 }
    }

    /// Where the next batch goes.
    pub const fn place(&self) -> Place {
        Place { index: self.next_index, previous_head: self.head }
    }
}

/// Where L1 has a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub index: u64,
    pub l1_number: u64,
    pub transaction: Digest,
}

/// What L1 has of one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupView {
    /// After the newest block: posted.
    pub latest: InboxState,
    /// After the newest finalized block: settled.
    pub finalized: InboxState,
    /// Entries that blocks may still take, each the next of the one before: from the finalized cursor on, or from before it
    /// where the hatch has taken some.
    pub forced: Arc<Vec<ForcedEntry>>,
    /// Of the newest batches, ascending by index.
    pub postings: Arc<Vec<Posting>>,
}

/// L1 in one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Hash and time in seconds of the newest blocks by number, without a gap.
    pub blocks: Arc<BTreeMap<u64, (Digest, u64)>>,
    pub safe: u64,
    pub finalized: u64,
    /// The newest block that is as deep as the genesis wants.
    pub eligible: Option<L1Origin>,
    /// The newest block that has been eligible long enough for slower nodes to see it too.
    pub proposable: Option<L1Origin>,
    pub rollups: BTreeMap<RollupId, RollupView>,
}

/// Where consensus takes its snapshots from.
pub trait L1View: Send + Sync {
    /// The newest one; an empty one before L1 was reached.
    fn snapshot(&self) -> Arc<Snapshot>;
}

impl Snapshot {
    pub fn standing(&self, origin: &L1Origin) -> Standing {
        let (Some((oldest, _)), Some((newest, _))) =
            (self.blocks.first_key_value(), self.blocks.last_key_value())
        else {
            return Standing::Unseen;
        };
        if origin.number < *oldest {
            return Standing::Forgotten;
        }
        if origin.number > *newest {
            return Standing::Unseen;
        }
        if self.blocks.get(&origin.number).is_none_or(|(hash, _)| *hash != origin.hash) {
            return Standing::Other;
        }
        match &self.eligible {
            Some(eligible) if origin.number <= eligible.number => Standing::Eligible,
            _ => Standing::Shallow,
        }
    }

    /// At most `max` entries from `cursor` on that L1 had at `origin`, which stands on this node's chain.
    /// None when this node does not know them: the cursor is older than what it keeps, or another rollup's.
    pub fn forced(
        &self,
        rollup: RollupId,
        cursor: u64,
        origin: &L1Origin,
        max: usize,
    ) -> Option<&[ForcedEntry]> {
        let entries = &self.rollups.get(&rollup)?.forced;
        let first = entries.first().map_or(cursor, |entry| entry.index);
        let from = usize::try_from(cursor.checked_sub(first)?).ok()?;
        let rest = entries.get(from..)?;
        let seen = rest.iter().take(max).take_while(|entry| entry.l1_number <= origin.number).count();
        rest.get(..seen)
    }
}

#[cfg(test)]
mod tests;

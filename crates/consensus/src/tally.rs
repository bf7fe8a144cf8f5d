//! What finalized blocks say of each member, counted.
//!
//! Two windows: the current epoch, and since this node started. A window has every finalized block from
//! its first height on, so two nodes whose windows begin at the same height have the same counts. That of
//! the epoch is counted again when a node starts, from the blocks that it has; that since the start begins
//! at zero.
//!
//! | count | a finalized block adds to |
//! |---|---|
//! | authored | its author |
//! | designated | its author, where another member committed |
//! | reveals, single proofs | its committer, by the kind of its evidence (zk-lottery) |
//! | turns missed | the committer of each view between it and its parent (zk-lottery) |
//! | segments benched | members benched in its segment, once per segment (zk-lottery) |
//! | suspensions | members suspended in its epoch, once per epoch (zk-lottery) |
//!
//! Deliberately absent: turns missed under other elections. Headers do not tell who led a view that passed.

use crate::lottery::REVEAL;
use baton_types::{
    Block, Header, PublicKey,
    lottery::{Indices, Rules},
};

/// Of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub authored: u64,
    pub designated: u64,
    pub reveals: u64,
    pub single_proofs: u64,
    pub turns_missed: u64,
    pub segments_benched: u64,
    pub suspensions: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Height of the first block counted; none as long as there is none.
    pub from_height: Option<u64>,
    /// By member.
    pub counts: Vec<Counts>,
    /// The last segment and the last epoch whose members left out are counted.
    segment: Option<u64>,
    epoch: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub epoch: Window,
    pub since_start: Window,
    /// Of the last finalized block.
    pub benched: Indices,
    pub suspended: Indices,
}

impl Tally {
    /// A block that became final while this node runs.
    pub fn finalized(&mut self, rules: &Rules, block: &Block) {
        self.since_start.note(rules, block);
        self.restored(rules, block);
    }

    /// A block that was final before this node started.
    pub fn restored(&mut self, rules: &Rules, block: &Block) {
        if self.epoch.epoch != Some(block.header().epoch) {
            self.epoch = Window::default();
        }
        self.epoch.note(rules, block);
        if let Some(part) = &block.body().lottery {
            (self.benched, self.suspended) = (part.state.bench, part.state.suspended);
        }
    }

    /// This node has joined the chain at another block than the next.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

impl Window {
    fn note(&mut self, rules: &Rules, block: &Block) {
        let header = block.header();
        self.from_height.get_or_insert(header.height);
        self.counts.resize(rules.members.len(), Counts::default());
        self.note_author(rules, header);
        if let Some(part) = &block.body().lottery {
            let committer = rules.members.position(&header.committer);
            if let Some(counts) = committer.and_then(|committer| self.counts.get_mut(committer)) {
                match part.evidence.first() {
                    Some(&REVEAL) => counts.reveals += 1,
                    _ => counts.single_proofs += 1,
                }
            }
            let missed = part.state.rotation().turns(header.epoch, header.parent_view + 1, header.view);
            for (member, turns) in missed {
                if let Some(counts) = self.counts.get_mut(member) {
                    counts.turns_missed += turns;
                }
            }
            let segment = header.height / rules.segment_blocks();
            // After a segment's last block the state has the next one's bench.
            let last = (header.height + 1).is_multiple_of(rules.segment_blocks());
            if !last && self.segment.replace(segment) != Some(segment) {
                self.add(part.state.bench, |counts| counts.segments_benched += 1);
            }
            if self.epoch != Some(header.epoch) {
                self.add(part.state.suspended, |counts| counts.suspensions += 1);
            }
        }
        self.epoch = Some(header.epoch);
    }

    fn note_author(&mut self, rules: &Rules, header: &Header) {
        let index = |member: &PublicKey| rules.members.position(member);
        if let Some(counts) = index(&header.author).and_then(|author| self.counts.get_mut(author)) {
            counts.authored += 1;
            counts.designated += u64::from(header.author != header.committer);
        }
    }

    fn add(&mut self, members: Indices, count: impl Fn(&mut Counts)) {
        for member in members.iter() {
            if let Some(counts) = self.counts.get_mut(member) {
                count(counts);
            }
        }
    }
}

#[cfg(test)]
mod tests;

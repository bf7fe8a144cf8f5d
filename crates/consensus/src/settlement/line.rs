//! The batches of one rollup, one behind the other. Synchronous: blocks and facts of L1 in, batches out.

use super::wire::Position;
use baton_settlement::{Contents, Cutter, InboxState, Place, Terms};
use baton_types::{Digest, SeedPoint, merkle::EMPTY, settlement::Batch};
use std::collections::BTreeMap;

/// Batches that are remembered, and served, though L1 calls them final.
pub const KEPT_MAX: usize = 4_096;

/// A batch that this node made, and its certificate once there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub batch: Batch,
    pub signature: Option<SeedPoint>,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub terms: Terms,
    /// By index and previous head; the hatch can give an index a second one.
    kept: BTreeMap<Place, Kept>,
    /// Where the batch that begins at a height goes now.
    placed: BTreeMap<u64, Place>,
    /// Behind which the next batch goes; none behind the first batch there ever is.
    end: Option<End>,
    /// Set by the hatch, until a batch is behind it.
    anchor: Option<InboxState>,
    settled: Settled,
    kept_max: usize,
}

/// Up to where the inbox is final: what is behind is kept until it is too, however long L1 stands still.
#[derive(Clone, Copy, Debug)]
struct Settled {
    next_index: u64,
    next_height: u64,
}

impl Settled {
    /// Before L1 was seen.
    const UNKNOWN: Self = Self { next_index: 0, next_height: 0 };
    /// For who never sees it: others keep what is not on L1.
    const BLIND: Self = Self { next_index: u64::MAX, next_height: u64::MAX };
}

/// What the next batch follows.
#[derive(Clone, Copy, Debug)]
struct End {
    place: Place,
    next_height: u64,
    forced_cursor: u64,
    order_root: Digest,
}

impl End {
    /// Directly, or with the hatch in between.
    fn is_before(&self, batch: &Batch) -> bool {
        let follows = self.place == place(batch) || self.place.index < batch.index;
        self.next_height == batch.first_height && follows
    }

    fn behind(batch: &Batch) -> Self {
        Self {
            place: Place { index: batch.index + 1, previous_head: batch.head() },
            next_height: batch.last_height + 1,
            forced_cursor: batch.forced_cursor,
            order_root: batch.order_root,
        }
    }
}

/// What to do after a look at L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Stay,
    /// Batches from this height on have to be cut and placed again.
    From(u64),
}

/// Two batches of one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "batch {} of rollup {} was signed with order root {}, and is now made with {}: nothing more is signed; \
     report this",
    .kept.index, .kept.rollup, .kept.order_root, .made.order_root
)]
pub struct Conflict {
    pub kept: Box<Batch>,
    pub made: Box<Batch>,
}

pub const fn place(batch: &Batch) -> Place {
    Place { index: batch.index, previous_head: batch.previous_head }
}

pub const fn position(batch: &Batch) -> Position {
    Position { rollup: batch.rollup, index: batch.index, previous_head: batch.previous_head }
}

impl Line {
    /// Keeps `kept_max` batches that are final on L1, and all others if this node `watches` L1.
    pub const fn new(terms: Terms, kept_max: usize, watches: bool) -> Self {
        let settled = if watches { Settled::UNKNOWN } else { Settled::BLIND };
        Self {
            terms,
            kept: BTreeMap::new(),
            placed: BTreeMap::new(),
            end: None,
            anchor: None,
            settled,
            kept_max,
        }
    }

    /// First height of the next batch.
    pub fn next_height(&self) -> u64 {
        let anchored = self.anchor.as_ref().map(|anchor| anchor.next_height);
        let behind = self.end.as_ref().map(|end| end.next_height);
        anchored.or(behind).unwrap_or(self.terms.first_height)
    }

    /// Where the next batch goes.
    pub fn next_place(&self) -> Place {
        let anchored = self.anchor.as_ref().map(inbox_place);
        anchored.or(self.end.as_ref().map(|end| end.place)).unwrap_or(Place::FIRST)
    }

    /// A cutter that goes on where the line ends, given head and forced cursor there.
    pub fn cutter(&self, head: Digest, forced_cursor: u64) -> Cutter {
        let Terms { rule, rollup, .. } = self.terms;
        Cutter::new(rule, rollup, self.next_height(), head, forced_cursor)
    }

    /// What the group signs for the next batch.
    pub fn batch(&self, contents: &Contents, data_commitment: Digest) -> Batch {
        let mut batch = self.terms.batch(self.next_place(), contents, data_commitment);
        // What the hatch took counts as taken, though the blocks are behind. How far the line was before the hatch
        // does not count: members differ in that, and so does one that lost its journal.
        let anchored = self.anchor.as_ref().map(|anchor| anchor.forced_cursor);
        let taken = anchored.or(self.end.as_ref().map(|end| end.forced_cursor)).unwrap_or(0);
        batch.forced_cursor = batch.forced_cursor.max(taken);
        batch
    }

    /// Whether this very batch was made before; an error where another one was, at the same place.
    pub fn knows(&self, batch: &Batch) -> Result<bool, Conflict> {
        match self.kept.get(&place(batch)) {
            None => Ok(false),
            Some(kept) if kept.batch == *batch => Ok(true),
            Some(kept) => Err(Conflict { kept: Box::new(kept.batch.clone()), made: Box::new(batch.clone()) }),
        }
    }

    /// Puts a batch at the end of the line.
    pub fn push(&mut self, batch: Batch) {
        let at = place(&batch);
        // The hatch came in between: what was placed from here on is not any more.
        self.placed.split_off(&batch.first_height);
        self.placed.insert(batch.first_height, at);
        self.end = Some(End::behind(&batch));
        self.anchor = None;
        self.kept.entry(at).or_insert(Kept { batch, signature: None });
        self.forget();
    }

    /// Forgets the oldest, as far as L1 has them for good.
    fn forget(&mut self) {
        let (max, below) = (self.kept_max, self.settled.next_index);
        let settled = |place: &Place| place.index < below;
        while self.kept.len() > max && self.kept.first_key_value().is_some_and(|(place, _)| settled(place)) {
            self.kept.pop_first();
        }
        while self.placed.len() > max
            && self.placed.first_key_value().is_some_and(|(_, place)| settled(place))
        {
            self.placed.pop_first();
        }
    }

    /// After the records of a journal, which come by index: ends the line where its batches stop following
    /// each other. A crash can leave the rest of a line that the hatch had ended.
    pub fn mend(&mut self) {
        let mut end: Option<End> = None;
        let mut broken = None;
        for kept in self.placed.values().filter_map(|place| self.kept.get(place)) {
            let batch = &kept.batch;
            if end.is_some_and(|end| !end.is_before(batch)) {
                broken = Some(batch.first_height);
                break;
            }
            end = Some(End::behind(batch));
        }
        if let Some(height) = broken {
            self.placed.split_off(&height);
        }
        self.end = end;
    }

    pub fn get(&self, place: &Place) -> Option<&Kept> {
        self.kept.get(place)
    }

    /// Returns whether it was the first.
    pub fn certify(&mut self, place: &Place, signature: SeedPoint) -> bool {
        let Some(kept) = self.kept.get_mut(place) else { return false };
        kept.signature.replace(signature).is_none()
    }

    /// The lowest index of which something is kept.
    pub fn lowest_index(&self) -> u64 {
        self.kept.first_key_value().map_or(0, |(place, _)| place.index)
    }

    /// The first batch as they are placed now that begins at this height or above.
    pub fn first_from(&self, height: u64) -> Option<&Kept> {
        self.kept.get(self.placed.range(height..).next()?.1)
    }

    /// The first batch that is not final on L1.
    pub fn first_unsettled(&self) -> Option<&Kept> {
        self.first_from(self.settled.next_height)
    }

    /// Whether the inbox waits for a batch that is not here any more.
    pub fn lacks(&self, inbox: &InboxState) -> bool {
        inbox.next_height < self.next_height() && !self.placed.contains_key(&inbox.next_height)
    }

    /// Whether blocks from the line's end to one with this head and forced cursor have nothing of the rollup.
    pub fn is_quiet(&self, head: &Digest, forced_cursor: u64) -> bool {
        let next = self.next_height();
        match &self.end {
            Some(end) => {
                end.next_height == next && end.order_root == *head && end.forced_cursor == forced_cursor
            }
            None => next == self.terms.first_height && *head == EMPTY && forced_cursor == 0,
        }
    }

    /// The batches as they are placed now, by height.
    pub fn placed(&self) -> impl DoubleEndedIterator<Item = &Kept> {
        self.placed.values().filter_map(|place| self.kept.get(place))
    }

    /// Compares the line with the inbox at the newest finalized block of L1.
    pub fn look(&mut self, inbox: &InboxState) -> Turn {
        let height = inbox.next_height;
        self.settled = Settled { next_index: inbox.next_index, next_height: height };
        self.forget();
        let ours = if height == self.next_height() {
            Some(self.next_place())
        } else {
            // Above the end: others were faster, and the line comes there by itself.
            self.placed.get(&height).copied()
        };
        match ours {
            Some(ours) if ours != inbox_place(inbox) => {
                self.anchor = Some(*inbox);
                Turn::From(height)
            }
            _ => Turn::Stay,
        }
    }

    /// For a node whose blocks begin above the line's end: goes on where the inbox is.
    pub fn join(&mut self, inbox: &InboxState) {
        self.anchor = Some(*inbox);
    }
}

const fn inbox_place(inbox: &InboxState) -> Place {
    Place { index: inbox.next_index, previous_head: inbox.head }
}

#[cfg(test)]
mod tests;

//! Where one batch ends and the next begins.
//!
//! A batch takes blocks while it can. It ends before the block that would make it longer than
//! [`CutRule::bytes_target`], and before the block that is [`CutRule::age_max_ms`] or more after the first one
//! with anything of the rollup in it. A run of blocks without anything is never cut: an idle rollup
//! costs nothing on L1. A block that is above the limit by itself is a batch by itself.
//!
//! The rule looks at nothing but finalized blocks, so all nodes cut at the same heights; the time is that of the
//! blocks.

use crate::{Contents, L1Origin, Slice};
use baton_types::{Block, Digest, ExecutionResult, RollupId, Transaction, block::ParentSeed, merkle::EMPTY};
use commonware_codec::EncodeSize;
use thiserror::Error;

/// What a block with anything in it takes beside its transactions, for most.
pub const SLICE_BYTES: usize = 160;

/// From the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRule {
    /// Of one batch, before compression: its transactions as blocks encode them, and [`SLICE_BYTES`] for each block
    /// with any.
    pub bytes_target: u64,
    /// Time of blocks from the first one with anything in it.
    pub age_max_ms: u64,
}

/// What settlement takes of a finalized block, for one rollup.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    pub height: u64,
    pub timestamp_ms: u64,
    pub parent: Digest,
    pub parent_seed: ParentSeed,
    pub origin: L1Origin,
    /// Forced entries of the rollup taken up to and including this block.
    pub forced_cursor: u64,
    pub transactions: &'a [Transaction],
    /// The rollup's head after this block.
    pub head: Digest,
    /// Of a rollup that is executed.
    pub result: Option<ExecutionResult>,
}

impl<'a> Part<'a> {
    pub fn of(block: &'a Block, rollup: RollupId, forced_cursor: u64) -> Self {
        let (header, body) = (block.header(), block.body());
        let segment = body.segments.iter().find(|segment| segment.rollup == rollup);
        Self {
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            parent: header.parent,
            parent_seed: header.parent_seed,
            origin: L1Origin { number: header.l1_number, hash: header.l1_hash },
            forced_cursor,
            transactions: segment.map_or(&[], |segment| &segment.transactions),
            head: body.heads.get(&rollup).copied().unwrap_or(EMPTY),
            result: body.results.get(&rollup).copied(),
        }
    }
}

/// Blocks have to come in order, each once.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("block {found} came where block {expected} has to")]
pub struct NotNext {
    pub expected: u64,
    pub found: u64,
}

/// Makes batches of one rollup out of finalized blocks.
#[derive(Clone, Debug)]
pub struct Cutter {
    rule: CutRule,
    rollup: RollupId,
    next_height: u64,
    head: Digest,
    forced_cursor: u64,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    contents: Contents,
    bytes: u64,
    /// Time of the first block with anything in it.
    since: Option<u64>,
}

impl Cutter {
    /// Goes on at `first_height`, where a batch begins, behind the rollup's head and forced cursor there.
    pub const fn new(
        rule: CutRule,
        rollup: RollupId,
        first_height: u64,
        head_before: Digest,
        forced_before: u64,
    ) -> Self {
        Self {
            rule,
            rollup,
            next_height: first_height,
            head: head_before,
            forced_cursor: forced_before,
            open: None,
        }
    }

    /// Where blocks up to and including `height` have nothing of the rollup: they are in its batch, and are not
    /// pushed.
    #[must_use]
    pub fn behind_quiet(mut self, height: u64) -> Self {
        if height >= self.next_height {
            let mut open = self.fresh(self.open_height());
            open.contents.last_height = height;
            self.open = Some(open);
            self.next_height = height + 1;
        }
        self
    }

    fn fresh(&self, first_height: u64) -> Open {
        Open {
            contents: Contents {
                rollup: self.rollup,
                first_height,
                last_height: first_height,
                last_timestamp_ms: 0,
                head_before: self.head,
                forced_before: self.forced_cursor,
                result: None,
                slices: Vec::new(),
            },
            bytes: 0,
            since: None,
        }
    }

    /// The lowest block that has to be pushed again where this cutter is lost.
    pub fn needs_from(&self) -> u64 {
        let first = self.open.as_ref().and_then(|open| open.contents.slices.first());
        first.map_or(self.next_height, |slice| slice.height)
    }

    /// Height that the next call of [`Self::push`] has to bring.
    pub const fn next_height(&self) -> u64 {
        self.next_height
    }

    /// First height of the batch that is not cut yet.
    pub fn open_height(&self) -> u64 {
        self.open.as_ref().map_or(self.next_height, |open| open.contents.first_height)
    }

    /// Takes the next block. Returns the batch that ends before it, if one does.
    pub fn push(&mut self, part: &Part<'_>) -> Result<Option<Contents>, NotNext> {
        if part.height != self.next_height {
            return Err(NotNext { expected: self.next_height, found: part.height });
        }
        self.next_height += 1;
        let forced = part.forced_cursor.saturating_sub(self.forced_cursor);
        let something = !part.transactions.is_empty() || forced > 0;
        let transactions: usize = part.transactions.iter().map(EncodeSize::encode_size).sum();
        let bytes = if something { (transactions + SLICE_BYTES) as u64 } else { 0 };

        let rule = self.rule;
        let cut = self.open.take_if(|open| open.ends_before(&rule, part.timestamp_ms, bytes));
        let fresh = self.fresh(part.height);
        let open = self.open.get_or_insert(fresh);
        open.bytes = open.bytes.saturating_add(bytes);
        let contents = &mut open.contents;
        contents.last_height = part.height;
        contents.last_timestamp_ms = part.timestamp_ms;
        contents.result = part.result;
        if something {
            open.since.get_or_insert(part.timestamp_ms);
            contents.slices.push(Slice::new(part, forced));
        }
        self.head = part.head;
        self.forced_cursor = part.forced_cursor;
        Ok(cut.map(|open| open.contents))
    }
}

impl Open {
    /// Whether a block with so many bytes at this time belongs to the next batch.
    const fn ends_before(&self, rule: &CutRule, timestamp_ms: u64, bytes: u64) -> bool {
        let Some(since) = self.since else { return false };
        let old = timestamp_ms.saturating_sub(since) >= rule.age_max_ms;
        let full = bytes > 0 && self.bytes.saturating_add(bytes) > rule.bytes_target;
        old || full
    }
}

#[cfg(test)]
mod tests;

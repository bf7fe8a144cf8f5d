//! What the rest of a node sees of batches, and where the poster takes them from.

use super::line::{Kept, Line, place};
use crate::{aliases::Marshal, shared::Shared};
use baton_settlement::{
    BatchSource, Certified, Cutter, InboxState, L1View, Part, Place, Posting, RollupView, data_commitment,
    encode,
};
use baton_types::{Block, Digest, Height, RollupId, SeedPoint, receipt::Rung, settlement::Batch};
use bytes::Bytes;
use commonware_consensus::marshal::Identifier;
use commonware_cryptography::Digested;
use commonware_utils::sync::Mutex;
use futures::future::BoxFuture;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Encoded batches kept in memory; others are made again from their blocks.
const DATA_MAX: usize = 16;

/// A batch as this node sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSight {
    pub batch: Batch,
    pub signature: Option<SeedPoint>,
    /// Whether the newest block of L1 that this node knows has it, or without L1 the directory.
    pub posted: bool,
    /// Whether a final block of L1 has it; without L1 never.
    pub settled: bool,
    /// Where, if it is not too long ago.
    pub posting: Option<Posting>,
}

impl BatchSight {
    fn new(kept: &Kept, l1: Option<&RollupView>) -> Self {
        let Kept { batch, signature } = kept.clone();
        let has = |inbox: InboxState| batch.last_height < inbox.next_height;
        let posted = l1.is_some_and(|l1| has(l1.latest));
        let posting = l1.filter(|_| posted).and_then(|l1| {
            let found = l1.postings.binary_search_by_key(&batch.index, |posting| posting.index);
            Some(l1.postings[found.ok()?])
        });
        let settled = batch.l1_chain_id != 0 && l1.is_some_and(|l1| has(l1.finalized));
        Self { batch, signature, posted, settled, posting }
    }
}

/// Forced entries of a rollup, as the newest block of L1 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSight {
    pub length: u64,
    /// By the inbox.
    pub taken: u64,
}

pub struct Board {
    pub(super) lines: Mutex<BTreeMap<RollupId, Line>>,
    view: Arc<dyn L1View>,
    shared: Arc<Shared>,
    marshal: Marshal,
    data: Mutex<VecDeque<(RollupId, Place, Bytes)>>,
    troubles: Mutex<BTreeMap<RollupId, String>>,
}

impl Board {
    pub(crate) fn new(
        lines: BTreeMap<RollupId, Line>,
        view: Arc<dyn L1View>,
        shared: Arc<Shared>,
        marshal: Marshal,
    ) -> Self {
        let lines = Mutex::new(lines);
        Self { lines, view, shared, marshal, data: Mutex::default(), troubles: Mutex::default() }
    }

    /// Batches of a rollup as they are placed now, from an index on; none for a rollup that does not settle.
    pub fn batches(&self, rollup: RollupId, from_index: u64, limit: usize) -> Option<Vec<BatchSight>> {
        let lines = self.lines.lock();
        let placed = lines.get(&rollup)?.placed();
        let wanted = placed.filter(|kept| kept.batch.index >= from_index).take(limit);
        let l1 = self.l1(rollup);
        Some(wanted.map(|kept| BatchSight::new(kept, l1.as_ref())).collect())
    }

    /// Whether a rollup settles.
    pub fn settles(&self, rollup: RollupId) -> bool {
        self.lines.lock().contains_key(&rollup)
    }

    /// Why this node can do nothing for the batches of a rollup, if there is one.
    pub fn trouble(&self) -> Option<(RollupId, String)> {
        self.troubles.lock().first_key_value().map(|(rollup, trouble)| (*rollup, trouble.clone()))
    }

    pub(super) fn set_troubles(&self, troubles: BTreeMap<RollupId, String>) {
        *self.troubles.lock() = troubles;
    }

    pub(super) fn lowest_index(&self, rollup: RollupId) -> u64 {
        self.lines.lock().get(&rollup).map_or(0, Line::lowest_index)
    }

    /// The last batch of a rollup.
    pub fn latest(&self, rollup: RollupId) -> Option<BatchSight> {
        let lines = self.lines.lock();
        lines.get(&rollup)?.placed().next_back().map(|kept| BatchSight::new(kept, self.l1(rollup).as_ref()))
    }

    /// The forced queue of a rollup; none before L1 was reached, or without one.
    pub fn queue(&self, rollup: RollupId) -> Option<QueueSight> {
        self.lines.lock().get(&rollup).filter(|line| line.terms.on_l1())?;
        let l1 = self.l1(rollup)?;
        let taken = l1.latest.forced_cursor;
        Some(QueueSight { length: l1.forced.last().map_or(taken, |last| last.index + 1), taken })
    }

    fn l1(&self, rollup: RollupId) -> Option<RollupView> {
        self.view.snapshot().rollups.get(&rollup).cloned()
    }

    /// How far L1 has what a final block ordered. Read off the view each time, so that a reorg takes it back.
    pub fn rung(&self, rollup: RollupId, height: u64) -> Option<Rung> {
        let (first, on_l1) = {
            let lines = self.lines.lock();
            let terms = &lines.get(&rollup)?.terms;
            (terms.first_height, terms.on_l1())
        };
        let RollupView { latest, finalized, .. } = self.l1(rollup)?;
        if height < first || height >= latest.next_height.max(finalized.next_height) {
            return None;
        }
        Some(if on_l1 && height < finalized.next_height { Rung::Settled } else { Rung::Posted })
    }

    /// What L1 has of a rollup for good is everything below this height, by what this node sees of L1; 0 while it
    /// has nothing, none for a rollup that does not settle there. Goes back only if L1 does.
    pub fn final_below(&self, rollup: RollupId) -> Option<u64> {
        let first = self.lines.lock().get(&rollup).filter(|line| line.terms.on_l1())?.terms.first_height;
        let next = self.l1(rollup).map_or(0, |l1| l1.finalized.next_height);
        Some(if next > first { next } else { 0 })
    }

    pub(super) fn keep(&self, batch: &Batch, data: Bytes) {
        let mut kept = self.data.lock();
        kept.push_back((batch.rollup, place(batch), data));
        if kept.len() > DATA_MAX {
            kept.pop_front();
        }
    }

    async fn data(&self, batch: &Batch) -> Option<Bytes> {
        let here = {
            let kept = self.data.lock();
            let wanted = (batch.rollup, place(batch));
            kept.iter().find(|(rollup, place, _)| (*rollup, *place) == wanted).map(|(.., data)| data.clone())
        };
        if here.is_some() {
            return here;
        }
        let rule = self.lines.lock().get(&batch.rollup)?.terms.rule;
        // Blocks at its beginning that have nothing of the rollup may be gone.
        let before = (batch.first_height - 1).max(self.shared.lowest_height());
        let block = self.block(before).await?;
        let (head, cursor) = standing(block.inner(), batch.rollup);
        let cutter = Cutter::new(rule, batch.rollup, batch.first_height, head, cursor);
        let mut cutter = cutter.behind_quiet(before);
        // The block behind the batch ends it.
        for height in before + 1..=batch.last_height + 1 {
            let block = self.block(height).await?;
            let (_, cursor) = standing(block.inner(), batch.rollup);
            if let Ok(Some(contents)) = cutter.push(&Part::of(block.inner(), batch.rollup, cursor)) {
                let data = encode(&contents);
                let whole = before < batch.first_height
                    || data_commitment(batch.data_kind, &data) == batch.data_commitment;
                return whole.then_some(data);
            }
        }
        None
    }

    /// A final block.
    pub(super) async fn block(&self, height: u64) -> Option<Digested<Block>> {
        match self.shared.finalized(height) {
            Some(block) => Some(block),
            None => self.marshal.get_block(Identifier::Height(Height::new(height))).await,
        }
    }
}

/// A rollup's head and forced cursor after a block.
pub(super) fn standing(block: &Block, rollup: RollupId) -> (Digest, u64) {
    let body = block.body();
    let head = body.heads.get(&rollup).copied().unwrap_or(baton_types::merkle::EMPTY);
    let queue = body.l1.as_ref().and_then(|part| part.state.queues.get(&rollup));
    (head, queue.map_or(0, |queue| queue.cursor))
}

impl BatchSource for Board {
    fn certified(&self, rollup: RollupId, place: Place) -> BoxFuture<'_, Option<Arc<Certified>>> {
        Box::pin(async move {
            let Kept { batch, signature } = self.lines.lock().get(&rollup)?.get(&place)?.clone();
            let signature = signature?;
            let data = self.data(&batch).await?;
            Some(Arc::new(Certified { batch, signature, data }))
        })
    }
}

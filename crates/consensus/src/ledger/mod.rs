//! What is final: delivered once, in order, indexed, proven.
//!
//! ```text
//!  marshal ─ finalized block ─► actor ─► shared (pool, ids, events)
//!                                  ├──► history: header digests in a mountain range on disk
//!                                  └──► index: transaction id ─► height, in sorted runs on disk
//!  Mailbox ─ transaction, block, proof ─► marshal's archives, through history and index
//! ```
//!
//! A node that keeps a window removes what is below it from archives, history and index alike. A node
//! that joins at a floor begins all of them there: the floor carries the peaks of the history before it,
//! and these are all that proofs of later blocks need.
//!
//! History and index are derived from the archived blocks. They are synced behind the chain and
//! catch up from the archive at start, so delivery never waits for them and a crash loses nothing.

mod actor;
mod index;

pub use actor::{Actor, Config, Keep, deliveries};
pub use index::name_of as index_name;

use crate::{
    aliases::Marshal,
    client::{BlockFound, BlockId, Place, TransactionStatus},
    evm::Outcome,
    shared::{Shared, Standing},
};
use baton_types::{
    Block, Digest, Finalization, Height, TxId, merkle,
    proof::{HistoryProof, Proof},
    receipt::{Reason, Refusal, Rung},
};
use commonware_consensus::marshal::Identifier;
use commonware_cryptography::{Digested, Digestible as _};
use commonware_storage::merkle::mmr;
use index::leg_name;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Queries waiting for the actor; callers beyond wait their turn.
const QUEUE_MAX: usize = 1_024;
/// Archived blocks read at once on behalf of clients.
const READS_MAX: usize = 2;
/// Blocks looked through for the next certificate after a block without one of its own.
const CERTIFICATE_DISTANCE_MAX: u64 = 1_024;

/// Blocks that are looked into for one hash.
const COPIES_MAX: usize = 64;

/// What to do about a block that is not kept.
const FULL: &str = "ask a node with full history";

pub(crate) enum Request {
    /// Heights at which the index has a transaction of such a name; nearly always one or none.
    Locate { names: Vec<TxId>, reply: oneshot::Sender<Vec<u64>> },
    /// That the header at `height` is among the `leaves` first.
    History { height: u64, leaves: u64, reply: oneshot::Sender<Option<mmr::Proof<Digest>>> },
}

#[derive(Clone)]
pub struct Mailbox {
    shared: Arc<Shared>,
    marshal: Marshal,
    sender: mpsc::Sender<Request>,
    /// Reads of archived blocks in progress, for all clients together.
    reads: Arc<Semaphore>,
}

fn stopped<E>(_: E) -> Refusal {
    Refusal::new(Reason::NotReady, "this node is shutting down; ask another")
}

impl Mailbox {
    pub(crate) fn new(shared: Arc<Shared>, marshal: Marshal) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { shared, marshal, sender, reads: Arc::new(Semaphore::new(READS_MAX)) }, receiver)
    }

    pub async fn transaction(&self, id: TxId) -> Result<TransactionStatus, Refusal> {
        let times_ms = match self.shared.standing(&id) {
            Standing::Here(status) => return Ok(status),
            Standing::Finalized { times_ms, .. } => times_ms,
            Standing::Unknown => Default::default(),
        };
        let (block, place) = self.locate(id).await?;
        debug_assert_eq!(block.digest(), place.block);
        let outcome = match self.shared.executions().get(&place.rollup) {
            Some(execution) => execution.outcome(place.height, &id).await,
            None => None,
        };
        let rung = outcome.map_or(Rung::Finalized, Outcome::rung);
        let reason = outcome.and_then(Outcome::reason);
        Ok(TransactionStatus { rung, place: Some(place), times_ms, reason })
    }

    /// The height of the final block that has a transaction.
    pub async fn ordered_at(&self, id: TxId) -> Result<Option<u64>, Refusal> {
        // What was final lately is known without a look at the block.
        if let Standing::Finalized { height, .. } = self.shared.standing(&id) {
            return Ok(Some(height));
        }
        match self.locate(id).await {
            Ok((_, place)) => Ok(Some(place.height)),
            Err(refusal) if refusal.reason == Reason::NotFound => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Heights of final blocks that may have a transaction with this hash, by itself or as a leg, the oldest first: a copy
    /// that is ordered later is skipped.
    pub async fn heights_of(&self, hash: TxId) -> Result<Vec<u64>, Refusal> {
        let mut heights = self.heights(vec![hash, leg_name(&hash)]).await?;
        heights.sort_unstable();
        heights.dedup();
        heights.truncate(COPIES_MAX);
        Ok(heights)
    }

    async fn heights(&self, names: Vec<TxId>) -> Result<Vec<u64>, Refusal> {
        let (reply, heights) = oneshot::channel();
        self.sender.send(Request::Locate { names, reply }).await.map_err(stopped)?;
        heights.await.map_err(stopped)
    }

    /// The finalized block that has a transaction, and where.
    async fn locate(&self, id: TxId) -> Result<(Digested<Block>, Place), Refusal> {
        let heights = match self.shared.standing(&id) {
            Standing::Finalized { height, .. } => vec![height],
            _ => self.heights(vec![id]).await?,
        };
        let lowest = self.shared.lowest_height();
        for height in heights.into_iter().filter(|height| *height >= lowest) {
            let Some(block) = self.finalized_block(height).await else { continue };
            if let Some((rollup, index)) = block.inner().position(&id) {
                let place = Place { rollup, height, block: block.digest(), index };
                return Ok((block, place));
            }
        }
        let pruned = match lowest {
            0 => String::new(),
            lowest => format!(", or ordered below height {lowest} and pruned here; {FULL}"),
        };
        let detail = format!(
            "no transaction {id} here: never accepted by this node, or forgotten after it expired{pruned}"
        );
        Err(Refusal::new(Reason::NotFound, detail))
    }

    async fn finalized_block(&self, height: u64) -> Option<Digested<Block>> {
        if let Some(block) = self.shared.finalized(height) {
            return Some(block);
        }
        // The task that decodes it also serves consensus.
        let _turn = self.reads.acquire().await.ok()?;
        self.marshal.get_block(Identifier::Height(Height::new(height))).await
    }

    pub async fn finalized(&self, height: u64) -> Result<Digested<Block>, Refusal> {
        let tip = self.shared.finalized_height();
        if height > tip {
            let detail = format!("no finalized block at height {height} yet; the last is {tip}");
            return Err(Refusal::new(Reason::NotFound, detail));
        }
        let lowest = self.shared.lowest_height();
        if height < lowest {
            let detail = format!("block {height} is pruned here: the lowest is {lowest}; {FULL}");
            return Err(Refusal::new(Reason::Pruned, detail));
        }
        // The certificate may be ahead of the archive by a moment.
        self.finalized_block(height).await.ok_or_else(|| {
            let detail = format!("block {height} is finalized but not on this node's disk yet");
            Refusal::new(Reason::NotFound, detail).retry_after(50)
        })
    }

    pub async fn block(&self, id: BlockId) -> Result<BlockFound, Refusal> {
        let height = match id {
            BlockId::Latest => self.shared.finalized_height(),
            BlockId::Height(height) => height,
            BlockId::Digest(digest) => {
                if let Some((block, rung)) = self.shared.unfinalized(&digest) {
                    return Ok(BlockFound { block, rung, certificate: None });
                }
                let found = self.marshal.get_info(Identifier::Digest(digest)).await;
                let missing = || Refusal::new(Reason::NotFound, format!("no block {digest} here"));
                found.ok_or_else(missing)?.0.get()
            }
        };
        let block = self.finalized(height).await?;
        let certificate = self.certificate(&block).await;
        Ok(BlockFound { block, rung: Rung::Finalized, certificate })
    }

    /// A certificate for this block in its own view. (An epoch's last block may have been certified
    /// in a later view; proofs then use a later block.)
    async fn certificate(&self, block: &Digested<Block>) -> Option<Finalization> {
        let header = block.inner().header();
        let finalization = self.marshal.get_finalization(Height::new(header.height)).await?;
        let proposal = &finalization.proposal;
        let own = proposal.payload == block.digest() && proposal.round == header.round();
        own.then_some(finalization)
    }

    pub async fn proof(&self, id: TxId) -> Result<Proof, Refusal> {
        let (block, place) = self.locate(id).await?;
        let (position, path) = path(block.inner(), &place);
        let header = block.inner().header().clone();
        let (history, certificate) = self.finality(block).await?;
        Ok(Proof {
            rollup: place.rollup,
            id,
            index: place.index,
            position,
            path,
            header,
            history,
            certificate,
        })
    }

    /// What proves that a finalized block is final: a certificate, and where that is a later block's, the
    /// way to it.
    pub async fn finality(
        &self,
        block: Digested<Block>,
    ) -> Result<(Option<HistoryProof>, Finalization), Refusal> {
        let (digest, height) = (block.digest(), block.inner().header().height);
        let (certified, certificate) = self.next_certified(block).await?;
        if certified.digest() == digest {
            return Ok((None, certificate));
        }
        let certified = certified.inner().header().clone();
        let (reply, proof) = oneshot::channel();
        let request = Request::History { height, leaves: certified.height, reply };
        self.sender.send(request).await.map_err(stopped)?;
        let proof = proof.await.map_err(stopped)?.ok_or_else(|| {
            Refusal::new(Reason::NotReady, "this node is still indexing that block").retry_after(500)
        })?;
        Ok((Some(HistoryProof { certified, proof }), certificate))
    }

    async fn next_certified(
        &self,
        block: Digested<Block>,
    ) -> Result<(Digested<Block>, Finalization), Refusal> {
        if let Some(certificate) = self.certificate(&block).await {
            return Ok((block, certificate));
        }
        let first = block.inner().header().height + 1;
        let last = self.shared.finalized_height().min(first + CERTIFICATE_DISTANCE_MAX);
        for height in first..=last {
            // The block only where there is a certificate: most of the work is in the former.
            if self.marshal.get_finalization(Height::new(height)).await.is_none() {
                continue;
            }
            let Some(candidate) = self.finalized_block(height).await else { continue };
            if let Some(certificate) = self.certificate(&candidate).await {
                return Ok((candidate, certificate));
            }
        }
        Err(Refusal::new(Reason::NotReady, "no certificate at or after that block here yet").retry_after(500))
    }
}

/// A transaction's place in its block's tree, and the path from there to the root.
fn path(block: &Block, place: &Place) -> (u32, commonware_storage::bmt::Proof<Digest>) {
    let before: usize =
        block.segment_ids().take_while(|(rollup, _)| *rollup < place.rollup).map(|(_, ids)| ids.len()).sum();
    let position = u32::try_from(before).expect("a block has fewer transactions") + place.index;
    let tree = merkle::transactions(block.segment_ids());
    (position, tree.proof(position).expect("the position is within the block"))
}

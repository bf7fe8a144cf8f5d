//! What the rest of a node (RPC, tests) may ask of consensus. Cheap to clone; every call is bounded.

use crate::{
    evm::{Execution, Outcome},
    minute::LastMinute,
    settlement::Board,
    shared::Standing,
    tally::Tally,
};
use alloy_primitives::Address;
use baton_execution::{
    evm::{Refused, Signed},
    pool::{PoolStats, Unit},
};
use baton_types::{
    Block, Digest, Epoch, Finalization, PublicKey, RollupId, TxId,
    api::Ack,
    lottery::Indices,
    proof::{BlockProof, Proof},
    receipt::{Reason, Receipt, Refusal, Rung},
};
use commonware_cryptography::{Digested, Digestible as _};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::broadcast;

/// Transactions from one request of one client.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Whose limits apply: an address or the name of an API token.
    pub client: Arc<str>,
    pub units: Vec<Unit>,
    pub ack: Ack,
}

/// What became of a [`Submit`].
#[derive(Clone, Debug)]
pub struct Submitted {
    /// In the order of the request; `Ok` holds the ids of the unit (several for a bundle).
    pub results: Vec<Result<Vec<TxId>, Refusal>>,
    /// Signed, over all accepted ids; none when nothing was accepted.
    pub receipt: Option<Receipt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub rollup: RollupId,
    pub height: u64,
    pub block: Digest,
    pub index: u32,
}

/// A transaction's place on the ladder, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionStatus {
    pub rung: Rung,
    pub place: Option<Place>,
    pub times_ms: BTreeMap<Rung, u64>,
    pub reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockId {
    /// The last finalized block.
    Latest,
    /// A finalized block.
    Height(u64),
    /// Any block this node has.
    Digest(Digest),
}

#[derive(Clone)]
pub struct BlockFound {
    pub block: Digested<Block>,
    pub rung: Rung,
    /// Only some finalized blocks have a certificate of their own; later ones prove the others.
    pub certificate: Option<Finalization>,
}

/// Something happened that subscribers may care about.
#[derive(Clone)]
pub enum Event {
    /// A block reached `proposed`, `notarized` or `finalized`. Finalized blocks come in order of
    /// height and without gaps, except after `Lagged`.
    Block {
        rung: Rung,
        block: Digested<Block>,
        time_ms: u64,
        /// Members whose votes for it this node had seen by then.
        voters: Indices,
    },
    /// Waiting transactions ended without being ordered.
    Ended { ids: Arc<[TxId]>, rung: Rung, reason: Reason, time_ms: u64 },
    /// The final block at `height` was executed, which ordered these of an EVM rollup.
    Executed { rollup: RollupId, height: u64, outcomes: Arc<[(TxId, Outcome)]>, time_ms: u64 },
    /// Batches of a rollup that settles were made or certified, or L1 has more of them, or fewer: its
    /// [`Board`] says which.
    Batches { rollup: RollupId, time_ms: u64 },
}

/// What this node sees of the cluster right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub epoch: Epoch,
    pub view: u64,
    pub finalized_height: u64,
    pub finalized_digest: Digest,
    /// When this node saw the last finalization, Unix ms; 0 before the first.
    pub finalized_time_ms: u64,
    /// The highest height this node knows to be final; above `finalized_height` while it catches up.
    pub tip_height: u64,
    /// The lowest height at which this node has a block; 0 where it has the whole chain. Above
    /// `finalized_height` while that block is on its way.
    pub lowest_height: u64,
    /// Blocks below this height are followed, not judged: ids are missing that they could repeat.
    pub judges_from: u64,
    /// This node is to keep the whole chain, but no peer that answered has what comes next: the lowest
    /// height at which one of them has a block.
    pub unavailable_below: Option<u64>,
    /// Whether this node votes in this epoch, with a share of the key.
    pub voting: bool,
    /// Why it does not vote although it is a member.
    pub silence: Option<Silence>,
    /// Holders of the key in this epoch, in committee order.
    pub holders: Vec<PublicKey>,
    /// Last view of this epoch with a vote of each holder.
    pub last_vote_view: Vec<Option<u64>>,
    /// How far the last block of each author was ahead of this node's clock, in ms, where that was
    /// more than the genesis allows. One author: its clock is fast. Many: this node's is slow.
    pub authors_ahead: BTreeMap<PublicKey, u64>,
}

/// Why a member does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has started, and too few members have answered which votes of it they have seen.
    AskingPeers,
    /// Votes that it cast in this epoch are not on its vote journal.
    VotesLost,
    /// It holds no share of this epoch's key.
    NoShare,
}

/// Handle on a running node.
#[derive(Clone)]
pub struct Client {
    pub(crate) mempool: crate::mempool::Mailbox,
    pub(crate) ledger: crate::ledger::Mailbox,
    pub(crate) batches: Option<Arc<Board>>,
    pub(crate) shared: Arc<crate::shared::Shared>,
}

impl Client {
    /// Offers transactions. Resolves when they are on this node's journal, or on those of 2f+1
    /// nodes when `ack` asks for it. `Err` means the request as a whole was refused.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, Refusal> {
        self.mempool.submit(submit).await
    }

    /// As [`Self::submit`], for whom a signed receipt says nothing; signing one takes as long as half a recovered
    /// sender.
    pub async fn submit_unsigned(&self, submit: Submit) -> Result<Vec<Result<Vec<TxId>, Refusal>>, Refusal> {
        Ok(self.mempool.take(submit).await?.0)
    }

    /// Whether [`Self::submit`] would take a request now; if not, it is not worth reading.
    pub fn admits(&self) -> Result<(), Refusal> {
        self.mempool.admits()
    }

    /// Where a transaction stands; `not_found` when this node knows nothing of it.
    pub async fn transaction(&self, id: TxId) -> Result<TransactionStatus, Refusal> {
        let mut status = self.ledger.transaction(id).await?;
        if let (Some(place), Rung::Finalized | Rung::Executed, Some(board)) =
            (&status.place, status.rung, &self.batches)
        {
            status.rung = board.rung(place.rollup, place.height).unwrap_or(status.rung);
        }
        Ok(status)
    }

    pub async fn block(&self, id: BlockId) -> Result<BlockFound, Refusal> {
        self.ledger.block(id).await
    }

    /// The finalized block at `height`, without its certificate.
    pub async fn finalized(&self, height: u64) -> Result<Digested<Block>, Refusal> {
        self.ledger.finalized(height).await
    }

    pub fn finalized_height(&self) -> u64 {
        self.shared.finalized_height()
    }

    /// Proof of a finalized transaction.
    pub async fn proof(&self, id: TxId) -> Result<Proof, Refusal> {
        self.ledger.proof(id).await
    }

    /// Proof that a block is final.
    pub async fn block_proof(&self, id: BlockId) -> Result<BlockProof, Refusal> {
        let BlockFound { block, rung, .. } = self.block(id).await?;
        if rung != Rung::Finalized {
            let detail = format!("block {} is {} and not final yet", block.digest(), rung.name());
            return Err(Refusal::new(Reason::NotReady, detail).retry_after(200));
        }
        let header = block.inner().header().clone();
        let (history, certificate) = self.ledger.finality(block).await?;
        Ok(BlockProof { header, history, certificate })
    }

    /// Batches for L1; none of a chain that does not settle.
    pub const fn batches(&self) -> Option<&Arc<Board>> {
        self.batches.as_ref()
    }

    /// Events from now on. A receiver that falls behind gets `Lagged` and must catch up by height.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// This node's clock, Unix ms.
    pub fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    pub fn live(&self) -> Live {
        self.shared.live()
    }

    /// What became final lately.
    pub fn last_minute(&self) -> LastMinute {
        self.shared.last_minute()
    }

    /// What finalized blocks say of each member.
    pub fn tally(&self) -> Tally {
        self.shared.tally()
    }

    /// The executor of an EVM rollup.
    pub fn execution(&self, rollup: RollupId) -> Option<Arc<Execution>> {
        self.shared.executions().get(&rollup).cloned()
    }

    /// The executors of all EVM rollups.
    pub fn executions(&self) -> impl Iterator<Item = &Arc<Execution>> {
        self.shared.executions().values()
    }

    /// A transaction of an EVM rollup, from its admission until its execution is final.
    pub fn waiting(&self, rollup: RollupId, id: TxId) -> Option<Arc<Signed>> {
        self.shared.signed(rollup, &[id]).pop().flatten()
    }

    /// Whether the rules of nonces, balances and fees of an EVM rollup would take a transaction now.
    pub fn check_signed(&self, rollup: RollupId, signed: &Signed) -> Result<(), Refused> {
        self.shared.check_signed(rollup, signed)
    }

    /// In an EVM rollup: the nonce after the last that waits here or is ordered without a gap; none when
    /// nothing of this sender is.
    pub fn next_nonce(&self, rollup: RollupId, sender: &Address) -> Option<u64> {
        self.shared.next_nonce(rollup, sender)
    }

    /// The height of the final block that ordered a transaction.
    pub async fn ordered_at(&self, id: TxId) -> Result<Option<u64>, Refusal> {
        self.ledger.ordered_at(id).await
    }

    /// The height of a block that ordered a transaction and has become final not long ago.
    pub fn final_lately(&self, id: &TxId) -> Option<u64> {
        match self.shared.standing(id) {
            Standing::Finalized { height, .. } => Some(height),
            _ => None,
        }
    }

    /// Heights of final blocks that may have a transaction with this hash, by itself or as a leg of a bundle.
    pub async fn heights_of(&self, hash: TxId) -> Result<Vec<u64>, Refusal> {
        self.ledger.heights_of(hash).await
    }

    pub fn mempool(&self) -> PoolStats {
        self.shared.pool_stats()
    }
}

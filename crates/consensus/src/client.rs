//! What the rest of a node (RPC, tests) may ask of consensus. Cheap to clone; every call is bounded.

use baton_execution::pool::{PoolStats, Unit};
use baton_types::{
    Block, Digest, Epoch, Finalization, PublicKey, RollupId, TxId,
    api::Ack,
    proof::Proof,
    receipt::{Reason, Receipt, Refusal, Rung},
};
use commonware_cryptography::Digested;
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
    Block { rung: Rung, block: Digested<Block>, time_ms: u64 },
    /// Waiting transactions ended without being ordered.
    Ended { ids: Arc<[TxId]>, rung: Rung, reason: Reason, time_ms: u64 },
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
    /// Whether this node holds a share of the key in this epoch.
    pub voting: bool,
    /// Holders of the key in this epoch, in committee order.
    pub holders: Vec<PublicKey>,
    /// Last view of this epoch with a vote of each holder.
    pub last_vote_view: Vec<Option<u64>>,
    /// How far the last block of each author was ahead of this node's clock, in ms, where that was
    /// more than the genesis allows. One author: its clock is fast. Many: this node's is slow.
    pub authors_ahead: BTreeMap<PublicKey, u64>,
    /// Finalized blocks by author since this node started.
    pub blocks_authored: BTreeMap<PublicKey, u64>,
}

/// Handle on a running node.
#[derive(Clone)]
pub struct Client {
    pub(crate) mempool: crate::mempool::Mailbox,
    pub(crate) ledger: crate::ledger::Mailbox,
    pub(crate) shared: Arc<crate::shared::Shared>,
}

impl Client {
    /// Offers transactions. Resolves when they are on this node's journal, or on those of 2f+1
    /// nodes when `ack` asks for it. `Err` means the request as a whole was refused.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, Refusal> {
        self.mempool.submit(submit).await
    }

    /// Where a transaction stands; `not_found` when this node knows nothing of it.
    pub async fn transaction(&self, id: TxId) -> Result<TransactionStatus, Refusal> {
        self.ledger.transaction(id).await
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

    /// Events from now on. A receiver that falls behind gets `Lagged` and must catch up by height.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    pub fn live(&self) -> Live {
        self.shared.live()
    }

    pub fn mempool(&self) -> PoolStats {
        self.shared.pool_stats()
    }
}

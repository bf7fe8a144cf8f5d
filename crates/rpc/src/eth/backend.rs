//! What the methods of an EVM rollup need of the node.
//!
//! | word | meaning |
//! |---|---|
//! | final | the cluster finalized it: it never changes |
//! | `latest`, `safe` | the newest executed block of the finalized chain |
//! | `finalized` | the newest block that is final on L1 too, by what this node saw there, and block 0 before that; without settlement the same as `latest` |
//! | `pending` | the speculative tip: after everything executed on the branch that the cluster builds on |
//! | waiting | accepted and not in a final block yet, whether in the pool or executed ahead |
//!
//! All answers come from one node and may lag behind another's. An answer `None` means that there is no such
//! thing; what there was and is not kept any more is refused with `pruned`, what cannot be told now with
//! `busy` or `not_ready`.

use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_primitives::{Address, B256, Bytes};
use baton_execution::evm::{OpenBlock, Params, Past, Refused, Sealed, Signed, Skip};
use baton_types::receipt::Refusal;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::broadcast;

/// The answer to a question; it may take a disk or another thread.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, Refusal>>;

/// One EVM rollup on one node.
pub trait Backend: Send + Sync + 'static {
    /// Of the rollup's genesis.
    fn params(&self) -> &Params;

    /// Where the rollup stands; cheap, without waiting.
    fn heads(&self) -> Heads;

    /// The block that goes on at the speculative tip (`Chain::pending`), with the slices it has already.
    fn pending(&self) -> Asked<'_, OpenBlock>;

    /// The state after a final block; refused with `pruned` when it is not kept any more.
    fn past(&self, number: u64) -> Asked<'_, Option<Arc<Past>>>;

    /// The number of a final block.
    fn number(&self, block: B256) -> Asked<'_, Option<u64>>;

    /// A final block's header and hash.
    fn header(&self, number: u64) -> Asked<'_, Option<Arc<Head>>>;

    /// A final block as a whole.
    fn block(&self, number: u64) -> Asked<'_, Option<Arc<Block>>>;

    /// Where a transaction stands in the final blocks.
    fn place(&self, transaction: B256) -> Asked<'_, Option<Place>>;

    /// A transaction that waits.
    fn waiting(&self, transaction: B256) -> Asked<'_, Option<Arc<Signed>>>;

    /// The nonce after the last of a sender that is used up, executed ahead, or waits without a gap.
    fn next_nonce(&self, sender: Address) -> Asked<'_, u64>;

    /// Offers a raw signed transaction. Resolves with its hash once it is on this node's journal, so that a
    /// crash does not lose it. `client` is whose limits apply.
    fn submit(&self, client: Arc<str>, raw: Bytes) -> BoxFuture<'_, Result<B256, Rejected>>;

    /// From now on. Who does not keep up loses the oldest: blocks can be read again by number, waiting
    /// transactions cannot.
    fn subscribe(&self) -> broadcast::Receiver<Event>;
}

/// Where a rollup stands, all of one moment.
#[derive(Clone, Debug)]
pub struct Heads {
    /// With its state.
    pub latest: Arc<Past>,
    /// Not above `latest`.
    pub finalized: u64,
    /// Blocks from here on can be read, beside block 0.
    pub oldest: u64,
    /// The cluster is far ahead of what is executed here.
    pub syncing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub header: Header,
    pub hash: B256,
}

/// A final block.
#[derive(Clone, Debug)]
pub struct Block {
    pub head: Arc<Head>,
    pub transactions: Vec<Arc<Signed>>,
    /// One per transaction.
    pub receipts: Vec<ReceiptEnvelope>,
}

impl From<&Sealed> for Block {
    fn from(sealed: &Sealed) -> Self {
        Self {
            head: Arc::new(Head { header: sealed.header.clone(), hash: sealed.hash }),
            transactions: sealed.transactions().cloned().collect(),
            receipts: sealed.receipts().cloned().collect(),
        }
    }
}

/// Of a transaction in a final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub number: u64,
    pub index: usize,
}

/// What happens, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block became final, each number once.
    Head(Arc<Block>),
    /// A transaction began to wait on this node, sent here or heard from others.
    Waiting(Arc<Signed>),
}

/// Why a transaction was not taken.
#[derive(Debug)]
pub enum Rejected {
    /// It can never be executed.
    Invalid(Skip),
    /// The pool refuses it.
    Pool(Refused),
    /// It was ordered and left out by execution; its hash may be ordered again so many blocks later.
    Skipped { skip: Skip, blocks: u64 },
    /// The node does, whatever the transaction is: busy, over the client's share, not ready.
    Node(Refusal),
}

//! Settlement inside the cluster: what blocks take from L1, and what the group signs for it.
//!
//! ```text
//!  L1View (who watches L1) ──► origin: propose, verify ──► header: origin · body: forced entries, cursors
//!       │                                                            │ finalized blocks, pulled
//!       │ finalized inbox                                            ▼
//!       └───────────────────────────► line: cut, place ──► encode ──► Batch ──► journal, synced
//!                                                                                 │ only then
//!   peers ◄── partial signature ──────────────────────────────────────────────────┘
//!   peers ──► partial signatures ──► 2f+1 of one sharing ──► certificate ──► journal ──► who posts, API
//! ```
//!
//! Rules by event:
//! - *A block is final*: it goes into the cutter of every rollup that settles. Where one ends a batch, the batch
//!   is encoded on a thread of its own, placed behind the one before, journaled, signed, sent.
//! - *A partial signature comes*: it has to be of the sender's own share, in this epoch's sharing, over the very
//!   batch that this node made from its own blocks. What is early waits, a few per member; what is wrong
//!   is counted, and after a few nothing more of that member is looked at for this batch.
//! - *Enough of them*: the group's signature, checked against the group key before anybody gets it.
//! - *A certificate is missing*: the own partial signature goes out again, at growing intervals; who has the
//!   certificate answers with it.
//! - *The hatch was used* (the finalized inbox has another head where a batch of ours should begin): the
//!   batches from there on are placed and signed anew, behind the inbox's head and cursor.
//! - *L1 stands still*: batches, and the blocks behind them, are kept until L1 calls them final. When the oldest
//!   has waited too long, clients get no more of that rollup in; what L1 forces and what other members accepted
//!   goes on.
//! - *Epochs*: a partial signature counts in the epoch it was made in. The group key stays the same, so
//!   certificates do not know epochs.
//!
//! Invariant: of one place, that is generation, inbox, index and previous head, this node signs one batch only,
//! whatever happens to its process: it is on the journal before it is signed. A lost journal changes nothing in
//! that: a batch follows from its place, the finalized chain and the finalized inbox alone, so what is made
//! again is the same. Of the same heights all batches have one order root for the same reason.
//!
//! Nothing here is waited for by consensus, and all of it stands still when a third of the members are away.
//!
//! Deliberately absent: posting (`baton-l1`), and a key generation that ends.

mod actor;
mod board;
mod encode;
mod journal;
mod line;
mod metrics;
mod origin;
mod wire;

pub(crate) use actor::{Actor, Config};
pub use board::{BatchSight, Board, QueueSight};
#[doc(hidden)]
pub use journal::Record;
pub(crate) use origin::{Differs, L1, Plan, Sight};
pub(crate) use wire::MESSAGE_BYTES_MAX;
pub use wire::{Message, Position};

use baton_settlement::{L1View, Snapshot};
use baton_types::forced::Envelope;
use bytes::Bytes;
use std::sync::Arc;

/// What one node does for settlement.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether it sees L1. Without, it knows of nothing what L1 has.
    pub watches: bool,
    /// Batches of each rollup that it remembers though they are final on L1.
    pub batches_kept: usize,
    /// When the oldest batch that is not on L1 is older, clients get no more of its rollup in.
    pub backlog_ms_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { watches: true, batches_kept: line::KEPT_MAX, backlog_ms_max: 2 * 60 * 60 * 1_000 }
    }
}

/// Forced entries of one rollup that a block could take.
pub struct Offer {
    pub cursor: u64,
    /// Empty where the next one is not here.
    pub entries: Vec<(Envelope, Bytes)>,
}

/// The view of a node that nobody tells anything of L1. It orders as the others do, and proposes no origin.
pub struct Blind;

impl L1View for Blind {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::default()
    }
}

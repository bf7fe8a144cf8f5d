//! Ordering: from a waiting transaction to a finalized block with one small certificate.
//!
//! ```text
//!  Client ─ submit ─► mempool ── gossip ──► mempools of the other members
//!    ▲                   │ pool (execution::pool)
//!    │                   ▼
//!    │              application ── propose / verify ──► Inline ─► simplex (one engine per epoch, run by
//!    │                   │                                        the orchestrator; epochs::… reshares)
//!    │                   ▼                                            │ votes, certificates
//!    └── events ◄──── shared ◄──────────── observer ◄─────────────────┘
//!                        ▲
//!                     ledger ◄── finalized blocks in order ◄── marshal (archives, backfill)
//! ```
//!
//! Commonware is hidden behind this crate: its type towers are named once, in [`aliases`].
//! Everything that touches time, randomness, disk and network goes through the runtime, so that the
//! simulator runs these very nodes. L1 is seen through a trait ([`settlement`]): nothing here talks to it.

mod admission;
pub mod aliases;
mod application;
pub mod broken;
pub mod client;
mod election;
pub mod elections;
pub mod engine;
mod epochs;
pub mod evm;
mod ledger;
pub mod lottery;
mod mempool;
pub mod minute;
pub mod network;
mod observer;
pub mod settlement;
mod shared;
mod storage;
mod sync;
pub mod tally;
#[cfg(test)]
mod testing;
mod votes;

pub use broken::Broken;
pub use client::Client;
pub use engine::{Config, Node, start};
pub use epochs::{LogRefused, LogRules};
pub use storage::{History, HistoryError};

/// Decoders of what peers and the disk hand to this crate, for whoever throws bytes at them.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{
        evm::exchange::Message as StatesMessage,
        ledger::index_name,
        lottery::{Message as LotteryMessage, proof_name},
        mempool::wire::{Batch, Message},
        settlement::Record as BatchRecord,
        sync::{EpochStart, Floor, Joined, Message as JoiningMessage, Offer},
    };
}

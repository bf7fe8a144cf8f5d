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
//! simulator runs these very nodes. Deliberately absent: execution and settlement.

pub mod aliases;
mod application;
pub mod client;
mod election;
pub mod engine;
mod epochs;
mod ledger;
pub mod lottery;
mod mempool;
pub mod network;
mod observer;
mod shared;
mod storage;
mod sync;
#[cfg(test)]
mod testing;

pub use client::Client;
pub use engine::{Config, Node, start};
pub use epochs::{LogRefused, LogRules};
pub use storage::{History, HistoryError};

/// Decoders of what peers and the disk hand to this crate, for whoever throws bytes at them.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::mempool::wire::{Batch, Message};
}

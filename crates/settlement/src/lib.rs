//! What a cluster and L1 agree on, byte for byte: where a batch ends, what is in it, how it is written, and
//! what a node sees of L1. Pure and deterministic; no I/O.
//!
//! ```text
//! finalized blocks ─► Part ─► Cutter ─► Contents ─► encode ─► data ─► blobs · calldata · directory
//!                                          │                   │
//!                                          └── order_root ─► Batch ◄── commitment
//!                                                             └─► signed by the group, posted, and from there
//! Snapshot ◄── watcher of L1                                      decode ─► Contents: the order again
//!    └─ origin, forced entries and inboxes, for consensus
//! ```
//!
//! - [`cut`]: which heights a batch covers follows from the finalized chain alone.
//! - [`contents`]: what it keeps of each block; blocks without anything of the rollup cost nothing.
//! - [`encoding`], [`blobs`]: one encoding per content, so that every node signs the same commitment.
//! - [`mod@file`]: a certified batch with its data, for a directory instead of L1.
//! - [`l1`]: a plain picture of L1; whoever watches L1 makes it.
//!
//! Rules: specs/9-settlement.md. Absent: a key generation that ends within a run of blocks.

pub mod batch;
pub mod blobs;
pub mod certified;
pub mod contents;
pub mod cut;
pub mod encoding;
pub mod file;
pub mod l1;

pub use batch::{Place, Terms, data_commitment};
pub use certified::{BatchSource, Certified, is_signed};
pub use contents::{Contents, ContentsLimits, Slice};
pub use cut::{CutRule, Cutter, NotNext, Part};
pub use encoding::{DecodeError, decode, encode};
pub use file::FileError;
pub use l1::{ForcedEntry, InboxState, L1Origin, L1View, Posting, RollupView, Snapshot, Standing};

#[cfg(test)]
mod testing;

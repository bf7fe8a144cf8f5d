//! Everything that talks to L1: watching it, posting batches, reading them back.
//!
//! ```text
//!                  ┌─ Watcher ──► Snapshot ─► consensus (baton-settlement, no client of L1 there)
//!  L1 ◄─ Client ───┤
//!  (several        ├─ Poster ◄── BatchSource ◄─ the cluster's certificates
//!   endpoints)     │     └─ da: blobs · calldata · directory
//!                  ├─ derive: batches, checked, back to the ordered transactions and the same blocks
//!                  └─ deploy: the contracts of a devnet
//!  directory ◄─► local: the same without L1
//! ```
//! What comes from an endpoint is checked against the hash chains that the contracts keep ([`events`]), and
//! endpoints against each other; none of it can panic a node.

pub mod anvil;
pub mod bls;
pub mod client;
pub mod contracts;
pub mod da;
pub mod deploy;
pub mod derive;
pub mod events;
pub mod key;
pub mod local;
pub mod poster;
pub mod transaction;
pub mod watcher;

/// Decoders of what endpoints of L1, nodes of its consensus layer and the disk hand to this crate, for whoever
/// throws bytes at them.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{
        bls::read_signature,
        client::{Sent, read_answer},
        contracts::batches_in,
        da::beacon::{blobs_in, slots},
        derive::state::State,
        events::batch_of,
    };
}

pub use client::{Client, L1Error};
pub use events::{Posted, RollupEvents};
pub use watcher::{Watcher, WatcherConfig};

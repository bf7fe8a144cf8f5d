//! The links between members, by purpose, and what a transport must offer.
//!
//! Each purpose has its own channel with its own quota and its own bounded queue at the receiver. On the
//! way out the transport has two lanes per peer: votes and certificates go first, all else in the
//! order it comes. So bulk data can never stand before a vote. Quotas are per peer; messages to
//! a peer over its quota are dropped by the transport and counted there.

use baton_types::{Directory, PublicKey};
use commonware_glue::dkg::network::Manager;
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_runtime::Quota;
use commonware_utils::NZU32;
use std::future::Future;

/// In order of priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Votes,
    Certificates,
    /// Requests for missing certificates.
    Resolver,
    /// Reveals, designations and answers of the zero-knowledge lottery.
    Lottery,
    /// Block bodies from their author.
    Blocks,
    Mempool,
    /// Requests for finalized blocks by members that were away.
    Backfill,
    Ceremony,
    /// Where members that were away can join.
    Joining,
    /// Proofs for the lottery's next epoch.
    Proofs,
    /// States of EVM rollups for members that joined above them.
    States,
    /// Signatures over batches for L1.
    Batches,
}

impl Channel {
    pub const ALL: [Self; 12] = [
        Self::Votes,
        Self::Certificates,
        Self::Resolver,
        Self::Lottery,
        Self::Blocks,
        Self::Mempool,
        Self::Backfill,
        Self::Ceremony,
        Self::Joining,
        Self::Proofs,
        Self::States,
        Self::Batches,
    ];

    pub const fn id(self) -> u64 {
        self as u64
    }

    /// Messages per second and peer. Queues are allocated for a burst of as many.
    pub const fn quota(self) -> Quota {
        Quota::per_second(match self {
            Self::Votes | Self::Certificates | Self::Mempool => NZU32!(512),
            Self::Blocks | Self::Backfill => NZU32!(256),
            Self::Resolver | Self::Lottery | Self::Ceremony => NZU32!(128),
            Self::Batches => NZU32!(64),
            Self::Joining | Self::Proofs | Self::States => NZU32!(16),
        })
    }
}

/// A transport between members: authenticated TCP, or the simulator's links.
pub trait Network: Send + 'static {
    type Sender: Sender<PublicKey = PublicKey>;
    type Receiver: Receiver<PublicKey = PublicKey>;
    type Manager: Manager<PublicKey = PublicKey, Directory = Directory> + Clone + Sync + 'static;
    type Blocker: Blocker<PublicKey = PublicKey> + Sync;

    fn register(&mut self, channel: Channel) -> impl Future<Output = (Self::Sender, Self::Receiver)> + Send;

    /// Begins to listen and to dial. All channels are registered by then.
    fn start(&mut self);

    fn manager(&self) -> Self::Manager;

    fn blocker(&self) -> Self::Blocker;
}

//! What nodes, clients and (later) L1 contracts agree on byte for byte: transactions, blocks,
//! certificates, proofs, receipts, the genesis, and the JSON of the API. No I/O.
//!
//! Every hash and every signature here is separated by a domain of its own ([`domain`]); every
//! encoding has a golden vector under `specs/vectors/`.

pub mod api;
pub mod block;
pub mod domain;
pub mod election;
pub mod forced;
pub mod genesis;
pub mod hex;
pub mod lottery;
pub mod merkle;
pub mod proof;
pub mod receipt;
pub mod reshare;
pub mod results;
pub mod settlement;
pub mod transaction;

pub use block::{Block, BlockLimits, Body, Header, Segment};
pub use commonware_consensus::types::{Epoch, Height, Round, View};
pub use genesis::{Genesis, Rollup};
pub use results::{EvmRollups, ExecutionResult, Results};
pub use transaction::{Bundle, BundleId, RollupId, Transaction, TxId};

use commonware_consensus::simplex::{scheme::bls12381_threshold::vrf, types as simplex};
use commonware_cryptography::{bls12381::primitives::variant::MinSig, ed25519, sha256};
use commonware_glue::dkg::{network, types as dkg};

/// Hash of headers, bodies, transactions: SHA-256.
pub type Digest = sha256::Digest;
/// A node's identity: p2p, block authorship, receipts.
pub type PublicKey = ed25519::PublicKey;
pub type PrivateKey = ed25519::PrivateKey;
pub type Signature = ed25519::Signature;
/// Votes and certificates: threshold BLS (signatures in G1), plus one seed signature per view.
pub type Scheme = vrf::Scheme<PublicKey, MinSig>;
pub type Certificate = vrf::Certificate<MinSig>;
pub type Seed = vrf::Seed<MinSig>;
/// The consensus coordinates a block is proposed at.
pub type Context = simplex::Context<Digest, PublicKey>;
pub type Finalization = simplex::Finalization<Scheme, Digest>;
/// Key-ceremony material carried by some blocks, with the p2p addresses of the next committee.
pub type Directory = network::Addresses<PublicKey>;
pub type Payload = dkg::Payload<MinSig, PublicKey, Directory>;
pub type EpochInfo = dkg::EpochInfo<MinSig, PublicKey, Directory>;
/// Public result of a key ceremony: the group key and everyone's share commitment.
pub type Sharing = commonware_cryptography::bls12381::dkg::feldman_desmedt::Output<MinSig, PublicKey>;
/// The one key of the cluster (compressed G2, 96 bytes).
pub type GroupKey = <MinSig as commonware_cryptography::bls12381::primitives::variant::Variant>::Public;
pub type SeedPoint = <MinSig as commonware_cryptography::bls12381::primitives::variant::Variant>::Signature;

/// Most members a cluster can have; sizes the ceremony material in a block (about 33 kB).
pub const MEMBERS_MAX: std::num::NonZeroU32 = std::num::NonZeroU32::new(128).expect("not zero");

/// Faults a cluster of `n` tolerates.
pub const fn faults_tolerated(n: u32) -> u32 {
    n.saturating_sub(1) / 3
}

/// Votes that make a certificate.
pub const fn quorum(n: u32) -> u32 {
    n - faults_tolerated(n)
}

//! A verifiable random function on hashes alone, with zero-knowledge proofs, for drawing proposers.
//!
//! ```text
//! secret ─► (key, link) = P(secret ‖ IV)            the key is registered, the link stays
//! link   ─► opening of turn t = P(epoch, t ‖ link)  revealed in its turn
//!        ─► leaf of turn t = P(opening ‖ IV')       proven for all turns of an epoch by one STARK
//! opening, later beacon ─► output ─► member
//! ```
//! - [`EpochSecrets`] makes an [`EpochProof`] per epoch and a [`Reveal`] per turn; checking one takes a
//!   permutation and a Merkle path.
//! - [`SingleProof`] proves one view by itself.
//! - [`Output::draw`] picks a member.
//!
//! Rules that hold, and why:
//! - *One output* per key, context and turn: the leaves are a function of the secret behind the key, and a
//!   second list of leaves, or a second opening of a leaf, means a collision of P or a false proof.
//! - *Hidden* until revealed: openings are values of a keyed function, leaves are one-way, proofs are
//!   statistically zero-knowledge.
//! - *Bound*: key, chain, epoch, beacon, number of rounds and suite are under the root and in every transcript.
//! - *One encoding* of every value, and bytes from outside never panic.
//!
//! Absent on purpose: threads, clocks, disks and sources of randomness (the caller brings one, and it is
//! mixed with the secret); which beacons are used, and when a proof is in force; claims about timing
//! side channels. A member knows its own openings of an epoch in advance, which is why an output takes a
//! beacon that appears later. The caller's generator of a proof and all intermediate tables are not wiped
//! from memory; keys and openings are.
//!
//! Only this crate names the proof system.

mod circuit;
mod config;
mod context;
mod domain;
mod epoch;
mod error;
mod key;
mod output;
mod permutation;
mod security;
mod single;
mod stark;
mod suite;
mod tree;
mod words;

pub use context::{Beacon, Context};
pub use epoch::{Commitment, EpochProof, EpochSecrets, PROOF_BYTES_MAX, Reveal, Rounds};
pub use error::{Malformed, ProveError, Refused};
pub use key::{Leaf, Opening, PublicKey, SecretKey};
pub use output::Output;
pub use security::Security;
pub use single::SingleProof;
pub use suite::Suite;

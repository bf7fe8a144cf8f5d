//! Bytes from outside, thrown at the decoders that read them.
//!
//! ```text
//!  golden vectors, corpus/<target>/*, values made here ─► seeds ─┐
//!                                     ┌──────────────────────────┴─► mutate ─► check ─┬─► refused, decoded
//!                                     └── inputs with a new outcome ◄─────────────────┤
//!                                         corpus/<target>/<hash> ◄── panic: a bug ◄───┘
//! ```
//!
//! A target is a decoder with its seeds and a check. The check panics on what must not be: a decoder that
//! panics, a value that encodes to other bytes than it came from, two decoders that disagree. The run
//! around it also measures memory: what one input takes is bounded by a multiple of its length, so that
//! a length that is only claimed costs nothing.
//!
//! Mutants come from fixed random seeds and from nothing else, so a run can be repeated. There is no
//! feedback from the code that ran, which stable Rust does not offer; what a check says of an input
//! stands in for it, and inputs that it says something new of are mutated further.
//!
//! Without a target are:
//! - decoders inside libraries, which do not show them: handshake and frames of peers, messages of the resolver
//!   (its keys have a target), HTTP and WebSocket, the files of journals and archives around their records,
//!   encrypted keystores of L1;
//! - blobs of L1 against their versioned hashes: the proofs of the library take too long;
//! - what a devnet on one machine and `baton bench` read of processes that they started.

mod mutate;
mod run;
mod seeds;
mod targets;

pub use run::{Outcome, Stats, Target, run};
pub use targets::targets;

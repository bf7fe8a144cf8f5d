//! Bytes from outside, thrown at every decoder that reads some.
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
//! Deliberately absent: decoders inside the library of consensus that it does not show (handshake,
//! frames, resolver messages), and files that a node writes for itself alone.

mod mutate;
mod run;
mod seeds;
mod targets;

pub use run::{Outcome, Stats, Target, run};
pub use targets::targets;

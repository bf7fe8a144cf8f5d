//! Golden vectors, proofs, and what decoders do with bytes from outside. One program, so that the
//! cryptography is linked once.

#![allow(clippy::unwrap_used)]

mod cluster;
mod decoders;
mod fixtures;
mod genesis;
mod headers;
mod light_client;
mod proofs;
mod settlement;
mod settling;
mod vectors;

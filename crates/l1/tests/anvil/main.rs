//! Watching, posting and deriving against a real L1: anvil, which every test starts for itself.

#![allow(clippy::unwrap_used)]

mod blobs;
mod cluster;
mod costs;
mod deriving;
mod posting;
mod watching;
mod world;

//! The command line and real nodes as processes. One program, so that it is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod cli;
#[cfg(feature = "clients")]
mod clients;
mod devnet;
mod evm;
mod faults;
mod hostile;
#[cfg(feature = "clients")]
mod l1;
mod overload;
mod storage;
mod support;

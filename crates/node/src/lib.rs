//! One node as a process: configuration, keys, wiring, lifecycle, health. No domain logic.

pub mod accounts;
pub mod auditor;
pub mod config;
mod disk;
mod eth;
mod failure;
mod files;
pub mod health;
pub mod keys;
mod machine;
pub mod run;
mod settlement;
mod tcp;
mod watcher;

/// Verifies an election without a node.
pub use baton_consensus::lottery::offline as election;
pub use baton_execution::evm::proof as evm_proof;

/// What transports of members agree on, for tests that play a member.
#[doc(hidden)]
pub mod transport {
    pub use baton_consensus::{engine::max_message_size, network::Channel};
}

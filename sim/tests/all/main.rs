//! Whole clusters on the deterministic runtime. One program, so that the node is compiled and linked
//! once.

#[macro_use]
mod elections;

mod byzantine;
mod evm;
mod evm_states;
mod hostile_lottery;
mod incidents;
mod liveness;
mod lost_votes;
mod lottery;
mod properties;
mod scenarios;
mod settlement;
mod state_sync;
mod swarm;

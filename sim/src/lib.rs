//! Whole clusters on the deterministic runtime: the very nodes that run in production, on a simulated
//! network, clock and disk. A scenario is a seed, faults and a load; [`run`] checks the properties.
//!
//! ```text
//!  Scenario ─► Cluster ─► members ─► Machine: clock, disk, life      Load (submits, keeps receipts)
//!                 │          │                                         │
//!      faults at their times ├─ events ─► Witness ─┐                   ▼
//!                            └─ votes ──► Votes ───┴──────────────► properties
//! ```
//!
//! The same scenario with the same seed gives the same state hash; [`run_twice`] compares two runs.
//! [`swarm`] draws scenarios from seeds, [`shrink`] takes away what a failure does not need, [`trace`]
//! tells what happened.

pub mod byzantine;
pub mod cluster;
pub mod disk;
pub mod fault;
pub mod l1;
pub mod life;
pub mod links;
pub mod load;
pub mod machine;
mod properties;
pub mod scenario;
pub mod shrink;
pub mod swarm;
pub mod trace;
pub mod votes;
pub mod wallet;
pub mod witness;

pub use byzantine::Behaviour;
pub use disk::{Damage, Unsynced};
pub use fault::Action;
pub use l1::L1Action;
pub use scenario::{Chain, Outcome, Report, Scenario, outcome, run, run_twice, run_with};

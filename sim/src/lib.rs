//! Whole clusters on the deterministic runtime: the very nodes that run in production, on a simulated
//! network, clock and disk. A scenario is a seed, faults and a load; [`run`] checks the properties.
//!
//! ```text
//!  Scenario ─► Cluster (nodes, links) ─► Load (submits, remembers every receipt)
//!                 │ faults at their times        │
//!                 ▼                              ▼
//!              Witness of each node's events ─► properties: agreement, nothing accepted is lost,
//!                                               every rung justified, progress after healing
//! ```
//!
//! The same scenario with the same seed gives the same state hash; [`run_twice`] compares two runs.

pub mod cluster;
pub mod links;
pub mod load;
pub mod scenario;
pub mod witness;

pub use scenario::{Action, Report, Scenario, run, run_twice, run_with};

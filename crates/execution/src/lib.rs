//! What decides about transactions without asking anybody: which are admitted, which go into
//! a block, which blocks are valid given their parent.
//!
//! ```text
//! submission ─► Pool::check ─► Pool::admit ─► Pool::select ─► proposed block
//!               (Rules)         (Limits)                           │
//!  received block ─► check_body, check_accumulators, Recent ───► vote
//!                                                                  │
//!  finalized block ─► Pool::finalized, Recent::finalize ◄──────────┘
//! ```
//!
//! Everything here is synchronous and a function of its arguments: no I/O, no clock, no
//! randomness, no floats, and no order that depends on a hash table. Replaying the same calls
//! gives the same result on every node; only [`ids`]' tables take a secret, and it never shows.

pub mod chain;
pub mod evm;
pub mod forced;
pub mod ids;
pub mod parallel;
pub mod pool;
pub mod recent;
pub mod rules;

pub use chain::{Violation, check_accumulators, check_body};
pub use ids::IdMap;
pub use pool::{Checked, Limits, MemberIndex, Pool, PoolStats, RollupStats, Source, Unit};
pub use recent::Recent;
pub use rules::Rules;

#[cfg(test)]
mod testing;

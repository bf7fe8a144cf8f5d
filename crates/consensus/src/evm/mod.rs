//! Execution of EVM rollups along the ordered blocks: one task per rollup, off the voter's path.
//!
//! ```text
//!   shared: proposed, notarized, final blocks        marshal's archive: what memory has no more
//!       └───────────────┬──────────────────────────────────┘
//!                       ▼ pulled, one at a time
//!                    driver ── Chain (execution::evm) ──► Execution: results, state, events
//!                       │                                    ▲ verify: is this claim what I found?
//!                       │                                    ├ propose: what may I claim?
//!                       ▼ attested blocks only               └ readers: state, blocks, places
//!                    archive ── synced every second ──► checkpoints: whole states, now and then
//!                    exchange ── states for and from other members
//! ```
//!
//! Rules by event:
//! - *A block is final*: executed, if it was not before, and committed. Its result may be claimed by the next
//!   proposer. Comes before anything speculative.
//! - *A block is proposed or notarized*: executed ahead, on its branch, so that voters know results in time.
//! - *A final header attests a result*: it must be this node's. What it covers goes to the archive. If it is
//!   another, this node stops executing the rollup and says so; it never votes for a claim again, and orders
//!   as before.
//! - *Start*: the newest good checkpoint, records from the archive, then the blocks of the cluster that follow,
//!   again. What is damaged is named and passed over: something before it is there.
//! - *The next block of the cluster is gone*, because this node joined above it or was away: the state that a final
//!   block attests is fetched from other members, piece by piece against its root.
//!
//! The driver pulls, so nothing queues up for it: one that is slow or stuck delays its own rollup and nobody
//! else. Voters wait for it only when a header claims a result that it has not found yet; they abstain
//! meanwhile, and the view's timeout decides; the proposer then finds out which rollup it was (`shared::claims`).
//! A rollup whose attested result is more than [`LAG_BLOCKS_MAX`](baton_types::results::LAG_BLOCKS_MAX) blocks behind
//! has no segment until it catches up.
//!
//! Blocks of the cluster are removed from a window only when what they did is on disk here.
//!
//! Invariants: the archive holds nothing that the cluster's certificate does not cover, so a node whose memory
//! was damaged finds its way back by starting again; the finalized log is the write-ahead log, so a crash
//! loses nothing; every queue is bounded.
//!
//! Deliberately absent: blocks of the rollup from before the state that was fetched. They are history, which other
//! nodes tell.

mod archive;
mod checkpoints;
mod driver;
pub mod exchange;
mod execution;
mod prove;

pub use execution::{Event, Execution, Heads, Outcome, Status, Stopped};
pub use prove::Question;

use crate::{
    aliases::{Marshal, Runtime},
    ledger::Keep,
    shared::Shared,
};
use baton_types::{Digest, Genesis, RollupId};
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use driver::Seat;
use std::{collections::BTreeMap, sync::Arc};

/// What a node decides about its executors.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Blocks of a rollup whose state is kept.
    pub history_max: usize,
    /// Blocks of a rollup between two whole states on disk.
    pub checkpoint_blocks: u64,
    /// What goes wrong, for simulations.
    #[doc(hidden)]
    pub fault: Option<(RollupId, Fault)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { history_max: 256, checkpoint_blocks: 1_024, fault: None }
    }
}

/// What happens to the executor of a rollup before it executes the first block at or above a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bit of its state flips.
    Damage { height: u64 },
    /// It does nothing more.
    Wedge { height: u64 },
}

/// The executors of a node, by rollup.
pub type Executions = BTreeMap<RollupId, Arc<Execution>>;

/// One for each EVM rollup, not running yet. `block` is the cluster's block 0.
pub fn executions(genesis: &Genesis, block: Digest, settings: Settings) -> Executions {
    let execution = |rollup| Execution::new(rollup, block, settings.history_max).map(Arc::new);
    genesis.rollups.iter().filter_map(|rollup| Some((rollup.id(), execution(rollup)?))).collect()
}

/// Where executors keep what they keep.
pub struct Config {
    /// Of all partitions.
    pub prefix: String,
    pub page_cache: CacheRef,
    /// None where everything is kept.
    pub keep: Option<Keep>,
    pub settings: Settings,
    /// Called first on a thread whose work may wait, to lower its priority.
    pub background: fn(),
}

/// Opens what is on disk and starts the executors. Returns when each is where its records end.
pub async fn start<E: Runtime>(
    context: &E,
    config: &Config,
    shared: &Arc<Shared>,
    marshal: &Marshal,
    exchange: &exchange::Mailbox,
) -> Vec<Handle<()>> {
    let mut handles = Vec::new();
    for (id, execution) in shared.executions() {
        let context = context.child("evm").with_attribute("rollup", id.0);
        let seat = Seat {
            execution: execution.clone(),
            shared: shared.clone(),
            marshal: marshal.clone(),
            exchange: exchange.clone(),
        };
        handles.extend(driver::start(context, config, seat).await);
    }
    handles
}

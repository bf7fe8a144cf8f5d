//! The executor of EVM rollups: an ordered list of transactions in, real Ethereum blocks out.
//!
//! ```text
//! raw ─► Signed::decode ─► EvmPool ─► … ordered by the cluster … ─► Entry
//!        (any thread)                                                │
//!      State ─► OpenBlock::open ─► execute ─► seal ─► Sealed ◄───────┘
//!        ▲            Chain: branches on blocks of the cluster, finality, history
//!        ├─ Scene: code run on any kept state without changing it
//!        ├─ Record, Checkpoint: what a node keeps on disk of blocks and of whole states, and starts from
//!        ├─ Part, Fetch: a state in pieces that verify by themselves, for another node
//!        └─ proof: an account, a slot or a receipt for someone who knows the group key alone
//! ```
//!
//! It follows the order it is given and never makes one. Rules: specs/10-evm.md.
//!
//! Absent: blobs, deposits from L1, withdrawals (their list is always empty).

pub mod block;
pub mod chain;
pub mod changes;
pub mod checkpoint;
mod hashes;
pub mod order;
mod overlay;
pub mod params;
pub mod pool;
pub mod proof;
pub mod record;
pub mod scene;
pub mod state;
pub mod stored;
pub mod sync;
pub mod transaction;
mod trie;

pub use block::{Entry, Env, OpenBlock, Outcome, Sealed, Slice};
pub use chain::{Chain, ChainError, ChainLimits, ClusterBlock, Executed, Made, Past};
pub use changes::{AccountChange, AccountFacts, Changes};
pub use checkpoint::{Checkpoint, Restoring};
pub use hashes::RecentHashes;
pub use overlay::Overlay;
pub use params::Params;
pub use pool::{Admitted, EvmPool, EvmPoolLimits, Refused, Room, Turn};
pub use record::{Record, RecordError};
pub use scene::{Ran, Rules, Scene, SceneContext};
pub use state::{AccountProof, Misfit, SlotProof, State};
pub use stored::Stored;
pub use sync::{AccountSummary, Download, DownloadError, Fetch, Piece, Wish};
pub use transaction::{Signed, Skip};
pub use trie::part::{Part, PartError, Prefix};

#[cfg(any(test, feature = "testing"))]
pub mod testing;

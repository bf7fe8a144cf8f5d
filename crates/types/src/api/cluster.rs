//! What a node sees of its cluster right now.

use super::StatusView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MempoolView {
    pub transactions: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    pub rollups: Vec<RollupPoolView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollupPoolView {
    pub rollup: u32,
    pub transactions: u64,
    pub bytes: u64,
    pub bytes_max: u64,
}

/// What the topic `cluster` delivers: what changes from moment to moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// This node's clock, Unix ms.
    pub time_ms: u64,
    pub status: StatusView,
    pub mempool: MempoolView,
    /// Of each EVM rollup.
    pub executions: Vec<ExecutionSight>,
    /// By index.
    pub members: Vec<MemberSight>,
}

/// How far this node has executed an EVM rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionSight {
    pub rollup: u32,
    /// The last final height that is executed here.
    pub executed_to: u64,
    /// The rollup's newest block.
    pub number: u64,
    /// Whether this node executes it no more; `reason` of the status says why.
    pub stopped: bool,
}

/// A member, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberSight {
    pub index: u32,
    /// Whether it is connected to this node, or is this node; null until the node has looked.
    pub connected: Option<bool>,
    /// Whether it voted in the last views this node saw.
    pub voting: bool,
    /// Last view of this epoch in which this node saw a vote of it.
    pub last_vote_view: Option<u64>,
    pub benched: bool,
    pub suspended: bool,
    /// How far its last block was ahead of this node's clock, where that is more than the genesis allows.
    pub clock_ahead_ms: Option<u64>,
}

/// What became final in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondView {
    /// When it began, Unix ms.
    pub time_ms: u64,
    pub blocks: u64,
    pub transactions: u64,
    /// Median time from proposed to finalized, of the blocks that this node saw proposed; null without any.
    pub finality_ms: Option<u64>,
}

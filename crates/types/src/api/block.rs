//! A block as the API shows it.

use crate::receipt::Rung;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockView {
    pub hash: String,
    pub rung: Rung,
    pub height: u64,
    pub epoch: u64,
    pub view: u64,
    pub parent: String,
    pub timestamp_ms: u64,
    /// Index of the member that led the view.
    pub committer: u32,
    pub author: u32,
    pub election: String,
    pub parent_seed: String,
    pub body_root: String,
    pub heads_root: String,
    pub history_root: String,
    pub transactions: u64,
    /// Encoded size.
    pub bytes: u64,
    /// Hash chains of all rollups that have one, after this block; `heads_root` is over them.
    pub heads: Vec<HeadView>,
    /// Where this block says that execution stands, for each EVM rollup; `results_root` is over them.
    pub results: Vec<ResultView>,
    pub segments: Vec<SegmentView>,
    /// The finalization certificate, where this block has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadView {
    pub rollup: u32,
    pub head: String,
}

/// Of one EVM rollup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultView {
    pub rollup: u32,
    /// Height of the last block of the cluster that is executed.
    pub executed_to: u64,
    /// The rollup's newest sealed block then.
    pub number: u64,
    pub hash: String,
    pub state_root: String,
    /// Base fee per gas of the block after it, in wei.
    pub base_fee: u64,
}

/// The last three have an entry per id, so that each id can be computed again; they are there when payloads
/// were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentView {
    pub rollup: u32,
    /// The rollup's hash chain after this block.
    pub head: String,
    pub ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payloads: Option<Vec<crate::hex::Hex>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Vec<u64>>,
    /// Ids of bundles, for those that are legs of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundles: Option<Vec<Option<String>>>,
}

//! Batches for L1 as the API shows them.

use super::RollupRef;
use crate::settlement::{BatchFile, DataKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchesParams {
    pub rollup: RollupRef,
    /// First index wanted.
    #[serde(default)]
    pub from_index: u64,
    /// Most batches to return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchParams {
    pub rollup: RollupRef,
    pub index: u64,
}

/// A run of final blocks of one rollup, on its way to L1 or into a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchView {
    pub rollup: u32,
    pub index: u64,
    pub inbox: String,
    pub key_generation: u32,
    pub first_height: u64,
    pub last_height: u64,
    /// Slot of the last block, for the sequencing policy.
    pub slot: u64,
    /// Head of the inbox before the batch, and after it.
    pub previous_head: String,
    pub head: String,
    /// The rollup's head after the last block.
    pub order_root: String,
    pub data: DataKind,
    pub data_commitment: String,
    /// Forced entries taken up to and including it.
    pub forced_cursor: u64,
    /// Whether the newest block of L1 that this node knows has it, which may go back; without L1 the directory.
    pub posted: bool,
    /// Whether a final block of L1 has it; without L1 never.
    pub settled: bool,
    /// Where L1 has it, if that is not too long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1_block: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1_transaction: Option<String>,
    /// What L1 checks; none until 2f+1 members have signed.
    pub certificate: Option<BatchFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchesResult {
    pub batches: Vec<BatchView>,
    /// Where to go on.
    pub next_index: u64,
    /// The rollup's forced queue; none before this node has reached L1.
    pub forced: Option<ForcedQueueView>,
}

/// As the newest block of L1 has it that this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForcedQueueView {
    /// Entries so far.
    pub length: u64,
    /// Of these the inbox has taken.
    pub taken: u64,
}

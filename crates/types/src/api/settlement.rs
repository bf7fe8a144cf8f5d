//! What `baton derive` says of a batch, and of what went through the hatch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DerivedView {
    pub index: u64,
    pub first_height: u64,
    pub last_height: u64,
    pub transactions: u64,
    /// Of its data.
    pub bytes: u64,
    pub order_root: String,
    /// Where L1 has it; not of a batch from a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1_block: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1_transaction: Option<String>,
    /// Whether the transaction shows the certificate; otherwise the inbox alone has checked it.
    pub certificate_seen: bool,
    /// Of an EVM rollup, after it.
    #[serde(flatten)]
    pub head: Option<DerivedHead>,
}

/// Newest block of an EVM rollup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DerivedHead {
    pub block: u64,
    pub block_hash: String,
    pub state_root: String,
}

/// Forced entries that the inbox took without the cluster, executed behind its last block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RescuedView {
    pub first_entry: u64,
    pub last_entry: u64,
    /// That took them.
    pub l1_block: u64,
    /// Of an EVM rollup: entries that were executed; the others were skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed: Option<u64>,
    #[serde(flatten)]
    pub head: Option<DerivedHead>,
}

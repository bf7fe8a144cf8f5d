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
    pub l1_block: u64,
    pub l1_transaction: String,
    /// Whether the transaction shows the certificate; otherwise the inbox alone has checked it.
    pub certificate_seen: bool,
    /// Newest block of an EVM rollup after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_root: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_root: Option<String>,
}

//! What `baton derive` says of a batch.

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

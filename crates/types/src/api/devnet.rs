//! What a devnet says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// First line of `baton devnet --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DevnetView {
    pub chain: String,
    pub group_key: String,
    pub nodes: Vec<DevnetNode>,
    pub rollups: Vec<crate::Rollup>,
    /// Of its EVM rollups, each with 10,000 ether in block 0.
    #[serde(default)]
    pub accounts: Vec<DevnetAccount>,
}

/// An account whose key everybody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DevnetAccount {
    pub address: String,
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DevnetNode {
    pub index: u32,
    pub pid: u32,
    pub rpc: String,
    pub ws: String,
    pub ops: String,
}

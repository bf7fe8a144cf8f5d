//! Proof of what an EVM rollup holds or did, as written to a file and returned by the API. It is checked in
//! `baton_execution::evm::proof`.

use super::BlockProofFile;
use serde::{Deserialize, Serialize};

pub const FORMAT: &str = "baton-evm-proof-1";

/// Either `account` or `receipt` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvmProofFile {
    /// Always `baton-evm-proof-1`.
    pub format: String,
    pub rollup: u32,
    /// The block of the cluster that attests the rollup's block.
    pub attested_by: BlockProofFile,
    /// The results that this block attests: for each EVM rollup `u32` id and codec bytes of its result.
    pub results: String,
    /// RLP of headers of the rollup: of the attested block, of its parent, and so on to the block in question.
    pub headers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptFile>,
}

/// An account after the block in question; one that does not exist is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountFile {
    pub address: String,
    pub nonce: u64,
    /// Wei, decimal.
    pub balance: String,
    pub code_hash: String,
    pub storage_root: String,
    /// Nodes of the state's trie from the root down (EIP-1186).
    pub nodes: Vec<String>,
    pub slots: Vec<SlotFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotFile {
    pub slot: String,
    pub value: String,
    /// Nodes of the account's trie from the storage root down.
    pub nodes: Vec<String>,
}

/// A transaction of the block in question, and its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// Place in the block.
    pub index: u32,
    /// As it was signed; its hash is the transaction's.
    pub transaction: String,
    pub transaction_nodes: Vec<String>,
    /// As the receipts root has it (EIP-2718).
    pub receipt: String,
    pub receipt_nodes: Vec<String>,
}

//! JSON of the API: what goes over JSON-RPC and what `--json` prints.
//!
//! Numbers for heights, views, indices and milliseconds; `0x` strings for hashes, keys and bytes.

mod batch;
mod block;
mod cluster;
mod devnet;
mod settlement;

pub use batch::{BatchParams, BatchView, BatchesParams, BatchesResult, ForcedQueueView};
pub use block::{BlockView, HeadView, ResultView, SegmentView};
pub use cluster::{ClusterView, ExecutionSight, MemberSight, MempoolView, RollupPoolView, SecondView};
pub use devnet::{DevnetAccount, DevnetNode, DevnetView};
pub use settlement::{DerivedHead, DerivedView, RescuedView};

use crate::{
    election::ElectionFile,
    proof::{BlockProofFile, ProofFile, evm::EvmProofFile},
    receipt::{Reason, Rung},
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};
use std::{collections::BTreeMap, fmt};

/// A rollup by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RollupRef {
    Id(u32),
    Name(String),
}

// Derived, it would copy each value before looking at it: a tenth of the time a batch takes.
impl<'de> Deserialize<'de> for RollupRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrId;

        impl Visitor<'_> for NameOrId {
            type Value = RollupRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a rollup, or its id as a number")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<RollupRef, E> {
                Ok(RollupRef::Name(name.to_owned()))
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<RollupRef, E> {
                u32::try_from(id)
                    .map(RollupRef::Id)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(id), &self))
            }
        }

        deserializer.deserialize_any(NameOrId)
    }
}

/// What the submitter waits for before it gets its receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// On this node's journal.
    #[default]
    Pending,
    /// On the journals of 2f+1 nodes.
    Replicated,
}

/// One transaction to submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub rollup: RollupRef,
    /// Payload as `0x` hex.
    pub data: crate::hex::Hex,
    /// Last height that may carry it; by default as late as the chain allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    /// Larger goes first in rollups ordered by fee hint. Decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitParams {
    pub rollup: RollupRef,
    pub data: crate::hex::Hex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_hint: Option<String>,
    #[serde(default)]
    pub ack: Ack,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatchParams {
    pub transactions: Vec<Submission>,
    #[serde(default)]
    pub ack: Ack,
}

/// One leg of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LegSubmission {
    pub rollup: RollupRef,
    pub data: crate::hex::Hex,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBundleParams {
    pub legs: Vec<LegSubmission>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    #[serde(default)]
    pub ack: Ack,
}

/// A node's signed statement about the transactions it accepted from one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptView {
    /// Genesis digest.
    pub chain: String,
    /// Identity of the node that signed.
    pub node: String,
    pub rung: Rung,
    pub time_ms: u64,
    pub ids: Vec<String>,
    pub signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitResult {
    pub id: String,
    pub receipt: ReceiptView,
}

/// What became of one transaction of a batch: its id, or why it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorData>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitBatchResult {
    /// In the order of the request.
    pub transactions: Vec<BatchEntry>,
    /// Over the accepted ids; none when nothing was accepted.
    pub receipt: Option<ReceiptView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitBundleResult {
    pub bundle: String,
    /// Ids of the legs, in order.
    pub ids: Vec<String>,
    pub receipt: ReceiptView,
}

/// `data` of every JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    pub reason: Reason,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A transaction's place on the ladder, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionView {
    pub id: String,
    pub rung: Rung,
    /// Set from `proposed` on; may change until `finalized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When this node saw each rung, in Unix ms, as far as it remembers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times_ms: BTreeMap<Rung, u64>,
    /// Why it ended, for `expired` and `rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    pub rollup: u32,
    pub height: u64,
    pub block: String,
    /// In the rollup's segment.
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionParams {
    pub id: String,
}

/// `latest`, a height, or a block hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BlockRef {
    Height(u64),
    /// `latest` or `0x…`.
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockParams {
    pub block: BlockRef,
    /// Whether to return the payloads, or only the ids.
    #[serde(default)]
    pub payloads: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockProofParams {
    pub block: BlockRef,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollupBlocksParams {
    pub rollup: RollupRef,
    /// First height wanted.
    pub from_height: u64,
    /// Most blocks to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// One rollup's part of one finalized block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollupBlock {
    pub height: u64,
    pub block: String,
    pub timestamp_ms: u64,
    /// The rollup's hash chain after this block.
    pub head: String,
    pub ids: Vec<String>,
    pub payloads: Vec<crate::hex::Hex>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollupBlocksResult {
    pub blocks: Vec<RollupBlock>,
    /// Where to go on: nothing below it was left out.
    pub next_height: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValidatorView {
    pub index: u32,
    pub identity: String,
    pub p2p: String,
    pub weight: u64,
    /// Whether it voted in the last views this node saw.
    pub voting: bool,
    /// Last view of this epoch in which this node saw a vote of it.
    pub last_vote_view: Option<u64>,
    /// Finalized blocks it authored since this node started.
    pub blocks_authored: u64,
    /// Whether it is not drawn in this segment; under election `zk-lottery`.
    pub benched: bool,
    /// Whether it neither commits nor is drawn in this epoch; under election `zk-lottery`.
    pub suspended: bool,
    /// What it did in the present epoch. Nodes that count from the same height agree.
    pub epoch: MemberCounts,
    /// What it did since this node started.
    pub since_start: MemberCounts,
    /// Whether it is this node.
    pub this_node: bool,
}

/// What finalized blocks say of one member. All but the first two stay zero under other elections than
/// `zk-lottery`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberCounts {
    /// Height of the first block counted; none before the first.
    pub from_height: Option<u64>,
    /// Blocks it built.
    pub blocks_authored: u64,
    /// Blocks among these that another member's turn drew it for.
    pub designations: u64,
    /// Blocks of its own turns, with a reveal under its commitment.
    pub reveals: u64,
    /// Blocks of its own turns, with a proof of the view by itself.
    pub single_proofs: u64,
    /// Its turns that passed without a block.
    pub turns_missed: u64,
    /// Segments in which it was benched.
    pub segments_benched: u64,
    /// Epochs in which it was suspended.
    pub suspensions: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EpochView {
    pub epoch: u64,
    pub first_height: u64,
    pub last_height: u64,
    pub group_key: String,
    pub election: String,
    /// Members that hold shares of the key in this epoch.
    pub holders: u32,
    /// Votes that make a certificate.
    pub quorum: u32,
    /// Faulty members tolerated.
    pub faults: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    pub version: String,
    pub network: String,
    pub network_id: u64,
    pub chain: String,
    pub group_key: String,
    /// This node's member index.
    pub index: u32,
    pub identity: String,
    pub members: u32,
    pub quorum: u32,
    pub faults: u32,
    pub ready: bool,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub epoch: u64,
    pub view: u64,
    /// The lowest height of which this node has a block; 0 where it has the whole chain.
    pub lowest_height: u64,
    pub finalized_height: u64,
    pub finalized_hash: String,
    pub finalized_time_ms: u64,
    pub uptime_ms: u64,
    pub mempool_transactions: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElectionParams {
    /// A finalized height; by default that of the last finalized block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
}

/// How the author of a finalized block came to build it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ElectionView {
    pub height: u64,
    /// Hash of the block.
    pub block: String,
    pub epoch: u64,
    pub view: u64,
    /// 0 where the parent belongs to the epoch before.
    pub parent_view: u64,
    /// Views between the parent and this block that passed without one.
    pub views_missed: u64,
    pub election: String,
    /// Index of the member that led the view.
    pub committer: u32,
    /// Index of the member that built the block.
    pub author: u32,
    /// The group's seed for the parent's view; under `threshold-lottery` and `stake-weighted` the seed of the
    /// view before draws the leader. Zero where the parent belongs to the epoch before.
    pub parent_seed: String,
    /// Under election `zk-lottery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lottery: Option<LotteryView>,
}

/// A draw of the zero-knowledge lottery, from what the committer revealed to the member drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LotteryView {
    /// Which turn of the committer in this epoch it was, from 0.
    pub turn: u64,
    pub evidence: EvidenceKind,
    pub evidence_bytes: u64,
    /// What the committer revealed.
    pub opening: String,
    /// The committer's commitment in force, if it has one.
    pub commitment: Option<CommitmentView>,
    pub context_beacon: String,
    pub later_beacon: String,
    /// The value that draws.
    pub output: String,
    /// Candidates in the order of the draw; the last is the author.
    pub draw: Vec<CandidateView>,
    /// Members that are not drawn in this segment.
    pub benched: Vec<u32>,
    /// Members that neither commit nor are drawn in this epoch.
    pub suspended: Vec<u32>,
    /// The first of the views missed, with their committers; at most 256.
    pub missed: Vec<MissedView>,
}

/// What shows that an opening is the committer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// A path from the turn's leaf to the commitment in force.
    Reveal,
    /// A proof of this view by itself, where no commitment is in force for the turn.
    SingleProof,
}

impl EvidenceKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reveal => "reveal",
            Self::SingleProof => "single-proof",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitmentView {
    /// Root over the leaves of all turns.
    pub root: String,
    /// Hash of the epoch's proof; none in epoch 0, whose roots stand in the genesis without one.
    pub proof_hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateView {
    pub member: u32,
    /// Why the draw went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SkipReason {
    Benched,
    Suspended,
}

impl SkipReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Benched => "benched",
            Self::Suspended => "suspended",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissedView {
    pub view: u64,
    pub committer: u32,
}

/// Result of `baton_electionProof`.
pub type ElectionProofResult = ElectionFile;

/// One epoch's proof of one member, named by its hash, or by epoch and member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochProofParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Index of the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_hash: Option<String>,
}

/// What a member proved about all its reveals of an epoch; this node has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EpochProofView {
    pub epoch: u64,
    pub member: u32,
    pub proof_hash: String,
    /// The member's commitment on chain; none as long as it is not known to be in force.
    pub commitment: Option<CommitmentView>,
    pub bytes: u64,
    pub proof: crate::hex::Hex,
}

/// What a subscription delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "topic", rename_all = "lowercase", deny_unknown_fields)]
pub enum Topic {
    /// Every block on every rung from `proposed` to `finalized`, as this node sees it.
    Blocks {
        /// Whether to list the transaction ids.
        #[serde(default)]
        ids: bool,
    },
    /// One transaction climbing the ladder; ends with its last rung.
    Transaction {
        id: String,
        /// Whether to go on to `settled`, where its rollup settles: `posted` may then come and go.
        #[serde(default)]
        l1: bool,
    },
    /// What this node sees of the cluster, a few times a second.
    Cluster,
    /// One rollup's batches for L1 from an index (default: the first not settled), each again when it changes.
    Batches {
        rollup: RollupRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_index: Option<u64>,
    },
    /// One rollup's finalized segments, without gaps, from a height (default: from now).
    Rollup {
        rollup: RollupRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_height: Option<u64>,
    },
}

/// A block reached a rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockEvent {
    pub rung: Rung,
    pub height: u64,
    pub hash: String,
    pub epoch: u64,
    pub view: u64,
    /// Index of the member that led the view.
    pub committer: u32,
    pub author: u32,
    pub timestamp_ms: u64,
    /// When this node saw it.
    pub time_ms: u64,
    pub transactions: u64,
    pub bytes: u64,
    /// Members whose votes for it this node had seen by then.
    pub voters: Vec<u32>,
    /// All ids, in block order, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    pub subscription: u64,
}

/// Result of `baton_proof`.
pub type ProofResult = ProofFile;

/// Result of `baton_blockProof`.
pub type BlockProofResult = BlockProofFile;

/// Either `account` or `transaction`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvmProofParams {
    /// The first EVM rollup by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollup: Option<RollupRef>,
    /// 20 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Of the account, 32 bytes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
    /// Id of a transaction whose receipt is to be proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
}

/// Result of `baton_evmProof`.
pub type EvmProofResult = EvmProofFile;

#[cfg(test)]
mod tests;

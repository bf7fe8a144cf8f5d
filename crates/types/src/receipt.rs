//! What a node promises about a transaction, and how far the transaction has come.

use crate::{Digest, PrivateKey, PublicKey, Signature, TxId, domain};
use commonware_cryptography::{Hasher as _, Sha256, Signer as _, Verifier as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The ladder. The ends but `executed` come with a [`Reason`].
///
/// | rung | means |
/// |---|---|
/// | pending | on this node's journal; survives its restart |
/// | replicated | on the journals of 2f+1 nodes; survives any f disks |
/// | proposed | in a block that this node found valid |
/// | notarized | in a block that 2f+1 nodes voted for; likely, revocable |
/// | finalized | in a block with a certificate; never lost, never moved |
/// | executed | in a final block whose execution included it |
/// | posted | in a batch that is in a block of L1, and a reorg of L1 takes this back; or in the directory of a cluster without L1 |
/// | settled | in a batch that is in a final block of L1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    Pending,
    Replicated,
    Proposed,
    Notarized,
    Finalized,
    /// End: its last valid height passed before it was ordered.
    Expired,
    /// End: never accepted.
    Rejected,
    /// In a final block whose execution included it. Only EVM rollups come so far; the others end before.
    Executed,
    /// End: in a final block, and its execution left it out.
    Skipped,
    /// End: another transaction took its place before it was ordered.
    Superseded,
    /// In a batch that is in a block of L1, or in the directory. Back at the rung before when L1 reorganises.
    Posted,
    /// End: in a batch that is in a final block of L1.
    Settled,
}

impl Rung {
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Replicated,
        Self::Proposed,
        Self::Notarized,
        Self::Finalized,
        Self::Expired,
        Self::Rejected,
        Self::Executed,
        Self::Skipped,
        Self::Superseded,
        Self::Posted,
        Self::Settled,
    ];

    /// Whether nothing can follow in a rollup that is `executed` or is not, for who follows it to L1, where it `settles`,
    /// or only as far as the cluster goes.
    pub const fn is_end(self, executed: bool, settles: bool) -> bool {
        match self {
            Self::Pending | Self::Replicated | Self::Proposed | Self::Notarized => false,
            Self::Finalized => !executed && !settles,
            Self::Executed | Self::Posted => !settles,
            Self::Expired | Self::Rejected | Self::Settled | Self::Skipped | Self::Superseded => true,
        }
    }

    /// Whether it did not become what its submitter wanted.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Expired | Self::Rejected | Self::Skipped | Self::Superseded)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Replicated => "replicated",
            Self::Proposed => "proposed",
            Self::Notarized => "notarized",
            Self::Finalized => "finalized",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Executed => "executed",
            Self::Posted => "posted",
            Self::Settled => "settled",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rung {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|rung| rung.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|rung| rung.name()).collect();
            format!("unknown rung {text:?}; one of {}", names.join(", "))
        })
    }
}

/// Why something was refused. One list for the API, metrics and docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The node or the rollup's share of its mempool is full, or the cluster does not finalize; retry later.
    Busy,
    /// This client has too much pending; retry later.
    ClientLimit,
    /// No rollup of that name or id.
    UnknownRollup,
    /// The payload is over the rollup's limit, or the request over the node's.
    TooLarge,
    /// The rollup takes exactly 32 bytes.
    NotAHash,
    /// A transaction without payload.
    Empty,
    /// `valid_until` has passed.
    Expired,
    /// `valid_until` is further ahead than the chain allows.
    ValidityTooLong,
    /// Already ordered, or twice in one batch.
    Duplicate,
    /// A bundle without legs, with too many, or too large for one block.
    BadBundle,
    /// Malformed request.
    BadRequest,
    /// Nothing of that name here.
    NotFound,
    /// Below the lowest block that this node keeps; ask one with full history.
    Pruned,
    /// The node is starting or shutting down; retry later.
    NotReady,
    /// The node failed to answer.
    Internal,
    /// Not one whole transaction in its one encoding.
    Malformed,
    /// Blobs, or a transaction type that does not exist.
    UnsupportedType,
    /// Signed for another chain.
    WrongChainId,
    /// Signed without a chain id, for every chain.
    Unprotected,
    /// The gas limit does not pay for the transaction's bytes.
    IntrinsicGas,
    /// The gas limit is above that of any block.
    GasLimit,
    /// More init code than a contract may have.
    InitCodeSize,
    /// The tip is above the fee.
    TipAboveFee,
    /// A delegation without any.
    NoAuthorizations,
    /// Nobody signed it, or in the second form.
    BadSignature,
    /// No nonce comes after it.
    NonceMax,
    /// The sender's nonce is used up.
    NonceTooLow,
    /// The ones before it are missing, or too many would wait.
    NonceTooHigh,
    /// The sender cannot pay the most it may cost.
    Balance,
    /// It offers less than the block's base fee.
    FeeBelowBase,
    /// Its gas limit is above what the block has left.
    BlockGas,
    /// Contracts cannot sign.
    SenderIsContract,
    /// Another leg of its bundle would be skipped.
    Bundle,
    /// The virtual machine refuses it for another reason.
    Unexecutable,
    /// To replace a waiting transaction both fees must be a tenth higher.
    Underpriced,
    /// A transaction with the same nonce and higher fees took its place.
    Replaced,
}

impl Reason {
    pub const ALL: [Self; 36] = [
        Self::Busy,
        Self::ClientLimit,
        Self::UnknownRollup,
        Self::TooLarge,
        Self::NotAHash,
        Self::Empty,
        Self::Expired,
        Self::ValidityTooLong,
        Self::Duplicate,
        Self::BadBundle,
        Self::BadRequest,
        Self::NotFound,
        Self::Pruned,
        Self::NotReady,
        Self::Internal,
        Self::Malformed,
        Self::UnsupportedType,
        Self::WrongChainId,
        Self::Unprotected,
        Self::IntrinsicGas,
        Self::GasLimit,
        Self::InitCodeSize,
        Self::TipAboveFee,
        Self::NoAuthorizations,
        Self::BadSignature,
        Self::NonceMax,
        Self::NonceTooLow,
        Self::NonceTooHigh,
        Self::Balance,
        Self::FeeBelowBase,
        Self::BlockGas,
        Self::SenderIsContract,
        Self::Bundle,
        Self::Unexecutable,
        Self::Underpriced,
        Self::Replaced,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::ClientLimit => "client_limit",
            Self::UnknownRollup => "unknown_rollup",
            Self::TooLarge => "too_large",
            Self::NotAHash => "not_a_hash",
            Self::Empty => "empty",
            Self::Expired => "expired",
            Self::ValidityTooLong => "validity_too_long",
            Self::Duplicate => "duplicate",
            Self::BadBundle => "bad_bundle",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Pruned => "pruned",
            Self::NotReady => "not_ready",
            Self::Internal => "internal",
            Self::Malformed => "malformed",
            Self::UnsupportedType => "unsupported_type",
            Self::WrongChainId => "wrong_chain_id",
            Self::Unprotected => "unprotected",
            Self::IntrinsicGas => "intrinsic_gas",
            Self::GasLimit => "gas_limit",
            Self::InitCodeSize => "init_code_size",
            Self::TipAboveFee => "tip_above_fee",
            Self::NoAuthorizations => "no_authorizations",
            Self::BadSignature => "bad_signature",
            Self::NonceMax => "nonce_max",
            Self::NonceTooLow => "nonce_too_low",
            Self::NonceTooHigh => "nonce_too_high",
            Self::Balance => "balance",
            Self::FeeBelowBase => "fee_below_base",
            Self::BlockGas => "block_gas",
            Self::SenderIsContract => "sender_is_contract",
            Self::Bundle => "bundle",
            Self::Unexecutable => "unexecutable",
            Self::Underpriced => "underpriced",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a request was refused, in words for a person and for a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    pub reason: Reason,
    /// Names the value and the remedy.
    pub detail: String,
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after_ms: None }
    }

    /// The same request may succeed after `ms`.
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

/// A node's signed statement that the transactions `ids` reached `rung`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub chain: Digest,
    pub node: PublicKey,
    pub rung: Rung,
    pub time_ms: u64,
    pub ids: Vec<TxId>,
    pub signature: Signature,
}

impl Receipt {
    pub fn sign(key: &PrivateKey, chain: Digest, rung: Rung, time_ms: u64, ids: Vec<TxId>) -> Self {
        let message = Self::message(rung, time_ms, &ids);
        let signature = key.sign(&domain::receipt(&chain), &message);
        Self { chain, node: key.public_key(), rung, time_ms, ids, signature }
    }

    pub fn verify(&self) -> bool {
        let message = Self::message(self.rung, self.time_ms, &self.ids);
        self.node.verify(&domain::receipt(&self.chain), &message, &self.signature)
    }

    fn message(rung: Rung, time_ms: u64, ids: &[TxId]) -> Vec<u8> {
        let mut hasher = Sha256::default();
        hasher.update(domain::BATCH_IDS);
        for id in ids {
            hasher.update(&id.0);
        }
        let mut message = vec![rung as u8];
        message.extend_from_slice(&time_ms.to_be_bytes());
        message.extend_from_slice(&hasher.finalize().1);
        message
    }
}

#[cfg(test)]
mod tests;

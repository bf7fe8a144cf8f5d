//! That the author of a final block was drawn rightly, for someone who trusts nobody but the group key.
//!
//! ```text
//! group key ─► certificate ─► (history ─►) header ─► chain ─► genesis: members, VRF keys, epoch length
//!                                          header ─► reveal_evidence ─► evidence
//!                                          header ─► parent ─► members_root ─► held, state
//! state, genesis ─► committer, commitment in force ─► evidence ─► output ─► draw ─► author of the header
//! ```
//! The parent's state is part of the proof because a block is judged by the state that it builds on.
//!
//! Deliberately absent: the verification. It needs the random function, which this crate does not know;
//! `baton_consensus::lottery` has it.

use crate::{
    Finalization, Genesis, Header, hex,
    lottery::{EVIDENCE_BYTES_MAX, HELD_MAX, Held, Lottery, LotteryPart},
    proof::{HistoryFile, HistoryProof, field},
};
use bytes::Bytes;
use commonware_codec::RangeCfg;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq)]
pub struct ElectionProof {
    pub genesis: Genesis,
    pub header: Header,
    /// What shows that the header's reveal is the committer's.
    pub evidence: Bytes,
    pub parent: Header,
    /// Of the parent; its header commits to it together with the state.
    pub held: Vec<Held>,
    /// The lottery's state after the parent.
    pub state: Lottery,
    pub history: Option<HistoryProof>,
    pub certificate: Finalization,
}

impl ElectionProof {
    /// The lottery's parts that the two headers commit to: of the block the evidence, of the parent the rest.
    pub fn part(&self) -> LotteryPart {
        LotteryPart { evidence: self.evidence.clone(), held: self.held.clone(), state: self.state.clone() }
    }
}

/// An election's proof as written to a file and returned by the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElectionFile {
    /// Always `baton-election-1`.
    pub format: String,
    /// The genesis, as `baton_genesis` returns it.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub genesis: Genesis,
    /// Codec bytes of the header of the block whose election it is.
    pub header: String,
    /// Begins with 0 for a reveal under the commitment in force, with 1 for a proof of the view by itself.
    pub evidence: String,
    /// Codec bytes of the parent's header.
    pub parent: String,
    /// Codec bytes of the commitments that the parent put in force.
    pub held: String,
    /// Codec bytes of the lottery's state after the parent.
    pub state: String,
    /// Codec bytes of the certified header and the range proof; none when `header` is certified itself.
    pub history: Option<HistoryFile>,
    /// Codec bytes of the finalization certificate.
    pub certificate: String,
}

pub const FORMAT: &str = "baton-election-1";

impl From<&ElectionProof> for ElectionFile {
    fn from(proof: &ElectionProof) -> Self {
        Self {
            format: FORMAT.to_owned(),
            genesis: proof.genesis.clone(),
            header: hex::encode_value(&proof.header),
            evidence: hex::encode(&proof.evidence),
            parent: hex::encode_value(&proof.parent),
            held: hex::encode_value(&proof.held),
            state: hex::encode_value(&proof.state),
            history: proof.history.as_ref().map(HistoryFile::from),
            certificate: hex::encode_value(&proof.certificate),
        }
    }
}

impl TryFrom<&ElectionFile> for ElectionProof {
    type Error = String;

    fn try_from(file: &ElectionFile) -> Result<Self, String> {
        if file.format != FORMAT {
            return Err(format!("format: {:?}; this program reads {FORMAT}", file.format));
        }
        file.genesis.check().map_err(|error| error.to_string())?;
        let evidence = hex::decode(&file.evidence).map_err(|error| format!("evidence: {error}"))?;
        if evidence.len() > EVIDENCE_BYTES_MAX {
            return Err(format!("evidence: {} bytes; at most {EVIDENCE_BYTES_MAX}", evidence.len()));
        }
        Ok(Self {
            genesis: file.genesis.clone(),
            header: field("header", &file.header, &())?,
            evidence: evidence.into(),
            parent: field("parent", &file.parent, &())?,
            held: field("held", &file.held, &(RangeCfg::new(0..=HELD_MAX), ()))?,
            state: field("state", &file.state, &())?,
            history: file.history.as_ref().map(HistoryProof::try_from).transpose()?,
            certificate: field("certificate", &file.certificate, &())?,
        })
    }
}

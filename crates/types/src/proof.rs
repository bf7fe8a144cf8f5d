//! Proof that a transaction is final, for someone who trusts nobody but the group key.
//!
//! ```text
//! transaction id ─ leaf ─ path ─► header.body_root
//!                                 header ─ (history: its place among all headers) ─► certified header
//!                                                                    certified header ◄─ certificate ◄─ group key
//! ```
//! The certified header is the header itself when that has a certificate of its own; else a later
//! one, whose `history_root` covers it. The signing domain holds the genesis digest of the
//! certified header, so a certificate of another chain under the same key does not pass.

pub mod evm;

use crate::{
    Finalization, GroupKey, Header, RollupId, Scheme, TxId, domain, hex,
    merkle::{self, PEAKS_MAX},
};
use bytes::BufMut;
use commonware_codec::{Buf, Encode, EncodeSize, Error, FixedSize as _, Read, ReadExt as _, Write};
use commonware_cryptography::Sha256;
use commonware_parallel::Sequential;
use commonware_storage::{bmt, merkle::mmr};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

pub const VERSION: u8 = 1;

/// Digests in a history proof: peaks, and siblings below one of them.
const HISTORY_DIGESTS_MAX: usize = 2 * PEAKS_MAX;

#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    pub rollup: RollupId,
    pub id: TxId,
    /// Place in the rollup's segment.
    pub index: u32,
    /// Place in the block's tree.
    pub position: u32,
    pub path: bmt::Proof<crate::Digest>,
    pub header: Header,
    pub history: Option<HistoryProof>,
    pub certificate: Finalization,
}

/// That a header is among those a later, certified header accumulates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryProof {
    pub certified: Header,
    pub proof: mmr::Proof<crate::Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum Refused {
    #[error("the transaction is not in the block's tree at the stated place")]
    Path,
    #[error("the certified header is not of the same chain")]
    Chain,
    #[error("the block is not among the headers that the certified one accumulates")]
    History,
    #[error("the certificate is for another block")]
    OtherBlock,
    #[error("the certificate's signature does not verify under this group key")]
    Signature,
}

impl Proof {
    /// Checks everything, given nothing but the group key.
    pub fn verify(&self, rng: &mut impl CryptoRng, group_key: &GroupKey) -> Result<(), Refused> {
        let leaf = merkle::leaf(self.rollup, self.index, &self.id);
        self.path
            .verify_element_inclusion::<Sha256>(&leaf, self.position, &self.header.body_root)
            .map_err(|_| Refused::Path)?;
        verify_final(rng, &self.header, self.history.as_ref(), &self.certificate, group_key)
    }
}

/// Checks that the block of `header` is final, given nothing but the group key.
pub fn verify_final(
    rng: &mut impl CryptoRng,
    header: &Header,
    history: Option<&HistoryProof>,
    certificate: &Finalization,
    group_key: &GroupKey,
) -> Result<(), Refused> {
    let certified = match history {
        None => header,
        Some(history) => {
            if history.certified.chain != header.chain {
                return Err(Refused::Chain);
            }
            history.verify(header)?;
            &history.certified
        }
    };
    let proposal = &certificate.proposal;
    let names_it = proposal.payload == certified.digest()
        && proposal.round == certified.round()
        && proposal.parent.get() == certified.parent_view;
    if !names_it {
        return Err(Refused::OtherBlock);
    }
    let scheme = Scheme::certificate_verifier(&domain::consensus(&certified.chain), *group_key);
    if certificate.verify(rng, &scheme, &Sequential) { Ok(()) } else { Err(Refused::Signature) }
}

/// That a block is final, for whoever knows the group key.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockProof {
    pub header: Header,
    pub history: Option<HistoryProof>,
    pub certificate: Finalization,
}

impl BlockProof {
    pub fn verify(&self, rng: &mut impl CryptoRng, group_key: &GroupKey) -> Result<(), Refused> {
        verify_final(rng, &self.header, self.history.as_ref(), &self.certificate, group_key)
    }
}

impl HistoryProof {
    fn verify(&self, header: &Header) -> Result<(), Refused> {
        let location = mmr::Location::new(header.height);
        let leaves = mmr::Location::new(self.certified.height);
        let included = self.proof.leaves == leaves
            && self.proof.inactive_peaks == 0
            && header.height < self.certified.height
            && self.proof.verify_element_inclusion(
                &merkle::hasher(),
                &header.digest(),
                location,
                &self.certified.history_root,
            );
        if included { Ok(()) } else { Err(Refused::History) }
    }
}

impl Write for HistoryProof {
    fn write(&self, buf: &mut impl BufMut) {
        self.certified.write(buf);
        self.proof.write(buf);
    }
}

impl EncodeSize for HistoryProof {
    fn encode_size(&self) -> usize {
        Header::SIZE + self.proof.encode_size()
    }
}

impl Read for HistoryProof {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { certified: Header::read(buf)?, proof: mmr::Proof::read_cfg(buf, &HISTORY_DIGESTS_MAX)? })
    }
}

impl Write for Proof {
    fn write(&self, buf: &mut impl BufMut) {
        VERSION.write(buf);
        self.rollup.write(buf);
        self.id.write(buf);
        self.index.write(buf);
        self.position.write(buf);
        self.path.write(buf);
        self.header.write(buf);
        self.history.write(buf);
        self.certificate.write(buf);
    }
}

impl EncodeSize for Proof {
    fn encode_size(&self) -> usize {
        1 + RollupId::SIZE
            + TxId::SIZE
            + 4
            + 4
            + self.path.encode_size()
            + Header::SIZE
            + self.history.encode_size()
            + self.certificate.encode_size()
    }
}

impl Read for Proof {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        if u8::read(buf)? != VERSION {
            return Err(Error::Invalid("Proof", "unknown version"));
        }
        Ok(Self {
            rollup: RollupId::read(buf)?,
            id: TxId::read(buf)?,
            index: u32::read(buf)?,
            position: u32::read(buf)?,
            path: bmt::Proof::read_cfg(buf, &1)?,
            header: Header::read(buf)?,
            history: Option::<HistoryProof>::read(buf)?,
            certificate: Finalization::read_cfg(buf, &())?,
        })
    }
}

/// A proof as written to a file and returned by the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    /// Always `baton-proof-1`.
    pub format: String,
    pub rollup: u32,
    pub id: String,
    pub index: u32,
    pub position: u32,
    /// Codec bytes of the path in the block's tree.
    pub path: String,
    /// Codec bytes of the header of the block that has the transaction.
    pub header: String,
    /// Codec bytes of the certified header and the range proof; none when `header` is certified itself.
    pub history: Option<HistoryFile>,
    /// Codec bytes of the finalization certificate.
    pub certificate: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryFile {
    pub certified: String,
    pub proof: String,
}

pub const FORMAT: &str = "baton-proof-1";

/// A block's proof as returned by the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockProofFile {
    /// Always `baton-block-1`.
    pub format: String,
    /// Codec bytes of the block's header.
    pub header: String,
    /// Codec bytes of the certified header and the range proof; none when `header` is certified itself.
    pub history: Option<HistoryFile>,
    /// Codec bytes of the finalization certificate.
    pub certificate: String,
}

pub const BLOCK_FORMAT: &str = "baton-block-1";

impl From<&BlockProof> for BlockProofFile {
    fn from(proof: &BlockProof) -> Self {
        Self {
            format: BLOCK_FORMAT.to_owned(),
            header: hex::encode_value(&proof.header),
            history: proof.history.as_ref().map(HistoryFile::from),
            certificate: hex::encode_value(&proof.certificate),
        }
    }
}

impl TryFrom<&BlockProofFile> for BlockProof {
    type Error = String;

    fn try_from(file: &BlockProofFile) -> Result<Self, String> {
        if file.format != BLOCK_FORMAT {
            return Err(format!("format: {:?}; this program reads {BLOCK_FORMAT}", file.format));
        }
        Ok(Self {
            header: field("header", &file.header, &())?,
            history: file.history.as_ref().map(HistoryProof::try_from).transpose()?,
            certificate: field("certificate", &file.certificate, &())?,
        })
    }
}

/// A codec value in a field of a file.
pub(crate) fn field<T: Read>(name: &str, text: &str, cfg: &T::Cfg) -> Result<T, String> {
    hex::decode_value(text, cfg).map_err(|error| format!("{name}: {error}"))
}

impl From<&HistoryProof> for HistoryFile {
    fn from(history: &HistoryProof) -> Self {
        Self { certified: hex::encode_value(&history.certified), proof: hex::encode_value(&history.proof) }
    }
}

impl TryFrom<&HistoryFile> for HistoryProof {
    type Error = String;

    fn try_from(file: &HistoryFile) -> Result<Self, String> {
        Ok(Self {
            certified: field("history.certified", &file.certified, &())?,
            proof: field("history.proof", &file.proof, &HISTORY_DIGESTS_MAX)?,
        })
    }
}

impl From<&Proof> for ProofFile {
    fn from(proof: &Proof) -> Self {
        Self {
            format: FORMAT.to_owned(),
            rollup: proof.rollup.0,
            id: proof.id.to_string(),
            index: proof.index,
            position: proof.position,
            path: hex::encode_value(&proof.path),
            header: hex::encode_value(&proof.header),
            history: proof.history.as_ref().map(HistoryFile::from),
            certificate: hex::encode(&proof.certificate.encode()),
        }
    }
}

impl TryFrom<&ProofFile> for Proof {
    type Error = String;

    fn try_from(file: &ProofFile) -> Result<Self, String> {
        if file.format != FORMAT {
            return Err(format!("format: {:?}; this program reads {FORMAT}", file.format));
        }
        Ok(Self {
            rollup: RollupId(file.rollup),
            id: field("id", &file.id, &())?,
            index: file.index,
            position: file.position,
            path: field("path", &file.path, &1)?,
            header: field("header", &file.header, &())?,
            history: file.history.as_ref().map(HistoryProof::try_from).transpose()?,
            certificate: field("certificate", &file.certificate, &())?,
        })
    }
}

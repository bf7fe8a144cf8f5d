//! What the group signs for an L1 contract: the batch certificate (`specs/9-settlement.md`).
//!
//! The message has a fixed size and names chain and contract, so a certificate means nothing
//! anywhere else.

use crate::{
    Digest, GroupKey, RollupId, SeedPoint, domain,
    forced::{self, Envelope},
    hex,
    proof::field,
};
use bytes::BufMut;
use commonware_codec::{Buf, Encode as _, Error, FixedSize, Read, ReadExt as _, Write};
use commonware_cryptography::bls12381::primitives::{ops, variant::MinSig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Address of a contract or an account on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Address(pub [u8; 20]);

/// Where the data of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// EIP-4844 blobs of the posting transaction; the commitment hashes their versioned hashes.
    Blobs,
    /// Calldata of the posting transaction; the commitment is its hash.
    Calldata,
    /// A directory off chain; the commitment is what the directory says.
    Directory,
}

impl DataKind {
    pub const fn byte(self) -> u8 {
        match self {
            Self::Blobs => 0,
            Self::Calldata => 1,
            Self::Directory => 2,
        }
    }
}

impl TryFrom<u8> for DataKind {
    type Error = Error;

    fn try_from(byte: u8) -> Result<Self, Error> {
        Ok(match byte {
            0 => Self::Blobs,
            1 => Self::Calldata,
            2 => Self::Directory,
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

/// One batch of one rollup, as the group signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub l1_chain_id: u64,
    pub inbox: L1Address,
    pub key_generation: u32,
    pub rollup: RollupId,
    pub index: u64,
    pub previous_head: Digest,
    pub first_height: u64,
    pub last_height: u64,
    pub slot: u64,
    pub order_root: Digest,
    pub data_kind: DataKind,
    pub data_commitment: Digest,
    pub forced_cursor: u64,
    /// Advisory: no contract acts on it.
    pub claimed_state_root: Digest,
}

impl Batch {
    /// The inbox's head once it has taken this batch.
    pub fn head(&self) -> Digest {
        domain::hash(domain::L1_HEAD, &[&self.encode()])
    }
}

/// A transaction in the queue of a rollup on L1, as its hash chain covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced<'a> {
    pub rollup: RollupId,
    pub index: u64,
    pub sender: L1Address,
    /// Seconds, in the time of L1.
    pub deadline: u64,
    pub gas: u64,
    pub data: &'a [u8],
}

impl Forced<'_> {
    /// Of the queue up to and including it; `previous` is zero before the first.
    pub fn hash(&self, previous: &Digest) -> Digest {
        let Self { sender, deadline, gas, .. } = *self;
        let data = forced::data_hash(self.data);
        forced::entry_hash(previous, self.rollup, self.index, &Envelope { sender, deadline, gas }, &data)
    }
}

/// Forced entries that went into an inbox without the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escape {
    pub l1_chain_id: u64,
    pub inbox: L1Address,
    pub rollup: RollupId,
    pub index: u64,
    pub previous_head: Digest,
    /// First entry taken.
    pub from: u64,
    /// Entry after the last one taken.
    pub to: u64,
    /// Of the last entry taken.
    pub last_hash: Digest,
}

impl Escape {
    /// The inbox's head after it.
    pub fn head(&self) -> Digest {
        let (chain, rollup) = (self.l1_chain_id.to_be_bytes(), self.rollup.0.to_be_bytes());
        let (index, from, to) = (self.index.to_be_bytes(), self.from.to_be_bytes(), self.to.to_be_bytes());
        let parts: [&[u8]; 8] =
            [&chain, &self.inbox.0, &rollup, &index, &self.previous_head, &from, &to, &self.last_hash];
        domain::hash(domain::L1_ESCAPE, &parts)
    }
}

/// A batch with the signature of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchCertificate {
    pub batch: Batch,
    pub signature: SeedPoint,
}

impl BatchCertificate {
    /// Whether the group signed the batch.
    pub fn verify(&self, group_key: &GroupKey) -> bool {
        let message = self.batch.encode();
        ops::verify_message::<MinSig>(group_key, domain::L1_BATCH, &message, &self.signature).is_ok()
    }
}

/// A batch's certificate as written to a file and returned by the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchFile {
    /// Always `baton-batch-1`.
    pub format: String,
    /// The 205 bytes that the group signs.
    pub message: String,
    /// Compressed, 48 bytes.
    pub signature: String,
}

pub const FORMAT: &str = "baton-batch-1";

impl From<&BatchCertificate> for BatchFile {
    fn from(certificate: &BatchCertificate) -> Self {
        Self {
            format: FORMAT.to_owned(),
            message: hex::encode_value(&certificate.batch),
            signature: hex::encode_value(&certificate.signature),
        }
    }
}

impl TryFrom<&BatchFile> for BatchCertificate {
    type Error = String;

    fn try_from(file: &BatchFile) -> Result<Self, String> {
        if file.format != FORMAT {
            return Err(format!("format {:?}: expected {FORMAT:?}", file.format));
        }
        Ok(Self {
            batch: field("message", &file.message, &())?,
            signature: field("signature", &file.signature, &())?,
        })
    }
}

impl FixedSize for Batch {
    const SIZE: usize = 8 + 20 + 4 + 4 + 8 + 32 + 8 + 8 + 8 + 32 + 1 + 32 + 8 + 32;
}

impl Write for Batch {
    fn write(&self, buf: &mut impl BufMut) {
        self.l1_chain_id.write(buf);
        self.inbox.0.write(buf);
        self.key_generation.write(buf);
        self.rollup.0.write(buf);
        self.index.write(buf);
        self.previous_head.write(buf);
        self.first_height.write(buf);
        self.last_height.write(buf);
        self.slot.write(buf);
        self.order_root.write(buf);
        self.data_kind.byte().write(buf);
        self.data_commitment.write(buf);
        self.forced_cursor.write(buf);
        self.claimed_state_root.write(buf);
    }
}

impl Read for Batch {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self {
            l1_chain_id: u64::read(buf)?,
            inbox: L1Address(<[u8; 20]>::read(buf)?),
            key_generation: u32::read(buf)?,
            rollup: RollupId(u32::read(buf)?),
            index: u64::read(buf)?,
            previous_head: Digest::read(buf)?,
            first_height: u64::read(buf)?,
            last_height: u64::read(buf)?,
            slot: u64::read(buf)?,
            order_root: Digest::read(buf)?,
            data_kind: u8::read(buf)?.try_into()?,
            data_commitment: Digest::read(buf)?,
            forced_cursor: u64::read(buf)?,
            claimed_state_root: Digest::read(buf)?,
        })
    }
}

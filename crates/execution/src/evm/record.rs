//! What a node keeps of each final block, to start from without executing again (§10.6).
//!
//! ```text
//! version 1 ‖ header (RLP) ‖ through height ‖ through digest ‖ changes ‖ checksum
//! ```

use super::{changes::Changes, state::Misfit};
use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rlp::Decodable as _;
use baton_types::{Digest, domain};
use bytes::{Buf as _, Bytes};
use commonware_codec::{Copying, Encode as _, Error, RangeCfg, Read as _, ReadExt as _, Write as _};
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub header: Header,
    /// The last block of the cluster that is part of it.
    pub through_height: u64,
    pub through_digest: Digest,
    pub changes: Changes,
}

#[derive(Debug, Error)]
pub enum RecordError {
    #[error("{bytes} bytes are shorter than a checksum")]
    Short { bytes: usize },
    #[error("the checksum does not match: it was damaged or is not whole")]
    Checksum,
    #[error("it ends in the middle: it was not written to its end")]
    Cut,
    #[error("nothing may follow its end")]
    BeyondEnd,
    #[error("version {version}: this program reads version {}", Record::VERSION)]
    Version { version: u8 },
    #[error("does not decode: {0}")]
    Codec(#[from] Error),
    #[error("the header does not decode: {0}")]
    Header(alloy_rlp::Error),
    #[error("block {number} cannot follow block {after}: a record is missing or of another chain")]
    Order { number: u64, after: u64 },
    #[error("block {number}: {misfit}")]
    Misfit { number: u64, misfit: Misfit },
    #[error("block {number}: its changes lead to the state root {actual}, its header says {expected}")]
    StateRoot { number: u64, expected: B256, actual: B256 },
}

const CHECKSUM_BYTES: usize = 32;
pub(super) const HEADER_BYTES_MAX: usize = 1_024;

/// What stands before the checksum at the end, if that is right.
pub(super) fn checked(bytes: &[u8], checksum: impl Fn(&[u8]) -> Digest) -> Result<&[u8], RecordError> {
    let Some((content, expected)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(RecordError::Short { bytes: bytes.len() });
    };
    if checksum(content).0 == *expected { Ok(content) } else { Err(RecordError::Checksum) }
}

pub(super) fn write_header(header: &Header, out: &mut Vec<u8>) {
    Bytes::from(alloy_rlp::encode(header)).write(out);
}

pub(super) fn read_header(buf: &mut impl commonware_codec::Buf) -> Result<Header, RecordError> {
    let raw = Bytes::read_cfg(buf, &RangeCfg::new(0..=HEADER_BYTES_MAX))?;
    decode_header(&raw)
}

/// A header in its one encoding.
pub fn decode_header(raw: &[u8]) -> Result<Header, RecordError> {
    let header = Header::decode(&mut &raw[..]).map_err(RecordError::Header)?;
    if alloy_rlp::encode(&header) == raw {
        Ok(header)
    } else {
        Err(RecordError::Header(alloy_rlp::Error::Custom("not its one encoding")))
    }
}

impl Record {
    pub const VERSION: u8 = 1;

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        write_header(&self.header, &mut out);
        self.through_height.write(&mut out);
        self.through_digest.write(&mut out);
        out.extend_from_slice(&self.changes.encode());
        let checksum = domain::evm_record(&out);
        out.extend_from_slice(&checksum);
        out
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let content = checked(bytes, domain::evm_record)?;
        let mut rest = Copying(content);
        let version = u8::read(&mut rest)?;
        if version != Self::VERSION {
            return Err(RecordError::Version { version });
        }
        let header = read_header(&mut rest)?;
        let through_height = u64::read(&mut rest)?;
        let through_digest = Digest::read(&mut rest)?;
        let changes = Changes::read(&mut rest)?;
        if rest.has_remaining() {
            return Err(Error::ExtraData(rest.remaining()).into());
        }
        Ok(Self { header, through_height, through_digest, changes })
    }
}

#[cfg(test)]
mod tests;

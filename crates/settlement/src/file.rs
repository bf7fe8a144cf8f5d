//! A certified batch as a file, for a directory that stands in for L1.
//!
//! ```text
//! file = "baton-posted-1\n" ‖ 205 bytes batch ‖ 48 bytes signature ‖ u32 length of the data ‖ data
//! ```
//! One batch has one file: the signature of a group is unique, and the batch commits to the data.

use crate::{Certified, InboxState, Terms, data_commitment, is_signed};
use baton_types::{GroupKey, SeedPoint, settlement::Batch};
use bytes::Bytes;
use commonware_codec::{Copying, Error, FixedSize, ReadExt as _, Write as _};
use thiserror::Error;

const MAGIC: &[u8] = b"baton-posted-1\n";
/// What stands before the data.
const FRAME_BYTES: usize = MAGIC.len() + Batch::SIZE + SeedPoint::SIZE + 4;

#[derive(Debug, Error)]
pub enum FileError {
    #[error("does not begin as the file of a batch does")]
    Format,
    #[error("has {found} bytes and should have {expected}: it was cut, or something was added")]
    Length { found: usize, expected: usize },
    #[error("has {0} bytes, more than any batch")]
    TooLong(u64),
    #[error("does not decode: {0}")]
    Codec(#[from] Error),
    #[error("is of another cluster or rollup, or was not made for a directory")]
    Other,
    #[error("is batch {found}; batch {expected} should be there")]
    Index { found: u64, expected: u64 },
    #[error("is of blocks {first} to {last}; the next block is {next}")]
    Heights { first: u64, last: u64, next: u64 },
    #[error("does not follow the batch before it")]
    Head,
    #[error("its certificate does not verify under the group key of the genesis")]
    Certificate,
    #[error("its data are not those that the group signed")]
    Data,
}

impl Certified {
    pub fn to_file(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(FRAME_BYTES + self.data.len());
        file.extend_from_slice(MAGIC);
        self.batch.write(&mut file);
        self.signature.write(&mut file);
        u32::try_from(self.data.len()).expect("a genesis allows 64 MiB").write(&mut file);
        file.extend_from_slice(&self.data);
        file
    }

    /// Reads a file without a look at what it says.
    pub fn from_file(file: &[u8]) -> Result<Self, FileError> {
        let rest = file.strip_prefix(MAGIC).ok_or(FileError::Format)?;
        if file.len() < FRAME_BYTES {
            return Err(FileError::Length { found: file.len(), expected: FRAME_BYTES });
        }
        let mut reader = Copying(rest);
        let batch = Batch::read(&mut reader)?;
        let signature = SeedPoint::read(&mut reader)?;
        let length = usize::try_from(u32::read(&mut reader)?).unwrap_or(usize::MAX);
        let data = reader.0;
        if data.len() != length {
            let expected = FRAME_BYTES.saturating_add(length);
            return Err(FileError::Length { found: file.len(), expected });
        }
        Ok(Self { batch, signature, data: Bytes::copy_from_slice(data) })
    }

    /// Whether it is a batch of these terms that the group signed, with its data.
    pub fn verify(&self, terms: &Terms, group_key: &GroupKey) -> Result<(), FileError> {
        let Batch { l1_chain_id, inbox, key_generation, rollup, data_kind, .. } = self.batch;
        let found = (l1_chain_id, inbox, key_generation, rollup, data_kind);
        let Terms { l1_chain_id, inbox, key_generation, rollup, data_kind, .. } = *terms;
        if found != (l1_chain_id, inbox, key_generation, rollup, data_kind) {
            return Err(FileError::Other);
        }
        if !is_signed(&self.batch, &self.signature, group_key) {
            return Err(FileError::Certificate);
        }
        if data_commitment(data_kind, &self.data) != self.batch.data_commitment {
            return Err(FileError::Data);
        }
        Ok(())
    }

    /// Whether it is the next one, where the batches before it lead to `state`.
    pub fn follows(&self, state: &InboxState) -> Result<(), FileError> {
        let Batch { index: found, first_height: first, last_height: last, previous_head, .. } = self.batch;
        let (expected, next) = (state.next_index, state.next_height);
        if found != expected {
            return Err(FileError::Index { found, expected });
        }
        if first != next || last < first {
            return Err(FileError::Heights { first, last, next });
        }
        if previous_head != state.head {
            return Err(FileError::Head);
        }
        Ok(())
    }

    /// What its directory is at, once it is there.
    pub fn after(&self) -> InboxState {
        InboxState {
            next_index: self.batch.index.saturating_add(1),
            head: self.batch.head(),
            next_height: self.batch.last_height.saturating_add(1),
            forced_cursor: self.batch.forced_cursor,
        }
    }
}

#[cfg(test)]
mod tests;

//! Data in blobs of L1 (EIP-4844).
//!
//! A blob is 4,096 field elements of 32 bytes. An element has to be below the order of the field, so its first
//! byte stays zero and the other 31 are used. Over all blobs of a transaction the used bytes are
//! `u32 length ‖ data ‖ zeros`.

use baton_types::Digest;
use c_kzg::KzgSettings;
use commonware_cryptography::{Hasher as _, Sha256};
use std::sync::LazyLock;
use thiserror::Error;

/// Bytes of one blob.
pub const BLOB_BYTES: usize = c_kzg::BYTES_PER_BLOB;
/// Blobs that one transaction of L1 may have (EIP-7594).
pub const BLOBS_MAX: usize = 6;
/// Data that these hold.
pub const DATA_BYTES_MAX: usize = BLOBS_MAX * USED_BYTES - LENGTH_BYTES;

const ELEMENT_BYTES: usize = 32;
const USED_BYTES: usize = BLOB_BYTES / ELEMENT_BYTES * (ELEMENT_BYTES - 1);
const LENGTH_BYTES: usize = 4;
/// Of EIP-4844.
const VERSION: u8 = 1;

/// One blob, on the heap: it is too large for a stack.
pub type Blob = Box<[u8]>;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BlobError {
    #[error("blob {index} has {bytes} bytes; a blob has {BLOB_BYTES}")]
    Size { index: usize, bytes: usize },
    #[error("element {element} of blob {index} begins with another byte than zero")]
    Element { index: usize, element: usize },
    #[error("{blobs} blobs cannot hold the {bytes} bytes that they announce, or one of them is not needed")]
    Length { blobs: usize, bytes: u64 },
    #[error("something follows the data")]
    Padding,
}

/// How many blobs so many bytes need.
pub const fn count(bytes: usize) -> usize {
    (LENGTH_BYTES + bytes).div_ceil(USED_BYTES)
}

/// As many blobs as the data need, and at least one.
pub fn pack(data: &[u8]) -> Vec<Blob> {
    let length = u32::try_from(data.len()).expect("data are far below 4 GiB: limits of the genesis");
    let framed = [&length.to_be_bytes()[..], data].concat();
    let blob = |used: &[u8]| {
        let mut blob = vec![0; BLOB_BYTES].into_boxed_slice();
        for (element, used) in blob.chunks_mut(ELEMENT_BYTES).zip(used.chunks(ELEMENT_BYTES - 1)) {
            element[1..=used.len()].copy_from_slice(used);
        }
        blob
    };
    framed.chunks(USED_BYTES).map(blob).collect()
}

/// The data in blobs.
pub fn unpack<B: AsRef<[u8]>>(blobs: &[B]) -> Result<Vec<u8>, BlobError> {
    let mut framed = Vec::with_capacity(blobs.len() * USED_BYTES);
    for (index, blob) in blobs.iter().enumerate() {
        let blob = blob.as_ref();
        if blob.len() != BLOB_BYTES {
            return Err(BlobError::Size { index, bytes: blob.len() });
        }
        for (element, bytes) in blob.chunks(ELEMENT_BYTES).enumerate() {
            if bytes[0] != 0 {
                return Err(BlobError::Element { index, element });
            }
            framed.extend_from_slice(&bytes[1..]);
        }
    }
    let Some((length, data)) = framed.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(BlobError::Length { blobs: 0, bytes: 0 });
    };
    let bytes = u32::from_be_bytes(*length);
    let needed = usize::try_from(bytes).ok().filter(|bytes| {
        let blobs_needed = (bytes + LENGTH_BYTES).div_ceil(USED_BYTES);
        *bytes <= data.len() && blobs_needed == blobs.len()
    });
    let needed = needed.ok_or(BlobError::Length { blobs: blobs.len(), bytes: bytes.into() })?;
    let (data, padding) = data.split_at(needed);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(BlobError::Padding);
    }
    Ok(data.to_vec())
}

/// Loaded at the first use, which takes a second. Without the tables that make proofs of cells faster: they take several
/// more, and a batch has time.
pub static SETTINGS: LazyLock<&KzgSettings> = LazyLock::new(|| c_kzg::ethereum_kzg_settings(0));

/// What L1 names packed blobs by.
pub fn versioned_hashes(blobs: &[Blob]) -> Vec<Digest> {
    let hashes = hashes_of_any(blobs).into_iter();
    hashes.map(|hash| hash.expect("a packed blob has its size, and elements in the field")).collect()
}

/// What L1 would name these blobs by, whoever made them; none for what is no blob.
pub fn hashes_of_any<B: AsRef<[u8]>>(blobs: &[B]) -> Vec<Option<Digest>> {
    let hash = |blob: &B| {
        let blob = c_kzg::Blob::from_bytes(blob.as_ref()).ok()?;
        let commitment = SETTINGS.blob_to_kzg_commitment(&blob).ok()?;
        let mut hash = Sha256::hash(&[&commitment.to_bytes()[..]]);
        hash.0[0] = VERSION;
        Some(hash)
    };
    blobs.iter().map(hash).collect()
}

/// What a batch names its blobs by.
pub fn commitment(versioned_hashes: &[Digest]) -> Digest {
    let parts: Vec<&[u8]> = versioned_hashes.iter().map(|hash| &hash.0[..]).collect();
    Sha256::hash(&parts)
}

#[cfg(test)]
mod tests;

//! The bytes that are posted.
//!
//! ```text
//! data = u8 version ‖ varint length of the contents ‖ contents, compressed
//! ```
//! Version 1 is zstd 1.5.7 at level [`LEVEL`], one thread, without checksum and dictionary. Nodes sign the
//! commitment of these bytes, so all have to compress alike: the golden vector fails when the library does
//! something else. Another level or library is another version. Every version is read for ever; the version
//! that is written is part of the program, and a cluster whose members write different ones signs nothing until
//! a quorum writes the same.

use crate::{Contents, ContentsLimits};
use baton_types::hex;
use bytes::Bytes;
use commonware_codec::{Copying, Encode as _, Error, ReadExt as _, Write as _, varint::UInt};
use thiserror::Error;

/// The version that this program writes.
pub const VERSION: u8 = 1;
/// Of zstd.
pub const LEVEL: i32 = 9;

#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the data of a batch is empty")]
    Empty,
    #[error("version {0} of the encoding: this program reads {VERSION}; use a newer one")]
    Version(u8),
    #[error("it announces {announced} bytes; at most {max} are allowed by the genesis")]
    TooLong { announced: u64, max: usize },
    #[error("it does not decompress: {0}")]
    Compression(std::io::Error),
    #[error("it announces {announced} bytes and has {found}")]
    Length { announced: u64, found: usize },
    #[error("its contents do not decode: {0}")]
    Contents(String),
    #[error("its length does not decode: {0}")]
    Prefix(#[from] Error),
}

/// The one encoding of `contents`.
pub fn encode(contents: &Contents) -> Bytes {
    let plain = contents.encode();
    let mut data = vec![VERSION];
    UInt(plain.len() as u64).write(&mut data);
    let compressed =
        zstd::bulk::compress(&plain, LEVEL).expect("memory is compressed into memory that is large enough");
    data.extend_from_slice(&compressed);
    data.into()
}

/// Reads data of any version. Allocates no more than `limits` allow, whatever the data say.
pub fn decode(data: &[u8], limits: &ContentsLimits) -> Result<Contents, DecodeError> {
    let (version, mut rest) = data.split_first().ok_or(DecodeError::Empty)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    let mut prefix = Copying(rest);
    let announced: u64 = UInt::read(&mut prefix)?.into();
    rest = prefix.0;
    let length = usize::try_from(announced).ok().filter(|length| *length <= limits.bytes_max);
    let length = length.ok_or(DecodeError::TooLong { announced, max: limits.bytes_max })?;
    let plain = zstd::bulk::decompress(rest, length).map_err(DecodeError::Compression)?;
    if plain.len() != length {
        return Err(DecodeError::Length { announced, found: plain.len() });
    }
    hex::from_bytes(&plain, limits).map_err(|error| DecodeError::Contents(error.to_string()))
}

#[cfg(test)]
mod tests;

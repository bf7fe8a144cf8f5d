//! What members ask each other of states (§10.7).

use baton_execution::evm::{Piece, Wish, sync::PIECE_BYTES_MAX};
use baton_types::RollupId;
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write};

/// An answer is closed once it has so many bytes.
pub const ANSWER_BYTES: usize = 512 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of the state after this block of the rollup.
    Ask { rollup: RollupId, number: u64, wishes: Vec<Wish> },
    /// For what was asked first; empty when this state is not there.
    Answer { rollup: RollupId, number: u64, pieces: Vec<Piece> },
}

/// Largest message of this channel.
pub const fn message_bytes_max() -> usize {
    ANSWER_BYTES + PIECE_BYTES_MAX + 8 * Wish::MAX + 64
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Ask { rollup, number, wishes } => {
                0u8.write(buf);
                rollup.write(buf);
                number.write(buf);
                wishes.write(buf);
            }
            Self::Answer { rollup, number, pieces } => {
                1u8.write(buf);
                rollup.write(buf);
                number.write(buf);
                pieces.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        let content = match self {
            Self::Ask { wishes, .. } => wishes.encode_size(),
            Self::Answer { pieces, .. } => pieces.encode_size(),
        };
        1 + RollupId::SIZE + u64::SIZE + content
    }
}

impl Read for Message {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let kind = u8::read(buf)?;
        let (rollup, number) = (RollupId::read(buf)?, u64::read(buf)?);
        Ok(match kind {
            0 => {
                let wishes = Vec::read_cfg(buf, &(RangeCfg::new(1..=Wish::MAX), ()))?;
                Self::Ask { rollup, number, wishes }
            }
            1 => {
                let pieces = Vec::read_cfg(buf, &(RangeCfg::new(0..=Wish::MAX), ()))?;
                Self::Answer { rollup, number, pieces }
            }
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

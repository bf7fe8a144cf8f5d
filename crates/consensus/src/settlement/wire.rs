//! What members say to each other about batches.

use baton_types::{Digest, RollupId, SeedPoint};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt as _, Write};
use commonware_cryptography::bls12381::primitives::variant::{MinSig, PartialSignature};

pub type Partial = PartialSignature<MinSig>;

/// Where in a rollup's inbox a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub rollup: RollupId,
    pub index: u64,
    pub previous_head: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sender's signature over the batch at this place, made with its share of this epoch. It has no
    /// certificate of it.
    Partial {
        position: Position,
        epoch: u64,
        partial: Partial,
    },
    /// The sender has no certificate, and no share to sign with.
    Want {
        position: Position,
    },
    Certificate {
        position: Position,
        signature: SeedPoint,
    },
}

/// Largest message.
pub const MESSAGE_BYTES_MAX: usize = 256;

impl Write for Position {
    fn write(&self, buf: &mut impl BufMut) {
        self.rollup.write(buf);
        self.index.write(buf);
        self.previous_head.write(buf);
    }
}

impl FixedSize for Position {
    const SIZE: usize = RollupId::SIZE + 8 + 32;
}

impl Read for Position {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { rollup: RollupId::read(buf)?, index: u64::read(buf)?, previous_head: Digest::read(buf)? })
    }
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Partial { position, epoch, partial } => {
                0u8.write(buf);
                position.write(buf);
                epoch.write(buf);
                partial.write(buf);
            }
            Self::Want { position } => {
                1u8.write(buf);
                position.write(buf);
            }
            Self::Certificate { position, signature } => {
                2u8.write(buf);
                position.write(buf);
                signature.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + Position::SIZE
            + match self {
                Self::Partial { partial, .. } => 8 + partial.encode_size(),
                Self::Want { .. } => 0,
                Self::Certificate { .. } => SeedPoint::SIZE,
            }
    }
}

impl Read for Message {
    type Cfg = ();

    /// Points are checked to be in their group.
    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let tag = u8::read(buf)?;
        let position = Position::read(buf)?;
        Ok(match tag {
            0 => Self::Partial { position, epoch: u64::read(buf)?, partial: Partial::read(buf)? },
            1 => Self::Want { position },
            2 => Self::Certificate { position, signature: SeedPoint::read(buf)? },
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

//! What mempools of two members say to each other, and what the journal holds.

use baton_execution::pool::Unit;
use baton_types::BlockLimits;
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write, varint::UInt};
use std::sync::Arc;

/// Units in one message or journal record.
pub const UNITS_MAX: usize = 16_384;
/// Encoded bytes of the units in one message or journal record, as far as more than one goes.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Units that travel and are journaled together.
#[derive(Clone, Debug)]
pub struct Batch(pub Vec<Arc<Unit>>);

impl Write for Batch {
    fn write(&self, buf: &mut impl BufMut) {
        UInt(self.0.len() as u64).write(buf);
        for unit in &self.0 {
            unit.write(buf);
        }
    }
}

impl EncodeSize for Batch {
    fn encode_size(&self) -> usize {
        UInt(self.0.len() as u64).encode_size() + self.0.iter().map(|unit| unit.encode_size()).sum::<usize>()
    }
}

impl Read for Batch {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        let units = Vec::<Unit>::read_cfg(buf, &(RangeCfg::new(0..=UNITS_MAX), *limits))?;
        Ok(Self(units.into_iter().map(Arc::new).collect()))
    }
}

#[derive(Clone, Debug)]
pub enum Message {
    /// New units. With `ack`, the sender waits for [`Message::Ack`] of the same number.
    Units { number: u64, ack: bool, batch: Batch },
    /// All units of that batch are on the journal of the one who says so.
    Ack { number: u64 },
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Units { number, ack, batch } => {
                u8::from(*ack).write(buf);
                number.write(buf);
                batch.write(buf);
            }
            Self::Ack { number } => {
                2u8.write(buf);
                number.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + 8
            + match self {
                Self::Units { batch, .. } => batch.encode_size(),
                Self::Ack { .. } => 0,
            }
    }
}

impl Read for Message {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        let tag = u8::read(buf)?;
        let number = u64::read(buf)?;
        match tag {
            0 | 1 => Ok(Self::Units { number, ack: tag == 1, batch: Batch::read_cfg(buf, limits)? }),
            2 => Ok(Self::Ack { number }),
            other => Err(Error::InvalidEnum(other)),
        }
    }
}

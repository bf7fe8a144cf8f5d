//! What clients submit, nodes exchange and journals keep.

use baton_types::{BlockLimits, Bundle, EvmRollups, RollupId, Transaction, TxId};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write, varint::UInt,
};

/// What is admitted or refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    Single {
        rollup: RollupId,
        transaction: Transaction,
        /// Larger goes first in rollups ordered by fee hint; means nothing elsewhere.
        fee_hint: u64,
    },
    Bundle(Bundle),
}

const SINGLE: u8 = 0;
const BUNDLE: u8 = 1;

impl Unit {
    /// Hashes every leg.
    pub fn ids(&self, evm: &EvmRollups) -> Vec<TxId> {
        self.legs().map(|(rollup, transaction)| evm.id(rollup, transaction)).collect()
    }

    /// Last height of a block that may carry it.
    pub fn valid_until(&self) -> u64 {
        self.legs().next().map_or(0, |(_, transaction)| transaction.valid_until)
    }

    /// Payload bytes of all legs.
    pub fn bytes(&self) -> usize {
        self.legs().map(|(_, transaction)| transaction.payload.len()).sum()
    }

    /// In block order: ascending by rollup.
    pub fn legs(&self) -> impl Iterator<Item = (RollupId, &Transaction)> + Clone {
        let (single, legs) = match self {
            Self::Single { rollup, transaction, .. } => (Some((*rollup, transaction)), &[][..]),
            Self::Bundle(bundle) => (None, &bundle.legs[..]),
        };
        single.into_iter().chain(legs.iter().map(|(rollup, transaction)| (*rollup, transaction)))
    }
}

impl Write for Unit {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Single { rollup, transaction, fee_hint } => {
                SINGLE.write(buf);
                rollup.write(buf);
                UInt(transaction.valid_until).write(buf);
                transaction.payload.write(buf);
                UInt(*fee_hint).write(buf);
            }
            Self::Bundle(bundle) => {
                BUNDLE.write(buf);
                UInt(self.valid_until()).write(buf);
                bundle.legs.len().write(buf);
                for (rollup, transaction) in &bundle.legs {
                    rollup.write(buf);
                    transaction.payload.write(buf);
                }
            }
        }
    }
}

impl EncodeSize for Unit {
    fn encode_size(&self) -> usize {
        let legs = self.legs().map(|(_, transaction)| RollupId::SIZE + transaction.payload.encode_size());
        let extra = match self {
            Self::Single { fee_hint, .. } => UInt(*fee_hint).encode_size(),
            Self::Bundle(bundle) => bundle.legs.len().encode_size(),
        };
        1 + UInt(self.valid_until()).encode_size() + legs.sum::<usize>() + extra
    }
}

impl Read for Unit {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        match u8::read(buf)? {
            SINGLE => Ok(Self::Single {
                rollup: RollupId::read(buf)?,
                transaction: Transaction {
                    valid_until: UInt::read(buf)?.into(),
                    bundle: None,
                    payload: payload(buf, limits)?,
                },
                fee_hint: UInt::read(buf)?.into(),
            }),
            BUNDLE => {
                let valid_until = UInt::read(buf)?.into();
                let count = usize::read_cfg(buf, &RangeCfg::new(1..=Bundle::LEGS_MAX))?;
                let legs = (0..count)
                    .map(|_| Ok((RollupId::read(buf)?, payload(buf, limits)?)))
                    .collect::<Result<Vec<_>, Error>>()?;
                // Sorted here instead, one bundle would have as many encodings as its legs have orders.
                if !legs.is_sorted_by_key(|(rollup, _)| *rollup) {
                    return Err(Error::Invalid("Bundle", "its legs are not in ascending order of rollup"));
                }
                Ok(Self::Bundle(Bundle::new(valid_until, legs)))
            }
            other => Err(Error::InvalidEnum(other)),
        }
    }
}

/// Copies the payload out of the message it came in. A slice would keep the whole message alive
/// for as long as its smallest transaction waits, and the pool's byte limits would not see it.
fn payload(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Bytes, Error> {
    let slice = Bytes::read_cfg(buf, &RangeCfg::new(0..=limits.transaction_bytes_max))?;
    Ok(Bytes::copy_from_slice(&slice))
}

//! Transactions of opaque rollups, and bundles over several rollups.
//!
//! ```text
//! id        = SHA-256(_BATON_TRANSACTION ‖ rollup ‖ valid_until ‖ payload)
//! bundle id = SHA-256(_BATON_BUNDLE ‖ valid_until ‖ legs ‖ (rollup ‖ SHA-256(payload)) per leg)
//! leg id    = SHA-256(_BATON_LEG ‖ bundle id ‖ rollup ‖ valid_until ‖ payload)
//! ```
//! A leg's id commits to its bundle, and the bundle's id to every leg in order. So whoever sees one
//! leg in a block can demand the others, and nobody can spend a leg's id outside its bundle.
//!
//! Legs are ordered by rollup, and within a rollup as submitted. Blocks order their segments the same
//! way, so the bundle's id can be recomputed from the legs in block order.

use crate::{Digest, domain, forced::FORCED_FROM};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, EncodeSize, Error, FixedSize, RangeCfg, Read, ReadExt as _, Write, varint::UInt,
};
use commonware_cryptography::{Hasher as _, Sha256};
use std::fmt;

/// A chain the cluster sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupId(pub u32);

impl fmt::Display for RollupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Write for RollupId {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl FixedSize for RollupId {
    const SIZE: usize = u32::SIZE;
}

impl Read for RollupId {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        u32::read(buf).map(Self)
    }
}

/// Names one transaction, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(pub [u8; 32]);

/// Names one bundle.
pub type BundleId = TxId;

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::encode(&self.0))
    }
}

impl fmt::Debug for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for TxId {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}

impl Write for TxId {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl FixedSize for TxId {
    const SIZE: usize = 32;
}

impl Read for TxId {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        <[u8; 32]>::read(buf).map(Self)
    }
}

/// Bytes (or a 32-byte hash standing for bytes) to be ordered in one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Last height of a block that may carry it.
    pub valid_until: u64,
    /// The bundle it is a leg of.
    pub bundle: Option<BundleId>,
    pub payload: Bytes,
}

impl Transaction {
    /// The index in the rollup's forced queue of L1, if it comes from there.
    pub const fn forced(&self) -> Option<u64> {
        self.valid_until.checked_sub(FORCED_FROM)
    }

    pub fn id(&self, rollup: RollupId) -> TxId {
        let rollup = rollup.0.to_be_bytes();
        let until = self.valid_until.to_be_bytes();
        match &self.bundle {
            None => domain::hash(domain::TRANSACTION, &[&rollup, &until, &self.payload]),
            Some(bundle) => domain::hash(domain::LEG, &[&bundle.0, &rollup, &until, &self.payload]),
        }
        .into()
    }
}

impl Write for Transaction {
    fn write(&self, buf: &mut impl BufMut) {
        UInt(self.valid_until).write(buf);
        self.bundle.write(buf);
        self.payload.write(buf);
    }
}

impl EncodeSize for Transaction {
    fn encode_size(&self) -> usize {
        UInt(self.valid_until).encode_size() + self.bundle.encode_size() + self.payload.encode_size()
    }
}

impl Read for Transaction {
    /// Largest payload in bytes.
    type Cfg = usize;

    fn read_cfg(buf: &mut impl Buf, payload_bytes_max: &usize) -> Result<Self, Error> {
        Ok(Self {
            valid_until: UInt::read(buf)?.into(),
            bundle: Option::<BundleId>::read(buf)?,
            payload: Bytes::read_cfg(buf, &RangeCfg::new(0..=*payload_bytes_max))?,
        })
    }
}

/// Transactions of several rollups that enter the same block or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub id: BundleId,
    /// In ascending order of rollup.
    pub legs: Vec<(RollupId, Transaction)>,
}

impl Bundle {
    /// Most legs of one bundle.
    pub const LEGS_MAX: usize = 16;

    /// Binds `legs` into one bundle. Sorts them by rollup; those of one rollup keep their order.
    pub fn new(valid_until: u64, mut legs: Vec<(RollupId, Bytes)>) -> Self {
        legs.sort_by_key(|(rollup, _)| *rollup);
        let id = bundle_id(valid_until, legs.iter().map(|(rollup, payload)| (*rollup, &payload[..])));
        let legs = legs
            .into_iter()
            .map(|(rollup, payload)| (rollup, Transaction { valid_until, bundle: Some(id), payload }))
            .collect();
        Self { id, legs }
    }
}

/// The id that exactly these payloads, in this order, make. Legs of one bundle share `valid_until`.
pub fn bundle_id<'a>(
    valid_until: u64,
    legs: impl ExactSizeIterator<Item = (RollupId, &'a [u8])>,
) -> BundleId {
    let mut hasher = Sha256::default();
    hasher.update(domain::BUNDLE);
    hasher.update(&valid_until.to_be_bytes());
    hasher.update(&(legs.len() as u64).to_be_bytes());
    for (rollup, payload) in legs {
        hasher.update(&rollup.0.to_be_bytes());
        hasher.update(&Sha256::hash(&[payload]));
    }
    hasher.finalize().1.into()
}

#[cfg(test)]
mod tests;

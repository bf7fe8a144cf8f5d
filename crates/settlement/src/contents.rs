//! What a batch keeps of its blocks, before compression.
//!
//! ```text
//! contents = u32 rollup ‖ varint first height ‖ varint last − first ‖ varint time of the last block
//!            ‖ 32 bytes head before ‖ varint forced cursor before ‖ option(result of the last block) ‖ slices
//! slices   = varint number ‖ slice …, one for each block with anything of the rollup in it
//! slice    = varint blocks since the one before ‖ varint ms since then ‖ 32 bytes parent ‖ 48 bytes parent seed
//!            ‖ u8 0 | u8 1 ‖ varint L1 number ‖ 32 bytes L1 hash, where the origin is another
//!            ‖ varint forced entries ‖ varint number ‖ transaction …
//! transaction = u8 flags ‖ [varint valid_until − height] if flags & 1 ‖ [32 bytes bundle] if flags & 2
//!            ‖ bytes payload
//! ```
//! `valid_until` of an executed transaction is in no id and decides nothing any more; it is kept where it is in
//! the id: in opaque rollups and in legs of bundles.

use crate::{L1Origin, Part};
use baton_types::{
    BundleId, Digest, EvmRollups, ExecutionResult, RollupId, Transaction, TxId,
    block::ParentSeed,
    merkle::{self, EMPTY, Heads},
};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write, varint::UInt,
};

/// One block, as far as the rollup needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub height: u64,
    pub timestamp_ms: u64,
    /// The cluster's block before.
    pub parent: Digest,
    pub parent_seed: ParentSeed,
    pub origin: L1Origin,
    /// Forced entries that the block took.
    pub forced: u64,
    pub transactions: Vec<Transaction>,
}

impl Slice {
    pub(crate) fn new(part: &Part<'_>, forced: u64) -> Self {
        let executed = part.result.is_some();
        let kept = |transaction: &Transaction| {
            let mut transaction = transaction.clone();
            if !keeps_until(executed, &transaction) {
                transaction.valid_until = 0;
            }
            transaction
        };
        Self {
            height: part.height,
            timestamp_ms: part.timestamp_ms,
            parent: part.parent,
            parent_seed: part.parent_seed,
            origin: part.origin,
            forced,
            transactions: part.transactions.iter().map(kept).collect(),
        }
    }
}

const fn keeps_until(executed: bool, transaction: &Transaction) -> bool {
    !executed || transaction.bundle.is_some()
}

/// A run of finalized blocks, for one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub rollup: RollupId,
    pub first_height: u64,
    pub last_height: u64,
    /// Of the last block; seals the slots that end before it.
    pub last_timestamp_ms: u64,
    /// The rollup's head before the first block.
    pub head_before: Digest,
    pub forced_before: u64,
    /// What the last block attests; of a rollup that is executed.
    pub result: Option<ExecutionResult>,
    /// Blocks with anything of the rollup, ascending.
    pub slices: Vec<Slice>,
}

impl Contents {
    /// What it has beside its slices, for most.
    pub const FRAME_BYTES_MAX: usize = 256;

    /// The ids of a slice's transactions.
    pub fn ids(&self, slice: &Slice) -> Vec<TxId> {
        let evm = EvmRollups::new(self.result.map(|_| self.rollup));
        slice.transactions.iter().map(|transaction| evm.id(self.rollup, transaction)).collect()
    }

    /// The rollup's head after the last block: commits to every transaction from the first block on, in order.
    pub fn order_root(&self) -> Digest {
        let mut heads = Heads::from([(self.rollup, self.head_before)]);
        for slice in self.slices.iter().filter(|slice| !slice.transactions.is_empty()) {
            let ids = self.ids(slice);
            merkle::advance_heads(&mut heads, slice.height, [(self.rollup, &ids[..])].into_iter());
        }
        heads.get(&self.rollup).copied().unwrap_or(EMPTY)
    }

    /// Forced entries taken up to and including the last block.
    pub fn forced_cursor(&self) -> u64 {
        self.slices.iter().fold(self.forced_before, |cursor, slice| cursor.saturating_add(slice.forced))
    }

    pub fn transactions(&self) -> usize {
        self.slices.iter().map(|slice| slice.transactions.len()).sum()
    }
}

/// What bounds a batch when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentsLimits {
    /// The encoding before compression.
    pub bytes_max: usize,
    /// Payload of one transaction.
    pub transaction_bytes_max: usize,
}

fn varint(number: u64, buf: &mut impl BufMut) {
    UInt(number).write(buf);
}

fn varint_size(number: u64) -> usize {
    UInt(number).encode_size()
}

fn read_varint(buf: &mut impl Buf) -> Result<u64, Error> {
    Ok(UInt::read(buf)?.into())
}

const UNTIL: u8 = 1;
const BUNDLE: u8 = 2;

impl Contents {
    fn write_slice(&self, slice: &Slice, before: &Before, buf: &mut impl BufMut) {
        varint(slice.height - before.height, buf);
        varint(slice.timestamp_ms - before.timestamp_ms, buf);
        slice.parent.write(buf);
        slice.parent_seed.write(buf);
        (slice.origin != before.origin).write(buf);
        if slice.origin != before.origin {
            varint(slice.origin.number, buf);
            slice.origin.hash.write(buf);
        }
        varint(slice.forced, buf);
        varint(slice.transactions.len() as u64, buf);
        for transaction in &slice.transactions {
            let until = keeps_until(self.result.is_some(), transaction);
            let bundle = transaction.bundle.map_or(0, |_| BUNDLE);
            (bundle | if until { UNTIL } else { 0 }).write(buf);
            if until {
                varint(transaction.valid_until.wrapping_sub(slice.height), buf);
            }
            if let Some(bundle) = &transaction.bundle {
                bundle.write(buf);
            }
            transaction.payload.write(buf);
        }
    }

    fn slice_size(&self, slice: &Slice, before: &Before) -> usize {
        let origin = if slice.origin == before.origin { 0 } else { varint_size(slice.origin.number) + 32 };
        let transactions = slice.transactions.iter().map(|transaction| {
            let until = if keeps_until(self.result.is_some(), transaction) {
                varint_size(transaction.valid_until.wrapping_sub(slice.height))
            } else {
                0
            };
            1 + until + transaction.bundle.map_or(0, |_| TxId::SIZE) + transaction.payload.encode_size()
        });
        varint_size(slice.height - before.height)
            + varint_size(slice.timestamp_ms - before.timestamp_ms)
            + 32
            + 48
            + 1
            + origin
            + varint_size(slice.forced)
            + varint_size(slice.transactions.len() as u64)
            + transactions.sum::<usize>()
    }
}

/// What a slice is written relative to.
struct Before {
    height: u64,
    timestamp_ms: u64,
    origin: L1Origin,
}

impl Before {
    const fn first(contents: &Contents) -> Self {
        Self { height: contents.first_height, timestamp_ms: 0, origin: L1Origin::NONE }
    }

    const fn after(slice: &Slice) -> Self {
        Self { height: slice.height + 1, timestamp_ms: slice.timestamp_ms, origin: slice.origin }
    }
}

impl Write for Contents {
    fn write(&self, buf: &mut impl BufMut) {
        self.rollup.write(buf);
        varint(self.first_height, buf);
        varint(self.last_height - self.first_height, buf);
        varint(self.last_timestamp_ms, buf);
        self.head_before.write(buf);
        varint(self.forced_before, buf);
        self.result.is_some().write(buf);
        if let Some(result) = &self.result {
            result.write(buf);
        }
        varint(self.slices.len() as u64, buf);
        let mut before = Before::first(self);
        for slice in &self.slices {
            self.write_slice(slice, &before, buf);
            before = Before::after(slice);
        }
    }
}

impl EncodeSize for Contents {
    fn encode_size(&self) -> usize {
        let mut size = RollupId::SIZE
            + varint_size(self.first_height)
            + varint_size(self.last_height - self.first_height)
            + varint_size(self.last_timestamp_ms)
            + 32
            + varint_size(self.forced_before)
            + 1
            + self.result.map_or(0, |_| ExecutionResult::SIZE)
            + varint_size(self.slices.len() as u64);
        let mut before = Before::first(self);
        for slice in &self.slices {
            size += self.slice_size(slice, &before);
            before = Before::after(slice);
        }
        size
    }
}

const fn invalid(reason: &'static str) -> Error {
    Error::Invalid("Contents", reason)
}

impl Read for Contents {
    type Cfg = ContentsLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &ContentsLimits) -> Result<Self, Error> {
        let rollup = RollupId::read(buf)?;
        let first_height = read_varint(buf)?;
        let last_height = first_height
            .checked_add(read_varint(buf)?)
            .filter(|last| *last < u64::MAX)
            .ok_or_else(|| invalid("heights beyond the last one"))?;
        let mut contents = Self {
            rollup,
            first_height,
            last_height,
            last_timestamp_ms: read_varint(buf)?,
            head_before: Digest::read(buf)?,
            forced_before: read_varint(buf)?,
            result: Option::<ExecutionResult>::read(buf)?,
            slices: Vec::new(),
        };
        let mut before = Before::first(&contents);
        // Nothing is reserved for what is only announced.
        for _ in 0..read_varint(buf)? {
            let slice = contents.read_slice(buf, &before, limits)?;
            before = Before::after(&slice);
            contents.slices.push(slice);
        }
        Ok(contents)
    }
}

impl Contents {
    fn read_slice(
        &self,
        buf: &mut impl Buf,
        before: &Before,
        limits: &ContentsLimits,
    ) -> Result<Slice, Error> {
        let height =
            before.height.checked_add(read_varint(buf)?).filter(|height| *height <= self.last_height);
        let height = height.ok_or_else(|| invalid("a block after the last one"))?;
        let timestamp_ms = before.timestamp_ms.checked_add(read_varint(buf)?);
        let timestamp_ms = timestamp_ms
            .filter(|time| *time <= self.last_timestamp_ms)
            .ok_or_else(|| invalid("a block later than the last one"))?;
        let (parent, parent_seed) = (Digest::read(buf)?, <[u8; 48]>::read(buf)?);
        let origin = if bool::read(buf)? {
            let origin = L1Origin { number: read_varint(buf)?, hash: Digest::read(buf)? };
            if origin == before.origin {
                return Err(invalid("the origin is written again"));
            }
            origin
        } else {
            before.origin
        };
        let forced = read_varint(buf)?;
        let mut transactions = Vec::new();
        for _ in 0..read_varint(buf)? {
            transactions.push(self.read_transaction(buf, height, limits.transaction_bytes_max)?);
        }
        if transactions.is_empty() && forced == 0 {
            return Err(invalid("a block with nothing in it"));
        }
        Ok(Slice { height, timestamp_ms, parent, parent_seed, origin, forced, transactions })
    }

    fn read_transaction(&self, buf: &mut impl Buf, height: u64, max: usize) -> Result<Transaction, Error> {
        let flags = u8::read(buf)?;
        let until = flags & UNTIL != 0;
        let valid_until = if until { read_varint(buf)?.wrapping_add(height) } else { 0 };
        let bundle = if flags & BUNDLE == 0 { None } else { Some(BundleId::read(buf)?) };
        let payload = Bytes::read_cfg(buf, &RangeCfg::new(0..=max))?;
        let transaction = Transaction { valid_until, bundle, payload };
        if flags & !(UNTIL | BUNDLE) != 0 || until != keeps_until(self.result.is_some(), &transaction) {
            return Err(invalid("flags that the transaction does not have"));
        }
        Ok(transaction)
    }
}

//! A final block as a node keeps it: its record, what it executed and what it left out (§10.6).
//!
//! ```text
//! stored = bytes record ‖ list(20 bytes sender ‖ bytes raw transaction) ‖ list(bytes receipt)
//!          ‖ list(32 bytes id ‖ u8 reason)
//! ```
//!
//! Senders are kept because to recover them again costs more than everything else. The log it is kept in has
//! a checksum for each.

use super::{
    block::Outcome,
    chain::{Executed, Made},
    record::{Record, RecordError},
    transaction::{Signed, Skip},
};
use alloy_consensus::ReceiptEnvelope;
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, B256};
use baton_types::TxId;
use bytes::{Buf as _, Bytes};
use commonware_codec::{Copying, Error, RangeCfg, Read as _, ReadExt as _, Write as _, varint::UInt};
use std::sync::Arc;

/// Longest part of one encoding.
const BYTES_MAX: usize = 1 << 30;
const ENTRIES_MAX: u64 = 1 << 24;

#[derive(Clone, Debug)]
pub struct Stored {
    pub record: Record,
    pub hash: B256,
    pub transactions: Vec<Arc<Signed>>,
    /// One per transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// What blocks of the cluster up to the last that is part of it left out, after the block before.
    pub skipped: Vec<(TxId, Skip)>,
}

/// What the execution of a block of the cluster left out, by the ids of its entries.
pub fn skipped<'a>(executed: &Executed, ids: impl Iterator<Item = &'a TxId>) -> Vec<(TxId, Skip)> {
    ids.zip(&executed.outcomes)
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Skipped(skip) => Some((*id, *skip)),
            Outcome::Executed { .. } => None,
        })
        .collect()
}

impl Stored {
    pub fn new(made: &Made, skipped: Vec<(TxId, Skip)>) -> Self {
        Self {
            record: made.record(),
            hash: made.sealed.hash,
            transactions: made.sealed.transactions().cloned().collect(),
            receipts: made.sealed.receipts().cloned().collect(),
            skipped,
        }
    }

    pub const fn number(&self) -> u64 {
        self.record.header.number
    }

    /// Where a transaction stands in it.
    pub fn index(&self, hash: &B256) -> Option<usize> {
        self.transactions.iter().position(|signed| signed.hash() == *hash)
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        Bytes::from(self.record.to_bytes()).write(&mut out);
        UInt(self.transactions.len() as u64).write(&mut out);
        for signed in &self.transactions {
            signed.sender().0.0.write(&mut out);
            Bytes::from(signed.envelope().encoded_2718()).write(&mut out);
        }
        UInt(self.receipts.len() as u64).write(&mut out);
        for receipt in &self.receipts {
            Bytes::from(receipt.encoded_2718()).write(&mut out);
        }
        UInt(self.skipped.len() as u64).write(&mut out);
        for (id, skip) in &self.skipped {
            id.write(&mut out);
            skip.code().write(&mut out);
        }
        out.into()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut rest = Copying(bytes);
        let any = RangeCfg::new(0..=BYTES_MAX);
        let record = Record::from_bytes(&Bytes::read_cfg(&mut rest, &any)?)?;
        let mut transactions = Vec::new();
        for _ in 0..count(&mut rest)? {
            let sender = Address::from(<[u8; 20]>::read(&mut rest)?);
            let raw = Bytes::read_cfg(&mut rest, &any)?;
            let signed = Signed::known(&raw, sender);
            transactions.push(Arc::new(signed.ok_or(Error::Invalid("Stored", "no transaction"))?));
        }
        let mut receipts = Vec::new();
        for _ in 0..count(&mut rest)? {
            let raw = Bytes::read_cfg(&mut rest, &any)?;
            let receipt = ReceiptEnvelope::decode_2718_exact(&raw);
            receipts.push(receipt.map_err(|_| Error::Invalid("Stored", "no receipt"))?);
        }
        let mut skipped = Vec::new();
        for _ in 0..count(&mut rest)? {
            let id = TxId::read(&mut rest)?;
            let skip = Skip::from_code(u8::read(&mut rest)?);
            skipped.push((id, skip.ok_or(Error::Invalid("Stored", "no such reason"))?));
        }
        if rest.has_remaining() {
            return Err(Error::ExtraData(rest.remaining()).into());
        }
        if receipts.len() != transactions.len() {
            return Err(Error::Invalid("Stored", "not one receipt per transaction").into());
        }
        let hash = record.header.hash_slow();
        Ok(Self { record, hash, transactions, receipts, skipped })
    }
}

fn count(buf: &mut impl commonware_codec::Buf) -> Result<u64, Error> {
    let count: u64 = UInt::read(buf)?.into();
    if count > ENTRIES_MAX { Err(Error::Invalid("Stored", "too many entries")) } else { Ok(count) }
}

#[cfg(test)]
mod tests;

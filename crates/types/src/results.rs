//! What execution found, as blocks attest it: one result per EVM rollup, under one root in the header.

use crate::{Digest, RollupId, Transaction, TxId, domain, hex::HexArray, merkle::EMPTY};
use alloy_primitives::keccak256;
use bytes::{Buf as _, BufMut};
use commonware_codec::{Buf, Copying, Encode as _, Error, FixedSize, Read, ReadExt as _, Write};
use std::collections::BTreeMap;

/// How many of the cluster's blocks a rollup's newest attested result may be behind a block that still carries
/// transactions of it. Beyond, its segment is empty until execution has caught up.
pub const LAG_BLOCKS_MAX: u64 = 128;

/// Where an EVM rollup stands after a block of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionResult {
    /// Height of the last block of the cluster that is executed.
    pub executed_to: u64,
    /// The rollup's newest sealed block then.
    pub number: u64,
    pub hash: HexArray<32>,
    pub state_root: HexArray<32>,
    /// Base fee per gas of the block after it.
    pub base_fee: u64,
}

impl ExecutionResult {
    /// Of block 0, in which nothing is attested yet.
    pub fn genesis(base_fee: u64) -> Self {
        Self { base_fee, ..Self::default() }
    }
}

impl Write for ExecutionResult {
    fn write(&self, buf: &mut impl BufMut) {
        self.executed_to.write(buf);
        self.number.write(buf);
        self.hash.0.write(buf);
        self.state_root.0.write(buf);
        self.base_fee.write(buf);
    }
}

impl FixedSize for ExecutionResult {
    const SIZE: usize = 3 * u64::SIZE + 2 * 32;
}

impl Read for ExecutionResult {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self {
            executed_to: u64::read(buf)?,
            number: u64::read(buf)?,
            hash: HexArray(<[u8; 32]>::read(buf)?),
            state_root: HexArray(<[u8; 32]>::read(buf)?),
            base_fee: u64::read(buf)?,
        })
    }
}

/// The newest attested result of every EVM rollup.
pub type Results = BTreeMap<RollupId, ExecutionResult>;

/// Commits to all results; zero in a cluster without EVM rollups.
pub fn results_root(results: &Results) -> Digest {
    if results.is_empty() {
        return EMPTY;
    }
    domain::hash(domain::RESULTS, &[&encode_results(results)])
}

/// What [`results_root`] commits to.
pub fn encode_results(results: &Results) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_results(results, &mut bytes);
    bytes
}

/// Of any rollups, at most [`EvmRollups::MAX`].
pub fn decode_results(bytes: &[u8]) -> Result<Results, Error> {
    let (mut buf, mut results) = (Copying(bytes), Results::new());
    while buf.has_remaining() {
        let (rollup, result) = (RollupId::read(&mut buf)?, ExecutionResult::read(&mut buf)?);
        let follows = results.last_key_value().is_none_or(|(last, _)| *last < rollup);
        if !follows || results.len() == EvmRollups::MAX {
            return Err(Error::Invalid("Results", "out of order, or too many"));
        }
        results.insert(rollup, result);
    }
    Ok(results)
}

/// Without their number: it follows from the genesis.
pub(crate) fn write_results(results: &Results, buf: &mut impl BufMut) {
    for (rollup, result) in results {
        rollup.write(buf);
        buf.put_slice(&result.encode());
    }
}

/// Which rollups of a cluster execute Ethereum transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvmRollups {
    /// Ascending; the rest is zero, which is no rollup's id.
    ids: [u32; Self::MAX],
}

impl EvmRollups {
    /// Most of one cluster: every node holds the state of each in memory.
    pub const MAX: usize = 16;

    /// Of the first [`Self::MAX`] ids.
    pub fn new(ids: impl IntoIterator<Item = RollupId>) -> Self {
        let mut sorted: Vec<_> = ids.into_iter().map(|id| id.0).collect();
        sorted.sort_unstable();
        let mut rollups = Self::default();
        rollups.ids.iter_mut().zip(sorted).for_each(|(slot, id)| *slot = id);
        rollups
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = RollupId> + '_ {
        self.ids.iter().take_while(|id| **id != 0).map(|id| RollupId(*id))
    }

    pub fn contains(&self, rollup: RollupId) -> bool {
        rollup.0 != 0 && self.ids.contains(&rollup.0)
    }

    /// The transaction's id: of an EVM rollup the hash that wallets know it by, unless it is a leg.
    pub fn id(&self, rollup: RollupId, transaction: &Transaction) -> TxId {
        if transaction.bundle.is_none() && self.contains(rollup) {
            TxId(keccak256(&transaction.payload).0)
        } else {
            transaction.id(rollup)
        }
    }

    /// One result for each.
    pub(crate) fn read_results(&self, buf: &mut impl Buf) -> Result<Results, Error> {
        self.iter()
            .map(|expected| {
                if RollupId::read(buf)? != expected {
                    return Err(Error::Invalid("Results", "not one for each rollup that is executed"));
                }
                Ok((expected, ExecutionResult::read(buf)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;

//! Runs an EVM rollup's transactions as the cluster's nodes did.
//!
//! Blocks of the cluster without anything of the rollup are not in the data and need not be: a block of the rollup follows from
//! its own transactions and from seed, parent and time of the cluster's block that began it. The executor follows
//! blocks by digest; where those are not known it is given others.

use super::{Config, DeriveError};
use crate::events::Escaped;
use alloy_consensus::Transaction as _;
use alloy_primitives::B256;
use baton_execution::evm::{
    Chain, ChainLimits, ClusterBlock, Entry, Executed, Outcome, Params, Record, Signed,
};
use baton_settlement::{Contents, ForcedEntry, Slice};
use baton_types::{Digest, ExecutionResult};
use commonware_cryptography::{Hasher as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Nothing but what the hatch took is executed ahead of what is final.
const LIMITS: ChainLimits = ChainLimits { branches_max: usize::MAX, history_max: 1 };
/// Blocks whose hash is kept for what a later batch attests; far more than an executor may be behind.
const HASHES_MAX: usize = 4_096;

/// Newest sealed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub hash: B256,
    pub state_root: B256,
}

pub struct Executor {
    chain: Chain,
    records: Option<Log>,
    hashes: BTreeMap<u64, (B256, B256)>,
    /// Attested, of blocks that are not sealed here yet.
    awaited: Vec<ExecutionResult>,
    /// Time of the last slice.
    timestamp_ms: u64,
    /// Last block of the cluster that is part of a sealed one.
    sealed: u64,
    /// What is before this block of the cluster is executed already.
    from: u64,
}

/// Records of all blocks, each behind its length.
struct Log {
    path: PathBuf,
    file: File,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> DeriveError + '_ {
    |error| DeriveError::State { path: path.display().to_string(), what: error.to_string() }
}

impl Log {
    /// Opens it, cut after the last record of a block below `next_height`; all of those.
    fn open(directory: &Path, next_height: u64) -> Result<(Self, Vec<Record>), DeriveError> {
        fs::create_dir_all(directory).map_err(io(directory))?;
        let path = directory.join("records");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(io(&path))?,
        };
        let (mut records, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            // What was not written whole belongs to a batch that is read again.
            let Some((record, after)) = after.split_at_checked(length) else { break };
            let Ok(record) = Record::from_bytes(record) else { break };
            if record.through_height >= next_height {
                break;
            }
            records.push(record);
            rest = after;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
        file.set_len((bytes.len() - rest.len()) as u64).map_err(io(&path))?;
        Ok((Self { path, file }, records))
    }

    fn append(&mut self, record: &Record) -> std::io::Result<()> {
        let bytes = record.to_bytes();
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        self.file.write_all(&[&length.to_be_bytes()[..], &bytes].concat())
    }
}

/// Names a block whose own digest is not in the data.
/// What of forced entries is executed, in blocks that have the gas for it. As the cluster does, entries are left out whose
/// transaction may use more than was paid for on L1: they would take the room of others.
fn blocks_of(forced: &[ForcedEntry], params: &Params) -> Vec<Vec<Entry>> {
    let raw: Vec<_> = forced.iter().map(|entry| &entry.data[..]).collect();
    let (mut blocks, mut gas) = (vec![Vec::new()], 0u64);
    for (transaction, entry) in Signed::decode_all(&raw, params).into_iter().zip(forced) {
        let Some(limit) = transaction.as_ref().ok().map(|signed| signed.envelope().gas_limit()) else {
            continue;
        };
        if limit > entry.gas {
            continue;
        }
        gas = gas.saturating_add(limit);
        if gas > params.gas_limit {
            blocks.push(Vec::new());
            gas = limit;
        }
        if let Some(block) = blocks.last_mut() {
            block.push(Entry { transaction, bundle: None });
        }
    }
    blocks
}

fn stand_in(height: u64, parent: &Digest) -> Digest {
    Sha256::hash(&[b"derived", parent, &height.to_be_bytes()])
}

impl Executor {
    /// After the records of blocks below `from`. None when the rollup is not executed.
    pub fn open(config: &Config, from: u64) -> Result<Option<Self>, DeriveError> {
        let Some(chain) = Chain::new(&config.rollup, config.chain, LIMITS) else { return Ok(None) };
        let (records, kept) = match &config.directory {
            None => (None, Vec::new()),
            Some(directory) => {
                let (log, kept) = Log::open(directory, from)?;
                (Some(log), kept)
            }
        };
        let sealed = kept.last().map_or(0, |record| record.through_height);
        let resumed = chain.resume(kept);
        let chain = resumed.map_err(|error| DeriveError::State {
            path: super::state::path(config),
            what: error.to_string(),
        })?;
        let (hashes, awaited) = (BTreeMap::new(), Vec::new());
        let mut executor = Self { chain, records, hashes, awaited, timestamp_ms: 0, sealed, from };
        executor.remember();
        Ok(Some(executor))
    }

    pub fn head(&self) -> Head {
        let head = self.chain.head();
        Head { number: head.header.number, hash: head.hash, state_root: head.header.state_root }
    }

    /// Whether a block of the rollup is open, and the last block of the cluster in one before it.
    pub fn standing(&self) -> (bool, u64) {
        (self.chain.open().is_some(), self.sealed)
    }

    pub fn sync(&mut self) -> Result<(), DeriveError> {
        match &self.records {
            Some(log) => log.file.sync_all().map_err(io(&log.path)),
            None => Ok(()),
        }
    }

    /// Executes a batch and compares with what its last block attests.
    pub fn apply(&mut self, contents: &Contents) -> Result<(), String> {
        let from = self.from;
        contents
            .slices
            .iter()
            .filter(|slice| slice.height >= from)
            .try_for_each(|slice| self.slice(slice))?;
        // A block without anything of the rollup still ends a slot.
        let (parent, _) = self.chain.finalized();
        let end = ClusterBlock {
            digest: stand_in(contents.last_height, &stand_in(contents.last_height, &parent)),
            parent,
            height: contents.last_height,
            timestamp_ms: contents.last_timestamp_ms,
            parent_seed: [0; 48],
            entries: Vec::new(),
        };
        self.execute(&end)?;
        self.awaited.extend(contents.result);
        self.compare()
    }

    fn slice(&mut self, slice: &Slice) -> Result<(), String> {
        let (tip, _) = self.chain.finalized();
        if tip != slice.parent {
            self.execute(&self.before(slice.parent, tip, slice.height.saturating_sub(1)))?;
        }
        let raw: Vec<_> = slice.transactions.iter().map(|transaction| &transaction.payload[..]).collect();
        let decoded = Signed::decode_all(&raw, self.chain.params());
        let entries = decoded.into_iter().zip(&slice.transactions);
        let block = ClusterBlock {
            digest: stand_in(slice.height, &slice.parent),
            parent: slice.parent,
            height: slice.height,
            timestamp_ms: slice.timestamp_ms,
            parent_seed: slice.parent_seed,
            entries: entries.map(|(transaction, of)| Entry { transaction, bundle: of.bundle }).collect(),
        };
        self.timestamp_ms = slice.timestamp_ms;
        self.execute(&block)
    }

    /// A block before another, as far as it matters: its digest.
    fn before(&self, digest: Digest, parent: Digest, height: u64) -> ClusterBlock {
        let timestamp_ms = self.timestamp_ms;
        ClusterBlock { digest, parent, height, timestamp_ms, parent_seed: [0; 48], entries: Vec::new() }
    }

    /// Forgets what [`Self::rescue`] has made. Digest and height of the last block that is kept.
    pub fn kept(&mut self) -> (Digest, u64) {
        self.chain.forget_ahead();
        self.chain.finalized()
    }

    /// Executes forced entries in blocks behind `tip`, which moves, without keeping them. Returns how many were not
    /// skipped.
    pub fn rescue(
        &mut self,
        tip: &mut (Digest, u64),
        forced: &[ForcedEntry],
        escaped: &Escaped,
        l1_seconds: u64,
    ) -> Result<(usize, Head), String> {
        // No group has signed for it, so the seed is what nobody could choose: L1's block.
        let mut parent_seed = [0; 48];
        parent_seed[..32].copy_from_slice(&escaped.l1_hash.0);
        let timestamp_ms = self.timestamp_ms.max(l1_seconds.saturating_mul(1_000));
        let (mut executed, mut newest) = (0, self.head());
        for (number, entries) in (0u64..).zip(blocks_of(forced, self.chain.params())) {
            let before = match number {
                0 => escaped.head,
                more => Sha256::hash(&[&escaped.head, &more.to_be_bytes()]),
            };
            let (parent, height) = *tip;
            self.chain.execute(&self.before(before, parent, height)).map_err(|error| error.to_string())?;
            let block = ClusterBlock {
                digest: stand_in(height + 1, &before),
                parent: before,
                height: height + 1,
                timestamp_ms,
                parent_seed,
                entries,
            };
            // Ends the slot.
            let end = ClusterBlock {
                digest: stand_in(block.height + 1, &block.digest),
                parent: block.digest,
                height: block.height + 1,
                timestamp_ms: u64::MAX,
                parent_seed: [0; 48],
                entries: Vec::new(),
            };
            let made = self.chain.execute(&block).map_err(|error| error.to_string())?;
            let ended = self.chain.execute(&end).map_err(|error| error.to_string())?;
            *tip = (end.digest, end.height);
            let past = ended.head();
            newest = Head { number: past.header.number, hash: past.hash, state_root: past.header.state_root };
            executed +=
                made.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Executed { .. })).count();
        }
        Ok((executed, newest))
    }

    fn execute(&mut self, block: &ClusterBlock) -> Result<(), String> {
        self.chain.execute(block).map_err(|error| error.to_string())?;
        let final_blocks = self.chain.finalize(&block.digest).map_err(|error| error.to_string())?;
        final_blocks.iter().try_for_each(|executed| self.made(executed))
    }

    fn made(&mut self, executed: &Arc<Executed>) -> Result<(), String> {
        let Some(made) = &executed.made else { return Ok(()) };
        if let Some(log) = &mut self.records {
            log.append(&made.record()).map_err(|error| format!("{}: {error}", log.path.display()))?;
        }
        self.sealed = made.through_height;
        self.remember();
        Ok(())
    }

    fn remember(&mut self) {
        let Head { number, hash, state_root } = self.head();
        self.hashes.insert(number, (hash, state_root));
        while self.hashes.len() > HASHES_MAX {
            self.hashes.pop_first();
        }
    }

    fn compare(&mut self) -> Result<(), String> {
        let newest = self.head().number;
        let hashes = &self.hashes;
        let mut wrong = None;
        self.awaited.retain(|result| {
            // Nothing is attested before the first block is executed.
            if result.executed_to == 0 {
                return false;
            }
            if result.number > newest {
                return true;
            }
            let known = hashes.get(&result.number);
            if known.is_some_and(|(hash, root)| hash.0 != result.hash.0 || root.0 != result.state_root.0) {
                wrong = Some(format!(
                    "block {} has the hash {} here, the cluster attests {}",
                    result.number,
                    known.map(|(hash, _)| *hash).unwrap_or_default(),
                    result.hash
                ));
            }
            false
        });
        wrong.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::TxEip1559;
    use alloy_primitives::Address;
    use baton_execution::evm::testing::{CHAIN_ID, Wallet, call};
    use baton_types::{Rollup, genesis::evm::Evm, merkle::EMPTY};

    #[test]
    fn a_block_of_forced_entries_has_the_gas_for_them() {
        let params = Params::new(&Rollup::evm(2, "evm", Evm::new(CHAIN_ID))).unwrap();
        let wallet = Wallet::of(B256::repeat_byte(1));
        let entry = |nonce, gas_limit, gas| {
            let transaction = TxEip1559 { gas_limit, ..call(nonce, Address::ZERO) };
            let data = wallet.raw(transaction).0;
            ForcedEntry { index: nonce, l1_number: 1, sender: [0; 20], deadline: 0, gas, data, hash: EMPTY }
        };
        let half = params.gas_limit / 2;
        let fits = |nonce| entry(nonce, half, half);
        // Others pay for little, and could use a whole block.
        let greedy = |nonce| entry(nonce, params.gas_limit, 21_000);
        let nonsense = ForcedEntry { data: vec![1].into(), ..fits(9) };
        let forced = [greedy(0), fits(0), nonsense, fits(1), fits(2), greedy(3)];
        let sizes: Vec<_> = blocks_of(&forced, &params).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1]);
        assert_eq!(blocks_of(&[], &params).len(), 1);
    }
}

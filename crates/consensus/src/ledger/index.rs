//! Where each finalized transaction is: id → height, on disk. A leg of a bundle in an EVM rollup has two names, its id and
//! [`leg_name`] of the hash that wallets know it by.
//!
//! ```text
//!  memory: entries since the last run ──(262,144 entries or 4,096 blocks)──► run of tier 0
//!  eight runs of one tier ──► one run of the next tier; the eight are removed
//!  run = sorted entries (first 8 bytes of the id ‖ height) ‖ footer
//! ```
//! Ids are hashes, so a search by interpolation reads one or two pages of a run. Two ids may share
//! their first bytes; `find` returns every height, and the caller looks into the blocks.
//!
//! A run is written and synced before its footer, and its footer before its inputs are removed: after
//! a crash a run without footer is dropped, and so is one whose heights another run covers. What was
//! in memory is read again from the archive: at most 4,096 blocks.
//!
//! A node that keeps a window removes the runs that are wholly below it, and merges none that would
//! stretch over more than half of it. A node that joins later starts with the height it joined at.
//!
//! Deliberately absent: deletion of single entries, and a merge of runs beyond 256 MB.

use crate::{aliases::Runtime, broken::OrEnd as _};
use alloy_primitives::keccak256;
use baton_types::TxId;
use commonware_runtime::{Blob as _, ReadOptions, WriteOptions};
use tracing::debug;

const ENTRY: u64 = 16;
const ENTRY_BYTES: usize = 16;
const RUN_ENTRIES_MAX: usize = 1 << 18;
const RUN_BLOCKS_MAX: u64 = 4_096;
/// Runs of one tier that are merged into one of the next.
const FANOUT: usize = 8;
/// Entries of a merged run.
const MERGED_ENTRIES_MAX: u64 = 1 << 24;
/// Entries read or written at once.
const CHUNK: usize = 16_384;
const MAGIC: u64 = 0xba70_11de_0000_0001;

type Entry = (u64, u64);

/// Where legs with this hash are found: not under the hash itself, which is the id of the same transaction by itself, since a
/// hostile proposer can order many copies of a leg.
pub fn leg_name(hash: &TxId) -> TxId {
    TxId(keccak256(hash.0).0)
}

pub struct Index<E: Runtime> {
    context: E,
    partition: String,
    /// In order of height, without gaps.
    runs: Vec<Run<E>>,
    memory: Vec<Entry>,
    memory_from: u64,
    next: u64,
    /// Blocks that a merged run may stretch over.
    merged_blocks_max: u64,
}

struct Run<E: Runtime> {
    partition: String,
    name: Name,
    blob: E::Blob,
    entries: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    tier: u8,
    from: u64,
    to: u64,
}

impl Name {
    fn encode(self) -> [u8; 17] {
        let mut name = [self.tier; 17];
        name[1..9].copy_from_slice(&self.from.to_be_bytes());
        name[9..].copy_from_slice(&self.to.to_be_bytes());
        name
    }

    fn decode(name: &[u8]) -> Option<Self> {
        let (tier, rest) = name.split_first()?;
        let (from, to) = rest.split_first_chunk::<8>()?;
        let (from, to) = (u64::from_be_bytes(*from), u64::from_be_bytes(to.try_into().ok()?));
        // Another run comes behind each.
        (from <= to && to < u64::MAX).then_some(Self { tier: *tier, from, to })
    }

    const fn covers(self, other: Self) -> bool {
        self.tier > other.tier && self.from <= other.from && other.to <= self.to
    }
}

/// What a name says, as a name; for whoever throws bytes at it.
pub fn name_of(name: &[u8]) -> Option<Vec<u8>> {
    Name::decode(name).map(|name| name.encode().to_vec())
}

fn prefix(id: &TxId) -> u64 {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(prefix)
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(prefix, height)| [prefix.to_be_bytes(), height.to_be_bytes()])
        .flatten()
        .collect()
}

fn decode(bytes: &[u8]) -> Vec<Entry> {
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks_exact(ENTRY_BYTES).map(|entry| (word(&entry[..8]), word(&entry[8..]))).collect()
}

impl<E: Runtime> Run<E> {
    /// Entries `from..from + count`, as far as there are.
    async fn read(&self, from: u64, count: usize) -> Vec<Entry> {
        let count = usize::try_from(self.entries.saturating_sub(from)).map_or(count, |left| left.min(count));
        let bytes = self
            .blob
            .read_at(from * ENTRY, count * ENTRY_BYTES, ReadOptions::default())
            .await
            .read_from(&self.partition);
        decode(bytes.coalesce().as_ref())
    }

    /// Heights of entries with this prefix.
    async fn find(&self, wanted: u64) -> Vec<u64> {
        // Prefixes are uniform, so the place is known to within a few standard deviations.
        let (mut low, mut high) = (0, self.entries);
        while high - low > CHUNK as u64 / 16 {
            let guess = (u128::from(wanted) * u128::from(self.entries)) >> 64;
            let guess = u64::try_from(guess).unwrap_or(u64::MAX);
            let spread = 4 * self.entries.isqrt() + 16;
            let mut probe = if high - low == self.entries {
                guess.saturating_sub(spread)
            } else {
                low + (high - low) / 2
            };
            probe = probe.clamp(low, high - 1);
            match self.read(probe, 1).await.first() {
                Some((prefix, _)) if *prefix < wanted => low = probe + 1,
                _ => high = probe,
            }
            if high == low {
                break;
            }
        }
        let mut found = Vec::new();
        let mut at = low;
        loop {
            let entries = self.read(at, CHUNK / 16).await;
            at += entries.len() as u64;
            found.extend(entries.iter().filter(|(prefix, _)| *prefix == wanted).map(|(_, height)| *height));
            if entries.last().is_none_or(|(prefix, _)| *prefix > wanted) {
                return found;
            }
        }
    }
}

impl<E: Runtime> Index<E> {
    pub async fn open(context: E, partition: String, merged_blocks_max: u64) -> Self {
        let names = context.scan(&partition).await.unwrap_or_default();
        let mut runs = Vec::new();
        for raw in names {
            let run = match Name::decode(&raw) {
                Some(name) => Self::open_run(&context, &partition, name).await,
                None => None,
            };
            match run {
                Some(run) => runs.push(run),
                None => Self::remove(&context, &partition, &raw).await,
            }
        }
        runs.sort_by_key(|run: &Run<E>| (run.name.from, std::cmp::Reverse(run.name.tier)));
        let all: Vec<Name> = runs.iter().map(|run| run.name).collect();
        let mut kept = Vec::new();
        let mut next = runs.first().map_or(0, |run| run.name.from);
        for run in runs {
            let covered = all.iter().any(|other| other.covers(run.name));
            if covered || run.name.from != next {
                Self::remove(&context, &partition, &run.name.encode()).await;
                continue;
            }
            next = run.name.to + 1;
            kept.push(run);
        }
        Self {
            context,
            partition,
            runs: kept,
            memory: Vec::new(),
            memory_from: next,
            next,
            merged_blocks_max,
        }
    }

    /// The first height that is indexed, or will be.
    pub fn first_height(&self) -> u64 {
        self.runs.first().map_or(self.memory_from, |run| run.name.from)
    }

    /// Forgets everything: the next height is `next`.
    pub async fn restart(&mut self, next: u64) {
        for run in std::mem::take(&mut self.runs) {
            Self::remove(&self.context, &self.partition, &run.name.encode()).await;
        }
        self.memory.clear();
        (self.memory_from, self.next) = (next, next);
    }

    /// Blocks below `height` are about to be gone: what is indexed from there on must not need them after
    /// a restart, and runs that are wholly below are of no use.
    pub async fn prune(&mut self, height: u64) {
        if self.memory_from < height {
            self.flush().await;
        }
        let below = self.runs.partition_point(|run| run.name.to < height);
        for run in self.runs.drain(..below) {
            Self::remove(&self.context, &self.partition, &run.name.encode()).await;
        }
    }

    async fn open_run(context: &E, partition: &str, name: Name) -> Option<Run<E>> {
        let (blob, size) = context.open(partition, &name.encode()).await.read_from(partition);
        let entries = size.checked_sub(ENTRY)? / ENTRY;
        let run = Run { partition: partition.to_owned(), name, blob, entries: entries + 1 };
        let footer = run.read(entries, 1).await;
        (footer == [(MAGIC, entries)]).then_some(Run { entries, ..run })
    }

    async fn remove(context: &E, partition: &str, name: &[u8]) {
        context.remove(partition, Some(name)).await.written_to(partition);
    }

    /// The first height that is not indexed.
    pub const fn next_height(&self) -> u64 {
        self.next
    }

    /// Indexes the transactions of the block at `height`, unless it is indexed already.
    pub async fn insert(&mut self, height: u64, ids: impl Iterator<Item = TxId>) {
        if height != self.next {
            return;
        }
        self.memory.extend(ids.map(|id| (prefix(&id), height)));
        self.next += 1;
        if self.memory.len() >= RUN_ENTRIES_MAX || self.next - self.memory_from >= RUN_BLOCKS_MAX {
            self.flush().await;
        }
    }

    /// Heights whose blocks may have a transaction with one of these names.
    pub async fn find(&self, names: &[TxId]) -> Vec<u64> {
        let wanted: Vec<_> = names.iter().map(prefix).collect();
        let in_memory = self.memory.iter().filter(|(prefix, _)| wanted.contains(prefix));
        let mut heights: Vec<u64> = in_memory.map(|(_, height)| *height).collect();
        for run in self.runs.iter().rev() {
            for wanted in &wanted {
                heights.extend(run.find(*wanted).await);
            }
        }
        heights
    }

    async fn flush(&mut self) {
        let mut entries = std::mem::take(&mut self.memory);
        entries.sort_unstable();
        let name = Name { tier: 0, from: self.memory_from, to: self.next - 1 };
        let mut writer = Writer::create(&self.context, &self.partition, name).await;
        for chunk in entries.chunks(CHUNK) {
            writer.write(chunk).await;
        }
        self.runs.push(writer.finish().await);
        self.memory_from = self.next;
        self.merge().await;
    }

    /// Merges the last runs while there are [`FANOUT`] of one tier.
    async fn merge(&mut self) {
        while let Some(start) = self.mergeable() {
            let inputs = self.runs.split_off(start);
            let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else { return };
            let name = Name { tier: first.name.tier + 1, from: first.name.from, to: last.name.to };
            debug!(tier = name.tier, from = name.from, to = name.to, "merging index runs");
            let mut writer = Writer::create(&self.context, &self.partition, name).await;
            let mut cursors: Vec<Cursor<'_, E>> = inputs.iter().map(Cursor::new).collect();
            let mut out = Vec::with_capacity(CHUNK);
            loop {
                for cursor in &mut cursors {
                    cursor.fill().await;
                }
                let Some(next) = cursors.iter_mut().filter(|c| c.peek().is_some()).min_by_key(|c| c.peek())
                else {
                    break;
                };
                out.extend(next.take());
                if out.len() == CHUNK {
                    writer.write(&out).await;
                    out.clear();
                }
            }
            writer.write(&out).await;
            self.runs.push(writer.finish().await);
            for run in inputs {
                Self::remove(&self.context, &self.partition, &run.name.encode()).await;
            }
        }
    }

    fn mergeable(&self) -> Option<usize> {
        let start = self.runs.len().checked_sub(FANOUT)?;
        let last = &self.runs[start..];
        let tier = last[0].name.tier;
        let entries: u64 = last.iter().map(|run| run.entries).sum();
        let same = last.iter().all(|run| run.name.tier == tier);
        let blocks = self.memory_from - last[0].name.from;
        let small = entries <= MERGED_ENTRIES_MAX && blocks <= self.merged_blocks_max;
        (same && tier < u8::MAX && small).then_some(start)
    }
}

struct Writer<E: Runtime> {
    partition: String,
    name: Name,
    blob: E::Blob,
    entries: u64,
}

impl<E: Runtime> Writer<E> {
    async fn create(context: &E, partition: &str, name: Name) -> Self {
        let (blob, size) = context.open(partition, &name.encode()).await.written_to(partition);
        if size > 0 {
            blob.resize(0).await.written_to(partition);
        }
        Self { partition: partition.to_owned(), name, blob, entries: 0 }
    }

    async fn write(&mut self, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        self.blob
            .write_at(self.entries * ENTRY, encode(entries), WriteOptions::default())
            .await
            .written_to(&self.partition);
        self.entries += entries.len() as u64;
    }

    async fn finish(self) -> Run<E> {
        self.blob.sync().await.written_to(&self.partition);
        let footer = encode(&[(MAGIC, self.entries)]);
        self.blob
            .write_at(self.entries * ENTRY, footer, WriteOptions::SYNC)
            .await
            .written_to(&self.partition);
        Run { partition: self.partition, name: self.name, blob: self.blob, entries: self.entries }
    }
}

struct Cursor<'a, E: Runtime> {
    run: &'a Run<E>,
    next: u64,
    buffer: std::vec::IntoIter<Entry>,
}

impl<'a, E: Runtime> Cursor<'a, E> {
    fn new(run: &'a Run<E>) -> Self {
        Self { run, next: 0, buffer: Vec::new().into_iter() }
    }

    async fn fill(&mut self) {
        if self.buffer.len() == 0 && self.next < self.run.entries {
            let entries = self.run.read(self.next, CHUNK).await;
            self.next += entries.len() as u64;
            self.buffer = entries.into_iter();
        }
    }

    fn peek(&self) -> Option<Entry> {
        self.buffer.as_slice().first().copied()
    }

    fn take(&mut self) -> Option<Entry> {
        self.buffer.next()
    }
}

#[cfg(test)]
mod tests;

//! From L1 and the data alone to the ordered transactions of a rollup, and for an EVM rollup to the same blocks.
//!
//! ```text
//! final logs of L1 ─► Posted ─► certificate ─► data ─► Contents ─► order root ─► executor ─► same block hash, state
//! ```
//! Only what L1 calls final is read, so nothing is ever taken back. Everything is checked: the inbox's chain of heads, the
//! group's signature, the data commitment, that the contents lead from head to head, and for an EVM rollup that the
//! blocks are those that the cluster attested.
//!
//! It goes on from a directory: `state.json` after each batch, `records` with the changes of each block. A block of the
//! rollup that is still open has no record: its transactions are executed again.
//!
//! **The hatch.** Forced entries that the inbox took without the cluster are executed behind the cluster's last block, as
//! long as no block of the cluster has them: that is what L1 alone can say. It is not kept: a cluster that comes back
//! may have ordered other blocks before it orders these entries, and its order counts.

mod executor;
mod local;
pub(crate) mod state;

use crate::{
    bls,
    client::{Client, L1Error},
    contracts::{batches_in, carrier},
    da::{Backend, DaError},
    events::{self, Posted, RollupEvents, address, batch_of},
    local::LocalError,
};
use alloy_rpc_types_eth::BlockNumberOrTag;
use baton_settlement::{Contents, ContentsLimits, ForcedEntry, Terms, decode, is_signed};
use baton_types::{Digest, GroupKey, Rollup, hex, merkle::EMPTY, settlement::Batch};
use executor::Executor;
use state::{Base, Place, State};
use std::{collections::VecDeque, path::PathBuf, sync::Arc};
use thiserror::Error;

/// Blocks of L1 that are read in one go.
const STEP_BLOCKS: u64 = 2_000;

#[derive(Debug, Error)]
pub enum DeriveError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error("batch {index}: {error}")]
    Data { index: u64, error: DaError },
    #[error("batch {index} of rollup {rollup} is not what the cluster certified: {what}")]
    Batch { rollup: u32, index: u64, what: String },
    #[error("executing what went through the hatch: {what}")]
    Rescue { what: String },
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("{path}: {what}")]
    File { path: String, what: String },
    #[error("the state in {path}: {what}")]
    State { path: String, what: String },
}

/// What is derived, and from what.
pub struct Config {
    /// Digest of the genesis.
    pub chain: Digest,
    pub group_key: GroupKey,
    pub rollup: Rollup,
    pub terms: Terms,
    /// Block of L1 that has the first of the contracts.
    pub start_block: u64,
    pub limits: ContentsLimits,
    pub backends: Vec<Arc<dyn Backend>>,
    /// Where the state is kept; nothing is kept without.
    pub directory: Option<PathBuf>,
}

/// A batch that was checked and, for an EVM rollup, executed.
#[derive(Clone, Debug)]
pub struct Derived {
    pub posted: Posted,
    pub contents: Contents,
    pub bytes: usize,
    /// Newest block of an EVM rollup: number, hash and state root.
    pub block: Option<executor::Head>,
    /// Whether the certificate itself was seen; otherwise the inbox alone has checked it.
    pub certificate_seen: bool,
    /// Newest final block of L1, when it was last asked.
    pub l1_final: u64,
}

/// What went through the hatch at once, and what it did in an EVM rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// Entries that no block of the cluster has.
    pub entries: Vec<ForcedEntry>,
    pub l1_number: u64,
    /// Of an EVM rollup: how many of them were not skipped, and the newest block after them.
    pub executed: Option<usize>,
    pub block: Option<Head>,
}

pub use executor::Head;
pub use local::{Filed, LocalDeriver};

pub struct Deriver {
    client: Arc<Client>,
    config: Config,
    events: RollupEvents,
    /// Next block of L1, and the newest final one.
    next_block: u64,
    l1_final: u64,
    /// Batches that are read and not done.
    pending: VecDeque<Posted>,
    /// Behind the batches that are done.
    done: Place,
    executor: Option<Executor>,
    /// Where the next start goes on: reading L1, and with the batches.
    base: Base,
    place: Place,
    /// A later base, once nothing before it is needed any more.
    next_base: Option<Base>,
}

impl Deriver {
    /// At the beginning, or where the directory says.
    pub async fn open(client: Arc<Client>, config: Config) -> Result<Self, DeriveError> {
        let saved = match &config.directory {
            Some(directory) => State::read(directory, &config.chain, config.rollup.id)?,
            None => None,
        };
        let (base, place) = saved.map_or_else(
            || (Base::start(&config.terms), Place::START),
            |state| (state.base(), state.place()),
        );
        if base.l1_number > 0 {
            let header = client.header(BlockNumberOrTag::Number(base.l1_number)).await?;
            if header.hash.0 != base.l1_hash.0 {
                let (path, number) = (state::path(&config), base.l1_number);
                let what = format!("L1 has another block {number} now; remove the directory to begin anew");
                return Err(DeriveError::State { path, what });
            }
        }
        Ok(Self {
            client,
            executor: Executor::open(&config, place.height)?,
            events: RollupEvents::resume(config.terms.clone(), base.l1_number, base.inbox, base.queue),
            next_block: config.start_block.max(base.l1_number + 1),
            l1_final: 0,
            pending: VecDeque::new(),
            done: place,
            base,
            place,
            next_base: None,
            config,
        })
    }

    /// Index of the next batch.
    pub fn next_index(&self) -> u64 {
        let behind = || self.events.latest().next_index.max(self.done.index);
        self.pending.front().map_or_else(behind, |posted| posted.batch.index)
    }

    pub fn head(&self) -> Option<Head> {
        self.executor.as_ref().map(Executor::head)
    }

    /// Block of L1 that is read next.
    pub const fn next_block(&self) -> u64 {
        self.next_block
    }

    /// Newest final block of L1, when it was last asked.
    pub const fn l1_final(&self) -> u64 {
        self.l1_final
    }

    /// Reads on, up to the newest final block of L1 or a few batches, whichever comes first. True when there is more.
    pub async fn advance(&mut self, mut told: impl FnMut(&Derived)) -> Result<bool, DeriveError> {
        self.work_off(&mut told).await?;
        let finalized = self.client.header(BlockNumberOrTag::Finalized).await?;
        self.l1_final = finalized.number;
        if self.next_block > finalized.number {
            return Ok(false);
        }
        let end = finalized.number.min(self.next_block + STEP_BLOCKS - 1);
        let last = if end == finalized.number {
            finalized
        } else {
            self.client.header(BlockNumberOrTag::Number(end)).await?
        };
        let mut scanned = [self.events.clone()];
        events::scan(&self.client, &mut scanned, self.next_block, end, |_, _| true).await?;
        let [mut scanned] = scanned;
        events::nothing_left_out(&self.client, &scanned, alloy_eips::BlockId::hash(last.hash)).await?;
        // After a restart some of them may be done.
        let posted = std::mem::take(&mut scanned.posted).into_iter();
        self.pending = posted.filter(|posted| posted.batch.index >= self.done.index).collect();
        self.events = scanned;
        self.next_block = end + 1;
        let (inbox, queue) = (self.events.latest(), self.events.queue_end());
        // What the inbox has not taken yet, the hatch may: then its last entry is needed.
        if queue.0 <= inbox.forced_cursor {
            let l1_hash = Digest::from(last.hash.0);
            self.next_base.get_or_insert(Base { l1_number: end, l1_hash, inbox, queue });
        }
        self.work_off(&mut told).await?;
        self.save()?;
        Ok(true)
    }

    /// Batches that are read and not done. One that cannot be had now is tried again at the next call.
    async fn work_off(&mut self, told: &mut impl FnMut(&Derived)) -> Result<(), DeriveError> {
        while let Some(posted) = self.pending.front().cloned() {
            let standing = self.executor.as_ref().map(Executor::standing);
            let derived = self.batch(&posted).await?;
            self.pending.pop_front();
            let before = self.done;
            self.done = Place::behind(&posted.batch, &derived.contents);
            let now = self.executor.as_ref().map(Executor::standing);
            if let Some(place) = before.resumed(self.done, standing, now) {
                self.place = place;
            }
            told(&derived);
            self.save()?;
        }
        Ok(())
    }

    /// What the hatch took and the cluster's blocks do not have, up to where L1 is read.
    pub async fn rescued(&mut self) -> Result<Vec<Rescued>, DeriveError> {
        let mut rescued = Vec::new();
        let mut tip = self.executor.as_mut().map_or((EMPTY, 0), Executor::kept);
        for escaped in self.events.escapes() {
            let taken = escaped.from.max(self.done.cursor)..escaped.to;
            let entries: Vec<_> =
                self.events.entries().iter().filter(|entry| taken.contains(&entry.index)).cloned().collect();
            if entries.is_empty() {
                continue;
            }
            let (mut executed, mut block) = (None, None);
            if let Some(executor) = &mut self.executor {
                let l1 = self.client.header(BlockNumberOrTag::Number(escaped.l1_number)).await?;
                let done = executor.rescue(&mut tip, &entries, escaped, l1.timestamp);
                let (count, head) = done.map_err(|what| DeriveError::Rescue { what })?;
                (executed, block) = (Some(count), Some(head));
            }
            rescued.push(Rescued { entries, l1_number: escaped.l1_number, executed, block });
        }
        Ok(rescued)
    }

    fn wrong(&self, index: u64, what: impl Into<String>) -> DeriveError {
        DeriveError::Batch { rollup: self.config.rollup.id, index, what: what.into() }
    }

    async fn batch(&mut self, posted: &Posted) -> Result<Derived, DeriveError> {
        let index = posted.batch.index;
        let certificate_seen = self.certificate(posted).await?;
        let data = self.data(posted).await?;
        let contents =
            decode(&data, &self.config.limits).map_err(|error| self.wrong(index, error.to_string()))?;
        let before = (self.done.order_root, self.done.cursor);
        check(&posted.batch, posted.taken_before, &contents, before, self.executor.is_some())
            .map_err(|what| self.wrong(index, what))?;
        let block = match &mut self.executor {
            Some(executor) => {
                executor.apply(&contents).map_err(|what| self.wrong(index, what))?;
                self.executor.as_ref().map(Executor::head)
            }
            None => None,
        };
        let (posted, bytes, l1_final) = (posted.clone(), data.len(), self.l1_final);
        Ok(Derived { posted, contents, bytes, block, certificate_seen, l1_final })
    }

    /// Whether the transaction shows the group's signature; then it has to be valid.
    async fn certificate(&self, posted: &Posted) -> Result<bool, DeriveError> {
        let batch = &posted.batch;
        let sent = self.client.transaction(posted.transaction).await?;
        let inbox = address(&self.config.terms.inbox);
        // What another contract was sent says nothing: whoever wrote it may show anything.
        let Some(to) = sent.to else { return Ok(false) };
        if to != inbox && Some(to) != carrier(&self.client, inbox).await? {
            return Ok(false);
        }
        let brought = batches_in(to, &sent.input).into_iter();
        let mut brought = brought.filter(|(of, call)| *of == inbox && call.b.index == batch.index);
        let Some((_, call)) = brought.next() else { return Ok(false) };
        let place = baton_settlement::Place { index: batch.index, previous_head: batch.previous_head };
        let given =
            batch_of(&self.config.terms, place, &call.b).map_err(|what| self.wrong(batch.index, what))?;
        let signature =
            bls::read_signature(&call.certificate).map_err(|what| self.wrong(batch.index, what))?;
        if given != *batch || !is_signed(batch, &signature, &self.config.group_key) {
            return Err(
                self.wrong(batch.index, "its certificate does not verify under the key of the genesis")
            );
        }
        Ok(true)
    }

    async fn data(&self, posted: &Posted) -> Result<Vec<u8>, DeriveError> {
        let (index, kind) = (posted.batch.index, posted.batch.data_kind);
        let backend = self.config.backends.iter().find(|backend| backend.kind() == kind);
        let backend = backend.ok_or_else(|| DeriveError::Data {
            index,
            error: DaError::Missing {
                commitment: hex::encode(&posted.batch.data_commitment),
                tried: format!("it is in {kind:?}, and no such place was named"),
            },
        })?;
        backend.fetch(posted).await.map_err(|error| DeriveError::Data { index, error })
    }

    /// Reading L1 begins again where every batch before it is done, and every forced entry is in one.
    fn save(&mut self) -> Result<(), DeriveError> {
        let Some(directory) = &self.config.directory else { return Ok(()) };
        let Place { index, cursor, .. } = self.place;
        let done = |base: &mut Base| base.inbox.next_index <= index && base.queue.0 <= cursor;
        if let Some(base) = self.next_base.take_if(done) {
            self.base = base;
        }
        if let Some(executor) = &mut self.executor {
            executor.sync()?;
        }
        State::new(&self.config, &self.base, &self.place).write(directory)
    }
}

/// Whether contents are those of a batch, behind an order root and a forced cursor. `taken_before` is the inbox's cursor
/// before it.
fn check(
    batch: &Batch,
    taken_before: u64,
    contents: &Contents,
    (order_root, cursor): (Digest, u64),
    executed: bool,
) -> Result<(), String> {
    if contents.rollup != batch.rollup {
        return Err(format!("its data are of rollup {}", contents.rollup));
    }
    let (found, said) =
        ((contents.first_height, contents.last_height), (batch.first_height, batch.last_height));
    if found != said {
        return Err(format!("its data are of the blocks {found:?}, the batch of {said:?}"));
    }
    if contents.head_before != order_root {
        return Err("its data do not begin where the batch before ended".to_owned());
    }
    if contents.order_root() != batch.order_root {
        return Err("its transactions lead to another order root".to_owned());
    }
    if contents.forced_before != cursor || contents.forced_cursor().max(taken_before) != batch.forced_cursor {
        return Err("its data take other forced entries".to_owned());
    }
    if contents.result.is_some() != executed {
        return Err("its data are of another kind of rollup".to_owned());
    }
    let claimed = contents.result.map_or(EMPTY, |result| Digest::from(result.state_root.0));
    if claimed != batch.claimed_state_root {
        return Err("its data attest another state root".to_owned());
    }
    Ok(())
}

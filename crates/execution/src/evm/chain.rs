//! The rollup's blocks along the cluster's: ahead of finality on every branch, behind it for a while.
//!
//! ```text
//! cluster     F ── A ── B        execute(A), execute(B), execute(C): as soon as they are proposed
//!             │    └─── C        finalize(B): A and B are final, C and all that follows it is gone
//! final tip ──┘
//! ```
//!
//! By cadence (§10.5):
//! - `per-block`: a block of the cluster that brings at least one executable transaction is one block.
//! - `slotted`: it is a slice of the block of its slot. The first block of the cluster in a later slot
//!   seals it, with transactions or without. Until then it is open, and its state is the pending one.
//!
//! The same block of the cluster always gives the same result, whatever else was executed before.

use super::{
    block::{Entry, Env, OpenBlock, Outcome, Sealed},
    checkpoint::Checkpoint,
    hashes::RecentHashes,
    params::Params,
    record::{Record, RecordError},
    state::State,
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256, keccak256};
use baton_types::{Digest, ExecutionResult, Rollup, block::ParentSeed, genesis::evm::Cadence, hex::HexArray};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use thiserror::Error;

/// What execution takes from a block of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterBlock {
    pub digest: Digest,
    pub parent: Digest,
    pub height: u64,
    pub timestamp_ms: u64,
    pub parent_seed: ParentSeed,
    /// The rollup's segment.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
pub struct ChainLimits {
    /// Blocks of the cluster executed ahead of finality; more are refused.
    pub branches_max: usize,
    /// Final blocks of the rollup whose state is kept; the oldest goes first.
    pub history_max: usize,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChainError {
    #[error("block {block} follows {parent}, which is not executed; execute it first")]
    UnknownParent { block: String, parent: String },
    #[error("block {block} is not executed")]
    UnknownBlock { block: String },
    #[error("{max} blocks are executed ahead of finality, no more are allowed; finalize some first")]
    TooManyBranches { max: usize },
}

/// A block of the rollup, with the last block of the cluster that is part of it.
#[derive(Clone, Debug)]
pub struct Made {
    pub sealed: Arc<Sealed>,
    pub through_height: u64,
    pub through_digest: Digest,
}

impl Made {
    /// What a node keeps on disk of it.
    pub fn record(&self) -> Record {
        Record {
            header: self.sealed.header.clone(),
            through_height: self.through_height,
            through_digest: self.through_digest,
            changes: self.sealed.changes.clone(),
        }
    }
}

/// The state after a block of the rollup.
#[derive(Clone, Debug)]
pub struct Past {
    pub header: Header,
    pub hash: B256,
    pub state: State,
}

/// Where the rollup stands after a block of the cluster.
#[derive(Clone, Debug)]
struct Tip {
    digest: Digest,
    height: u64,
    head: Arc<Past>,
    hashes: RecentHashes,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    slot: u64,
    block: OpenBlock,
}

/// What executing one block of the cluster did.
#[derive(Debug)]
pub struct Executed {
    pub digest: Digest,
    pub height: u64,
    parent: Digest,
    /// One per entry.
    pub outcomes: Vec<Outcome>,
    /// Number of the rollup's block that the executed entries are in.
    pub number: Option<u64>,
    /// The block it sealed.
    pub made: Option<Made>,
    /// Accounts that its transactions changed.
    pub touched: Vec<Address>,
    tip: Tip,
}

impl Executed {
    /// The newest sealed block on this branch.
    pub const fn head(&self) -> &Arc<Past> {
        &self.tip.head
    }

    /// The block that is still open on this branch.
    pub fn open(&self) -> Option<&OpenBlock> {
        self.tip.open.as_ref().map(|open| &open.block)
    }

    /// After every transaction so far.
    pub fn state(&self) -> &State {
        self.tip.state()
    }

    /// What a header of the cluster attests of it.
    pub fn result(&self, params: &Params) -> ExecutionResult {
        self.tip.result(params)
    }

    pub const fn parent(&self) -> &Digest {
        &self.parent
    }
}

impl Tip {
    fn state(&self) -> &State {
        self.open.as_ref().map_or(&self.head.state, |open| &open.block.state)
    }

    fn result(&self, params: &Params) -> ExecutionResult {
        let Past { header, hash, .. } = &*self.head;
        ExecutionResult {
            executed_to: self.height,
            number: header.number,
            hash: HexArray(hash.0),
            state_root: HexArray(header.state_root.0),
            base_fee: params.next_base_fee(header),
        }
    }

    fn advance(&mut self, sealed: &Sealed) {
        let Sealed { header, hash, state, .. } = sealed;
        self.hashes.push(header.number, *hash);
        self.head = Arc::new(Past { header: header.clone(), hash: *hash, state: state.snapshot() });
    }
}

/// A clone shares everything and costs little.
#[derive(Clone, Debug)]
pub struct Chain {
    params: Params,
    limits: ChainLimits,
    tip: Tip,
    /// By digest, everything that follows the final tip.
    branches: BTreeMap<Digest, Arc<Executed>>,
    /// Oldest first; the last is the head of the final tip.
    history: VecDeque<Arc<Past>>,
}

pub(super) fn check_root(header: &Header, state: &State) -> Result<(), RecordError> {
    let (number, actual, expected) = (header.number, state.root(), header.state_root);
    if actual == expected { Ok(()) } else { Err(RecordError::StateRoot { number, expected, actual }) }
}

fn name(digest: &Digest) -> String {
    baton_types::hex::encode(digest)
}

impl Chain {
    /// From block 0, right after the cluster's genesis block. None when the rollup is of another kind.
    pub fn new(rollup: &Rollup, cluster_genesis: Digest, limits: ChainLimits) -> Option<Self> {
        let (params, evm) = (Params::new(rollup)?, rollup.evm.as_ref()?);
        let state = State::genesis(evm);
        let header = params.genesis_header(state.root());
        let mut hashes = RecentHashes::default();
        hashes.push(0, header.hash_slow());
        Some(Self::at(params, limits, header, state, hashes, (cluster_genesis, 0)))
    }

    /// From a state that was kept or moved here. Nobody checks that its header is that of a final block: the
    /// caller did. The hashes that BLOCKHASH has to know are in the state (EIP-2935).
    pub fn from_checkpoint(
        params: Params,
        limits: ChainLimits,
        checkpoint: Checkpoint,
    ) -> Result<Self, RecordError> {
        let Checkpoint { state, header, through_height, through_digest } = checkpoint;
        check_root(&header, &state)?;
        let mut hashes = RecentHashes::from_state(&state, header.number);
        hashes.push(header.number, header.hash_slow());
        Ok(Self::at(params, limits, header, state, hashes, (through_digest, through_height)))
    }

    fn at(
        params: Params,
        limits: ChainLimits,
        header: Header,
        state: State,
        hashes: RecentHashes,
        (digest, height): (Digest, u64),
    ) -> Self {
        let head = Arc::new(Past { hash: header.hash_slow(), header, state });
        let history = VecDeque::from([Arc::clone(&head)]);
        let tip = Tip { digest, height, head, hashes, open: None };
        Self { params, limits, tip, branches: BTreeMap::new(), history }
    }

    /// Goes on after the last of `records`, which stand for all blocks from the next one, in order. The
    /// cluster's blocks after its `through_height` are to be executed again.
    pub fn resume(mut self, records: impl IntoIterator<Item = Record>) -> Result<Self, RecordError> {
        self.branches.clear();
        for record in records {
            self.append(record)?;
        }
        check_root(&self.tip.head.header, &self.tip.head.state)?;
        Ok(self)
    }

    /// Goes on after a later block of the cluster than the last record's. The caller knows that the ones in
    /// between left the rollup where it is.
    #[must_use]
    pub fn skip_to(mut self, digest: Digest, height: u64) -> Self {
        if height > self.tip.height && self.tip.open.is_none() {
            (self.tip.digest, self.tip.height) = (digest, height);
        }
        self
    }

    fn append(&mut self, record: Record) -> Result<(), RecordError> {
        let Past { header: parent, hash: parent_hash, state } = &*self.tip.head;
        let number = record.header.number;
        if number != parent.number + 1 || record.header.parent_hash != *parent_hash {
            return Err(RecordError::Order { number, after: parent.number });
        }
        let mut state = state.snapshot();
        state.apply(&record.changes).map_err(|misfit| RecordError::Misfit { number, misfit })?;
        let hash = record.header.hash_slow();
        self.tip.hashes.push(number, hash);
        self.tip.head = Arc::new(Past { header: record.header, hash, state });
        self.tip.open = None;
        (self.tip.height, self.tip.digest) = (record.through_height, record.through_digest);
        self.remember();
        Ok(())
    }

    fn remember(&mut self) {
        self.history.push_back(Arc::clone(&self.tip.head));
        while self.history.len() > self.limits.history_max.max(1) {
            self.history.pop_front();
        }
    }

    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// What a header of the cluster attests of the last final block.
    pub fn result(&self) -> ExecutionResult {
        self.tip.result(&self.params)
    }

    /// After every final transaction.
    pub fn state(&self) -> &State {
        self.tip.state()
    }

    /// Changes the balance of an account behind everybody's back, as damaged memory would. For simulations.
    #[doc(hidden)]
    pub fn damage(&mut self, address: Address) {
        self.branches.clear();
        let Past { header, hash, state } = &*self.tip.head;
        let mut facts = state.account(&address).copied().unwrap_or_default();
        facts.balance ^= U256::ONE;
        let mut changes = super::Changes::default();
        let change = super::AccountChange { facts: Some(facts), ..super::AccountChange::default() };
        changes.accounts.insert(address, change);
        let mut state = state.snapshot();
        if state.apply(&changes).is_ok() {
            self.tip.head = Arc::new(Past { header: header.clone(), hash: *hash, state });
        }
    }

    /// Digest and height of the last final block of the cluster.
    pub const fn finalized(&self) -> (Digest, u64) {
        (self.tip.digest, self.tip.height)
    }

    /// The newest sealed block of the finalized chain.
    pub const fn head(&self) -> &Arc<Past> {
        &self.tip.head
    }

    /// The block that is open after the last final block of the cluster.
    pub fn open(&self) -> Option<&OpenBlock> {
        self.tip.open.as_ref().map(|open| &open.block)
    }

    /// A final block, while its state is kept.
    pub fn past(&self, number: u64) -> Option<&Arc<Past>> {
        let oldest = self.history.front()?.header.number;
        self.history.get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    pub fn executed(&self, digest: &Digest) -> Option<&Arc<Executed>> {
        self.branches.get(digest)
    }

    /// Blocks that are executed ahead of finality.
    pub fn ahead(&self) -> usize {
        self.branches.len()
    }

    /// Executes a block of the cluster whose parent is executed.
    pub fn execute(&mut self, block: &ClusterBlock) -> Result<Arc<Executed>, ChainError> {
        if let Some(known) = self.branches.get(&block.digest) {
            return Ok(Arc::clone(known));
        }
        if self.branches.len() >= self.limits.branches_max {
            return Err(ChainError::TooManyBranches { max: self.limits.branches_max });
        }
        let parent = self.parent(block)?;
        let executed = Arc::new(match self.params.cadence {
            Cadence::PerBlock => self.per_block(parent, block),
            Cadence::Slotted { ms } => self.slotted(parent, block, ms),
        });
        self.branches.insert(block.digest, Arc::clone(&executed));
        Ok(executed)
    }

    fn parent(&self, block: &ClusterBlock) -> Result<&Tip, ChainError> {
        match self.branches.get(&block.parent) {
            Some(parent) => Ok(&parent.tip),
            None if block.parent == self.tip.digest => Ok(&self.tip),
            None => {
                let (block, parent) = (name(&block.digest), name(&block.parent));
                Err(ChainError::UnknownParent { block, parent })
            }
        }
    }

    /// The block that is open where `next` would be executed, or the one it would begin, without its
    /// entries: what calls and estimates are made on.
    pub fn pending(&self, next: &ClusterBlock) -> Result<OpenBlock, ChainError> {
        let tip = self.parent(next)?;
        let open = tip.open.as_ref().map(|open| open.block.clone());
        Ok(open.unwrap_or_else(|| self.begin(tip, next)))
    }

    fn begin(&self, tip: &Tip, block: &ClusterBlock) -> OpenBlock {
        let parent = &tip.head.header;
        let timestamp = match self.params.cadence {
            Cadence::PerBlock => (block.timestamp_ms / 1_000).max(parent.timestamp),
            Cadence::Slotted { ms } => {
                (block.timestamp_ms / ms).saturating_mul(ms / 1_000).max(parent.timestamp + 1)
            }
        };
        let env = Env {
            parent_hash: tip.head.hash,
            number: parent.number + 1,
            timestamp,
            prevrandao: keccak256(block.parent_seed),
            base_fee: self.params.next_base_fee(parent),
            parent_beacon_root: B256::from(block.parent.0),
        };
        OpenBlock::open(&self.params, env, tip.head.state.snapshot(), tip.hashes.clone())
    }

    fn per_block(&self, parent: &Tip, block: &ClusterBlock) -> Executed {
        let mut executed = Executed::nothing(parent, block);
        if block.entries.is_empty() {
            return executed;
        }
        let mut open = self.begin(parent, block);
        executed.outcomes = open.execute(&self.params, &block.entries);
        executed.touch(&open);
        if !open.is_empty() {
            executed.number = Some(open.env.number);
            let sealed = Arc::new(open.seal(&self.params));
            executed.tip.advance(&sealed);
            executed.made = Some(Made { sealed, through_height: block.height, through_digest: block.digest });
        }
        executed
    }

    fn slotted(&self, parent: &Tip, block: &ClusterBlock, ms: u64) -> Executed {
        let mut executed = Executed::nothing(parent, block);
        let slot = block.timestamp_ms / ms;
        if let Some(open) = executed.tip.open.take_if(|open| open.slot < slot) {
            let sealed = Arc::new(open.block.seal(&self.params));
            executed.tip.advance(&sealed);
            let (through_height, through_digest) = (parent.height, parent.digest);
            executed.made = Some(Made { sealed, through_height, through_digest });
        }
        if block.entries.is_empty() {
            return executed;
        }
        let open = executed.tip.open.take();
        let mut open = open.unwrap_or_else(|| Open { slot, block: self.begin(&executed.tip, block) });
        executed.outcomes = open.block.execute(&self.params, &block.entries);
        if executed.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Executed { .. })) {
            executed.number = Some(open.block.env.number);
            executed.touch(&open.block);
        }
        executed.tip.open = (!open.block.is_empty()).then_some(open);
        executed
    }

    /// Commits an executed block and all before it. Returns them, oldest first; what does not follow it
    /// is forgotten. A block that is final already changes nothing.
    pub fn finalize(&mut self, digest: &Digest) -> Result<Vec<Arc<Executed>>, ChainError> {
        if *digest == self.tip.digest {
            return Ok(Vec::new());
        }
        let mut path = Vec::new();
        let mut next = *digest;
        while let Some(executed) = self.branches.remove(&next) {
            next = executed.parent;
            path.push(executed);
        }
        let Some(newest) = path.first() else {
            return Err(ChainError::UnknownBlock { block: name(digest) });
        };
        // Every branch begins at the final tip: whatever did not was forgotten when the tip moved.
        debug_assert_eq!(next, self.tip.digest);
        self.tip = newest.tip.clone();
        path.reverse();
        for executed in &path {
            if let Some(made) = &executed.made {
                let Sealed { header, hash, state, .. } = &*made.sealed;
                let past = Past { header: header.clone(), hash: *hash, state: state.snapshot() };
                self.history.push_back(Arc::new(past));
            }
        }
        while self.history.len() > self.limits.history_max.max(1) {
            self.history.pop_front();
        }
        self.forget_others();
        Ok(path)
    }

    /// Forgets what is executed and not final.
    pub fn forget_ahead(&mut self) {
        self.branches.clear();
    }

    /// Keeps the branches that begin at the final tip.
    fn forget_others(&mut self) {
        let mut by_height: Vec<_> = self.branches.values().cloned().collect();
        by_height.sort_by_key(|executed| executed.height);
        for executed in by_height {
            let follows = executed.parent == self.tip.digest || self.branches.contains_key(&executed.parent);
            if !follows {
                self.branches.remove(&executed.digest);
            }
        }
    }
}

impl Executed {
    /// A block that leaves the rollup where its parent did.
    fn nothing(parent: &Tip, block: &ClusterBlock) -> Self {
        let tip = Tip { digest: block.digest, height: block.height, ..parent.clone() };
        Self {
            digest: block.digest,
            height: block.height,
            parent: block.parent,
            outcomes: Vec::new(),
            number: None,
            made: None,
            touched: Vec::new(),
            tip,
        }
    }

    /// Remembers whom the newest slice changed.
    fn touch(&mut self, open: &OpenBlock) {
        let slice = open.slices.last();
        self.touched = slice.map_or_else(Vec::new, |slice| slice.changes.accounts.keys().copied().collect());
    }
}

#[cfg(test)]
mod tests;

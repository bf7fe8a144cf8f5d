//! L1 in a simulation: one chain that can reorganise, and what each member sees of it.
//!
//! ```text
//!  mine ─► Chain: blocks with their forced entries and inboxes
//!              │ appears late, not at all, or as another chain
//!              ▼
//!            View (one per member) ─► Snapshot
//! ```
//! The inbox takes batches by the rules of the contract, but for policy and certificate, which are checked
//! where batches are posted.

use baton_settlement::{ForcedEntry, InboxState, L1Origin, L1View, Place, RollupView, Snapshot};
use baton_types::{
    Digest, Genesis, RollupId,
    forced::{Envelope, data_hash, entry_hash},
    genesis::{
        Settlement,
        settlement::{Confirmation, ForcedQuota, SettledRollup},
    },
    hex::HexArray,
    merkle::EMPTY,
    settlement::{Batch, DataKind, L1Address},
};
use bytes::Bytes;
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_utils::sync::Mutex;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Time between two blocks.
pub const BLOCK_MS: u64 = 500;
/// Blocks on top of an origin.
const DEPTH: u64 = 2;
/// Blocks on top of one that L1 calls final.
const FINAL_DEPTH: u64 = 8;
const WAIT_MS: u64 = 600;
/// Blocks that a view keeps.
const KEPT: usize = 128;
/// Rollups of a simulation that settle, beside one that executes.
pub const SETTLED: [RollupId; 2] = [RollupId(1), RollupId(3)];

/// A genesis that settles on it.
pub fn settle(genesis: &mut Genesis) {
    let executed = genesis.rollups.iter().filter(|rollup| rollup.evm.is_some()).map(|rollup| rollup.id);
    let rollups = SETTLED.map(|rollup| rollup.0).into_iter().chain(executed.collect::<Vec<_>>());
    let address = |byte: u8| HexArray([byte; 20]);
    genesis.l1 = Some(Box::new(Settlement {
        chain_id: 31_337,
        registry: address(0xaa),
        start_block: 0,
        confirmation: Confirmation::Depth(DEPTH),
        origin_wait_ms: WAIT_MS,
        origin_slack: 6,
        slot_seconds: 12,
        data: DataKind::Directory,
        batch_bytes_target: 4_096,
        batch_age_ms_max: 1_500,
        forced: ForcedQuota { entries_max: 8, bytes_max: 128 * 1_024 },
        rollups: rollups
            .zip(1..)
            .map(|(rollup, number)| SettledRollup {
                rollup,
                inbox: address(number),
                queue: address(0x10 + number),
                first_height: 1,
            })
            .collect(),
    }));
}

/// The rollups that settle.
pub fn settled(genesis: &Genesis) -> Vec<RollupId> {
    let rollups = genesis.l1.iter().flat_map(|l1| &l1.rollups);
    rollups.map(SettledRollup::id).collect()
}

/// What can happen on L1, or to a member's view of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L1Action {
    /// So many entries in a rollup's queue, in the next block.
    Force(RollupId, usize),
    /// An entry that no rollup orders.
    ForceNonsense(RollupId),
    /// The last blocks are others, without what was in them.
    Reorg(u64),
    /// The member sees nothing new any more.
    Stall(usize),
    StallAll,
    /// The member sees blocks so many ms later.
    Lag(usize, u64),
    /// The member sees another chain.
    Astray(usize),
    /// All members see the chain as it is.
    Clear,
    /// The hatch takes all entries of a rollup.
    Escape(RollupId),
    /// Nobody posts batches any more, or again.
    Posts(bool),
    /// No more blocks, or again.
    Mines(bool),
}

impl fmt::Display for L1Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[derive(Clone, Debug)]
struct Block {
    hash: Digest,
    /// When it appears, in ms.
    at_ms: u64,
    /// Entries of each queue so far.
    lengths: BTreeMap<RollupId, usize>,
    inboxes: BTreeMap<RollupId, Inbox>,
}

#[derive(Clone, Copy, Debug)]
struct Inbox {
    state: InboxState,
    /// Entries before it are in batches of the cluster; the hatch may have taken more.
    ordered: u64,
}

impl Inbox {
    const EMPTY: Self = Self {
        state: InboxState { next_index: 0, head: EMPTY, next_height: 1, forced_cursor: 0 },
        ordered: 0,
    };
}

#[derive(Default)]
struct Chain {
    blocks: Vec<Block>,
    entries: BTreeMap<RollupId, Vec<ForcedEntry>>,
    /// In the next block.
    waiting: Vec<(RollupId, Bytes)>,
    inboxes: BTreeMap<RollupId, Inbox>,
    reorgs: u64,
    forced: u64,
    posts: bool,
    mines: bool,
    eyes: BTreeMap<usize, Eyes>,
}

/// How a member sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Eyes {
    lag_ms: u64,
    stalled_at_ms: Option<u64>,
    astray: bool,
}

#[derive(Clone, Default)]
pub struct L1(Arc<Mutex<Chain>>);

/// A member's view.
pub struct View {
    l1: L1,
    member: usize,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

fn hash(number: u64, salt: u64) -> Digest {
    Sha256::hash(&[b"block of L1", &number.to_be_bytes(), &salt.to_be_bytes()])
}

impl L1 {
    /// As the genesis says.
    pub fn new(genesis: &Genesis) -> Self {
        let rollups = settled(genesis);
        let chain = Chain {
            inboxes: rollups.iter().map(|rollup| (*rollup, Inbox::EMPTY)).collect(),
            entries: rollups.iter().map(|rollup| (*rollup, Vec::new())).collect(),
            posts: true,
            mines: true,
            ..Chain::default()
        };
        Self(Arc::new(Mutex::new(chain)))
    }

    pub fn view(&self, member: usize, now_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Arc<dyn L1View> {
        Arc::new(View { l1: self.clone(), member, now_ms })
    }

    /// Puts an entry into the next block.
    pub fn force(&self, rollup: RollupId, data: Bytes) {
        self.0.lock().waiting.push((rollup, data));
    }

    /// Makes the next block.
    pub fn mine(&self, at_ms: u64) {
        let mut chain = self.0.lock();
        if !chain.mines {
            return;
        }
        let number = chain.blocks.len() as u64 + 1;
        for (rollup, data) in std::mem::take(&mut chain.waiting) {
            let entries = chain.entries.entry(rollup).or_default();
            let index = entries.len() as u64;
            let previous = entries.last().map_or(EMPTY, |entry| entry.hash);
            let envelope =
                Envelope { sender: L1Address([7; 20]), deadline: at_ms / 1_000 + 600, gas: 100_000 };
            let hash = entry_hash(&previous, rollup, index, &envelope, &data_hash(&data));
            let Envelope { sender, deadline, gas } = envelope;
            entries.push(ForcedEntry {
                index,
                l1_number: number,
                sender: sender.0,
                deadline,
                gas,
                data,
                hash,
            });
        }
        let block = Block {
            hash: hash(number, chain.reorgs),
            at_ms,
            lengths: chain.entries.iter().map(|(rollup, entries)| (*rollup, entries.len())).collect(),
            inboxes: chain.inboxes.clone(),
        };
        chain.blocks.push(block);
    }

    pub fn apply(&self, action: L1Action, now_ms: u64) {
        let mut chain = self.0.lock();
        match action {
            L1Action::Force(rollup, count) => {
                for _ in 0..count {
                    chain.forced += 1;
                    // Of 32 bytes, which the rollup of hashes takes too.
                    let text = format!("forced entry {:019}", chain.forced);
                    chain.waiting.push((rollup, Bytes::from(text.into_bytes())));
                }
            }
            L1Action::ForceNonsense(rollup) => chain.waiting.push((rollup, Bytes::new())),
            L1Action::Reorg(depth) => chain.reorg(depth),
            L1Action::Stall(member) => {
                chain.eyes.entry(member).or_default().stalled_at_ms.get_or_insert(now_ms);
            }
            L1Action::StallAll => {
                for member in 0..64 {
                    chain.eyes.entry(member).or_default().stalled_at_ms.get_or_insert(now_ms);
                }
            }
            L1Action::Lag(member, ms) => chain.eyes.entry(member).or_default().lag_ms = ms,
            L1Action::Astray(member) => chain.eyes.entry(member).or_default().astray = true,
            L1Action::Clear => chain.eyes.clear(),
            L1Action::Escape(rollup) => {
                let length = chain.entries.get(&rollup).map_or(0, Vec::len) as u64;
                if let Some(Inbox { state: inbox, .. }) = chain.inboxes.get_mut(&rollup) {
                    inbox.head = Sha256::hash(&[b"escape", &inbox.head, &inbox.next_index.to_be_bytes()]);
                    inbox.next_index += 1;
                    inbox.forced_cursor = length;
                }
            }
            L1Action::Posts(posts) => chain.posts = posts,
            L1Action::Mines(mines) => chain.mines = mines,
        }
    }

    /// Where the next batch goes; none while nobody posts.
    pub fn next(&self, rollup: RollupId) -> Option<Place> {
        let chain = self.0.lock();
        let inbox = chain.inboxes.get(&rollup).filter(|_| chain.posts && chain.mines)?;
        Some(Place { index: inbox.state.next_index, previous_head: inbox.state.head })
    }

    /// As the contract does.
    pub fn post(&self, batch: &Batch) -> Result<(), String> {
        let mut chain = self.0.lock();
        let length = chain.entries.get(&batch.rollup).map_or(0, Vec::len) as u64;
        let Inbox { state: inbox, ordered } = chain.inboxes.get_mut(&batch.rollup).ok_or("no such inbox")?;
        if (batch.index, batch.previous_head) != (inbox.next_index, inbox.head) {
            return Err(format!("batch {} is not the next", batch.index));
        }
        if batch.first_height != inbox.next_height || batch.last_height < batch.first_height {
            return Err(format!("batch {} begins at {}", batch.index, batch.first_height));
        }
        if batch.forced_cursor > length {
            // After a reorg the entries may come again.
            return Ok(());
        }
        if batch.forced_cursor < inbox.forced_cursor {
            return Err(format!("batch {} has cursor {}", batch.index, batch.forced_cursor));
        }
        if batch.forced_cursor > inbox.forced_cursor {
            *ordered = batch.forced_cursor;
        }
        *inbox = InboxState {
            next_index: batch.index + 1,
            head: batch.head(),
            next_height: batch.last_height + 1,
            forced_cursor: batch.forced_cursor,
        };
        Ok(())
    }

    pub fn inbox(&self, rollup: RollupId) -> InboxState {
        self.0.lock().inboxes[&rollup].state
    }

    /// The data of all entries of a queue.
    pub fn entries(&self, rollup: RollupId) -> Vec<Bytes> {
        self.0.lock().entries[&rollup].iter().map(|entry| entry.data.clone()).collect()
    }

    pub fn height(&self) -> u64 {
        self.0.lock().blocks.len() as u64
    }
}

impl Chain {
    fn reorg(&mut self, depth: u64) {
        self.reorgs += 1;
        let salt = self.reorgs;
        let keep = self.blocks.len().saturating_sub(usize::try_from(depth).unwrap_or(usize::MAX));
        let base = keep.checked_sub(1).map(|last| self.blocks[last].clone());
        let lengths = base.as_ref().map(|base| base.lengths.clone()).unwrap_or_default();
        if let Some(base) = &base {
            self.inboxes = base.inboxes.clone();
        }
        for (rollup, entries) in &mut self.entries {
            entries.truncate(lengths.get(rollup).copied().unwrap_or(0));
        }
        let inboxes = self.inboxes.clone();
        for (block, number) in self.blocks.iter_mut().zip(1..).skip(keep) {
            block.hash = hash(number, salt);
            block.lengths.clone_from(&lengths);
            block.inboxes.clone_from(&inboxes);
        }
    }

    fn snapshot(&self, eyes: Eyes, now_ms: u64) -> Snapshot {
        let now_ms = eyes.stalled_at_ms.unwrap_or(now_ms).saturating_sub(eyes.lag_ms);
        let visible = |now_ms: u64| self.blocks.iter().take_while(|block| block.at_ms <= now_ms).count();
        let tip = visible(now_ms);
        let below = |tip: usize, depth: u64| (tip as u64).saturating_sub(depth);
        let block = |number: u64| {
            let index = usize::try_from(number.checked_sub(1)?).ok()?;
            self.blocks.get(index)
        };
        let seen = |number: u64, block: &Block| match eyes.astray {
            false => block.hash,
            true => Sha256::hash(&[b"astray", &block.hash, &number.to_be_bytes()]),
        };
        let origin = |number: u64| Some(L1Origin { number, hash: seen(number, block(number)?) });
        let finalized = below(tip, FINAL_DEPTH);
        let inbox = |number: u64, rollup| block(number).map_or(Inbox::EMPTY, |block| block.inboxes[&rollup]);
        let rollup = |rollup: RollupId| {
            let length = block(tip as u64).map_or(0, |block| block.lengths[&rollup]);
            let (latest, settled) = (inbox(tip as u64, rollup).state, inbox(finalized, rollup));
            let entries = self.entries[&rollup].iter().take(if eyes.astray { 0 } else { length });
            let forced = entries.filter(|entry| entry.index >= settled.ordered).cloned().collect();
            let finalized = settled.state;
            (rollup, RollupView { latest, finalized, forced: Arc::new(forced), postings: Arc::default() })
        };
        let blocks = self.blocks.iter().zip(1..).take(tip).skip(tip.saturating_sub(KEPT));
        Snapshot {
            blocks: Arc::new(
                blocks.map(|(block, number)| (number, (seen(number, block), block.at_ms / 1_000))).collect(),
            ),
            safe: finalized,
            finalized,
            eligible: origin(below(tip, DEPTH)),
            proposable: origin(below(visible(now_ms.saturating_sub(WAIT_MS)), DEPTH)),
            rollups: self.entries.keys().copied().map(rollup).collect(),
        }
    }
}

impl L1View for View {
    fn snapshot(&self) -> Arc<Snapshot> {
        let chain = self.l1.0.lock();
        let eyes = chain.eyes.get(&self.member).copied().unwrap_or_default();
        Arc::new(chain.snapshot(eyes, (self.now_ms)()))
    }
}

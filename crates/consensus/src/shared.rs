//! State that the application, the mempool, the ledger and the RPC look at together: the pool of
//! waiting transactions, the ids in the ancestry, unfinalized blocks and how far each has come.
//!
//! One lock, held for microseconds, never across an await. Everything in it is bounded: unfinalized
//! blocks by the distance to the finalized tip, ids by the validity window, seeds and times by count.

mod ladder;

pub use ladder::Standing;

use crate::{
    client::{Event, Live},
    lottery::Lottery,
};
use baton_execution::{
    Rules,
    pool::{Checked, Limits, Pool, PoolStats, Source},
    recent::Recent,
};
use baton_types::{
    Block, Digest, Epoch, Genesis, Height, PublicKey, Round, Segment, TxId,
    block::ParentSeed,
    receipt::{Reason, Refusal, Rung},
};
use commonware_consensus::Heightable as _;
use commonware_cryptography::{Digested, Digestible as _};
use commonware_utils::sync::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
};
use tokio::sync::{Notify, broadcast};

/// Events a slow subscriber may be behind before it loses some. Three per block.
const EVENTS_MAX: usize = 256;
/// Seeds of notarized views kept for their children.
const SEEDS_MAX: usize = 64;
/// Finalized blocks whose rung times are remembered.
const TIMES_MAX: usize = 1_024;
/// Finalized blocks kept in memory: the archive gets them a moment later than the certificate.
const FINALIZED_MAX: usize = 64;
/// Transactions that ended unordered whose end is remembered.
const ENDED_MAX: usize = 65_536;

/// Unix milliseconds. Injected, because the simulator has no clock skew of its own.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// When a block was first seen proposed, notarized and finalized; 0 where it was not.
type Times = [u64; 3];

pub struct Shared {
    pub rules: Rules,
    pub chain: Digest,
    pub clock: Clock,
    pub events: broadcast::Sender<Event>,
    /// Wakes a leader that waits for something to propose.
    pub work: Notify,
    /// Under election zk-lottery.
    lottery: OnceLock<Lottery>,
    state: Mutex<State>,
}

struct State {
    pool: Pool,
    recent: Recent,
    tracked: BTreeMap<Digest, Tracked>,
    seeds: BTreeMap<Round, ParentSeed>,
    /// Certified digests, for blocks that this node has not judged yet when their certificate comes.
    certified: BTreeMap<Round, (Digest, Rung)>,
    finalized: BTreeMap<u64, Digested<Block>>,
    times: BTreeMap<u64, Times>,
    ended: BTreeMap<TxId, (Rung, Reason)>,
    ended_order: VecDeque<TxId>,
    live: Live,
}

struct Tracked {
    block: Digested<Block>,
    rung: Rung,
    times: Times,
}

impl Shared {
    pub fn new(genesis: &Genesis, rules: Rules, limits: Limits, hash_key: u64, clock: Clock) -> Self {
        let block = genesis.block().expect("the genesis was checked when it was read");
        let live = Live {
            epoch: Epoch::zero(),
            view: 0,
            finalized_height: 0,
            finalized_digest: block.digest(),
            finalized_time_ms: 0,
            tip_height: 0,
            lowest_height: 0,
            judges_from: 1,
            unavailable_below: None,
            voting: false,
            holders: Vec::new(),
            last_vote_view: Vec::new(),
            authors_ahead: BTreeMap::new(),
            blocks_authored: BTreeMap::new(),
        };
        let state = State {
            pool: Pool::new(&genesis.rollups, limits, hash_key),
            recent: Recent::new(genesis.validity_blocks_max, hash_key),
            tracked: BTreeMap::new(),
            seeds: BTreeMap::new(),
            certified: BTreeMap::new(),
            finalized: BTreeMap::new(),
            times: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            live,
        };
        Self {
            rules,
            chain: block.header().chain,
            clock,
            events: broadcast::channel(EVENTS_MAX).0,
            work: Notify::new(),
            lottery: OnceLock::new(),
            state: Mutex::new(state),
        }
    }

    /// From here on blocks and certificates are told to `lottery`.
    pub fn play(&self, lottery: Lottery) {
        let _ = self.lottery.set(lottery);
    }

    pub fn lottery(&self) -> Option<&Lottery> {
        self.lottery.get()
    }

    /// A finalized block, before anybody acts on it.
    pub fn learn(&self, block: &Block) {
        if let Some(lottery) = self.lottery() {
            lottery.learn(block);
        }
    }

    /// A view is over, with a notarized block or without.
    pub fn passed(&self, round: Round, digest: Option<Digest>) {
        if let Some(lottery) = self.lottery() {
            lottery.passed(round, digest);
        }
    }

    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub fn live(&self) -> Live {
        self.state.lock().live.clone()
    }

    pub fn finalized_height(&self) -> u64 {
        self.state.lock().live.finalized_height
    }

    /// When this node saw the last finalization, Unix ms; 0 before the first.
    pub fn finalized_time_ms(&self) -> u64 {
        self.state.lock().live.finalized_time_ms
    }

    pub fn pool_stats(&self) -> PoolStats {
        self.state.lock().pool.stats()
    }

    // ---- Mempool ----

    /// Takes units into the pool, all under one lock. A refused unit does not affect the others.
    pub fn admit(&self, units: Vec<Checked>, source: &Source) -> Vec<Result<(), Refusal>> {
        let results = {
            let mut state = self.state.lock();
            let tip = state.live.finalized_height;
            let State { pool, recent, .. } = &mut *state;
            // It might tell a client that something waits, or expired, which was ordered before it joined.
            if matches!(source, Source::Client(_)) && tip + 1 < recent.judges_from() {
                let from = recent.judges_from();
                let detail = format!(
                    "this node has just joined and takes transactions from height {from} on; now at {tip}"
                );
                let refusal = Refusal::new(Reason::NotReady, detail).retry_after(1_000);
                return units.iter().map(|_| Err(refusal.clone())).collect();
            }
            units
                .into_iter()
                .map(|unit| match unit.ids().iter().find(|id| recent.height_of(id).is_some()) {
                    Some(id) => {
                        Err(Refusal::new(Reason::Duplicate, format!("transaction {id} is already ordered")))
                    }
                    None => pool.admit(unit, source.clone(), tip),
                })
                .collect::<Vec<_>>()
        };
        if results.iter().any(Result::is_ok) {
            self.work.notify_waiters();
        }
        results
    }

    pub fn set_replicated(&self, ids: &[TxId]) {
        self.state.lock().pool.set_replicated(ids);
    }

    pub fn set_journaled<'a>(&self, ids: impl Iterator<Item = &'a TxId>) {
        self.state.lock().pool.set_journaled(ids);
    }

    /// Whether each of `ids` is ordered, or waits here and is on this node's journal.
    pub fn all_safe(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().all(|id| state.pool.journaled(id) || state.recent.height_of(id).is_some())
    }

    /// Whether any of `ids` still waits in the pool.
    pub fn any_waiting(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().any(|id| state.pool.contains(id))
    }

    /// Whether each of `ids` waits here or is ordered already.
    pub fn all_known(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().all(|id| state.pool.contains(id) || state.recent.height_of(id).is_some())
    }

    // ---- Application ----

    /// Whether the ids of this block and all its ancestors down to the finalized tip are known.
    pub fn connected(&self, block: &Digest, height: Height) -> bool {
        let state = self.state.lock();
        state.recent.connected(block, height.get())
    }

    /// Records an ancestor without saying anything about its rung.
    pub fn connect(&self, block: &Digested<Block>) {
        self.state.lock().track(block, Rung::Pending, 0);
    }

    /// A block was built here, or found valid.
    pub fn proposed(&self, block: &Digested<Block>) {
        self.raise(block, Rung::Proposed);
        self.catch_up(&block.digest());
    }

    /// Events are sent under the lock, so that they come in the order of what they tell.
    fn raise(&self, block: &Digested<Block>, rung: Rung) {
        let now = self.now_ms();
        let mut state = self.state.lock();
        if state.track(block, rung, now) {
            let _ = self.events.send(Event::Block { rung, block: block.clone(), time_ms: now });
        }
    }

    /// What certificates already said of a block that this node has only now found valid.
    fn catch_up(&self, digest: &Digest) {
        let known = {
            let state = self.state.lock();
            state.certified.values().rev().find(|(certified, _)| certified == digest).map(|(_, rung)| *rung)
        };
        match known {
            Some(Rung::Finalized) => self.finalize_to(digest),
            Some(Rung::Notarized) => self.notarize(digest),
            _ => {}
        }
    }

    /// The first id of `block` that its ancestors ordered already; an outer none when they are not known.
    pub fn repeated(&self, parent: &Digest, parent_height: Height, block: &Block) -> Option<Option<TxId>> {
        let state = self.state.lock();
        let ancestry = state.recent.ancestry(parent, parent_height.get())?;
        Some(block.ids().find(|id| ancestry.contains(id)).copied())
    }

    /// Whether a block on `parent` would have a transaction. `connected` comes first.
    pub fn has_work(&self, parent: &Digest, parent_height: Height) -> bool {
        let state = self.state.lock();
        let ancestry = state.recent.ancestry(parent, parent_height.get());
        ancestry
            .is_some_and(|ancestry| state.pool.has_work(parent_height.get() + 1, |id| ancestry.contains(id)))
    }

    /// The transactions of a block on `parent`; none when its ancestry is not known.
    pub fn select(&self, parent: &Digest, parent_height: Height) -> Vec<Segment> {
        let state = self.state.lock();
        let ancestry = state.recent.ancestry(parent, parent_height.get());
        ancestry.map_or_else(Vec::new, |ancestry| {
            state.pool.select(parent_height.get() + 1, |id| ancestry.contains(id))
        })
    }

    /// A block of `author` was `ahead_ms` ahead of this node's clock; none when within what is allowed.
    pub fn clock_seen(&self, author: &PublicKey, ahead_ms: Option<u64>) {
        let authors = &mut self.state.lock().live.authors_ahead;
        match ahead_ms {
            Some(ahead_ms) => authors.insert(author.clone(), ahead_ms),
            None => authors.remove(author),
        };
    }

    pub fn seed(&self, round: Round) -> Option<ParentSeed> {
        self.state.lock().seeds.get(&round).copied()
    }

    // ---- What consensus reports ----

    pub fn enter_epoch(&self, epoch: Epoch, holders: Vec<PublicKey>, voting: bool) {
        let mut state = self.state.lock();
        state.live.voting = voting;
        state.live.epoch = epoch;
        state.live.view = 0;
        state.live.last_vote_view = vec![None; holders.len()];
        state.live.holders = holders;
    }

    /// A block at `height` is known to be final, here or elsewhere.
    pub fn tip(&self, height: Height) {
        let mut state = self.state.lock();
        state.live.tip_height = state.live.tip_height.max(height.get());
    }

    pub fn vote(&self, round: Round, signer: usize) {
        let mut state = self.state.lock();
        if round.epoch() != state.live.epoch {
            return;
        }
        if let Some(last) = state.live.last_vote_view.get_mut(signer) {
            *last = (*last).max(Some(round.view().get()));
        }
    }

    pub fn notarized(&self, round: Round, digest: &Digest, seed: ParentSeed) {
        self.state.lock().certified(round, digest, Rung::Notarized, seed);
        self.notarize(digest);
        self.work.notify_waiters();
        self.passed(round, Some(*digest));
    }

    fn notarize(&self, digest: &Digest) {
        let block = self.state.lock().tracked.get(digest).map(|tracked| tracked.block.clone());
        if let Some(block) = block {
            self.raise(&block, Rung::Notarized);
        }
    }

    /// A finalization certificate was seen. Blocks whose ancestry is known are final from here on;
    /// others become so when marshal delivers them.
    pub fn finalization(&self, round: Round, digest: &Digest, seed: ParentSeed) {
        self.state.lock().certified(round, digest, Rung::Finalized, seed);
        self.finalize_to(digest);
        self.work.notify_waiters();
        self.passed(round, Some(*digest));
    }

    fn finalize_to(&self, digest: &Digest) {
        let path = self.state.lock().path(digest);
        for block in path {
            self.finalize(&block);
        }
    }

    /// A block is final. In order of height, from the certificate or from marshal, whichever is
    /// first; repeated calls have no effect.
    pub fn finalize(&self, block: &Digested<Block>) {
        let now = self.now_ms();
        let mut state = self.state.lock();
        let height = block.height().get();
        if height != state.live.finalized_height + 1 {
            return;
        }
        state.finalize(block, now);
        let _ = self.events.send(Event::Block { rung: Rung::Finalized, block: block.clone(), time_ms: now });
        let ids: Arc<[TxId]> = state.pool.expire(height).into();
        if !ids.is_empty() {
            ids.iter().for_each(|id| state.end(*id, Rung::Expired, Reason::Expired));
            let _ = self.events.send(Event::Ended {
                ids,
                rung: Rung::Expired,
                reason: Reason::Expired,
                time_ms: now,
            });
        }
    }

    /// A block that became final lately.
    pub fn finalized(&self, height: u64) -> Option<Digested<Block>> {
        self.state.lock().finalized.get(&height).cloned()
    }

    /// A block that is not final, or became final lately.
    pub fn known(&self, digest: &Digest) -> Option<Digested<Block>> {
        let state = self.state.lock();
        let tracked = state.tracked.get(digest).map(|tracked| tracked.block.clone());
        tracked.or_else(|| state.finalized.values().rev().find(|block| block.digest() == *digest).cloned())
    }

    /// The parent of a block, if it is not final and known here.
    pub fn unfinalized_parent(&self, block: &Digested<Block>) -> Option<Digested<Block>> {
        let state = self.state.lock();
        state.tracked.get(&block.inner().header().parent).map(|tracked| tracked.block.clone())
    }

    /// The finalized chain begins at `height` here, on a block `parent` that this node never had, or has no
    /// more.
    pub fn start_at(&self, height: u64, parent: Digest) {
        let mut state = self.state.lock();
        state.recent.start_at(height);
        state.finalized.clear();
        state.tracked.retain(|_, tracked| tracked.block.height().get() >= height);
        let judges_from = state.recent.judges_from();
        let live = &mut state.live;
        live.finalized_height = height.saturating_sub(1);
        live.finalized_digest = parent;
        live.lowest_height = height;
        live.judges_from = judges_from;
    }

    /// The chain will begin at `height`; its block is on its way.
    pub fn joining(&self, height: u64) {
        let mut state = self.state.lock();
        state.live.lowest_height = height;
        state.live.tip_height = state.live.tip_height.max(height);
    }

    /// Blocks below `height` are gone.
    pub fn pruned(&self, height: u64) {
        self.state.lock().live.lowest_height = height;
    }

    pub fn lowest_height(&self) -> u64 {
        self.state.lock().live.lowest_height
    }

    /// What this node needs next is at no peer that answered; none when it gets on.
    pub fn unavailable(&self, below: Option<u64>) {
        self.state.lock().live.unavailable_below = below;
    }

    /// Puts back what a restart lost: ids of the last finalized blocks, oldest first.
    pub fn restore(&self, block: &Digested<Block>) {
        self.learn(block.inner());
        let mut state = self.state.lock();
        state.recent.finalize(block.height().get(), block.inner().ids());
        state.live.finalized_height = block.height().get();
        state.live.finalized_digest = block.digest();
    }
}

const fn slot(rung: Rung) -> Option<usize> {
    match rung {
        Rung::Proposed => Some(0),
        Rung::Notarized => Some(1),
        Rung::Finalized => Some(2),
        _ => None,
    }
}

impl State {
    /// Records a block above the finalized tip; returns whether it rose to a new rung.
    fn track(&mut self, block: &Digested<Block>, rung: Rung, now: u64) -> bool {
        let height = block.height().get();
        if height <= self.live.finalized_height {
            return false;
        }
        let digest = block.digest();
        if !self.tracked.contains_key(&digest) {
            if self.tracked.len() >= Recent::BLOCKS_MAX {
                self.forget_lowest();
            }
            self.recent.insert(digest, block.inner());
            let tracked = Tracked { block: block.clone(), rung: Rung::Pending, times: Times::default() };
            self.tracked.insert(digest, tracked);
        }
        let Some(tracked) = self.tracked.get_mut(&digest) else { return false };
        if rung <= tracked.rung {
            return false;
        }
        tracked.rung = rung;
        if let Some(slot) = slot(rung) {
            tracked.times[slot] = now;
        }
        true
    }

    /// Simplex has a handful of unfinalized blocks; very many mean that nothing is finalized. What is
    /// forgotten here is fetched again when a descendant needs it.
    fn forget_lowest(&mut self) {
        let lowest = self.tracked.iter().min_by_key(|(_, tracked)| tracked.block.height());
        if let Some(digest) = lowest.map(|(digest, _)| *digest) {
            self.tracked.remove(&digest);
            self.recent.remove(&digest);
        }
    }

    fn certified(&mut self, round: Round, digest: &Digest, rung: Rung, seed: ParentSeed) {
        self.seeds.insert(round, seed);
        let known = self.certified.entry(round).or_insert((*digest, rung));
        known.1 = known.1.max(rung);
        while self.seeds.len() > SEEDS_MAX {
            self.seeds.pop_first();
        }
        while self.certified.len() > SEEDS_MAX {
            self.certified.pop_first();
        }
        if round.epoch() == self.live.epoch {
            self.live.view = self.live.view.max(round.view().get());
        }
    }

    /// The tracked blocks from just above the finalized tip up to `digest`; empty when one is missing.
    fn path(&self, digest: &Digest) -> Vec<Digested<Block>> {
        let mut path = Vec::new();
        let mut next = *digest;
        while next != self.live.finalized_digest {
            let Some(tracked) = self.tracked.get(&next) else { return Vec::new() };
            path.push(tracked.block.clone());
            next = tracked.block.inner().header().parent;
        }
        path.reverse();
        path
    }

    fn finalize(&mut self, block: &Digested<Block>, now: u64) {
        let header = block.inner().header();
        let mut times = self.tracked.get(&block.digest()).map(|tracked| tracked.times).unwrap_or_default();
        times[2] = now;
        self.finalized.insert(header.height, block.clone());
        while self.finalized.len() > FINALIZED_MAX {
            self.finalized.pop_first();
        }
        self.times.insert(header.height, times);
        while self.times.len() > TIMES_MAX {
            self.times.pop_first();
        }
        self.pool.finalized(header.height, block.inner().ids());
        self.recent.finalize(header.height, block.inner().ids());
        let live = &mut self.live;
        live.finalized_height = header.height;
        live.finalized_digest = block.digest();
        live.finalized_time_ms = now;
        live.tip_height = live.tip_height.max(header.height);
        *live.blocks_authored.entry(header.author.clone()).or_default() += 1;
        let height = header.height;
        self.tracked.retain(|_, tracked| tracked.block.height().get() > height);
    }

    fn end(&mut self, id: TxId, rung: Rung, reason: Reason) {
        if self.ended.insert(id, (rung, reason)).is_none() {
            self.ended_order.push_back(id);
        }
        while self.ended_order.len() > ENDED_MAX {
            if let Some(oldest) = self.ended_order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }
}

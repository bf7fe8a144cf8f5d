//! State that the application, the mempool, the ledger and the RPC look at together: the pool of
//! waiting transactions, the ids in the ancestry, unfinalized blocks and how far each has come.
//!
//! One lock, held for microseconds, never across an await. Everything in it is bounded: unfinalized
//! blocks by the distance to the finalized tip, ids by the validity window, seeds and times by count.

mod claims;
mod execution;
mod forced;
mod ladder;
mod pool;
mod settling;
mod strain;
mod votes;

pub use execution::lags;
pub use forced::Selection;
pub use ladder::Standing;
pub use settling::Settling;

use crate::{
    admission::{self, Admission},
    client::{Event, Live, Silence},
    evm::Executions,
    lottery::Lottery,
    minute::LastMinute,
    settlement::L1,
    tally::Tally,
};
use baton_execution::{
    Rules,
    pool::{Limits, Pool},
    recent::Recent,
};
use baton_types::{
    Block, Digest, Epoch, Genesis, Height, PublicKey, Round, TxId,
    block::ParentSeed,
    receipt::{Reason, Rung},
};
use commonware_consensus::Heightable as _;
use commonware_cryptography::{Digested, Digestible as _};
use commonware_utils::sync::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
};
use tokio::sync::{Notify, broadcast};
use tracing::{info, warn};

/// Events a slow subscriber may be behind before it loses some. Four per block.
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
    /// By which members are told apart and counted.
    members: baton_types::lottery::Rules,
    /// Wakes a leader that waits for something to propose.
    pub work: Notify,
    /// Wakes executors: a block rose or became final.
    pub moved: Notify,
    executions: Executions,
    /// Under election zk-lottery.
    lottery: OnceLock<Lottery>,
    /// Where the genesis has a section l1.
    l1: OnceLock<L1>,
    settling: Mutex<Settling>,
    state: Mutex<State>,
}

struct State {
    pool: Pool,
    admission: Admission,
    recent: Recent,
    tracked: BTreeMap<Digest, Tracked>,
    seeds: BTreeMap<Round, ParentSeed>,
    /// Certified digests, for blocks that this node has not judged yet when their certificate comes.
    certified: BTreeMap<Round, (Digest, Rung)>,
    finalized: BTreeMap<u64, Digested<Block>>,
    times: BTreeMap<u64, Times>,
    ended: BTreeMap<TxId, (Rung, Reason)>,
    ended_order: VecDeque<TxId>,
    tally: Tally,
    minute: LastMinute,
    votes: votes::Votes,
    /// Members that said they hold no share of the key, and in which epoch.
    shareless: BTreeMap<PublicKey, Epoch>,
    strain: strain::Strain,
    claims: claims::Claims,
    live: Live,
}

struct Tracked {
    block: Digested<Block>,
    rung: Rung,
    times: Times,
}

impl Shared {
    pub fn new(
        genesis: &Genesis,
        rules: Rules,
        limits: Limits,
        hash_key: u64,
        clock: Clock,
        executions: Executions,
    ) -> Self {
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
            silence: None,
            holders: Vec::new(),
            last_vote_view: Vec::new(),
            authors_ahead: BTreeMap::new(),
        };
        let state = State {
            strain: strain::Strain::new(limits.faults_max as u64),
            claims: claims::Claims::default(),
            admission: Admission::new(limits.wait_ms_max, genesis.members.len() as u64),
            pool: Pool::new(&genesis.rollups, limits, hash_key),
            recent: Recent::new(genesis.validity_blocks_max, hash_key),
            tracked: BTreeMap::new(),
            seeds: BTreeMap::new(),
            certified: BTreeMap::new(),
            finalized: BTreeMap::new(),
            times: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            tally: Tally::default(),
            minute: LastMinute::default(),
            votes: votes::Votes::new(),
            shareless: BTreeMap::new(),
            live,
        };
        Self {
            rules,
            chain: block.header().chain,
            clock,
            events: broadcast::channel(EVENTS_MAX).0,
            members: genesis.lottery_rules().expect("the genesis was checked when it was read"),
            work: Notify::new(),
            moved: Notify::new(),
            executions,
            lottery: OnceLock::new(),
            l1: OnceLock::new(),
            settling: Mutex::default(),
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
        self.strain(round, digest.is_some());
        if let Some(lottery) = self.lottery() {
            lottery.passed(round, digest);
        }
        if let Some(l1) = self.l1.get() {
            l1.passed(round, digest.is_some());
        }
        self.state.lock().claims.passed(round, digest.is_some());
    }

    fn strain(&self, round: Round, notarized: bool) {
        let mut state = self.state.lock();
        if state.strain.passed(round, notarized) {
            let bytes = state.strain.bytes(self.rules.limits().block_bytes_max);
            let view = round.view().get();
            if notarized {
                info!(view, bytes, "views succeed again: trying larger blocks");
            } else {
                warn!(view, bytes, "views fail in a row: making smaller blocks");
            }
        }
    }

    pub const fn executions(&self) -> &Executions {
        &self.executions
    }

    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub fn live(&self) -> Live {
        self.state.lock().live.clone()
    }

    pub fn tally(&self) -> Tally {
        self.state.lock().tally.clone()
    }

    /// First height of the epoch that a height belongs to.
    pub fn epoch_start(&self, height: u64) -> u64 {
        height - height % self.members.epoch_blocks
    }

    pub fn last_minute(&self) -> LastMinute {
        self.state.lock().minute.clone()
    }

    pub fn finalized_height(&self) -> u64 {
        self.state.lock().live.finalized_height
    }

    /// When this node saw the last finalization, Unix ms; 0 before the first.
    pub fn finalized_time_ms(&self) -> u64 {
        self.state.lock().live.finalized_time_ms
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
            let _ = self.events.send(state.event(block, rung, now));
        }
        drop(state);
        self.moved.notify_waiters();
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

    /// The first id of `block` that its ancestors ordered already, forced ones aside; an outer none when they
    /// are not known.
    pub fn repeated(&self, parent: &Digest, parent_height: Height, block: &Block) -> Option<Option<TxId>> {
        let state = self.state.lock();
        let ancestry = state.recent.ancestry(parent, parent_height.get())?;
        let segments = block.body().segments.iter().zip(block.segment_ids());
        let plain = segments.flat_map(|(segment, (_, ids))| {
            segment.transactions.iter().zip(ids).filter(|(transaction, _)| transaction.forced().is_none())
        });
        Some(plain.map(|(_, id)| *id).find(|id| ancestry.contains(id)))
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
        state.votes.clear();
        state.live.holders = holders;
    }

    pub fn voting(&self) -> bool {
        self.state.lock().live.voting
    }

    pub fn silence(&self, silence: Option<Silence>) {
        self.state.lock().live.silence = silence;
    }

    /// `member` says that it holds no share of the key in `epoch`. Whether that is news.
    pub fn lacks_share(&self, member: PublicKey, epoch: Epoch) -> bool {
        self.state.lock().shareless.insert(member, epoch) != Some(epoch)
    }

    /// Whether this node or another lacks its share of the key in `epoch`.
    pub fn wants_reshare(&self, epoch: Epoch) -> bool {
        let state = self.state.lock();
        let own = state.live.epoch == epoch && state.live.silence == Some(Silence::NoShare);
        own || state.shareless.values().any(|lacking| *lacking == epoch)
    }

    /// A block at `height` is known to be final, here or elsewhere.
    pub fn tip(&self, height: Height) {
        let mut state = self.state.lock();
        state.live.tip_height = state.live.tip_height.max(height.get());
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

    /// Resolves once the certificate of a view was seen.
    pub async fn seed_seen(&self, round: Round) {
        loop {
            // Registered before looking, so that nothing between the two is missed.
            let news = self.work.notified();
            if self.seed(round).is_some() {
                return;
            }
            news.await;
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
        state.tally.finalized(&self.members, block.inner());
        let _ = self.events.send(state.event(block, Rung::Finalized, now));
        self.moved.notify_waiters();
        let ids: Arc<[TxId]> = state.pool.expire(height).into();
        // One that has just joined does not know what was ordered before.
        if !ids.is_empty() && height >= state.recent.judges_from() {
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
        state.tally.restart();
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

    /// Counts a block that was final before this node started. In order of height.
    pub fn recount(&self, block: &Digested<Block>) {
        self.state.lock().tally.restored(&self.members, block.inner());
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
        self.minute.finalized(now, times[0], block.inner().transactions() as u64);
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
        let behind = live.tip_height - header.height;
        self.admission
            .finalized(now, admission::contents(block.inner()), behind, |id| self.pool.contains(id));
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

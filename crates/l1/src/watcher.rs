//! Follows L1 and publishes what consensus needs of it.
//!
//! ```text
//! new head (WebSocket) or the clock ─► latest header ─► parents back to a known block ─► logs of the new blocks
//!                                                   └─► `safe`, `finalized`         └─► nothing left out?
//!                                                   └─► do all endpoints agree? ─► eligible ─► Snapshot
//! ```
//! - **Reorg**: the chain is followed by parent hashes alone; what stood above the common ancestor is forgotten. No
//!   notice of an endpoint is needed, and none is believed.
//! - **Beyond finality**: a block that was final is another one, also after a gap or a restart (`memory`). Said as an error
//!   and in the status; the watcher goes on with the new chain, because consensus never takes back what it ordered.
//! - **An endpoint that stands still** rests when another can be asked; **one that lies** is found by the contracts'
//!   hash chains or by the others: a block that endpoints do not agree on is not eligible.

mod chain;
mod memory;

use crate::{
    client::{Client, L1Error},
    events::{self, RollupEvents},
};
use alloy_eips::BlockId;
use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockNumberOrTag, Header};
use baton_settlement::{L1Origin, L1View, Snapshot, Terms};
use baton_types::Digest;
use chain::{Block, Chain};
use memory::{Final, Memory};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tracing::{error, info, warn};

/// How deep a block of L1 has to be before the cluster takes it as origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// So many blocks on top of it.
    Blocks(u64),
    Finalized,
}

#[derive(Clone, Debug)]
pub struct WatcherConfig {
    pub rollups: Vec<Terms>,
    /// Block of L1 that has the first of the contracts.
    pub start_block: u64,
    pub depth: Depth,
    /// How long a block has to be eligible before this node proposes it.
    pub propose_after: Duration,
    /// How often L1 is asked, with or without news.
    pub poll: Duration,
    /// An endpoint whose newest block is the same for so long stands still.
    pub still_after: Duration,
}

/// How the watcher stands; for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub endpoint: String,
    pub latest: u64,
    pub safe: u64,
    pub finalized: u64,
    pub reorgs: u64,
    pub deepest_reorg: u64,
    /// Why the newest round failed, and how many have since the last that did not.
    pub trouble: Option<String>,
    pub failures: u32,
    /// A final block was replaced. Stays until the node is restarted.
    pub beyond_finality: Option<String>,
    /// Endpoints that have other blocks.
    pub disagreement: Option<String>,
}

/// Where readers find the newest snapshot.
#[derive(Clone, Default)]
pub struct Board(pub(crate) Arc<Mutex<Arc<Snapshot>>>);

impl L1View for Board {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub struct Watcher {
    client: Arc<Client>,
    config: WatcherConfig,
    chain: Chain,
    memory: Memory,
    rollups: Vec<RollupEvents>,
    safe: u64,
    /// Eligible blocks that are not proposable yet, with the moment they became eligible.
    waiting: VecDeque<(L1Origin, Instant)>,
    eligible: Option<L1Origin>,
    proposable: Option<L1Origin>,
    /// When the newest block last changed.
    moved: Instant,
    status: Status,
    board: Board,
    report: watch::Sender<Status>,
}

fn digest(hash: B256) -> Digest {
    Digest::from(hash.0)
}

impl Watcher {
    pub fn new(client: Arc<Client>, config: WatcherConfig) -> Self {
        let rollups = config.rollups.iter().cloned().map(RollupEvents::new).collect();
        Self {
            client,
            config,
            chain: Chain::default(),
            memory: Memory::default(),
            rollups,
            safe: 0,
            waiting: VecDeque::new(),
            eligible: None,
            proposable: None,
            moved: Instant::now(),
            status: Status::default(),
            board: Board::default(),
            report: watch::channel(Status::default()).0,
        }
    }

    /// Remembers in this file what was final.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        self.memory = Memory::open(file);
        self
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.report.subscribe()
    }

    /// Runs until it is aborted.
    pub fn start(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let news = Arc::new(Notify::new());
            let _listeners = Listeners(self.client.listen(news.clone()));
            loop {
                self.round().await;
                let _ = tokio::time::timeout(self.config.poll, news.notified()).await;
            }
        })
    }

    /// Looks once.
    pub async fn round(&mut self) {
        match self.look().await {
            Ok(()) => (self.status.trouble, self.status.failures) = (None, 0),
            Err(problem) => {
                if self.status.trouble.is_none() {
                    warn!(%problem, "L1 cannot be followed at the moment");
                }
                self.status.trouble = Some(problem.to_string());
                self.status.failures = self.status.failures.saturating_add(1);
            }
        }
        self.publish();
    }

    async fn look(&mut self) -> Result<(), L1Error> {
        if self.chain.is_empty() {
            self.begin().await?;
        }
        let latest = self.client.header(BlockNumberOrTag::Latest).await?;
        let known = self.chain.hash(latest.number) == Some(latest.hash);
        let tip = self.chain.tip().map_or(0, |tip| tip.number);
        if known && latest.number <= tip {
            self.stands_still();
        } else if !self.follow(latest).await? {
            self.start_over();
            return Ok(());
        } else {
            self.moved = Instant::now();
        }
        self.finality().await?;
        self.kept_its_word().await?;
        self.eligibility().await;
        Ok(())
    }

    /// Begins at the newest final block: everything before it is read without its headers.
    async fn begin(&mut self) -> Result<(), L1Error> {
        let finalized = self.client.header(BlockNumberOrTag::Finalized).await?;
        let (number, hash) = (finalized.number, finalized.hash);
        let mut rollups: Vec<_> = self.config.rollups.iter().cloned().map(RollupEvents::new).collect();
        if number >= self.config.start_block {
            events::scan(&self.client, &mut rollups, self.config.start_block, number, |_, _| true).await?;
            for rollup in &mut rollups {
                events::nothing_left_out(&self.client, rollup, BlockId::hash(hash)).await?;
                rollup.prune(number);
            }
        }
        info!(number, %hash, endpoint = self.client.endpoint(), "following L1 from its newest final block");
        self.rollups = rollups;
        self.chain = Chain::starting(block(&finalized));
        Ok(())
    }

    /// What is final now is the beginning of the next round.
    fn start_over(&mut self) {
        self.chain = Chain::default();
        self.memory.start_over();
        self.waiting.clear();
        (self.eligible, self.proposable) = (None, None);
    }

    /// Walks back from a new head to a known block, then takes the branch. False when there is none within reach, or
    /// when it would take back what was final.
    async fn follow(&mut self, latest: Header) -> Result<bool, L1Error> {
        let tip = self.chain.tip().map_or(0, |tip| tip.number);
        if latest.number.saturating_sub(tip) > chain::KEPT_MAX as u64 {
            warn!(
                tip,
                latest = latest.number,
                "L1 is too far ahead to walk; starting over at its newest final block"
            );
            return Ok(false);
        }
        let mut branch = vec![block(&latest)];
        loop {
            let oldest = branch.last().expect("it begins with one");
            let Some(below) = oldest.number.checked_sub(1) else { return Ok(false) };
            if self.chain.finalized().is_some_and(|finalized| finalized.number > below) {
                let number = oldest.number;
                info!(number, "the new chain of L1 leaves the known one below its final block");
                return Ok(false);
            }
            if self.chain.hash(below) == Some(oldest.parent) {
                break;
            }
            if branch.len() >= 2 * chain::KEPT_MAX {
                return Err(self.client.distrust("a branch without an end"));
            }
            let parent = self.client.header_by_hash(oldest.parent).await?;
            if parent.number != below {
                return Err(self.client.distrust(format!("block {below} has the number {}", parent.number)));
            }
            branch.push(block(&parent));
        }
        branch.reverse();
        self.take(branch).await.map(|()| true)
    }

    async fn take(&mut self, branch: Vec<Block>) -> Result<(), L1Error> {
        let (first, last) = (branch[0], branch[branch.len() - 1]);
        let ancestor = first.number - 1;
        // Logs first: when they cannot be had, nothing has changed.
        let mut rollups = self.rollups.clone();
        rollups.iter_mut().for_each(|rollup| rollup.rewind(ancestor));
        let hashes: BTreeMap<_, _> = branch.iter().map(|block| (block.number, block.hash)).collect();
        let is_mine = |number: u64, hash| hashes.get(&number) == Some(&hash);
        events::scan(&self.client, &mut rollups, first.number, last.number, is_mine).await?;
        if last.number >= self.config.start_block {
            for rollup in &rollups {
                events::nothing_left_out(&self.client, rollup, BlockId::hash(last.hash)).await?;
            }
        }
        self.rollups = rollups;
        let dropped = self.chain.adopt(branch);
        if dropped > 0 {
            self.status.reorgs += 1;
            self.status.deepest_reorg = self.status.deepest_reorg.max(dropped);
            warn!(dropped, ancestor, latest = last.number, "L1 was reorganised");
            self.waiting.retain(|(origin, _)| origin.number <= ancestor);
            for origin in [&mut self.eligible, &mut self.proposable] {
                origin.take_if(|origin| origin.number > ancestor);
            }
        }
        Ok(())
    }

    /// Compares with what was final before the gap or the restart, as soon as this chain has a block there.
    async fn kept_its_word(&mut self) -> Result<(), L1Error> {
        let finalized = self.chain.finalized().map_or(0, |block| block.number);
        if let Some(Final { number, hash }) = self.memory.unseen() {
            let found = match self.chain.hash(number) {
                Some(found) => found,
                None if number > finalized => return Ok(()),
                None => self.client.header(BlockNumberOrTag::Number(number)).await?.hash,
            };
            if found != hash {
                self.broken_finality(format!("block {number} was final as {hash} and is {found} now"));
            }
            self.memory.seen();
        }
        if let Some(block) = self.chain.finalized() {
            self.memory.keep(Final { number: block.number, hash: block.hash });
        }
        Ok(())
    }

    fn broken_finality(&mut self, what: String) {
        error!(
            "L1 went back on its finality: {what}. Blocks of the cluster stand on it and stay; find out which chain \
             of L1 is the right one before anything of value is settled"
        );
        self.status.beyond_finality = Some(what);
    }

    fn stands_still(&mut self) {
        if self.moved.elapsed() < self.config.still_after {
            return;
        }
        self.moved = Instant::now();
        let seconds = self.config.still_after.as_secs();
        let trouble = format!("{} has had no new block for {seconds} s", self.client.endpoint());
        if self.client.endpoints() > 1 {
            warn!("{trouble}; asking another");
            self.client.distrust(&trouble);
        } else {
            warn!("{trouble}, and there is no other endpoint; name more");
        }
    }

    async fn finality(&mut self) -> Result<(), L1Error> {
        let safe = self.client.header(BlockNumberOrTag::Safe).await?;
        let finalized = self.client.header(BlockNumberOrTag::Finalized).await?;
        for (header, tag) in [(&safe, "safe"), (&finalized, "finalized")] {
            let mine = self.chain.hash(header.number);
            if mine.is_some_and(|hash| hash != header.hash) {
                let number = header.number;
                return Err(self.client.distrust(format!("its {tag} block {number} is not on its chain")));
            }
        }
        // Endpoints that lag behind each other take nothing back.
        self.safe = self.safe.max(safe.number);
        self.chain.finalize(finalized.number);
        let final_number = self.chain.finalized().map_or(0, |block| block.number);
        self.rollups.iter_mut().for_each(|rollup| rollup.prune(final_number));
        Ok(())
    }

    async fn eligibility(&mut self) {
        let number = match self.config.depth {
            Depth::Blocks(depth) => self.chain.tip().and_then(|tip| tip.number.checked_sub(depth)),
            Depth::Finalized => self.chain.finalized().map(|block| block.number),
        };
        let candidate = number.and_then(|number| Some((number, self.chain.hash(number)?)));
        if let Some((number, hash)) = candidate
            && self.eligible.is_none_or(|eligible| eligible.number < number)
        {
            let others = self.client.disagreeing(number, hash).await;
            if others.is_empty() {
                let origin = L1Origin { number, hash: digest(hash) };
                self.eligible = Some(origin);
                self.waiting.push_back((origin, Instant::now()));
                self.status.disagreement = None;
            } else {
                let what = format!("block {number} is {hash} here, but {}", others.join(", "));
                if self.status.disagreement.is_none() {
                    error!("endpoints of L1 do not agree: {what}; no newer origin until they do");
                }
                self.status.disagreement = Some(what);
            }
        }
        while self.waiting.front().is_some_and(|(_, since)| since.elapsed() >= self.config.propose_after) {
            self.proposable = self.waiting.pop_front().map(|(origin, _)| origin);
        }
    }

    fn publish(&mut self) {
        let finalized = self.chain.finalized().map_or(0, |block| block.number);
        let blocks = self.chain.blocks().map(|block| (block.number, (digest(block.hash), block.timestamp)));
        let views = self.rollups.iter().map(|rollup| (rollup.terms().rollup, rollup.view(finalized)));
        let snapshot = Snapshot {
            blocks: Arc::new(blocks.collect()),
            safe: self.safe,
            finalized,
            eligible: self.eligible,
            proposable: self.proposable,
            rollups: views.collect(),
        };
        *self.board.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.status.endpoint = self.client.endpoint().to_owned();
        self.status.latest = self.chain.tip().map_or(0, |tip| tip.number);
        (self.status.safe, self.status.finalized) = (self.safe, finalized);
        self.report.send_replace(self.status.clone());
    }
}

const fn block(header: &Header) -> Block {
    Block {
        number: header.inner.number,
        hash: header.hash,
        parent: header.inner.parent_hash,
        timestamp: header.inner.timestamp,
    }
}

/// Ends its tasks with itself.
struct Listeners(Vec<JoinHandle<()>>);

impl Drop for Listeners {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

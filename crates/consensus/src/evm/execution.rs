//! What the rest of a node sees of one executor.

use super::archive::{Kept, Request};
use baton_execution::evm::{
    Chain, ChainError, ChainLimits, ClusterBlock, OpenBlock, Params, Past, Room, Signed, Skip, Stored,
};
use baton_types::{
    Digest, ExecutionResult, Rollup, RollupId, TxId,
    merkle::EMPTY,
    receipt::{Reason, Refusal, Rung},
};
use commonware_utils::sync::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

/// Blocks of the cluster executed ahead of finality.
pub(super) const AHEAD_MAX: usize = 64;
/// States of final blocks are kept here, not in the chain.
pub(super) const LIMITS: ChainLimits = ChainLimits { branches_max: AHEAD_MAX, history_max: 1 };
/// Final heights whose results are kept: more than voters and laggards ask for.
const RESULTS_MAX: usize = 4_096;
/// Blocks kept in memory for readers.
const BLOCKS_MAX: usize = 128;
/// Transactions left out lately whose reason is kept in memory.
const SKIPPED_MAX: usize = 65_536;
/// Blocks of the cluster in each of which the base fee is expected to rise, while they are not executed.
const RISES_MAX: usize = 8;
/// Events a slow subscriber may be behind.
const EVENTS_MAX: usize = 4_096;

/// Why a rollup is not executed here any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The cluster attested another result than this node's.
    Differs { height: u64, attested: ExecutionResult, own: ExecutionResult },
    /// What it needs is not here.
    Unavailable(String),
}

/// Where an executor stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub rollup: RollupId,
    pub name: String,
    /// The last final height that is executed.
    pub executed_to: u64,
    pub number: u64,
    pub stopped: Option<Stopped>,
    /// Its state is on the way from other members: nothing is executed before it is here.
    pub fetching: bool,
}

/// What became of an ordered transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Executed,
    Skipped(Skip),
}

impl Outcome {
    pub const fn rung(self) -> Rung {
        match self {
            Self::Executed => Rung::Executed,
            Self::Skipped(_) => Rung::Skipped,
        }
    }

    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Executed => None,
            Self::Skipped(skip) => Some(skip.reason()),
        }
    }
}

/// Where the rollup stands, all of one moment.
#[derive(Clone, Debug)]
pub struct Heads {
    /// The newest executed block of the finalized chain.
    pub latest: Arc<Past>,
    /// The block that goes on at the speculative tip.
    pub pending: Arc<OpenBlock>,
    /// The last final height that is executed.
    pub executed_to: u64,
    /// The oldest block whose state is kept.
    pub oldest_state: u64,
    /// The oldest block that can be read.
    pub oldest_block: u64,
}

/// Happens in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block became final, each number once.
    Block(Arc<Stored>),
    /// A transaction began to wait on this node.
    Waiting(Arc<Signed>),
}

pub struct Execution {
    pub id: RollupId,
    pub name: String,
    pub params: Params,
    /// Block 0.
    pub genesis: Arc<Past>,
    pub events: broadcast::Sender<Event>,
    /// Something was executed, or will never be.
    news: Notify,
    /// Blocks whose state is kept.
    history_max: usize,
    archive: OnceLock<mpsc::Sender<Request>>,
    /// At block 0, until the driver takes it.
    chain: Mutex<Option<Chain>>,
    board: Mutex<Board>,
}

struct Board {
    heads: Heads,
    /// Of final heights.
    results: BTreeMap<u64, ExecutionResult>,
    /// Executed ahead of finality, with the height.
    ahead: BTreeMap<Digest, (u64, ExecutionResult)>,
    /// States by number, ascending.
    history: VecDeque<Arc<Past>>,
    blocks: VecDeque<Arc<Stored>>,
    /// What is on disk of blocks.
    kept: Kept,
    /// From what is on disk, execution can go on after this height.
    recorded: u64,
    oldest_checkpoint: Option<u64>,
    fetching: bool,
    skipped: BTreeMap<TxId, Skip>,
    skipped_order: VecDeque<TxId>,
    stopped: Option<Stopped>,
}

/// What a final block of the cluster did.
pub(super) struct Finality {
    pub result: ExecutionResult,
    pub head: Arc<Past>,
    pub stored: Option<Arc<Stored>>,
    pub skipped: Vec<(TxId, Skip)>,
}

/// The block that goes on after this block of the cluster.
pub(super) fn pending(
    chain: &Chain,
    parent: Digest,
    height: u64,
    timestamp_ms: u64,
) -> Result<OpenBlock, ChainError> {
    // Whoever makes it will know its seed.
    let parent_seed = [0; 48];
    let (digest, height) = (EMPTY, height + 1);
    chain.pending(&ClusterBlock { digest, parent, height, timestamp_ms, parent_seed, entries: Vec::new() })
}

impl Execution {
    /// At block 0; none when the rollup is of another kind.
    pub fn new(rollup: &Rollup, cluster_genesis: Digest, history_max: usize) -> Option<Self> {
        let chain = Chain::new(rollup, cluster_genesis, LIMITS)?;
        let (params, latest) = (chain.params().clone(), chain.head().clone());
        let pending = Arc::new(pending(&chain, cluster_genesis, 0, 0).expect("block 0 is executed"));
        let genesis = latest.clone();
        let heads =
            Heads { latest: latest.clone(), pending, executed_to: 0, oldest_state: 0, oldest_block: 1 };
        let board = Board {
            heads,
            results: BTreeMap::new(),
            ahead: BTreeMap::new(),
            history: VecDeque::from([latest]),
            blocks: VecDeque::new(),
            kept: Kept { first: 1, above: 0 },
            recorded: 0,
            oldest_checkpoint: None,
            fetching: false,
            skipped: BTreeMap::new(),
            skipped_order: VecDeque::new(),
            stopped: None,
        };
        Some(Self {
            id: rollup.id(),
            name: rollup.name.clone(),
            params,
            genesis,
            events: broadcast::channel(EVENTS_MAX).0,
            news: Notify::new(),
            history_max: history_max.max(1),
            archive: OnceLock::new(),
            chain: Mutex::new(Some(chain)),
            board: Mutex::new(board),
        })
    }

    // ---- Consensus ----

    /// This node's result of the block with this digest, final or ahead; waits until there is one. Never
    /// resolves when this node does not execute any more: it abstains.
    pub async fn result(&self, height: u64, digest: Option<&Digest>) -> ExecutionResult {
        loop {
            // Registered before looking, so that nothing between the two is missed.
            let news = self.news.notified();
            if let Some(result) = self.known(height, digest) {
                return result;
            }
            news.await;
        }
    }

    /// `digest` is none where the block is final.
    fn known(&self, height: u64, digest: Option<&Digest>) -> Option<ExecutionResult> {
        let board = self.board.lock();
        if board.stopped.is_some() {
            return None;
        }
        match digest {
            Some(digest) if height > board.heads.executed_to => {
                board.ahead.get(digest).map(|(_, result)| *result)
            }
            _ => board.results.get(&height).copied(),
        }
    }

    /// What a block on a parent that claims `known` may claim: the newest final result up to the parent; none when
    /// that is not new.
    pub fn claim(&self, known: &ExecutionResult, parent_height: u64) -> Option<ExecutionResult> {
        let board = self.board.lock();
        let (_, newest) = board.results.range(..=parent_height).next_back()?;
        (board.stopped.is_none() && newest.executed_to > known.executed_to).then_some(*newest)
    }

    /// Whether a block would attest something that its parent does not.
    pub fn has_news(&self, known: &ExecutionResult) -> bool {
        let board = self.board.lock();
        board.stopped.is_none() && board.heads.latest.header.number > known.number
    }

    /// What the next block on `parent`, which claims `known`, has room for.
    pub fn room(&self, known: &ExecutionResult, parent: &Digest, parent_height: u64) -> Room {
        let board = self.board.lock();
        let own = match board.ahead.get(parent) {
            Some((_, result)) => result.base_fee,
            // What is not executed here yet may raise it: whoever offers less would be ordered and left out.
            None => (board.heads.executed_to..parent_height)
                .take(RISES_MAX)
                .fold(self.params.next_base_fee(&board.heads.latest.header), |fee, _| self.params.risen(fee)),
        };
        let gas_used = match board.heads.pending.is_empty() {
            true => 0,
            false => board.heads.pending.gas_used,
        };
        Room {
            order_fee: known.base_fee,
            base_fee: own.max(known.base_fee),
            gas: self.params.gas_limit - gas_used,
        }
    }

    // ---- The driver ----

    pub(super) fn take_chain(&self) -> Option<Chain> {
        self.chain.lock().take()
    }

    pub(super) fn attach(&self, archive: mpsc::Sender<Request>) {
        let _ = self.archive.set(archive);
    }

    /// Where execution goes on, from disk or from a state that was fetched.
    pub(super) fn recovered(&self, result: ExecutionResult, head: Arc<Past>, pending: OpenBlock, kept: Kept) {
        {
            let mut board = self.board.lock();
            board.history = VecDeque::from([head.clone()]);
            board.blocks.clear();
            board.heads = Heads {
                oldest_state: head.header.number,
                oldest_block: kept.first,
                latest: head,
                pending: Arc::new(pending),
                executed_to: result.executed_to,
            };
            board.kept = kept;
            board.recorded = result.executed_to;
            board.fetching = false;
            board.ahead.clear();
            board.results = BTreeMap::from([(result.executed_to, result)]);
        }
        self.news.notify_waiters();
    }

    pub(super) fn fetching(&self) {
        self.board.lock().fetching = true;
    }

    /// Everything up to this height is on disk.
    pub(super) fn recorded(&self, height: u64) {
        let mut board = self.board.lock();
        board.recorded = board.recorded.max(height);
    }

    /// States are on disk, from the block `oldest` on; the newest is that after `height`.
    pub(super) fn checkpointed(&self, oldest: u64, height: u64) {
        self.board.lock().oldest_checkpoint = Some(oldest);
        self.recorded(height);
    }

    pub(super) fn oldest_checkpoint(&self) -> Option<u64> {
        self.board.lock().oldest_checkpoint
    }

    /// Blocks were removed.
    pub(super) fn kept(&self, kept: Kept) {
        let mut board = self.board.lock();
        board.kept = kept;
        board.heads.oldest_block = kept.first;
    }

    pub(super) fn blocks_kept(&self) -> Kept {
        self.board.lock().kept
    }

    /// The lowest block of the cluster that execution may need again; none when it needs none any more.
    pub fn needs_from(&self) -> Option<u64> {
        let board = self.board.lock();
        board.stopped.is_none().then_some(board.recorded + 1)
    }

    /// A state that can be given to other members.
    pub(super) fn to_serve(&self, number: u64) -> Option<Arc<Past>> {
        self.check().ok()?;
        self.past(number).filter(|past| past.header.number > 0)
    }

    pub(super) fn ahead(
        &self,
        digest: Digest,
        height: u64,
        result: ExecutionResult,
        pending: Option<OpenBlock>,
    ) {
        {
            let mut board = self.board.lock();
            board.ahead.insert(digest, (height, result));
            if let Some(pending) = pending {
                board.heads.pending = Arc::new(pending);
            }
        }
        self.news.notify_waiters();
    }

    pub(super) fn finalized(&self, finality: Finality, pending: Option<OpenBlock>) {
        let Finality { result, head, stored, skipped } = finality;
        {
            let mut board = self.board.lock();
            board.results.insert(result.executed_to, result);
            while board.results.len() > RESULTS_MAX {
                board.results.pop_first();
            }
            board.ahead.retain(|_, (height, _)| *height > result.executed_to);
            for (id, skip) in skipped {
                if board.skipped.insert(id, skip).is_none() {
                    board.skipped_order.push_back(id);
                }
            }
            while board.skipped_order.len() > SKIPPED_MAX {
                if let Some(id) = board.skipped_order.pop_front() {
                    board.skipped.remove(&id);
                }
            }
            board.heads.executed_to = result.executed_to;
            if let Some(stored) = &stored {
                board.history.push_back(head.clone());
                board.heads.latest = head;
                while board.history.len() > self.history_max {
                    board.history.pop_front();
                }
                board.heads.oldest_state = board.history.front().map_or(0, |past| past.header.number);
                board.blocks.push_back(stored.clone());
                while board.blocks.len() > BLOCKS_MAX {
                    board.blocks.pop_front();
                }
            }
            if let Some(pending) = pending {
                board.heads.pending = Arc::new(pending);
            }
        }
        if let Some(stored) = stored {
            let _ = self.events.send(Event::Block(stored));
        }
        self.news.notify_waiters();
    }

    pub(super) fn stop(&self, stopped: Stopped) {
        self.board.lock().stopped = Some(stopped);
        self.news.notify_waiters();
    }

    /// This node's own result at a final height.
    pub(super) fn own(&self, height: u64) -> Option<ExecutionResult> {
        self.board.lock().results.get(&height).copied()
    }

    // ---- Readers ----

    pub fn status(&self) -> Status {
        let board = self.board.lock();
        Status {
            rollup: self.id,
            name: self.name.clone(),
            executed_to: board.heads.executed_to,
            number: board.heads.latest.header.number,
            stopped: board.stopped.clone(),
            fetching: board.fetching,
        }
    }

    pub fn heads(&self) -> Heads {
        self.board.lock().heads.clone()
    }

    /// Err when this node does not know better than an old state.
    pub fn check(&self) -> Result<(), Refusal> {
        let board = self.board.lock();
        match &board.stopped {
            None if board.fetching => {
                let detail = format!(
                    "the state of rollup {} is on its way from other members; ask another node meanwhile",
                    self.name
                );
                Err(Refusal::new(Reason::NotReady, detail).retry_after(1_000))
            }
            None => Ok(()),
            Some(Stopped::Differs { height, .. }) => {
                let detail = format!(
                    "this node's execution of rollup {} differs from what the cluster attested at height {height}; \
                     ask another node",
                    self.name
                );
                Err(Refusal::new(Reason::NotReady, detail))
            }
            Some(Stopped::Unavailable(why)) => Err(Refusal::new(Reason::NotReady, why.clone())),
        }
    }

    /// The state after a final block, while it is kept.
    pub fn past(&self, number: u64) -> Option<Arc<Past>> {
        let board = self.board.lock();
        let oldest = board.history.front()?.header.number;
        board.history.get(usize::try_from(number.checked_sub(oldest)?).ok()?).cloned()
    }

    /// The number of the block that has, or would have, what a final block of the cluster ordered.
    pub async fn number_at(&self, height: u64) -> Result<Option<u64>, Refusal> {
        let found = self.search(height).await?;
        Ok(found.filter(|(number, newest)| number <= newest).map(|(number, _)| number))
    }

    /// The newest final block that has only what was ordered below a height; none when this cannot be told now.
    pub async fn last_below(&self, height: u64) -> Result<Option<u64>, Refusal> {
        let Heads { latest, executed_to, .. } = self.heads();
        if height == 0 {
            return Ok(Some(0));
        }
        if height > executed_to {
            return Ok(Some(latest.header.number));
        }
        Ok(self.search(height).await?.map(|(number, _)| number - 1))
    }

    /// The first block that has anything ordered at a height or above, and the newest there is; the first may be
    /// the one after that.
    async fn search(&self, height: u64) -> Result<Option<(u64, u64)>, Refusal> {
        let (mut low, mut high, newest) = {
            let board = self.board.lock();
            if height > board.heads.executed_to {
                return Ok(None);
            }
            if height <= board.kept.above {
                return Err(self.gone(board.kept.first));
            }
            let (first, newest) = (board.kept.first, board.heads.latest.header.number);
            match board.blocks.front() {
                Some(front) if front.record.through_height < height => {
                    (front.number() + 1, newest + 1, newest)
                }
                Some(front) => (first, front.number(), newest),
                None => (first, newest + 1, newest),
            }
        };
        while low < high {
            let middle = low.midpoint(high);
            let Some(stored) = self.block(middle).await? else { return Ok(None) };
            if stored.record.through_height < height {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some((low, newest)))
    }

    fn gone(&self, first: u64) -> Refusal {
        let detail =
            format!("blocks of rollup {} are kept here from {first} on; ask another node", self.name);
        Refusal::new(Reason::Pruned, detail)
    }

    /// A final block but block 0.
    pub async fn block(&self, number: u64) -> Result<Option<Arc<Stored>>, Refusal> {
        let newest = {
            let board = self.board.lock();
            let oldest = board.blocks.front().map(|stored| stored.number());
            let at = oldest.and_then(|oldest| usize::try_from(number.checked_sub(oldest)?).ok());
            if let Some(stored) = at.and_then(|at| board.blocks.get(at)) {
                return Ok(Some(stored.clone()));
            }
            if number > 0 && number < board.kept.first {
                return Err(self.gone(board.kept.first));
            }
            board.heads.latest.header.number
        };
        if number == 0 || number > newest {
            return Ok(None);
        }
        self.ask(|reply| Request::Block { number, reply }).await
    }

    /// The number of a final block by its hash.
    pub async fn number(&self, hash: [u8; 32]) -> Result<Option<u64>, Refusal> {
        {
            let board = self.board.lock();
            if let Some(stored) = board.blocks.iter().find(|stored| stored.hash.0 == hash) {
                return Ok(Some(stored.number()));
            }
        }
        self.ask(|reply| Request::Number { hash, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refusal> {
        let stopped =
            || Refusal::new(Reason::NotReady, "this node is starting or shutting down; ask another");
        let archive = self.archive.get().ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        archive.send(request(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// What became of a transaction that the final block at `height` ordered; none when it is not executed yet.
    pub async fn outcome(&self, height: u64, id: &TxId) -> Option<Outcome> {
        {
            let board = self.board.lock();
            if height > board.heads.executed_to {
                return None;
            }
            if let Some(skip) = board.skipped.get(id) {
                return Some(Outcome::Skipped(*skip));
            }
        }
        let Some(number) = self.number_at(height).await.ok()? else {
            // Part of the block that is open, and not left out.
            return Some(Outcome::Executed);
        };
        let stored = self.block(number).await.ok()??;
        let skipped = stored.skipped.iter().find(|(skipped, _)| skipped == id);
        Some(skipped.map_or(Outcome::Executed, |(_, skip)| Outcome::Skipped(*skip)))
    }
}

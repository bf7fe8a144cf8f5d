use super::{
    Request,
    index::{Index, leg_name},
};
use crate::{
    aliases::{Marshal, Runtime},
    broken::{Broken, OrEnd as _},
    shared::Shared,
};
use alloy_primitives::keccak256;
use baton_types::{Block, Digest, Height, TxId, merkle};
use commonware_actor::Feedback;
use commonware_consensus::{
    Heightable as _, Reporter,
    marshal::{Identifier, Update},
};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::merkle::{Error, full, mmr};
use commonware_utils::{Acknowledgement as _, NZU64, NZUsize, range::NonEmptyRange};
use std::{num::NonZeroU64, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::{debug, info};

type History<E> = mmr::full::Mmr<E, Digest, Sequential>;

/// Finalized blocks delivered by marshal and not yet taken. Marshal itself waits for
/// acknowledgements, so this is never full.
const DELIVERED_MAX: usize = 1_024;
/// Blocks of the epoch that are read again at start to count what members did; in a longer epoch the counts
/// begin later.
const COUNTED_AGAIN_MAX: u64 = 4_096;
/// How often history and index are made durable.
const SYNC: Duration = Duration::from_secs(5);

/// Receives finalized blocks from marshal.
#[derive(Clone)]
pub struct Deliveries {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Update<Block>>,
}

impl Reporter for Deliveries {
    type Activity = Update<Block>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        if let Update::Block(block, _) = &update {
            self.shared.learn(block.inner());
        }
        match update {
            Update::Tip(_, height, _) => self.shared.tip(height),
            Update::Block(..) if self.sender.try_send(update).is_err() => return Feedback::Closed,
            Update::Block(..) => {}
        }
        Feedback::Ok
    }
}

pub fn deliveries(shared: Arc<Shared>) -> (Deliveries, mpsc::Receiver<Update<Block>>) {
    let (sender, receiver) = mpsc::channel(DELIVERED_MAX);
    (Deliveries { shared, sender }, receiver)
}

/// What a node keeps that does not keep everything.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// The last so many blocks, at least.
    pub blocks: u64,
    /// Blocks that the archives remove together.
    pub section: NonZeroU64,
}

pub struct Config {
    /// Of all partitions.
    pub prefix: String,
    pub page_cache: CacheRef,
    /// None where everything is kept.
    pub keep: Option<Keep>,
    /// The lowest height from which the archive has every block. None when this node is about to join at
    /// a floor: then nothing counts that was here before.
    pub lowest: Option<u64>,
}

pub struct Actor<E: Runtime> {
    context: E,
    shared: Arc<Shared>,
    marshal: Marshal,
    /// Of the partitions of the history.
    history_config: full::Config<Sequential>,
    /// None while a write is under way, and where there is none that can be used before this node joins.
    history: Option<History<E>>,
    index: Index<E>,
    keep: Option<Keep>,
    /// The lowest height of which there is everything: block, history, index.
    lowest: u64,
    /// Prefix of the partitions of the blocks.
    blocks: String,
    /// Prefix of the vote journals' partitions, one per epoch.
    votes: String,
    epoch: u64,
}

impl<E: Runtime> Actor<E> {
    /// Opens history and index, and brings them and the ids in memory up to what marshal has processed.
    pub async fn open(context: E, config: Config, shared: Arc<Shared>, marshal: Marshal) -> Self {
        let Config { prefix, page_cache, keep, lowest } = config;
        let (name, items_per_blob) = match keep {
            None => ("history", NZU64!(1 << 20)),
            // Files are removed whole; one for about as many headers as a section has blocks.
            Some(keep) => ("history-window", keep.section.saturating_mul(NZU64!(2))),
        };
        if keep.is_some() {
            for part in ["nodes-blobs", "nodes-metadata", "pins"] {
                // There is none, unless the directory has just gone over to a window.
                let _ = context.remove(&format!("{prefix}-history-{part}"), None).await;
            }
        }
        let history_config = full::Config {
            journal_partition: format!("{prefix}-{name}-nodes"),
            metadata_partition: format!("{prefix}-{name}-pins"),
            items_per_blob,
            write_buffer: NZUsize!(64 * 1024),
            replay_buffer: NZUsize!(1024 * 1024),
            strategy: Sequential,
            page_cache,
        };
        let history =
            History::init(context.child("history"), &merkle::hasher(), history_config.clone()).await;
        let history = match history {
            // A restart of the history at a floor was cut short; it is made again.
            Err(Error::MissingNode(_)) if lowest != Some(0) => None,
            history => Some(history.read_from(&history_config.journal_partition)),
        };
        let merged_blocks_max = keep.map_or(u64::MAX, |keep| keep.blocks / 2);
        let index = Index::open(context.child("index"), format!("{prefix}-index"), merged_blocks_max).await;
        let mut actor = Self {
            context,
            shared,
            marshal,
            history_config,
            history,
            index,
            keep,
            lowest: lowest.unwrap_or(0),
            blocks: format!("{prefix}-blocks"),
            votes: format!("{prefix}-orchestrator_consensus_"),
            epoch: 0,
        };
        if lowest.is_some() {
            actor.catch_up().await;
        }
        actor
    }

    async fn catch_up(&mut self) {
        let Some((processed, anchor)) = self.marshal.get_anchor().await else { return };
        self.epoch = anchor.inner().header().epoch;
        let tip = processed.height().get();
        if self.lowest > 0 {
            self.begin(processed.anchor().get()).await;
        }
        let window = self.shared.rules.validity_blocks_max();
        let leaves = *self.history_ref().leaves();
        let counted = self.shared.epoch_start(tip).max(tip.saturating_sub(COUNTED_AGAIN_MAX));
        let derived = leaves.min(self.index.next_height());
        let from = derived.min(tip.saturating_sub(window)).min(counted).max(self.lowest);
        if tip > from + window {
            info!(from, tip, "catching up history and index from the archive");
        }
        for height in from..=tip {
            let block = self.archived(height).await;
            if height > 0 && height + window >= tip {
                self.shared.restore(&block);
            }
            if height > 0 && height >= counted {
                self.shared.recount(&block);
            }
            self.record(&block).await;
        }
    }

    /// Where the archive does not begin with block 0: makes history and index begin where it does.
    async fn begin(&mut self, anchor: u64) {
        // An archive keeps whole sections, so it may begin below what was pruned.
        if let Some(pruned) = self.history.as_ref().map(|history| *history.bounds().start) {
            self.lowest = self.lowest.max(pruned.min(anchor));
        }
        let first = self.archived(self.lowest).await;
        if self.history.as_ref().is_none_or(|history| *history.leaves() < self.lowest) {
            self.restart_history(&first).await;
        }
        if self.index.next_height() < self.lowest || self.index.first_height() > self.lowest {
            self.index.restart(self.lowest).await;
        }
        self.shared.start_at(self.lowest, first.inner().header().parent);
    }

    async fn archived(&self, height: u64) -> Digested<Block> {
        let block = self.marshal.get_block(Identifier::Height(Height::new(height))).await;
        block.unwrap_or_else(|| {
            let cause = format!("block {height} is missing, and later ones are there");
            Broken::reading(&self.blocks, cause).end()
        })
    }

    fn history_ref(&self) -> &History<E> {
        self.history.as_ref().expect("a write that fails stops the process")
    }

    /// Appends a block to history and index, unless they have it.
    async fn record(&mut self, block: &Digested<Block>) {
        let height = block.height().get();
        let mut history = self.history.take().expect("a write that fails stops the process");
        if *history.leaves() == height {
            let batch = history.new_batch().add(&merkle::hasher(), &block.digest());
            let batch = batch.merkleize(history.mem(), &merkle::hasher());
            history = history.apply_batch(&batch).expect("the batch was made from this very state");
        }
        self.history = Some(history);
        let names = block.inner().ids().copied().chain(leg_names(block.inner()));
        self.index.insert(height, names).await;
    }

    /// A finalized block that does not follow the one before: the floor at which this node joins. It
    /// carries the history of all blocks before it.
    async fn join(&mut self, floor: &Digested<Block>) {
        let height = floor.height().get();
        info!(height, "joining the chain at a certified block");
        self.restart_history(floor).await;
        self.index.restart(height).await;
        self.lowest = height;
        self.shared.start_at(height, floor.inner().header().parent);
    }

    async fn restart_history(&mut self, first: &Digested<Block>) {
        self.history = None;
        let height = mmr::Location::new(first.height().get());
        let config = full::SyncConfig {
            config: self.history_config.clone(),
            range: NonEmptyRange::new(height..height + 1).expect("one leaf"),
            pinned_nodes: Some(first.inner().body().peaks.clone()),
        };
        let history = History::init_sync(self.context.child("history"), config).await;
        self.history = Some(history.written_to(&self.history_config.journal_partition));
    }

    /// Removes whole sections below the window of a node that has one.
    async fn prune(&mut self, tip: u64) {
        let Some(Keep { blocks, section }) = self.keep else { return };
        // An executor that is behind, or has not yet on disk what it found, gets its blocks first; so does L1.
        let unneeded = (tip + 1).saturating_sub(blocks).min(self.shared.needs_from());
        let below = unneeded / section * section.get();
        if below <= self.lowest {
            return;
        }
        // Durable first: history and index are not to need the blocks again.
        self.index.prune(below).await;
        let history = self.history.take().expect("a write that fails stops the process");
        let history = history.prune(mmr::Location::new(below)).await;
        self.history = Some(history.written_to(&self.history_config.journal_partition));
        self.lowest = below;
        self.shared.pruned(below);
        self.marshal.prune(Height::new(below));
        debug!(below, "blocks removed");
    }

    pub fn start(
        mut self,
        deliveries: mpsc::Receiver<Update<Block>>,
        requests: mpsc::Receiver<Request>,
    ) -> Handle<()> {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(deliveries, requests).await })
    }

    async fn run(
        &mut self,
        mut deliveries: mpsc::Receiver<Update<Block>>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        let mut due = self.context.current() + SYNC;
        loop {
            // Asked for by the clock, because under load there is always something else to do.
            if self.context.current() >= due {
                if let Some(history) = self.history.take() {
                    let synced = history.sync().await;
                    self.history = Some(synced.written_to(&self.history_config.journal_partition));
                }
                due = self.context.current() + SYNC;
            }
            if let Ok(request) = requests.try_recv() {
                self.answer(request).await;
            }
            let sync = self.context.sleep_until(due);
            select! {
                update = deliveries.recv() => {
                    let Some(Update::Block(block, acknowledgement)) = update else { return };
                    let height = block.height().get();
                    if self.history.as_ref().is_none_or(|history| height > *history.leaves()) {
                        self.join(&block).await;
                    }
                    self.shared.finalize(&block);
                    self.record(&block).await;
                    self.forget_votes(block.inner().header().epoch).await;
                    self.prune(height).await;
                    acknowledgement.acknowledge();
                },
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    self.answer(request).await;
                },
                _ = sync => {},
            }
        }
    }

    /// Removes the vote journals of epochs that nobody votes in any more; the library leaves them.
    async fn forget_votes(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        for past in self.epoch.saturating_sub(2)..epoch.saturating_sub(1) {
            // There is none when this node was away.
            let _ = self.context.remove(&format!("{}{past}", self.votes), None).await;
        }
        self.epoch = epoch;
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Locate { names, reply } => {
                let _ = reply.send(self.index.find(&names).await);
            }
            Request::History { height, leaves, reply } => {
                let (leaves, location) = (mmr::Location::new(leaves), mmr::Location::new(height));
                let proof = match &self.history {
                    None => None,
                    Some(history) => {
                        history.historical_proof(&merkle::hasher(), leaves, location, 0).await.ok()
                    }
                };
                let _ = reply.send(proof);
            }
        }
    }
}

/// Of legs of bundles in EVM rollups.
fn leg_names(block: &Block) -> impl Iterator<Item = TxId> {
    let body = block.body();
    let executed = body.segments.iter().filter(|segment| body.results.contains_key(&segment.rollup));
    let legs = executed.flat_map(|segment| &segment.transactions).filter(|leg| leg.bundle.is_some());
    legs.map(|leg| leg_name(&TxId(keccak256(&leg.payload).0)))
}

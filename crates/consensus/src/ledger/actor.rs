use super::{Request, index::Index};
use crate::{
    aliases::{Marshal, Runtime},
    shared::Shared,
};
use baton_types::{Block, Digest, Height, merkle};
use commonware_actor::Feedback;
use commonware_consensus::{
    Heightable as _, Reporter,
    marshal::{Identifier, Update},
};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::merkle::{full, mmr};
use commonware_utils::{Acknowledgement as _, NZU64, NZUsize};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::info;

type History<E> = mmr::full::Mmr<E, Digest, Sequential>;

/// Finalized blocks delivered by marshal and not yet taken. Marshal itself waits for
/// acknowledgements, so this is never full.
const DELIVERED_MAX: usize = 1_024;
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

pub struct Actor<E: Runtime> {
    context: E,
    shared: Arc<Shared>,
    history: Option<History<E>>,
    index: Index<E>,
    /// Prefix of the vote journals' partitions, one per epoch.
    votes: String,
    epoch: u64,
}

impl<E: Runtime> Actor<E> {
    /// Opens history and index, and brings them and the ids in memory up to what marshal has processed.
    pub async fn open(
        context: E,
        prefix: &str,
        page_cache: CacheRef,
        shared: Arc<Shared>,
        marshal: &Marshal,
    ) -> Self {
        let config = full::Config {
            journal_partition: format!("{prefix}-history-nodes"),
            metadata_partition: format!("{prefix}-history-pins"),
            items_per_blob: NZU64!(1 << 20),
            write_buffer: NZUsize!(64 * 1024),
            replay_buffer: NZUsize!(1024 * 1024),
            strategy: Sequential,
            page_cache,
        };
        let history = History::init(context.child("history"), &merkle::hasher(), config)
            .await
            .expect("the history is readable");
        let index = Index::open(context.child("index"), format!("{prefix}-index")).await;
        let votes = format!("{prefix}-orchestrator_consensus_");
        let mut actor = Self { context, shared, history: Some(history), index, votes, epoch: 0 };
        actor.catch_up(marshal).await;
        actor
    }

    async fn catch_up(&mut self, marshal: &Marshal) {
        let tip = match marshal.get_processed().await {
            Some(processed) => processed.height().get(),
            None => 0,
        };
        let window = self.shared.rules.validity_blocks_max();
        let leaves = *self.history_ref().leaves();
        let from = leaves.min(self.index.next_height()).min(tip.saturating_sub(window));
        if tip > from + window {
            info!(from, tip, "catching up history and index from the archive");
        }
        for height in from..=tip {
            let block = marshal
                .get_block(Identifier::Height(Height::new(height)))
                .await
                .expect("marshal has every block up to the one it processed last");
            if height > 0 && height + window >= tip {
                self.shared.restore(&block);
            }
            self.record(&block).await;
        }
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
        self.index.insert(height, block.inner().ids()).await;
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
                let history = self.history.take().expect("a write that fails stops the process");
                self.history = Some(history.sync().await.expect("the disk takes writes"));
                due = self.context.current() + SYNC;
            }
            if let Ok(request) = requests.try_recv() {
                self.answer(request).await;
            }
            let sync = self.context.sleep_until(due);
            select! {
                update = deliveries.recv() => {
                    let Some(Update::Block(block, acknowledgement)) = update else { return };
                    self.shared.finalize(&block);
                    self.record(&block).await;
                    self.forget_votes(block.inner().header().epoch).await;
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

    /// Removes the vote journal of an epoch that nobody votes in any more; the library leaves it.
    async fn forget_votes(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        if let Some(past) = epoch.checked_sub(2) {
            // There is none when this node was away.
            let _ = self.context.remove(&format!("{}{past}", self.votes), None).await;
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Locate { id, reply } => {
                let _ = reply.send(self.index.find(&id).await);
            }
            Request::History { height, leaves, reply } => {
                let (leaves, location) = (mmr::Location::new(leaves), mmr::Location::new(height));
                let proof = self.history_ref().historical_proof(&merkle::hasher(), leaves, location, 0).await;
                let _ = reply.send(proof.ok());
            }
        }
    }
}

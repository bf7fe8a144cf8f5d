//! Final blocks of one EVM rollup on disk: written behind the driver, read for those who ask.
//!
//! A driver that is stuck holds up no reader, and a slow disk holds up the driver of this rollup only. A node that
//! keeps a window of the cluster's blocks keeps those of the rollup that were made of them.

use super::{checkpoints::Order, execution::Execution};
use crate::{
    aliases::Runtime,
    broken::OrEnd as _,
    ledger::Keep,
    shared::Shared,
    storage::{self, Store},
};
use baton_execution::evm::{Checkpoint, Record, Stored};
use baton_types::Digest;
use bytes::Bytes;
use commonware_codec::RangeCfg;
use commonware_macros::select;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::{
    archive::Identifier,
    metadata::{self, Metadata},
};
use commonware_utils::{fixed_bytes, sequence::FixedBytes};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info};

/// Requests waiting; whoever has more waits.
const QUEUE_MAX: usize = 256;
/// Longest encoding of one block.
const BLOCK_BYTES_MAX: usize = 1 << 30;
/// How often what was written is made durable.
const SYNC: Duration = Duration::from_secs(1);
/// Where a rollup in which nothing happens is noted at most so often.
const PROGRESS_BLOCKS: u64 = 256;
/// Blocks copied between two syncs.
const COPY_BLOCKS: u64 = 256;

const PROGRESS: FixedBytes<1> = fixed_bytes!("00");

pub enum Request {
    Write(Arc<Stored>),
    /// Up to this block of the cluster there is nothing after the last block.
    Progress {
        height: u64,
        digest: Digest,
    },
    /// The state after the last block. Passed on once that is durable.
    Checkpoint(Box<Checkpoint>),
    Block {
        number: u64,
        reply: oneshot::Sender<Option<Arc<Stored>>>,
    },
    Number {
        hash: [u8; 32],
        reply: oneshot::Sender<Option<u64>>,
    },
}

/// Blocks that are here, and what of the cluster's they were made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub first: u64,
    /// What blocks of the cluster above this height ordered is in these blocks.
    pub above: u64,
}

type Progress<E> = Metadata<E, FixedBytes<1>, (u64, Digest)>;

pub struct Archive<E: Runtime> {
    context: E,
    /// What the names of its partitions begin with.
    place: String,
    blocks: Option<Store<E, Bytes>>,
    windowed: bool,
    /// The lowest block of the cluster when blocks were last removed.
    lowest: u64,
    progress: Option<Progress<E>>,
    next: Option<(u64, Digest)>,
    /// The last block of the cluster that is part of what was written since the last sync.
    written: Option<u64>,
    checkpoint: Option<Checkpoint>,
}

impl<E: Runtime> Archive<E> {
    pub async fn open(
        context: E,
        prefix: &str,
        rollup: u32,
        page_cache: CacheRef,
        keep: Option<Keep>,
    ) -> Self {
        let name = format!("evm-{rollup}");
        let place = storage::Place {
            prefix: prefix.to_owned(),
            name: name.clone(),
            page_cache,
            codec: RangeCfg::new(0..=BLOCK_BYTES_MAX),
        };
        let blocks = match keep {
            None => place.full(context.child("blocks")).await,
            Some(keep) => window(&context, &place, keep).await,
        };
        let place = format!("{prefix}-{name}");
        let config = metadata::Config { partition: format!("{place}-progress"), codec_config: ((), ()) };
        let progress = Metadata::init(context.child("progress"), config).await.read_from(&place);
        Self {
            context,
            place,
            blocks: Some(blocks),
            windowed: keep.is_some(),
            lowest: 0,
            progress: Some(progress),
            next: None,
            written: None,
            checkpoint: None,
        }
    }

    /// First and last number of the stretch without a gap that has `number`.
    pub fn around(&self, number: u64) -> Option<(u64, u64)> {
        let next = self.blocks().ranges(number).next();
        next.filter(|(first, _)| *first <= number)
    }

    pub fn last(&self) -> u64 {
        self.blocks().last().unwrap_or(0)
    }

    /// What there is up to `head`, after which the cluster's blocks go on above `above`.
    pub async fn kept(&self, head: u64, above: u64) -> Kept {
        if head == 0 {
            return Kept { first: 1, above: 0 };
        }
        let none = Kept { first: head + 1, above };
        let Some((first, _)) = self.around(head) else { return none };
        if first == 1 {
            return Kept { first, above: 0 };
        }
        // Where the first begins is known by the one before, which is gone: it does not count.
        let record = self.record(first).await;
        record.map_or(none, |record| Kept { first: first + 1, above: record.through_height })
    }

    pub fn progress(&self) -> Option<(u64, Digest)> {
        self.progress.as_ref().and_then(|progress| progress.get(&PROGRESS)).copied()
    }

    /// None where there is no such block, or it cannot be read any more.
    pub async fn read(&self, number: u64) -> Option<Stored> {
        self.find(Identifier::Index(number)).await
    }

    pub async fn record(&self, number: u64) -> Option<Record> {
        Some(self.read(number).await?.record)
    }

    async fn find(&self, id: Identifier<'_, Digest>) -> Option<Stored> {
        let bytes = self.blocks().read(id).await.read_from(&self.place)?;
        match Stored::from_bytes(&bytes) {
            Ok(stored) => Some(stored),
            Err(error) => {
                error!(%error, "an executed block on disk cannot be read");
                None
            }
        }
    }

    fn blocks(&self) -> &Store<E, Bytes> {
        self.blocks.as_ref().expect("a write that fails stops the process")
    }

    pub fn start(
        mut self,
        execution: Arc<Execution>,
        shared: Arc<Shared>,
        checkpoints: mpsc::Sender<Order>,
    ) -> (mpsc::Sender<Request>, Handle<()>) {
        let (sender, requests) = mpsc::channel(QUEUE_MAX);
        let context = self.context.child("archive");
        let handle = context.spawn(move |_| async move {
            self.run(&execution, &shared, &checkpoints, requests).await;
        });
        (sender, handle)
    }

    async fn run(
        &mut self,
        execution: &Execution,
        shared: &Shared,
        checkpoints: &mpsc::Sender<Order>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        let mut due = self.context.current() + SYNC;
        loop {
            if self.context.current() >= due {
                self.sync(execution, checkpoints).await;
                self.prune(execution, shared.lowest_height()).await;
                due = self.context.current() + SYNC;
            }
            let wake = self.context.sleep_until(due);
            select! {
                request = requests.recv() => match request {
                    None => return self.sync(execution, checkpoints).await,
                    Some(request) => self.answer(request).await,
                },
                _ = wake => {},
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Write(stored) => {
                let blocks = self.blocks.take().expect("a write that fails stops the process");
                self.blocks = Some(insert(blocks, &stored, &self.place).await);
                self.written = Some(stored.record.through_height);
            }
            Request::Progress { height, digest } => self.next = Some((height, digest)),
            Request::Checkpoint(checkpoint) => self.checkpoint = Some(*checkpoint),
            Request::Block { number, reply } => {
                let _ = reply.send(self.read(number).await.map(Arc::new));
            }
            Request::Number { hash, reply } => {
                let key = commonware_cryptography::sha256::Digest(hash);
                let _ = reply.send(self.find(Identifier::Key(&key)).await.map(|stored| stored.number()));
            }
        }
    }

    /// Blocks first: progress says that nothing comes after them, and a state wants none of them missing.
    async fn sync(&mut self, execution: &Execution, checkpoints: &mpsc::Sender<Order>) {
        if let Some(through) = self.written.take() {
            let blocks = self.blocks.take().expect("a write that fails stops the process");
            self.blocks = Some(blocks.flush().await.written_to(&self.place));
            execution.recorded(through);
        }
        let noted = self.progress().map_or(0, |(height, _)| height);
        if let Some((height, digest)) = self.next.take_if(|(height, _)| *height >= noted + PROGRESS_BLOCKS)
            && let Some(progress) = self.progress.take()
        {
            self.progress = Some(progress.put_sync(PROGRESS, (height, digest)).await.written_to(&self.place));
            execution.recorded(height);
        }
        if let Some(checkpoint) = self.checkpoint.take()
            && checkpoints.try_send(Order { checkpoint, done: None }).is_err()
        {
            debug!(rollup = execution.name, "the last state is still being written: this one is left out");
        }
    }

    /// Removes what was made of blocks of the cluster that are gone, as far as no checkpoint needs it.
    async fn prune(&mut self, execution: &Execution, lowest: u64) {
        if !self.windowed || lowest <= self.lowest {
            return;
        }
        self.lowest = lowest;
        let Some(checkpoint) = execution.oldest_checkpoint() else { return };
        let Some((first, last)) = self.around(self.last()) else { return };
        let needed = self.first_from(first, last.min(checkpoint) + 1, lowest).await;
        let blocks = self.blocks.take().expect("a write that fails stops the process");
        self.blocks = Some(blocks.prune(needed).await.written_to(&self.place));
        if self.around(last).is_some_and(|(now, _)| now > first) {
            execution.kept(self.kept(last, 0).await);
        }
    }

    /// The first block from `low` on, up to `high`, that has blocks of the cluster from `lowest` on.
    async fn first_from(&self, mut low: u64, mut high: u64, lowest: u64) -> u64 {
        while low < high {
            let middle = low.midpoint(high);
            match self.record(middle).await {
                Some(record) if record.through_height < lowest => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}

async fn insert<E: Runtime>(blocks: Store<E, Bytes>, stored: &Stored, place: &str) -> Store<E, Bytes> {
    let key = commonware_cryptography::sha256::Digest(stored.hash.0);
    blocks.insert(stored.number(), key, &stored.to_bytes()).await.written_to(place)
}

/// Of a directory that kept everything the last blocks are copied, then the others are removed.
async fn window<E: Runtime>(
    context: &E,
    place: &storage::Place<RangeCfg<usize>>,
    keep: Keep,
) -> Store<E, Bytes> {
    let name = format!("{}-{}", place.prefix, place.name);
    if place.has_full(context).await {
        place.remove_window(context).await;
        let full: Store<E, Bytes> = place.full(context.child("full")).await;
        let mut window = place.window(context.child("copy"), keep.section).await;
        let last = full.last().unwrap_or(0);
        let first = last.saturating_sub(keep.blocks).max(1);
        info!(partition = name, first, last, "copying the last blocks, then removing the others");
        for number in first..=last {
            let bytes = full.read(Identifier::Index(number)).await.read_from(&name);
            if let Some(stored) = bytes.and_then(|bytes| Stored::from_bytes(&bytes).ok()) {
                window = insert(window, &stored, &name).await;
            }
            if number % COPY_BLOCKS == 0 {
                window = window.flush().await.written_to(&name);
            }
        }
        drop(window.flush().await.written_to(&name));
    }
    place.remove_full(context).await;
    place.window(context.child("blocks"), keep.section).await
}

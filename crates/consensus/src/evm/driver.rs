//! The task that executes one rollup.

use super::{
    Config, Fault,
    archive::{Archive, Kept, Request},
    checkpoints::{Checkpoints, Order},
    exchange,
    execution::{AHEAD_MAX, Execution, Finality, LIMITS, Outcome, Stopped, pending},
};
use crate::{
    aliases::{Marshal, Runtime},
    shared::Shared,
};
use baton_execution::evm::{
    Chain, Checkpoint, ClusterBlock, Entry, Executed, OpenBlock, Outcome as Executing, Record, Signed, Skip,
    Stored, stored,
};
use baton_types::{Block, Digest, ExecutionResult, Height, TxId, genesis::evm::Cadence};
use commonware_consensus::{Heightable as _, marshal::Identifier};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_runtime::{
    Handle,
    telemetry::metrics::{Counter, Gauge, GaugeExt as _, MetricsExt as _},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// Blocks executed ahead of finality; the rest of what the chain allows is for final ones.
const SPECULATIVE_MAX: usize = AHEAD_MAX / 2;
/// Records applied between two checks of the state root.
const RECORDS: u64 = 256;
/// How long a block that is not here yet is waited for.
const RETRY: Duration = Duration::from_millis(250);

pub struct Seat {
    pub execution: Arc<Execution>,
    pub shared: Arc<Shared>,
    pub marshal: Marshal,
    pub exchange: exchange::Mailbox,
}

struct Driver<E: Runtime> {
    context: E,
    seat: Seat,
    chain: Chain,
    archive: mpsc::Sender<Request>,
    checkpoints: mpsc::Sender<Order>,
    /// Blocks between two checkpoints.
    checkpoint_blocks: u64,
    /// The block whose state goes to disk next.
    checkpoint_at: u64,
    fault: Option<Fault>,
    /// The newest block of the cluster that is executed, with its time.
    tip: (Digest, u64, u64),
    /// What the cluster attested last.
    attested: ExecutionResult,
    /// Final blocks of the rollup that are not attested yet.
    unwritten: VecDeque<Arc<Stored>>,
    /// Left out after the last block of the rollup, with the height.
    skipped: Vec<(u64, TxId, Skip)>,
    /// Final heights that are not attested yet, and whether nothing was open or left out after them.
    quiet: VecDeque<(u64, Digest, bool)>,
    metrics: Metrics,
}

struct Metrics {
    executed: Counter,
    left_out: Counter,
    height: Gauge,
    block: Gauge,
    stopped: Gauge,
}

/// Opens what is on disk, goes on where it ends, and starts all tasks.
pub async fn start<E: Runtime>(context: E, config: &Config, seat: Seat) -> Vec<Handle<()>> {
    let Config { prefix, page_cache, keep, settings, background } = config;
    let execution = seat.execution.clone();
    let id = execution.id;
    let disk = context.child("disk");
    let archive = Archive::open(disk.child("blocks"), prefix, id.0, page_cache.clone(), *keep).await;
    let mut checkpoints = Checkpoints::open(disk.child("states"), prefix, id.0).await;
    let metrics = Metrics {
        executed: context.counter("executed", "transactions executed in final blocks"),
        left_out: context.counter("skipped", "transactions of final blocks that execution left out"),
        height: context.gauge("height", "last final block of the cluster that is executed"),
        block: context.gauge("block", "last final block of the rollup"),
        stopped: context.gauge("stopped", "1 when this node does not execute the rollup any more"),
    };
    let chain = recover(&archive, &mut checkpoints, &execution).await;
    let (digest, height) = chain.finalized();
    let kept = archive.kept(chain.head().header.number, height).await;
    let pending = pending(&chain, digest, height, 0).expect("the final tip is executed");
    execution.recovered(chain.result(), chain.head().clone(), pending, kept);
    if let Some(oldest) = checkpoints.oldest() {
        execution.checkpointed(oldest, 0);
    }
    seat.shared.executed(id, height, chain.state().snapshot(), &[], Vec::new());
    let checkpoint_blocks = settings.checkpoint_blocks.max(1);
    let checkpoint_at = checkpoints.latest().unwrap_or(0) + checkpoint_blocks;
    let (checkpoints, writing) = checkpoints.start(execution.clone(), *background);
    let (archive, keeping) = archive.start(execution.clone(), seat.shared.clone(), checkpoints.clone());
    execution.attach(archive.clone());
    let driver = Driver {
        attested: chain.result(),
        tip: (digest, height, 0),
        checkpoint_blocks,
        checkpoint_at,
        chain,
        archive,
        checkpoints,
        fault: settings.fault.filter(|(rollup, _)| *rollup == id).map(|(_, fault)| fault),
        unwritten: VecDeque::new(),
        skipped: Vec::new(),
        quiet: VecDeque::new(),
        metrics,
        seat,
        context: context.child("driver"),
    };
    // Its steps take as long as contracts run: they must not hold up a thread that others wait for.
    let running = context.dedicated().spawn(move |_| driver.run());
    vec![writing, keeping, running]
}

/// The chain after the last record that fits, from the newest good checkpoint or from block 0.
async fn recover<E: Runtime>(
    archive: &Archive<E>,
    checkpoints: &mut Checkpoints<E>,
    execution: &Execution,
) -> Chain {
    let mut chain = execution.take_chain().expect("started once");
    if let Some(checkpoint) = checkpoints.newest().await {
        chain = Chain::from_checkpoint(execution.params.clone(), LIMITS, checkpoint)
            .expect("its root was checked when it was read");
    }
    let start = chain.head().header.number;
    let mut next = start + 1;
    let last = archive.around(next).map_or(start, |(_, last)| last);
    while next <= last {
        let end = last.min(next + RECORDS - 1);
        match apply(archive, chain.clone(), next, end).await {
            Ok(further) => chain = further,
            Err(error) => {
                let (rollup, block) = (&execution.name, chain.head().header.number);
                error!(
                    rollup,
                    block, error, "going on from this block: the blocks after it are executed again"
                );
                break;
            }
        }
        next = end + 1;
    }
    // It speaks of what follows the last block of all.
    if let Some((height, digest)) = archive.progress()
        && chain.head().header.number >= archive.last()
    {
        chain = chain.skip_to(digest, height);
    }
    let (block, (_, height)) = (chain.head().header.number, chain.finalized());
    if block > 0 {
        info!(rollup = execution.name, checkpoint = start, block, height, "execution goes on");
    }
    chain
}

async fn apply<E: Runtime>(
    archive: &Archive<E>,
    chain: Chain,
    first: u64,
    last: u64,
) -> Result<Chain, String> {
    let mut records = Vec::new();
    for number in first..=last {
        let record = archive.record(number).await;
        records.push(record.ok_or_else(|| format!("block {number} on disk is unreadable"))?);
    }
    chain.resume(records).map_err(|error| format!("blocks on disk do not fit together: {error}"))
}

impl<E: Runtime> Driver<E> {
    async fn run(mut self) {
        loop {
            // Registered before looking, so that nothing between the two is missed.
            let shared = self.seat.shared.clone();
            let news = shared.moved.notified();
            match self.step().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(stopped) => return self.stop(stopped).await,
            }
            select! {
                _ = news => {},
                _ = self.context.sleep(RETRY) => {},
            }
        }
    }

    /// For good, until the node is started again.
    async fn stop(self, stopped: Stopped) {
        let rollup = &self.seat.execution.name;
        match &stopped {
            Stopped::Differs { height, attested, own } => error!(
                rollup,
                height,
                attested_block = %attested.hash,
                own_block = %own.hash,
                attested_root = %attested.state_root,
                own_root = %own.state_root,
                "the cluster attested another result than this node's: this node executes the rollup no more and \
                 votes for no result of it; start it again, and if that does not help look for damaged memory, \
                 disk or program"
            ),
            Stopped::Unavailable(why) => error!(rollup, why, "not executing this rollup"),
        }
        let _ = self.metrics.stopped.try_set(1);
        self.seat.execution.stop(stopped);
        std::future::pending().await
    }

    /// Executes one block. Whether there was one.
    async fn step(&mut self) -> Result<bool, Stopped> {
        let (final_tip, height) = self.chain.finalized();
        let next = height + 1;
        if next <= self.seat.shared.finalized_height() {
            if next < self.seat.shared.lowest_height() {
                return self.join().await.map(|()| true);
            }
            let Some(block) = self.fetch(next).await else { return Ok(false) };
            self.finalize(&block).await?;
            return Ok(true);
        }
        if self.chain.ahead() >= SPECULATIVE_MAX {
            return Ok(false);
        }
        let executed = |digest: &Digest| *digest == final_tip || self.chain.executed(digest).is_some();
        let Some(block) = self.seat.shared.unexecuted(executed) else { return Ok(false) };
        self.execute_ahead(&block).await;
        Ok(true)
    }

    async fn fetch(&self, height: u64) -> Option<Digested<Block>> {
        if let Some(block) = self.seat.shared.finalized(height) {
            return Some(block);
        }
        self.seat.marshal.get_block(Identifier::Height(Height::new(height))).await
    }

    /// The blocks that this executor needs next are gone, or were never here: goes on from a state that a final
    /// block attests, and that members still have.
    async fn join(&mut self) -> Result<(), Stopped> {
        let execution = self.seat.execution.clone();
        let name = &execution.name;
        execution.fetching();
        loop {
            let Some((result, (digest, height))) = self.attested_state().await else {
                self.context.sleep(RETRY).await;
                continue;
            };
            let head = self.chain.head();
            if head.header.number == result.number && head.hash.0 == result.hash.0 {
                // Nothing happened in the rollup meanwhile.
                let chain = self.chain.clone().skip_to(digest, height);
                self.go_on(chain, execution.blocks_kept());
                return Ok(());
            }
            info!(
                rollup = name,
                block = result.number,
                height,
                "fetching the state that the cluster attested"
            );
            let Some(fetched) = self.seat.exchange.fetch(execution.id, result).await else {
                warn!(rollup = name, block = result.number, "no member gives this state: trying a newer one");
                self.context.sleep(RETRY).await;
                continue;
            };
            let (header, state) = fetched.finish().map_err(|error| {
                Stopped::Unavailable(format!("the state of rollup {name} did not fit together: {error}"))
            })?;
            let checkpoint = Checkpoint { state, header, through_height: height, through_digest: digest };
            let (done, durable) = oneshot::channel();
            let order = Order { checkpoint: checkpoint.clone(), done: Some(done) };
            // Both end with the node only.
            let _ = self.checkpoints.send(order).await;
            let _ = durable.await;
            let chain = Chain::from_checkpoint(execution.params.clone(), LIMITS, checkpoint)
                .expect("the root of what was fetched was checked");
            self.go_on(chain, Kept { first: result.number + 1, above: height });
            return Ok(());
        }
    }

    /// What the newest final block attests, and the block of the cluster after which execution goes on from there;
    /// none while that is not here.
    async fn attested_state(&self) -> Option<(ExecutionResult, (Digest, u64))> {
        let shared = &self.seat.shared;
        let (lowest, newest) = (shared.lowest_height(), self.fetch(shared.finalized_height()).await?);
        let result = *newest.inner().body().results.get(&self.seat.execution.id)?;
        if result.executed_to < lowest {
            return None;
        }
        let mut block = self.fetch(result.executed_to).await?;
        let Cadence::Slotted { ms } = self.seat.execution.params.cadence else {
            return Some((result, (block.digest(), result.executed_to)));
        };
        // Whatever was open before the slot of this block is sealed. Slices of the slot itself are executed again.
        let slot = |block: &Digested<Block>| block.inner().header().timestamp_ms / ms;
        loop {
            let height = block.height().get();
            let before = if height > lowest { self.fetch(height - 1).await? } else { return None };
            if slot(&before) < slot(&block) {
                return Some((result, (before.digest(), height - 1)));
            }
            block = before;
        }
    }

    fn go_on(&mut self, chain: Chain, kept: Kept) {
        let execution = self.seat.execution.clone();
        let ((digest, height), head) = (chain.finalized(), chain.head().clone());
        let number = head.header.number;
        self.chain = chain;
        self.attested = self.chain.result();
        self.tip = (digest, height, 0);
        self.checkpoint_at = number + self.checkpoint_blocks;
        self.unwritten.clear();
        self.skipped.clear();
        self.quiet.clear();
        let pending = pending(&self.chain, digest, height, 0).expect("the final tip is executed");
        execution.recovered(self.chain.result(), head, pending, kept);
        self.seat.shared.moved_state(execution.id, self.chain.state().snapshot());
        info!(rollup = execution.name, block = number, height, "execution goes on");
    }

    async fn suffer(&mut self, height: u64) {
        match self.fault {
            Some(Fault::Damage { height: from }) if height >= from => {
                self.fault = None;
                let victim = self.seat.execution.params.fee_recipient;
                self.chain.damage(victim);
            }
            Some(Fault::Wedge { height: from }) if height >= from => std::future::pending().await,
            _ => {}
        }
    }

    async fn execute_ahead(&mut self, block: &Digested<Block>) {
        let height = block.height().get();
        self.suffer(height).await;
        // Its parent may be forgotten since.
        let Ok(executed) = self.chain.execute(&self.cluster_block(block)) else { return };
        if height >= self.tip.1 {
            self.tip = (block.digest(), height, block.inner().header().timestamp_ms);
        }
        let result = executed.result(self.chain.params());
        self.seat.execution.ahead(block.digest(), height, result, self.pending());
    }

    async fn finalize(&mut self, block: &Digested<Block>) -> Result<(), Stopped> {
        let (digest, height) = (block.digest(), block.height().get());
        self.suffer(height).await;
        self.attest(block.inner()).await?;
        let cannot = |error: &dyn std::fmt::Display| {
            Stopped::Unavailable(format!("cannot execute the block at height {height}: {error}"))
        };
        if self.chain.executed(&digest).is_none() {
            self.chain.execute(&self.cluster_block(block)).map_err(|error| cannot(&error))?;
        }
        let mut path = self.chain.finalize(&digest).map_err(|error| cannot(&error))?;
        let Some(executed) = path.pop() else { return Ok(()) };
        if self.chain.executed(&self.tip.0).is_none() {
            self.tip = (digest, height, block.inner().header().timestamp_ms);
        }
        self.publish(block.inner(), &executed);
        Ok(())
    }

    fn publish(&mut self, block: &Block, executed: &Executed) {
        let execution = self.seat.execution.clone();
        let (digest, height) = self.chain.finalized();
        let ids = ids(block, &execution);
        let skipped = stored::skipped(executed, ids.iter());
        self.skipped.extend(skipped.iter().map(|(id, skip)| (height, *id, *skip)));
        let made = executed.made.as_ref().map(|made| {
            let (before, after): (Vec<_>, _) =
                self.skipped.drain(..).partition(|(height, ..)| *height <= made.through_height);
            self.skipped = after;
            let left_out = before.into_iter().map(|(_, id, skip)| (id, skip)).collect();
            Arc::new(Stored::new(made, left_out))
        });
        self.unwritten.extend(made.clone());
        self.quiet.push_back((height, digest, self.chain.open().is_none() && self.skipped.is_empty()));
        let outcomes: Vec<_> = ids.iter().copied().zip(executed.outcomes.iter().map(outcome)).collect();
        self.metrics.left_out.inc_by(skipped.len() as u64);
        self.metrics.executed.inc_by((outcomes.len() - skipped.len()) as u64);
        let finality =
            Finality { result: self.chain.result(), head: self.chain.head().clone(), stored: made, skipped };
        execution.finalized(finality, self.pending());
        let _ = self.metrics.height.try_set(height);
        let _ = self.metrics.block.try_set(self.chain.head().header.number);
        let state = self.chain.state().snapshot();
        self.seat.shared.executed(execution.id, height, state, &executed.touched, outcomes);
    }

    /// Compares what a final block attests with what was found here, and writes what it covers.
    async fn attest(&mut self, block: &Block) -> Result<(), Stopped> {
        let execution = self.seat.execution.clone();
        let Some(attested) = block.body().results.get(&execution.id).copied() else { return Ok(()) };
        if attested.executed_to <= self.attested.executed_to {
            return Ok(());
        }
        match execution.own(attested.executed_to) {
            Some(own) if own != attested => {
                return Err(Stopped::Differs { height: block.header().height, attested, own });
            }
            _ => self.attested = attested,
        }
        while let Some(stored) = self.unwritten.pop_front_if(|stored| stored.number() <= attested.number) {
            let Record { header, through_height, through_digest, .. } = &stored.record;
            let due = header.number >= self.checkpoint_at;
            let checkpoint = execution.past(header.number).filter(|_| due).map(|past| Checkpoint {
                state: past.state.snapshot(),
                header: header.clone(),
                through_height: *through_height,
                through_digest: *through_digest,
            });
            // The archive ends with the node only.
            let _ = self.archive.send(Request::Write(stored)).await;
            if let Some(checkpoint) = checkpoint {
                self.checkpoint_at = checkpoint.header.number + self.checkpoint_blocks;
                let _ = self.archive.send(Request::Checkpoint(Box::new(checkpoint))).await;
            }
        }
        while let Some((height, digest, quiet)) =
            self.quiet.pop_front_if(|(height, ..)| *height <= attested.executed_to)
        {
            if height == attested.executed_to && quiet {
                let _ = self.archive.send(Request::Progress { height, digest }).await;
            }
        }
        Ok(())
    }

    fn pending(&self) -> Option<OpenBlock> {
        let (digest, height, timestamp_ms) = self.tip;
        pending(&self.chain, digest, height, timestamp_ms).ok()
    }

    /// What the rollup takes of a block. Senders are known where the transaction came through this node's pool.
    fn cluster_block(&self, block: &Digested<Block>) -> ClusterBlock {
        let (execution, header) = (&self.seat.execution, block.inner().header());
        let segment = block.inner().body().segments.iter().find(|segment| segment.rollup == execution.id);
        let transactions = segment.map_or(&[][..], |segment| &segment.transactions);
        let known = self.seat.shared.signed(execution.id, &ids(block.inner(), execution));
        let unknown: Vec<_> = transactions
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(transaction, _)| &transaction.payload[..])
            .collect();
        let mut decoded = Signed::decode_all(&unknown, &execution.params).into_iter();
        let entries = transactions.iter().zip(known).map(|(transaction, known)| Entry {
            transaction: known.map_or_else(|| decoded.next().expect("one for each unknown"), Ok),
            bundle: transaction.bundle,
        });
        ClusterBlock {
            digest: block.digest(),
            parent: header.parent,
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            parent_seed: header.parent_seed,
            entries: entries.collect(),
        }
    }
}

fn ids(block: &Block, execution: &Execution) -> Vec<TxId> {
    let mut segments = block.segment_ids();
    segments.find(|(rollup, _)| *rollup == execution.id).map_or_else(Vec::new, |(_, ids)| ids.to_vec())
}

const fn outcome(outcome: &Executing) -> Outcome {
    match outcome {
        Executing::Executed { .. } => Outcome::Executed,
        Executing::Skipped(skip) => Outcome::Skipped(*skip),
    }
}

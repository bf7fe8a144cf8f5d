//! Whole states of one EVM rollup on disk: a file each, named by the rollup's block.
//!
//! ```text
//! file = (u32 length ‖ piece)*          pieces: execution::evm::checkpoint
//! ```
//!
//! The newest two are kept. A file is removed only when a newer one is durable, so that whatever is cut short or
//! damaged, the one before is there; and records go back to that one.

use super::execution::Execution;
use crate::{aliases::Runtime, broken::OrEnd as _};
use baton_execution::evm::{Checkpoint, RecordError, Restoring, checkpoint::PIECE_BYTES_MAX};
use commonware_runtime::{Blob as _, Handle, ReadOptions, WriteOptions};
use std::{sync::Arc, time::SystemTime};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

const KEPT: usize = 2;
/// Checkpoints that wait; who has another lets it go.
const QUEUE_MAX: usize = 1;
const LENGTH_BYTES: u64 = 4;

/// A checkpoint to be written.
pub struct Order {
    pub checkpoint: Checkpoint,
    /// Told when it is durable.
    pub done: Option<oneshot::Sender<()>>,
}

pub struct Checkpoints<E: Runtime> {
    context: E,
    partition: String,
    /// Blocks whose files are there, ascending.
    numbers: Vec<u64>,
}

impl<E: Runtime> Checkpoints<E> {
    pub async fn open(context: E, prefix: &str, rollup: u32) -> Self {
        let partition = format!("{prefix}-evm-{rollup}-checkpoints");
        // Without any the partition is missing.
        let names = context.scan(&partition).await.unwrap_or_default();
        let number = |name: Vec<u8>| Some(u64::from_be_bytes(name.try_into().ok()?));
        let mut numbers: Vec<_> = names.into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        Self { context, partition, numbers }
    }

    /// The newest that is good. What is not is removed.
    pub async fn newest(&mut self) -> Option<Checkpoint> {
        while let Some(number) = self.latest() {
            match self.read(number).await {
                Ok(checkpoint) => return Some(checkpoint),
                Err(error) => {
                    let (partition, before) = (&self.partition, self.numbers.len() - 1);
                    error!(
                        partition,
                        block = number,
                        %error,
                        before,
                        "a state on disk is not whole and is removed; the one before it is next, and after the last \
                         the state is executed again or fetched from other members"
                    );
                    self.remove(number).await;
                }
            }
        }
        None
    }

    /// The block of the oldest that is kept.
    pub fn oldest(&self) -> Option<u64> {
        self.numbers.first().copied()
    }

    /// That of the newest.
    pub fn latest(&self) -> Option<u64> {
        self.numbers.last().copied()
    }

    async fn read(&self, number: u64) -> Result<Checkpoint, RecordError> {
        let opened = self.context.open(&self.partition, &number.to_be_bytes()).await;
        let (blob, size) = opened.read_from(&self.partition);
        let read = async |at, length| {
            let bytes = blob.read_at(at, length, ReadOptions::DONT_CACHE).await;
            bytes.read_from(&self.partition).coalesce()
        };
        let (mut restoring, mut at) = (Restoring::default(), 0);
        while at < size {
            if size - at < LENGTH_BYTES {
                return Err(RecordError::Cut);
            }
            let length = read(at, 4).await;
            let length = length.as_ref().try_into().map(u32::from_be_bytes).map_err(|_| RecordError::Cut)?;
            at += LENGTH_BYTES;
            let length_usize = usize::try_from(length).ok().filter(|length| *length <= PIECE_BYTES_MAX);
            let length_usize =
                length_usize.filter(|_| u64::from(length) <= size - at).ok_or(RecordError::Cut)?;
            restoring.push(read(at, length_usize).await.as_ref())?;
            at += u64::from(length);
        }
        restoring.finish()
    }

    async fn write(&mut self, checkpoint: &Checkpoint) -> u64 {
        let number = checkpoint.header.number;
        // A node that was set back comes by a block again.
        for later in self.numbers.split_off(self.numbers.partition_point(|other| *other < number)) {
            self.remove(later).await;
        }
        let opened = self.context.open(&self.partition, &number.to_be_bytes()).await;
        let (blob, _) = opened.written_to(&self.partition);
        let mut at = 0;
        for piece in checkpoint.pieces() {
            let length = u32::try_from(piece.len()).expect("pieces have a largest size");
            let bytes = [&length.to_be_bytes()[..], &piece].concat();
            let end = at + bytes.len() as u64;
            blob.write_at(at, bytes, WriteOptions::DONT_CACHE).await.written_to(&self.partition);
            at = end;
        }
        blob.sync().await.written_to(&self.partition);
        drop(blob);
        self.numbers.push(number);
        while self.numbers.len() > KEPT {
            self.remove(self.numbers[0]).await;
        }
        at
    }

    async fn remove(&mut self, number: u64) {
        let removed = self.context.remove(&self.partition, Some(&number.to_be_bytes())).await;
        removed.written_to(&self.partition);
        self.numbers.retain(|other| *other != number);
    }

    /// Writes what it is given, on a thread of its own.
    pub fn start(self, execution: Arc<Execution>, background: fn()) -> (mpsc::Sender<Order>, Handle<()>) {
        let (sender, orders) = mpsc::channel(QUEUE_MAX);
        let context = self.context.child("checkpoints").dedicated();
        let handle = context.spawn(move |_| async move {
            background();
            self.run(&execution, orders).await;
        });
        (sender, handle)
    }

    async fn run(mut self, execution: &Execution, mut orders: mpsc::Receiver<Order>) {
        while let Some(Order { checkpoint, done }) = orders.recv().await {
            let begun = self.context.current();
            let bytes = self.write(&checkpoint).await;
            let ms = elapsed_ms(begun, self.context.current());
            let block = checkpoint.header.number;
            info!(rollup = execution.name, block, bytes, ms, "the state is on disk");
            execution.checkpointed(self.oldest().unwrap_or(block), checkpoint.through_height);
            if let Some(done) = done {
                let _ = done.send(());
            }
        }
    }
}

fn elapsed_ms(from: SystemTime, to: SystemTime) -> u64 {
    to.duration_since(from).ok().and_then(|time| u64::try_from(time.as_millis()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

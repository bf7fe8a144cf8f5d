//! Accepted units on disk, in sections by validity, so that whole sections can go once they are past.

use super::wire::Batch;
use crate::{aliases::Runtime, broken::OrEnd as _};
use baton_execution::pool::Unit;
use baton_types::BlockLimits;
use commonware_codec::EncodeSize as _;
use commonware_runtime::{ReadOptions, buffer::paged::CacheRef};
use commonware_storage::journal::segmented::variable::{Config, Journal as Segments};
use commonware_utils::NZUsize;
use std::sync::Arc;

/// Heights of `valid_until` per section.
const SECTION_BLOCKS: u64 = 64;

pub struct Journal<E: Runtime> {
    partition: String,
    segments: Option<Segments<E, Batch>>,
}

impl<E: Runtime> Journal<E> {
    /// Opens the journal and hands over what is in it, record by record. A torn tail is cut off by the
    /// library.
    pub async fn open(
        context: E,
        partition: String,
        limits: BlockLimits,
        page_cache: CacheRef,
        mut each: impl FnMut(Batch),
    ) -> Self {
        let config = Config {
            partition: partition.clone(),
            compression: None,
            codec_config: limits,
            page_cache,
            write_buffer: NZUsize!(1024 * 1024),
        };
        let segments = Segments::init(context, config).await.read_from(&partition);
        let mut replay =
            segments.replay(0, 0, NZUsize!(1024 * 1024), ReadOptions::default()).await.read_from(&partition);
        while let Some(record) = replay.next().await {
            let (_, _, _, batch) = record.read_from(&partition);
            each(batch);
        }
        let segments = replay.finish().expect("the replay is at its end");
        Self { partition, segments: Some(segments) }
    }

    /// Writes batches and makes them durable, with one sync for each section they touch.
    pub async fn append(&mut self, batches: &[Batch]) {
        let mut segments = self.take();
        let mut touched = Vec::new();
        for batch in batches {
            let Some(last) = batch.0.iter().map(|unit| unit.valid_until()).max() else { continue };
            let section = last / SECTION_BLOCKS;
            // Expired while it waited to be written: there is nothing left to keep.
            if segments.pruned(section) {
                continue;
            }
            (segments, _, _) = segments.append(section, batch).await.written_to(&self.partition);
            if !touched.contains(&section) {
                touched.push(section);
            }
        }
        for section in touched {
            segments = segments.sync(section).await.written_to(&self.partition);
        }
        self.segments = Some(segments);
    }

    /// Removes sections whose units can enter no block after `height`.
    pub async fn prune(&mut self, height: u64) {
        let segments = self.take();
        let (segments, _) = segments.prune((height + 1) / SECTION_BLOCKS).await.written_to(&self.partition);
        self.segments = Some(segments);
    }

    fn take(&mut self) -> Segments<E, Batch> {
        self.segments.take().expect("a write that fails stops the process")
    }
}

/// Cuts units into batches that one message or record can hold.
pub fn batches(units: impl IntoIterator<Item = Arc<Unit>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for unit in units {
        let size = unit.encode_size();
        if !batch.is_empty()
            && (bytes + size > super::wire::BATCH_BYTES_MAX || batch.len() >= super::wire::UNITS_MAX)
        {
            batches.push(Batch(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += size;
        batch.push(unit);
    }
    if !batch.is_empty() {
        batches.push(Batch(batch));
    }
    batches
}

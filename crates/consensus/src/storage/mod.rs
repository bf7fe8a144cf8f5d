//! The archives of finalized blocks and their certificates: all of the chain, or a window of it.
//!
//! | history | archive | disk |
//! |---|---|---|
//! | full | immutable | grows with the chain |
//! | window of N | prunable, in sections of about N/16 blocks | the last N blocks, and less than one section more |
//!
//! The size of a section is chosen when a directory first keeps a window, and stays. What is wholly
//! below the window is removed by the ledger, through marshal.
//!
//! A directory that kept everything may go over to a window: its last blocks are copied, then the rest
//! is removed. A crash in between leaves one of the two whole. The way back does not exist, because
//! nobody need have what is gone.

mod store;

pub use store::Store;

use crate::aliases::Runtime;
use baton_types::{Block, BlockLimits, Digest, Finalization, Genesis};
use commonware_codec::CodecShared;
use commonware_cryptography::Digestible as _;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_storage::{
    archive::{Identifier, immutable, prunable},
    metadata::{self, Metadata},
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize, fixed_bytes, sequence::FixedBytes};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
};
use thiserror::Error;
use tracing::info;

pub const WRITE_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);
pub const REPLAY_BUFFER: NonZeroUsize = NZUsize!(4 * 1024 * 1024);

/// Sections that make a window.
const SECTIONS: u64 = 16;
const SECTION_BLOCKS_MIN: u64 = 16;
const SECTION_BLOCKS_MAX: u64 = 1 << 16;
/// Blocks copied between two syncs.
const COPY_BLOCKS: u64 = 256;

const FULL_PARTS: [&str; 5] = ["table", "key", "value", "ordinal", "metadata"];
const WINDOW_PARTS: [&str; 3] = ["window-key", "window-value", "window-metadata"];
const SECTION: FixedBytes<1> = fixed_bytes!("00");

/// How much of the chain a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Every block.
    Full,
    /// The last so many blocks, at least.
    Window { blocks: u64 },
}

#[derive(Debug, Error)]
pub enum HistoryError {
    #[error(
        "storage.history = {{ blocks = {blocks} }}: at least {min} on this chain, twice the sum of \
         validity_blocks_max ({validity}) and epoch_blocks ({epoch}), so that members that were away \
         can still join"
    )]
    TooShort { blocks: u64, min: u64, validity: u64, epoch: u64 },
    #[error(
        "storage.history = \"full\": this data directory kept a window of the chain, and what is gone does \
         not come back; set a window again, or use an empty data directory"
    )]
    Cut,
}

impl History {
    /// Whether a node of this chain can keep so little. Members that join need a certified block
    /// `validity_blocks_max` below the tip, the end of the epoch before that, and time to fetch
    /// what follows; the key ceremony needs the end of the epoch before.
    pub const fn check(self, genesis: &Genesis) -> Result<(), HistoryError> {
        let (validity, epoch) = (genesis.validity_blocks_max, genesis.epoch_blocks);
        let min = 2 * (validity + epoch);
        match self {
            Self::Window { blocks } if blocks < min => {
                Err(HistoryError::TooShort { blocks, min, validity, epoch })
            }
            _ => Ok(()),
        }
    }
}

/// Where the archives are, and what bounds what is in them.
#[derive(Clone)]
pub struct Config {
    pub prefix: String,
    pub history: History,
    pub limits: BlockLimits,
    pub page_cache: CacheRef,
}

pub struct Archives<E: Runtime> {
    pub finalizations: Store<E, Finalization>,
    pub blocks: Store<E, Arc<Block>>,
    /// Blocks that are removed together; none where nothing is ever removed.
    pub section: Option<NonZeroU64>,
}

impl<E: Runtime> Archives<E> {
    pub async fn open(context: &E, config: &Config) -> Result<Self, HistoryError> {
        let partition = format!("{}-window", config.prefix);
        let History::Window { blocks } = config.history else {
            let is_window =
                exists(context, &partition).await && section_of(&marker(context, partition).await).is_some();
            return if is_window {
                Err(HistoryError::Cut)
            } else {
                Ok(Self::open_full(context, config).await)
            };
        };
        let marker = marker(context, partition).await;
        let section = match section_of(&marker) {
            Some(section) => section,
            None => {
                let section = section(blocks);
                config.remove(context, &WINDOW_PARTS).await;
                if exists(context, &config.part("blocks", "metadata")).await {
                    Self::copy(context, config, section, blocks).await;
                }
                drop(marker.put_sync(SECTION, section.get()).await.expect(WRITABLE));
                section
            }
        };
        config.remove(context, &FULL_PARTS).await;
        Ok(Self::open_window(context, config, section).await)
    }

    async fn open_full(context: &E, config: &Config) -> Self {
        Self {
            finalizations: config.full(context.child("finalizations"), "finalizations", ()).await,
            blocks: config.full(context.child("blocks"), "blocks", config.limits).await,
            section: None,
        }
    }

    async fn open_window(context: &E, config: &Config, section: NonZeroU64) -> Self {
        let finalizations = context.child("finalizations");
        Self {
            finalizations: config.window(finalizations, "finalizations", section, ()).await,
            blocks: config.window(context.child("blocks"), "blocks", section, config.limits).await,
            section: Some(section),
        }
    }

    /// Copies the last blocks of a full history, durably.
    async fn copy(context: &E, config: &Config, section: NonZeroU64, count: u64) {
        let full = Self::open_full(&context.child("full"), config).await;
        let Self { mut finalizations, mut blocks, .. } =
            Self::open_window(&context.child("copy"), config, section).await;
        let Some(last) = full.blocks.last() else { return };
        let first = (last + 1).saturating_sub(count);
        info!(first, last, "keeping a window from now on: copying the last blocks, then removing the others");
        for height in first..=last {
            // There are gaps above what marshal has processed.
            if let Some(block) = full.blocks.read(Identifier::Index(height)).await.expect(READABLE) {
                blocks = blocks.insert(height, block.digest(), &block).await.expect(WRITABLE);
            }
            if let Some(finalization) =
                full.finalizations.read(Identifier::Index(height)).await.expect(READABLE)
            {
                let digest = finalization.proposal.payload;
                finalizations = finalizations.insert(height, digest, &finalization).await.expect(WRITABLE);
            }
            if height % COPY_BLOCKS == 0 {
                blocks = blocks.flush().await.expect(WRITABLE);
                finalizations = finalizations.flush().await.expect(WRITABLE);
            }
        }
        blocks.flush().await.expect(WRITABLE);
        finalizations.flush().await.expect(WRITABLE);
    }

    /// First and last height of each stretch of blocks without a gap.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        self.blocks.ranges(0).collect()
    }
}

const READABLE: &str = "the archives are readable";
const WRITABLE: &str = "the disk takes writes";

impl Config {
    fn part(&self, name: &str, part: &str) -> String {
        format!("{}-{name}-{part}", self.prefix)
    }

    async fn remove<E: Runtime>(&self, context: &E, parts: &[&str]) {
        for part in
            parts.iter().flat_map(|part| [self.part("finalizations", part), self.part("blocks", part)])
        {
            if exists(context, &part).await {
                context.remove(&part, None).await.expect(WRITABLE);
            }
        }
    }

    async fn full<E: Runtime, V: CodecShared>(&self, context: E, name: &str, codec: V::Cfg) -> Store<E, V> {
        let part = |part| self.part(name, part);
        let config = immutable::Config {
            metadata_partition: part("metadata"),
            freezer_table_partition: part("table"),
            freezer_table_initial_size: 65_536,
            freezer_table_resize_frequency: 4,
            freezer_table_resize_chunk_size: 16_384,
            freezer_key_partition: part("key"),
            freezer_key_page_cache: self.page_cache.clone(),
            freezer_value_partition: part("value"),
            freezer_value_target_size: 256 * 1024 * 1024,
            freezer_value_compression: None,
            ordinal_partition: part("ordinal"),
            items_per_section: NZU64!(65_536),
            freezer_key_write_buffer: WRITE_BUFFER,
            freezer_value_write_buffer: WRITE_BUFFER,
            ordinal_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
            codec_config: codec,
        };
        Store::Full(immutable::Archive::init(context, config).await.expect(READABLE))
    }

    async fn window<E: Runtime, V: CodecShared>(
        &self,
        context: E,
        name: &str,
        section: NonZeroU64,
        codec: V::Cfg,
    ) -> Store<E, V> {
        let config = prunable::Config {
            translator: EightCap,
            metadata_partition: self.part(name, "window-metadata"),
            key_partition: self.part(name, "window-key"),
            key_page_cache: self.page_cache.clone(),
            value_partition: self.part(name, "window-value"),
            compression: None,
            codec_config: codec,
            items_per_section: section,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
        };
        Store::Window(prunable::Archive::<_, _, Digest, _>::init(context, config).await.expect(READABLE))
    }
}

/// Blocks of a section in a window of `blocks`.
fn section(blocks: u64) -> NonZeroU64 {
    let section = (blocks / SECTIONS).clamp(SECTION_BLOCKS_MIN, SECTION_BLOCKS_MAX);
    NonZeroU64::new(section).unwrap_or(NonZeroU64::MIN)
}

async fn exists<E: Runtime>(context: &E, partition: &str) -> bool {
    context.scan(partition).await.is_ok_and(|names| !names.is_empty())
}

/// Says that a directory keeps a window, and how large its sections are.
type Marker<E> = Metadata<E, FixedBytes<1>, u64>;

async fn marker<E: Runtime>(context: &E, partition: String) -> Marker<E> {
    let config = metadata::Config { partition, codec_config: () };
    Metadata::init(context.child("window"), config).await.expect(READABLE)
}

fn section_of<E: Runtime>(marker: &Marker<E>) -> Option<NonZeroU64> {
    marker.get(&SECTION).copied().and_then(NonZeroU64::new)
}

#[cfg(test)]
mod tests;

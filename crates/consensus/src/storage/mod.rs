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

pub use store::{Place, Store};

use crate::{aliases::Runtime, broken::OrEnd as _};
use baton_types::{Block, BlockLimits, Finalization, Genesis};
use commonware_cryptography::Digestible as _;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_storage::{
    archive::Identifier,
    metadata::{self, Metadata},
};
use commonware_utils::{NZUsize, fixed_bytes, sequence::FixedBytes};
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
                exists(context, &partition).await && section_of(&marker(context, &partition).await).is_some();
            return if is_window {
                Err(HistoryError::Cut)
            } else {
                Ok(Self::open_full(context, config).await)
            };
        };
        let marker = marker(context, &partition).await;
        let section = match section_of(&marker) {
            Some(section) => section,
            None => {
                let section = section(blocks);
                config.finalizations().remove_window(context).await;
                config.blocks().remove_window(context).await;
                if config.blocks().has_full(context).await {
                    Self::copy(context, config, section, blocks).await;
                }
                drop(marker.put_sync(SECTION, section.get()).await.written_to(&partition));
                section
            }
        };
        config.finalizations().remove_full(context).await;
        config.blocks().remove_full(context).await;
        Ok(Self::open_window(context, config, section).await)
    }

    async fn open_full(context: &E, config: &Config) -> Self {
        Self {
            finalizations: config.finalizations().full(context.child("finalizations")).await,
            blocks: config.blocks().full(context.child("blocks")).await,
            section: None,
        }
    }

    async fn open_window(context: &E, config: &Config, section: NonZeroU64) -> Self {
        Self {
            finalizations: config.finalizations().window(context.child("finalizations"), section).await,
            blocks: config.blocks().window(context.child("blocks"), section).await,
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
        let (blocks_at, finalizations_at) = (&*config.blocks().name(), &*config.finalizations().name());
        info!(first, last, "keeping a window from now on: copying the last blocks, then removing the others");
        for height in first..=last {
            // There are gaps above what marshal has processed.
            if let Some(block) = full.blocks.read(Identifier::Index(height)).await.read_from(blocks_at) {
                blocks = blocks.insert(height, block.digest(), &block).await.written_to(blocks_at);
            }
            let finalization = full.finalizations.read(Identifier::Index(height)).await;
            if let Some(finalization) = finalization.read_from(finalizations_at) {
                let digest = finalization.proposal.payload;
                let inserted = finalizations.insert(height, digest, &finalization).await;
                finalizations = inserted.written_to(finalizations_at);
            }
            if height % COPY_BLOCKS == 0 {
                blocks = blocks.flush().await.written_to(blocks_at);
                finalizations = finalizations.flush().await.written_to(finalizations_at);
            }
        }
        blocks.flush().await.written_to(blocks_at);
        finalizations.flush().await.written_to(finalizations_at);
    }

    /// First and last height of each stretch of blocks without a gap.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        self.blocks.ranges(0).collect()
    }
}

impl Config {
    fn blocks(&self) -> Place<BlockLimits> {
        self.place("blocks", self.limits)
    }

    fn finalizations(&self) -> Place<()> {
        self.place("finalizations", ())
    }

    fn place<C>(&self, name: &str, codec: C) -> Place<C> {
        Place {
            prefix: self.prefix.clone(),
            name: name.to_owned(),
            page_cache: self.page_cache.clone(),
            codec,
        }
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

async fn marker<E: Runtime>(context: &E, partition: &str) -> Marker<E> {
    let config = metadata::Config { partition: partition.to_owned(), codec_config: () };
    Metadata::init(context.child("window"), config).await.read_from(partition)
}

fn section_of<E: Runtime>(marker: &Marker<E>) -> Option<NonZeroU64> {
    marker.get(&SECTION).copied().and_then(NonZeroU64::new)
}

#[cfg(test)]
mod tests;

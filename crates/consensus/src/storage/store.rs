//! One archive of either kind, as marshal wants it.

use super::{REPLAY_BUFFER, WRITE_BUFFER, exists};
use crate::{
    aliases::Runtime,
    broken::{Broken, OrEnd as _},
};
use baton_types::{Block, Digest, Finalization, Height, Scheme};
use commonware_codec::CodecShared;
use commonware_consensus::marshal::store::{Blocks, Certificates};
use commonware_cryptography::Digestible as _;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{Archive as _, Error, Identifier, immutable, prunable},
    translator::EightCap,
};
use commonware_utils::NZU64;
use std::{num::NonZeroU64, sync::Arc};

/// Values by height and by digest.
pub enum Store<E: Runtime, V: CodecShared> {
    Full(immutable::Archive<E, Digest, V>),
    Window(prunable::Archive<EightCap, E, Digest, V>),
}

/// What the partitions of one archive are called, and what is needed to open it.
pub struct Place<C> {
    pub prefix: String,
    pub name: String,
    pub page_cache: CacheRef,
    pub codec: C,
}

// In this order, so that an archive that is being removed is not taken for one that is whole.
const FULL_PARTS: [&str; 5] = ["metadata", "table", "key", "value", "ordinal"];
const WINDOW_PARTS: [&str; 3] = ["window-key", "window-value", "window-metadata"];

impl<C: Clone> Place<C> {
    /// What the names of the partitions begin with.
    pub fn name(&self) -> String {
        format!("{}-{}", self.prefix, self.name)
    }

    fn part(&self, part: &str) -> String {
        format!("{}-{}-{part}", self.prefix, self.name)
    }

    /// Opens an archive that keeps everything.
    pub async fn full<E: Runtime, V: CodecShared<Cfg = C>>(&self, context: E) -> Store<E, V> {
        // Without it the library would take the others for remains and begin anew.
        if !self.has_full(&context).await && exists(&context, &self.part("value")).await {
            Broken::reading(&self.part("metadata"), "its files are missing, and values are there").end();
        }
        let config = immutable::Config {
            metadata_partition: self.part("metadata"),
            freezer_table_partition: self.part("table"),
            freezer_table_initial_size: 65_536,
            freezer_table_resize_frequency: 4,
            freezer_table_resize_chunk_size: 16_384,
            freezer_key_partition: self.part("key"),
            freezer_key_page_cache: self.page_cache.clone(),
            freezer_value_partition: self.part("value"),
            freezer_value_target_size: 256 * 1024 * 1024,
            freezer_value_compression: None,
            ordinal_partition: self.part("ordinal"),
            items_per_section: NZU64!(65_536),
            freezer_key_write_buffer: WRITE_BUFFER,
            freezer_value_write_buffer: WRITE_BUFFER,
            ordinal_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
            codec_config: self.codec.clone(),
        };
        Store::Full(immutable::Archive::init(context, config).await.read_from(&self.name()))
    }

    /// Opens an archive of which so many items are removed together.
    pub async fn window<E: Runtime, V: CodecShared<Cfg = C>>(
        &self,
        context: E,
        section: NonZeroU64,
    ) -> Store<E, V> {
        let config = prunable::Config {
            translator: EightCap,
            metadata_partition: self.part("window-metadata"),
            key_partition: self.part("window-key"),
            key_page_cache: self.page_cache.clone(),
            value_partition: self.part("window-value"),
            compression: None,
            codec_config: self.codec.clone(),
            items_per_section: section,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
        };
        let archive = prunable::Archive::<_, _, Digest, _>::init(context, config).await;
        Store::Window(archive.read_from(&self.name()))
    }

    pub async fn has_full<E: Runtime>(&self, context: &E) -> bool {
        exists(context, &self.part("metadata")).await
    }

    pub async fn remove_full<E: Runtime>(&self, context: &E) {
        self.remove(context, &FULL_PARTS).await;
    }

    pub async fn remove_window<E: Runtime>(&self, context: &E) {
        self.remove(context, &WINDOW_PARTS).await;
    }

    async fn remove<E: Runtime>(&self, context: &E, parts: &[&str]) {
        for part in parts.iter().map(|part| self.part(part)) {
            if exists(context, &part).await {
                context.remove(&part, None).await.written_to(&part);
            }
        }
    }
}

impl<E: Runtime, V: CodecShared> Store<E, V> {
    pub async fn insert(self, height: u64, digest: Digest, value: &V) -> Result<Self, Error> {
        Ok(match self {
            Self::Full(archive) => Self::Full(archive.put(height, digest, value).await?),
            Self::Window(archive) => Self::Window(archive.put(height, digest, value).await?),
        })
    }

    pub async fn flush(self) -> Result<Self, Error> {
        Ok(match self {
            Self::Full(archive) => Self::Full(archive.sync().await?),
            Self::Window(archive) => Self::Window(archive.sync().await?),
        })
    }

    async fn start_flush(self) -> Result<(Self, Handle<()>), Error> {
        Ok(match self {
            Self::Full(archive) => {
                let (archive, handle) = archive.start_sync().await?;
                (Self::Full(archive), handle)
            }
            Self::Window(archive) => {
                let (archive, handle) = archive.start_sync().await?;
                (Self::Window(archive), handle)
            }
        })
    }

    pub async fn read(&self, id: Identifier<'_, Digest>) -> Result<Option<V>, Error> {
        match self {
            Self::Full(archive) => archive.get(id).await,
            Self::Window(archive) => archive.get(id).await,
        }
    }

    async fn contains(&self, height: Height) -> Result<bool, Error> {
        let id = Identifier::Index(height.get());
        match self {
            Self::Full(archive) => archive.has(id).await,
            Self::Window(archive) => archive.has(id).await,
        }
    }

    /// Removes the sections that are wholly below `min`, where anything is ever removed.
    pub async fn prune(self, min: u64) -> Result<Self, Error> {
        match self {
            Self::Full(archive) => Ok(Self::Full(archive)),
            Self::Window(archive) => Ok(Self::Window(archive.prune(min).await?)),
        }
    }

    /// First and last height of each stretch without a gap, from the one around `from` on.
    pub fn ranges(&self, from: u64) -> Box<dyn Iterator<Item = (u64, u64)> + '_> {
        match self {
            Self::Full(archive) => Box::new(archive.ranges_from(from)),
            Self::Window(archive) => Box::new(archive.ranges_from(from)),
        }
    }

    pub fn last(&self) -> Option<u64> {
        match self {
            Self::Full(archive) => archive.last_index(),
            Self::Window(archive) => archive.last_index(),
        }
    }

    fn missing(&self, start: u64, max: usize) -> Vec<u64> {
        match self {
            Self::Full(archive) => archive.missing_items(start, max),
            Self::Window(archive) => archive.missing_items(start, max),
        }
    }

    fn gap(&self, height: u64) -> (Option<u64>, Option<u64>) {
        match self {
            Self::Full(archive) => archive.next_gap(height),
            Self::Window(archive) => archive.next_gap(height),
        }
    }
}

impl<E: Runtime> Certificates for Store<E, Finalization> {
    type BlockDigest = Digest;
    type Commitment = Digest;
    type Scheme = Scheme;
    type Error = Error;

    async fn put(self, height: Height, digest: Digest, value: &Finalization) -> Result<Self, Error> {
        self.insert(height.get(), digest, value).await
    }

    async fn sync(self) -> Result<Self, Error> {
        self.flush().await
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), Error> {
        self.start_flush().await
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Finalization>, Error> {
        self.read(id).await
    }

    async fn has(&self, height: Height) -> Result<bool, Error> {
        self.contains(height).await
    }

    async fn prune(self, min: Height) -> Result<Self, Error> {
        self.prune(min.get()).await
    }

    fn last_index(&self) -> Option<Height> {
        self.last().map(Height::new)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        self.ranges(from.get()).map(|(start, end)| (Height::new(start), Height::new(end)))
    }
}

impl<E: Runtime> Blocks for Store<E, Arc<Block>> {
    type Block = Arc<Block>;
    type Error = Error;

    async fn put(self, digest: Digest, block: &Arc<Block>) -> Result<Self, Error> {
        debug_assert_eq!(digest, block.digest());
        self.insert(block.header().height, digest, block).await
    }

    async fn sync(self) -> Result<Self, Error> {
        self.flush().await
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), Error> {
        self.start_flush().await
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Arc<Block>>, Error> {
        self.read(id).await
    }

    async fn prune(self, min: Height) -> Result<Self, Error> {
        self.prune(min.get()).await
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        self.missing(start.get(), max).into_iter().map(Height::new).collect()
    }

    fn next_gap(&self, height: Height) -> (Option<Height>, Option<Height>) {
        let (end, start) = self.gap(height.get());
        (end.map(Height::new), start.map(Height::new))
    }

    fn last_index(&self) -> Option<Height> {
        self.last().map(Height::new)
    }
}

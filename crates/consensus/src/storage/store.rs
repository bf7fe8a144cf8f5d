//! One archive of either kind, as marshal wants it.

use crate::aliases::Runtime;
use baton_types::{Block, Digest, Finalization, Height, Scheme};
use commonware_codec::CodecShared;
use commonware_consensus::marshal::store::{Blocks, Certificates};
use commonware_cryptography::Digestible as _;
use commonware_runtime::Handle;
use commonware_storage::{
    archive::{Archive as _, Error, Identifier, immutable, prunable},
    translator::EightCap,
};
use std::sync::Arc;

/// Values by height and by digest.
pub enum Store<E: Runtime, V: CodecShared> {
    Full(immutable::Archive<E, Digest, V>),
    Window(prunable::Archive<EightCap, E, Digest, V>),
}

impl<E: Runtime, V: CodecShared> Store<E, V> {
    pub(super) async fn insert(self, height: u64, digest: Digest, value: &V) -> Result<Self, Error> {
        Ok(match self {
            Self::Full(archive) => Self::Full(archive.put(height, digest, value).await?),
            Self::Window(archive) => Self::Window(archive.put(height, digest, value).await?),
        })
    }

    pub(super) async fn flush(self) -> Result<Self, Error> {
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

    pub(super) async fn read(&self, id: Identifier<'_, Digest>) -> Result<Option<V>, Error> {
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

    /// Removes the sections that are wholly below `min`.
    async fn cut(self, min: Height) -> Result<Self, Error> {
        match self {
            Self::Full(archive) => Ok(Self::Full(archive)),
            Self::Window(archive) => Ok(Self::Window(archive.prune(min.get()).await?)),
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
        self.cut(min).await
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
        self.cut(min).await
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

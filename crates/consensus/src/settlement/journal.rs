//! Batches on disk: each before it is signed, and its certificate. In sections by index, so that old ones can
//! go whole, once the line has forgotten them.

use crate::{
    aliases::Runtime,
    broken::OrEnd as _,
    storage::{REPLAY_BUFFER, WRITE_BUFFER},
};
use baton_types::{Digest, SeedPoint, settlement::Batch};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize as _, Read, ReadExt as _, Write};
use commonware_runtime::{ReadOptions, buffer::paged::CacheRef};
use commonware_storage::journal::segmented::variable::{Config, Journal as Segments};

/// Indices per section.
const SECTION: u64 = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The one batch that this node signs at its place.
    Signed(Batch),
    Certified {
        index: u64,
        previous_head: Digest,
        signature: SeedPoint,
    },
}

impl Record {
    const fn index(&self) -> u64 {
        match self {
            Self::Signed(batch) => batch.index,
            Self::Certified { index, .. } => *index,
        }
    }
}

impl Write for Record {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Signed(batch) => {
                0u8.write(buf);
                batch.write(buf);
            }
            Self::Certified { index, previous_head, signature } => {
                1u8.write(buf);
                index.write(buf);
                previous_head.write(buf);
                signature.write(buf);
            }
        }
    }
}

impl EncodeSize for Record {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Signed(_) => Batch::SIZE,
            Self::Certified { .. } => 8 + Digest::SIZE + SeedPoint::SIZE,
        }
    }
}

impl Read for Record {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(match u8::read(buf)? {
            0 => Self::Signed(Batch::read(buf)?),
            1 => Self::Certified {
                index: u64::read(buf)?,
                previous_head: Digest::read(buf)?,
                signature: SeedPoint::read(buf)?,
            },
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

/// Of one rollup.
pub struct Journal<E: Runtime> {
    partition: String,
    segments: Option<Segments<E, Record>>,
}

impl<E: Runtime> Journal<E> {
    /// Opens the journal and hands over what is in it, oldest first. A torn tail is cut off by the library:
    /// nothing of it was signed.
    pub async fn open(
        context: E,
        partition: String,
        page_cache: CacheRef,
        mut each: impl FnMut(Record),
    ) -> Self {
        let config = Config {
            partition: partition.clone(),
            compression: None,
            codec_config: (),
            page_cache,
            write_buffer: WRITE_BUFFER,
        };
        let segments = Segments::init(context, config).await.read_from(&partition);
        let mut replay =
            segments.replay(0, 0, REPLAY_BUFFER, ReadOptions::default()).await.read_from(&partition);
        while let Some(record) = replay.next().await {
            let (_, _, _, record) = record.read_from(&partition);
            each(record);
        }
        let segments = replay.finish().expect("the replay is at its end");
        Self { partition, segments: Some(segments) }
    }

    /// Returns when the record is durable; false where its section is gone. What is below `keep_from` may go.
    pub async fn append(&mut self, record: Record, keep_from: u64) -> bool {
        let segments = self.segments.take().expect("a write that fails stops the process");
        let section = record.index() / SECTION;
        if segments.pruned(section) {
            self.segments = Some(segments);
            return false;
        }
        let (segments, _, _) = segments.append(section, &record).await.written_to(&self.partition);
        let segments = segments.sync(section).await.written_to(&self.partition);
        let oldest = keep_from.min(record.index()) / SECTION;
        let (segments, _) = segments.prune(oldest).await.written_to(&self.partition);
        self.segments = Some(segments);
        true
    }
}

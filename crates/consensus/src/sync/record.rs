//! Where this node joined, on disk.

use crate::{aliases::Runtime, broken::OrEnd as _};
use baton_types::{Digest, Directory, Scheme, block::payload_cfg};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize as _, Read, ReadExt as _, Write};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_glue::dkg::state_sync::StateSync;
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::{fixed_bytes, sequence::FixedBytes};

const KEY: FixedBytes<1> = fixed_bytes!("00");

/// A certified block that this node's chain begins at.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub height: u64,
    /// Its certificate, and who holds the key in its epoch.
    pub sync: StateSync<Scheme, Digest, MinSig, Directory>,
}

impl Write for Joined {
    fn write(&self, buf: &mut impl BufMut) {
        self.height.write(buf);
        self.sync.write(buf);
    }
}

impl EncodeSize for Joined {
    fn encode_size(&self) -> usize {
        u64::SIZE + self.sync.encode_size()
    }
}

impl Read for Joined {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { height: u64::read(buf)?, sync: StateSync::read_cfg(buf, &(payload_cfg(), ()))? })
    }
}

pub struct Record<E: Runtime> {
    partition: String,
    store: Option<Metadata<E, FixedBytes<1>, Joined>>,
}

impl<E: Runtime> Record<E> {
    pub async fn open(context: E, prefix: &str) -> Self {
        let partition = format!("{prefix}-joined");
        let config = metadata::Config { partition: partition.clone(), codec_config: () };
        let store = Some(Metadata::init(context, config).await.read_from(&partition));
        Self { partition, store }
    }

    pub fn get(&self) -> Option<Joined> {
        self.store.as_ref().and_then(|store| store.get(&KEY)).cloned()
    }

    pub async fn put(&mut self, joined: Joined) {
        if let Some(store) = self.store.take() {
            self.store = Some(store.put_sync(KEY, joined).await.written_to(&self.partition));
        }
    }
}

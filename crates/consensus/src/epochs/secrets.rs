//! Shares, private dealings and the root of what a dealer draws, on disk and tied to the vote journal.
//!
//! A share without the record of what was signed with it can sign a second, conflicting vote. So a
//! random marker is written both beside the secrets and beside the vote journal. At start both must
//! be there and equal; a node that lost one of the two forgets its shares, follows without voting,
//! and gets fresh ones from the next reshare.
//!
//! The latest share stays until there is a later one. A node whose blocks were lost reads all ceremonies
//! again as one that was not there, and would take itself for a member without a share. It votes with the
//! kept one from the epoch on that it was for, if the key is still dealt that way (`SchemeRegistrar`).
//!
//! A dealer's randomness in an epoch follows from a root that is as old as its shares. A node restored from a
//! copy therefore deals again what it has dealt: acknowledgements of another dealing would be invalid for it,
//! and it would take honest members for liars.

use crate::{aliases::Runtime, broken::OrEnd as _};
use baton_types::Epoch;
use commonware_codec::{DecodeExt as _, Encode as _, RangeCfg};
use commonware_cryptography::{
    PublicKey,
    bls12381::{dkg::feldman_desmedt::DealerPrivMsg, primitives::group::Share},
    transcript::{Summary, Transcript, Version},
};
use commonware_glue::dkg::SecretStore;
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::{sequence::FixedBytes, sync::Mutex};
use std::sync::Arc;
use tracing::error;

type Key = FixedBytes<41>;
type Store<E> = Metadata<E, Key, Vec<u8>>;

/// How far from the epoch of the last block that was processed there may be a vote journal: the engine is
/// ahead of it by one at most, and journals two epochs old are removed.
const EPOCHS_VOTED: u64 = 2;
/// Largest secret: a share is 36 bytes, a dealing a little more.
const SECRET_BYTES_MAX: usize = 1_024;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Marker = 0,
    Share = 1,
    Root = 2,
    Dealing = 3,
}

fn key(kind: Kind, epoch: Epoch, dealer: &[u8]) -> Key {
    let mut key = [0; 41];
    key[0] = kind as u8;
    key[1..9].copy_from_slice(&epoch.get().to_be_bytes());
    key[9..9 + dealer.len()].copy_from_slice(dealer);
    Key::new(key)
}

async fn open_store<E: Runtime>(context: E, partition: &str) -> Store<E> {
    let codec_config = (RangeCfg::new(0..=SECRET_BYTES_MAX), ());
    let config = metadata::Config { partition: partition.to_owned(), codec_config };
    Metadata::init(context, config).await.read_from(partition)
}

/// Removes vote journals: a voter without a share does not take votes of its own for its own.
async fn forget_votes<E: Runtime>(context: &E, prefix: &str, epoch: Epoch) {
    for epoch in epoch.get().saturating_sub(EPOCHS_VOTED)..=epoch.get() + EPOCHS_VOTED {
        // There is one where this node has voted.
        let _ = context.remove(&format!("{prefix}-orchestrator_consensus_{epoch}"), None).await;
    }
}

fn drawn(from: &[u8], label: &[u8]) -> Summary {
    let mut transcript = Transcript::new(b"BATON_DEALER", Version::V1);
    transcript.commit(from).commit(label);
    transcript.summarize()
}

/// The latest share, and the epoch it was for.
pub type Latest = Arc<Mutex<Option<(Epoch, Share)>>>;

fn epoch_of(key: &Key) -> Epoch {
    let mut epoch = [0; 8];
    epoch.copy_from_slice(&key.as_ref()[1..9]);
    Epoch::new(u64::from_be_bytes(epoch))
}

pub struct Secrets<E: Runtime> {
    partition: String,
    store: Option<Store<E>>,
    latest: Latest,
}

impl<E: Runtime> Secrets<E> {
    /// Opens the store of a node that stands in `epoch`. `first_share` is imported only into a data directory
    /// that never signed.
    pub async fn open(context: E, prefix: &str, first_share: Option<Share>, epoch: Epoch) -> Self {
        let (partition, votes_marker) =
            (format!("{prefix}-secrets"), format!("{prefix}-orchestrator-marker"));
        let mut store = open_store(context.child("secrets"), &partition).await;
        let votes = open_store(context.child("votes_marker"), &votes_marker).await;
        let marker = key(Kind::Marker, Epoch::zero(), &[]);
        let mut fresh = [0u8; 32];
        context.child("marker_rng").fill_bytes(&mut fresh);
        let fresh = fresh.to_vec();
        let root = match &first_share {
            Some(share) => drawn(b"root", &share.encode()),
            None => drawn(b"root", &fresh),
        };
        match (store.get(&marker), votes.get(&marker)) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            // Also after a crash between the two writes below. The vote journal is whole, so a share is safe.
            (None, known) if known.is_none() || first_share.is_some() => {
                let value = known.cloned().unwrap_or(fresh);
                drop(votes.put_sync(marker.clone(), value.clone()).await.written_to(&votes_marker));
                if let Some(share) = first_share {
                    store.put(key(Kind::Share, Epoch::zero(), &[]), share.encode().to_vec());
                }
                store = store.put_sync(marker, value).await.written_to(&partition);
            }
            (ours, theirs) => {
                error!(
                    secrets = ours.is_some(),
                    vote_journal = theirs.is_some(),
                    "secrets and vote journal do not belong together: forgetting the shares; this node \
                     follows without voting until a reshare gives it a fresh one"
                );
                drop(votes.put_sync(marker.clone(), fresh.clone()).await.written_to(&votes_marker));
                store.clear();
                store = store.put_sync(marker, fresh).await.written_to(&partition);
            }
        }
        let mut secrets = Self { partition, store: Some(store), latest: Latest::default() };
        let root_key = key(Kind::Root, Epoch::zero(), &[]);
        if secrets.get::<Summary>(&root_key).is_none() {
            secrets.put(root_key, root.encode().to_vec()).await;
        }
        match secrets.latest_epoch() {
            None => forget_votes(&context, prefix, epoch).await,
            Some(epoch) => {
                let share = secrets.get_share(epoch).await;
                *secrets.latest.lock() = share.map(|share| (epoch, share));
            }
        }
        secrets
    }

    /// The latest share, also of those that are still to come.
    pub fn latest(&self) -> Latest {
        self.latest.clone()
    }

    fn latest_epoch(&self) -> Option<Epoch> {
        let keys = self.store.as_ref()?.keys();
        keys.filter(|key| key.as_ref()[0] == Kind::Share as u8).map(epoch_of).max()
    }

    /// Whether `share` is the one held for epoch 0.
    pub fn imported(&self, share: &Share) -> bool {
        self.get::<Share>(&key(Kind::Share, Epoch::zero(), &[])).as_ref() == Some(share)
    }

    async fn put(&mut self, key: Key, value: Vec<u8>) {
        let store = self.store.take().expect("a write that fails stops the process");
        self.store = Some(store.put_sync(key, value).await.written_to(&self.partition));
    }

    fn get<T: commonware_codec::Read<Cfg = ()>>(&self, key: &Key) -> Option<T> {
        let store = self.store.as_ref().expect("a write that fails stops the process");
        let bytes = store.get(key)?;
        T::decode(commonware_codec::Copying(bytes)).ok()
    }
}

impl<E: Runtime> SecretStore for Secrets<E> {
    async fn put_share(&mut self, epoch: Epoch, share: Share) {
        self.put(key(Kind::Share, epoch, &[]), share.encode().to_vec()).await;
        let mut latest = self.latest.lock();
        if latest.as_ref().is_none_or(|(known, _)| *known <= epoch) {
            *latest = Some((epoch, share));
        }
    }

    async fn get_share(&mut self, epoch: Epoch) -> Option<Share> {
        self.get(&key(Kind::Share, epoch, &[]))
    }

    /// It follows from the root.
    async fn put_seed(&mut self, _: Epoch, _: Summary) {}

    async fn get_seed(&mut self, epoch: Epoch) -> Option<Summary> {
        let root: Summary = self.get(&key(Kind::Root, Epoch::zero(), &[]))?;
        Some(drawn(&root.encode(), &epoch.encode()))
    }

    async fn put_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: P, private: DealerPrivMsg) {
        self.put(key(Kind::Dealing, epoch, &dealer.encode()), private.encode().to_vec()).await;
    }

    async fn get_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: &P) -> Option<DealerPrivMsg> {
        self.get(&key(Kind::Dealing, epoch, &dealer.encode()))
    }

    async fn prune(&mut self, min: Epoch) {
        let latest = self.latest_epoch().map(|epoch| self::key(Kind::Share, epoch, &[]));
        let mut store = self.store.take().expect("a write that fails stops the process");
        store.retain(|key, _| {
            let whole_life = [Kind::Marker as u8, Kind::Root as u8].contains(&key.as_ref()[0]);
            whole_life || epoch_of(key) >= min || Some(key) == latest.as_ref()
        });
        self.store = Some(store.sync().await.written_to(&self.partition));
    }
}

#[cfg(test)]
mod tests;

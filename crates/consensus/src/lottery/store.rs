//! Proofs on disk, for three epochs: a node that signed that it holds one can be asked for it, also after it
//! was started again.
//!
//! ```text
//! partition NAME-proofs
//!   epoch (8) ‖ member (1) ‖ root (32) ‖ proof hash (32)     context beacon (32) ‖ proof
//!   epoch (8)                                                this node's own commitment and who holds it
//! ```
//! A file says by itself what it should contain, and is verified as if it came from a peer whenever it is
//! read: at start, and before it is handed out. One that does not hold, or was cut short by a crash, is
//! removed with a warning; another member's is fetched again, the own one made anew. Of one member and
//! epoch there are [`PROOFS_MAX`] at most: a member whose disk was lost makes a second proof, of the same root.

use super::Lottery;
use crate::{
    aliases::Runtime,
    broken::{Broken, OrEnd as _},
};
use baton_types::{
    Digest,
    lottery::{Commitment, Held},
};
use baton_vrf::PROOF_BYTES_MAX;
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _, FixedSize as _};
use commonware_cryptography::sha256;
use commonware_runtime::{Blob as _, Error, ReadOptions, WriteOptions};
use std::collections::BTreeMap;
use tracing::warn;

/// Of one member and epoch.
pub const PROOFS_MAX: usize = 2;
const BEACON_BYTES: usize = 32;
const FILE_BYTES_MAX: usize = BEACON_BYTES + PROOF_BYTES_MAX;

/// What a file is called after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Proof { epoch: u64, member: u8, commitment: Commitment },
    Holders { epoch: u64 },
}

impl Name {
    const PROOF_BYTES: usize = 8 + 1 + Commitment::SIZE;

    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Proof { epoch, member, commitment } => {
                [&epoch.to_be_bytes()[..], &[member], &commitment.encode()].concat()
            }
            Self::Holders { epoch } => epoch.to_be_bytes().to_vec(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<8>()?;
        let epoch = u64::from_be_bytes(*epoch);
        match rest {
            [] => Some(Self::Holders { epoch }),
            [member, commitment @ ..] if bytes.len() == Self::PROOF_BYTES => {
                let commitment = Commitment::decode(commonware_codec::Copying(commitment)).ok()?;
                Some(Self::Proof { epoch, member: *member, commitment })
            }
            _ => None,
        }
    }

    const fn epoch(self) -> u64 {
        match self {
            Self::Proof { epoch, .. } | Self::Holders { epoch } => epoch,
        }
    }
}

/// What a name says, as a name; for whoever throws bytes at it.
pub fn name_of(name: &[u8]) -> Option<Vec<u8>> {
    Name::from_bytes(name).map(Name::to_bytes)
}

pub struct Proofs<E: Runtime> {
    context: E,
    lottery: Lottery,
    partition: String,
    kept: BTreeMap<(u64, u8), Vec<Commitment>>,
    /// Epochs with a file of holders.
    holders: Vec<u64>,
    /// Files that were removed because they did not hold.
    pub lost: u64,
}

impl<E: Runtime> Proofs<E> {
    /// Reads and verifies what is there.
    pub async fn open(context: E, prefix: &str, lottery: Lottery) -> Self {
        let partition = format!("{prefix}-proofs");
        let mut names = match context.scan(&partition).await {
            Ok(names) => names,
            Err(Error::PartitionMissing(_)) => Vec::new(),
            Err(error) => Broken::reading(&partition, error).end(),
        };
        names.sort();
        let mut proofs =
            Self { context, lottery, partition, kept: BTreeMap::new(), holders: Vec::new(), lost: 0 };
        for bytes in names {
            match Name::from_bytes(&bytes) {
                Some(name @ Name::Proof { epoch, member, commitment }) => {
                    if proofs.load(name).await.is_some() {
                        proofs.kept.entry((epoch, member)).or_default().push(commitment);
                    }
                }
                Some(Name::Holders { epoch }) => proofs.holders.push(epoch),
                None => proofs.drop_file(&bytes, "its name says nothing").await,
            }
        }
        proofs
    }

    /// What this node holds of a member.
    pub fn commitments(&self, epoch: u64, member: u8) -> &[Commitment] {
        self.kept.get(&(epoch, member)).map_or(&[], Vec::as_slice)
    }

    /// The commitment of a proof with this hash, if it is here; an empty hash stands for any.
    pub fn find(&self, epoch: u64, member: u8, hash: &Digest) -> Option<Commitment> {
        let mut kept = self.commitments(epoch, member).iter();
        kept.find(|kept| kept.proof == *hash || *hash == baton_types::merkle::EMPTY).copied()
    }

    /// Makes a verified proof durable. False when there are too many of its member already.
    pub async fn put(
        &mut self,
        epoch: u64,
        member: u8,
        commitment: Commitment,
        beacon: &[u8; 32],
        proof: &[u8],
    ) -> bool {
        let kept = self.commitments(epoch, member);
        if kept.contains(&commitment) {
            return true;
        }
        if kept.len() >= PROOFS_MAX {
            return false;
        }
        let name = Name::Proof { epoch, member, commitment };
        self.write(name, [&beacon[..], proof].concat()).await;
        self.kept.entry((epoch, member)).or_default().push(commitment);
        true
    }

    /// A proof, verified again.
    pub async fn read(&mut self, epoch: u64, member: u8, commitment: Commitment) -> Option<Bytes> {
        if !self.commitments(epoch, member).contains(&commitment) {
            return None;
        }
        let proof = self.load(Name::Proof { epoch, member, commitment }).await;
        if proof.is_none()
            && let Some(kept) = self.kept.get_mut(&(epoch, member))
        {
            kept.retain(|other| *other != commitment);
        }
        proof
    }

    /// Who holds this node's own proof. Their signatures are for the caller to verify.
    pub async fn holders(&mut self, epoch: u64) -> Option<Held> {
        if !self.holders.contains(&epoch) {
            return None;
        }
        let name = Name::Holders { epoch };
        let held = self.bytes(name).await.and_then(|bytes| Held::decode(bytes).map_err(|e| e.to_string()));
        match held {
            Ok(held) => Some(held),
            Err(reason) => {
                self.drop_file(&name.to_bytes(), &reason).await;
                self.holders.retain(|other| *other != epoch);
                None
            }
        }
    }

    pub async fn put_holders(&mut self, epoch: u64, held: &Held) {
        self.write(Name::Holders { epoch }, held.encode().to_vec()).await;
        if !self.holders.contains(&epoch) {
            self.holders.push(epoch);
        }
    }

    /// Forgets epochs before `epoch`.
    pub async fn retain(&mut self, epoch: u64) {
        let old: Vec<_> = self.kept.keys().copied().filter(|(kept, _)| *kept < epoch).collect();
        for key in old {
            for commitment in self.kept.remove(&key).unwrap_or_default() {
                self.remove(&Name::Proof { epoch: key.0, member: key.1, commitment }.to_bytes()).await;
            }
        }
        let (old, kept): (Vec<u64>, Vec<u64>) = self.holders.iter().copied().partition(|kept| *kept < epoch);
        self.holders = kept;
        for epoch in old {
            self.remove(&Name::Holders { epoch }.to_bytes()).await;
        }
    }

    /// The proof in a file, if it is what its name says.
    async fn load(&mut self, name: Name) -> Option<Bytes> {
        let Name::Proof { epoch, member, commitment } = name else { return None };
        let proof = self.bytes(name).await.and_then(|bytes| {
            let (beacon, proof) =
                bytes.split_first_chunk::<BEACON_BYTES>().ok_or_else(|| "it was cut short".to_owned())?;
            let context = self.lottery.context(epoch, &sha256::Digest(*beacon));
            let found =
                self.lottery.proven(member, &context, proof).map_err(|refused| refused.to_string())?;
            if found != commitment {
                return Err("it is another proof than its name says".to_owned());
            }
            Ok(bytes.slice(BEACON_BYTES..))
        });
        match proof {
            Ok(proof) => Some(proof),
            Err(reason) => {
                self.drop_file(&name.to_bytes(), &reason).await;
                None
            }
        }
    }

    async fn bytes(&self, name: Name) -> Result<Bytes, String> {
        let read = async {
            let (blob, len) = self.context.open(&self.partition, &name.to_bytes()).await?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > FILE_BYTES_MAX {
                return Ok(None);
            }
            Ok::<_, Error>(Some(blob.read_at(0, len, ReadOptions::default()).await?.coalesce()))
        };
        match read.await {
            Ok(Some(bytes)) => Ok(Bytes::copy_from_slice(bytes.as_ref())),
            Ok(None) => Err("it is too long".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes a file anew. What a crash leaves of it does not verify.
    async fn write(&self, name: Name, bytes: Vec<u8>) {
        let write = async {
            let (blob, len) = self.context.open(&self.partition, &name.to_bytes()).await?;
            if len > bytes.len() as u64 {
                blob.resize(bytes.len() as u64).await?;
            }
            blob.write_at(0, bytes, WriteOptions::default()).await?;
            blob.sync().await
        };
        write.await.written_to(&self.partition);
    }

    async fn drop_file(&mut self, name: &[u8], reason: &str) {
        let (epoch, member) = match Name::from_bytes(name) {
            Some(Name::Proof { epoch, member, .. }) => (Some(epoch), Some(member)),
            other => (other.map(Name::epoch), None),
        };
        warn!(
            ?epoch,
            ?member,
            reason,
            "removing a lottery proof that cannot be read; it is fetched or made again"
        );
        self.lost += 1;
        self.remove(name).await;
    }

    async fn remove(&self, name: &[u8]) {
        match self.context.remove(&self.partition, Some(name)).await {
            Ok(()) | Err(Error::BlobMissing(..) | Error::PartitionMissing(_)) => {}
            failed => failed.written_to(&self.partition),
        }
    }
}

#[cfg(test)]
mod tests;

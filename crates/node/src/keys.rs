//! Key files of a node, and the dealing of keys for devnets.
//!
//! ```text
//! keys/identity.key   ed25519 seed, 0x + 64 digits: p2p, block authorship, receipts
//! keys/share.key      share of the group key, 0x…; gone once the node has imported it
//! keys/vrf.key        secret of the node's verifiable random function, 0x + 64 digits (zk-lottery)
//! ```
//! A share must not outlive its import: a node whose data directory was lost has no vote journal
//! any more, and signing again with the old share could contradict its own votes. Files that group
//! or others may read are refused. Secrets never reach a log or an error.

use baton_types::{
    Genesis, PrivateKey, PublicKey, SeedPoint, Sharing,
    genesis::{
        Batches, Election, KeyGeneration, KeyOrigin, Member, NetworkName, Reshare, Rollup, Settlement, Timing,
    },
    hex,
    lottery::{TURNS_MAX, TURNS_PER_BLOCK},
};
use baton_vrf::SecretKey;
use commonware_codec::Encode as _;
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt,
        primitives::{group::Share, ops::threshold, sharing::Mode, variant::MinSig},
    },
};
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, ordered::Set};
use rand::{CryptoRng, SeedableRng as _, rngs::StdRng};
use std::{
    fmt, fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use thiserror::Error;

const IDENTITY: &str = "identity.key";
const SHARE: &str = "share.key";
const VRF: &str = "vrf.key";

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("cannot {action} {path}: {error}")]
    Io { action: &'static str, path: String, error: io::Error },
    #[error("{path} has mode {mode:o}: others may read it; run `chmod 600 {path}`")]
    Exposed { path: String, mode: u32 },
    #[error("{path}: {reason}")]
    Malformed { path: String, reason: &'static str },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.display().to_string();
    move |error| KeyError::Io { action, path, error }
}

/// Text of a file that only its owner may read.
pub fn read_private(path: &Path) -> Result<String, KeyError> {
    let mut file = fs::File::open(path).map_err(io_error("open", path))?;
    let mode = file.metadata().map_err(io_error("inspect", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.display().to_string(), mode });
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text).map_err(io_error("read", path))?;
    Ok(text)
}

/// Writes a new file that only its owner may read; never replaces one.
pub fn write_private(path: &Path, text: &str) -> Result<(), KeyError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", path))
}

/// The node's identity.
pub fn load_identity(keys_dir: &Path) -> Result<PrivateKey, KeyError> {
    let path = keys_dir.join(IDENTITY);
    let text = read_private(&path)?;
    // The decoder's own error would quote the file.
    hex::decode_value(text.trim(), &()).map_err(|_| KeyError::Malformed {
        path: path.display().to_string(),
        reason: "expected an ed25519 seed: 0x and 64 hex digits",
    })
}

pub fn write_identity(keys_dir: &Path, key: &PrivateKey) -> Result<(), KeyError> {
    write_private(&keys_dir.join(IDENTITY), &format!("{}\n", hex::encode(&key.encode())))
}

pub fn write_share(keys_dir: &Path, share: &Share) -> Result<(), KeyError> {
    write_private(&keys_dir.join(SHARE), &format!("{}\n", hex::encode(&share.encode())))
}

pub fn write_vrf(keys_dir: &Path, key: &SecretKey) -> Result<(), KeyError> {
    write_private(&keys_dir.join(VRF), &format!("{}\n", hex::encode(&*key.to_bytes())))
}

/// The node's key for the zero-knowledge lottery, if there is one.
pub fn load_vrf(keys_dir: &Path) -> Result<Option<SecretKey>, KeyError> {
    let path = keys_dir.join(VRF);
    let text = match read_private(&path) {
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let key = hex::decode_array::<32>(text.trim()).ok().and_then(|bytes| SecretKey::from_bytes(&bytes).ok());
    key.map(Some).ok_or_else(|| KeyError::Malformed {
        path: path.display().to_string(),
        reason: "expected a VRF secret key: 0x and 64 hex digits, as `baton vrf keygen` writes it",
    })
}

/// A share waiting to be imported.
#[must_use = "import the share, then call `imported`"]
pub struct TakenShare {
    pub share: Share,
    path: PathBuf,
}

impl fmt::Debug for TakenShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenShare").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The share in the keys directory, if one waits there. It stays until [`TakenShare::imported`].
pub fn take_share(keys_dir: &Path) -> Result<Option<TakenShare>, KeyError> {
    let path = keys_dir.join(SHARE);
    let text = match read_private(&path) {
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let share = hex::decode_value(text.trim(), &()).map_err(|_| KeyError::Malformed {
        path: path.display().to_string(),
        reason: "expected a share of the group key in hex, as a ceremony or a devnet writes it",
    })?;
    Ok(Some(TakenShare { share, path }))
}

impl TakenShare {
    /// Deletes the file. Call it once the share is safely on disk in the data directory.
    pub fn imported(self) -> Result<(), KeyError> {
        fs::remove_file(&self.path).map_err(io_error("delete", &self.path))
    }
}

/// All secrets of one member, as a dealer made them.
#[derive(Clone)]
pub struct MemberKeys {
    pub identity: PrivateKey,
    pub share: Share,
    pub vrf: SecretKey,
}

impl fmt::Debug for MemberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberKeys({})", hex::encode_value(&self.identity.public_key()))
    }
}

impl MemberKeys {
    pub fn write(&self, keys_dir: &Path) -> Result<(), KeyError> {
        write_identity(keys_dir, &self.identity)?;
        write_share(keys_dir, &self.share)?;
        write_vrf(keys_dir, &self.vrf)
    }
}

/// Deals shares of a fresh group key. Whoever runs this knows the whole key.
///
/// `members` stand in ascending order of identity, once each.
pub fn deal(members: &[PrivateKey], rng: &mut impl CryptoRng) -> (Sharing, Vec<MemberKeys>) {
    let identities: Vec<PublicKey> = members.iter().map(PrivateKey::public_key).collect();
    assert!(identities.is_sorted_by(|a, b| a < b), "members stand in ascending order of identity");
    let players = Set::from_iter_dedup(identities.iter().cloned());
    let (sharing, shares) =
        feldman_desmedt::deal::<MinSig, _, N3f1>(&mut *rng, Mode::NonZeroCounter, players)
            .expect("at least one member, each once");
    let keys: Vec<_> = members
        .iter()
        .zip(&identities)
        .map(|(identity, public)| MemberKeys {
            identity: identity.clone(),
            share: shares.get_value(public).expect("every player was dealt a share").clone(),
            vrf: SecretKey::random(rng),
        })
        .collect();
    (sharing, keys)
}

/// The group's signature by dealt shares; none when they are not of this sharing, or too few.
pub fn sign_as_group(
    sharing: &Sharing,
    keys: &[MemberKeys],
    namespace: &[u8],
    message: &[u8],
) -> Option<SeedPoint> {
    let sharing = sharing.public();
    let required = usize::try_from(sharing.required()).ok()?;
    let sign = |keys: &MemberKeys| threshold::sign_message::<MinSig>(&keys.share, namespace, message);
    let partials: Vec<_> = keys.iter().take(required).map(sign).collect();
    threshold::recover::<MinSig, _>(sharing, &partials, &Sequential).ok()
}

/// Fresh identities in ascending order of their public keys.
pub fn identities(count: usize, rng: &mut impl CryptoRng) -> Vec<PrivateKey> {
    let mut keys: Vec<PrivateKey> = (0..count)
        .map(|_| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            hex::from_bytes(&seed, &()).expect("any 32 bytes are a seed")
        })
        .collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

/// What a devnet may choose.
#[derive(Clone, Debug)]
pub struct Devnet {
    /// Addresses of the members, by index.
    pub p2p: Vec<SocketAddr>,
    /// Makes all keys predictable.
    pub seed: Option<u64>,
    pub rollups: Vec<Rollup>,
    pub election: Election,
    pub epoch_blocks: u64,
    pub timing: Timing,
    pub l1: Option<Settlement>,
    /// Without L1.
    pub batches: Option<Batches>,
}

impl Devnet {
    pub const NETWORK_ID: u64 = 2211;
    pub const EPOCH_BLOCKS: u64 = 2_000;

    /// The usual length of an epoch, or the longest that the election allows so few members.
    pub fn epoch_blocks(election: Election, nodes: u16) -> u64 {
        match election {
            Election::ZkLottery => Self::EPOCH_BLOCKS.min(TURNS_MAX * u64::from(nodes) / TURNS_PER_BLOCK),
            _ => Self::EPOCH_BLOCKS,
        }
    }

    /// `nodes` members on this machine, node i on `base_port + i`.
    pub fn local(nodes: u16, base_port: u16) -> Self {
        let p2p = (0..nodes).map(|i| SocketAddr::from((Ipv4Addr::LOCALHOST, base_port + i))).collect();
        Self {
            p2p,
            seed: None,
            rollups: vec![
                Rollup::opaque(1, "demo", baton_types::genesis::Data::Bytes),
                crate::accounts::devnet_rollup(2),
            ],
            election: Election::ZkLottery,
            epoch_blocks: Self::epoch_blocks(Election::ZkLottery, nodes),
            timing: Timing::default(),
            l1: None,
            batches: None,
        }
    }
}

/// A genesis with dealt keys, and the keys by member index.
pub fn devnet_genesis(devnet: Devnet) -> (Genesis, Vec<MemberKeys>) {
    let mut rng = match devnet.seed {
        Some(seed) => StdRng::seed_from_u64(seed),
        None => StdRng::from_rng(&mut rand::rng()),
    };
    let members = identities(devnet.p2p.len(), &mut rng);
    let (sharing, keys) = deal(&members, &mut rng);
    let members = members
        .iter()
        .zip(&devnet.p2p)
        .map(|(key, p2p)| Member {
            identity: hex::encode_value(&key.public_key()),
            vrf_key: hex::encode(&[0; 32]),
            commitment: None,
            p2p: *p2p,
            weight: 1,
        })
        .collect();
    let mut genesis = Genesis {
        version: 1,
        network: NetworkName { name: "devnet".to_owned(), id: Devnet::NETWORK_ID },
        key_generation: KeyGeneration {
            generation: 0,
            origin: KeyOrigin::Dealer,
            group_key: hex::encode_value(sharing.public().public()),
            sharing: hex::encode_value(&sharing),
        },
        members,
        rollups: devnet.rollups,
        election: devnet.election,
        epoch_blocks: devnet.epoch_blocks,
        reshare: Reshare::OnChange,
        timing: devnet.timing,
        block_bytes_max: 2 * 1024 * 1024,
        validity_blocks_max: 600,
        l1: devnet.l1.map(Box::new),
        batches: devnet.batches,
    };
    commit(&mut genesis, &keys);
    (genesis, keys)
}

/// Puts the members' VRF keys and commitments for epoch 0 into a genesis, where its election needs them.
pub fn commit(genesis: &mut Genesis, keys: &[MemberKeys]) {
    let lottery = genesis.election == Election::ZkLottery;
    for (member, keys) in genesis.members.iter_mut().zip(keys) {
        let key = if lottery { keys.vrf.public_key().to_bytes() } else { [0; 32] };
        (member.vrf_key, member.commitment) = (hex::encode(&key), None);
    }
    if !lottery {
        return;
    }
    // Without its commitments the genesis is what they are made over.
    let bare = genesis.clone();
    for (member, keys) in genesis.members.iter_mut().zip(keys) {
        member.commitment = Some(hex::encode(&baton_consensus::lottery::genesis_root(&bare, &keys.vrf)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(nodes: u16, seed: Option<u64>) -> (Genesis, Vec<MemberKeys>) {
        devnet_genesis(Devnet { seed, ..Devnet::local(nodes, 30_545) })
    }

    #[test]
    fn a_devnet_genesis_stands_for_any_size() {
        for nodes in [1, 2, 3, 4, 7, 16] {
            let (genesis, keys) = dealt(nodes, Some(1));
            genesis.check().unwrap();
            assert_eq!(keys.len(), usize::from(nodes));
            for (member, keys) in genesis.members.iter().zip(&keys) {
                assert_eq!(member.identity().unwrap(), keys.identity.public_key());
                assert_eq!(format!("{keys:?}"), format!("MemberKeys({})", member.identity));
            }
        }
    }

    #[test]
    fn a_seed_repeats_keys_and_none_does_not() {
        assert_eq!(dealt(4, Some(7)).0.digest(), dealt(4, Some(7)).0.digest());
        assert_ne!(dealt(4, Some(7)).0.digest(), dealt(4, Some(8)).0.digest());
        assert_ne!(dealt(4, None).0.digest(), dealt(4, None).0.digest());
    }

    #[test]
    fn files_round_trip_and_a_share_goes_once_imported() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dealt(4, Some(3)).1.remove(2);
        keys.write(dir.path()).unwrap();
        assert!(keys.write(dir.path()).is_err(), "never replaces a key");
        assert_eq!(load_identity(dir.path()).unwrap().public_key(), keys.identity.public_key());
        let taken = take_share(dir.path()).unwrap().unwrap();
        assert_eq!(taken.share, keys.share);
        let secret = hex::encode(&keys.share.encode());
        assert!(!format!("{taken:?}").contains(&secret[6..20]));
        taken.imported().unwrap();
        assert!(take_share(dir.path()).unwrap().is_none());
    }

    #[test]
    fn exposed_and_broken_files_are_refused_without_being_quoted() {
        let dir = tempfile::tempdir().unwrap();
        dealt(1, Some(3)).1.remove(0).write(dir.path()).unwrap();
        for name in [IDENTITY, SHARE] {
            let path = dir.path().join(name);
            let load = || match name {
                IDENTITY => load_identity(dir.path()).unwrap_err().to_string(),
                _ => take_share(dir.path()).unwrap_err().to_string(),
            };
            for mode in [0o640, 0o604] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert!(load().contains(&format!("has mode {mode:o}")), "{name}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            for broken in ["", "0xdeadbeef", "deadbeef", "0xdeadbeefzz"] {
                fs::write(&path, broken).unwrap();
                let error = load();
                assert!(error.contains(name) && !error.contains("dead"), "{error}");
            }
        }
    }
}

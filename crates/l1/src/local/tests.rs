use super::*;
use crate::derive::{Config, Filed, LocalDeriver};
use baton_settlement::{
    Certified, Contents, CutRule, L1Origin, L1View as _, Place, Slice, data_commitment, encode,
};
use baton_types::{
    Digest, Rollup, RollupId, Transaction, domain,
    genesis::Data,
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::bls12381::primitives::{group::Private, ops, variant::MinSig};
use futures::future::BoxFuture;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, fs, path::PathBuf};
use tempfile::TempDir;

const ROLLUP: RollupId = RollupId(1);
const NOW: KeeperConfig = KeeperConfig { poll: Duration::ZERO, patience: Duration::ZERO };

/// A group of one, and the batches that it signed.
struct Group {
    secret: Private,
    key: GroupKey,
    batches: BTreeMap<Place, Arc<Certified>>,
    next: (InboxState, Digest),
}

impl BatchSource for Group {
    fn certified(&self, _: RollupId, place: Place) -> BoxFuture<'_, Option<Arc<Certified>>> {
        Box::pin(async move { self.batches.get(&place).cloned() })
    }
}

fn terms(inbox: u8) -> Terms {
    Terms {
        rollup: ROLLUP,
        l1_chain_id: 0,
        inbox: L1Address([inbox; 20]),
        queue: L1Address([0; 20]),
        key_generation: 0,
        data_kind: DataKind::Directory,
        slot_seconds: 1,
        first_height: 1,
        rule: CutRule { bytes_target: 10_000, age_max_ms: 1_000 },
    }
}

impl Group {
    /// With so many batches of a cluster.
    fn new(inbox: u8, batches: usize) -> Self {
        let (secret, key) = ops::keypair::<_, MinSig>(&mut StdRng::seed_from_u64(7));
        let mut group = Self { secret, key, batches: BTreeMap::new(), next: (InboxState::start(1), EMPTY) };
        (0..batches).for_each(|_| group.sign(inbox));
        group
    }

    fn sign(&mut self, inbox: u8) {
        let (state, head_before) = self.next;
        let height = state.next_height;
        let payload = Bytes::from(format!("of block {height}"));
        let slice = Slice {
            height,
            timestamp_ms: height * 1_000,
            parent: EMPTY,
            parent_seed: [0; 48],
            origin: L1Origin::NONE,
            forced: 0,
            transactions: vec![Transaction { valid_until: height + 100, bundle: None, payload }],
        };
        let contents = Contents {
            rollup: ROLLUP,
            first_height: height,
            last_height: height + 4,
            last_timestamp_ms: (height + 4) * 1_000,
            head_before,
            forced_before: 0,
            result: None,
            slices: vec![slice],
        };
        let data = encode(&contents);
        let batch = terms(inbox).batch(state.place(), &contents, data_commitment(DataKind::Directory, &data));
        let signature = ops::sign_message::<MinSig>(&self.secret, domain::L1_BATCH, &batch.encode());
        let certified = Arc::new(Certified { batch, signature, data });
        self.next = (certified.after(), contents.order_root());
        self.batches.insert(state.place(), certified);
    }

    fn keeper(&self, directory: &TempDir, config: KeeperConfig) -> Keeper {
        Keeper::open(directory.path(), vec![terms(0x61)], self.key, config).unwrap()
    }

    /// What `baton derive` makes of a directory.
    fn derive(&self, directory: &TempDir, state: Option<PathBuf>) -> Result<Vec<Filed>, String> {
        let rollup = Rollup::opaque(1, "demo", Data::Bytes);
        let terms = terms(0x61);
        let config = Config {
            chain: EMPTY,
            group_key: self.key,
            limits: terms.limits(&rollup),
            rollup,
            terms,
            start_block: 0,
            backends: Vec::new(),
            directory: state,
        };
        let mut deriver = LocalDeriver::open(directory.path(), config).map_err(|error| error.to_string())?;
        let mut filed = Vec::new();
        while deriver.advance(|one| filed.push(one.clone())).map_err(|error| error.to_string())? {}
        Ok(filed)
    }
}

fn file(directory: &TempDir, index: u64) -> PathBuf {
    Folder::new(directory.path(), ROLLUP).file(index)
}

fn state(keeper: &Keeper) -> State {
    keeper.status().borrow().rollups[&ROLLUP].state.clone()
}

fn next_index(keeper: &Keeper) -> u64 {
    keeper.board().snapshot().rollups[&ROLLUP].latest.next_index
}

#[tokio::test]
async fn what_is_certified_is_written_and_derived() {
    let (mut group, directory, kept) =
        (Group::new(0x61, 3), TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut keeper = group.keeper(&directory, NOW);
    assert_eq!((next_index(&keeper), state(&keeper)), (0, State::Idle));
    keeper.round(&group).await;
    assert_eq!((next_index(&keeper), state(&keeper)), (3, State::Idle));
    let snapshot = keeper.board().snapshot();
    assert!(snapshot.blocks.is_empty() && snapshot.proposable.is_none(), "nothing of L1");

    let derived = group.derive(&directory, Some(kept.path().to_owned())).unwrap();
    let roots: Vec<_> = derived.iter().map(|filed| filed.contents.order_root()).collect();
    assert_eq!((roots.len(), roots[2]), (3, group.next.1));
    // Both go on where they stopped.
    group.sign(0x61);
    let mut again = group.keeper(&directory, NOW);
    assert_eq!(next_index(&again), 3);
    again.round(&group).await;
    let derived = group.derive(&directory, Some(kept.path().to_owned())).unwrap();
    assert_eq!(derived.iter().map(|filed| filed.certified.batch.index).collect::<Vec<_>>(), [3]);
    let names: Vec<_> = fs::read_dir(directory.path().join("1")).unwrap().collect();
    assert_eq!(names.len(), 4, "nothing but batches: {names:?}");
}

#[tokio::test]
async fn nodes_share_a_directory_or_have_one_each() {
    let (group, shared, own) = (Group::new(0x61, 2), TempDir::new().unwrap(), TempDir::new().unwrap());
    let patient = KeeperConfig { patience: Duration::from_secs(3_600), ..NOW };
    let (mut first, mut second) = (group.keeper(&shared, NOW), group.keeper(&shared, patient));
    second.round(&group).await;
    assert!(matches!(state(&second), State::Waiting(_)) && !file(&shared, 0).exists());
    first.round(&group).await;
    second.round(&group).await;
    assert_eq!((next_index(&second), state(&second)), (2, State::Idle));
    let mut third = group.keeper(&own, NOW);
    third.round(&group).await;
    for index in 0..2 {
        assert_eq!(fs::read(file(&shared, index)).unwrap(), fs::read(file(&own, index)).unwrap());
    }
}

#[tokio::test]
async fn a_missing_file_is_written_again_or_named() {
    let (group, directory) = (Group::new(0x61, 3), TempDir::new().unwrap());
    group.keeper(&directory, NOW).round(&group).await;
    let path = file(&directory, 1);
    fs::remove_file(&path).unwrap();
    let error = group.derive(&directory, None).unwrap_err();
    assert!(error.starts_with(&format!("{}: missing", path.display())), "{error}");

    let mut without = group.keeper(&directory, NOW);
    without.round(&Group::new(0x61, 0)).await;
    assert!(
        matches!(state(&without), State::Degraded(reason) if reason.contains("0000000001.batch: missing"))
    );
    let mut with = group.keeper(&directory, NOW);
    assert_eq!(next_index(&with), 1);
    with.round(&group).await;
    assert_eq!((next_index(&with), group.derive(&directory, None).unwrap().len()), (3, 3));
}

#[tokio::test]
async fn a_changed_byte_is_refused_with_the_name_of_its_file() {
    let (group, directory) = (Group::new(0x61, 2), TempDir::new().unwrap());
    group.keeper(&directory, NOW).round(&group).await;
    let path = file(&directory, 1);
    let sound = fs::read(&path).unwrap();
    let refused = || {
        let error = group.derive(&directory, None).unwrap_err();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        // A node that starts with it says so and goes on without.
        let keeper = group.keeper(&directory, NOW);
        assert!(matches!(state(&keeper), State::Degraded(reason) if reason == error));
        assert!(keeper.board().snapshot().rollups.is_empty());
        error
    };
    // Magic, chain id, index, previous head, order root, signature, length, data.
    for at in [3, 20, 58, 80, 120, 225, 269, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = refused();
        if at == sound.len() - 1 {
            assert!(error.contains("its data are not those"), "{error}");
        }
    }
    fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    assert!(refused().contains("it was cut"));
    // Signed, and in the wrong place.
    fs::copy(file(&directory, 0), &path).unwrap();
    assert!(refused().contains("0000000001.batch: is batch 0"));
}

#[tokio::test]
async fn batches_of_another_cluster_with_the_same_key_are_refused() {
    let (group, other, directory) = (Group::new(0x61, 1), Group::new(0x62, 1), TempDir::new().unwrap());
    let mut theirs = Keeper::open(directory.path(), vec![terms(0x62)], other.key, NOW).unwrap();
    theirs.round(&other).await;
    assert_eq!(next_index(&theirs), 1);
    let error = group.derive(&directory, None).unwrap_err();
    assert!(error.contains("is of another cluster"), "{error}");
    let certified = group.batches.values().next().unwrap();
    let error = Folder::new(directory.path(), ROLLUP).write(certified).unwrap_err();
    assert!(error.to_string().contains("another batch is there"), "{error}");
}

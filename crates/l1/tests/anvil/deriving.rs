//! From L1 and the data alone to what was ordered, and to the same blocks.

use crate::{
    cluster::{EVM, GENESIS, KINDS, OPAQUE, Ordered, RULE, evm_batches, opaque_batches, transfer},
    world::{World, signer, until},
};
use alloy_primitives::{Address, TxKind};
use baton_l1::{
    da::{Backend, Carried, DaError},
    derive::{Config, DeriveError, Derived, Deriver},
    events::Posted,
};
use baton_settlement::{Certified, Contents, ContentsLimits, Place};
use baton_types::{RollupId, genesis::evm::Cadence, merkle::EMPTY, settlement::DataKind};
use futures::future::BoxFuture;
use serde_json::json;
use std::{fs, path::PathBuf, sync::Arc};

/// More than the eight blocks after which anvil calls a block final.
pub const FINAL: u64 = 12;

pub fn config(world: &World, ordered: &Ordered, directory: Option<PathBuf>) -> Config {
    Config {
        chain: GENESIS,
        group_key: world.group_key,
        rollup: ordered.rollup.clone(),
        terms: world.terms(ordered.rollup.id()),
        start_block: world.start_block,
        limits: ContentsLimits { bytes_max: 200_000, transaction_bytes_max: 128 * 1_024 },
        backends: vec![world.backend()],
        directory,
    }
}

pub async fn post(world: &World, rollup: RollupId, contents: &[Contents]) {
    world.source.add(rollup, contents.to_vec());
    let mut poster = world.poster(1, &[rollup], World::config());
    let all = world.next_index(rollup).await + contents.len() as u64;
    // A round may end while a transaction is on its way.
    until("all are posted", async || {
        poster.round().await;
        world.next_index(rollup).await == all
    })
    .await;
    world.mine(FINAL).await;
}

pub async fn all(deriver: &mut Deriver) -> Result<Vec<Derived>, DeriveError> {
    let mut derived = Vec::new();
    while deriver.advance(|batch| derived.push(batch.clone())).await? {}
    Ok(derived)
}

#[tokio::test]
async fn what_was_posted_comes_back() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let ordered = opaque_batches(3);
        post(&world, OPAQUE, &ordered.contents).await;
        let mut deriver = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
        let derived = all(&mut deriver).await.unwrap();
        let contents: Vec<_> = derived.iter().map(|batch| batch.contents.clone()).collect();
        assert!(contents == ordered.contents, "{kind:?}: {} batches", contents.len());
        assert!(derived.iter().all(|batch| batch.certificate_seen && batch.block.is_none()));
    }
}

/// Its input can look like anything, such as a batch with a certificate that is none; what it does is another matter.
#[tokio::test]
async fn a_batch_that_another_contract_posted_is_derived() {
    let world = World::new(DataKind::Directory).await;
    let ordered = opaque_batches(1);
    world.source.add(OPAQUE, ordered.contents.clone());
    let inbox = Address::from(world.plan.rollups[&OPAQUE].inbox.0);
    let certified = world.source.certify(OPAQUE, Place { index: 0, previous_head: EMPTY }).unwrap();
    world.backend().store(&certified.data).await.unwrap();
    let good = calls::post(&certified);
    let bad = calls::carry(inbox, &certified, vec![7; 96]);

    // What stands behind the first bytes of its input goes to the inbox.
    let skipped = u16::try_from(bad.len()).unwrap().to_be_bytes();
    let runtime = [
        &[0x61][..],
        &skipped,
        &[0x36, 0x03, 0x80, 0x61],
        &skipped,
        &[0x5f, 0x37, 0x5f, 0x5f, 0x82, 0x5f, 0x5f, 0x73],
        inbox.as_slice(),
        &[0x5a, 0xf1, 0x15, 0x60, 0x2c, 0x57, 0x00, 0x5b, 0x5f, 0x5f, 0xfd],
    ]
    .concat();
    assert_eq!(runtime[0x2c], 0x5b, "it jumps there when the inbox refuses");
    let length = u8::try_from(runtime.len()).unwrap();
    let create = [&[0x60, length, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3][..], &runtime].concat();
    world.send(TxKind::Create, create).await;
    let forwarder = signer(2).address().create(0);
    world.send(TxKind::Call(forwarder), [bad, good].concat()).await;
    until("the inbox has the batch", async || world.next_index(OPAQUE).await == 1).await;
    world.mine(FINAL).await;

    let mut deriver = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
    let derived = all(&mut deriver).await.unwrap();
    assert!(derived[0].contents == ordered.contents[0]);
    assert!(!derived[0].certificate_seen, "the inbox has checked it");
}

/// Inputs of transactions.
mod calls {
    use super::{Address, Certified};
    use alloy_primitives::{Bytes, U256};
    use alloy_sol_types::SolCall as _;
    use baton_l1::{
        contracts::{BatchCarrier, BatchInbox, same},
        events::given,
    };

    pub fn post(certified: &Certified) -> Vec<u8> {
        let certificate = baton_l1::bls::signature(&certified.signature);
        BatchInbox::postCall { b: given(&certified.batch), certificate, data: Bytes::new() }.abi_encode()
    }

    pub fn carry(inbox: Address, certified: &Certified, certificate: Vec<u8>) -> Vec<u8> {
        let parcel = BatchCarrier::Parcel {
            inbox,
            batch: same(&given(&certified.batch)),
            certificate: certificate.into(),
            firstBlob: U256::ZERO,
            blobs: U256::ZERO,
            data: Bytes::new(),
        };
        BatchCarrier::postCall { parcels: vec![parcel] }.abi_encode()
    }
}

#[tokio::test]
async fn the_same_blocks_under_every_cadence_also_after_a_restart() {
    for cadence in [Cadence::PerBlock, Cadence::Slotted { ms: 2_000 }] {
        let world = World::new(DataKind::Directory).await;
        let ordered = evm_batches(cadence, 5);
        let directory = world.folder.path().join("derived");
        let open = || Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory.clone())));
        post(&world, EVM, &ordered.contents[..2]).await;
        let mut deriver = open().await.unwrap();
        assert_eq!(all(&mut deriver).await.unwrap().len(), 2);
        drop(deriver);
        post(&world, EVM, &ordered.contents[2..]).await;
        let mut resumed = open().await.unwrap();
        // A slot that began in the second batch is begun again.
        let next = if cadence == Cadence::PerBlock { 2..=2 } else { 1..=2 };
        assert!(next.contains(&resumed.next_index()), "it goes on with {}", resumed.next_index());
        let derived = all(&mut resumed).await.unwrap();
        assert_eq!(derived[0].posted.batch.index + derived.len() as u64, 5);
        let head = resumed.head().unwrap();

        let mut whole = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
        assert_eq!(all(&mut whole).await.unwrap().len(), 5);
        assert_eq!(whole.head(), Some(head));
        // The cluster is ahead by what is not cut yet, so compare with what the batches attest.
        let attested = ordered.contents[4].result.unwrap();
        assert!(attested.number > 3 && attested.number <= head.number);
        if attested.number == head.number {
            assert_eq!((attested.hash.0, attested.state_root.0), (head.hash.0, head.state_root.0));
        }
        assert!(ordered.block().0 >= head.number);
    }
}

/// Lacks what is behind the first batches.
struct Only {
    backend: Arc<dyn Backend>,
    batches: u64,
}

impl Backend for Only {
    fn kind(&self) -> DataKind {
        self.backend.kind()
    }

    fn store<'a>(&'a self, data: &'a [u8]) -> BoxFuture<'a, Result<Carried, DaError>> {
        self.backend.store(data)
    }

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>> {
        if posted.batch.index < self.batches {
            return self.backend.fetch(posted);
        }
        let missing = DaError::Missing { commitment: "?".to_owned(), tried: "nobody".to_owned() };
        Box::pin(std::future::ready(Err(missing)))
    }
}

/// All batches are read from L1 in one step; it ends behind each of them once.
#[tokio::test]
async fn a_derivation_that_ended_in_the_middle_of_a_step_goes_on_there() {
    const BATCHES: u64 = 8;
    // Slots that end within a batch, with it, and that go on over several.
    let cadences = [1_000, 2_000, 5_000].map(|ms| Cadence::Slotted { ms });
    for cadence in [Cadence::PerBlock].into_iter().chain(cadences) {
        let world = World::new(DataKind::Directory).await;
        let ordered = evm_batches(cadence, usize::try_from(BATCHES).unwrap());
        post(&world, EVM, &ordered.contents).await;
        let mut whole = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
        let heads: Vec<_> = all(&mut whole).await.unwrap().iter().map(|batch| batch.block).collect();

        let directory = world.folder.path().join("derived");
        let open = async |batches| {
            let mut config = config(&world, &ordered, Some(directory.clone()));
            config.backends = vec![Arc::new(Only { backend: world.backend(), batches })];
            Deriver::open(world.client.clone(), config).await.unwrap()
        };
        let state = directory.join("state.json");
        let mut before = Vec::new();
        for end in 1..=BATCHES {
            let mut deriver = open(end).await;
            let next = deriver.next_index();
            let open_for = match cadence {
                Cadence::PerBlock => 0,
                Cadence::Slotted { ms } => 1 + ms / RULE.age_max_ms,
            };
            assert!(
                (end - 1 - open_for.min(end - 1)..end).contains(&next),
                "{cadence:?}: {next} before {end}"
            );
            let mut derived = Vec::new();
            let ended = loop {
                match deriver.advance(|batch| derived.push(batch.clone())).await {
                    Ok(true) => {}
                    ended => break ended,
                }
            };
            assert_eq!(ended.is_err(), end < BATCHES);
            for batch in &derived {
                assert_eq!(batch.block, heads[usize::try_from(batch.posted.batch.index).unwrap()]);
            }
            assert_eq!(derived.last().unwrap().posted.batch.index, end - 1);
            before.push(fs::read(&state).unwrap());
        }
        // Killed before a state was written whose blocks have records already.
        for written in before {
            fs::write(&state, written).unwrap();
            let mut deriver = open(BATCHES).await;
            all(&mut deriver).await.unwrap();
            assert_eq!((deriver.next_index(), deriver.head()), (BATCHES, whole.head()));
        }
    }
}

/// From there the hatch could not be followed: it names the last entry that it takes.
#[tokio::test]
async fn the_state_does_not_go_on_behind_an_entry_that_the_hatch_took_later() {
    let world = World::new(DataKind::Directory).await;
    let mut ordered = evm_batches(Cadence::PerBlock, 1);
    let directory = world.folder.path().join("derived");
    let state = config(&world, &ordered, Some(directory.clone()));
    let mut deriver = Deriver::open(world.client.clone(), state).await.unwrap();
    post(&world, EVM, &ordered.contents).await;
    world.force(EVM, &transfer(3, 0)).await;
    world.mine(FINAL).await;
    all(&mut deriver).await.unwrap();
    world.escape(EVM, 1).await;
    world.mine(FINAL).await;
    all(&mut deriver).await.unwrap();
    ordered.forced_cursor = 1;
    let mut time = 1_700_000_100_000;
    // The block before ends a batch without it.
    ordered.push(time, &[transfer(3, 0)]);
    while ordered.contents.len() < 3 {
        time += 500;
        ordered.push(time, &[]);
    }
    post(&world, EVM, &ordered.contents[1..]).await;
    assert_eq!(all(&mut deriver).await.unwrap().len(), 2);
    let head = deriver.head();
    drop(deriver);
    let mut again =
        Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory))).await.unwrap();
    all(&mut again).await.unwrap();
    assert_eq!((again.head(), again.next_index()), (head, 4));
}

/// What the hatch takes may have been in the queue for long.
#[tokio::test]
async fn an_entry_from_before_the_restart_goes_through_the_hatch() {
    let world = World::new(DataKind::Directory).await;
    let ordered = evm_batches(Cadence::PerBlock, 1);
    let directory = world.folder.path().join("derived");
    let open = || Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory.clone())));
    post(&world, EVM, &ordered.contents).await;
    world.force(EVM, &transfer(3, 0)).await;
    world.mine(FINAL).await;
    all(&mut open().await.unwrap()).await.unwrap();
    world.escape(EVM, 1).await;
    world.mine(FINAL).await;
    let mut deriver = open().await.unwrap();
    assert!(all(&mut deriver).await.unwrap().is_empty(), "the batch is done");
    assert_eq!(deriver.rescued().await.unwrap()[0].executed, Some(1));
}

/// Until the cluster comes back and orders them itself.
#[tokio::test]
async fn what_the_hatch_took_is_executed_behind_the_last_block() {
    for cadence in [Cadence::PerBlock, Cadence::Slotted { ms: 2_000 }] {
        let world = World::new(DataKind::Directory).await;
        let mut ordered = evm_batches(cadence, 2);
        let directory = world.folder.path().join("derived");
        let open = || Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory.clone())));
        let mut deriver = open().await.unwrap();
        post(&world, EVM, &ordered.contents[..1]).await;
        all(&mut deriver).await.unwrap();
        assert!(deriver.rescued().await.unwrap().is_empty());
        let before = deriver.head().unwrap();
        for entry in [transfer(3, 0), b"not a transaction".to_vec(), transfer(3, 1)] {
            world.force(EVM, &entry).await;
        }
        world.escape(EVM, 2).await;
        world.escape(EVM, 3).await;
        world.mine(FINAL).await;
        assert!(all(&mut deriver).await.unwrap().is_empty());
        assert_eq!(deriver.next_index(), 3);
        let rescued = deriver.rescued().await.unwrap();
        let shape: Vec<_> = rescued.iter().map(|at| (at.entries.len(), at.executed)).collect();
        assert_eq!(shape, [(2, Some(1)), (1, Some(1))]);
        let last = rescued[1].block.unwrap();
        assert!(last.number > before.number && last.state_root != before.state_root);
        assert_eq!(deriver.head(), Some(before), "it is not kept");
        assert_eq!(deriver.rescued().await.unwrap(), rescued);
        // Nor is it on disk.
        let mut again = open().await.unwrap();
        all(&mut again).await.unwrap();
        assert_eq!(again.rescued().await.unwrap(), rescued);

        // The cluster is back, with blocks from before; what the hatch took goes behind them.
        post(&world, EVM, &ordered.contents[1..2]).await;
        assert_eq!(all(&mut deriver).await.unwrap().len(), 1);
        let head = deriver.head().unwrap();
        assert!(head.number > before.number);
        let later = deriver.rescued().await.unwrap();
        assert!(later[1].block.unwrap().number > last.number);
        // And it orders them; the block before ends the third batch.
        ordered.forced_cursor = 3;
        let mut time = 1_700_000_100_000;
        ordered.push(time, &[transfer(3, 0), transfer(3, 1)]);
        while ordered.contents.len() < 4 {
            time += 500;
            ordered.push(time, &[]);
        }
        post(&world, EVM, &ordered.contents[2..]).await;
        assert_eq!(all(&mut deriver).await.unwrap().len(), 2);
        assert!(deriver.rescued().await.unwrap().is_empty());
        let mut whole = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
        assert_eq!(all(&mut whole).await.unwrap().len(), 4);
        assert_eq!(whole.head(), deriver.head());
    }
}

#[tokio::test]
async fn changed_data_are_refused() {
    let world = World::new(DataKind::Directory).await;
    let ordered = opaque_batches(2);
    post(&world, OPAQUE, &ordered.contents).await;
    let data = world.folder.path().join("data");
    let mut files: Vec<_> = fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    let whole = fs::read(&files[0]).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&files[0], &changed).unwrap();
    let mut deriver = Deriver::open(world.client.clone(), config(&world, &ordered, None)).await.unwrap();
    let error = all(&mut deriver).await.unwrap_err().to_string();
    assert!(error.contains("is not the data"), "{error}");
    fs::write(&files[0], &whole).unwrap();
    all(&mut deriver).await.unwrap();
    assert_eq!(deriver.next_index(), 2, "it goes on where it stood");
}

#[tokio::test]
async fn a_state_of_another_chain_is_refused() {
    let world = World::new(DataKind::Directory).await;
    let ordered = opaque_batches(1);
    post(&world, OPAQUE, &ordered.contents).await;
    let directory = world.folder.path().join("derived");
    let mut deriver =
        Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory.clone()))).await.unwrap();
    all(&mut deriver).await.unwrap();
    let mut other = config(&world, &ordered, Some(directory.clone()));
    other.chain = baton_types::merkle::EMPTY;
    let error = Deriver::open(world.client.clone(), other).await.err().unwrap().to_string();
    assert!(error.contains("another directory"), "{error}");
    // L1 itself went back below where the derivation stopped.
    world.ask("anvil_reorg", json!([FINAL, []])).await;
    let error =
        Deriver::open(world.client.clone(), config(&world, &ordered, Some(directory))).await.err().unwrap();
    assert!(error.to_string().contains("another block"), "{error}");
}

use super::*;
use crate::lottery::tests::World;
use baton_types::Signature;
use baton_vrf::{EpochProof, EpochSecrets};
use commonware_cryptography::Signer as _;
use commonware_runtime::{Runner as _, Storage as _, Supervisor as _, deterministic};
use rand::{SeedableRng as _, rngs::StdRng};

type Context = deterministic::Context;

const BEACON: Digest = sha256::Digest([7; 32]);

/// A member's proof of an epoch, and what it commits to.
fn proof(world: &World, member: u8, epoch: u64, seed: u64) -> (Commitment, Vec<u8>) {
    let lottery = world.node(0);
    let secret = &world.secrets[usize::from(member)];
    let context = lottery.context(epoch, &BEACON);
    let secrets = EpochSecrets::new(secret, context, crate::lottery::rounds(&world.genesis));
    let proof: EpochProof = secrets.prove(&mut StdRng::seed_from_u64(seed)).unwrap();
    let bytes = proof.to_bytes();
    (lottery.proven(member, &context, &bytes).unwrap(), bytes)
}

async fn open(context: &Context, life: &'static str, world: &World) -> Proofs<Context> {
    Proofs::open(context.child(life), "node", world.node(0)).await
}

fn run(test: impl AsyncFnOnce(Context)) {
    deterministic::Runner::seeded(1).start(|context| test(context));
}

#[test]
fn proofs_are_there_after_a_restart() {
    run(async |context| {
        let world = World::new(&[]);
        let mut proofs = open(&context, "first", &world).await;
        for (member, epoch) in [(0, 1), (3, 1), (3, 2)] {
            let (commitment, bytes) = proof(&world, member, epoch, 1);
            assert!(proofs.put(epoch, member, commitment, &BEACON.0, &bytes).await);
            assert!(proofs.put(epoch, member, commitment, &BEACON.0, &bytes).await, "once more");
        }
        drop(proofs);
        let mut proofs = open(&context, "second", &world).await;
        assert_eq!(proofs.lost, 0);
        for (member, epoch) in [(0, 1), (3, 1), (3, 2)] {
            let (commitment, bytes) = proof(&world, member, epoch, 1);
            assert_eq!(proofs.commitments(epoch, member), [commitment]);
            assert_eq!(proofs.find(epoch, member, &commitment.proof), Some(commitment));
            assert_eq!(proofs.find(epoch, member, &baton_types::merkle::EMPTY), Some(commitment));
            assert_eq!(proofs.find(epoch, member, &BEACON), None);
            assert_eq!(proofs.read(epoch, member, commitment).await.unwrap(), bytes);
        }
        assert_eq!(proofs.commitments(1, 1), []);
        proofs.retain(2).await;
        drop(proofs);
        let proofs = open(&context, "third", &world).await;
        assert!(proofs.commitments(1, 3).is_empty() && proofs.commitments(2, 3).len() == 1);
        assert_eq!(context.scan("node-proofs").await.unwrap().len(), 1, "what is old is gone from the disk");
    });
}

#[test]
fn a_member_has_room_for_two_proofs() {
    run(async |context| {
        let world = World::new(&[]);
        let mut proofs = open(&context, "first", &world).await;
        let all: Vec<_> = (1..=3).map(|seed| proof(&world, 2, 1, seed)).collect();
        assert!(all.iter().all(|(commitment, _)| commitment.root == all[0].0.root), "one root");
        for ((commitment, bytes), fits) in all.iter().zip([true, true, false]) {
            assert_eq!(proofs.put(1, 2, *commitment, &BEACON.0, bytes).await, fits);
        }
        assert_eq!(proofs.read(1, 2, all[0].0).await.unwrap(), all[0].1, "the first is not replaced");
        assert_eq!(proofs.read(1, 2, all[2].0).await, None);
    });
}

/// Overwrites a part of the file, or cuts it.
async fn spoil(context: &Context, name: &[u8], change: Change) {
    let (blob, len) = context.open("node-proofs", name).await.unwrap();
    match change {
        Change::Cut(to) => blob.resize(to).await.unwrap(),
        Change::Grow => blob.resize(FILE_BYTES_MAX as u64 + 1).await.unwrap(),
        Change::Byte(at) => {
            let at = at.min(len - 1);
            let byte = blob.read_at(at, 1, ReadOptions::default()).await.unwrap().coalesce().as_ref()[0];
            blob.write_at(at, vec![byte ^ 1], WriteOptions::default()).await.unwrap();
        }
    }
    blob.sync().await.unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Cut(u64),
    Grow,
    Byte(u64),
}

#[test]
fn files_that_do_not_hold_are_removed_and_the_others_stay() {
    let changes = [
        Change::Cut(0),
        Change::Cut(31),
        Change::Cut(32),
        Change::Cut(5_000),
        Change::Grow,
        Change::Byte(0),
        Change::Byte(32),
        Change::Byte(33),
        Change::Byte(100),
        Change::Byte(20_000),
        Change::Byte(u64::MAX),
    ];
    run(async |context| {
        let world = World::new(&[]);
        let (good, bytes) = proof(&world, 1, 1, 1);
        let (bad, spoilt) = proof(&world, 2, 1, 1);
        for change in changes {
            // Found at start, and found when it is asked for.
            for restarted in [true, false] {
                let mut proofs = open(&context, "first", &world).await;
                assert!(proofs.put(1, 1, good, &BEACON.0, &bytes).await);
                assert!(proofs.put(1, 2, bad, &BEACON.0, &spoilt).await);
                let name = Name::Proof { epoch: 1, member: 2, commitment: bad }.to_bytes();
                spoil(&context, &name, change).await;
                if restarted {
                    proofs = open(&context, "second", &world).await;
                }
                assert_eq!(proofs.read(1, 2, bad).await, None, "{change:?}");
                assert_eq!(proofs.lost, 1, "{change:?}");
                assert_eq!(proofs.find(1, 2, &bad.proof), None, "{change:?}: nobody is told that it is here");
                assert_eq!(proofs.read(1, 1, good).await.unwrap(), bytes, "{change:?}");
                let names = context.scan("node-proofs").await.unwrap();
                assert!(!names.contains(&name), "{change:?}");
                // It can be fetched and kept again.
                assert!(proofs.put(1, 2, bad, &BEACON.0, &spoilt).await);
                assert_eq!(proofs.read(1, 2, bad).await.unwrap(), spoilt);
            }
        }
    });
}

#[test]
fn a_proof_under_the_name_of_another_is_removed() {
    run(async |context| {
        let world = World::new(&[]);
        let (commitment, bytes) = proof(&world, 2, 1, 1);
        let mut other = commitment;
        other.proof.0[0] ^= 1;
        let mut proofs = open(&context, "first", &world).await;
        // Another member, another epoch, another hash, and no name at all.
        assert!(proofs.put(1, 3, commitment, &BEACON.0, &bytes).await);
        assert!(proofs.put(2, 2, commitment, &BEACON.0, &bytes).await);
        assert!(proofs.put(1, 2, other, &BEACON.0, &bytes).await);
        assert!(proofs.put(1, 200, commitment, &BEACON.0, &bytes).await);
        drop(context.open("node-proofs", b"notes").await.unwrap());
        let proofs = open(&context, "second", &world).await;
        assert_eq!((proofs.lost, proofs.kept.values().flatten().count()), (5, 0));
        assert!(context.scan("node-proofs").await.unwrap().is_empty());
    });
}

#[test]
fn collected_signatures_are_there_after_a_restart() {
    run(async |context| {
        let world = World::new(&[]);
        let commitment = Commitment { root: BEACON, proof: BEACON };
        let sign =
            |member: u8| -> (u8, Signature) { (member, world.keys[usize::from(member)].sign(b"n", b"m")) };
        let mut held = Held { member: 0, commitment, holders: vec![sign(0), sign(1)] };
        let mut proofs = open(&context, "first", &world).await;
        assert_eq!(proofs.holders(1).await, None);
        proofs.put_holders(1, &held).await;
        held.holders.push(sign(3));
        proofs.put_holders(1, &held).await;
        let mut proofs = open(&context, "second", &world).await;
        assert_eq!(proofs.holders(1).await, Some(held.clone()));
        // Cut short by a crash: they are collected again.
        spoil(&context, &Name::Holders { epoch: 1 }.to_bytes(), Change::Cut(80)).await;
        let mut proofs = open(&context, "third", &world).await;
        assert_eq!((proofs.holders(1).await, proofs.lost), (None, 1));
        proofs.put_holders(1, &held).await;
        proofs.retain(2).await;
        assert_eq!(proofs.holders(1).await, None);
    });
}

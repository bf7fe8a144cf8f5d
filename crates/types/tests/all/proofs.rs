//! What a proof convinces of, and that nothing else does.

use crate::{
    cluster::{Committee, Rng, history_of, segment},
    fixtures::{EPOCH_BLOCKS, FILLED, World, world},
    light_client,
};
use baton_types::{
    GroupKey, RollupId, domain, hex,
    merkle::{self, EMPTY},
    proof::{HistoryFile, Proof, ProofFile, Refused},
};
use commonware_codec::Encode as _;
use commonware_cryptography::Digestible as _;

fn verify(proof: &Proof, key: &GroupKey) -> Result<(), Refused> {
    proof.verify(&mut Rng::new(99), key)
}

/// Reads a file as a user's program does, and verifies it, in two independent ways.
fn accepts(json: &str, key: &GroupKey) -> bool {
    let ours = serde_json::from_str::<ProofFile>(json)
        .ok()
        .and_then(|file| Proof::try_from(&file).ok())
        .is_some_and(|proof| verify(&proof, key).is_ok());
    let theirs = light_client::verify(json, &key.encode()).is_ok();
    assert_eq!(ours, theirs, "the two verifiers disagree about {json}");
    ours
}

fn file(proof: &Proof) -> ProofFile {
    ProofFile::from(proof)
}

fn json(file: &ProofFile) -> String {
    serde_json::to_string(file).unwrap()
}

#[test]
fn direct_and_by_a_later_header() {
    let world = world(12);
    let key = world.committee.group_key();
    for certified in FILLED..=12 {
        let proof = world.proof(certified);
        assert_eq!(verify(&proof, &key), Ok(()), "certified at {certified}");
        assert!(accepts(&json(&file(&proof)), &key), "certified at {certified}");
        let bytes = proof.encode();
        assert_eq!(hex::from_bytes::<Proof>(&bytes, &()).unwrap(), proof);
    }
}

#[test]
fn every_transaction_of_a_block() {
    let world = world(4);
    let key = world.committee.group_key();
    let block = &world.chain.blocks[FILLED];
    let certificate = world.certificate(FILLED);
    for id in block.ids() {
        let proof = world.chain.proof(FILLED, id, FILLED, certificate.clone());
        assert_eq!(verify(&proof, &key), Ok(()));
    }
}

/// Certificates of later committees prove blocks of the first, under the one group key.
#[test]
fn after_three_reshares() {
    let mut world = world(EPOCH_BLOCKS - 1);
    let key = world.committee.group_key();
    let mut rng = Rng::new(5);
    let committees = [0..4u64, 1..6, 2..9, 5..12];
    for (members, epoch) in committees.into_iter().zip(0u64..) {
        if epoch > 0 {
            world.committee = world.committee.reshare(&mut rng, epoch, members);
            for _ in 0..EPOCH_BLOCKS {
                world.chain.extend(&world.author, epoch, Vec::new());
            }
        }
        assert_eq!(world.committee.group_key(), key, "epoch {epoch}");
        let certified = world.chain.blocks.len() - 1;
        assert_eq!(world.chain.blocks[certified].header().epoch, epoch);
        let proof = world.proof(certified);
        assert_eq!(verify(&proof, &key), Ok(()), "epoch {epoch}");
        assert!(accepts(&json(&file(&proof)), &key), "epoch {epoch}");
    }
}

#[test]
fn a_thousand_blocks_before_the_certified_header() {
    let world = world(FILLED as u64 + 1_000);
    let key = world.committee.group_key();
    let proof = world.proof(FILLED + 1_000);
    assert_eq!(verify(&proof, &key), Ok(()));
    assert!(accepts(&json(&file(&proof)), &key));
    assert!(proof.encode().len() < 2_500, "{} bytes", proof.encode().len());
    // The accumulator in the blocks and one kept over all of them agree.
    let (leaves, root) = world.chain.history();
    let after = history_of(world.chain.tip());
    assert_eq!((after.leaves, after.root()), (leaves, Some(root)));
}

/// A value of a JSON object, changed in every way that matters.
fn changed(value: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::Value::{Null, Number, Object, String};
    match value {
        Number(number) => {
            let number = number.as_u64().unwrap();
            let limits = [0, 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1];
            let near = [number + 1, number.wrapping_sub(1), number ^ 0x8000_0000];
            limits.into_iter().chain(near).filter(|other| *other != number).map(Into::into).collect()
        }
        String(text) if text.starts_with("0x") => changed_hex(text),
        String(text) => vec![format!("{text}x").into(), "".into(), Null],
        Object(fields) => {
            let mut all = vec![Null];
            for (name, inner) in fields {
                for other in changed(inner) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), other);
                    all.push(Object(fields));
                }
                // An absent history is the same as none.
                if !inner.is_null() {
                    let mut fields = fields.clone();
                    fields.remove(name);
                    all.push(Object(fields));
                }
            }
            let mut fields = fields.clone();
            fields.insert("unknown".to_owned(), 1.into());
            all.push(Object(fields));
            all
        }
        Null => Vec::new(),
        other => panic!("no proof has {other}"),
    }
}

/// Every byte changed, one byte less, one more, and no hex at all.
fn changed_hex(text: &str) -> Vec<serde_json::Value> {
    let bytes = hex::decode(text).unwrap();
    let mut all: Vec<serde_json::Value> = (0..bytes.len())
        .flat_map(|at| [0x01, 0x80, 0xff].map(|mask| (at, mask)))
        .map(|(at, mask)| {
            let mut bytes = bytes.clone();
            bytes[at] ^= mask;
            hex::encode(&bytes).into()
        })
        .collect();
    all.push(hex::encode(&bytes[1..]).into());
    all.push(hex::encode(&bytes[..bytes.len() - 1]).into());
    all.push(format!("{text}00").into());
    all.push(text[2..].into());
    all.push(text[..text.len() - 1].into());
    all.push("0x".into());
    all
}

#[test]
fn every_field_counts() {
    let world = world(12);
    let key = world.committee.group_key();
    for certified in [FILLED, 12] {
        let good = file(&world.proof(certified));
        assert!(accepts(&json(&good), &key));
        let value = serde_json::to_value(&good).unwrap();
        let bad = changed(&value);
        assert!(bad.len() > 2_000, "only {} changes tried", bad.len());
        for other in bad {
            assert!(!accepts(&other.to_string(), &key), "accepted {other}");
        }
    }
}

#[test]
fn history_may_not_come_or_go() {
    let world = world(12);
    let key = world.committee.group_key();
    let (direct, later) = (world.proof(FILLED), world.proof(12));
    let without = Proof { history: None, ..later.clone() };
    assert_eq!(verify(&without, &key), Err(Refused::OtherBlock));
    let with = Proof { history: later.history.clone(), ..direct.clone() };
    assert_eq!(verify(&with, &key), Err(Refused::OtherBlock));
    assert!(!accepts(&json(&file(&without)), &key));
    assert!(!accepts(&json(&file(&with)), &key));
    // A history that names the header itself proves nothing about an earlier one.
    let own = HistoryFile { certified: file(&direct).header, proof: file(&later).history.unwrap().proof };
    let own = ProofFile { history: Some(own), ..file(&direct) };
    assert!(!accepts(&json(&own), &key));
}

#[test]
fn every_bit_of_the_encoding_counts() {
    let world = world(12);
    let key = world.committee.group_key();
    for certified in [FILLED, 12] {
        let good = world.proof(certified).encode().to_vec();
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let accepted =
                hex::from_bytes::<Proof>(&bad, &()).is_ok_and(|proof| verify(&proof, &key).is_ok());
            assert!(!accepted, "accepted with bit {bit} changed");
        }
        for end in 0..good.len() {
            assert!(hex::from_bytes::<Proof>(&good[..end], &()).is_err(), "decoded {end} bytes");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(hex::from_bytes::<Proof>(&longer, &()).is_err());
    }
}

#[test]
fn another_key_and_another_chain() {
    let world = world(12);
    let other_key = Committee::deal(&mut Rng::new(2), 0..4).group_key();
    for certified in [FILLED, 12] {
        let proof = world.proof(certified);
        assert_eq!(verify(&proof, &other_key), Err(Refused::Signature));
        assert!(!accepts(&json(&file(&proof)), &other_key));
    }
    // The same key, but votes of a chain with another genesis.
    let key = world.committee.group_key();
    let mut direct = world.proof(FILLED);
    let mut foreign = direct.header.clone();
    foreign.chain = EMPTY;
    direct.certificate.certificate = world.committee.finalize(&foreign).certificate;
    assert_eq!(verify(&direct, &key), Err(Refused::Signature));
    // A certified header of another chain.
    let mut later = world.proof(12);
    later.history.as_mut().unwrap().certified.chain = EMPTY;
    assert_eq!(verify(&later, &key), Err(Refused::Chain));
}

/// Each reason, by a proof that deserves it.
#[test]
fn reasons() {
    let world = world(12);
    let key = world.committee.group_key();
    type Change = fn(&mut Proof, &World);
    let cases: [(Refused, Change); 8] = [
        (Refused::Path, |proof, _| proof.rollup = RollupId(1)),
        (Refused::Path, |proof, _| proof.index += 1),
        (Refused::Path, |proof, _| proof.position = u32::MAX),
        (Refused::Path, |proof, _| proof.path.siblings.clear()),
        (Refused::History, |proof, _| proof.header.timestamp_ms += 1),
        (Refused::History, |proof, world| {
            let history = proof.history.as_mut().unwrap();
            history.certified = world.chain.blocks[11].header().clone();
        }),
        (Refused::OtherBlock, |proof, world| proof.certificate = world.certificate(11)),
        (Refused::Signature, |proof, world| {
            proof.certificate.certificate = world.certificate(11).certificate;
        }),
    ];
    for (number, (reason, change)) in (1..).zip(cases) {
        let mut proof = world.proof(12);
        change(&mut proof, &world);
        assert_eq!(verify(&proof, &key), Err(reason), "case {number}");
    }
}

/// A leaf cannot be told from an inner node of another tree, nor a foreign transaction moved in.
#[test]
fn trees_do_not_take_strangers() {
    let ids = segment(1, &[b"a", b"b", b"c"]);
    let ids: Vec<_> = ids.transactions.iter().map(|tx| tx.id(ids.rollup)).collect();
    let tree = merkle::transactions([(RollupId(1), &ids[..])].into_iter());
    let swapped = merkle::transactions([(RollupId(2), &ids[..])].into_iter());
    assert_ne!(tree.root(), swapped.root());
    let parts = [(RollupId(1), &ids[..1]), (RollupId(2), &ids[1..])];
    assert_ne!(merkle::transactions(parts.into_iter()).root(), tree.root());
    let empty = merkle::transactions([].into_iter());
    assert_ne!(empty.root(), EMPTY);
    assert!(empty.proof(0).is_err());
}

#[test]
fn the_signing_domain_holds_the_chain() {
    let world = world(1);
    let chain = world.genesis.digest();
    assert_eq!(world.chain.tip().header().chain, chain);
    assert_eq!(domain::consensus(&chain), [&b"_BATON_CONSENSUS"[..], &chain].concat());
    assert_ne!(world.chain.tip().digest(), world.chain.blocks[0].digest());
}

/// Heights at which the arithmetic of the accumulator ends.
#[test]
fn extreme_heights_are_refused() {
    let world = world(12);
    let key = world.committee.group_key();
    let heights = [0, (1 << 62) - 1, 1 << 62, (1 << 62) + 1, 1 << 63, u64::MAX - 1, u64::MAX];
    for (height, certified) in heights.into_iter().flat_map(|one| heights.map(|other| (one, other))) {
        let mut proof = world.proof(12);
        proof.header.height = height;
        let history = proof.history.as_mut().unwrap();
        history.certified.height = certified;
        history.proof.leaves = certified.into();
        assert_eq!(verify(&proof, &key), Err(Refused::History), "{height} before {certified}");
    }
}

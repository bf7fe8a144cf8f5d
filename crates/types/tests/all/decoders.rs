//! Decoders take bytes from anyone: they refuse, and never panic.

use crate::{
    cluster::Rng,
    fixtures::{FILLED, bundle, world},
};
use baton_types::{
    Block, BlockLimits, Body, Finalization, Genesis, Header, Segment, Transaction,
    api::{SubmitBatchParams, SubmitBundleParams, SubmitParams, Topic},
    block::payload_cfg,
    hex,
    proof::{HistoryProof, Proof, ProofFile},
};
use commonware_codec::{Encode, EncodeSize as _, FixedSize as _, Read};
use commonware_consensus::BoundedBlock as _;
use commonware_cryptography::Digestible as _;

/// Decodes `rounds` byte strings: noise, and `sample` with bytes changed, lost, repeated or moved.
/// What decodes must encode to the same bytes.
fn pelt<T: Read + Encode>(sample: &[u8], cfg: &T::Cfg, rounds: usize) {
    assert!(hex::from_bytes::<T>(sample, cfg).is_ok(), "the sample itself must decode");
    let mut rng = Rng::new(sample.len() as u64);
    for round in 0..rounds {
        let mut bytes = if round % 4 == 0 { noise(&mut rng, sample) } else { sample.to_vec() };
        for _ in 0..=rng.below(3) {
            spoil(&mut rng, &mut bytes);
        }
        if let Ok(value) = hex::from_bytes::<T>(&bytes, cfg) {
            assert_eq!(value.encode(), bytes, "two encodings of one value");
        }
    }
}

/// Noise behind the first byte of the sample, which is often a version.
fn noise(rng: &mut Rng, sample: &[u8]) -> Vec<u8> {
    let len = rng.below(2 * sample.len() + 2);
    let mut bytes = rng.bytes(len);
    if let Some((first, byte)) = bytes.first_mut().zip(sample.first()) {
        *first = *byte;
    }
    bytes
}

fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(rng.byte());
    }
    let at = rng.below(bytes.len());
    match rng.below(6) {
        0 => bytes[at] = rng.byte(),
        1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)],
        3 => bytes.truncate(at),
        4 => bytes.insert(at, rng.byte()),
        _ => {
            let end = (at + rng.below(40)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            let to = rng.below(bytes.len());
            bytes.splice(to..to, part);
        }
    }
}

fn limits() -> BlockLimits {
    world(0).genesis.limits()
}

#[test]
fn transactions() {
    let leg = bundle().legs[0].1.clone();
    let plain = Transaction { bundle: None, ..leg.clone() };
    pelt::<Transaction>(&leg.encode(), &1_000, 100_000);
    pelt::<Transaction>(&plain.encode(), &1_000, 100_000);
}

#[test]
fn segments_and_bodies() {
    let world = world(3);
    let body = world.chain.blocks[FILLED].body();
    pelt::<Segment>(&body.segments[0].encode(), &limits(), 100_000);
    pelt::<Body>(&body.encode(), &limits(), 100_000);
}

#[test]
fn headers() {
    let world = world(3);
    pelt::<Header>(&world.chain.blocks[FILLED].header().encode(), &(), 100_000);
}

#[test]
fn blocks() {
    let world = world(3);
    pelt::<Block>(&world.chain.blocks[FILLED].encode(), &limits(), 100_000);
    // Ceremony material holds points of the curve, which take longer.
    pelt::<Block>(&world.chain.blocks[0].encode(), &limits(), 5_000);
}

#[test]
fn proofs_and_certificates() {
    let world = world(12);
    let proof = world.proof(12);
    pelt::<Proof>(&proof.encode(), &(), 100_000);
    pelt::<HistoryProof>(&proof.history.unwrap().encode(), &(), 100_000);
    pelt::<Finalization>(&proof.certificate.encode(), &(), 100_000);
}

#[test]
fn sharings() {
    let world = world(0);
    let bytes = hex::decode(&world.genesis.key_generation.sharing).unwrap();
    pelt::<baton_types::Sharing>(&bytes, &payload_cfg(), 5_000);
}

/// Feeds JSON with characters changed to `read`.
fn pelt_json(sample: &str, rounds: usize, read: impl Fn(&str)) {
    let mut rng = Rng::new(sample.len() as u64);
    for round in 0..rounds {
        let mut bytes = if round % 8 == 0 { noise(&mut rng, sample.as_bytes()) } else { sample.into() };
        for _ in 0..=rng.below(3) {
            spoil(&mut rng, &mut bytes);
        }
        read(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn proof_files() {
    let world = world(12);
    let json = serde_json::to_string(&ProofFile::from(&world.proof(12))).unwrap();
    pelt_json(&json, 20_000, |text| {
        if let Ok(file) = serde_json::from_str::<ProofFile>(text) {
            drop(Proof::try_from(&file));
        }
    });
}

#[test]
fn genesis_files() {
    let json = world(0).genesis.to_json();
    pelt_json(&json, 3_000, |text| drop(Genesis::from_json(text)));
}

#[test]
fn requests() {
    let submit = r#"{"rollup":"demo","data":"0x0102","valid_until":9,"fee_hint":"7","ack":"replicated"}"#;
    let batch = r#"{"transactions":[{"rollup":1,"data":"0x"}],"ack":"pending"}"#;
    let legs = r#"{"legs":[{"rollup":1,"data":"0x00"},{"rollup":"b","data":"0x01"}]}"#;
    let topic = r#"{"topic":"rollup","rollup":"demo","from_height":3}"#;
    assert!(serde_json::from_str::<SubmitParams>(submit).is_ok());
    assert!(serde_json::from_str::<SubmitBatchParams>(batch).is_ok());
    assert!(serde_json::from_str::<SubmitBundleParams>(legs).is_ok());
    assert!(serde_json::from_str::<Topic>(topic).is_ok());
    pelt_json(submit, 30_000, |text| drop(serde_json::from_str::<SubmitParams>(text)));
    pelt_json(batch, 30_000, |text| drop(serde_json::from_str::<SubmitBatchParams>(text)));
    pelt_json(legs, 30_000, |text| drop(serde_json::from_str::<SubmitBundleParams>(text)));
    pelt_json(topic, 30_000, |text| drop(serde_json::from_str::<Topic>(text)));
}

fn refused(bytes: &[u8]) -> String {
    match hex::from_bytes::<Block>(bytes, &limits()) {
        Ok(block) => panic!("decoded {}", block.digest()),
        Err(error) => error.to_string(),
    }
}

/// No byte of a signed block can change: it is under the author's signature or under a root.
#[test]
fn every_byte_of_a_block_counts() {
    let world = world(3);
    let good = world.chain.blocks[FILLED].encode().to_vec();
    for at in 0..good.len() {
        for mask in [0x01, 0x40, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            refused(&bad);
        }
        refused(&good[..at]);
    }
    refused(&[&good[..], &[0]].concat());
}

/// The genesis block has no signature: a changed byte is refused or makes another block.
#[test]
fn every_byte_of_the_genesis_block_counts() {
    let world = world(0);
    let block = &world.chain.blocks[0];
    let good = block.encode().to_vec();
    for at in 0..good.len() {
        for mask in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            if let Ok(other) = hex::from_bytes::<Block>(&bad, &limits()) {
                assert!(at < Header::SIZE, "byte {at} of the body means nothing");
                assert_ne!(other.digest(), block.digest(), "byte {at} of the header means nothing");
            }
        }
    }
}

/// A body under a header that names another one.
#[test]
fn foreign_bodies() {
    let world = world(4);
    let blocks = &world.chain.blocks;
    let (filled, empty) = (blocks[FILLED].encode(), blocks[FILLED + 1].encode());
    let head = Header::SIZE + 1 + 64;
    let cases = [
        ([&filled[..head], &empty[head..]].concat(), "body does not match the header"),
        ([&filled[..Header::SIZE], &empty[Header::SIZE..]].concat(), "body does not match the header"),
        ([&blocks[3].encode()[..head], &blocks[4].encode()[head..]].concat(), "history does not match"),
        ([&filled[..Header::SIZE], &empty[Header::SIZE..head], &filled[head..]].concat(), "not signed"),
        ([&filled[..Header::SIZE], &[0], &filled[head..]].concat(), "not signed by its author"),
    ];
    for (bytes, expect) in cases {
        let error = refused(&bytes);
        assert!(error.contains(expect), "{error}, not {expect}");
    }
}

#[test]
fn limits_bound_what_is_decoded() {
    let world = world(3);
    let bytes = world.chain.blocks[FILLED].encode();
    let fits = limits();
    assert!(hex::from_bytes::<Block>(&bytes, &fits).is_ok());
    for tight in [
        BlockLimits { transaction_bytes_max: 4, ..fits },
        BlockLimits { rollups_max: 1, ..fits },
        BlockLimits { block_bytes_max: 6, ..fits },
    ] {
        assert!(hex::from_bytes::<Block>(&bytes, &tight).is_err(), "{tight:?}");
    }
}

#[test]
fn sizes_are_as_stated() {
    let world = world(12);
    for block in &world.chain.blocks {
        assert_eq!(block.encode().len(), block.encode_size());
        assert!(block.encode_size() <= Block::max_encode_size(&limits()));
        assert_eq!(block.header().encode().len(), Header::SIZE);
    }
    for certified in [FILLED, 12] {
        let proof = world.proof(certified);
        assert_eq!(proof.encode().len(), proof.encode_size());
    }
}

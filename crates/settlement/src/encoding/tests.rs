use super::*;
use crate::{
    Certified, Place, Slice, Terms, data_commitment,
    testing::{Chain, RULE, digest, signature, transaction},
};
use baton_types::{
    Digest, RollupId,
    settlement::{DataKind, L1Address},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

const LIMITS: ContentsLimits = ContentsLimits { bytes_max: 100_000, transaction_bytes_max: 10_000 };

/// A batch with everything in it: legs of bundles, forced entries, gaps, origins that move.
fn contents(executed: bool) -> Contents {
    let mut chain = Chain::new(executed);
    let leg = |height| {
        let mut leg = transaction(height, b"leg");
        leg.bundle = Some(digest(7).into());
        leg
    };
    chain.push(1_700_000_000_000, &[]);
    chain.push(1_700_000_000_300, &[transaction(2, b"one"), transaction(2, &[0; 300])]);
    chain.forced = 2;
    chain.push(1_700_000_000_600, &[transaction(3, b"forced"), leg(3)]);
    chain.push(1_700_000_001_000, &[]);
    chain.push(1_700_000_001_300, &[leg(5)]);
    chain.push(1_700_000_009_000, &[]).unwrap()
}

#[test]
fn what_is_encoded_comes_back() {
    for executed in [false, true] {
        let contents = contents(executed);
        assert_eq!((contents.first_height, contents.last_height, contents.slices.len()), (1, 5, 3));
        let data = encode(&contents);
        let back = decode(&data, &LIMITS).unwrap();
        assert_eq!(back, contents);
        assert_eq!(back.order_root(), contents.order_root());
        assert_eq!(encode(&back), data, "one encoding");
    }
}

#[test]
fn empty_blocks_cost_nothing() {
    let mut few = Chain::new(true);
    few.push(0, &[transaction(1, b"x")]);
    let few = few.push(RULE.age_max_ms, &[]).unwrap();
    let mut many = Chain::new(true);
    many.push(0, &[transaction(1, b"x")]);
    for time in 1..4_000 {
        many.push(time, &[]);
    }
    let many = many.push(RULE.age_max_ms, &[]).unwrap();
    assert_eq!(many.last_height, 4_000);
    assert!(encode(&many).len() <= encode(&few).len() + 8);
}

#[test]
fn damage_and_bombs_are_refused() {
    let data = encode(&contents(true)).to_vec();
    let refused = |data: &[u8]| decode(data, &LIMITS).unwrap_err().to_string();
    assert!(refused(&[]).contains("empty"));
    assert!(refused(&[&[2], &data[1..]].concat()).contains("version 2"));
    for end in 1..data.len() {
        decode(&data[..end], &LIMITS).unwrap_err();
    }
    let mut bomb = vec![VERSION];
    UInt(1u64 << 40).write(&mut bomb);
    assert!(refused(&bomb).contains("announces 1099511627776 bytes"));
    // Announces little and brings much.
    let mut bomb = vec![VERSION, 100];
    bomb.extend(zstd::bulk::compress(&vec![0; 10_000_000], LEVEL).unwrap());
    assert!(refused(&bomb).contains("does not decompress"), "{}", refused(&bomb));
    // Announces more than it brings.
    let mut short = vec![VERSION, 100];
    short.extend(zstd::bulk::compress(&[0; 50], LEVEL).unwrap());
    assert!(refused(&short).contains("announces 100 bytes and has 50"));
    let tight = ContentsLimits { transaction_bytes_max: 299, ..LIMITS };
    assert!(decode(&data, &tight).is_err(), "a transaction of 300 bytes");
}

#[test]
fn contents_that_contradict_themselves_are_refused() {
    let good = contents(false);
    let refused = |change: fn(&mut Contents)| {
        let mut bad = good.clone();
        change(&mut bad);
        decode(&encode(&bad), &LIMITS).unwrap_err().to_string()
    };
    assert!(refused(|bad| bad.last_height = 4).contains("a block after the last one"));
    assert!(refused(|bad| bad.last_timestamp_ms = 5).contains("later than the last"));
    assert!(refused(|bad| bad.last_height = u64::MAX).contains("heights"));
    let nothing = |bad: &mut Contents| {
        let Slice { transactions, forced, .. } = &mut bad.slices[0];
        transactions.clear();
        *forced = 0;
    };
    assert!(refused(nothing).contains("nothing in it"));
}

const KINDS: [(DataKind, &str); 3] =
    [(DataKind::Blobs, "blobs"), (DataKind::Calldata, "calldata"), (DataKind::Directory, "directory")];

fn case(executed: bool, (data_kind, kind): (DataKind, &str)) -> Value {
    let contents = contents(executed);
    let data = encode(&contents);
    let terms = Terms {
        rollup: contents.rollup,
        l1_chain_id: 31_337,
        inbox: L1Address([0x1b; 20]),
        queue: L1Address([0x2c; 20]),
        key_generation: 0,
        data_kind,
        slot_seconds: 12,
        first_height: 1,
        rule: RULE,
    };
    let batch = terms.batch(
        Place { index: 4, previous_head: digest(9) },
        &contents,
        data_commitment(terms.data_kind, &data),
    );
    let mut case = json!({
        "kind": kind,
        "executed": executed,
        "contents": hex::encode(&contents.encode()),
        "data": hex::encode(&data),
        "order_root": hex::encode(&contents.order_root()),
        "data_commitment": hex::encode(&batch.data_commitment),
        "batch": hex::encode(&batch.encode()),
    });
    if data_kind == DataKind::Directory {
        let file = Certified { batch, signature: signature(), data }.to_file();
        case["file"] = json!(hex::encode(&file));
    }
    case
}

#[test]
fn vectors() {
    let cases: Vec<_> =
        [false, true].iter().flat_map(|executed| KINDS.map(|kind| case(*executed, kind))).collect();
    let found = serde_json::to_string_pretty(&json!({ "cases": cases })).unwrap() + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/settlement.json");
    if std::env::var_os("BATON_BLESS").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "specs/vectors/settlement.json differs; if that is meant: cargo xtask vectors"
    );
}

#[test]
fn a_batch_says_what_its_contents_say() {
    let contents = contents(true);
    let data = encode(&contents);
    let terms = Terms {
        rollup: RollupId(2),
        l1_chain_id: 1,
        inbox: L1Address([1; 20]),
        queue: L1Address([2; 20]),
        key_generation: 3,
        data_kind: DataKind::Calldata,
        slot_seconds: 12,
        first_height: 1,
        rule: RULE,
    };
    let batch = terms.batch(Place::FIRST, &contents, data_commitment(terms.data_kind, &data));
    assert_eq!((batch.first_height, batch.last_height, batch.forced_cursor), (1, 5, 2));
    assert_eq!(batch.slot, 1_700_000_001 / 12);
    assert_eq!(batch.claimed_state_root, Digest::from(contents.result.unwrap().state_root.0));
    assert_eq!(batch.order_root, contents.order_root());
}

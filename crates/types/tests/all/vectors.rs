//! Golden vectors: every encoding, hash and signature that leaves a node, byte for byte.
//!
//! `cargo xtask vectors` writes them anew. A difference is a break of the protocol.

use crate::{
    cluster::history_of,
    fixtures::{FILLED, World, bundle, world},
    light_client::signed_bytes,
};
use baton_types::{
    Block, Digest, Header, PrivateKey, RollupId, Transaction, TxId, View,
    block::ElectionKind,
    hex,
    merkle::{self, Heads, History},
    proof::ProofFile,
    receipt::{Receipt, Rung},
};
use commonware_codec::{Encode as _, FixedSize as _};
use commonware_cryptography::{Digestible as _, Hasher as _, Sha256, Signer as _};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors")
}

/// With its keys in order, whatever map serde_json is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn text(value: Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n"
}

#[test]
fn golden() {
    let world = world(12);
    let expected = [
        ("header.json", text(header())),
        ("transactions.json", text(transactions())),
        ("bundle.json", text(bundles())),
        ("roots.json", text(roots())),
        ("history.json", text(history())),
        ("genesis.json", world.genesis.to_json() + "\n"),
        ("genesis-block.json", text(block(&world.chain.blocks[0]))),
        ("block.json", text(block(&world.chain.blocks[FILLED]))),
        ("receipts.json", text(receipts(world.genesis.digest()))),
        ("certificate.json", text(certificate(&world))),
        ("proof.json", text(proof(&world, FILLED))),
        ("proof-with-history.json", text(proof(&world, 12))),
        ("batch.json", text(crate::settlement::vector())),
        ("forced.json", text(crate::settling::vector())),
    ];
    let bless = std::env::var_os("BATON_BLESS").is_some();
    for (name, expected) in &expected {
        let path = directory().join(name);
        if bless {
            fs::write(&path, expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == *expected, "specs/vectors/{name} differs; if that is meant: cargo xtask vectors");
    }
    let mut names: Vec<_> = expected.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut files: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["election", "evm", "settlement", "vrf"].iter().any(|other| name.starts_with(other)))
        .collect();
    names.sort();
    files.sort();
    assert_eq!(files, names, "files under specs/vectors, those of other crates aside");
}

fn key(seed: u64) -> PrivateKey {
    PrivateKey::from_seed(seed)
}

fn digest(number: u8) -> Digest {
    Sha256::hash(&[&[number]])
}

/// Name and size of every field, in order.
const FIELDS: [(&str, usize); 25] = [
    ("version", 1),
    ("chain", 32),
    ("epoch", 8),
    ("view", 8),
    ("parent_view", 8),
    ("height", 8),
    ("parent", 32),
    ("timestamp_ms", 8),
    ("committer", 32),
    ("author", 32),
    ("election", 1),
    ("reveal", 32),
    ("reveal_evidence", 32),
    ("parent_seed", 48),
    ("body_root", 32),
    ("heads_root", 32),
    ("history_root", 32),
    ("results_root", 32),
    ("l1_number", 8),
    ("l1_hash", 32),
    ("forced_root", 32),
    ("members_root", 32),
    ("bench_report", 32),
    ("payload_root", 32),
    ("protocol_signal", 4),
];

/// No field is zero, and no two are alike.
fn full_header() -> Header {
    Header {
        chain: digest(1),
        epoch: 2,
        view: 0x0102_0304_0506_0708,
        parent_view: 0x0102_0304_0506_0707,
        height: 0x1122_3344,
        parent: digest(2),
        timestamp_ms: 1_700_000_000_123,
        committer: key(1).public_key(),
        author: key(2).public_key(),
        election: ElectionKind::ThresholdLottery,
        reveal: [0x33; 32],
        reveal_evidence: digest(3),
        parent_seed: [0x44; 48],
        body_root: digest(4),
        heads_root: digest(5),
        history_root: digest(6),
        results_root: digest(7),
        l1_number: 0x55,
        l1_hash: digest(8),
        forced_root: digest(9),
        members_root: digest(10),
        bench_report: [0x66; 32],
        payload_root: digest(11),
        protocol_signal: 0x0a0b_0c0d,
    }
}

fn header() -> Value {
    let header = full_header();
    let encoded = header.encode();
    let mut rest = &encoded[..];
    let mut fields = Vec::new();
    for (name, size) in FIELDS {
        let (value, after) = rest.split_at(size);
        let offset = Header::SIZE - rest.len();
        fields.push(json!({"name": name, "offset": offset, "size": size, "value": hex::encode(value)}));
        rest = after;
    }
    assert!(rest.is_empty());
    json!({
        "fields": fields,
        "encoded": hex::encode(&encoded),
        "digest": hex::encode(&header.digest()),
    })
}

/// The table of the chapter has the fields of the code.
#[test]
fn the_chapter_has_every_field() {
    let path = directory().join("../2-blocks-and-headers.md");
    let chapter = fs::read_to_string(path).unwrap();
    let mut offset = 0;
    for (name, size) in FIELDS {
        let row = format!("| {offset} | {size} | `{name}` |");
        assert!(chapter.contains(&row), "the chapter lacks {row}");
        offset += size;
    }
    assert_eq!(offset, Header::SIZE);
    assert!(chapter.contains(&format!("{} bytes", Header::SIZE)));
}

fn transaction(rollup: u32, transaction: &Transaction) -> Value {
    json!({
        "rollup": rollup,
        "valid_until": transaction.valid_until,
        "bundle": transaction.bundle.map(|id| id.to_string()),
        "payload": hex::encode(&transaction.payload),
        "encoded": hex::encode_value(transaction),
        "id": transaction.id(RollupId(rollup)).to_string(),
    })
}

fn transactions() -> Value {
    let plain =
        |valid_until, payload: Vec<u8>| Transaction { valid_until, bundle: None, payload: payload.into() };
    let cases = [
        (1, plain(0, Vec::new())),
        (1, plain(1, b"a".to_vec())),
        (2, plain(1, b"a".to_vec())),
        (1, plain(300, b"a".to_vec())),
        (u32::MAX, plain(u64::MAX, vec![0xff; 200])),
        (7, Transaction { bundle: Some(TxId([0xb0; 32])), ..plain(1, vec![5; 32]) }),
    ];
    cases.iter().map(|(rollup, tx)| transaction(*rollup, tx)).collect()
}

fn bundles() -> Value {
    let bundle = bundle();
    let legs: Vec<_> = bundle.legs.iter().map(|(rollup, tx)| transaction(rollup.0, tx)).collect();
    json!({"id": bundle.id.to_string(), "legs": legs})
}

fn ids(count: u8, first: u8) -> Vec<TxId> {
    (0..count).map(|number| digest(first + number).into()).collect()
}

/// Body and heads roots for segments of several sizes.
fn roots() -> Value {
    let cases: [&[(u32, u8)]; 6] =
        [&[], &[(1, 1)], &[(1, 2)], &[(1, 3)], &[(1, 2), (2, 3)], &[(1, 1), (5, 1), (9, 5)]];
    let mut heads = Heads::new();
    let mut all = Vec::new();
    for (height, case) in (1..).zip(cases) {
        let segments: Vec<_> =
            case.iter().map(|(rollup, count)| (RollupId(*rollup), ids(*count, 10))).collect();
        let borrowed = || segments.iter().map(|(rollup, ids)| (*rollup, &ids[..]));
        merkle::advance_heads(&mut heads, height, borrowed());
        let named = |(rollup, ids): (RollupId, &[TxId])| json!({"rollup": rollup.0, "ids": ids.iter().map(TxId::to_string).collect::<Vec<_>>()});
        all.push(json!({
            "height": height,
            "segments": borrowed().map(named).collect::<Vec<_>>(),
            "body_root": hex::encode(&merkle::transactions(borrowed()).root()),
            "heads": heads_json(&heads),
            "heads_root": hex::encode(&merkle::heads_root(&heads)),
        }));
    }
    all.into()
}

fn heads_json(heads: &Heads) -> Value {
    heads.iter().map(|(rollup, head)| json!({"rollup": rollup.0, "head": hex::encode(head)})).collect()
}

/// The accumulator after each of ten headers, of which only the digests matter.
fn history() -> Value {
    let mut history = History::new();
    let mut all = vec![history_json(&history)];
    for number in 1..=10 {
        history = history.append(&digest(number)).unwrap();
        all.push(history_json(&history));
    }
    all.into()
}

fn history_json(history: &History) -> Value {
    json!({
        "leaves": history.leaves,
        "peaks": history.peaks.iter().map(|peak| hex::encode(peak)).collect::<Vec<_>>(),
        "root": hex::encode(&history.root().unwrap()),
    })
}

fn block(block: &Block) -> Value {
    let header = block.header();
    let segments: Vec<_> = block
        .body()
        .segments
        .iter()
        .map(|segment| {
            let rollup = segment.rollup.0;
            segment.transactions.iter().map(|tx| transaction(rollup, tx)).collect::<Vec<_>>()
        })
        .collect();
    json!({
        "encoded": hex::encode_value(block),
        "digest": hex::encode(&block.digest()),
        "segments": segments,
        "heads": heads_json(&block.body().heads),
        "body_root": hex::encode(&header.body_root),
        "heads_root": hex::encode(&header.heads_root),
        "history_root": hex::encode(&header.history_root),
        "payload_root": hex::encode(&header.payload_root),
        "history_after": history_json(&history_of(block)),
    })
}

fn receipts(chain: Digest) -> Value {
    let cases = [(Rung::Pending, ids(1, 1)), (Rung::Replicated, ids(3, 1)), (Rung::Rejected, Vec::new())];
    let all = cases.into_iter().map(|(rung, ids)| {
        let receipt = Receipt::sign(&key(3), chain, rung, 1_700_000_000_456, ids);
        assert!(receipt.verify());
        json!({
            "chain": hex::encode(&receipt.chain),
            "node": hex::encode_value(&receipt.node),
            "rung": rung.name(),
            "time_ms": receipt.time_ms,
            "ids": receipt.ids.iter().map(TxId::to_string).collect::<Vec<_>>(),
            "signature": hex::encode_value(&receipt.signature),
        })
    });
    all.collect()
}

fn certificate(world: &World) -> Value {
    let header = world.chain.blocks[FILLED].header();
    let certificate = world.certificate(FILLED);
    let signatures = certificate.certificate.get().unwrap();
    let proposal = certificate.proposal.encode();
    let round = certificate.proposal.round.encode();
    assert_eq!(certificate.proposal.parent, View::new(header.parent_view));
    json!({
        "group_key": world.genesis.key_generation.group_key,
        "chain": hex::encode(&header.chain),
        "epoch": header.epoch,
        "view": header.view,
        "parent_view": header.parent_view,
        "block": hex::encode(&header.digest()),
        "encoded": hex::encode(&certificate.encode()),
        "vote_signs": hex::encode(&signed_bytes(&header.chain, b"_FINALIZE", &proposal)),
        "vote": hex::encode_value(&signatures.vote_signature),
        "seed_signs": hex::encode(&signed_bytes(&header.chain, b"_SEED", &round)),
        "seed": hex::encode_value(&signatures.seed_signature),
    })
}

fn proof(world: &World, certified: usize) -> Value {
    let proof = world.proof(certified);
    json!({
        "group_key": world.genesis.key_generation.group_key,
        "encoded": hex::encode_value(&proof),
        "file": serde_json::to_value(ProofFile::from(&proof)).unwrap(),
    })
}

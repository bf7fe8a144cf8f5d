//! A genesis with a section l1: one row per rule, and blocks with and without the part that speaks of L1.

use crate::fixtures::{committee, genesis as plain, world};
use baton_types::{
    Block, Genesis, RollupId, Transaction,
    forced::{Envelope, FORCED_FROM, Fate, L1Part, News, Queue, Report, State, Taken, data_hash, entry_hash},
    genesis::{
        Batches, Settlement,
        settlement::{Confirmation, ForcedQuota, SettledRollup},
    },
    hex::{self, HexArray},
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::Digestible as _;
use serde_json::{Value, json};

fn rollup(rollup: u32, byte: u8) -> SettledRollup {
    SettledRollup { rollup, inbox: HexArray([byte; 20]), queue: HexArray([byte + 1; 20]), first_height: 1 }
}

fn genesis() -> Genesis {
    let mut genesis = plain(&committee());
    genesis.l1 = Some(Box::new(Settlement {
        chain_id: 31_337,
        registry: HexArray([1; 20]),
        start_block: 100,
        confirmation: Confirmation::Depth(4),
        origin_wait_ms: 12_000,
        origin_slack: 8,
        slot_seconds: 12,
        data: DataKind::Directory,
        batch_bytes_target: 64 * 1_024,
        batch_age_ms_max: 60_000,
        forced: ForcedQuota { entries_max: 16, bytes_max: 256 * 1_024 },
        rollups: vec![rollup(1, 10), rollup(7, 20)],
    }));
    genesis
}

/// Entries of a queue with their hashes and ids, and a part of a block with everything in it.
pub fn vector() -> Value {
    let rollup = RollupId(1);
    let mut last = EMPTY;
    let entries: Vec<_> = [&b"first"[..], b"second", b""]
        .into_iter()
        .zip(0..)
        .map(|(data, index)| {
            let envelope =
                Envelope { sender: L1Address([0x51; 20]), deadline: 1_700_000_600, gas: 21_000 + index };
            last = entry_hash(&last, rollup, index, &envelope, &data_hash(data));
            (envelope, data, last)
        })
        .collect();
    let shown = entries.iter().zip(0..).map(|((envelope, data, hash), index)| {
        let payload = Bytes::copy_from_slice(data);
        let transaction = Transaction { valid_until: FORCED_FROM + index, bundle: None, payload };
        json!({
            "index": index,
            "sender": hex::encode(&envelope.sender.0),
            "deadline": envelope.deadline,
            "gas": envelope.gas,
            "data": hex::encode(data),
            "hash": hex::encode(hash),
            "id": transaction.id(rollup).to_string(),
        })
    });
    let fates = [Fate::Ordered, Fate::LeftOut(Bytes::from_static(b"second")), Fate::TooLarge(data_hash(b""))];
    let taken = entries.iter().zip(fates).map(|((envelope, ..), fate)| Taken { envelope: *envelope, fate });
    let pending = entries.iter().map(|(.., hash)| *hash).collect();
    let news = News {
        report: 112,
        arrived: [(rollup, Queue { cursor: 0, last: None, pending })].into(),
        taken: [(rollup, taken.collect())].into(),
    };
    let after = Queue { cursor: 3, last: Some(last), pending: Vec::new() };
    let state = State {
        reports: (0..3)
            .map(|member| (member, Report { height: 9, number: 110 + u64::from(member) }))
            .collect(),
        queues: [(rollup, after), (RollupId(7), Queue::default())].into(),
        eased_until: 0x0102_0304,
    };
    let part = L1Part { news, state };
    let genesis = genesis();
    json!({
        "rollup": rollup.0,
        "entries": shown.collect::<Vec<_>>(),
        "part": hex::encode_value(&part),
        "root": hex::encode(&part.root()),
        "l1": serde_json::to_value(&genesis.l1).unwrap(),
        "block_0": hex::encode_value(&genesis.block().unwrap()),
    })
}

#[test]
fn it_reads_back_and_is_another_chain() {
    let genesis = genesis();
    assert_eq!(genesis.check(), Ok(()));
    assert_eq!(Genesis::from_json(&genesis.to_json()).unwrap(), genesis);
    assert_ne!(genesis.digest(), plain(&committee()).digest());
    let json = genesis.to_json();
    for text in ["\"depth\": 4", "\"directory\"", "\"0x0101010101010101010101010101010101010101\""] {
        assert!(json.contains(text), "{text} in {json}");
    }
    assert_eq!(serde_json::to_value(Confirmation::Finalized).unwrap(), "finalized");
}

#[test]
fn every_rule_has_its_breach() {
    type Row = (&'static str, fn(&mut Genesis, &mut Settlement));
    let rows: &[Row] = &[
        ("l1.chain_id", |_, l1| l1.chain_id = 0),
        ("l1.registry", |_, l1| l1.registry = HexArray([0; 20])),
        ("l1.confirmation.depth", |_, l1| l1.confirmation = Confirmation::Depth(10_001)),
        ("l1.origin_wait_ms", |_, l1| l1.origin_wait_ms = 600_001),
        ("l1.origin_slack", |_, l1| l1.origin_slack = 100_001),
        ("l1.slot_seconds", |_, l1| l1.slot_seconds = 0),
        ("l1.batch_age_ms_max", |_, l1| l1.batch_age_ms_max = 999),
        ("l1.batch_bytes_target", |_, l1| l1.batch_bytes_target = 1_023),
        ("l1.batch_bytes_target", |_, l1| l1.batch_bytes_target = 32 * 1_024 * 1_024 + 1),
        ("l1.batch_bytes_target", |_, l1| {
            (l1.data, l1.batch_bytes_target) = (DataKind::Calldata, 60 * 1_024 + 1);
        }),
        ("rollups[].block_bytes_max", |_, l1| l1.data = DataKind::Blobs),
        ("l1.forced.entries_max", |_, l1| l1.forced.entries_max = 0),
        ("l1.forced.entries_max", |_, l1| l1.forced.entries_max = 1_025),
        ("l1.forced.bytes_max", |_, l1| l1.forced.bytes_max = 128 * 1_024 - 1),
        ("l1.forced.bytes_max", |_, l1| l1.forced.bytes_max = 1_024 * 1_024 + 1),
        ("l1.forced.bytes_max", |genesis, l1| {
            (genesis.block_bytes_max, l1.forced.bytes_max) = (2 * 1_024 * 1_024, 600 * 1_024);
        }),
        ("l1.rollups", |_, l1| l1.rollups.clear()),
        ("l1.rollups[0].rollup", |_, l1| l1.rollups[0].rollup = 2),
        ("l1.rollups[1].rollup", |_, l1| l1.rollups.reverse()),
        ("l1.rollups[1].rollup", |_, l1| l1.rollups[1].rollup = 1),
        ("l1.rollups[0].first_height", |_, l1| l1.rollups[0].first_height = 0),
        ("l1.rollups[0].inbox", |_, l1| l1.rollups[0].inbox = HexArray([0; 20])),
        ("l1.rollups[1].queue", |_, l1| l1.rollups[1].queue = HexArray([10; 20])),
        ("l1.rollups[0].queue", |_, l1| l1.rollups[0].queue = l1.registry),
        ("key_generation.generation", |genesis, _| genesis.key_generation.generation = 1 << 32),
    ];
    for (number, (key, change)) in rows.iter().enumerate() {
        let mut bad = genesis();
        let mut l1 = bad.l1.take().unwrap();
        change(&mut bad, &mut l1);
        bad.l1 = Some(l1);
        let error = bad.check().expect_err(key);
        assert_eq!(error.key, *key, "row {number}: {error}");
        assert!(!error.value.is_empty() && !error.allowed.is_empty(), "row {number}: {error}");
    }
}

#[test]
fn batches_without_l1_are_another_chain_and_have_their_rules() {
    let mut genesis = plain(&committee());
    let before = genesis.digest();
    assert!(!genesis.to_json().contains("batches"), "absent, so that chains without it stay what they are");
    genesis.batches = Some(Batches { bytes_target: 1_024, age_ms_max: 1_000 });
    assert_eq!(genesis.check(), Ok(()));
    assert_eq!(Genesis::from_json(&genesis.to_json()).unwrap(), genesis);
    assert_ne!(genesis.digest(), before);
    let block = genesis.block().unwrap();
    assert!(genesis.settles() && block.body().l1.is_none(), "blocks say nothing of L1");

    let batches = Batches { bytes_target: 1_024, age_ms_max: 1_000 };
    for (key, batches) in [
        ("batches.bytes_target", Batches { bytes_target: 1_023, ..batches }),
        ("batches.bytes_target", Batches { bytes_target: 32 * 1_024 * 1_024 + 1, ..batches }),
        ("batches.age_ms_max", Batches { age_ms_max: 999, ..batches }),
        ("batches.age_ms_max", Batches { age_ms_max: 86_400_001, ..batches }),
    ] {
        genesis.batches = Some(batches);
        assert_eq!(genesis.check().unwrap_err().key, key);
    }
    let both = Genesis { batches: Some(batches), ..self::genesis() };
    assert_eq!(both.check().unwrap_err().key, "batches");
}

#[test]
fn block_0_has_empty_queues() {
    let genesis = genesis();
    let block = genesis.block().unwrap();
    let part = block.body().l1.as_ref().unwrap();
    assert_eq!(block.header().forced_root, part.root());
    assert_eq!((block.header().l1_number, block.header().l1_hash), (0, EMPTY));
    let queues: Vec<_> = part.state.queues.iter().map(|(rollup, queue)| (rollup.0, queue.clone())).collect();
    assert_eq!(queues, [(1, Queue::default()), (7, Queue::default())]);
    let bytes = block.encode();
    let again = hex::from_bytes::<Block>(&bytes, &genesis.limits()).unwrap();
    assert_eq!((again.digest(), again.body().l1.clone()), (block.digest(), block.body().l1.clone()));
    // One that belongs to a chain without L1 has no such part, and the other way round.
    let limits = plain(&committee()).limits();
    assert!(hex::from_bytes::<Block>(&bytes, &limits).is_err());
    let without = world(1).chain.blocks[1].clone();
    assert!(without.body().l1.is_none() && without.header().forced_root == EMPTY);
    assert!(hex::from_bytes::<Block>(&without.encode(), &limits).is_ok());
    assert!(hex::from_bytes::<Block>(&without.encode(), &genesis.limits()).is_err());
}

#[test]
fn a_part_stands_under_its_root() {
    let genesis = genesis();
    let block = genesis.block().unwrap();
    let mut body = block.body().clone();
    let part: &mut L1Part = body.l1.as_mut().unwrap();
    part.state.queues.get_mut(&RollupId(1)).unwrap().cursor = 1;
    let other = Block::seal(block.header().clone(), body, None);
    assert_ne!(other.header().forced_root, block.header().forced_root);
    // The header of one with the body of the other.
    let mut bytes = block.encode().to_vec();
    let header = other.header().encode();
    bytes[..header.len()].copy_from_slice(&header);
    assert!(hex::from_bytes::<Block>(&bytes, &genesis.limits()).is_err());
    let set = |field: &str| block.header().reserved_in_use(false) == Some(field);
    assert!(set("forced_root") && block.header().reserved_in_use(true).is_none());
}

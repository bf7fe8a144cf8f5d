//! One row per rule of the genesis: what breaks it, and the key that the error names.

use crate::{
    cluster::{Committee, Rng},
    fixtures::{committee, genesis},
};
use baton_types::{
    Genesis, RollupId, faults_tolerated,
    genesis::{
        Data, Election, Ordering, Rollup, RollupKind,
        evm::{AllocAccount, Cadence, Evm, SYSTEM_CONTRACTS},
    },
    hex::{self, Hex, HexArray},
    quorum,
};
use commonware_cryptography::Digestible as _;

type Change = fn(&mut Genesis);

#[test]
fn a_good_genesis_reads_back() {
    let genesis = genesis(&committee());
    assert_eq!(genesis.check(), Ok(()));
    let again = Genesis::from_json(&genesis.to_json()).unwrap();
    assert_eq!(again, genesis);
    assert_eq!(again.digest(), genesis.digest());
    assert_eq!(again.block().unwrap().digest(), genesis.block().unwrap().digest());
    assert_eq!(again.block().unwrap().header().chain, genesis.digest());
}

/// Whitespace and key order of the file do not change the chain; any value does.
#[test]
fn the_digest_is_of_the_values() {
    let genesis = genesis(&committee());
    let compact = serde_json::to_string(&genesis).unwrap();
    assert_eq!(Genesis::from_json(&compact).unwrap().digest(), genesis.digest());
    let changes: [Change; 5] = [
        |genesis| genesis.network.id += 1,
        |genesis| genesis.members[0].p2p.set_port(1),
        |genesis| genesis.epoch_blocks += 1,
        |genesis| genesis.rollups[0].name.push('x'),
        |genesis| genesis.timing.drift_max_ms += 1,
    ];
    for change in changes {
        let mut other = genesis.clone();
        change(&mut other);
        assert_eq!(other.check(), Ok(()));
        assert_ne!(other.digest(), genesis.digest());
    }
}

fn check(rows: &[(&str, Change)]) {
    let good = genesis(&committee());
    for (number, (key, change)) in (1..).zip(rows) {
        let mut bad = good.clone();
        change(&mut bad);
        let error = bad.check().expect_err(&format!("row {number} must break {key}"));
        assert_eq!(error.key, *key, "row {number}: {error}");
        assert!(!error.value.is_empty() && !error.allowed.is_empty(), "row {number}: {error}");
        let read = Genesis::from_json(&bad.to_json()).expect_err("a file is checked as it is read");
        assert_eq!(read, error, "row {number}");
    }
}

#[test]
fn members_and_key() {
    check(&[
        ("version", |g| g.version = 2),
        ("members", |g| g.members.clear()),
        ("members", |g| {
            let member = g.members[0].clone();
            g.members = vec![member; 129];
        }),
        ("members[0].identity", |g| g.members[0].identity = "0x00".to_owned()),
        ("members[0].identity", |g| g.members[0].identity.replace_range(..2, "")),
        ("members[1].identity", |g| g.members.swap(0, 1)),
        ("members[2].identity", |g| g.members[2] = g.members[1].clone()),
        ("members[3].vrf_key", |g| g.members[3].vrf_key.truncate(10)),
        ("key_generation.sharing", |g| g.key_generation.sharing = "0x".to_owned()),
        ("key_generation.sharing", |g| g.key_generation.sharing.push_str("00")),
        ("key_generation.sharing", |g| drop(g.members.pop())),
        ("key_generation.sharing", |g| {
            let other = Committee::deal(&mut Rng::new(2), 10..14);
            g.key_generation.sharing = hex::encode_value(&other.sharing);
        }),
        ("key_generation.group_key", |g| g.key_generation.group_key.truncate(100)),
        ("key_generation.group_key", |g| {
            let other = Committee::deal(&mut Rng::new(2), 0..4);
            g.key_generation.group_key = hex::encode_value(&other.group_key());
        }),
    ]);
}

#[test]
fn rollups() {
    check(&[
        ("rollups", |g| g.rollups.clear()),
        ("rollups", |g| {
            let numbered = |id| Rollup::opaque(id, &format!("r{id}"), Data::Bytes);
            g.rollups = (1..=1_025).map(numbered).collect();
        }),
        ("rollups[0].name", |g| g.rollups[0].name = String::new()),
        ("rollups[0].name", |g| g.rollups[0].name = "Demo".to_owned()),
        ("rollups[0].name", |g| g.rollups[0].name = "a b".to_owned()),
        ("rollups[1].name", |g| g.rollups[1].name = "x".repeat(33)),
        ("rollups[1].name", |g| g.rollups[1].name = g.rollups[0].name.clone()),
        ("rollups[0].id", |g| g.rollups[0].id = 0),
        ("rollups[1].id", |g| g.rollups[1].id = g.rollups[0].id),
        ("rollups[0].block_bytes_max", |g| g.rollups[0].block_bytes_max = 0),
        ("rollups[0].block_bytes_max", |g| g.rollups[0].block_bytes_max = g.block_bytes_max + 1),
        ("rollups[0].transaction_bytes_max", |g| g.rollups[0].transaction_bytes_max = 0),
        ("rollups[0].transaction_bytes_max", |g| {
            g.rollups[0].transaction_bytes_max = g.rollups[0].block_bytes_max - 63;
        }),
        ("rollups[1].transaction_bytes_max", |g| g.rollups[1].transaction_bytes_max = 31),
        ("rollups[0].mempool_bytes_max", |g| {
            g.rollups[0].mempool_bytes_max = g.rollups[0].transaction_bytes_max - 1;
        }),
        ("rollups[0].reserved_percent", |g| g.rollups[0].reserved_percent = 101),
        ("rollups[].reserved_percent", |g| {
            g.rollups[0].reserved_percent = 50;
            g.rollups[1].reserved_percent = 51;
        }),
    ]);
}

/// Makes the first rollup one of kind evm.
fn evm(genesis: &mut Genesis) -> &mut Evm {
    genesis.rollups[0].kind = RollupKind::Evm;
    genesis.rollups[0].evm.get_or_insert_with(|| Box::new(Evm::new(2_211)))
}

/// An account of its block 0.
fn account(genesis: &mut Genesis) -> &mut AllocAccount {
    let account = AllocAccount { balance: 5, ..AllocAccount::default() };
    evm(genesis).alloc.entry(HexArray([0xab; 20])).or_insert(account)
}

const ACCOUNT: &str = "rollups[0].evm.alloc.0xabababababababababababababababababababab";

#[test]
fn evm_rollups() {
    check(&[
        ("rollups[0].evm", |g| g.rollups[0].kind = RollupKind::Evm),
        ("rollups[0].evm", |g| {
            evm(g);
            g.rollups[0].kind = RollupKind::Opaque;
        }),
        ("rollups[0].ordering", |g| g.rollups[0].ordering = Ordering::PriorityFee),
        ("rollups[0].ordering", |g| {
            evm(g);
            g.rollups[0].ordering = Ordering::FeeHint;
        }),
        ("rollups[0].data", |g| {
            evm(g);
            g.rollups[0].data = Data::Hash;
        }),
        ("rollups[0].evm.chain_id", |g| evm(g).chain_id = 0),
        ("rollups[0].evm.chain_id", |g| evm(g).chain_id = u64::MAX / 2 - 35),
        ("rollups[2].evm.chain_id", |g| {
            let twin = Rollup::evm(9, "twin", evm(g).clone());
            g.rollups.push(twin);
        }),
        ("rollups[0].evm.gas_limit", |g| evm(g).gas_limit = 999_999),
        ("rollups[0].evm.gas_limit", |g| evm(g).gas_limit = 1_000_000_000_001),
        ("rollups[0].evm.base_fee.start", |g| evm(g).base_fee.start = 1_000_000_000_000_001),
        ("rollups[0].evm.base_fee.elasticity", |g| evm(g).base_fee.elasticity = 0),
        ("rollups[0].evm.base_fee.elasticity", |g| evm(g).base_fee.elasticity = 101),
        ("rollups[0].evm.base_fee.denominator", |g| evm(g).base_fee.denominator = 0),
        ("rollups[0].evm.base_fee.denominator", |g| evm(g).base_fee.denominator = 1_000_001),
        ("rollups[0].evm.cadence.slotted.ms", |g| evm(g).cadence = Cadence::Slotted { ms: 0 }),
        ("rollups[0].evm.cadence.slotted.ms", |g| evm(g).cadence = Cadence::Slotted { ms: 1_500 }),
        ("rollups[0].evm.cadence.slotted.ms", |g| evm(g).cadence = Cadence::Slotted { ms: 61_000 }),
        ("rollups[0].evm.alloc.0x000f3df6d732807ef1319fb7b8bb8522d0beac02", |g| {
            let account = account(g).clone();
            evm(g).alloc.insert(SYSTEM_CONTRACTS[0], account);
        }),
        (ACCOUNT, |g| account(g).balance = 0),
        ("rollups[0].evm.alloc.0xabababababababababababababababababababab.nonce", |g| {
            account(g).nonce = u64::MAX;
        }),
        ("rollups[0].evm.alloc.0xabababababababababababababababababababab.code", |g| {
            account(g).code = Some(Hex(Vec::new()));
        }),
        ("rollups[0].evm.alloc.0xabababababababababababababababababababab.code", |g| {
            account(g).code = Some(Hex(vec![0xef, 1]));
        }),
        ("rollups[0].evm.alloc.0xabababababababababababababababababababab.code", |g| {
            account(g).code = Some(Hex(vec![0; 24_577]));
        }),
        (
            "rollups[0].evm.alloc.0xabababababababababababababababababababab.storage.\
             0x0101010101010101010101010101010101010101010101010101010101010101",
            |g| {
                account(g).storage.insert(HexArray([1; 32]), HexArray([0; 32]));
            },
        ),
    ]);
}

/// What is written is what is read, amounts as decimal strings; opaque rollups look as they did.
#[test]
fn evm_rollups_in_json() {
    let mut genesis = genesis(&committee());
    assert!(!genesis.to_json().contains("evm"));
    let account = account(&mut genesis);
    account.balance = u128::MAX;
    account.code = Some(Hex(vec![0x60; 24_576]));
    account.storage.insert(HexArray([1; 32]), HexArray([2; 32]));
    evm(&mut genesis).cadence = Cadence::Slotted { ms: 1_000 };
    genesis.rollups[0].ordering = Ordering::PriorityFee;
    assert_eq!(genesis.check(), Ok(()));
    let json = genesis.to_json();
    assert_eq!(Genesis::from_json(&json), Ok(genesis.clone()));
    assert!(json.contains("\"340282366920938463463374607431768211455\""), "{json}");
    let bad =
        json.replace("340282366920938463463374607431768211455", "340282366920938463463374607431768211456");
    let error = Genesis::from_json(&bad).expect_err("a balance of 2^128");
    assert!(error.to_string().contains("below 2^128"), "{error}");
    let fcfs = json.replace("\"priority-fee\"", "\"fcfs\"");
    assert_eq!(Genesis::from_json(&fcfs).unwrap().rollups[0].ordering, Ordering::Arrival);
}

#[test]
fn limits_and_timing() {
    check(&[
        ("epoch_blocks", |g| g.epoch_blocks = 7),
        ("epoch_blocks", |g| g.epoch_blocks = 1_000_001),
        ("epoch_blocks", |g| g.epoch_blocks = u64::MAX),
        ("block_bytes_max", |g| g.block_bytes_max = 0),
        ("block_bytes_max", |g| g.block_bytes_max = 4_095),
        ("block_bytes_max", |g| g.block_bytes_max = 16 * 1024 * 1024 + 1),
        ("validity_blocks_max", |g| g.validity_blocks_max = 15),
        ("validity_blocks_max", |g| g.validity_blocks_max = 100_001),
        ("timing.leader_timeout_ms", |g| g.timing.leader_timeout_ms = 49),
        ("timing.leader_timeout_ms", |g| g.timing.leader_timeout_ms = 60_001),
        ("timing.idle_ms", |g| g.timing.idle_ms = 0),
        ("timing.idle_ms", |g| g.timing.idle_ms = 350),
        ("timing.idle_ms", |g| g.timing.idle_ms = u64::MAX),
        ("timing.idle_ms", |g| g.timing.idle_ms = u64::MAX / 2 + 1),
        ("timing.block_interval_min_ms", |g| g.timing.block_interval_min_ms = 301),
        ("timing.certification_timeout_ms", |g| g.timing.certification_timeout_ms = 700),
        ("timing.certification_timeout_ms", |g| g.timing.certification_timeout_ms = 120_001),
        ("timing.drift_max_ms", |g| g.timing.drift_max_ms = 10_001),
    ]);
}

/// A key that is not zero, of the right length.
fn vrf_key(byte: u8) -> String {
    hex::encode(&[byte; 32])
}

/// As for election zk-lottery.
fn lottery(genesis: &mut Genesis) {
    (genesis.election, genesis.epoch_blocks) = (Election::ZkLottery, 16);
    for (member, byte) in genesis.members.iter_mut().zip(1..) {
        member.vrf_key = vrf_key(byte);
        member.commitment = Some(vrf_key(100 + byte));
    }
}

fn stakes(genesis: &mut Genesis) {
    genesis.election = Election::StakeWeighted;
}

#[test]
fn settings_that_do_not_go_together() {
    check(&[
        ("members[0].vrf_key", |g| g.election = Election::ZkLottery),
        ("members[2].vrf_key", |g| {
            lottery(g);
            g.members[2].vrf_key = vrf_key(0);
        }),
        ("members[3].vrf_key", |g| {
            lottery(g);
            g.members[3].vrf_key = g.members[1].vrf_key.clone();
        }),
        // The same key in capitals.
        ("members[3].vrf_key", |g| {
            lottery(g);
            g.members[1].vrf_key = vrf_key(0xab);
            g.members[3].vrf_key = g.members[1].vrf_key.replace('a', "A");
        }),
        ("members[1].commitment", |g| {
            lottery(g);
            g.members[1].commitment = Some("0x00".to_owned());
        }),
        ("epoch_blocks", |g| {
            lottery(g);
            g.epoch_blocks = 15;
        }),
        ("epoch_blocks", |g| {
            lottery(g);
            g.epoch_blocks = 2_048;
        }),
        ("members[1].vrf_key", |g| g.members[1].vrf_key = vrf_key(1)),
        ("members[1].commitment", |g| g.members[1].commitment = Some(vrf_key(1))),
        ("members[0].vrf_key", |g| {
            lottery(g);
            g.election = Election::ThresholdLottery;
        }),
        ("members[0].vrf_key", |g| {
            lottery(g);
            g.election = Election::StakeWeighted;
        }),
        ("members[2].weight", |g| g.members[2].weight = 2),
        ("members[2].weight", |g| g.members[2].weight = 0),
        ("members[2].weight", |g| {
            lottery(g);
            g.members[2].weight = 2;
        }),
        ("members[0].weight", |g| {
            stakes(g);
            g.members[0].weight = 0;
        }),
        ("members[3].weight", |g| {
            stakes(g);
            g.members[3].weight = Genesis::WEIGHT_MAX + 1;
        }),
        ("members[3].weight", |g| {
            stakes(g);
            g.members[3].weight = u64::MAX;
        }),
    ]);
}

/// The heaviest members that are allowed, all together, stay far below what sums are made in.
#[test]
fn weights_do_not_overflow() {
    assert!(Genesis::WEIGHT_MAX.checked_mul(128 * 256).is_some());
}

#[test]
fn elections_with_what_they_need_are_allowed() {
    let good: [Change; 5] = [
        lottery,
        |g| {
            lottery(g);
            g.epoch_blocks = 2_047;
        },
        |g| {
            lottery(g);
            g.members.iter_mut().for_each(|member| member.commitment = None);
        },
        stakes,
        |g| {
            stakes(g);
            g.members.iter_mut().for_each(|member| member.weight = Genesis::WEIGHT_MAX);
        },
    ];
    for (number, change) in (1..).zip(good) {
        let mut genesis = genesis(&committee());
        change(&mut genesis);
        assert_eq!(genesis.check(), Ok(()), "case {number}");
        genesis.block().unwrap();
    }
}

/// The last value that each limit allows.
#[test]
fn edges_are_allowed() {
    let edges: [Change; 8] = [
        |g| g.epoch_blocks = 8,
        |g| g.block_bytes_max = 16 * 1024 * 1024,
        |g| g.validity_blocks_max = 16,
        |g| g.timing.idle_ms = 349,
        |g| g.timing.block_interval_min_ms = 300,
        |g| g.timing.certification_timeout_ms = 701,
        |g| g.rollups[0].transaction_bytes_max = g.rollups[0].block_bytes_max - 64,
        |g| g.rollups[0].name = "x".repeat(32),
    ];
    for (number, edge) in (1..).zip(edges) {
        let mut genesis = genesis(&committee());
        edge(&mut genesis);
        assert_eq!(genesis.check(), Ok(()), "edge {number}");
    }
}

#[test]
fn unknown_and_missing_keys() {
    let good = serde_json::to_value(genesis(&committee())).unwrap();
    for pointer in ["", "/network", "/key_generation", "/members/0", "/rollups/0", "/timing"] {
        let mut more = good.clone();
        let object = more.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.insert("surprise".to_owned(), 1.into());
        let error = Genesis::from_json(&more.to_string()).expect_err(pointer);
        assert!(error.to_string().contains("surprise"), "{error}");
        let names: Vec<String> =
            good.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names.iter().filter(|name| *name != "l1") {
            let mut less = good.clone();
            less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
            let error = Genesis::from_json(&less.to_string()).expect_err(name);
            assert!(error.to_string().contains(name.as_str()), "{error}");
        }
    }
}

#[test]
fn rollups_are_found_by_name_and_id() {
    let genesis = genesis(&committee());
    let id = |text: &str| genesis.find_rollup(text).map(|rollup| rollup.id());
    assert_eq!(id("demo"), Some(RollupId(1)));
    assert_eq!(id("7"), Some(RollupId(7)));
    assert_eq!(id("2"), None);
    assert_eq!(id("Demo"), None);
    assert_eq!(genesis.limits().rollups_max, 2);
}

#[test]
fn quorums() {
    let rows = [
        (1, 0, 1),
        (2, 0, 2),
        (3, 0, 3),
        (4, 1, 3),
        (5, 1, 4),
        (6, 1, 5),
        (7, 2, 5),
        (10, 3, 7),
        (128, 42, 86),
    ];
    for (members, faults, votes) in rows {
        assert_eq!((faults_tolerated(members), quorum(members)), (faults, votes), "of {members}");
    }
}

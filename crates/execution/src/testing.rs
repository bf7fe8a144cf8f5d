//! What the tests of several modules need.

use crate::{Checked, Limits, Pool, Rules, Unit};
use baton_types::{
    Block, Body, Bundle, Digest, Genesis, Header, PrivateKey, Results, Rollup, RollupId, Segment,
    Transaction, TxId,
    block::ElectionKind,
    genesis::{Data, Election, KeyGeneration, KeyOrigin, NetworkName, Ordering, Reshare, Timing},
    merkle::{self, EMPTY, Heads},
};
use bytes::Bytes;
use commonware_cryptography::{Digestible as _, Signer as _};

pub const VALIDITY: u64 = 100;

/// Numbers that look random and are the same every time (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

pub fn rollup(id: u32) -> Rollup {
    Rollup {
        transaction_bytes_max: 1_000,
        block_bytes_max: 4_000,
        mempool_bytes_max: 100_000,
        ..Rollup::opaque(id, &format!("r{id}"), Data::Bytes)
    }
}

/// 1 and 2 by arrival, 3 by fee hint, 4 for hashes.
pub fn rollups() -> Vec<Rollup> {
    vec![
        rollup(1),
        rollup(2),
        Rollup { ordering: Ordering::FeeHint, ..rollup(3) },
        Rollup { data: Data::Hash, ..rollup(4) },
    ]
}

pub fn genesis(rollups: Vec<Rollup>, block_bytes_max: usize) -> Genesis {
    Genesis {
        version: 1,
        network: NetworkName { name: "test".into(), id: 1 },
        key_generation: KeyGeneration {
            generation: 0,
            origin: KeyOrigin::Dealer,
            group_key: String::new(),
            sharing: String::new(),
        },
        members: Vec::new(),
        rollups,
        election: Election::RoundRobin,
        epoch_blocks: 100,
        reshare: Reshare::OnChange,
        timing: Timing::default(),
        block_bytes_max,
        validity_blocks_max: VALIDITY,
        l1: None,
        batches: None,
    }
}

pub fn rules(rollups: Vec<Rollup>, block_bytes_max: usize) -> Rules {
    Rules::new(&genesis(rollups, block_bytes_max))
}

pub const fn limits(block_bytes_max: usize) -> Limits {
    Limits {
        bytes_max: 1_000_000,
        transactions_max: 10_000,
        client_transactions_max: 1_000,
        client_bytes_max: 100_000,
        wait_ms_max: 100,
        sender_transactions_max: 16,
        faults_max: 0,
        validity_blocks_max: VALIDITY,
        block_bytes_max,
    }
}

pub fn payload(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A payload of `size` bytes that starts with `number`.
pub fn numbered(number: u64, size: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(size.max(8), 0);
    bytes.into()
}

pub const fn transaction(valid_until: u64, payload: Bytes) -> Transaction {
    Transaction { valid_until, bundle: None, payload }
}

pub const fn single(rollup: u32, valid_until: u64, payload: Bytes) -> Unit {
    hinted(rollup, valid_until, payload, 0)
}

pub const fn hinted(rollup: u32, valid_until: u64, payload: Bytes, fee_hint: u64) -> Unit {
    Unit::Single { rollup: RollupId(rollup), transaction: transaction(valid_until, payload), fee_hint }
}

pub fn bundle(valid_until: u64, legs: &[(u32, &str)]) -> Bundle {
    let legs = legs.iter().map(|(rollup, text)| (RollupId(*rollup), payload(text)));
    Bundle::new(valid_until, legs.collect())
}

pub fn checked(rules: &Rules, unit: Unit) -> Checked {
    Pool::check(rules, unit, 0).unwrap()
}

pub fn segment(rollup: u32, transactions: Vec<Transaction>) -> Segment {
    Segment { rollup: RollupId(rollup), transactions }
}

/// Whatever ids, all different.
pub fn some_id(number: u64) -> TxId {
    transaction(number, payload("id")).id(RollupId(1))
}

fn header(height: u64, parent: Digest) -> Header {
    let author = PrivateKey::from_seed(0).public_key();
    Header {
        chain: EMPTY,
        epoch: 0,
        view: height,
        parent_view: height.saturating_sub(1),
        height,
        parent,
        timestamp_ms: 0,
        committer: author.clone(),
        author,
        election: ElectionKind::RoundRobin,
        reveal: [0; 32],
        reveal_evidence: EMPTY,
        parent_seed: [0; 48],
        body_root: EMPTY,
        heads_root: EMPTY,
        history_root: EMPTY,
        results_root: EMPTY,
        l1_number: 0,
        l1_hash: EMPTY,
        forced_root: EMPTY,
        members_root: EMPTY,
        bench_report: [0; 32],
        payload_root: EMPTY,
        protocol_signal: 0,
    }
}

/// A block whose accumulators start nowhere.
pub fn block(height: u64, segments: Vec<Segment>) -> Block {
    let peaks = vec![EMPTY; usize::try_from(height.count_ones()).unwrap()];
    let body = Body {
        segments,
        heads: Heads::new(),
        peaks,
        payload: None,
        lottery: None,
        results: Results::new(),
        l1: None,
    };
    Block::seal(header(height, EMPTY), body, None)
}

/// A block that follows `parent` by the rules.
pub fn child(parent: &Block, segments: Vec<Segment>) -> Block {
    let height = parent.header().height + 1;
    let mut heads = parent.body().heads.clone();
    let ids: Vec<(RollupId, Vec<TxId>)> = segments
        .iter()
        .map(|segment| {
            (segment.rollup, segment.transactions.iter().map(|leg| leg.id(segment.rollup)).collect())
        })
        .collect();
    merkle::advance_heads(&mut heads, height, ids.iter().map(|(rollup, ids)| (*rollup, &ids[..])));
    let peaks = parent.history_after().unwrap().peaks;
    Block::seal(
        header(height, parent.digest()),
        Body { segments, heads, peaks, payload: None, lottery: None, results: Results::new(), l1: None },
        None,
    )
}

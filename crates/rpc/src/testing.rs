//! What the tests of several modules need: a chain, blocks, and a connection without a socket.

use crate::{
    api::{Chain, Facts},
    config::Limits,
    metrics::Metrics,
    session::{Budget, Closed, Feed, Outbox, Places, Queued, Session, Starts, Style, start},
    shares::Shares,
};
use baton_consensus::client::Live;
use baton_types::{
    Block, Body, Digest, Epoch, Genesis, Header, PrivateKey, Results, Rollup, RollupId, Segment, Transaction,
    block::ElectionKind,
    genesis::{Data, Election, KeyGeneration, KeyOrigin, Member, NetworkName, Reshare, Timing},
    hex,
    merkle::{EMPTY, Heads},
};
use bytes::Bytes;
use commonware_cryptography::{Digested, Signer as _};
use serde_json::Value;
use std::{future::Future, sync::Arc};
use tokio::sync::{Semaphore, mpsc};

pub fn key(seed: u64) -> PrivateKey {
    PrivateKey::from_seed(seed)
}

/// Four members and the rollups `demo` (1) and `notes` (2).
pub fn chain() -> Chain {
    let mut keys: Vec<_> = (0..4).map(|seed| key(seed).public_key()).collect();
    keys.sort();
    let members = keys.iter().map(|identity| Member {
        identity: hex::encode_value(identity),
        vrf_key: hex::encode(&[0; 32]),
        commitment: None,
        p2p: "127.0.0.1:30545".parse().unwrap(),
        weight: 1,
    });
    let genesis = Genesis {
        version: 1,
        network: NetworkName { name: "test".into(), id: 7 },
        key_generation: KeyGeneration {
            generation: 0,
            origin: KeyOrigin::Dealer,
            group_key: "0x00".into(),
            sharing: "0x00".into(),
        },
        members: members.collect(),
        rollups: vec![Rollup::opaque(1, "demo", Data::Bytes), Rollup::opaque(2, "notes", Data::Bytes)],
        election: Election::ThresholdLottery,
        epoch_blocks: 100,
        reshare: Reshare::OnChange,
        timing: Timing::default(),
        block_bytes_max: 1024 * 1024,
        validity_blocks_max: 1_000,
        l1: None,
        batches: None,
    };
    let facts = Facts { version: "0.1.0".into(), index: 2, identity: keys[2].clone() };
    Chain::new(Arc::new(genesis), facts)
}

/// What a node in the middle of its work sees, holders of the key left out.
pub fn live() -> Live {
    Live {
        epoch: Epoch::new(3),
        view: 100,
        finalized_height: 350,
        finalized_digest: EMPTY,
        finalized_time_ms: 5,
        tip_height: 9,
        lowest_height: 0,
        judges_from: 1,
        unavailable_below: None,
        voting: true,
        silence: None,
        authors_ahead: Default::default(),
        holders: Vec::new(),
        last_vote_view: Vec::new(),
    }
}

/// A block with these payloads by rollup. Only what the API shows of it is right.
pub fn block(height: u64, segments: &[(u32, &[&str])]) -> Digested<Block> {
    let author = key(1);
    let header = Header {
        chain: EMPTY,
        epoch: 0,
        view: height + 3,
        parent_view: height + 2,
        height,
        parent: EMPTY,
        timestamp_ms: 1_000 * height,
        committer: author.public_key(),
        author: author.public_key(),
        election: ElectionKind::ThresholdLottery,
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
    };
    let segments = segments.iter().map(|(rollup, payloads)| Segment {
        rollup: RollupId(*rollup),
        transactions: payloads.iter().map(|payload| transaction(payload)).collect(),
    });
    // As many peaks as the height has one bits: what sealing asks for.
    let peaks = (0..height.count_ones()).map(|_| EMPTY).collect();
    let body = Body {
        segments: segments.collect(),
        heads: heads(),
        peaks,
        payload: None,
        lottery: None,
        results: Results::new(),
        l1: None,
    };
    Block::seal(header, body, Some(&author)).digested()
}

fn heads() -> Heads {
    [(RollupId(1), head(1))].into()
}

fn head(byte: u8) -> Digest {
    commonware_cryptography::sha256::Digest([byte; 32])
}

pub fn transaction(payload: &str) -> Transaction {
    Transaction { valid_until: 50, bundle: None, payload: Bytes::copy_from_slice(payload.as_bytes()) }
}

/// A session whose queue the test reads itself.
pub struct Connection {
    pub session: Arc<Session>,
    pub metrics: Arc<Metrics>,
    queue: mpsc::Receiver<Queued>,
}

impl Connection {
    pub fn new(limits: &Limits) -> Self {
        let metrics = Arc::new(Metrics::new(std::iter::empty()));
        let (outbox, queue) = Outbox::new(limits, Budget::new(limits.queue_bytes_max));
        let places = Places {
            all: Arc::new(Semaphore::new(limits.subscriptions_max)),
            shares: Shares::new(limits.subscriptions_max, 100),
        };
        Self { session: Session::new("test".into(), outbox, limits, places, metrics.clone()), metrics, queue }
    }

    pub fn subscribe<Fut>(&self, pump: impl FnOnce(Feed) -> Fut) -> u64
    where
        Fut: Future<Output = Result<(), Closed>> + Send + 'static,
    {
        let starts = Starts::default();
        let subscription = self.session.subscribe(&starts, Style::Baton, pump).unwrap();
        start(&starts);
        subscription
    }

    /// The result of the next notification.
    pub async fn next(&mut self) -> Value {
        self.next_of("baton_subscription").await
    }

    pub async fn next_of(&mut self, method: &str) -> Value {
        let queued = self.queue.recv().await.unwrap();
        let mut notification: Value = serde_json::from_str(&queued.text).unwrap();
        assert_eq!(notification["jsonrpc"], "2.0");
        assert_eq!(notification["method"], method);
        notification["params"]["result"].take()
    }
}

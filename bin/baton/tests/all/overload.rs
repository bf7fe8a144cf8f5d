//! More than the cluster can order: what is too much is shed with a time to come back, what was taken is
//! final, and a flooded node does not shut out the clients of the others.

use crate::support::{Cluster, Node, PATIENCE, call, eventually, http, load};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Clients at once. They come back sooner than they are told to.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(10);
/// Transactions in one of their requests, and bytes of each.
const BATCH: usize = 100;
const BYTES: usize = 1_000;
/// Small, so that little is too much.
const BLOCK_BYTES: usize = 256 * 1024;
/// Requests shed, and blocks made meanwhile, before a flood ends.
const SHED: u64 = 50;
const BLOCKS: u64 = 8;

struct Flood {
    stop: Arc<AtomicBool>,
    shed: Arc<AtomicU64>,
    clients: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Flood {
    /// `round` keeps the payloads apart.
    fn start(round: usize, nodes: &[SocketAddr]) -> Self {
        let (stop, shed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, shed, to) = (stop.clone(), shed.clone(), nodes[client % nodes.len()]);
            thread::spawn(move || {
                let mut accepted = BTreeSet::new();
                let mut request = 0;
                let mut next = || {
                    request += 1;
                    batch(&format!("{round:02x}{client:04x}{request:08x}"), BATCH, BYTES)
                };
                let mut body = next();
                while !stop.load(Ordering::Relaxed) {
                    match submit(to, &body, &mut accepted) {
                        0 => body = next(),
                        refused => {
                            shed.fetch_add(refused, Ordering::Relaxed);
                        }
                    }
                    // The rate of the flood; nothing waits for it.
                    thread::sleep(PAUSE);
                }
                accepted
            })
        });
        Self { clients: clients.collect(), stop, shed }
    }

    fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// A request whose payloads begin with `head`.
fn batch(head: &str, count: usize, bytes: usize) -> String {
    let rest = "c3".repeat(bytes - head.len() / 2 - 2);
    let transactions: Vec<_> = (0..count)
        .map(|number| json!({"rollup": "demo", "data": format!("0x{head}{number:04x}{rest}")}))
        .collect();
    call("baton_submitBatch", json!({ "transactions": transactions }))
}

/// How many refusals came back. Each has to be of the kind that a client can live with.
fn submit(to: SocketAddr, body: &str, accepted: &mut BTreeSet<String>) -> u64 {
    // Without an answer nothing was promised.
    let Ok((_, answer)) = http(to, "POST /", body) else { return 0 };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let entries = answer["result"]["transactions"].as_array().cloned().unwrap_or_default();
    accepted.extend(entries.iter().filter_map(|entry| entry["id"].as_str()).map(str::to_owned));
    let refusals = entries.iter().map(|entry| &entry["error"]).chain([&answer["error"]["data"]]);
    let refusals: Vec<_> = refusals.filter(|error| !error.is_null()).collect();
    for refusal in &refusals {
        assert_eq!(refusal["reason"], "busy", "{refusal}");
        let ms = refusal["retry_after_ms"].as_u64();
        assert!(ms.is_some_and(|ms| (1..=10_000).contains(&ms)), "{refusal}");
    }
    u64::try_from(refusals.len()).unwrap()
}

/// Incident: a reviewer of Base's plans: overload slows all nodes alike.
#[test]
fn what_is_too_much_is_shed_and_the_rest_is_final() {
    let mut cluster = Cluster::prepare(4, |genesis| {
        for rollup in &mut genesis.rollups {
            (rollup.block_bytes_max, rollup.transaction_bytes_max) = (BLOCK_BYTES, 128 * 1024);
        }
    });
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let nodes: Vec<_> = cluster.nodes.iter().map(|node| node.rpc).collect();
    let pressed = |flood: &Flood, from: u64| {
        // Whoever only asks is answered all the while.
        let height = cluster.nodes[1].height().expect("a node that answers");
        (flood.shed() >= SHED && height >= from + BLOCKS).then_some(())
    };

    // All of it to one node: clients of another do not notice.
    let flood = Flood::start(0, &nodes[..1]);
    let (from, mut request, mut accepted) = (cluster.height(), 0, BTreeSet::new());
    let served = eventually(PATIENCE, || {
        request += 1;
        let shed = submit(nodes[1], &batch(&format!("ff{request:08x}"), 5, 100), &mut accepted);
        assert_eq!(shed, 0, "another node's client was turned away");
        pressed(&flood, from)
    });
    assert!(served.is_some(), "{} shed, from {from} to {}", flood.shed(), cluster.height());
    assert!(!accepted.is_empty());
    accepted.extend(flood.stop());
    let busy = |node: &Node| node.requests("baton_submitBatch", "busy");
    assert!(busy(&cluster.nodes[0]) >= SHED);
    assert_eq!(busy(&cluster.nodes[1]), 0);

    let flood = Flood::start(1, &nodes);
    let from = cluster.height();
    let pressure = eventually(PATIENCE, || pressed(&flood, from));
    assert!(pressure.is_some(), "{} shed, from {from} to {}", flood.shed(), cluster.height());
    accepted.extend(flood.stop());
    assert!(cluster.nodes.iter().all(|node| busy(node) > 0));

    load::check(&cluster, &accepted);
}

//! A load that goes on whatever happens to the nodes, and the check of what became of it.

use super::{Cluster, Node, http};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Transactions in one request.
const BATCH: u32 = 20;

/// Threads that submit until told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Load {
    /// One worker per node. A node that does not answer is asked again.
    pub fn start(cluster: &Cluster, pause: Duration) -> Self {
        Self::on(&cluster.nodes, pause)
    }

    /// On some of the nodes only.
    pub fn on(nodes: &[Node], pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = nodes.iter().map(|node| {
            let (stop, to) = (stop.clone(), node.rpc);
            thread::spawn(move || work(to, pause, &stop))
        });
        Self { workers: workers.collect(), stop }
    }

    /// The ids of everything that was accepted.
    pub fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    }
}

fn work(to: SocketAddr, pause: Duration, stop: &AtomicBool) -> BTreeSet<String> {
    let mut accepted = BTreeSet::new();
    let mut number = 0u32;
    while !stop.load(Ordering::Relaxed) {
        // The rate of the load; nothing waits for it.
        thread::sleep(pause);
        let transactions: Vec<_> = (0..BATCH)
            .map(|_| {
                number += 1;
                // The port makes it another than those of other nodes.
                let data = format!("0x{:04x}{number:08x}{}", to.port(), "5a".repeat(94));
                json!({ "rollup": "demo", "data": data })
            })
            .collect();
        let params = json!({ "transactions": transactions });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "baton_submitBatch", "params": params});
        // Without an answer nothing was promised.
        let Ok((_, answer)) = http(to, "POST /", &body.to_string()) else { continue };
        let Ok(answer) = serde_json::from_str::<Value>(&answer) else { continue };
        let entries = answer["result"]["transactions"].as_array().cloned().unwrap_or_default();
        accepted.extend(entries.iter().filter_map(|entry| entry["id"].as_str()).map(str::to_owned));
    }
    accepted
}

/// Every finalized block of a node: hash and ids by height.
pub fn blocks(node: &Node, last: u64) -> BTreeMap<u64, (String, Vec<String>)> {
    (1..=last)
        .map(|height| {
            let block = node
                .call("baton_block", json!({ "block": height }))
                .unwrap_or_else(|| panic!("no block {height}\n{}", node.log_text()));
            let ids = block["segments"].as_array().unwrap().iter().flat_map(|segment| {
                segment["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned())
            });
            (height, (block["hash"].as_str().unwrap().to_owned(), ids.collect()))
        })
        .collect()
}

/// All nodes have the same blocks, and everything accepted stands in them exactly once.
pub fn check(cluster: &Cluster, accepted: &BTreeSet<String>) {
    let pool = || {
        let waiting = |node: &Node| node.call("baton_mempool", json!({}))?["transactions"].as_u64();
        cluster.nodes.iter().all(|node| waiting(node) == Some(0)).then_some(())
    };
    assert!(super::eventually(super::PATIENCE, pool).is_some(), "something accepted is never ordered");
    let last = cluster.height();
    cluster.nodes.iter().for_each(|node| node.reaches(last));
    let reference = blocks(&cluster.nodes[0], last);
    for node in &cluster.nodes[1..] {
        assert_eq!(blocks(node, last), reference, "two nodes disagree");
    }
    let mut seen = BTreeSet::new();
    for (height, (_, ids)) in &reference {
        for id in ids {
            assert!(seen.insert(id.clone()), "{id} stands twice, again at {height}");
        }
    }
    let lost: Vec<_> = accepted.difference(&seen).take(3).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?} of {}", accepted.len());
}

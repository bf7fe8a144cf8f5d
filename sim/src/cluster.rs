//! Nodes that can be crashed and started again, on links that can be cut.

use crate::{
    links::{Links, Oracle},
    witness::Witness,
};
use baton_consensus::{Client, client::Event, engine};
use baton_execution::pool::Limits;
use baton_node::keys::{Devnet, MemberKeys, devnet_genesis};
use baton_types::{Genesis, PublicKey, Rollup, genesis::Data};
use commonware_cryptography::Signer as _;
use commonware_p2p::simulated::{self, Link};
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::{NZUsize, Probability, sync::Mutex};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio::sync::broadcast::error::RecvError;

/// What the messages between two members go through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSpec {
    pub latency_ms: u64,
    pub jitter_ms: u64,
    /// Of a thousand messages, how many are lost.
    pub loss_permille: u16,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self { latency_ms: 10, jitter_ms: 3, loss_permille: 0 }
    }
}

impl LinkSpec {
    fn link(self) -> Link {
        let delivered = 1_000 - u64::from(self.loss_permille.min(1_000));
        Link {
            latency: Duration::from_millis(self.latency_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            success_rate: Probability::new(delivered, 1_000).expect("at most one"),
        }
    }
}

pub struct Cluster {
    context: Context,
    oracle: Oracle,
    pub genesis: Genesis,
    keys: Vec<MemberKeys>,
    pub members: Vec<Member>,
    link: LinkSpec,
    /// Side of the partition each member is on; all 0 when there is none.
    sides: Vec<u8>,
}

pub struct Member {
    /// None while crashed.
    pub running: Option<Running>,
    pub witness: Arc<Mutex<Witness>>,
    /// First contradiction in the member's own account.
    pub contradiction: Arc<Mutex<Option<String>>>,
    starts: u64,
    /// How far its clock is ahead.
    pub skew_ms: u64,
}

pub struct Running {
    pub client: Client,
    handle: Handle<()>,
    listener: Handle<()>,
}

/// A genesis for `nodes` members and the rollups 1 (bytes), 2 (bytes) and 3 (hashes).
pub fn genesis(nodes: u16, seed: u64, change: impl FnOnce(&mut Genesis)) -> (Genesis, Vec<MemberKeys>) {
    let rollups = vec![
        Rollup::opaque(1, "one", Data::Bytes),
        Rollup::opaque(2, "two", Data::Bytes),
        Rollup::opaque(3, "hashes", Data::Hash),
    ];
    let devnet = Devnet { seed: Some(seed), rollups, ..Devnet::local(nodes, 30_000) };
    let (mut genesis, keys) = devnet_genesis(devnet);
    change(&mut genesis);
    genesis.check().expect("the scenario's genesis is valid");
    (genesis, keys)
}

impl Cluster {
    pub async fn new(context: Context, genesis: Genesis, keys: Vec<MemberKeys>, link: LinkSpec) -> Self {
        let n = keys.len();
        let config = simulated::Config {
            max_size: engine::max_message_size(&genesis),
            max_peers_per_set: NZUsize!(64),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(3),
        };
        let (network, oracle) = simulated::Network::new(context.child("network"), config);
        network.start();
        let members = (0..n)
            .map(|_| Member {
                running: None,
                witness: Arc::default(),
                contradiction: Arc::default(),
                starts: 0,
                skew_ms: 0,
            })
            .collect();
        let mut cluster = Self { context, oracle, genesis, keys, members, link, sides: vec![0; n] };
        cluster.relink().await;
        for index in 0..n {
            cluster.start(index).await;
        }
        cluster
    }

    fn identity(&self, index: usize) -> PublicKey {
        self.keys[index].identity.public_key()
    }

    /// Lays all links anew: between members of one side only.
    async fn relink(&mut self) {
        for from in 0..self.keys.len() {
            for to in (0..self.keys.len()).filter(|to| *to != from) {
                let (a, b) = (self.identity(from), self.identity(to));
                // Fails when there was none.
                let _ = self.oracle.remove_link(a.clone(), b.clone()).await;
                if self.sides[from] == self.sides[to] {
                    self.oracle.add_link(a, b, self.link.link()).await.expect("both ends exist");
                }
            }
        }
    }

    pub async fn set_link(&mut self, link: LinkSpec) {
        self.link = link;
        self.relink().await;
    }

    /// Cuts the members in `side` off from the others.
    pub async fn partition(&mut self, side: &[usize]) {
        self.sides = (0..self.keys.len()).map(|index| u8::from(side.contains(&index))).collect();
        self.relink().await;
    }

    pub async fn heal(&mut self) {
        self.sides.fill(0);
        self.relink().await;
    }

    /// Starts a member, on the disk it had.
    pub async fn start(&mut self, index: usize) {
        let member = &mut self.members[index];
        assert!(member.running.is_none(), "member {index} runs already");
        let first = member.starts == 0;
        member.starts += 1;
        member.witness.lock().restart();
        let keys = &self.keys[index];
        let context = self
            .context
            .child("member")
            .with_attribute("index", index)
            .with_attribute("start", member.starts);
        let time = context.child("clock");
        let skew_ms = member.skew_ms;
        let clock = move || {
            let since = time.current().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX) + skew_ms
        };
        let config = engine::Config {
            genesis: self.genesis.clone(),
            key: keys.identity.clone(),
            first_share: first.then(|| keys.share.clone()),
            partition: format!("member{index}"),
            limits: Limits {
                bytes_max: 64 * 1024 * 1024,
                transactions_max: 100_000,
                client_transactions_max: 100_000,
                client_bytes_max: 64 * 1024 * 1024,
                validity_blocks_max: self.genesis.validity_blocks_max,
                block_bytes_max: self.genesis.block_bytes_max,
            },
            clock: Arc::new(clock),
            page_cache_pages: NZUsize!(256),
        };
        let mut links = Links::new(&self.oracle, keys.identity.public_key());
        let listening = context.child("listener");
        let node = engine::start(context, config, &mut links).await.expect("the member starts");
        let mut events = node.client.subscribe();
        let (witness, contradiction) = (member.witness.clone(), member.contradiction.clone());
        let listener = listening.spawn(move |_| async move {
            loop {
                match events.recv().await {
                    Ok(event) => hear(&witness, &contradiction, &event),
                    Err(RecvError::Lagged(_)) => {
                        contradiction.lock().get_or_insert("the listener lost events".to_owned());
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        self.members[index].running = Some(Running { client: node.client, handle: node.handle, listener });
    }

    /// Ends a member between two instructions, as `kill -9` does.
    pub fn crash(&mut self, index: usize) {
        let running = self.members[index].running.take().expect("the member runs");
        running.handle.abort();
        running.listener.abort();
    }

    pub fn running(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((index, &member.running.as_ref()?.client)))
    }

    /// The lowest finalized height among the members that run.
    pub fn lowest(&self) -> u64 {
        self.running().map(|(_, client)| client.live().finalized_height).min().unwrap_or(0)
    }
}

fn hear(witness: &Mutex<Witness>, contradiction: &Mutex<Option<String>>, event: &Event) {
    if let Err(error) = witness.lock().hear(event) {
        contradiction.lock().get_or_insert(error);
    }
}

//! Nodes that can be crashed and started again, on links that can be cut and machines that can fail.

mod posting;

use crate::{
    byzantine::{Behaviour, Deeds, Ends, Seat},
    disk::{Disk, Unsynced},
    l1::L1,
    life::Life,
    links::{Links, Oracle},
    machine::{Machine, Skew},
    trace::{Entry, Trace},
    votes::{Listener, Replays, Votes},
    witness::Witness,
};
use baton_consensus::{
    Client, History,
    client::Event,
    engine,
    evm::{self, Fault},
    settlement,
};
use baton_execution::pool::Limits;
use baton_node::keys::{self, Devnet, MemberKeys, devnet_genesis};
use baton_types::{Epoch, Genesis, PublicKey, Rollup, RollupId, faults_tolerated, genesis::Data};
use commonware_cryptography::Signer as _;
use commonware_p2p::simulated::{self, Link};
use commonware_runtime::{
    Clock as _, Handle, Metrics as _, Spawner as _, Supervisor as _, deterministic::Context,
};
use commonware_utils::{NZUsize, Probability, sync::Mutex};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Blocks of an EVM rollup between two states on disk: few, so that runs come by some.
const CHECKPOINT_BLOCKS: u64 = 8;
/// Batches that members remember though they are final on L1: few, so that runs come by more.
const BATCHES_KEPT: usize = 48;
/// How long the last events of an ended process may take to be heard.
const HEARD_MS: u64 = 1_000;

/// What the messages between two members go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub trace: Trace,
    pub unsynced: Unsynced,
    link: LinkSpec,
    /// Side of the partition each member is on; all 0 when there is none.
    sides: Vec<u8>,
    /// Directions in which nothing gets through.
    cuts: BTreeSet<(usize, usize)>,
    /// What the links of each member take longer.
    slow_ms: Vec<u64>,
    /// Whether messages come again.
    pub replays: Replays,
    /// Links as they are laid.
    laid: BTreeMap<(usize, usize), LinkSpec>,
    /// Members that do not keep the rules. They never count as running, and nothing stops them.
    hostile: BTreeMap<usize, Behaviour>,
    deeds: BTreeMap<usize, Deeds>,
    /// From their next start on, members do not ask what they have said before.
    pub trusts_own_journal: bool,
    /// What happens to the executors of members, from their next start on.
    pub evm_faults: BTreeMap<usize, (RollupId, Fault)>,
    /// How old a batch may be that is not on L1 before members refuse clients, from their next start on.
    pub backlog_ms_max: u64,
    /// Where it settles, if it does.
    pub l1: Option<L1>,
}

pub struct Member {
    /// None while it is down.
    pub running: Option<Running>,
    pub witness: Arc<Mutex<Witness>>,
    pub votes: Arc<Mutex<Votes>>,
    /// First contradiction in the member's own account, or why it ended by itself.
    pub contradiction: Arc<Mutex<Option<String>>>,
    /// How much of the chain it keeps, from its next start on.
    pub history: History,
    pub disk: Disk,
    /// How far its clock is ahead.
    pub skew: Skew,
    starts: u64,
    /// Hears the events of the last life.
    listener: Arc<Mutex<Option<Handle<()>>>>,
}

pub struct Running {
    /// None while it starts.
    client: Arc<OnceLock<Client>>,
    life: Arc<Life>,
    handle: Handle<()>,
}

/// A genesis for `nodes` members and the rollups 1 (bytes), 2 (bytes) and 3 (hashes).
pub fn genesis(nodes: u16, seed: u64, change: impl FnOnce(&mut Genesis)) -> (Genesis, Vec<MemberKeys>) {
    let rollups = vec![
        Rollup::opaque(1, "one", Data::Bytes),
        Rollup::opaque(2, "two", Data::Bytes),
        Rollup::opaque(3, "hashes", Data::Hash),
    ];
    let devnet = Devnet { seed: Some(seed), rollups, ..Devnet::local(nodes, 30_000) };
    let (mut genesis, members) = devnet_genesis(devnet);
    change(&mut genesis);
    keys::commit(&mut genesis, &members);
    genesis.check().expect("the scenario's genesis is valid");
    (genesis, members)
}

impl Cluster {
    /// Starts all members, and returns once they run.
    pub async fn new(
        context: Context,
        genesis: Genesis,
        keys: Vec<MemberKeys>,
        link: LinkSpec,
        unsynced: Unsynced,
        hostile: BTreeMap<usize, Behaviour>,
    ) -> Self {
        Self::with_history(context, genesis, keys, link, unsynced, hostile, History::Full).await
    }

    /// As [`Self::new`], with members that keep so much of the chain.
    pub async fn with_history(
        context: Context,
        genesis: Genesis,
        keys: Vec<MemberKeys>,
        link: LinkSpec,
        unsynced: Unsynced,
        hostile: BTreeMap<usize, Behaviour>,
        history: History,
    ) -> Self {
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
            .map(|index| Member {
                running: None,
                witness: Arc::default(),
                votes: Arc::default(),
                contradiction: Arc::default(),
                history,
                disk: Disk::new(context.child("disk").with_attribute("index", index)),
                skew: Arc::default(),
                starts: 0,
                listener: Arc::default(),
            })
            .collect();
        let trace = Trace::new(context.child("trace"));
        let mut cluster = Self {
            context,
            oracle,
            genesis,
            keys,
            members,
            trace,
            unsynced,
            link,
            sides: vec![0; n],
            cuts: BTreeSet::new(),
            slow_ms: vec![0; n],
            replays: Replays::default(),
            laid: BTreeMap::new(),
            hostile,
            deeds: BTreeMap::new(),
            trusts_own_journal: false,
            evm_faults: BTreeMap::new(),
            backlog_ms_max: settlement::Settings::default().backlog_ms_max,
            l1: None,
        };
        cluster.l1 = cluster.genesis.l1.is_some().then(|| cluster.run_l1());
        let honest = n - cluster.hostile.len();
        cluster.relink().await;
        for index in 0..n {
            cluster.start(index).await;
        }
        while cluster.running().count() < honest && !cluster.members.iter().any(Member::ended) {
            cluster.context.sleep(Duration::from_millis(1)).await;
        }
        cluster
    }

    fn identity(&self, index: usize) -> PublicKey {
        self.keys[index].identity.public_key()
    }

    fn link(&self, from: usize, to: usize) -> Option<LinkSpec> {
        let hostile = self.hostile.contains_key(&from) || self.hostile.contains_key(&to);
        let cut = self.sides[from] != self.sides[to] || self.cuts.contains(&(from, to));
        if cut && !hostile {
            return None;
        }
        let latency_ms = self.link.latency_ms + self.slow_ms[from] + self.slow_ms[to];
        Some(LinkSpec { latency_ms, ..self.link })
    }

    /// Lays the links that are not as they should be.
    async fn relink(&mut self) {
        let n = self.keys.len();
        for (from, to) in (0..n).flat_map(|from| (0..n).map(move |to| (from, to))).filter(|(a, b)| a != b) {
            let wanted = self.link(from, to);
            if self.laid.get(&(from, to)) == wanted.as_ref() {
                continue;
            }
            let (a, b) = (self.identity(from), self.identity(to));
            if self.laid.remove(&(from, to)).is_some() {
                self.oracle.remove_link(a.clone(), b.clone()).await.expect("the link was laid");
            }
            if let Some(link) = wanted {
                self.oracle.add_link(a, b, link.link()).await.expect("both ends exist");
                self.laid.insert((from, to), link);
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

    /// From now on nothing gets from one member to another; the other direction stays.
    pub async fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
        self.relink().await;
    }

    /// All messages from and to this member take so much longer.
    pub async fn slow(&mut self, index: usize, ms: u64) {
        self.slow_ms[index] = ms;
        self.relink().await;
    }

    /// This member sends no more than so many bytes a second.
    pub async fn limit_uplink(&mut self, index: usize, bytes_per_s: Option<usize>) {
        let limited = self.oracle.limit_bandwidth(self.identity(index), bytes_per_s, None).await;
        limited.expect("the network runs");
    }

    /// Ends partitions and cuts.
    pub async fn heal(&mut self) {
        self.sides.fill(0);
        self.cuts.clear();
        self.relink().await;
    }

    /// Starts a member that is down, on what its disk has.
    pub async fn start(&mut self, index: usize) {
        if self.members[index].running.is_some() || self.deeds.contains_key(&index) {
            return;
        }
        if let Some(behaviour) = self.hostile.get(&index) {
            let deeds = self.seat(index).start(behaviour).await;
            self.deeds.insert(index, deeds);
            return;
        }
        self.hear_out(index).await;
        let member = &mut self.members[index];
        let first = member.starts == 0;
        member.starts += 1;
        member.witness.lock().restart();
        let life = Arc::new(Life::default());
        if member.disk.faults().rotten {
            life.excuse();
        }
        let context = self
            .context
            .child("member")
            .with_attribute("index", index)
            .with_attribute("start", member.starts);
        // Not part of the process: it hears what that left behind.
        let listening = self.context.child("listener");
        let machine = Machine::new(context, life.clone(), member.disk.clone(), member.skew.clone());
        let keys = &self.keys[index];
        let mut config = config(&self.genesis, keys, first, index, machine.child("clock"), member.history);
        config.trusts_own_journal = self.trusts_own_journal;
        config.settlement.backlog_ms_max = self.backlog_ms_max;
        config.evm.fault = self.evm_faults.get(&index).copied();
        config.l1 = self.l1.as_ref().map(|l1| l1.view(index, config.clock.clone()));
        let listener = Listener { member: index, votes: member.votes.clone(), trace: self.trace.clone() };
        let links = Links::new(&self.oracle, keys.identity.public_key(), listener, self.replays.clone());
        let mut links = Ends::honest(links);
        let client = Arc::new(OnceLock::new());
        let (slot, ended, trace) = (client.clone(), life.clone(), self.trace.clone());
        let (witness, contradiction) = (member.witness.clone(), member.contradiction.clone());
        let heard = member.listener.clone();
        let handle = machine.spawn(move |machine| async move {
            let node = engine::start(machine, config, &mut links).await.expect("the member starts");
            trace.record(Entry::Started { member: index });
            let events = node.client.subscribe();
            let before = (node.client.clone(), node.client.finalized_height());
            let listener = listen(events, before, index, witness, contradiction, trace);
            *heard.lock() = Some(listening.spawn(|_| listener));
            let _ = slot.set(node.client);
            let _ = node.handle.await;
            ended.end("a part of the node has ended".to_owned());
        });
        self.members[index].running = Some(Running { client, life, handle });
    }

    /// Waits until all events of the member's last life are heard. They end when nothing of it is left.
    async fn hear_out(&self, index: usize) {
        let Some(listener) = self.members[index].listener.lock().take() else { return };
        if self.context.timeout(Duration::from_millis(HEARD_MS), listener).await.is_err() {
            self.members[index].contradict("something of it is left after it ended");
        }
    }

    /// Ends a member between two instructions, if it runs.
    pub fn crash(&mut self, index: usize) {
        let Some(running) = self.members[index].running.take() else { return };
        running.life.end("crashed".to_owned());
        let cause = running.life.cause().unwrap_or_default();
        self.trace.record(Entry::Ended { member: index, cause });
        running.handle.abort();
        self.members[index].disk.crash(self.unsynced);
    }

    /// Takes away members that ended by themselves. Only a broken disk excuses that.
    pub fn reap(&mut self) {
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if !member.ended() {
                continue;
            }
            if let Some(running) = member.running.as_ref().filter(|running| !running.life.excused()) {
                let cause = running.life.cause().unwrap_or_default();
                member.contradict(&format!("ended by itself: {cause}"));
            }
            self.crash(index);
        }
    }

    /// The member's disk is replaced by an empty one.
    pub fn wipe(&mut self, index: usize) {
        self.crash(index);
        let epoch = self.epoch();
        let member = &mut self.members[index];
        member.disk.wipe();
        member.votes.lock().lost_share(epoch);
    }

    /// The member's disk is replaced by the copy that was made of it.
    pub fn restore(&mut self, index: usize) {
        if self.members[index].disk.has_copy() {
            self.crash(index);
            self.members[index].disk.restore();
        }
    }

    /// Members that have started, and what to ask them with.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.members.iter().enumerate().filter_map(|(index, member)| Some((index, member.client()?)))
    }

    /// The lowest finalized height among the members that are not down.
    pub fn lowest(&self) -> u64 {
        self.members
            .iter()
            .filter(|member| member.running.is_some())
            .map(|member| member.client().map_or(0, Client::finalized_height))
            .min()
            .unwrap_or(0)
    }

    /// The highest block that any member ever said was final.
    pub fn highest(&self) -> u64 {
        let last =
            |member: &Member| member.witness.lock().chain.last_key_value().map_or(0, |(height, _)| *height);
        self.members.iter().map(last).max().unwrap_or(0)
    }

    /// The latest epoch any member is in.
    pub fn epoch(&self) -> Epoch {
        self.running().map(|(_, client)| client.live().epoch).max().unwrap_or(Epoch::zero())
    }

    /// Lets time pass.
    pub async fn settle(&self, ms: u64) {
        self.context.sleep(Duration::from_millis(ms)).await;
    }

    fn seat(&self, index: usize) -> Seat<'_> {
        Seat {
            context: &self.context,
            oracle: &self.oracle,
            genesis: &self.genesis,
            keys: &self.keys,
            index,
            hostile: &self.hostile,
            trace: &self.trace,
            l1: self.l1.as_ref(),
        }
    }

    /// What a member did, if it is hostile.
    pub fn deeds(&self, index: usize) -> Option<&Deeds> {
        self.deeds.get(&index)
    }

    /// A counter of a member in its present life, summed over the labels that contain `label`.
    pub fn metric(&self, index: usize, name: &str, label: &str) -> u64 {
        let member = [format!("index=\"{index}\""), format!("start=\"{}\"", self.members[index].starts)];
        let encoded = self.context.encode();
        encoded
            .lines()
            .filter_map(|line| line.split_once('{'))
            .filter(|(full, rest)| {
                full.starts_with("cluster_member_")
                    && full.ends_with(&format!("_{name}_total"))
                    && member.iter().all(|attribute| rest.contains(attribute))
                    && rest.contains(label)
            })
            .filter_map(|(_, rest)| rest.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Honest members that refuse to talk to each other.
    pub async fn blocked(&self) -> Vec<(usize, usize)> {
        let position = |key: &PublicKey| (0..self.keys.len()).find(|index| self.identity(*index) == *key);
        let blocked = self.oracle.blocked().await.expect("the network runs");
        let pairs = blocked.iter().filter_map(|(from, to)| Some((position(from)?, position(to)?)));
        let honest = |index: &usize| !self.hostile.contains_key(index);
        pairs.filter(|(from, to)| honest(from) && honest(to)).collect()
    }
}

impl Member {
    pub fn client(&self) -> Option<&Client> {
        self.running.as_ref()?.client.get()
    }

    /// Whether its process ended by itself.
    pub fn ended(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.life.ended())
    }

    pub fn pause(&self, paused: bool) {
        if let Some(running) = &self.running {
            running.life.pause(paused);
        }
    }

    pub fn set_skew(&self, ms: i64) {
        self.skew.store(ms, Ordering::Relaxed);
    }

    fn contradict(&self, what: &str) {
        self.contradiction.lock().get_or_insert_with(|| what.to_owned());
    }
}

pub(crate) fn config(
    genesis: &Genesis,
    keys: &MemberKeys,
    first: bool,
    index: usize,
    time: Machine,
    history: History,
) -> engine::Config {
    let clock = move || unix_ms(&time);
    let members = u32::try_from(genesis.members.len()).expect("a cluster has few members");
    engine::Config {
        genesis: genesis.clone(),
        key: keys.identity.clone(),
        first_share: first.then(|| keys.share.clone()),
        vrf: Some(keys.vrf.clone()),
        partition: format!("member{index}"),
        history,
        limits: Limits {
            faults_max: faults_tolerated(members) as usize,
            bytes_max: 64 * 1024 * 1024,
            transactions_max: 20_000,
            client_transactions_max: 100_000,
            client_bytes_max: 64 * 1024 * 1024,
            wait_ms_max: 100,
            sender_transactions_max: 64,
            validity_blocks_max: genesis.validity_blocks_max,
            block_bytes_max: genesis.block_bytes_max,
        },
        clock: Arc::new(clock),
        trusts_own_journal: false,
        page_cache_pages: NZUsize!(256),
        background: || {},
        evm: evm::Settings { checkpoint_blocks: CHECKPOINT_BLOCKS, ..evm::Settings::default() },
        l1: None,
        settlement: settlement::Settings { batches_kept: BATCHES_KEPT, ..settlement::Settings::default() },
    }
}

fn unix_ms(clock: &impl commonware_runtime::Clock) -> u64 {
    let since = clock.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Hears the events of one life until nothing of it is left.
async fn listen(
    mut events: Receiver<Event>,
    (client, known): (Client, u64),
    member: usize,
    witness: Arc<Mutex<Witness>>,
    contradiction: Arc<Mutex<Option<String>>>,
    trace: Trace,
) {
    // A node that starts on a slow disk may finalize before anybody can listen.
    let next = witness.lock().chain.last_key_value().map_or(1, |(height, _)| height + 1);
    for height in next..=known {
        // One that joined at a later block, or keeps a window, does not have it.
        let Ok(block) = client.finalized(height).await else { continue };
        let heard = witness.lock().missed(&block);
        if let Err(error) = heard {
            contradiction.lock().get_or_insert(error);
        }
    }
    // Or something of the process would be left for as long as this listens.
    drop(client);
    loop {
        let heard = match events.recv().await {
            Ok(event) => witness.lock().hear(member, &event, &trace),
            Err(RecvError::Lagged(_)) => Err("the listener lost events".to_owned()),
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = heard {
            contradiction.lock().get_or_insert(error);
        }
    }
}

//! Members that keep a window of the chain, and those that join when its beginning is gone.

use baton_consensus::{Client, History, client::Submit};
use baton_execution::pool::Unit;
use baton_sim::{
    byzantine::Behaviour,
    cluster::{self, Cluster, LinkSpec},
    disk::Unsynced,
    wallet,
};
use baton_types::{
    Genesis, RollupId, Transaction, TxId,
    api::Ack,
    genesis::{Election, Reshare},
    receipt::{Reason, Rung},
};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};

const VALIDITY: u64 = 16;
const EPOCH: u64 = 24;
/// The shortest window of these chains.
pub const WINDOW: u64 = 2 * (VALIDITY + EPOCH);

pub fn on_change(genesis: &mut Genesis) {
    genesis.election = Election::ThresholdLottery;
    genesis.validity_blocks_max = VALIDITY;
    genesis.epoch_blocks = EPOCH;
    genesis.timing.idle_ms = 60;
    genesis.timing.block_interval_min_ms = 30;
}

fn every_epoch(genesis: &mut Genesis) {
    on_change(genesis);
    genesis.reshare = Reshare::EveryEpoch;
}

pub struct World {
    context: deterministic::Context,
    pub cluster: Cluster,
    turn: usize,
}

pub struct Setup {
    pub seed: u64,
    pub genesis: fn(&mut Genesis),
    pub history: History,
    pub hostile: BTreeMap<usize, Behaviour>,
}

impl Setup {
    pub fn new(seed: u64, genesis: fn(&mut Genesis)) -> Self {
        Self { seed, genesis, history: History::Window { blocks: WINDOW }, hostile: BTreeMap::new() }
    }

    /// Runs a story. No honest member may contradict itself.
    pub fn run(self, story: impl AsyncFn(&mut World)) {
        self.run_once(&story);
    }

    /// As [`Self::run`], twice; both must go the same way.
    pub fn run_twice(self, story: impl AsyncFn(&mut World)) {
        let (first, second) = (self.run_once(&story), self.run_once(&story));
        assert_eq!(first, second, "not deterministic with seed {}", self.seed);
    }

    fn run_once(&self, story: &impl AsyncFn(&mut World)) -> String {
        let config = deterministic::Config::new().with_seed(self.seed);
        deterministic::Runner::new(config).start(|context| async {
            let (genesis, keys) = cluster::genesis(4, self.seed, self.genesis);
            let cluster = Cluster::with_history(
                context.child("cluster"),
                genesis,
                keys,
                LinkSpec::default(),
                Unsynced::Lost,
                self.hostile.clone(),
                self.history,
            )
            .await;
            let mut world = World { context, cluster, turn: 0 };
            Box::pin(story(&mut world)).await;
            for (index, member) in world.cluster.members.iter().enumerate() {
                assert_eq!(*member.contradiction.lock(), None, "member {index}");
                assert_eq!(member.votes.lock().contradiction(), None, "member {index}");
            }
            world.context.auditor().state()
        })
    }
}

impl World {
    /// Goes on, under load, until `done`.
    pub async fn until(&mut self, what: &str, done: impl Fn(&Cluster) -> bool) {
        let limit = self.context.current() + Duration::from_secs(120);
        while !done(&self.cluster) {
            let lives: Vec<_> =
                self.cluster.running().map(|(index, client)| (index, client.live())).collect();
            assert!(self.context.current() < limit, "{what}: {lives:#?}");
            self.submit();
            self.context.sleep(Duration::from_millis(40)).await;
        }
    }

    /// Three transactions, to a member that may be asked; and a transfer where there is an EVM rollup.
    fn submit(&mut self) {
        self.turn += 1;
        let mut rng = self.context.child("payload");
        let Some((_, client)) = self.cluster.running().next() else { return };
        let valid_until = client.finalized_height() + VALIDITY / 2;
        let mut unit = || {
            let mut payload = vec![0; 400];
            rng.fill_bytes(&mut payload);
            let transaction = Transaction { valid_until, bundle: None, payload: payload.into() };
            Unit::Single { rollup: RollupId(1), transaction, fee_hint: 0 }
        };
        let mut units = vec![unit(), unit(), unit()];
        units.extend(wallet::next_transfers(client, self.turn, VALIDITY / 2));
        let (client, submit) = (client.clone(), Submit { client: "load".into(), units, ack: Ack::Pending });
        // Refusals are the cluster's affair.
        self.context.child("submit").spawn(move |_| async move { drop(client.submit(submit).await) });
    }

    /// Goes on for so many blocks.
    pub async fn blocks(&mut self, count: u64) {
        let target = tip(&self.cluster) + count;
        self.until("more blocks", |cluster| tip(cluster) >= target).await;
    }

    /// Until member `index` has what the others have.
    pub async fn caught_up(&mut self, index: usize) {
        self.until("the member catches up", |cluster| {
            cluster.members[index].client().is_some_and(|client| {
                let live = client.live();
                live.lowest_height <= live.finalized_height
                    && live.judges_from <= live.finalized_height + 1
                    && live.finalized_height + 5 > tip(cluster)
            })
        })
        .await;
    }

    pub async fn restart(&mut self, index: usize) {
        self.cluster.members[index].disk.set(|faults| faults.dies_after = None);
        self.cluster.start(index).await;
    }

    pub fn client(&self, index: usize) -> Client {
        self.cluster.members[index].client().expect("it runs").clone()
    }

    /// Asks a member for a proof of one transaction of each block from its lowest on, and of some below.
    async fn check_proofs(&self, index: usize) {
        let client = self.client(index);
        let group_key = self.cluster.genesis.group_key().expect("the genesis was checked");
        // Any member that never joined heard them all.
        let ordered = self.cluster.members[0].witness.lock().ordered.clone();
        let ordered: BTreeMap<u64, TxId> = ordered.into_iter().map(|(id, height)| (height, id)).collect();
        let (lowest, last) = (client.live().lowest_height, client.finalized_height());
        let (mut proven, mut lowest_proven, mut gone) = (0, u64::MAX, 0);
        let below = ordered.range(..lowest).rev().take(5);
        for (height, id) in below.chain(ordered.range(lowest..=last)).map(|(height, id)| (*height, *id)) {
            let (status, proof) = (client.transaction(id).await, client.proof(id).await);
            // The chain goes on meanwhile.
            if height < client.live().lowest_height {
                let Err(refusal) = client.proof(id).await else { panic!("{id} at {height} is gone") };
                assert_eq!(refusal.reason, Reason::NotFound);
                assert!(refusal.detail.contains("ask a node with full history"), "{refusal}");
                gone += 1;
                continue;
            }
            let status = status.expect("it is there");
            assert_eq!(
                (status.rung, status.place.map(|place| place.height)),
                (Rung::Finalized, Some(height))
            );
            let proof = proof.unwrap_or_else(|refusal| panic!("{height}: {refusal}"));
            assert_eq!(proof.verify(&mut StdRng::seed_from_u64(1), &group_key), Ok(()), "at height {height}");
            proven += 1;
            lowest_proven = lowest_proven.min(height);
        }
        assert!(proven > 20 && gone >= 5, "{proven} proven, {gone} gone");
        let lowest = client.live().lowest_height;
        assert!(
            lowest_proven <= lowest + 2,
            "from {lowest_proven} on, but there are blocks from {lowest} on"
        );
        let refusal = client.finalized(lowest - 1).await.err().expect("it is gone");
        assert_eq!(refusal.reason, Reason::Pruned);
        assert!(client.finalized(client.live().lowest_height).await.is_ok());
    }
}

pub fn tip(cluster: &Cluster) -> u64 {
    cluster.running().map(|(_, client)| client.finalized_height()).max().unwrap_or(0)
}

pub fn lowest_of_all(cluster: &Cluster) -> u64 {
    cluster.running().map(|(_, client)| client.live().lowest_height).min().unwrap_or(0)
}

/// Incident: CometBFT's index took half the disk and was never pruned.
#[test]
fn a_window_bounds_the_disk() {
    Setup::new(1, on_change).run(async |world| {
        world.until("it prunes", |cluster| lowest_of_all(cluster) > WINDOW).await;
        let size = |world: &World| -> Vec<u64> {
            let parts =
                ["-blocks-", "-finalizations-", "-history-", "-index", "-marshal-", "_consensus_", ""];
            let disk = &world.cluster.members[0].disk;
            parts.iter().map(|part| disk.bytes(part)).collect()
        };
        let before = size(world);
        // As far into an epoch: some things are kept by epoch.
        world.blocks(10 * EPOCH).await;
        let live = world.client(0).live();
        let kept = live.finalized_height + 1 - live.lowest_height;
        assert!((WINDOW..WINDOW + 16).contains(&kept), "{kept} blocks kept");
        let after = size(world);
        println!("before {before:?} after {after:?}");
        for (before, after) in before.iter().zip(&after) {
            assert!(*after < before + before / 4 + 8_192, "{before} bytes became {after}");
        }
        world.check_proofs(0).await;
        // A restart finds what it left, and no more.
        world.cluster.crash(0);
        world.restart(0).await;
        world.caught_up(0).await;
        assert!(world.client(0).live().lowest_height >= live.lowest_height);
        world.check_proofs(0).await;
    });
}

/// The rotation and what is committed come from the block it joins at.
fn proven(genesis: &mut Genesis) {
    on_change(genesis);
    genesis.election = Election::ZkLottery;
}

#[test]
fn a_wiped_member_joins_and_gets_a_share() {
    joins_and_gets_a_share(every_epoch);
}

/// Nobody deals in ordinary epochs: what makes a reshare due is that the member asks for it.
#[test]
fn a_wiped_member_joins_a_lottery_asks_for_a_reshare_and_gets_a_share() {
    joins_and_gets_a_share(proven);
}

fn joins_and_gets_a_share(genesis: fn(&mut Genesis)) {
    Setup::new(2, genesis).run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        world.cluster.wipe(3);
        world.blocks(30).await;
        let before = tip(&world.cluster);
        world.restart(3).await;
        world.until("it runs", |cluster| cluster.members[3].client().is_some()).await;
        assert!(world.client(3).live().lowest_height > 0, "it is told where to join before it starts");
        world.caught_up(3).await;
        let live = world.client(3).live();
        assert!(
            live.lowest_height > before - 2 * VALIDITY - 5,
            "joined at {}, tip {before}",
            live.lowest_height
        );
        assert!(!live.voting, "it has no share yet");
        world
            .until("the next reshare gives it a share", |cluster| {
                cluster.members[3].client().is_some_and(|client| client.live().voting)
            })
            .await;
        // It votes: without it there is no quorum.
        world.cluster.crash(2);
        world.blocks(15).await;
        world.check_proofs(3).await;
        world.restart(2).await;
        world.caught_up(2).await;
    });
}

/// Incident: Left Curve caught up more slowly than its chain went on.
#[test]
fn a_member_that_was_away_for_longer_than_the_window_comes_back() {
    Setup::new(3, on_change).run(async |world| {
        world.blocks(50).await;
        let left = world.client(3).finalized_height();
        world.cluster.crash(3);
        world.blocks(2 * WINDOW).await;
        assert!(lowest_of_all(&world.cluster) > left, "what it needs next is gone");
        world.restart(3).await;
        world.caught_up(3).await;
        let live = world.client(3).live();
        assert!(live.voting, "it kept its share, and the vote journal that goes with it");
        assert!(live.lowest_height > left + WINDOW, "{live:?}");
        world.cluster.crash(2);
        world.blocks(15).await;
        world.check_proofs(3).await;
        // And once more, from the floor it joined at.
        world.cluster.crash(3);
        world.restart(2).await;
        world.restart(3).await;
        world.caught_up(3).await;
        world.check_proofs(3).await;
    });
}

/// Within the window of its peers there is nothing to skip.
#[test]
fn a_member_that_was_away_for_a_while_fetches_every_block() {
    Setup::new(4, on_change).run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        let before = world.client(3).live().lowest_height;
        world.cluster.crash(3);
        world.blocks(WINDOW / 2).await;
        world.restart(3).await;
        world.caught_up(3).await;
        let live = world.client(3).live();
        assert!(live.finalized_height + 1 - live.lowest_height >= WINDOW, "{live:?}, before {before}");
        world.check_proofs(3).await;
    });
}

#[test]
fn false_floors_are_ignored() {
    let hostile = [(1, Behaviour::FalseFloors)].into();
    Setup { hostile, ..Setup::new(5, on_change) }.run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        world.cluster.wipe(3);
        world.blocks(5).await;
        world.restart(3).await;
        world.caught_up(3).await;
        assert!(
            world.cluster.deeds(1).expect("member 1 lies").count("false floor") > 0,
            "nobody asked the liar"
        );
        assert!(world.client(3).live().lowest_height > 0);
        world.check_proofs(3).await;
    });
}

#[test]
fn a_restart_in_the_middle_of_joining() {
    Setup::new(6, on_change).run_twice(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        world.cluster.wipe(3);
        // Dies at the first write, at the second, and so on: within opening, asking, installing, fetching.
        let mut finished = 0;
        for write in 0..400 {
            if finished == 3 {
                break;
            }
            world.cluster.members[3].disk.set(|faults| faults.dies_after = Some(write * 3));
            world.cluster.start(3).await;
            let now = tip(&world.cluster);
            world
                .until("it dies, or gets there", |cluster| {
                    let member = &cluster.members[3];
                    let there = member.client().is_some_and(|client| {
                        client.finalized_height() > now && client.live().judges_from <= now
                    });
                    member.ended() || there
                })
                .await;
            finished += u64::from(!world.cluster.members[3].ended());
            world.cluster.crash(3);
        }
        assert_eq!(finished, 3, "it never got there");
        world.restart(3).await;
        world.caught_up(3).await;
        world.check_proofs(3).await;
    });
}

/// What runs cannot skip blocks: it ends, and a start does.
#[test]
fn a_member_cut_off_for_longer_than_the_window_ends_and_joins() {
    Setup::new(7, on_change).run(async |world| {
        world.blocks(30).await;
        world.cluster.partition(&[3]).await;
        world.blocks(2 * WINDOW).await;
        world.cluster.heal().await;
        world.until("it ends", |cluster| cluster.members[3].ended()).await;
        world.cluster.crash(3);
        world.restart(3).await;
        world.caught_up(3).await;
        assert!(world.client(3).live().voting);
        // It joined near the tip: something to ask for.
        world.blocks(15).await;
        world.check_proofs(3).await;
    });
}

#[test]
fn a_member_that_wants_everything_says_that_it_cannot_have_it() {
    Setup::new(8, on_change).run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 1).await;
        world.cluster.wipe(3);
        world.cluster.members[3].history = History::Full;
        world.restart(3).await;
        world
            .until("it says so", |cluster| {
                cluster.members[3].client().is_some_and(|client| client.live().unavailable_below.is_some())
            })
            .await;
        assert_eq!(world.client(3).finalized_height(), 0);
    });
}

#[test]
fn with_full_history_a_wiped_member_replays_the_chain_unless_it_keeps_a_window() {
    Setup { history: History::Full, ..Setup::new(9, on_change) }.run(async |world| {
        world.blocks(WINDOW + 2 * VALIDITY).await;
        world.cluster.wipe(3);
        world.restart(3).await;
        world.caught_up(3).await;
        assert_eq!(world.client(3).live().lowest_height, 0);
        assert!(world.client(3).finalized(1).await.is_ok());
        world.cluster.wipe(3);
        world.cluster.members[3].history = History::Window { blocks: WINDOW };
        world.restart(3).await;
        world.caught_up(3).await;
        let live = world.client(3).live();
        assert!(live.lowest_height > 1, "{live:?}");
        // A directory that keeps everything goes over to a window.
        world.cluster.crash(2);
        world.cluster.members[2].history = History::Window { blocks: WINDOW };
        world.restart(2).await;
        world.caught_up(2).await;
        world.blocks(20).await;
        assert!(world.client(2).live().lowest_height > 1);
        world.check_proofs(2).await;
    });
}

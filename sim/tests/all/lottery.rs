//! The zero-knowledge lottery in whole clusters: who builds, what is proven, what silence costs.

use baton_consensus::elections::EpochProofId;
use baton_sim::{
    Action, Behaviour, Scenario, Unsynced,
    cluster::{self, Cluster, LinkSpec},
    load::Rate,
    run_twice, run_with,
    scenario::Chain,
};
use baton_types::{Block, PublicKey, genesis::Election, lottery::beacon};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use std::{collections::BTreeMap, time::Duration};

const EPOCH_BLOCKS: u64 = 40;
/// First byte of evidence that is a reveal under a commitment; the other kind proves a view by itself.
pub const REVEAL: u8 = 0;

pub fn lottery() -> Scenario {
    let chain = Chain { election: Election::ZkLottery, epoch_blocks: EPOCH_BLOCKS, ..Chain::default() };
    Scenario { chain, ..Scenario::default() }
}

pub async fn blocks(cluster: &Cluster) -> Vec<Block> {
    let (_, client) = cluster.running().next().expect("somebody runs");
    let mut blocks = Vec::new();
    for height in 1..=cluster.lowest() {
        blocks.push(client.finalized(height).await.expect("a full history").inner().clone());
    }
    blocks
}

pub fn identities(cluster: &Cluster) -> Vec<PublicKey> {
    cluster.genesis.members.iter().map(|member| member.identity().expect("checked")).collect()
}

pub fn state(block: &Block) -> &baton_types::lottery::Lottery {
    &block.body().lottery.as_ref().expect("every block carries the state").state
}

#[test]
fn drawn_members_build_the_blocks() {
    let scenario = Scenario {
        name: "drawn_members_build_the_blocks",
        run_ms: 12_000,
        min_height: 3 * EPOCH_BLOCKS,
        ..lottery()
    };
    run_with(&scenario, async |cluster| {
        let blocks = blocks(cluster).await;
        let foreign = blocks.iter().filter(|block| block.header().author != block.header().committer).count();
        // Three in four, as drawn.
        assert!(
            foreign * 2 > blocks.len(),
            "{foreign} of {} blocks are not the committer's own",
            blocks.len()
        );
        for member in identities(cluster) {
            let built = blocks.iter().filter(|block| block.header().author == member).count();
            assert!(built * 10 > blocks.len(), "{member} built {built} of {}", blocks.len());
        }
        let lost: u64 = blocks.iter().map(|block| block.header().view - block.header().parent_view - 1).sum();
        assert!(lost * 10 < blocks.len() as u64, "{lost} views without a block beside {}", blocks.len());
    });
}

#[test]
fn commitments_come_in_force_in_every_epoch() {
    let scenario = Scenario {
        name: "commitments_come_in_force_in_every_epoch",
        seed: 2,
        run_ms: 12_000,
        min_height: 3 * EPOCH_BLOCKS,
        ..lottery()
    };
    run_with(&scenario, async |cluster| {
        for block in blocks(cluster).await {
            let part = block.body().lottery.as_ref().unwrap();
            let header = block.header();
            assert!(
                part.state.commitments.iter().all(Option::is_some),
                "epoch {} lacks commitments: {:?}",
                header.epoch,
                part.state.commitments
            );
            assert_eq!(part.evidence[0], REVEAL, "block {} proves its view by itself", header.height);
        }
    });
}

/// A genesis without commitments: every view of epoch 0 is proven by itself, and none afterwards.
#[test]
fn all_commitments_are_missing_in_the_first_epoch() {
    let scenario = Scenario {
        name: "all_commitments_are_missing_in_the_first_epoch",
        seed: 11,
        chain: Chain { epoch_blocks: 16, ..lottery().chain },
        commitments: false,
        min_height: 3 * 16,
        ..lottery()
    };
    run_with(&scenario, async |cluster| {
        for block in blocks(cluster).await {
            let (epoch, evidence) =
                (block.header().epoch, block.body().lottery.as_ref().unwrap().evidence[0]);
            assert_eq!(evidence == REVEAL, epoch > 0, "block {} of epoch {epoch}", block.header().height);
        }
    });
}

/// Links are so slow that no block comes through, until every member has used its commitment up: it proves its further
/// turns one by one, and the epoch ends as any other.
#[test]
fn an_epoch_outlasts_its_commitments() {
    const TURNS: u64 = 63;
    let scenario = Scenario {
        name: "an_epoch_outlasts_its_commitments",
        seed: 12,
        chain: Chain { epoch_blocks: 16, idle_ms: 40, ..lottery().chain },
        genesis: |genesis| {
            genesis.timing.leader_timeout_ms = 100;
            genesis.timing.certification_timeout_ms = 150;
        },
        rate: Rate { every_ms: 1_000, batch: 1, ..Rate::default() },
        events: vec![
            (150, Action::Link(LinkSpec { latency_ms: 120, ..LinkSpec::default() })),
            (90_000, Action::Link(LinkSpec::default())),
        ],
        run_ms: 92_000,
        drain_ms: 30_000,
        min_height: 3 * 16,
        ..lottery()
    };
    run_with(&scenario, async |cluster| {
        let mut beyond = 0;
        for block in blocks(cluster).await {
            let header = block.header();
            let covered = state(&block).rotation().turn(header.view) < TURNS;
            let evidence = block.body().lottery.as_ref().unwrap().evidence[0];
            assert_eq!(evidence == REVEAL, covered, "view {}/{}", header.epoch, header.view);
            beyond += u64::from(!covered);
        }
        assert!(beyond > 4, "{beyond} blocks beyond the commitments");
    });
}

#[test]
fn a_silent_member_is_benched_and_returns() {
    let scenario = Scenario {
        name: "a_silent_member_is_benched_and_returns",
        seed: 3,
        chain: Chain { epoch_blocks: 400, ..lottery().chain },
        events: vec![(1_000, Action::Crash(3)), (22_000, Action::Restart(3))],
        run_ms: 34_000,
        min_height: 200,
        drain_ms: 30_000,
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        let dead = identities(cluster)[3].clone();
        let blocks = blocks(cluster).await;
        let benched: Vec<_> =
            blocks.iter().filter(|block| state(block).bench.contains(3)).map(|b| b.header().height).collect();
        let first = *benched.first().expect("the dead member is benched");
        assert!(benched.len() >= 32, "benched for whole segments: {benched:?}");
        assert!(blocks.iter().all(|block| state(block).bench.len() <= 1), "at most f are benched");
        let last = *benched.last().unwrap();
        let after = blocks.iter().filter(|block| block.header().height > last);
        let built = after.clone().filter(|block| block.header().author == dead).count();
        assert!(built > 0, "drawn again after height {last}, benched from {first}; tip {}", blocks.len());
    });
}

#[test]
fn a_restart_counts_its_epoch_again() {
    let scenario = Scenario {
        name: "a_restart_counts_its_epoch_again",
        seed: 6,
        chain: Chain { epoch_blocks: 400, ..lottery().chain },
        events: vec![(4_000, Action::Crash(2)), (5_000, Action::Restart(2))],
        run_ms: 8_000,
        min_height: 40,
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        let tally = |index: usize| cluster.members[index].client().expect("it runs").tally();
        assert_eq!((tally(0).epoch.from_height, tally(2).epoch.from_height), (Some(1), Some(1)));
        assert!(tally(2).since_start.from_height > tally(0).since_start.from_height);
    });
}

#[test]
fn a_crash_in_the_middle_of_a_view() {
    run_twice(&Scenario {
        name: "a_crash_in_the_middle_of_a_view",
        seed: 4,
        events: vec![
            (1_003, Action::Crash(0)),
            (1_911, Action::Restart(0)),
            (2_507, Action::CrashAll),
            (2_900, Action::RestartAll),
            (4_013, Action::Crash(1)),
            (5_017, Action::Restart(1)),
        ],
        run_ms: 8_000,
        ..lottery()
    });
}

#[test]
fn a_partition_over_an_epoch_boundary() {
    let report = run_twice(&Scenario {
        name: "a_partition_over_an_epoch_boundary",
        seed: 5,
        events: vec![(1_500, Action::Partition(vec![2])), (9_000, Action::Heal)],
        run_ms: 12_000,
        min_height: 2 * EPOCH_BLOCKS,
        drain_ms: 30_000,
        ..lottery()
    });
    assert!(report.epoch >= 2, "{report:?}");
}

#[test]
fn a_member_whose_messages_are_late() {
    run_twice(&Scenario {
        name: "a_member_whose_messages_are_late",
        seed: 6,
        events: vec![(500, Action::Slow(1, 150))],
        run_ms: 8_000,
        ..lottery()
    });
}

/// An epoch's last block is proposed again until it is final, here when one member is down and without the finalize
/// votes of another there is no quorum. Its certificate is then of a later view; the beacon does not depend on it.
#[test]
fn a_beacon_from_a_block_that_was_proposed_again() {
    const BLOCKS: u64 = 16;
    let scenario = Scenario {
        name: "a_beacon_from_a_block_that_was_proposed_again",
        seed: 8,
        chain: Chain { epoch_blocks: BLOCKS, ..lottery().chain },
        hostile: vec![(3, Behaviour::RareFinality)],
        events: vec![(300, Action::Crash(0)), (9_000, Action::Restart(0))],
        run_ms: 10_000,
        min_height: 4 * BLOCKS,
        drain_ms: 30_000,
        ..lottery()
    };
    run_with(&scenario, async |cluster| {
        let mut again = 0;
        for last in (BLOCKS - 1..cluster.lowest()).step_by(usize::try_from(BLOCKS).unwrap()) {
            for (index, client) in cluster.running() {
                let proof = client.election_proof(Some(last), &cluster.genesis).await.unwrap();
                let first = client.finalized(last + 1).await.unwrap();
                let later = state(first.inner()).later_beacon;
                assert_eq!(later, beacon(&proof.header.parent_seed), "member {index}, after block {last}");
                // No epoch ends without a certificate of its last block. That of a later view proves no header.
                again += usize::from(proof.history.is_some());
            }
        }
        assert!(again > 2, "{again} certificates of later views");
    });
}

/// A cluster in the hands of a story.
struct Stage {
    context: deterministic::Context,
    cluster: Cluster,
}

impl Stage {
    fn run(seed: u64, story: impl AsyncFnOnce(&mut Self)) {
        let config = deterministic::Config::new().with_seed(seed);
        deterministic::Runner::new(config).start(|context| async {
            let chain = lottery().chain;
            let (genesis, keys) = cluster::genesis(4, seed, |genesis| {
                genesis.election = chain.election;
                genesis.epoch_blocks = chain.epoch_blocks;
            });
            let started = context.child("cluster");
            let honest = BTreeMap::new();
            let cluster =
                Cluster::new(started, genesis, keys, LinkSpec::default(), Unsynced::Lost, honest).await;
            let mut stage = Self { context, cluster };
            Box::pin(story(&mut stage)).await;
            for (index, member) in stage.cluster.members.iter().enumerate() {
                assert_eq!(*member.contradiction.lock(), None, "member {index}");
            }
        });
    }

    async fn until(&self, what: &str, mut done: impl AsyncFnMut(&Cluster) -> bool) {
        let limit = self.context.current() + Duration::from_secs(60);
        while !done(&self.cluster).await {
            let heights: Vec<_> =
                self.cluster.running().map(|(_, client)| client.finalized_height()).collect();
            assert!(self.context.current() < limit, "{what}: blocks {heights:?}");
            self.context.sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What member `by` has final of what the next epoch's commitments are.
async fn next_commitments(cluster: &Cluster, by: usize) -> Vec<Option<baton_types::lottery::Commitment>> {
    let client = cluster.members[by].client().expect("it runs");
    let last = client.finalized(client.finalized_height()).await.expect("it has its last block");
    state(last.inner()).next_commitments.clone()
}

/// The member dies once another has its proof, and before it is in force: the next life shows the same again.
#[test]
fn a_restart_commits_to_the_very_same() {
    Stage::run(9, async |stage| {
        let mut shown = None;
        stage
            .until("the proof is shown", async |cluster| {
                let client = cluster.members[0].client().expect("it runs");
                let found = client.epoch_proof(EpochProofId::Of { epoch: 1, member: 1 }).await.ok();
                shown = found.map(|found| found.hash);
                shown.is_some()
            })
            .await;
        assert_eq!(next_commitments(&stage.cluster, 0).await[1], None, "not in force yet");
        stage.cluster.crash(1);
        let height = stage.cluster.lowest() + 3;
        stage.until("the others go on", async |cluster| cluster.lowest() >= height).await;
        assert_eq!(next_commitments(&stage.cluster, 0).await[1], None, "only its owner can collect for it");
        stage.cluster.start(1).await;
        stage
            .until("it comes in force", async |cluster| next_commitments(cluster, 0).await[1].is_some())
            .await;
        let in_force = next_commitments(&stage.cluster, 0).await[1].map(|commitment| commitment.proof);
        assert_eq!(in_force, shown);
        assert_eq!(stage.cluster.metric(1, "lottery_proofs_made", ""), 0, "nothing was proven again");
        assert!(stage.cluster.epoch().get() == 0);
    });
}

/// A member that was away while the others' commitments came in force asks for their proofs.
#[test]
fn a_missing_proof_is_fetched_from_its_holders() {
    Stage::run(10, async |stage| {
        stage.cluster.crash(2);
        let in_force = async |cluster: &Cluster| {
            let commitments = next_commitments(cluster, 0).await;
            [0, 1, 3].iter().all(|member| commitments[*member].is_some())
        };
        stage.until("the others commit", in_force).await;
        // Their owners are not there to show them, one after the other: the holders hand them out.
        stage.cluster.crash(1);
        stage.cluster.start(2).await;
        stage
            .until("it has all proofs", async |cluster| {
                let Some(client) = cluster.members[2].client() else { return false };
                let mut held = 0;
                for member in [0, 1, 3] {
                    let found = client.epoch_proof(EpochProofId::Of { epoch: 1, member }).await;
                    held += usize::from(found.is_ok());
                }
                held == 3
            })
            .await;
        assert!(stage.cluster.metric(2, "lottery_proofs_fetched", "") > 0);
        let served = [0, 3].map(|member| stage.cluster.metric(member, "lottery_proofs_served", ""));
        assert!(served.iter().sum::<u64>() > 0, "{served:?}");
        stage.cluster.start(1).await;
        let height = stage.cluster.lowest() + 5;
        stage.until("all go on", async |cluster| cluster.lowest() >= height).await;
    });
}

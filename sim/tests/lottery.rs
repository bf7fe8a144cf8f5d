//! The zero-knowledge lottery in whole clusters: who builds, what is proven, what silence costs.

use baton_sim::{Action, Scenario, cluster::Cluster, run_twice, run_with, scenario::Chain};
use baton_types::{Block, PublicKey, genesis::Election};

const EPOCH_BLOCKS: u64 = 40;
/// First byte of evidence that is a reveal under a commitment; the other kind proves a view by itself.
const REVEAL: u8 = 0;

fn lottery() -> Scenario {
    let chain = Chain { election: Election::ZkLottery, epoch_blocks: EPOCH_BLOCKS, ..Chain::default() };
    Scenario { chain, ..Scenario::default() }
}

async fn blocks(cluster: &Cluster) -> Vec<Block> {
    let (_, client) = cluster.running().next().expect("somebody runs");
    let mut blocks = Vec::new();
    for height in 1..=cluster.lowest() {
        blocks.push(client.finalized(height).await.expect("a full history").inner().clone());
    }
    blocks
}

fn identities(cluster: &Cluster) -> Vec<PublicKey> {
    cluster.genesis.members.iter().map(|member| member.identity().expect("checked")).collect()
}

fn state(block: &Block) -> &baton_types::lottery::Lottery {
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

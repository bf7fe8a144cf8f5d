//! Whole clusters under faults. Each scenario runs twice and must do the same both times.

use baton_consensus::LogRules;
use baton_sim::{
    Action, Scenario,
    cluster::{Cluster, LinkSpec},
    run_twice, run_with,
    scenario::Chain,
};
use baton_types::{
    Genesis, Payload, Sharing, domain,
    genesis::{Election, Reshare},
};
use commonware_glue::dkg::types::EpochOutcome;
use rand::{SeedableRng as _, rngs::StdRng};

#[test]
fn healthy() {
    let report = run_twice(&Scenario { name: "healthy", ..Scenario::default() });
    assert!(report.accepted > 300, "{report:?}");
}

#[test]
fn round_robin() {
    run_twice(&Scenario {
        name: "round_robin",
        genesis: |genesis| genesis.election = Election::RoundRobin,
        ..Scenario::default()
    });
}

#[test]
fn zk_lottery() {
    run_twice(&Scenario {
        name: "zk_lottery",
        chain: Chain { election: Election::ZkLottery, epoch_blocks: 40, ..Chain::default() },
        ..Scenario::default()
    });
}

#[test]
fn single_member() {
    run_twice(&Scenario { name: "single_member", nodes: 1, ..Scenario::default() });
}

#[test]
fn crash_and_restart() {
    run_twice(&Scenario {
        name: "crash_and_restart",
        seed: 2,
        events: vec![(1_000, Action::Crash(3)), (5_000, Action::Restart(3))],
        run_ms: 8_000,
        ..Scenario::default()
    });
}

#[test]
fn all_crash_at_once() {
    run_twice(&Scenario {
        name: "all_crash_at_once",
        seed: 3,
        events: vec![(2_000, Action::CrashAll), (2_500, Action::RestartAll)],
        run_ms: 6_000,
        ..Scenario::default()
    });
}

#[test]
fn partition_and_heal() {
    run_twice(&Scenario {
        name: "partition_and_heal",
        seed: 4,
        events: vec![(1_000, Action::Partition(vec![0, 1])), (4_000, Action::Heal)],
        run_ms: 7_000,
        ..Scenario::default()
    });
}

#[test]
fn minority_cut_off() {
    run_twice(&Scenario {
        name: "minority_cut_off",
        seed: 5,
        events: vec![(1_000, Action::Partition(vec![2])), (6_000, Action::Heal)],
        run_ms: 9_000,
        ..Scenario::default()
    });
}

#[test]
fn loss() {
    run_twice(&Scenario {
        name: "loss",
        seed: 6,
        link: LinkSpec { latency_ms: 20, jitter_ms: 10, loss_permille: 50 },
        run_ms: 8_000,
        drain_ms: 40_000,
        ..Scenario::default()
    });
}

#[test]
fn epoch_boundaries() {
    let report = run_twice(&Scenario {
        name: "epoch_boundaries",
        seed: 7,
        genesis: |genesis| genesis.epoch_blocks = 40,
        run_ms: 8_000,
        min_height: 130,
        ..Scenario::default()
    });
    assert!(report.epoch >= 3, "{report:?}");
}

#[test]
fn reshare_every_epoch_with_a_crash() {
    let report = run_twice(&Scenario {
        name: "reshare_every_epoch_with_a_crash",
        seed: 8,
        genesis: |genesis| {
            genesis.epoch_blocks = 40;
            genesis.reshare = Reshare::EveryEpoch;
        },
        events: vec![(3_000, Action::Crash(1)), (5_000, Action::Restart(1))],
        run_ms: 10_000,
        min_height: 130,
        ..Scenario::default()
    });
    assert!(report.epoch >= 3, "{report:?}");
}

/// Everything a key ceremony left in the chain of a member.
struct Ceremonies {
    outcomes: Vec<EpochOutcome>,
    sharings: Vec<Sharing>,
    logs: usize,
}

/// Walks a member's chain; every dealer log in it must keep the rules.
async fn ceremonies(cluster: &mut Cluster) -> Ceremonies {
    let genesis = cluster.genesis.clone();
    let rules = LogRules {
        namespace: Box::leak(domain::ceremony(genesis.network.id).into_boxed_slice()),
        reshare: genesis.reshare,
    };
    let (_, client) = cluster.running().next().expect("a member runs");
    let mut info = genesis.epoch_info().expect("valid");
    let mut found = Ceremonies { outcomes: Vec::new(), sharings: vec![info.output.clone()], logs: 0 };
    for height in 1..=client.live().finalized_height {
        let block = client.finalized(height).await.expect("the archive has it");
        match block.inner().body().payload.clone() {
            None => {}
            Some(payload @ Payload::DealerLog(_)) => {
                assert_eq!(rules.check(&info, &payload), Ok(()), "a bad dealer log at height {height}");
                found.logs += 1;
            }
            Some(Payload::EpochInfo(next)) => {
                found.outcomes.push(next.outcome);
                found.sharings.push(next.output.clone());
                info = next;
            }
        }
    }
    found
}

fn every_epoch(genesis: &mut Genesis) {
    genesis.epoch_blocks = 40;
    genesis.reshare = Reshare::EveryEpoch;
}

#[test]
fn a_proof_outlives_three_reshares() {
    let scenario = Scenario {
        name: "a_proof_outlives_three_reshares",
        seed: 9,
        genesis: every_epoch,
        run_ms: 8_000,
        min_height: 170,
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        let found = ceremonies(cluster).await;
        let fresh = found.outcomes.iter().filter(|outcome| **outcome == EpochOutcome::Success).count();
        assert!(fresh >= 3, "{:?}", found.outcomes);
        let group_key = cluster.genesis.group_key().expect("valid");
        for (earlier, later) in found.sharings.iter().zip(&found.sharings[1..]) {
            assert_eq!(later.public().public(), &group_key, "the group key changed");
            assert_ne!(earlier, later, "nothing was dealt again");
        }
        let witness = cluster.members[0].witness.clone();
        let first = witness.lock().ordered.iter().find(|(_, height)| **height < 40).map(|(id, _)| *id);
        let last = witness.lock().ordered.iter().max_by_key(|(_, height)| **height).map(|(id, _)| *id);
        for id in [first.expect("epoch 0 ordered something"), last.expect("something was ordered")] {
            for (_, client) in cluster.running() {
                let proof = client.proof(id).await.expect("every member can prove it");
                assert_eq!(proof.verify(&mut StdRng::seed_from_u64(1), &group_key), Ok(()));
            }
        }
    });
}

#[test]
fn no_share_is_revealed_while_a_member_is_away() {
    let scenario = Scenario {
        name: "no_share_is_revealed_while_a_member_is_away",
        seed: 10,
        genesis: every_epoch,
        // Away during a whole dealing half, then back.
        events: vec![(500, Action::Crash(2)), (24_000, Action::Restart(2))],
        run_ms: 30_000,
        min_height: 210,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        let found = ceremonies(cluster).await;
        assert!(found.outcomes.contains(&EpochOutcome::Failure), "{:?}", found.outcomes);
        assert_eq!(found.outcomes.last(), Some(&EpochOutcome::Success), "{:?}", found.outcomes);
        assert!(found.logs > 0);
        let revealed = found.sharings.iter().any(|sharing| !sharing.revealed().is_empty());
        assert!(!revealed, "a share was revealed");
    });
}

#[test]
fn without_a_change_nothing_is_dealt_again() {
    let scenario = Scenario {
        name: "without_a_change_nothing_is_dealt_again",
        seed: 11,
        genesis: |genesis| genesis.epoch_blocks = 40,
        run_ms: 6_000,
        min_height: 90,
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        let found = ceremonies(cluster).await;
        assert_eq!(found.logs, 0);
        assert!(found.sharings.windows(2).all(|pair| pair[0] == pair[1]));
    });
}

#[test]
fn away_over_several_epochs() {
    let report = run_twice(&Scenario {
        name: "away_over_several_epochs",
        seed: 12,
        genesis: |genesis| genesis.epoch_blocks = 30,
        events: vec![(500, Action::Crash(0)), (26_000, Action::Restart(0))],
        run_ms: 27_000,
        min_height: 130,
        drain_ms: 30_000,
        ..Scenario::default()
    });
    assert!(report.epoch >= 4, "{report:?}");
}

#[test]
fn a_clock_that_is_ahead() {
    run_twice(&Scenario {
        name: "a_clock_that_is_ahead",
        seed: 13,
        events: vec![(500, Action::Skew(1, 80)), (600, Action::Crash(1)), (900, Action::Restart(1))],
        run_ms: 6_000,
        ..Scenario::default()
    });
}

#[test]
fn one_member_stays_away() {
    run_twice(&Scenario {
        name: "one_member_stays_away",
        seed: 14,
        events: vec![(1_000, Action::Crash(3))],
        run_ms: 6_000,
        drain_ms: 30_000,
        ..Scenario::default()
    });
}

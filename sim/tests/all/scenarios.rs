//! The core suite: whole clusters under faults, each scenario under every election.

use baton_consensus::LogRules;
use baton_sim::{
    Action, Report, Scenario,
    cluster::{Cluster, LinkSpec},
    run, run_twice, run_with,
    scenario::Chain,
};
use baton_types::{
    Payload, Sharing, domain,
    genesis::{Election, Reshare},
};
use commonware_glue::dkg::types::EpochOutcome;
use rand::{SeedableRng as _, rngs::StdRng};

suite!(
    [
        threshold_lottery: ThresholdLottery,
        zk_lottery: ZkLottery,
        round_robin: RoundRobin,
        stake_weighted: StakeWeighted
    ]
    (
        healthy,
        single_member,
        crash_and_restart,
        all_crash_at_once,
        partition_and_heal,
        minority_cut_off,
        loss,
        epoch_boundaries,
        reshare_every_epoch_with_a_crash,
        away_over_several_epochs,
        a_clock_that_is_ahead,
        one_member_stays_away,
    )
);

// Key ceremonies do not depend on the election, but dealers have to get their logs into blocks.
suite!(
    [dealing_under_threshold_lottery: ThresholdLottery, dealing_under_zk_lottery: ZkLottery]
    (
        a_proof_outlives_three_reshares,
        no_share_is_revealed_while_a_member_is_away,
        without_a_change_nothing_is_dealt_again,
    )
);

fn ran(election: Election, scenario: Scenario) -> Report {
    run(&scenario.under(election))
}

fn healthy(election: Election) {
    let report = run_twice(&Scenario { name: "healthy", ..Scenario::default() }.under(election));
    assert!(report.accepted > 300, "{report:?}");
}

fn single_member(election: Election) {
    ran(election, Scenario { name: "single_member", nodes: 1, ..Scenario::default() });
}

fn crash_and_restart(election: Election) {
    ran(
        election,
        Scenario {
            name: "crash_and_restart",
            seed: 2,
            events: vec![(1_000, Action::Crash(3)), (5_000, Action::Restart(3))],
            run_ms: 8_000,
            ..Scenario::default()
        },
    );
}

fn all_crash_at_once(election: Election) {
    ran(
        election,
        Scenario {
            name: "all_crash_at_once",
            seed: 3,
            events: vec![(2_000, Action::CrashAll), (2_500, Action::RestartAll)],
            run_ms: 6_000,
            ..Scenario::default()
        },
    );
}

fn partition_and_heal(election: Election) {
    ran(
        election,
        Scenario {
            name: "partition_and_heal",
            seed: 4,
            events: vec![(1_000, Action::Partition(vec![0, 1])), (4_000, Action::Heal)],
            run_ms: 7_000,
            ..Scenario::default()
        },
    );
}

fn minority_cut_off(election: Election) {
    ran(
        election,
        Scenario {
            name: "minority_cut_off",
            seed: 5,
            events: vec![(1_000, Action::Partition(vec![2])), (6_000, Action::Heal)],
            run_ms: 9_000,
            ..Scenario::default()
        },
    );
}

fn loss(election: Election) {
    ran(
        election,
        Scenario {
            name: "loss",
            seed: 6,
            link: LinkSpec { latency_ms: 20, jitter_ms: 10, loss_permille: 50 },
            run_ms: 8_000,
            drain_ms: 40_000,
            ..Scenario::default()
        },
    );
}

fn epoch_boundaries(election: Election) {
    let report = ran(
        election,
        Scenario {
            name: "epoch_boundaries",
            seed: 7,
            chain: Chain { epoch_blocks: 40, ..Chain::default() },
            run_ms: 8_000,
            min_height: 130,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= 3, "{report:?}");
}

fn reshare_every_epoch_with_a_crash(election: Election) {
    let report = ran(
        election,
        Scenario {
            name: "reshare_every_epoch_with_a_crash",
            seed: 8,
            chain: every_epoch(),
            events: vec![(3_000, Action::Crash(1)), (5_000, Action::Restart(1))],
            run_ms: 10_000,
            min_height: 130,
            ..Scenario::default()
        },
    );
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
                assert_eq!(
                    rules.check(&info, block.inner().header().protocol_signal, &payload),
                    Ok(()),
                    "a bad dealer log at height {height}"
                );
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

fn every_epoch() -> Chain {
    Chain { epoch_blocks: 40, reshare: Reshare::EveryEpoch, ..Chain::default() }
}

fn a_proof_outlives_three_reshares(election: Election) {
    let scenario = Scenario {
        name: "a_proof_outlives_three_reshares",
        seed: 9,
        chain: every_epoch(),
        run_ms: 8_000,
        min_height: 170,
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
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

fn no_share_is_revealed_while_a_member_is_away(election: Election) {
    let scenario = Scenario {
        name: "no_share_is_revealed_while_a_member_is_away",
        seed: 10,
        chain: every_epoch(),
        // Away during a whole dealing half, then back.
        events: vec![(500, Action::Crash(2)), (24_000, Action::Restart(2))],
        run_ms: 30_000,
        min_height: 210,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    run_with(&scenario, async |cluster| {
        let found = ceremonies(cluster).await;
        assert!(found.outcomes.contains(&EpochOutcome::Failure), "{:?}", found.outcomes);
        assert_eq!(found.outcomes.last(), Some(&EpochOutcome::Success), "{:?}", found.outcomes);
        assert!(found.logs > 0);
        let revealed = found.sharings.iter().any(|sharing| !sharing.revealed().is_empty());
        assert!(!revealed, "a share was revealed");
    });
}

fn without_a_change_nothing_is_dealt_again(election: Election) {
    let scenario = Scenario {
        name: "without_a_change_nothing_is_dealt_again",
        seed: 11,
        chain: Chain { epoch_blocks: 40, ..Chain::default() },
        run_ms: 6_000,
        min_height: 90,
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    run_with(&scenario, async |cluster| {
        let found = ceremonies(cluster).await;
        assert_eq!(found.logs, 0);
        assert!(found.sharings.windows(2).all(|pair| pair[0] == pair[1]));
    });
}

fn away_over_several_epochs(election: Election) {
    let report = ran(
        election,
        Scenario {
            name: "away_over_several_epochs",
            seed: 12,
            chain: Chain { epoch_blocks: 30, ..Chain::default() },
            events: vec![(500, Action::Crash(0)), (26_000, Action::Restart(0))],
            run_ms: 27_000,
            min_height: 130,
            drain_ms: 30_000,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= 4, "{report:?}");
}

fn a_clock_that_is_ahead(election: Election) {
    ran(
        election,
        Scenario {
            name: "a_clock_that_is_ahead",
            seed: 13,
            events: vec![(500, Action::Skew(1, 80)), (600, Action::Crash(1)), (900, Action::Restart(1))],
            run_ms: 6_000,
            ..Scenario::default()
        },
    );
}

fn one_member_stays_away(election: Election) {
    ran(
        election,
        Scenario {
            name: "one_member_stays_away",
            seed: 14,
            events: vec![(1_000, Action::Crash(3))],
            run_ms: 6_000,
            drain_ms: 30_000,
            ..Scenario::default()
        },
    );
}

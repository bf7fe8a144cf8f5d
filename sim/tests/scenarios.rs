//! Whole clusters under faults. Each scenario runs twice and must do the same both times.

use baton_sim::{Action, Scenario, cluster::LinkSpec, run_twice};
use baton_types::genesis::{Election, Reshare};

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

//! What happened to others, done to a cluster: each scenario names the incident it comes from.

use baton_sim::{Action, Chain, Scenario, Unsynced, cluster::LinkSpec, load::Rate, run, run_with};
use baton_types::genesis::{Election, Reshare};

fn ran(scenario: &Scenario) -> baton_sim::Report {
    let report = run(scenario);
    assert!(report.accepted > 0 && report.ordered >= report.accepted, "{report:?}");
    report
}

/// Each member in turn, so that each leads while it is behind.
fn each_in_turn(
    from_ms: u64,
    lasts_ms: u64,
    begin: fn(usize) -> Action,
    end: fn(usize) -> Action,
) -> Vec<(u64, Action)> {
    (0..4)
        .zip((from_ms..).step_by(2 * usize::try_from(lasts_ms).expect("short")))
        .flat_map(|(member, at_ms)| [(at_ms, begin(member)), (at_ms + lasts_ms, end(member))])
        .collect()
}

/// OP conductor: a leader two blocks behind wedged for ever.
#[test]
fn a_leader_several_blocks_behind() {
    ran(&Scenario {
        name: "a_leader_several_blocks_behind",
        seed: 101,
        chain: Chain { election: Election::RoundRobin, block_interval_min_ms: 100, ..Chain::default() },
        events: each_in_turn(500, 1_000, |member| Action::Partition(vec![member]), |_| Action::Heal),
        run_ms: 9_000,
        stall_max_ms: Some(3_000),
        ..Scenario::default()
    });
}

/// OP conductor: two sequencers were active at once after a network split.
#[test]
fn two_halves_never_both_order() {
    ran(&Scenario {
        name: "two_halves_never_both_order",
        seed: 102,
        events: vec![
            (800, Action::Partition(vec![0, 1])),
            (2_500, Action::Partition(vec![0, 2])),
            (4_000, Action::Heal),
        ],
        run_ms: 5_000,
        ..Scenario::default()
    });
}

/// OP conductor: leadership went back and forth between unhealthy nodes.
#[test]
fn a_flapping_member() {
    let flaps = (0..8).flat_map(|i| [(500 + i * 700, Action::Crash(1)), (800 + i * 700, Action::Restart(1))]);
    ran(&Scenario {
        name: "a_flapping_member",
        seed: 103,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: flaps.collect(),
        run_ms: 6_500,
        heals: true,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// Charon: a member that others called offline, though it saw them, missed half its duties until restarted.
#[test]
fn asymmetric_reachability() {
    let deaf = (1..4).map(|peer| (500, Action::Cut(peer, 0)));
    let mute = (1..4).map(|peer| (3_500, Action::Cut(0, peer)));
    let halfway =
        [(3_000, Action::Heal), (6_000, Action::Heal), (6_000, Action::Cut(2, 3)), (7_000, Action::Heal)];
    ran(&Scenario {
        name: "asymmetric_reachability",
        seed: 104,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: deaf.chain([halfway[0].clone()]).chain(mute).chain(halfway[1..].iter().cloned()).collect(),
        run_ms: 7_500,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// OP conductor: a busy machine missed its heartbeats, and a healthy leader was deposed.
#[test]
fn a_slow_member() {
    ran(&Scenario {
        name: "a_slow_member",
        seed: 105,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: vec![
            (500, Action::Slow(2, 900)),
            (5_000, Action::Slow(2, 0)),
            (5_500, Action::Pause(3)),
            (7_000, Action::Resume(3)),
        ],
        run_ms: 8_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// A member whose disk is far slower than the others': its votes come late, and nobody waits for them.
#[test]
fn a_slow_disk() {
    ran(&Scenario {
        name: "a_slow_disk",
        seed: 106,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        disk_ms: 3,
        events: vec![
            (500, Action::SlowDisk(0, 30)),
            (3_000, Action::SlowDisk(0, 300)),
            (5_000, Action::Crash(0)),
            (5_200, Action::Restart(0)),
        ],
        run_ms: 7_000,
        heals: true,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// CometBFT, several chains: a full disk left nodes that neither worked nor ended.
#[test]
fn a_full_disk() {
    ran(&Scenario {
        name: "a_full_disk",
        seed: 107,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: vec![
            (1_000, Action::FullDisk(1, true)),
            (2_000, Action::Restart(1)),
            (3_000, Action::FullDisk(1, false)),
            (3_500, Action::Restart(1)),
        ],
        run_ms: 5_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// Charon is tested at 30 % loss, TigerBeetle too.
#[test]
fn a_third_of_all_messages_lost_over_epochs_and_reshares() {
    let report = ran(&Scenario {
        name: "a_third_of_all_messages_lost_over_epochs_and_reshares",
        seed: 108,
        chain: Chain { epoch_blocks: 20, reshare: Reshare::EveryEpoch, ..Chain::default() },
        link: LinkSpec { latency_ms: 10, jitter_ms: 3, loss_permille: 300 },
        run_ms: 20_000,
        drain_ms: 120_000,
        min_height: 45,
        ..Scenario::default()
    });
    assert!(report.epoch >= 2, "{report:?}");
}

/// OP: a node whose clock was a minute off dropped every block and could not catch up.
#[test]
fn clocks_that_are_seconds_and_hours_off() {
    ran(&Scenario {
        name: "clocks_that_are_seconds_and_hours_off",
        seed: 109,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: vec![
            (500, Action::Skew(0, 3_000)),
            (2_500, Action::Skew(0, -3_000)),
            (4_500, Action::Skew(0, 3_600_000)),
            (6_000, Action::Skew(0, -3_600_000)),
            (7_500, Action::Skew(0, 0)),
        ],
        run_ms: 9_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    });
}

/// Jepsen on TigerBeetle: a node's disk was lost and there was no way to replace it. Charon: a node
/// whose shares were put back had no record of what it had signed with them.
#[test]
fn a_wiped_disk() {
    let scenario = Scenario {
        name: "a_wiped_disk",
        seed: 110,
        chain: Chain { epoch_blocks: 30, reshare: Reshare::EveryEpoch, ..Chain::default() },
        events: vec![(1_500, Action::Wipe(2)), (1_700, Action::Restart(2))],
        run_ms: 8_000,
        stall_max_ms: Some(6_000),
        min_height: 100,
        ..Scenario::default()
    };
    // That it does not vote before it has a fresh share is a property of every run.
    run_with(&scenario, async |cluster| {
        let live = cluster.members[2].client().expect("it runs").live();
        assert!(live.voting, "it has a share again in epoch {}", live.epoch);
    });
}

/// Base: 33 minutes without blocks, because the lead went to a sequencer that was not fully set up.
#[test]
fn a_leader_without_a_share() {
    let scenario = Scenario {
        name: "a_leader_without_a_share",
        seed: 111,
        chain: Chain { election: Election::RoundRobin, block_interval_min_ms: 100, ..Chain::default() },
        events: vec![(1_000, Action::Wipe(3)), (1_200, Action::Restart(3))],
        run_ms: 7_000,
        stall_max_ms: Some(3_000),
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        assert!(!cluster.members[3].client().expect("it runs").live().voting);
    });
}

/// Left Curve, CometBFT: catching up was slower than the chain.
#[test]
fn away_for_over_a_hundred_blocks() {
    let report = ran(&Scenario {
        name: "away_for_over_a_hundred_blocks",
        seed: 112,
        chain: Chain { epoch_blocks: 60, ..Chain::default() },
        rate: Rate { every_ms: 100, batch: 1, ..Rate::default() },
        events: vec![(300, Action::Crash(3)), (20_000, Action::Restart(3))],
        run_ms: 21_000,
        drain_ms: 15_000,
        min_height: 150,
        ..Scenario::default()
    });
    assert!(report.epoch >= 2, "{report:?}");
}

/// Farcaster, Malachite: a shard stood still after it replayed its log, or its log could not be read.
/// Jepsen on Tendermint: what had been synced was lost.
#[test]
fn a_crash_at_every_write() {
    let deaths = (0..30).flat_map(|i| {
        let at_ms = 300 + i * 250;
        [(at_ms, Action::CrashAtWrite(0, i)), (at_ms + 200, Action::Restart(0))]
    });
    ran(&Scenario {
        name: "a_crash_at_every_write",
        seed: 113,
        chain: Chain { block_interval_min_ms: 100, epoch_blocks: 20, ..Chain::default() },
        unsynced: Unsynced::Torn,
        events: deaths.collect(),
        run_ms: 8_000,
        heals: true,
        stall_max_ms: Some(5_000),
        ..Scenario::default()
    });
}

/// A data centre without power: all members at once, and of unsynced writes anything may be left.
#[test]
fn all_lose_power() {
    for (seed, unsynced) in [(114, Unsynced::Lost), (115, Unsynced::Torn), (116, Unsynced::Kept)] {
        let falls = [900, 1_800, 2_700].into_iter();
        ran(&Scenario {
            name: "all_lose_power",
            seed,
            chain: Chain { epoch_blocks: 30, reshare: Reshare::EveryEpoch, ..Chain::default() },
            unsynced,
            events: falls
                .flat_map(|at_ms| [(at_ms, Action::CrashAll), (at_ms + 300, Action::RestartAll)])
                .collect(),
            run_ms: 4_000,
            ..Scenario::default()
        });
    }
}

/// Tempo: nodes that died just before an epoch's end could not recover, and enough of them stop a chain.
#[test]
fn deaths_around_the_end_of_epochs() {
    let deaths = (0..16).flat_map(|i: u64| {
        let member = usize::try_from(i % 4).unwrap();
        [(400 + i * 400, Action::Crash(member)), (700 + i * 400, Action::Restart(member))]
    });
    let report = ran(&Scenario {
        name: "deaths_around_the_end_of_epochs",
        seed: 117,
        chain: Chain { epoch_blocks: 8, block_interval_min_ms: 60, ..Chain::default() },
        events: deaths.chain([(6_900, Action::CrashAll), (7_100, Action::RestartAll)]).collect(),
        run_ms: 8_000,
        min_height: 40,
        ..Scenario::default()
    });
    assert!(report.epoch >= 5, "{report:?}");
}

/// A reviewer of Base's plans: overload slows all nodes alike, and then no handover helps.
#[test]
fn more_than_blocks_can_hold() {
    ran(&Scenario {
        name: "more_than_blocks_can_hold",
        seed: 118,
        genesis: |genesis| {
            genesis.block_bytes_max = 8_192;
            for rollup in &mut genesis.rollups {
                rollup.block_bytes_max = 8_192;
                rollup.transaction_bytes_max = 2_048;
            }
        },
        rate: Rate { every_ms: 25, batch: 12, payload_bytes: 1_000, ..Rate::default() },
        run_ms: 3_000,
        stall_max_ms: Some(3_000),
        drain_ms: 30_000,
        ..Scenario::default()
    });
}

//! What happened to others, done to a cluster: each scenario names the incident it comes from.

use baton_consensus::client::Silence;
use baton_node::health::Sight;
use baton_sim::{
    Action, Chain, Damage, Report, Scenario, Unsynced,
    cluster::LinkSpec,
    disk::DIED_AT,
    load::Rate,
    run, run_with,
    trace::{Entry, render},
};
use baton_types::genesis::{Election, Reshare};
use std::collections::BTreeMap;

suite!(
    [threshold_lottery: ThresholdLottery, zk_lottery: ZkLottery]
    (
        two_halves_never_both_order,
        a_flapping_member,
        asymmetric_reachability,
        a_slow_member,
        a_slow_disk,
        thin_uplinks,
        a_full_disk,
        a_third_of_all_messages_lost_over_epochs_and_reshares,
        clocks_that_are_seconds_and_hours_off,
        a_wiped_disk,
        away_for_over_a_hundred_blocks,
        a_crash_at_every_write,
        messages_that_come_again,
        all_lose_power,
        deaths_around_the_end_of_epochs,
        more_than_blocks_can_hold,
        a_corrupt_vote_journal,
        a_restored_snapshot,
        ready_means_at_work_after_a_replay,
        a_death_just_before_an_epoch_ends,
    )
);

/// When every run begins, Unix ms.
const START_MS: u64 = 1_700_000_000_000;

fn ran(election: Election, scenario: Scenario) -> Report {
    let report = run(&scenario.under(election));
    assert!(report.accepted > 0 && report.ordered >= report.accepted, "{report:?}");
    report
}

/// Epochs that 40 blocks fill, where they are as short as they may be.
fn short_epochs(election: Election) -> u64 {
    if election == Election::ZkLottery { 2 } else { 5 }
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
    for election in [Election::RoundRobin, Election::ZkLottery] {
        ran(
            election,
            Scenario {
                name: "a_leader_several_blocks_behind",
                seed: 101,
                chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
                events: each_in_turn(500, 1_000, |member| Action::Partition(vec![member]), |_| Action::Heal),
                run_ms: 9_000,
                stall_max_ms: Some(3_000),
                ..Scenario::default()
            },
        );
    }
}

/// OP conductor: two sequencers were active at once after a network split.
fn two_halves_never_both_order(election: Election) {
    ran(
        election,
        Scenario {
            name: "two_halves_never_both_order",
            seed: 102,
            events: vec![
                (800, Action::Partition(vec![0, 1])),
                (2_500, Action::Partition(vec![0, 2])),
                (4_000, Action::Heal),
            ],
            run_ms: 5_000,
            ..Scenario::default()
        },
    );
}

/// OP conductor: leadership went back and forth between unhealthy nodes.
fn a_flapping_member(election: Election) {
    let flaps = (0..8).flat_map(|i| [(500 + i * 700, Action::Crash(1)), (800 + i * 700, Action::Restart(1))]);
    ran(
        election,
        Scenario {
            name: "a_flapping_member",
            seed: 103,
            chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
            events: flaps.collect(),
            run_ms: 6_500,
            heals: true,
            stall_max_ms: Some(4_000),
            ..Scenario::default()
        },
    );
}

/// Charon: a member that others called offline, though it saw them, missed half its duties until restarted.
fn asymmetric_reachability(election: Election) {
    let deaf = (1..4).map(|peer| (500, Action::Cut(peer, 0)));
    let mute = (1..4).map(|peer| (3_500, Action::Cut(0, peer)));
    let halfway =
        [(3_000, Action::Heal), (6_000, Action::Heal), (6_000, Action::Cut(2, 3)), (7_000, Action::Heal)];
    ran(
        election,
        Scenario {
            name: "asymmetric_reachability",
            seed: 104,
            chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
            events: deaf
                .chain([halfway[0].clone()])
                .chain(mute)
                .chain(halfway[1..].iter().cloned())
                .collect(),
            run_ms: 7_500,
            stall_max_ms: Some(4_000),
            ..Scenario::default()
        },
    );
}

/// OP conductor: a busy machine missed its heartbeats, and a healthy leader was deposed.
fn a_slow_member(election: Election) {
    ran(
        election,
        Scenario {
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
        },
    );
}

/// A member whose disk is far slower than the others': its votes come late, and nobody waits for them.
fn a_slow_disk(election: Election) {
    ran(
        election,
        Scenario {
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
        },
    );
}

/// Every block that waits is larger than its author can send before the view ends. Blocks of a fixed size would
/// fail for ever.
fn thin_uplinks(election: Election) {
    let narrow = |index| (0, Action::Uplink(index, Some(1_500_000)));
    ran(
        election,
        Scenario {
            name: "thin_uplinks",
            seed: 118,
            rate: Rate { every_ms: 25, batch: 100, payload_bytes: 1_024, ..Rate::default() },
            events: (0..4).map(narrow).collect(),
            run_ms: 1_000,
            drain_ms: 60_000,
            ..Scenario::default()
        },
    );
}

/// CometBFT, several chains: a full disk left nodes that neither worked nor ended.
fn a_full_disk(election: Election) {
    ran(
        election,
        Scenario {
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
        },
    );
}

/// Charon is tested at 30 % loss, TigerBeetle too.
fn a_third_of_all_messages_lost_over_epochs_and_reshares(election: Election) {
    let report = ran(
        election,
        Scenario {
            name: "a_third_of_all_messages_lost_over_epochs_and_reshares",
            seed: 108,
            chain: Chain { epoch_blocks: 20, reshare: Reshare::EveryEpoch, ..Chain::default() },
            link: LinkSpec { latency_ms: 10, jitter_ms: 3, loss_permille: 300 },
            run_ms: 20_000,
            drain_ms: 120_000,
            min_height: 45,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= 2, "{report:?}");
}

/// OP: a node whose clock was a minute off dropped every block and could not catch up.
fn clocks_that_are_seconds_and_hours_off(election: Election) {
    ran(
        election,
        Scenario {
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
        },
    );
}

/// Jepsen on TigerBeetle: a node's disk was lost and there was no way to replace it. Charon: a node
/// whose shares were put back had no record of what it had signed with them.
fn a_wiped_disk(election: Election) {
    let scenario = Scenario {
        name: "a_wiped_disk",
        seed: 110,
        chain: Chain { epoch_blocks: 30, reshare: Reshare::EveryEpoch, ..Chain::default() },
        events: vec![(1_500, Action::Wipe(2)), (1_700, Action::Restart(2))],
        run_ms: 8_000,
        stall_max_ms: Some(6_000),
        min_height: 85,
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    // That it does not vote before it has a fresh share is a property of every run.
    run_with(&scenario, async |cluster| {
        let live = cluster.members[2].client().expect("it runs").live();
        assert!(live.voting, "it has a share again in epoch {}", live.epoch);
    });
}

/// Base: 33 minutes without blocks, because the lead went to a sequencer that was not fully set up.
#[test]
fn a_leader_without_a_share() {
    for election in [Election::RoundRobin, Election::ZkLottery] {
        let scenario = Scenario {
            name: "a_leader_without_a_share",
            seed: 111,
            chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
            events: vec![(1_000, Action::Wipe(3)), (1_200, Action::Restart(3))],
            run_ms: 7_000,
            stall_max_ms: Some(3_000),
            min_height: 45,
            ..Scenario::default()
        };
        let report = run_with(&scenario.under(election), async |cluster| {
            assert!(!cluster.members[3].client().expect("it runs").live().voting);
        });
        // Its turns are skipped as those of a dead one are.
        assert!(report.simulated_ms < 8_000, "{report:?}");
    }
}

/// Left Curve, CometBFT: catching up was slower than the chain.
fn away_for_over_a_hundred_blocks(election: Election) {
    let report = ran(
        election,
        Scenario {
            name: "away_for_over_a_hundred_blocks",
            seed: 112,
            chain: Chain { epoch_blocks: 60, ..Chain::default() },
            rate: Rate { every_ms: 100, batch: 1, ..Rate::default() },
            events: vec![(300, Action::Crash(3)), (20_000, Action::Restart(3))],
            run_ms: 21_000,
            drain_ms: 15_000,
            min_height: 150,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= 2, "{report:?}");
}

/// Farcaster, Malachite: a shard stood still after it replayed its log, or its log could not be read.
/// Jepsen on Tendermint: what had been synced was lost.
fn a_crash_at_every_write(election: Election) {
    const DEATHS: u64 = 30;
    // Dies at work, then while it starts, then works for a while.
    let deaths = (0..DEATHS).flat_map(|i| {
        let at_ms = 300 + i * 400;
        [
            (at_ms, Action::CrashAtWrite(0, i)),
            (at_ms + 150, Action::RestartToDie(0, i)),
            (at_ms + 200, Action::Restart(0)),
        ]
    });
    let scenario = Scenario {
        name: "a_crash_at_every_write",
        seed: 113,
        chain: Chain { block_interval_min_ms: 100, epoch_blocks: 20, ..Chain::default() },
        unsynced: Unsynced::Torn,
        events: deaths.collect(),
        run_ms: 300 + DEATHS * 400,
        heals: true,
        stall_max_ms: Some(5_000),
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    run_with(&scenario, async |cluster| {
        let trace = cluster.trace.take();
        let (mut at_work, mut starting) = (BTreeMap::new(), BTreeMap::new());
        let mut started = true;
        for (_, entry) in &trace {
            match entry {
                Entry::Started { member: 0 } => started = true,
                Entry::Ended { member: 0, cause } => {
                    if let Some(place) = cause.strip_prefix(DIED_AT) {
                        let deaths = if started { &mut at_work } else { &mut starting };
                        *deaths.entry(place.to_owned()).or_insert(0u64) += 1;
                    }
                    started = false;
                }
                _ => {}
            }
        }
        let count = |deaths: &BTreeMap<String, u64>| deaths.values().sum::<u64>();
        assert!(count(&at_work) >= DEATHS / 2, "{at_work:?}\n{}", render(&trace));
        assert!(count(&starting) >= DEATHS / 3, "{starting:?}\n{}", render(&trace));
        for part in ["_consensus_", "-marshal-cache", "-blocks", "-finalizations"] {
            let hit = at_work.keys().chain(starting.keys()).any(|place| place.contains(part));
            assert!(hit, "no death at a write to {part}: {at_work:?}, {starting:?}");
        }
    });
}

/// TigerBeetle is tested with packets that come twice, or once more long after: also those of epochs that are over,
/// to members that have started since.
fn messages_that_come_again(election: Election) {
    let scenario = Scenario {
        name: "messages_that_come_again",
        seed: 124,
        chain: Chain {
            epoch_blocks: 20,
            reshare: Reshare::EveryEpoch,
            block_interval_min_ms: 100,
            ..Chain::default()
        },
        events: vec![
            (500, Action::Replay(3)),
            (2_000, Action::Crash(1)),
            (3_000, Action::Restart(1)),
            (7_000, Action::Replay(0)),
        ],
        run_ms: 7_500,
        stall_max_ms: Some(3_000),
        ..Scenario::default()
    };
    let report = run_with(&scenario.under(election), async |cluster| {
        let again = cluster.replays.count();
        assert!(again > 500, "{again} messages came again");
    });
    assert!(report.epoch >= 2, "{report:?}");
}

/// A data centre without power: all members at once, and of unsynced writes anything may be left.
fn all_lose_power(election: Election) {
    for (seed, unsynced) in
        [(114, Unsynced::Lost), (115, Unsynced::Torn), (116, Unsynced::Kept), (123, Unsynced::Reordered)]
    {
        let falls = [900, 1_800, 2_700].into_iter();
        ran(
            election,
            Scenario {
                name: "all_lose_power",
                seed,
                chain: Chain { epoch_blocks: 30, reshare: Reshare::EveryEpoch, ..Chain::default() },
                unsynced,
                events: falls
                    .flat_map(|at_ms| [(at_ms, Action::CrashAll), (at_ms + 300, Action::RestartAll)])
                    .collect(),
                run_ms: 4_000,
                ..Scenario::default()
            },
        );
    }
}

/// Tempo: nodes that died just before an epoch's end could not recover, and enough of them stop a chain.
fn deaths_around_the_end_of_epochs(election: Election) {
    let deaths = (0..16).zip((0..4).cycle()).flat_map(|(i, member): (u64, usize)| {
        [(400 + i * 400, Action::Crash(member)), (700 + i * 400, Action::Restart(member))]
    });
    let report = ran(
        election,
        Scenario {
            name: "deaths_around_the_end_of_epochs",
            seed: 117,
            chain: Chain { epoch_blocks: 8, block_interval_min_ms: 60, ..Chain::default() },
            events: deaths.chain([(6_900, Action::CrashAll), (7_100, Action::RestartAll)]).collect(),
            run_ms: 8_000,
            min_height: 40,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= short_epochs(election), "{report:?}");
}

/// A reviewer of Base's plans: overload slows all nodes alike, and then no handover helps.
fn more_than_blocks_can_hold(election: Election) {
    ran(
        election,
        Scenario {
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
        },
    );
}

/// Malachite: a log that could not be read hung consensus for ever.
fn a_corrupt_vote_journal(election: Election) {
    for (seed, damage) in [(119, Damage::Flip), (120, Damage::Cut), (125, Damage::Misdirected)] {
        let scenario = Scenario {
            name: "a_corrupt_vote_journal",
            seed,
            chain: Chain { epoch_blocks: 40, block_interval_min_ms: 100, ..Chain::default() },
            events: vec![
                (1_500, Action::Crash(2)),
                (1_500, Action::Rot(2, "_consensus_", damage)),
                (1_600, Action::Restart(2)),
            ],
            run_ms: 7_000,
            stall_max_ms: Some(3_000),
            min_height: 45,
            ..Scenario::default()
        };
        let scenario = scenario.under(election);
        run_with(&scenario, async |cluster| {
            let live = cluster.members[2].client().expect("it runs").live();
            assert!(live.voting, "it votes again in epoch {}", live.epoch);
        });
    }
}

/// Arc: a published snapshot did not boot. Charon: a record of votes that is older than the votes is void.
fn a_restored_snapshot(election: Election) {
    let scenario = Scenario {
        name: "a_restored_snapshot",
        seed: 121,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        events: vec![(700, Action::Copy(1)), (3_000, Action::Restore(1)), (3_300, Action::Restart(1))],
        run_ms: 6_000,
        stall_max_ms: Some(3_000),
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    // That it contradicts nothing it said is a property of every run.
    run_with(&scenario, async |cluster| {
        let live = cluster.members[1].client().expect("it runs").live();
        assert_eq!(live.silence, Some(Silence::VotesLost));
    });
}

/// Farcaster: after it had replayed its log a node stood still, and was taken for ready.
fn ready_means_at_work_after_a_replay(election: Election) {
    let scenario = Scenario {
        name: "ready_means_at_work_after_a_replay",
        seed: 122,
        chain: Chain { block_interval_min_ms: 100, ..Chain::default() },
        // Without member 3 each of the others is needed, also the two that replay.
        events: vec![
            (1_000, Action::Crash(3)),
            (1_500, Action::Crash(0)),
            (1_500, Action::Crash(1)),
            (1_700, Action::Restart(0)),
            (1_700, Action::Restart(1)),
        ],
        run_ms: 6_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    };
    let scenario = scenario.under(election);
    run_with(&scenario, async |cluster| {
        for index in 0..3 {
            let client = cluster.members[index].client().expect("it runs");
            let me = cluster.genesis.members[index].identity().expect("checked");
            let (live, now_ms) = (client.live(), START_MS + cluster.trace.now_ms());
            let sight = |now_ms| Sight {
                live: &live,
                audit: None,
                executions: &[],
                me: &me,
                now_ms,
                members: 4,
                leader_timeout_ms: cluster.genesis.timing.leader_timeout_ms,
                connected: None,
                disk_free_bytes: None,
                disk_free_bytes_min: 0,
                settlement: None,
            };
            assert_eq!(sight(now_ms).judge(), Ok(()), "member {index}");
            assert!(live.last_vote_view[index].is_some(), "member {index} is ready and has not voted");
            let later = sight(now_ms + 60_000).judge();
            assert_eq!(
                later.map_err(|unready| unready.name),
                Err("no_finality"),
                "standing still is not ready"
            );
        }
    });
}

/// Tempo: a node that died just before an epoch ended could not recover.
fn a_death_just_before_an_epoch_ends(election: Election) {
    let deaths = (0..10)
        .flat_map(|i| [(600 + i * 610, Action::CrashAtWrite(1, 3)), (900 + i * 610, Action::Restart(1))]);
    let report = ran(
        election,
        Scenario {
            name: "a_death_just_before_an_epoch_ends",
            seed: 123,
            // An epoch of eight blocks: each death falls on another of them.
            chain: Chain { epoch_blocks: 8, block_interval_min_ms: 60, ..Chain::default() },
            unsynced: Unsynced::Torn,
            events: deaths.collect(),
            run_ms: 7_500,
            heals: true,
            stall_max_ms: Some(4_000),
            min_height: 45,
            ..Scenario::default()
        },
    );
    assert!(report.epoch >= short_epochs(election), "{report:?}");
}

//! Members that do not keep the rules. As long as they are at most f, the others keep all properties;
//! with one more, the simulator finds what goes wrong.

use baton_consensus::network::Channel;
use baton_sim::{
    Action, Behaviour, Chain, Report, Scenario, cluster::Cluster, outcome, run_with, trace::Entry,
};
use baton_types::genesis::Election;

suite!(
    [threshold_lottery: ThresholdLottery, zk_lottery: ZkLottery]
    (
        twin,
        twin_across_a_partition_of_the_honest,
        equivocating_leader,
        contradictory_votes,
        withheld_bodies,
        withheld_votes,
        garbage_on_every_channel,
        lies_to_a_member_that_was_away,
        requests_without_end,
        messages_of_other_epochs,
        flood_of_transactions,
        known_transactions_again_and_again,
        acknowledgements_that_lie,
        two_of_seven,
        the_same_without_a_partition_of_the_honest,
    )
);

/// Runs a scenario, which must keep all properties. `after` sees whether the hostile member has done what
/// it should.
pub fn withstands(scenario: Scenario, after: impl AsyncFnOnce(&Cluster)) -> Report {
    run_with(&scenario, async |cluster| {
        no_forgery_was_believed(cluster);
        after(cluster).await;
    })
}

fn no_forgery_was_believed(cluster: &Cluster) {
    for index in 0..cluster.members.len() {
        let Some(deeds) = cluster.deeds(index) else { continue };
        let forgeries = deeds.forgeries();
        for (member, _) in cluster.running() {
            let witness = cluster.members[member].witness.lock();
            let mut believed = witness.chain.values().chain(witness.notarized.values());
            assert!(!believed.any(|digest| forgeries.contains(digest)), "member {member} believed a forgery");
        }
    }
}

/// How often the hostile member did something.
pub fn deeds(cluster: &Cluster, index: usize, what: &str) -> u64 {
    cluster.deeds(index).expect("it is hostile").count(what)
}

/// A counter of every honest member.
pub fn metrics(cluster: &Cluster, name: &str, label: &str) -> Vec<u64> {
    cluster.running().map(|(index, _)| cluster.metric(index, name, label)).collect()
}

fn twin(election: Election) {
    for left in [vec![1, 2], vec![1]] {
        let scenario = Scenario {
            name: "twin",
            seed: 101,
            hostile: vec![(0, Behaviour::Twin(left))],
            ..Scenario::default()
        };
        withstands(scenario.under(election), async |cluster| {
            assert!(deeds(cluster, 0, "half 0") > 50 && deeds(cluster, 0, "half 1") > 50);
        });
    }
}

/// The twin alone hears both parts of the network: first each half one of them, then halves and parts cross.
fn twin_across_a_partition_of_the_honest(election: Election) {
    for left in [vec![1, 2], vec![1]] {
        let scenario = Scenario {
            name: "twin_across_a_partition_of_the_honest",
            seed: 120,
            hostile: vec![(0, Behaviour::Twin(left.clone()))],
            events: vec![
                (1_000, Action::Partition(left)),
                (3_000, Action::Partition(vec![1, 3])),
                (4_500, Action::Heal),
            ],
            run_ms: 6_000,
            drain_ms: 40_000,
            ..Scenario::default()
        };
        withstands(scenario.under(election), async |cluster| {
            assert!(deeds(cluster, 0, "half 0") > 50 && deeds(cluster, 0, "half 1") > 50);
            let cut_off =
                |entry: &Entry| matches!(entry, Entry::Fault(what) if what.starts_with("Partition"));
            let trace = cluster.trace.take();
            let parted = trace.iter().find(|(_, entry)| cut_off(entry)).expect("a partition").0;
            let behind = |member: usize| {
                let mut heights = trace.iter().filter_map(|(at_ms, entry)| match entry {
                    Entry::Final { member: by, height, .. } if *by == member => Some((*at_ms, *height)),
                    _ => None,
                });
                !heights.any(|(at_ms, _)| (parted + 200..3_000).contains(&at_ms))
            };
            assert!((1..4).any(behind), "nobody was cut off");
        });
    }
}

fn equivocating_leader(election: Election) {
    let scenario = Scenario {
        name: "equivocating_leader",
        seed: 102,
        hostile: vec![(1, Behaviour::Equivocate)],
        run_ms: 8_000,
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 1, "two blocks") >= 8, "{}", deeds(cluster, 1, "two blocks"));
    });
}

/// Rules that a leader can break and still have its block decoded and looked at.
const RULES: [&str; 20] = [
    "chain",
    "context",
    "author",
    "election",
    "reserved",
    "reshare",
    "time",
    "seed",
    "segment_order",
    "unknown_rollup",
    "empty_payload",
    "not_a_hash",
    "expired",
    "validity_too_long",
    "repeated_id",
    "bundle_incomplete",
    "bundle_interrupted",
    "heads",
    "history",
    "repeated",
];

/// Its blocks are refused by all who see them.
#[test]
fn leader_that_breaks_every_rule() {
    let scenario = Scenario {
        name: "leader_that_breaks_every_rule",
        seed: 103,
        hostile: vec![(2, Behaviour::BreakRules)],
        run_ms: 20_000,
        ..Scenario::default()
    };
    withstands(scenario.under(Election::RoundRobin), async |cluster| {
        for rule in RULES {
            assert!(deeds(cluster, 2, rule) > 0, "{rule} was not broken");
            let label = format!("reason=\"{rule}\"");
            let refused = metrics(cluster, "blocks_refused", &label);
            assert!(refused.iter().all(|count| *count > 0), "{rule}: refused {refused:?} times");
        }
        let broken: u64 = RULES.iter().map(|rule| deeds(cluster, 2, rule)).sum();
        for refused in metrics(cluster, "blocks_refused", "") {
            assert!(refused <= broken, "{refused} blocks refused, {broken} bad ones made");
        }
    });
}

/// Blocks of one that the lottery draws are refused by their committers, so that nobody else sees most of them.
#[test]
fn author_that_breaks_every_rule() {
    let scenario = Scenario {
        name: "author_that_breaks_every_rule",
        seed: 103,
        hostile: vec![(2, Behaviour::BreakRules)],
        run_ms: 20_000,
        ..Scenario::default()
    };
    withstands(scenario.under(Election::ZkLottery), async |cluster| {
        for rule in RULES {
            assert!(deeds(cluster, 2, rule) > 0, "{rule} was not broken");
            let reason = if rule == "author" { "unelected" } else { rule };
            let refused = metrics(cluster, "blocks_refused", &format!("reason=\"{reason}\""));
            assert!(refused.iter().sum::<u64>() > 0, "{rule}: refused {refused:?} times");
        }
    });
}

fn contradictory_votes(election: Election) {
    let scenario = Scenario {
        name: "contradictory_votes",
        seed: 104,
        hostile: vec![(3, Behaviour::ConflictingVotes)],
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| assert!(deeds(cluster, 3, "conflicting vote") > 5));
}

/// From one member, so that it must fetch the body elsewhere; from all, so that the view is lost.
fn withheld_bodies(election: Election) {
    for (seed, from) in [(105, vec![1]), (106, vec![0, 1, 2])] {
        let scenario = Scenario {
            name: "withheld_bodies",
            seed,
            hostile: vec![(3, Behaviour::Withhold(vec![Channel::Blocks, Channel::Backfill], from))],
            run_ms: 8_000,
            drain_ms: 40_000,
            ..Scenario::default()
        };
        withstands(scenario.under(election), async |cluster| assert!(deeds(cluster, 3, "withheld") > 5));
    }
}

fn withheld_votes(election: Election) {
    for (seed, from) in [(107, vec![1]), (108, vec![0, 1, 2])] {
        let scenario = Scenario {
            name: "withheld_votes",
            seed,
            hostile: vec![(3, Behaviour::Withhold(vec![Channel::Votes, Channel::Certificates], from))],
            run_ms: 8_000,
            drain_ms: 40_000,
            ..Scenario::default()
        };
        withstands(scenario.under(election), async |cluster| assert!(deeds(cluster, 3, "withheld") > 50));
    }
}

fn garbage_on_every_channel(election: Election) {
    let scenario = Scenario {
        name: "garbage_on_every_channel",
        seed: 109,
        chain: Chain { epoch_blocks: 60, ..Chain::default() },
        hostile: vec![(0, Behaviour::Garbage)],
        run_ms: 12_000,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| {
        for channel in Channel::ALL {
            assert!(deeds(cluster, 0, &format!("random {channel:?}")) > 20, "{channel:?}");
        }
        assert!(metrics(cluster, "mempool_bad_messages", "").iter().all(|count| *count > 0));
    });
}

/// A member that was away asks everybody, the liar too.
fn lies_to_a_member_that_was_away(election: Election) {
    let scenario = Scenario {
        name: "lies_to_a_member_that_was_away",
        seed: 110,
        hostile: vec![(2, Behaviour::Lie)],
        events: vec![(1_000, Action::Crash(0)), (6_000, Action::Restart(0))],
        run_ms: 12_000,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| {
        for lie in ["another answer", "nonsense", "half an answer", "denial", "silence"] {
            assert!(deeds(cluster, 2, lie) > 0, "{lie}");
        }
    });
}

fn requests_without_end(election: Election) {
    let scenario = Scenario {
        name: "requests_without_end",
        seed: 111,
        hostile: vec![(1, Behaviour::Requests)],
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| assert!(deeds(cluster, 1, "request") > 500));
}

fn messages_of_other_epochs(election: Election) {
    let scenario = Scenario {
        name: "messages_of_other_epochs",
        seed: 112,
        chain: Chain { epoch_blocks: 30, ..Chain::default() },
        hostile: vec![(1, Behaviour::Stale)],
        run_ms: 10_000,
        min_height: 100,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    let report = withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 1, "stale message") > 200);
        assert!(deeds(cluster, 1, "message of another epoch") > 20);
    });
    assert!(report.epoch >= 3, "{report:?}");
}

fn flood_of_transactions(election: Election) {
    let scenario = Scenario {
        name: "flood_of_transactions",
        seed: 113,
        genesis: small_blocks,
        hostile: vec![(3, Behaviour::Flood)],
        drain_ms: 60_000,
        ..Scenario::default()
    };
    let report = withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 3, "flood") > 500);
        let refused = metrics(cluster, "mempool_refused", "reason=\"client_limit\"");
        assert!(refused.iter().all(|count| *count > 0), "nobody's share was full: {refused:?}");
        for (_, client) in cluster.running() {
            assert!(client.mempool().transactions <= 10_500, "{:?}", client.mempool());
        }
    });
    assert!(report.accepted > 300, "{report:?}");
}

/// Blocks of one rollup that a flood overtakes.
fn small_blocks(genesis: &mut baton_types::Genesis) {
    for rollup in &mut genesis.rollups {
        rollup.transaction_bytes_max = 4_096;
        rollup.block_bytes_max = 8_192;
    }
    genesis.block_bytes_max = 16_384;
}

/// What is on a journal is acknowledged, and not written again.
fn known_transactions_again_and_again(election: Election) {
    let scenario = Scenario {
        name: "known_transactions_again_and_again",
        seed: 114,
        hostile: vec![(0, Behaviour::Resend)],
        ..Scenario::default()
    };
    let mut most_written = 0;
    let report = withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 0, "resent") > 500);
        most_written = metrics(cluster, "mempool_journaled", "").into_iter().max().unwrap_or(0);
        assert!(metrics(cluster, "mempool_journaled_already", "").iter().all(|count| *count > 1_000));
    });
    let accepted = u64::try_from(report.accepted).expect("few");
    assert!(most_written <= accepted, "{most_written} units written of {accepted} transactions");
}

/// Two members of four are on disk where three should be; all crash, and nothing promised is lost.
fn acknowledgements_that_lie(election: Election) {
    let scenario = Scenario {
        name: "acknowledgements_that_lie",
        seed: 115,
        rate: baton_sim::load::Rate { replicated_every: 1, ..Default::default() },
        hostile: vec![(1, Behaviour::FalseAcks)],
        events: vec![(3_000, Action::CrashAll), (3_500, Action::RestartAll)],
        run_ms: 7_000,
        drain_ms: 40_000,
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 1, "false acknowledgement") > 20)
    });
}

fn two_of_seven(election: Election) {
    let scenario = Scenario {
        name: "two_of_seven",
        seed: 116,
        nodes: 7,
        hostile: vec![(0, Behaviour::Twin(vec![1, 2, 3])), (4, Behaviour::Equivocate)],
        events: vec![(2_000, Action::Crash(6)), (4_000, Action::Restart(6))],
        run_ms: 6_000,
        drain_ms: 60_000,
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |cluster| {
        assert!(deeds(cluster, 0, "half 0") > 50 && deeds(cluster, 0, "half 1") > 50);
        assert!(deeds(cluster, 4, "two blocks") > 0);
    });
}

/// One twin more than a cluster of four bears, and the network between the honest two cut: each of
/// them has a quorum with its halves of the twins.
#[test]
fn two_twins_of_four_are_found_out() {
    let scenario = Scenario {
        name: "two_twins_of_four_are_found_out",
        seed: 117,
        hostile: vec![(0, Behaviour::Twin(vec![2])), (1, Behaviour::Twin(vec![2]))],
        events: vec![(0, Action::Partition(vec![3]))],
        run_ms: 3_000,
        drain_ms: 5_000,
        ..Scenario::default()
    };
    let violations = outcome(&scenario).report.violations;
    let found = |what: &str| violations.iter().any(|violation| violation.contains(what));
    assert!(found("members 2 and 3 disagree at height"), "{violations:?}");
}

/// The same two, with the honest members on one side: they stay as one.
fn the_same_without_a_partition_of_the_honest(election: Election) {
    let scenario = Scenario {
        name: "the_same_without_a_partition_of_the_honest",
        seed: 118,
        hostile: vec![(0, Behaviour::Twin(vec![2, 3])), (1, Behaviour::Twin(vec![2, 3]))],
        ..Scenario::default()
    };
    withstands(scenario.under(election), async |_| {});
}

/// Silence of one member more than f stops the cluster, and that is found too.
#[test]
fn two_silent_of_four_are_found_out() {
    let silent = || Behaviour::Withhold(Channel::ALL.to_vec(), vec![0, 1, 2, 3]);
    let scenario = Scenario {
        name: "two_silent_of_four_are_found_out",
        seed: 119,
        hostile: vec![(0, silent()), (1, silent())],
        run_ms: 2_000,
        drain_ms: 5_000,
        ..Scenario::default()
    };
    let violations = outcome(&scenario).report.violations;
    assert!(violations.iter().any(|violation| violation.contains("not settled")), "{violations:?}");
}

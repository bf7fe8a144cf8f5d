//! Members whose record of what they said is lost, damaged, or older than what they said.

use baton_consensus::client::Silence;
use baton_sim::{
    Action, Behaviour, Chain, Damage, Outcome, Scenario,
    cluster::Cluster,
    outcome, run_with,
    trace::{Entry, render},
};
use baton_types::genesis::{Election, Reshare};

const JOURNAL: &str = "_consensus_";

fn voting(cluster: &Cluster, member: usize) -> bool {
    cluster.members[member].client().expect("it runs").live().voting
}

fn chain() -> Chain {
    Chain { election: Election::RoundRobin, block_interval_min_ms: 100, ..Chain::default() }
}

/// Member 3 is set back by a moment, again and again, while the others cannot go on without it.
fn set_back(back: impl Fn(u64) -> Vec<(u64, Action)>) -> Vec<(u64, Action)> {
    let mut events = vec![(600, Action::Crash(0))];
    events.extend((0..8u64).flat_map(|i| back(1_000 + i * 1_130)));
    events
}

fn restored(member: usize, at_ms: u64) -> Vec<(u64, Action)> {
    let then = at_ms + 120;
    vec![(at_ms, Action::Copy(member)), (then, Action::Restore(member)), (then, Action::Restart(member))]
}

fn damaged(at_ms: u64, damage: Damage) -> Vec<(u64, Action)> {
    vec![
        (at_ms + 120, Action::Crash(3)),
        (at_ms + 120, Action::Rot(3, JOURNAL, damage)),
        (at_ms + 120, Action::Restart(3)),
    ]
}

fn while_another_is_down(name: &'static str, events: Vec<(u64, Action)>) -> Scenario {
    Scenario { name, seed: 301, chain: chain(), events, run_ms: 10_500, heals: true, ..Scenario::default() }
}

fn contradicts(scenario: &Scenario) -> bool {
    let scenario = Scenario { trusts_own_journal: true, ..scenario.clone() };
    let Outcome { report, .. } = outcome(&scenario);
    report.violations.iter().any(|violation| violation.contains("member 3 contradicts itself"))
}

/// With its own journal alone such a member speaks against itself; with its peers' memory it does not.
#[test]
fn a_journal_that_is_lost_or_old_is_noticed_by_the_peers() {
    for (name, events) in [
        ("restored", set_back(|at_ms| restored(3, at_ms))),
        ("gone", set_back(|at_ms| damaged(at_ms, Damage::Gone))),
        ("cut", set_back(|at_ms| damaged(at_ms, Damage::Cut))),
        ("misdirected", set_back(|at_ms| damaged(at_ms, Damage::Misdirected))),
        ("flipped", set_back(|at_ms| damaged(at_ms, Damage::Flip))),
    ] {
        let scenario = while_another_is_down(name, events);
        // Whether a vote is lost by one bit, or by one page, depends on which.
        let uncertain = ["flipped", "misdirected"].contains(&name);
        assert!(uncertain || contradicts(&scenario), "{name}: without asking, nothing goes wrong");
        run_with(&scenario, async |cluster| {
            let live = cluster.members[3].client().expect("it runs").live();
            assert_eq!((live.voting, live.silence), (false, Some(Silence::VotesLost)), "{name}");
            assert!(voting(cluster, 0));
        });
    }
}

/// A member that was restored is silent for the rest of the epoch, and votes in the next with the share it has.
#[test]
fn it_votes_again_in_the_next_epoch() {
    let scenario = Scenario {
        name: "it_votes_again_in_the_next_epoch",
        seed: 302,
        chain: Chain { epoch_blocks: 40, ..chain() },
        events: restored(3, 1_500),
        run_ms: 6_000,
        stall_max_ms: Some(4_000),
        min_height: 45,
        ..Scenario::default()
    };
    let report = run_with(&scenario, async |cluster| {
        let live = cluster.members[3].client().expect("it runs").live();
        assert!(live.voting && live.silence.is_none(), "epoch {}", live.epoch);
        assert!(cluster.metric(3, "votes_lost", "") == 1, "it was not silent before");
    });
    assert!(report.epoch >= 1, "{report:?}");
}

/// A copy from some epochs ago: what the peers remember is of a later epoch.
#[test]
fn a_copy_from_an_earlier_epoch() {
    for (seed, reshare) in [(303, Reshare::OnChange), (304, Reshare::EveryEpoch)] {
        run_with(
            &Scenario {
                name: "a_copy_from_an_earlier_epoch",
                seed,
                chain: Chain { epoch_blocks: 20, reshare, block_interval_min_ms: 60, ..chain() },
                events: vec![
                    (900, Action::Copy(2)),
                    (3_500, Action::Restore(2)),
                    (3_700, Action::Restart(2)),
                ],
                run_ms: 11_000,
                stall_max_ms: Some(5_000),
                min_height: 60,
                ..Scenario::default()
            },
            async |cluster| assert!(voting(cluster, 2), "it never votes again"),
        );
    }
}

/// Nothing was lost: everybody votes at once, also when all start together with a member down.
#[test]
fn a_restart_that_lost_nothing_silences_nobody() {
    let scenario = Scenario {
        name: "a_restart_that_lost_nothing_silences_nobody",
        seed: 305,
        chain: chain(),
        events: vec![
            (800, Action::Crash(1)),
            (900, Action::Restart(1)),
            (2_000, Action::CrashAll),
            (2_200, Action::Restart(0)),
            (2_300, Action::Restart(1)),
            (2_400, Action::Restart(2)),
            // For good, so that each vote counts.
            (4_500, Action::Restart(3)),
            (5_000, Action::Crash(0)),
        ],
        run_ms: 7_000,
        stall_max_ms: Some(3_500),
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        for (member, client) in cluster.running() {
            assert!(client.live().voting, "member {member}");
        }
    });
}

/// With three members or two everybody is needed, and one asks nobody.
#[test]
fn small_clusters_start_again() {
    for nodes in 1..=3 {
        let scenario = Scenario {
            name: "small_clusters_start_again",
            seed: 306 + u64::from(nodes),
            nodes,
            chain: chain(),
            events: vec![
                (1_000, Action::CrashAll),
                (1_200, Action::RestartAll),
                (2_500, Action::Crash(0)),
                (2_700, Action::Restart(0)),
            ],
            run_ms: 4_000,
            stall_max_ms: Some(5_000),
            ..Scenario::default()
        };
        run_with(&scenario, async |cluster| assert!(voting(cluster, 0)));
    }
}

/// f members make up votes of a member that starts: it counts them, and votes.
#[test]
fn made_up_votes_silence_nobody() {
    let scenario = Scenario {
        name: "made_up_votes_silence_nobody",
        seed: 311,
        chain: chain(),
        hostile: vec![(1, Behaviour::FalseVotes)],
        // Without member 3, so that the liar is among those who are heard.
        events: vec![
            (1_400, Action::Crash(3)),
            (1_500, Action::Crash(2)),
            (1_700, Action::Restart(2)),
            (3_000, Action::Restart(3)),
        ],
        run_ms: 5_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| {
        assert!(cluster.deeds(1).expect("it lies").count("false votes") > 0);
        assert!(cluster.metric(2, "votes_refused", "") > 0, "nobody heard the lies");
        assert!(voting(cluster, 2));
    });
}

/// A member that signs what another said hides nothing of it, whoever is asked first.
#[test]
fn a_liar_does_not_hide_what_was_said() {
    // One honest member is down, so that the liar is among those who are heard.
    for (liar, down) in [(0, 1), (1, 0), (3, 0)] {
        let mut events = restored(2, 1_500);
        events.extend([(1_550, Action::Crash(down)), (3_500, Action::Restart(down))]);
        events.sort_by_key(|(at, _)| *at);
        let scenario = Scenario {
            name: "a_liar_does_not_hide_what_was_said",
            seed: 312,
            chain: chain(),
            hostile: vec![(liar, Behaviour::FalseVotes)],
            events,
            run_ms: 6_000,
            stall_max_ms: Some(5_000),
            ..Scenario::default()
        };
        run_with(&scenario, async |cluster| {
            assert!(cluster.deeds(liar).expect("it lies").count("false votes") > 0);
            let live = cluster.members[2].client().expect("it runs").live();
            assert_eq!((live.voting, live.silence), (false, Some(Silence::VotesLost)), "liar {liar}");
        });
    }
}

/// Wherever its end is missing, the journal is not taken for whole: a file of it has the votes of one view.
#[test]
fn a_journal_cut_at_any_of_its_files() {
    let mut silent = 0;
    for files in 0..12 {
        let scenario = Scenario {
            name: "a_journal_cut_at_any_of_its_files",
            seed: 313,
            chain: chain(),
            events: vec![
                (1_200, Action::Crash(3)),
                (1_200, Action::Rot(3, JOURNAL, Damage::After(files))),
                (1_250, Action::Restart(3)),
            ],
            run_ms: 2_000,
            stall_max_ms: Some(3_000),
            min_height: 10,
            ..Scenario::default()
        };
        run_with(&scenario, async |cluster| {
            let live = cluster.members[3].client().expect("it runs").live();
            silent += u32::from(live.silence == Some(Silence::VotesLost));
        });
    }
    // The last of the cuts are behind the end.
    assert!((6..12).contains(&silent), "silent after {silent} of 12");
}

/// A member whose disk cannot be read for a while ends, or goes on without its votes. It does not make up others.
#[test]
fn a_disk_that_cannot_be_read_for_a_while() {
    let scenario = Scenario {
        name: "a_disk_that_cannot_be_read_for_a_while",
        seed: 314,
        chain: Chain { epoch_blocks: 20, ..chain() },
        events: vec![
            (1_500, Action::Crash(3)),
            (1_500, Action::UnreadableDisk(3, true)),
            (1_600, Action::Restart(3)),
            (2_600, Action::Restart(3)),
            (3_000, Action::UnreadableDisk(3, false)),
            (3_100, Action::Restart(3)),
        ],
        run_ms: 8_000,
        stall_max_ms: Some(4_000),
        ..Scenario::default()
    };
    run_with(&scenario, async |cluster| assert!(voting(cluster, 3), "it never votes again"));
}

/// The blocks of a member are lost, and it has been there for some epochs: it reads the chain again, and votes
/// with the share that it has.
#[test]
fn lost_blocks_cost_no_share() {
    let chains: [&[&str]; 2] =
        [&["-marshal-"], &["-blocks-", "-finalizations-", "-marshal-", "-history-", "-index"]];
    for (parts, seed) in chains.into_iter().zip(315..) {
        let rot = parts.iter().map(|part| (7_000, Action::Rot(3, part, Damage::Gone)));
        let mut events = vec![(7_000, Action::Crash(3))];
        events.extend(rot);
        events.push((7_100, Action::Restart(3)));
        let scenario = Scenario {
            name: "lost_blocks_cost_no_share",
            seed,
            chain: Chain { epoch_blocks: 16, ..chain() },
            events,
            run_ms: 13_000,
            stall_max_ms: Some(4_000),
            ..Scenario::default()
        };
        let report = run_with(&scenario, async |cluster| {
            let live = cluster.members[3].client().expect("it runs").live();
            assert!(live.voting && live.silence.is_none(), "{parts:?}: silent in epoch {}", live.epoch);
        });
        assert!(report.epoch >= 5, "{report:?}");
    }
}

/// Whatever rots, the member goes on, fetches it again or ends. It never votes against itself, and the others go on.
#[test]
fn whatever_rots_is_no_wrong_vote() {
    let parts = [
        JOURNAL,
        "-secrets",
        "-orchestrator-marker",
        "-silent",
        "-marshal-",
        "-blocks-",
        "-finalizations-",
        "-reshare",
        "-index",
        "-history-",
        "-mempool",
    ];
    let (blocks, certificates) = ("-blocks-", "-finalizations-");
    // Blocks and certificates that a node says it has, and secrets in both of their copies: which bits are others decides
    // whether it ends and names them.
    let may_end = [
        ("-secrets", Damage::Flip),
        (blocks, Damage::Flip),
        (blocks, Damage::Cut),
        (blocks, Damage::Gone),
        (certificates, Damage::Flip),
        (certificates, Damage::Cut),
    ];
    let mut ends = 0;
    for (part, seed) in parts.into_iter().zip(320..) {
        for damage in [Damage::Flip, Damage::Cut, Damage::Gone] {
            let scenario = Scenario {
                name: "whatever_rots_is_no_wrong_vote",
                seed,
                chain: Chain { epoch_blocks: 20, ..chain() },
                events: vec![
                    (2_800, Action::Crash(3)),
                    (2_800, Action::Rot(3, part, damage)),
                    (2_900, Action::Restart(3)),
                ],
                run_ms: 5_000,
                stall_max_ms: Some(4_000),
                ..Scenario::default()
            };
            let Outcome { report, trace } = outcome(&scenario);
            assert_eq!(report.violations, Vec::<String>::new(), "{part} {damage:?}: {}", render(&trace));
            let ended =
                |entry: &Entry| matches!(entry, Entry::Ended { member: 3, cause } if cause != "crashed");
            let ended = trace.iter().any(|(_, entry)| ended(entry));
            assert!(!ended || may_end.contains(&(part, damage)), "{part} {damage:?}: {}", render(&trace));
            ends += usize::from(ended);
        }
    }
    assert!(ends >= 3, "{ends} ended");
}

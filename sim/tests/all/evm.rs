//! Executors inside the nodes: they agree, come back, and harm nobody when they do not.

use alloy_primitives::Address;
use baton_consensus::evm::{Execution, Fault, Status, Stopped};
use baton_node::health::Sight;
use baton_sim::{
    Action, Behaviour, Chain, Scenario, Unsynced,
    cluster::Cluster,
    load::Rate,
    run, run_twice, run_with,
    trace::Entry,
    wallet::{EVM, OTHER, with_arrival, with_evm, with_slots, with_two_evms},
};
use baton_types::{
    RollupId, faults_tolerated,
    genesis::Election,
    receipt::{Reason, Rung},
    results::LAG_BLOCKS_MAX,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

fn scenario(name: &'static str, seed: u64) -> Scenario {
    Scenario {
        name,
        seed,
        chain: Chain { election: Election::RoundRobin, block_interval_min_ms: 60, ..Chain::default() },
        genesis: with_evm,
        rate: Rate { evm_every: 1, ..Rate::default() },
        ..Scenario::default()
    }
}

const WEDGE: (RollupId, Fault) = (EVM, Fault::Wedge { height: 15 });

fn execution(cluster: &Cluster, member: usize, rollup: RollupId) -> Arc<Execution> {
    let client = cluster.members[member].client().expect("it runs");
    client.execution(rollup).expect("the genesis has the rollup")
}

fn status(cluster: &Cluster, member: usize) -> Status {
    execution(cluster, member, EVM).status()
}

/// What a member's final blocks gave, up to the number.
async fn hashes(execution: &Execution, last: u64) -> Vec<(u64, [u8; 32], usize)> {
    let mut all = Vec::new();
    for number in 1..=last {
        let block = execution.block(number).await.expect("readable").expect("final");
        assert_eq!(block.transactions.len(), block.receipts.len());
        all.push((number, block.hash.0, block.transactions.len()));
    }
    all
}

/// Members that execute have the same blocks. Returns how many blocks and transactions.
async fn agree(cluster: &Cluster, members: &[usize]) -> (u64, usize) {
    agree_on(cluster, EVM, members).await
}

async fn agree_on(cluster: &Cluster, rollup: RollupId, members: &[usize]) -> (u64, usize) {
    let all: Vec<_> = members.iter().map(|member| execution(cluster, *member, rollup)).collect();
    let last = all.iter().map(|execution| execution.status().number).min().expect("some");
    let first = hashes(&all[0], last).await;
    for (execution, member) in all.iter().zip(members) {
        assert_eq!(hashes(execution, last).await, first, "member {member}");
    }
    (last, first.iter().map(|(_, _, transactions)| transactions).sum())
}

#[test]
fn all_nodes_execute_the_same() {
    let mut scenario = Scenario { run_ms: 3_000, ..scenario("all_nodes_execute_the_same", 601) };
    for genesis in [with_evm, with_slots] {
        scenario.genesis = genesis;
        run_with(&scenario, async |cluster| {
            let (blocks, transactions) = agree(cluster, &[0, 1, 2, 3]).await;
            // In slots, the last of them are in a block that is still open.
            assert!(transactions >= 20, "{transactions} transactions in {blocks} blocks");
            let client = cluster.members[0].client().expect("it runs");
            let heads = client.execution(EVM).expect("there").heads();
            let paid = heads.pending.state.account(&Address::repeat_byte(0x11)).expect("it was paid").balance;
            assert!(u64::try_from(paid).expect("few wei") >= transactions as u64);
            let attested = client.finalized(client.finalized_height()).await.expect("final");
            let result = attested.inner().body().results[&EVM];
            assert!(result.number > 0 && result.number <= heads.latest.header.number, "{result:?}");
        });
    }
}

#[test]
fn a_run_repeats_itself() {
    run_twice(&Scenario { run_ms: 1_500, ..scenario("a_run_repeats_itself", 602) });
}

/// Whatever was not synced is executed again, to the same blocks.
#[test]
fn executors_come_back_after_all_crash() {
    for (seed, genesis) in [(603, with_evm as fn(&mut _)), (604, with_slots)] {
        let scenario = Scenario {
            genesis,
            events: vec![(2_400, Action::CrashAll), (2_600, Action::RestartAll)],
            run_ms: 4_500,
            ..scenario("executors_come_back_after_all_crash", seed)
        };
        run_with(&scenario, async |cluster| {
            let (blocks, transactions) = agree(cluster, &[0, 1, 2, 3]).await;
            // In slots, the last of them are in a block that is still open.
            assert!(blocks >= 3 && transactions >= 20, "{transactions} transactions in {blocks} blocks");
        });
    }
}

/// Wherever it dies, its executor goes on from what is on its disk.
#[test]
fn executors_come_back_after_crashes() {
    const DEATHS: u64 = 24;
    for (seed, genesis, unsynced) in
        [(615, with_evm as fn(&mut _), Unsynced::Torn), (616, with_slots, Unsynced::Lost)]
    {
        // Each begins just before the second in which executors sync their records.
        let deaths = (0..DEATHS).flat_map(|i| {
            let at_ms = 950 + i * 1_350;
            [(at_ms, Action::CrashAtWrite(0, i)), (at_ms + 400, Action::Restart(0))]
        });
        let scenario = Scenario {
            genesis,
            unsynced,
            chain: Chain { block_interval_min_ms: 100, ..scenario("", seed).chain },
            rate: Rate { batch: 1, evm_every: 1, ..Rate::default() },
            events: deaths.collect(),
            run_ms: 950 + DEATHS * 1_350,
            heals: true,
            stall_max_ms: Some(5_000),
            ..scenario("executors_come_back_after_crashes", seed)
        };
        run_with(&scenario, async |cluster| {
            let (blocks, transactions) = agree(cluster, &[0, 1, 2, 3]).await;
            assert!(blocks >= 20 && transactions >= 200, "{transactions} transactions in {blocks} blocks");
            let ended = cluster.trace.take();
            let died = |entry: &Entry| matches!(entry, Entry::Ended { cause, .. } if cause.starts_with("died at a write"));
            let died = ended.iter().filter(|(_, entry)| died(entry)).count();
            assert_eq!(died, usize::try_from(DEATHS).expect("few"), "it did not die at each write");
        });
    }
}

/// Its memory is damaged: it says so and votes for no result of its own; the others go on. Started again it is
/// well.
#[test]
fn a_flipped_bit_stops_one_executor_and_nothing_else() {
    let scenario = Scenario {
        evm_faults: vec![(2, (EVM, Fault::Damage { height: 20 }))],
        events: vec![(300, Action::Crash(2)), (600, Action::Restart(2))],
        run_ms: 6_000,
        stall_max_ms: Some(3_500),
        ..scenario("a_flipped_bit_stops_one_executor_and_nothing_else", 605)
    };
    run_with(&scenario, async |cluster| {
        let (_, transactions) = agree(cluster, &[0, 1, 3]).await;
        assert!(transactions >= 60, "{transactions}");
        let damaged = status(cluster, 2);
        let Some(Stopped::Differs { height, attested, own }) = &damaged.stopped else {
            panic!("{damaged:?}");
        };
        assert!(*height >= 20 && attested.number == own.number && attested.hash != own.hash);
        let client = cluster.members[2].client().expect("it runs");
        assert!(client.finalized_height() > height + 20, "it orders as before");
        assert!(client.execution(EVM).expect("there").check().is_err(), "it does not serve what it has");
        let live = client.live();
        let sight = Sight {
            live: &live,
            audit: None,
            executions: &[damaged],
            me: &live.holders[2],
            now_ms: live.finalized_time_ms,
            members: 4,
            leader_timeout_ms: 700,
            connected: None,
            disk_free_bytes: None,
            disk_free_bytes_min: 0,
            settlement: None,
        };
        assert_eq!(sight.judge().expect_err("not ready").name, "execution_differs");
        cluster.evm_faults.clear();
        cluster.crash(2);
        cluster.start(2).await;
        cluster.settle(2_000).await;
        let (last, _) = agree(cluster, &[0, 1, 2, 3]).await;
        assert!(status(cluster, 2).stopped.is_none() && last > attested_number(cluster).await);
    });
}

async fn attested_number(cluster: &Cluster) -> u64 {
    let client = cluster.members[0].client().expect("it runs");
    let block = client.finalized(20).await.expect("final");
    block.inner().body().results[&EVM].number
}

/// One executor in four is stuck: its rollup does not even notice.
#[test]
fn one_stuck_executor_delays_nobody() {
    let scenario = Scenario {
        evm_faults: vec![(1, WEDGE)],
        events: vec![(300, Action::Crash(1)), (600, Action::Restart(1))],
        run_ms: 6_000,
        stall_max_ms: Some(3_500),
        ..scenario("one_stuck_executor_delays_nobody", 606)
    };
    run_with(&scenario, async |cluster| {
        let (_, transactions) = agree(cluster, &[0, 2, 3]).await;
        assert!(transactions >= 60, "{transactions}");
        let stuck = status(cluster, 1);
        assert!(stuck.executed_to < 20 && stuck.stopped.is_none(), "{stuck:?}");
        let client = cluster.members[1].client().expect("it runs");
        assert!(client.finalized_height() > 50);
    });
}

/// More executors of a rollup are stuck than may be.
fn stuck_on_two(name: &'static str, seed: u64) -> Scenario {
    Scenario {
        evm_faults: vec![(1, WEDGE), (2, WEDGE)],
        events: vec![
            (300, Action::Crash(1)),
            (600, Action::Restart(1)),
            (2_000, Action::Crash(2)),
            (2_300, Action::Restart(2)),
        ],
        stall_max_ms: Some(4_000),
        ..scenario(name, seed)
    }
}

/// The rollup pauses at its lag, and everything else is ordered.
#[test]
fn stuck_executors_pause_their_rollup_only() {
    let scenario = Scenario {
        run_ms: 30_000,
        min_height: LAG_BLOCKS_MAX + 60,
        drain_ms: 60_000,
        ..stuck_on_two("stuck_executors_pause_their_rollup_only", 607)
    };
    assert!(faults_tolerated(4) < 2);
    run_with(&scenario, async |cluster| {
        let client = cluster.members[0].client().expect("it runs");
        let tip = client.finalized(client.finalized_height()).await.expect("final");
        let header = tip.inner().header();
        let result = tip.inner().body().results[&EVM];
        assert!(header.height > result.executed_to + LAG_BLOCKS_MAX + 20, "{result:?} at {}", header.height);
        for height in result.executed_to + LAG_BLOCKS_MAX + 1..=header.height {
            let block = client.finalized(height).await.expect("final");
            let segments = &block.inner().body().segments;
            assert!(segments.iter().all(|segment| segment.rollup != EVM), "segment at {height}");
        }
    });
}

/// Executors of one rollup are stuck on more members than may be: the other rollup is attested as before, by the
/// members that claim results of both too.
#[test]
fn a_stuck_rollup_does_not_hold_up_another() {
    let scenario = Scenario {
        genesis: with_two_evms,
        run_ms: 20_000,
        ..stuck_on_two("a_stuck_rollup_does_not_hold_up_another", 610)
    };
    run_with(&scenario, async |cluster| {
        let client = cluster.members[0].client().expect("it runs");
        let tip = client.finalized_height();
        let (mut before, mut advances) = (None, BTreeMap::<_, u32>::new());
        for height in 0..=tip {
            let block = client.finalized(height).await.expect("final");
            let results = &block.inner().body().results;
            let (stuck, other) = (results[&EVM].executed_to, results[&OTHER].executed_to);
            if height > 30 && before.is_some_and(|before| other > before) {
                *advances.entry(block.inner().header().author.clone()).or_default() += 1;
            }
            before = Some(other);
            if height == tip {
                assert!(stuck + 40 < tip && other + 10 > tip, "attested to {stuck} and {other} of {tip}");
            }
        }
        let shares: Vec<_> = advances.values().collect();
        assert!(shares.len() == 4 && shares.iter().all(|share| **share >= 5), "{shares:?} up to {tip}");
        let (_, transactions) = agree_on(cluster, OTHER, &[0, 1, 2, 3]).await;
        assert!(transactions >= 60, "{transactions}");
    });
}

/// Where a rollup is ordered by arrival a proposer may order what cannot be executed. It is left out everywhere, with
/// its reason, and costs room in that proposer's blocks only.
#[test]
fn a_leader_that_orders_what_cannot_execute() {
    let scenario = Scenario {
        genesis: with_arrival,
        hostile: vec![(2, Behaviour::Waste)],
        ..scenario("a_leader_that_orders_what_cannot_execute", 611)
    };
    run_with(&scenario, async |cluster| {
        let (_, transactions) = agree(cluster, &[0, 1, 3]).await;
        assert!(transactions >= 60, "{transactions}");
        let waste = cluster.deeds(2).expect("member 2 is hostile").waste();
        let hostile = cluster.genesis.members[2].identity().expect("the genesis was checked");
        for member in [0, 1, 3] {
            let client = cluster.members[member].client().expect("it runs");
            let (mut executed, mut left_out) = (0, BTreeMap::<Reason, u32>::new());
            for height in 1..=status(cluster, member).executed_to {
                let block = client.finalized(height).await.expect("final");
                let its_own = block.inner().header().author == hostile;
                let ordered = block.inner().segment_ids().filter(|(rollup, _)| *rollup == EVM);
                for id in ordered.flat_map(|(_, ids)| ids) {
                    let found = client.transaction(*id).await.expect("it is ordered");
                    let reason = waste.get(id).copied();
                    // What else it orders may lack what it left out before.
                    if its_own && reason.is_none() {
                        continue;
                    }
                    let rung = if reason.is_some() { Rung::Skipped } else { Rung::Executed };
                    assert_eq!((found.rung, found.reason), (rung, reason), "{id} on member {member}");
                    match reason {
                        Some(reason) => *left_out.entry(reason).or_default() += 1,
                        None => executed += 1,
                    }
                }
            }
            let kinds: BTreeSet<_> = waste.values().copied().collect();
            assert_eq!(left_out.keys().copied().collect::<BTreeSet<_>>(), kinds, "member {member}");
            assert!(kinds.len() == 7 && left_out.values().all(|count| *count >= 100), "{left_out:?}");
            assert!(executed >= 60, "{executed} executed");
        }
    });
}

/// A proposer that lies about results, breaks the order of tips, or orders what is no transaction.
#[test]
fn a_leader_that_breaks_the_rules_of_execution() {
    const RULES: [&str; 4] = ["claim", "result", "order", "unsigned"];
    let scenario = Scenario {
        hostile: vec![(2, Behaviour::BreakRules)],
        run_ms: 25_000,
        ..scenario("a_leader_that_breaks_the_rules_of_execution", 608)
    };
    run_with(&scenario, async |cluster| {
        let deeds = cluster.deeds(2).expect("member 2 is hostile");
        for rule in RULES {
            assert!(deeds.count(rule) > 0, "{rule} was not broken");
            for member in [0, 1, 3] {
                let refused = cluster.metric(member, "blocks_refused", &format!("reason=\"{rule}\""));
                assert!(refused > 0, "member {member} never refused for {rule}");
            }
        }
        let forgeries = deeds.forgeries();
        for member in [0, 1, 3] {
            let witness = cluster.members[member].witness.lock();
            assert!(witness.chain.values().all(|digest| !forgeries.contains(digest)));
        }
        let (_, transactions) = agree(cluster, &[0, 1, 3]).await;
        assert!(transactions >= 60, "{transactions}");
    });
}

/// Whatever elects the proposer.
#[test]
fn the_lottery_executes_too() {
    let chain = Chain { election: Election::ZkLottery, block_interval_min_ms: 60, ..Chain::default() };
    run(&Scenario { chain, run_ms: 2_000, ..scenario("the_lottery_executes_too", 609) });
}

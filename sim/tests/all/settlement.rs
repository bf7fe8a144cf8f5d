//! Clusters that settle on a simulated L1: what they take from it, what they sign for it.

use crate::{
    byzantine::{deeds, metrics, withstands},
    state_sync::{Setup, WINDOW, World, on_change},
};
use alloy_primitives::Address;
use baton_consensus::client::{Client, Event, Submit};
use baton_execution::pool::Unit;
use baton_sim::{
    Action, Behaviour, Chain, Damage, L1Action, Scenario,
    cluster::Cluster,
    l1::{SETTLED, settle},
    load::Rate,
    run_twice, run_with,
    wallet::{EVM, address, transfer, with_evm, with_slots},
};
use baton_types::{
    Block, Bundle, Genesis, RollupId, Transaction,
    api::Ack,
    genesis::{Election, Reshare},
    receipt::{Reason, Refusal, Rung},
};
use bytes::Bytes;
use std::collections::BTreeMap;

const ONE: RollupId = SETTLED[0];
const HASHES: RollupId = SETTLED[1];

fn scenario(name: &'static str, seed: u64) -> Scenario {
    Scenario {
        name,
        seed,
        chain: Chain { election: Election::RoundRobin, block_interval_min_ms: 60, ..Chain::default() },
        genesis: settle,
        run_ms: 7_000,
        // A leader timeout and what it takes to be noticed: L1 never delays ordering.
        stall_max_ms: Some(1_500),
        ..Scenario::default()
    }
}

fn force(at_ms: u64, rollup: RollupId, count: usize) -> (u64, Action) {
    (at_ms, Action::L1(L1Action::Force(rollup, count)))
}

fn l1(at_ms: u64, action: L1Action) -> (u64, Action) {
    (at_ms, Action::L1(action))
}

async fn blocks(cluster: &Cluster, member: usize) -> Vec<Block> {
    let client = cluster.members[member].client().expect("it runs");
    let mut blocks = Vec::new();
    for height in 1..=client.finalized_height() {
        blocks.push(client.finalized(height).await.expect("it keeps all").inner().clone());
    }
    blocks
}

/// Forced transactions of a rollup, by index, in the order of the chain.
fn forced(blocks: &[Block], rollup: RollupId) -> Vec<(u64, Bytes)> {
    let segments = blocks.iter().flat_map(|block| &block.body().segments);
    let transactions =
        segments.filter(|segment| segment.rollup == rollup).flat_map(|segment| &segment.transactions);
    transactions.filter_map(|forced| Some((forced.forced()?, forced.payload.clone()))).collect()
}

fn cursor(blocks: &[Block], rollup: RollupId) -> u64 {
    let part = blocks.last().and_then(|block| block.body().l1.as_ref()).expect("the chain settles");
    part.state.queues[&rollup].cursor
}

/// All entries of L1 are in the chain, in their order and once, but for those that no rollup takes.
fn all_are_ordered(cluster: &Cluster, blocks: &[Block]) {
    for rollup in SETTLED {
        let entries = cluster.l1.as_ref().expect("it settles").entries(rollup);
        let wanted: Vec<_> =
            (0..).zip(entries.iter().cloned()).filter(|(_, data)| !data.is_empty()).collect();
        assert_eq!(forced(blocks, rollup), wanted, "of rollup {rollup}");
        assert_eq!(cursor(blocks, rollup), entries.len() as u64, "of rollup {rollup}");
    }
}

/// Certified batches of a member by index, and how many it has.
fn certificates(cluster: &Cluster, member: usize, rollup: RollupId) -> (BTreeMap<u64, String>, usize) {
    let board = cluster.members[member].client().expect("it runs").batches().expect("it settles");
    let batches = board.batches(rollup, 0, usize::MAX).expect("the rollup settles");
    let count = batches.len();
    let signed = batches.into_iter().filter_map(|sight| {
        let signature = sight.signature?;
        Some((sight.batch.index, baton_types::hex::encode_value(&signature)))
    });
    (signed.collect(), count)
}

/// These members have the same certificates, of all batches but the last few.
fn certificates_agree(cluster: &Cluster, members: &[usize], least: usize) {
    for rollup in SETTLED {
        let (first, _) = certificates(cluster, members[0], rollup);
        for member in members {
            let (signed, count) = certificates(cluster, *member, rollup);
            assert!(
                count >= least && signed.len() + 2 >= count,
                "member {member}: {} of {count}",
                signed.len()
            );
            let shared = signed.iter().filter(|(index, _)| first.contains_key(index));
            assert!(shared.clone().count() + 2 >= first.len().min(signed.len()));
            assert!(
                shared.into_iter().all(|(index, signature)| first[index] == *signature),
                "member {member}"
            );
        }
    }
}

fn forcing() -> Vec<(u64, Action)> {
    vec![
        force(700, ONE, 5),
        force(1_200, HASHES, 20),
        l1(1_700, L1Action::ForceNonsense(ONE)),
        force(2_200, ONE, 3),
        l1(2_700, L1Action::ForceNonsense(HASHES)),
    ]
}

#[test]
fn forced_entries_are_ordered_and_batches_posted() {
    for election in [Election::RoundRobin, Election::ZkLottery] {
        let scenario =
            Scenario { events: forcing(), ..scenario("forced_entries_are_ordered_and_batches_posted", 701) };
        run_with(&scenario.under(election), async |cluster| {
            cluster.settle(2_000).await;
            let blocks = blocks(cluster, 0).await;
            all_are_ordered(cluster, &blocks);
            let origins: Vec<_> = blocks.iter().map(|block| block.header().l1_number).collect();
            assert!(origins.is_sorted() && *origins.last().expect("blocks") >= 5, "{origins:?}");
            certificates_agree(cluster, &[0, 1, 2, 3], 3);
            let client = cluster.members[1].client().expect("it runs");
            let l1 = cluster.l1.as_ref().expect("it settles");
            for rollup in SETTLED {
                let inbox = l1.inbox(rollup);
                assert!(inbox.next_index >= 2 && inbox.forced_cursor > 0, "{inbox:?}");
                let board = client.batches().expect("it settles");
                assert_eq!(board.rung(rollup, 1), Some(Rung::Settled));
                assert_eq!(board.rung(rollup, inbox.next_height), None);
            }
            let place = blocks[0..3].iter().flat_map(Block::ids).next().copied();
            if let Some(id) = place {
                let rung = client.transaction(id).await.expect("known").rung;
                assert!(rung == Rung::Settled || rung == Rung::Finalized, "{rung}");
            }
        });
    }
}

#[test]
fn a_run_with_l1_repeats_itself() {
    let scenario =
        Scenario { events: forcing(), run_ms: 4_000, ..scenario("a_run_with_l1_repeats_itself", 702) };
    run_twice(&scenario);
}

/// Incident: three sequencers of Starknet saw different states of L1.
/// As many views as there may be hostile members: the others go on with L1 as if nothing were.
#[test]
fn one_view_that_stalls_lags_or_strays_changes_nothing() {
    for (seed, action) in
        [(703, L1Action::Stall(1)), (704, L1Action::Lag(1, 1_500)), (705, L1Action::Astray(1))]
    {
        let mut events = vec![l1(0, action)];
        events.extend(forcing());
        let scenario =
            Scenario { events, ..scenario("one_view_that_stalls_lags_or_strays_changes_nothing", seed) };
        run_with(&scenario, async |cluster| {
            let blocks = blocks(cluster, 0).await;
            all_are_ordered(cluster, &blocks);
            assert!(blocks.last().expect("blocks").header().l1_number >= 5);
        });
    }
}

/// Incident: OP looped for ever over a block that L1 did not have.
/// More views than that: the origin stands still, ordering does not; when they are back so is L1.
#[test]
fn ordering_goes_on_without_l1() {
    for (seed, actions) in
        [(706, vec![L1Action::StallAll]), (707, vec![L1Action::Stall(0), L1Action::Stall(2)])]
    {
        let mut events: Vec<_> = actions.into_iter().map(|action| l1(1_500, action)).collect();
        events.extend([force(2_000, ONE, 4), l1(6_000, L1Action::Clear)]);
        let scenario = Scenario { events, run_ms: 9_000, ..scenario("ordering_goes_on_without_l1", seed) };
        run_with(&scenario, async |cluster| {
            let blocks = blocks(cluster, 0).await;
            all_are_ordered(cluster, &blocks);
            // The first block comes a little after the start.
            let start = blocks[0].header().timestamp_ms;
            let during =
                blocks.iter().filter(|block| (3_000..5_500).contains(&(block.header().timestamp_ms - start)));
            let origins: Vec<_> = during.map(|block| block.header().l1_number).collect();
            assert!(origins.len() >= 20, "{} blocks while L1 was away", origins.len());
            assert!(origins.iter().all(|origin| *origin == origins[0]), "{origins:?}");
        });
    }
}

/// One that sees nothing and one that sees another chain, of four: no origin has a quorum, and reports ask for
/// one. After two rounds of leaders the cluster goes on without.
#[test]
fn liars_beside_dead_views_do_not_stop_ordering() {
    let scenario = Scenario {
        events: vec![l1(1_500, L1Action::Stall(0)), l1(1_500, L1Action::Astray(2))],
        run_ms: 25_000,
        stall_max_ms: Some(15_000),
        ..scenario("liars_beside_dead_views_do_not_stop_ordering", 715)
    };
    run_with(&scenario, async |cluster| {
        let blocks = blocks(cluster, 0).await;
        let last = blocks.last().expect("blocks");
        assert!(last.body().l1.as_ref().expect("it settles").state.eased_until > 0);
        let start = blocks[0].header().timestamp_ms;
        let late = blocks.iter().filter(|block| block.header().timestamp_ms - start > 20_000).count();
        assert!(late >= 20, "{late} blocks in the last five seconds");
    });
}

/// What was ordered stays; the queue goes on from the same cursor.
#[test]
fn a_reorg_deeper_than_the_origin_splits_nobody() {
    let scenario = Scenario {
        events: vec![
            force(700, ONE, 5),
            l1(4_000, L1Action::Reorg(7)),
            force(4_300, ONE, 8),
            force(4_300, HASHES, 2),
        ],
        run_ms: 10_000,
        ..scenario("a_reorg_deeper_than_the_origin_splits_nobody", 708)
    };
    run_with(&scenario, async |cluster| {
        let blocks = blocks(cluster, 0).await;
        let entries = cluster.l1.as_ref().expect("it settles").entries(ONE);
        assert_eq!(entries.len(), 8, "the first five are gone from L1");
        let ordered = forced(&blocks, ONE);
        let indexes: Vec<_> = ordered.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(ordered[5..].iter().zip(&entries[5..]).all(|((_, one), other)| one == other));
        assert_eq!(forced(&blocks, HASHES).len(), 2);
    });
}

#[test]
fn a_flood_of_the_queue_delays_nobody() {
    let scenario = Scenario {
        events: (0..6).map(|round| force(700 + 500 * round, ONE, 60)).collect(),
        run_ms: 10_000,
        ..scenario("a_flood_of_the_queue_delays_nobody", 709)
    };
    run_with(&scenario, async |cluster| {
        cluster.settle(2_000).await;
        let blocks = blocks(cluster, 0).await;
        all_are_ordered(cluster, &blocks);
        assert_eq!(forced(&blocks, ONE).len(), 360);
        let most = blocks.iter().map(|block| forced(std::slice::from_ref(block), ONE).len()).max();
        assert_eq!(most, Some(8), "the quota");
    });
}

/// Nobody votes for its blocks; entries are in long before their deadline of ten minutes.
#[test]
fn a_proposer_that_leaves_entries_out_gets_no_votes() {
    for election in [Election::RoundRobin, Election::ZkLottery] {
        let scenario = Scenario {
            hostile: vec![(1, Behaviour::LeaveOut)],
            events: (0..8).map(|round| force(600 + 500 * round, ONE, 20)).collect(),
            run_ms: 9_000,
            stall_max_ms: None,
            ..scenario("a_proposer_that_leaves_entries_out_gets_no_votes", 710)
        };
        withstands(scenario.under(election), async |cluster| {
            cluster.settle(2_000).await;
            let blocks = blocks(cluster, 0).await;
            all_are_ordered(cluster, &blocks);
            assert!(deeds(cluster, 1, "left out") > 0);
            let start = blocks[0].header().timestamp_ms;
            let last = blocks.iter().rfind(|block| !forced(std::slice::from_ref(*block), ONE).is_empty());
            let took_ms = last.expect("entries").header().timestamp_ms - start;
            assert!(took_ms < 15_000, "the last entry was ordered after {took_ms} ms");
        });
    }
}

#[test]
fn certificates_are_the_same_over_reshares_and_crashes() {
    let mut events = forcing();
    for round in 0..3 {
        let member = usize::try_from(round).expect("small");
        let at_ms = 1_500 + 1_500 * round;
        events.extend([
            (at_ms, Action::CrashAtWrite(member, 2 + 4 * round)),
            (at_ms + 1_000, Action::Restart(member)),
        ]);
    }
    events.sort_by_key(|(at_ms, _)| *at_ms);
    let scenario = Scenario {
        chain: Chain {
            election: Election::RoundRobin,
            epoch_blocks: 40,
            reshare: Reshare::EveryEpoch,
            block_interval_min_ms: 60,
            ..Chain::default()
        },
        events,
        heals: true,
        run_ms: 9_000,
        stall_max_ms: None,
        min_height: 90,
        ..scenario("certificates_are_the_same_over_reshares_and_crashes", 711)
    };
    run_with(&scenario, async |cluster| {
        cluster.settle(4_000).await;
        assert!(cluster.epoch().get() >= 2);
        certificates_agree(cluster, &[0, 1, 2, 3], 4);
        all_are_ordered(cluster, &blocks(cluster, 3).await);
    });
}

/// With one member dead the others sign; when it is back it gets what it missed.
#[test]
fn a_member_that_was_away_gets_its_certificates() {
    let scenario = Scenario {
        events: vec![(300, Action::Crash(3)), (7_000, Action::Restart(3))],
        heals: true,
        run_ms: 8_000,
        stall_max_ms: None,
        ..scenario("a_member_that_was_away_gets_its_certificates", 712)
    };
    run_with(&scenario, async |cluster| {
        cluster.settle(3_000).await;
        certificates_agree(cluster, &[0, 1, 2, 3], 4);
    });
}

#[test]
fn false_signatures_are_counted_and_of_no_use() {
    let scenario = Scenario {
        hostile: vec![(2, Behaviour::FalseBatches)],
        run_ms: 9_000,
        ..scenario("false_signatures_are_counted_and_of_no_use", 713)
    };
    withstands(scenario, async |cluster| {
        cluster.settle(1_000).await;
        certificates_agree(cluster, &[0, 1, 3], 4);
        for what in ["another batch", "in the name of another", "a false certificate", "damaged"] {
            assert!(deeds(cluster, 2, what) > 0, "{what}");
        }
        for reason in ["wrong", "index"] {
            let counts = metrics(cluster, "messages_useless", reason);
            assert!(counts.iter().all(|count| *count > 0), "{reason}: {counts:?}");
        }
    });
}

/// Incident: Astria's relayer looped until somebody started it again.
/// The hatch moves the inbox on: the batches that were to go there go behind it.
#[test]
fn batches_go_on_behind_the_hatch() {
    let scenario = Scenario {
        events: vec![
            force(700, ONE, 3),
            l1(2_500, L1Action::Posts(false)),
            l1(4_000, L1Action::Escape(ONE)),
            l1(4_500, L1Action::Posts(true)),
        ],
        run_ms: 12_000,
        ..scenario("batches_go_on_behind_the_hatch", 714)
    };
    run_with(&scenario, async |cluster| {
        cluster.settle(1_000).await;
        let inbox = cluster.l1.as_ref().expect("it settles").inbox(ONE);
        let board = cluster.members[0].client().expect("it runs").batches().expect("it settles").clone();
        let batches = board.batches(ONE, 0, usize::MAX).expect("it settles");
        let posted = batches.iter().filter(|sight| sight.posted).count() as u64;
        assert_eq!(inbox.next_index, posted + 1, "one index went to the hatch");
        assert!(posted >= 5, "{posted}");
        certificates_agree(cluster, &[0, 1, 2, 3], 5);
        let replaced = metrics(cluster, "lines_replaced", "");
        assert!(replaced.iter().all(|count| *count == 1), "{replaced:?}");
    });
}

/// The hatch takes entries that no member has seen yet, and L1 calls it final before any does: they are ordered all the
/// same, and so is what comes after them.
#[test]
fn what_the_hatch_took_is_ordered_later() {
    let scenario = Scenario {
        events: vec![
            l1(700, L1Action::Posts(false)),
            l1(800, L1Action::StallAll),
            force(900, ONE, 3),
            l1(2_000, L1Action::Escape(ONE)),
            l1(8_000, L1Action::Clear),
            l1(8_500, L1Action::Posts(true)),
            force(9_000, ONE, 2),
        ],
        run_ms: 14_000,
        ..scenario("what_the_hatch_took_is_ordered_later", 719)
    };
    run_with(&scenario, async |cluster| {
        cluster.settle(1_000).await;
        for member in 0..4 {
            all_are_ordered(cluster, &blocks(cluster, member).await);
        }
        certificates_agree(cluster, &[0, 1, 2, 3], 5);
    });
}

/// Two members lose what they signed, one before the hatch is used and one after: each makes its batches again and signs
/// no second one for any place, which is a property of every run.
#[test]
fn a_lost_batch_journal_signs_the_same_again() {
    for damage in [Damage::Gone, Damage::Cut] {
        let lost = |at_ms, member| {
            [
                (at_ms, Action::Crash(member)),
                (at_ms, Action::Rot(member, "-batches-", damage)),
                (at_ms + 100, Action::Restart(member)),
            ]
        };
        let mut events = vec![force(700, ONE, 3), l1(2_500, L1Action::Posts(false)), force(3_000, ONE, 2)];
        events.extend(lost(3_500, 2));
        events.extend([l1(4_000, L1Action::Escape(ONE)), l1(4_500, L1Action::Posts(true))]);
        events.extend(lost(9_000, 3));
        let scenario = Scenario {
            events,
            run_ms: 12_000,
            stall_max_ms: Some(3_000),
            ..scenario("a_lost_batch_journal_signs_the_same_again", 718)
        };
        run_with(&scenario, async |cluster| {
            cluster.settle(3_000).await;
            certificates_agree(cluster, &[0, 1, 2, 3], 5);
        });
    }
}

/// A raw transaction that is forced, twice, while its sender also submits it: executed once.
#[test]
fn a_forced_transaction_of_an_evm_rollup_is_executed_once() {
    for genesis in [settle_blocks as fn(&mut _), settle_slots] {
        let scenario = Scenario {
            genesis,
            run_ms: 2_000,
            ..scenario("a_forced_transaction_of_an_evm_rollup_is_executed_once", 716)
        };
        run_with(&scenario, async |cluster| {
            let l1 = cluster.l1.clone().expect("it settles");
            let to = Address::repeat_byte(0x77);
            let client = cluster.members[0].client().expect("it runs").clone();
            let execution = client.execution(EVM).expect("the genesis has the rollup");
            let used = execution.heads().latest.state.account(&address(9)).map_or(0, |facts| facts.nonce);
            let raw = transfer(9, used, 3, to);
            for _ in 0..2 {
                l1.force(EVM, raw.clone());
            }
            l1.force(EVM, Bytes::from_static(b"nonsense"));
            l1.force(EVM, transfer(9, used + 1, 3, to));
            let valid_until = client.finalized_height() + 100;
            let transaction = Transaction { valid_until, bundle: None, payload: raw.clone() };
            let units = vec![Unit::Single { rollup: EVM, transaction, fee_hint: 0 }];
            let submit = Submit { client: "me".into(), units, ack: Ack::Pending };
            let _ = client.submit(submit).await;
            cluster.settle(6_000).await;
            let blocks = blocks(cluster, 2).await;
            assert_eq!(cursor(&blocks, EVM), 4);
            let balance = execution.heads().pending.state.account(&to).expect("it was paid").balance;
            assert_eq!(u64::try_from(balance).expect("few wei"), 2);
            assert!(forced(&blocks, EVM).len() <= 2);
        });
    }
}

/// The block that L1 has for good follows the newest one: it lags, then every batch has come to it.
#[test]
fn what_l1_has_for_good_follows_what_is_executed() {
    for (seed, genesis) in [(717, settle_blocks as fn(&mut _)), (718, settle_slots)] {
        let scenario = Scenario {
            genesis,
            rate: Rate { evm_every: 2, ..Rate::default() },
            ..scenario("what_l1_has_for_good_follows_what_is_executed", seed)
        };
        run_with(&scenario, async |cluster| {
            let client = cluster.members[1].client().expect("it runs").clone();
            let (board, execution) =
                (client.batches().expect("it settles"), client.execution(EVM).expect("there"));
            let latest = || execution.heads().latest.header.number;
            assert_eq!(board.final_below(RollupId(2)), None, "it does not settle");
            assert_eq!(execution.last_below(0).await.expect("readable"), Some(0));
            let below = board.final_below(EVM).expect("it settles");
            let number = execution.last_below(below).await.expect("readable").expect("executed");
            assert!((1..latest()).contains(&number), "{number} of {} at {below}", latest());
            for (block, is_final) in [(number, true), (number + 1, false)] {
                let stored = execution.block(block).await.expect("readable").expect("executed");
                assert_eq!(stored.record.through_height < below, is_final, "block {block} at {below}");
            }
            let all = latest();
            for _ in 0..24 {
                cluster.settle(500).await;
                cluster.post().await;
            }
            let below = board.final_below(EVM).expect("it settles");
            let number = execution.last_below(below).await.expect("readable").expect("executed");
            assert!(number >= all, "{number} of {all} at {below}");
            assert_eq!(execution.last_below(u64::MAX).await.expect("readable"), Some(latest()));
            // Nothing is final yet on a chain that is as short.
            cluster.l1.as_ref().expect("it settles").apply(L1Action::Lag(1, u64::MAX), 0);
            assert_eq!(board.final_below(EVM), Some(0));
        });
    }
}

fn settle_blocks(genesis: &mut Genesis) {
    with_evm(genesis);
    settle(genesis);
}

fn settle_slots(genesis: &mut Genesis) {
    with_slots(genesis);
    settle(genesis);
}

/// Posts until `done`, for at most so many rounds of 100 ms.
async fn post_until(cluster: &Cluster, rounds: usize, what: &str, done: impl Fn() -> bool) {
    for _ in 0..rounds {
        if done() {
            return;
        }
        cluster.post().await;
        cluster.settle(100).await;
    }
    panic!("not in time: {what}");
}

fn no_contradiction(cluster: &Cluster) {
    for (index, member) in cluster.members.iter().enumerate() {
        assert_eq!(*member.contradiction.lock(), None, "member {index}");
    }
}

/// The rung falls when a reorg takes the batch away, and comes back with it; subscribers hear of each change.
#[test]
fn a_reorg_of_l1_takes_a_rung_away() {
    let scenario = scenario("a_reorg_of_l1_takes_a_rung_away", 717);
    run_with(&scenario, async |cluster| {
        let client = cluster.members[1].client().expect("it runs").clone();
        let mut events = client.subscribe();
        let mut told = move || {
            let all = std::iter::from_fn(|| events.try_recv().ok()).collect::<Vec<_>>();
            all.iter().any(|event| matches!(event, Event::Batches { rollup: ONE, .. }))
        };
        let blocks = blocks(cluster, 1).await;
        let last = blocks.iter().rev().find_map(|block| {
            let segment = block.body().segments.iter().position(|segment| segment.rollup == ONE)?;
            Some((block.header().height, *block.segment_ids().nth(segment)?.1.first()?))
        });
        let (height, id) = last.expect("the load is of this rollup");
        let board = client.batches().expect("it settles").clone();
        let rung = || board.rung(ONE, height);
        post_until(cluster, 100, "posted", || rung() == Some(Rung::Posted)).await;
        cluster.settle(300).await;
        assert_eq!(client.transaction(id).await.expect("known").rung, Rung::Posted);
        assert!(told(), "that it is posted");
        cluster.on_l1(L1Action::Reorg(6));
        cluster.settle(300).await;
        assert_eq!(client.transaction(id).await.expect("known").rung, Rung::Finalized);
        assert!(board.batches(ONE, 0, usize::MAX).expect("it settles").iter().any(|sight| !sight.posted));
        assert!(told(), "that it is gone");
        post_until(cluster, 100, "posted again", || rung() == Some(Rung::Posted)).await;
        cluster.settle(300).await;
        assert!(told(), "that it is back");
        post_until(cluster, 100, "settled", || rung() == Some(Rung::Settled)).await;
        assert_eq!(client.transaction(id).await.expect("known").rung, Rung::Settled);
        no_contradiction(cluster);
    });
}

/// Offers one unit to a member.
async fn offer(client: &Client, unit: Unit) -> Result<(), Refusal> {
    let submit = Submit { client: "me".into(), units: vec![unit], ack: Ack::Pending };
    client.submit(submit).await?.results.remove(0).map(|_| ())
}

fn single(client: &Client, rollup: RollupId, text: &str) -> Unit {
    // Of 32 bytes, which the rollup of hashes takes too.
    let payload = Bytes::from(format!("{text:>32}").into_bytes());
    let transaction = Transaction { valid_until: client.finalized_height() + 8, bundle: None, payload };
    Unit::Single { rollup, transaction, fee_hint: 0 }
}

async fn restart_all(cluster: &mut Cluster) {
    (0..4).for_each(|index| cluster.crash(index));
    for index in 0..4 {
        cluster.start(index).await;
    }
    while cluster.running().count() < 4 {
        cluster.settle(50).await;
    }
    cluster.settle(2_000).await;
}

/// While L1 is behind clients wait, of that rollup alone. What is forced does not.
#[test]
fn clients_wait_while_l1_is_behind() {
    let scenario = Scenario { run_ms: 2_000, ..scenario("clients_wait_while_l1_is_behind", 718) };
    run_with(&scenario, async |cluster| {
        cluster.backlog_ms_max = 3_000;
        restart_all(cluster).await;
        let client = cluster.members[0].client().expect("it runs").clone();
        let l1 = cluster.l1.clone().expect("it settles");
        let (all, other) = (client.finalized_height(), RollupId(2));
        let caught_up = || l1.inbox(ONE).next_height.min(l1.inbox(HASHES).next_height) > all;
        offer(&client, single(&client, HASHES, "so that its batch ends")).await.expect("taken");
        offer(&client, single(&client, ONE, "so that its batch ends")).await.expect("taken");
        post_until(cluster, 100, "all so far posted", caught_up).await;
        cluster.on_l1(L1Action::Posts(false));
        let mut refused = None;
        for round in 0..60 {
            refused = offer(&client, single(&client, ONE, &format!("waits {round}"))).await.err();
            if refused.is_some() {
                break;
            }
            cluster.settle(500).await;
        }
        let refused = refused.expect("refused after some time");
        assert_eq!((refused.reason, refused.retry_after_ms), (Reason::Busy, Some(10_000)), "{refused}");
        assert!(refused.detail.contains("batches are behind"), "{refused}");
        for rollup in [other, HASHES] {
            offer(&client, single(&client, rollup, "goes on")).await.expect("it is not behind");
        }
        let legs = vec![(ONE, Bytes::from_static(b"one")), (other, Bytes::from_static(b"two"))];
        let bundle = Bundle::new(client.finalized_height() + 8, legs);
        let refused = offer(&client, Unit::Bundle(bundle)).await.expect_err("one leg has to wait");
        assert_eq!(refused.reason, Reason::Busy);
        l1.force(ONE, Bytes::from_static(b"forced"));
        cluster.settle(4_000).await;
        assert_eq!(forced(&blocks(cluster, 2).await, ONE).len(), 1);
        assert!(offer(&client, single(&client, ONE, "still waits")).await.is_err());

        cluster.on_l1(L1Action::Posts(true));
        let mut rounds = 0;
        while let Err(refusal) = offer(&client, single(&client, ONE, "taken again")).await {
            rounds += 1;
            assert!(rounds < 300, "{refusal}");
            cluster.post().await;
            cluster.settle(100).await;
        }
        let (tip, board) = (client.finalized_height(), client.batches().expect("it settles").clone());
        post_until(cluster, 300, "settled", || board.rung(ONE, tip) == Some(Rung::Settled)).await;
        no_contradiction(cluster);
    });
}

fn slow_blocks(genesis: &mut Genesis) {
    settle(genesis);
    genesis.timing.leader_timeout_ms = 20_000;
    genesis.timing.certification_timeout_ms = 30_000;
}

/// More batches than a member remembers of those that are settled; none of them is lost.
#[test]
fn all_settles_after_an_hour_without_l1() {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    let base = scenario("all_settles_after_an_hour_without_l1", 719);
    let scenario = Scenario {
        chain: Chain { idle_ms: 8_000, ..base.chain },
        genesis: slow_blocks,
        rate: Rate { every_ms: 20_000, batch: 4, ..Rate::default() },
        events: vec![l1(15_000, L1Action::Mines(false)), l1(15_000 + HOUR_MS, L1Action::Mines(true))],
        run_ms: HOUR_MS + 40_000,
        stall_max_ms: Some(40_000),
        min_height: 300,
        drain_ms: 60_000,
        ..base
    };
    run_with(&scenario, async |cluster| {
        let client = cluster.members[2].client().expect("it runs").clone();
        let l1 = cluster.l1.clone().expect("it settles");
        let board = client.batches().expect("it settles").clone();
        let blocks = blocks(cluster, 2).await;
        for rollup in SETTLED {
            let has = |block: &&Block| block.body().segments.iter().any(|segment| segment.rollup == rollup);
            let last = blocks.iter().rfind(has).expect("the load is of this rollup").header().height;
            let settled = || board.rung(rollup, last) == Some(Rung::Settled);
            post_until(cluster, 1_000, "settled", settled).await;
            cluster.settle(1_000).await;
            let (on_l1, kept) = (l1.inbox(rollup).next_index, board.batches(rollup, 0, usize::MAX));
            assert!(on_l1 > 100, "{on_l1} batches of rollup {rollup}");
            let kept = kept.expect("it settles").len();
            assert!(kept < 60, "{kept} are remembered of {on_l1} that L1 has for good");
        }
        no_contradiction(cluster);
    });
}

/// With a third of the members slow, certificates come, for the slow one too.
#[test]
fn a_slow_third_does_not_hold_up_certificates() {
    let scenario = Scenario {
        events: vec![(0, Action::Slow(3, 500)), (0, Action::SlowDisk(3, 100))],
        run_ms: 12_000,
        heals: true,
        stall_max_ms: None,
        ..scenario("a_slow_third_does_not_hold_up_certificates", 720)
    };
    run_with(&scenario, async |cluster| {
        certificates_agree(cluster, &[0, 1, 2], 4);
        for rollup in SETTLED {
            let inbox = cluster.l1.as_ref().expect("it settles").inbox(rollup);
            assert!(inbox.next_index >= 4, "{inbox:?}");
        }
        cluster.settle(4_000).await;
        certificates_agree(cluster, &[0, 1, 2, 3], 4);
    });
}

fn windowed(genesis: &mut Genesis) {
    on_change(genesis);
    settle(genesis);
}

/// Posts while the cluster orders on, until `done`.
async fn order_and_post(world: &mut World, what: &str, done: impl Fn(&Cluster) -> bool) {
    for _ in 0..2_000 {
        if done(&world.cluster) {
            return;
        }
        world.cluster.post().await;
        let height = world.cluster.lowest();
        world.until("another block", |cluster| cluster.lowest() > height).await;
    }
    panic!("not in time: {what}");
}

/// Members that keep a window keep more of it while L1 stands still, and no more than that when it is back. An idle
/// rollup keeps nothing from going, and still settles later.
#[test]
fn a_window_waits_for_l1() {
    Setup::new(721, windowed).run(async |world| {
        let l1 = world.cluster.l1.clone().expect("it settles");
        let kept_from = |cluster: &Cluster| {
            let lowest = cluster.running().map(|(_, client)| client.live().lowest_height);
            lowest.max().expect("members run")
        };
        world.until("an outage longer than the window", |cluster| cluster.lowest() > 3 * WINDOW).await;
        assert_eq!(kept_from(&world.cluster), 0);
        restart_all(&mut world.cluster).await;
        world.until("some more", |cluster| cluster.lowest() > 4 * WINDOW).await;
        assert_eq!(kept_from(&world.cluster), 0, "also behind a restart");
        let inbox = l1.clone();
        let has = move |cluster: &Cluster| inbox.inbox(ONE).next_height + WINDOW > cluster.lowest();
        order_and_post(world, "L1 has caught up", has).await;
        order_and_post(world, "the window", move |cluster| kept_from(cluster) > 3 * WINDOW).await;
        assert_eq!(l1.inbox(HASHES).next_index, 0);
        // Its first batch begins at block 1, which nobody has any more.
        restart_all(&mut world.cluster).await;
        let client = world.cluster.members[1].client().expect("it runs").clone();
        offer(&client, single(&client, HASHES, "the first")).await.expect("taken");
        order_and_post(world, "the idle rollup", move |_| l1.inbox(HASHES).next_index > 0).await;
    });
}

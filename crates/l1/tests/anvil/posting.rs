//! Batches get to L1 once, in order, whatever happens on the way.

use crate::{
    cluster::{EVM, Group, KINDS, OPAQUE, Source, evm_batches, opaque_batches},
    world::{World, signer, until},
};
use alloy_primitives::U256;
use baton_l1::{
    deploy::Settings,
    poster::{Poster, PosterConfig, State},
};
use baton_settlement::{BatchSource, Certified, Place};
use baton_types::{RollupId, genesis::evm::Cadence, settlement::DataKind};
use futures::future::BoxFuture;
use serde_json::json;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn every_kind_of_data_is_posted_in_order() {
    for kind in KINDS {
        let world = World::new(kind).await;
        world.source.add(OPAQUE, opaque_batches(3).contents);
        world.source.add(EVM, evm_batches(Cadence::PerBlock, 2).contents);
        let poster = world.poster(1, &[OPAQUE, EVM], World::config());
        let status = poster.status();
        let running = poster.start();
        until("all are posted", async || {
            world.next_index(OPAQUE).await == 3 && world.next_index(EVM).await == 2
        })
        .await;
        until("the poster is idle", async || {
            status.borrow().rollups.values().all(|rollup| rollup.state == State::Idle)
        })
        .await;
        assert!(status.borrow().spent > U256::ZERO);
        running.abort();
    }
}

#[tokio::test]
async fn one_transaction_carries_several_batches_of_several_rollups() {
    for kind in KINDS {
        let world = World::new(kind).await;
        world.source.add(OPAQUE, opaque_batches(3).contents);
        world.source.add(EVM, evm_batches(Cadence::PerBlock, 2).contents);
        let mut poster = world.poster(1, &[OPAQUE, EVM], World::config());
        until("all are posted", async || {
            poster.round().await;
            world.next_index(OPAQUE).await == 3 && world.next_index(EVM).await == 2
        })
        .await;
        assert_eq!(world.client.nonce(signer(1).address()).await.unwrap(), 1, "{kind:?}: in one transaction");
        let posted: Vec<_> = world.batch_events().await;
        let of = |rollup: RollupId| {
            let inbox = world.plan.rollups[&rollup].inbox;
            posted.iter().filter(move |(at, _)| at.0.0 == inbox.0).map(|(_, event)| event)
        };
        assert_eq!((of(OPAQUE).count(), of(EVM).count()), (3, 2));
        assert!(of(EVM).all(|event| event.poster == signer(1).address()), "not the carrier");
        let blobs: usize = posted.iter().map(|(_, event)| event.blobs.len()).sum();
        assert_eq!(blobs, if kind == DataKind::Blobs { 5 } else { 0 }, "each has its own");
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_holds_up_its_own_rollup_only() {
    let world = World::new(DataKind::Blobs).await;
    world.source.add(OPAQUE, opaque_batches(2).contents);
    // Certified by another group than the registry knows.
    let other = Source::new(Group::deal(99), [world.terms(EVM)]);
    other.add(EVM, evm_batches(Cadence::PerBlock, 1).contents);
    let both = Arc::new(Either { opaque: world.source.clone(), evm: other });
    let rollups = [EVM, OPAQUE].map(|rollup| (world.terms(rollup), world.backend())).into();
    let config = PosterConfig { failures_max: 1, ..World::config() };
    let mut poster = Poster::new(world.client.clone(), signer(1), both, rollups, config);
    until("the good ones are posted", async || {
        poster.round().await;
        world.next_index(OPAQUE).await == 2
    })
    .await;
    assert_eq!(world.next_index(EVM).await, 0);
    let state = poster.status().borrow().rollups[&EVM].state.clone();
    assert!(matches!(&state, State::Degraded(reason) if reason.contains("certificate")), "{state:?}");
}

/// Batches of each rollup from a source of its own.
struct Either {
    opaque: Arc<Source>,
    evm: Arc<Source>,
}

impl BatchSource for Either {
    fn certified(&self, rollup: RollupId, place: Place) -> BoxFuture<'_, Option<Arc<Certified>>> {
        if rollup == EVM { self.evm.certified(rollup, place) } else { self.opaque.certified(rollup, place) }
    }
}

#[tokio::test]
async fn what_a_reorg_drops_is_posted_again() {
    let world = World::new(DataKind::Calldata).await;
    world.source.add(OPAQUE, opaque_batches(4).contents);
    // One batch per block of L1.
    let config = PosterConfig { batches_max: 1, ..World::config() };
    let mut poster = world.poster(1, &[OPAQUE], config);
    while poster.round().await {}
    assert_eq!(world.next_index(OPAQUE).await, 4);
    let head = world.head(OPAQUE).await;
    // The second time one of the blocks is that which took a dropped one's place.
    for (depth, left) in [(1, 3), (3, 2)] {
        world.reorg(depth).await;
        assert_eq!(world.next_index(OPAQUE).await, left);
        while poster.round().await {}
        assert_eq!(world.next_index(OPAQUE).await, 4);
        assert_eq!(world.head(OPAQUE).await, head, "the same batches");
    }
    // Below everything that is posted: only empty blocks on top.
    world.mine(3).await;
    world.reorg(2).await;
    assert!(!poster.round().await);
    assert_eq!(world.head(OPAQUE).await, head);
}

#[tokio::test]
async fn two_posters_at_once_and_one_that_takes_over() {
    let world = World::new(DataKind::Calldata).await;
    let batches = opaque_batches(6).contents;
    world.source.add(OPAQUE, batches[..3].to_vec());
    let both = [1, 2].map(|account| world.poster(account, &[OPAQUE], World::config()).start());
    until("three are posted", async || world.next_index(OPAQUE).await == 3).await;
    // One ends; the other, which waits for it, goes on.
    both.iter().for_each(tokio::task::JoinHandle::abort);
    world.source.add(OPAQUE, batches[3..].to_vec());
    let config = PosterConfig { patience: Duration::from_millis(300), ..World::config() };
    let mut second = world.poster(2, &[OPAQUE], config);
    assert!(!second.round().await, "it lets others go first");
    assert!(matches!(second.status().borrow().rollups[&OPAQUE].state, State::Waiting(_)));
    let running = second.start();
    until("all are posted", async || world.next_index(OPAQUE).await == 6).await;
    running.abort();
}

#[tokio::test]
async fn one_that_took_over_goes_on_until_another_posts() {
    let world = World::new(DataKind::Calldata).await;
    let batches = opaque_batches(7).contents;
    world.source.add(OPAQUE, batches[..5].to_vec());
    // One batch per block of L1, and a term that lasts longer than the test.
    let first = PosterConfig { batches_max: 1, ..World::config() };
    let second = PosterConfig { patience: Duration::from_secs(3), ..first.clone() };
    let mut second = world.poster(2, &[OPAQUE], second);
    assert!(!second.round().await, "it lets others go first");
    until("it takes over", async || second.round().await).await;
    for index in 2..=5 {
        assert!(second.round().await, "it does not wait before batch {index}");
        assert_eq!(world.next_index(OPAQUE).await, index);
    }
    assert!(!second.round().await, "nothing is left");

    // The first is back, and posts one.
    world.source.add(OPAQUE, batches[5..6].to_vec());
    assert!(world.poster(1, &[OPAQUE], first).round().await);
    world.source.add(OPAQUE, batches[6..].to_vec());
    assert!(!second.round().await);
    let state = second.status().borrow().rollups[&OPAQUE].state.clone();
    assert!(matches!(&state, State::Waiting(reason) if reason.contains("may go first")), "{state:?}");
    assert_eq!(world.next_index(OPAQUE).await, 6);
    // It is gone again.
    until("it takes over again", async || second.round().await).await;
    assert_eq!(world.next_index(OPAQUE).await, 7);
}

/// Both send the same batch, and a block of L1 has both transactions.
#[tokio::test]
async fn one_that_lost_a_race_lets_the_other_go_first() {
    let world = World::new(DataKind::Calldata).await;
    let batches = opaque_batches(2).contents;
    world.source.add(OPAQUE, batches[..1].to_vec());
    let patience = Duration::from_millis(300);
    let config = PosterConfig { mined_within: Duration::from_secs(20), batches_max: 1, ..World::config() };
    let mut first = world.poster(1, &[OPAQUE], config.clone());
    let mut second = world.poster(2, &[OPAQUE], PosterConfig { patience, ..config });
    world.ask("evm_setAutomine", json!([false])).await;
    let pending = async |transactions: usize| {
        until("it is in the pool", async || {
            let pool = world.ask("txpool_status", json!([])).await;
            pool["pending"] == json!(format!("{transactions:#x}"))
        })
        .await;
    };
    let (others, mine, ()) = futures::future::join3(
        first.round(),
        async {
            pending(1).await;
            let status = second.status();
            let waits = |state: &State| matches!(state, State::Waiting(why) if why.contains("may go first"));
            let mut posted = second.round().await;
            while waits(&status.borrow().rollups[&OPAQUE].state) {
                posted = second.round().await;
            }
            posted
        },
        async {
            pending(2).await;
            world.mine(1).await;
        },
    )
    .await;
    assert!(others && !mine, "L1 takes them in the order in which they came");
    let state = second.status().borrow().rollups[&OPAQUE].state.clone();
    let State::Waiting(reason) = &state else { panic!("{state:?}") };
    assert!(reason.contains("another poster was first"), "{reason}");
    assert!(second.status().borrow().spent > U256::ZERO, "what L1 refused is paid for");
    world.ask("evm_setAutomine", json!([true])).await;
    world.source.add(OPAQUE, batches[1..].to_vec());
    assert!(!second.round().await, "it waits again");
    assert!(first.round().await);
}

#[tokio::test]
async fn a_stuck_transaction_is_outbid_also_after_a_restart() {
    let world = World::new(DataKind::Calldata).await;
    world.source.add(OPAQUE, opaque_batches(1).contents);
    // Nothing is mined any more.
    world.ask("evm_setAutomine", json!([false])).await;
    let config = PosterConfig { mined_within: Duration::from_millis(100), raises_max: 1, ..World::config() };
    let mut poster = world.poster(1, &[OPAQUE], config.clone());
    assert!(!poster.round().await);
    let status = poster.status();
    let state = status.borrow().rollups[&OPAQUE].state.clone();
    assert!(matches!(&state, State::Waiting(reason) if reason.contains("after 1 raises")), "{state:?}");
    drop(poster);
    let offered = offered_fee(&world).await;
    // Another process, which knows nothing of what waits at its nonce.
    let mut again = world.poster(1, &[OPAQUE], PosterConfig { raises_max: 6, ..config });
    let posting = async {
        while !again.round().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mining = async {
        until("the waiting transaction is outbid", async || offered_fee(&world).await > offered).await;
        world.mine(1).await;
    };
    tokio::time::timeout(Duration::from_secs(30), futures::future::join(posting, mining)).await.unwrap();
    assert_eq!(world.next_index(OPAQUE).await, 1);
    assert_eq!(world.client.nonce(signer(1).address()).await.unwrap(), 1, "one transaction in the end");
}

/// The fee per gas of the one transaction that waits.
async fn offered_fee(world: &World) -> U256 {
    let pool = world.ask("txpool_content", json!([])).await;
    let senders = pool["pending"].as_object().expect("the pool lists its senders");
    let waiting = senders.values().next().expect("a transaction waits");
    serde_json::from_value(waiting["0"]["maxFeePerGas"].clone()).unwrap()
}

#[tokio::test]
async fn limits_and_refusals_degrade_and_say_why() {
    let world = World::new(DataKind::Directory).await;
    world.source.add(OPAQUE, opaque_batches(1).contents);
    let config = PosterConfig { batch_cost_max: U256::from(1), poll: Duration::ZERO, ..World::config() };
    let mut poster = world.poster(1, &[OPAQUE], config);
    for _ in 0..3 {
        assert!(!poster.round().await);
    }
    let status = poster.status();
    let state = status.borrow().rollups[&OPAQUE].state.clone();
    assert!(matches!(&state, State::Degraded(reason) if reason.contains("the limit is 1")), "{state:?}");
    assert_eq!(status.borrow().spent, U256::ZERO);
    assert_eq!(world.next_index(OPAQUE).await, 0);

    // Certified by another group than the registry knows.
    let other = Source::new(Group::deal(99), [world.terms(OPAQUE)]);
    other.add(OPAQUE, opaque_batches(1).contents);
    let config = PosterConfig { failures_max: 1, ..World::config() };
    let rollups = vec![(world.terms(OPAQUE), world.backend())];
    let mut poster = Poster::new(world.client.clone(), signer(1), other, rollups, config);
    assert!(!poster.round().await);
    let status = poster.status();
    let state = status.borrow().rollups[&OPAQUE].state.clone();
    assert!(matches!(&state, State::Degraded(reason) if reason.contains("certificate")), "{state:?}");
}

/// After an outage that lasted longer than entries may wait, the next batch is from before the blocks that have them.
#[tokio::test]
async fn what_expired_during_an_outage_goes_through_the_hatch() {
    let world = World::new(DataKind::Directory).await;
    let mut ordered = opaque_batches(2);
    ordered.forced_cursor = 2;
    let mut time = 1_800_000_000_000;
    while ordered.contents.len() < 3 {
        ordered.push(time, &[b"forced".to_vec(), b"forced too".to_vec()]);
        time += 500;
    }
    world.source.add(OPAQUE, ordered.contents);
    for entry in [&b"forced"[..], b"forced too"] {
        world.force(OPAQUE, entry).await;
    }
    let Settings { window, silence, .. } = Settings::DEVNET;
    let wait = async |seconds: u64| {
        world.ask("evm_increaseTime", json!([seconds])).await;
        world.mine(1).await;
    };
    wait(window + 1).await;
    // One more, which waits still.
    world.force(OPAQUE, b"later").await;
    let config = PosterConfig { failures_max: 1, degraded_poll: Duration::ZERO, ..World::config() };
    let mut poster = world.poster(1, &[OPAQUE], config);
    assert!(!poster.round().await);
    let state = poster.status().borrow().rollups[&OPAQUE].state.clone();
    assert!(matches!(&state, State::Degraded(reason) if reason.contains("opens in")), "{state:?}");
    assert_eq!(world.next_index(OPAQUE).await, 0);

    // The third has expired by then as well, and the fourth has not.
    wait(silence - window - 20).await;
    world.force(OPAQUE, b"much later").await;
    wait(40).await;
    assert!(poster.round().await);
    assert_eq!(world.next_index(OPAQUE).await, 1);
    let taken = world.forced_cursor(OPAQUE).await;
    assert_eq!(taken, 3, "what had expired and nothing else");
    world.source.escaped(OPAQUE, taken);
    until("the batches are posted behind it", async || {
        poster.round().await;
        world.next_index(OPAQUE).await == 4
    })
    .await;
    assert_eq!(world.forced_cursor(OPAQUE).await, 3);
}

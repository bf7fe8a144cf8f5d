use super::*;
use crate::{
    api::Health,
    config::Limits,
    session::Style,
    testing::{self, Connection, block, chain, live},
};
use baton_consensus::evm::Outcome;
use baton_types::{
    api::{BlockEvent, MempoolView},
    merkle::EMPTY,
    settlement::{Batch, DataKind, L1Address},
};
use serde_json::json;
use std::sync::atomic::AtomicU64;
use tokio::sync::broadcast;

fn event(rung: Rung, block: &Digested<Block>) -> Event {
    Event::Block { rung, block: block.clone(), time_ms: 77, voters: [0, 3].into_iter().collect() }
}

fn emit(sender: &broadcast::Sender<Event>, event: Event) {
    assert!(sender.send(event).is_ok(), "nobody listens");
}

fn id(payload: &str) -> TxId {
    testing::transaction(payload).id(RollupId(1))
}

#[tokio::test]
async fn block_events_read_as_their_type_says() {
    let (sender, events) = broadcast::channel(16);
    let mut connection = Connection::new(&Limits::default());
    let recent = Arc::<Blocks>::default();
    connection.subscribe(|feed| blocks(feed, events, chain(), recent.clone(), true));
    let block = block(5, &[(1, &["a", "b"]), (2, &["c"])]);
    emit(&sender, event(Rung::Notarized, &block));
    let result = connection.next().await;
    let expect = BlockEvent {
        ids: Some(block.inner().ids().map(TxId::to_string).collect()),
        ..block_event(&chain(), &recent.facts(&block), Rung::Notarized, 77, [0, 3].into_iter().collect())
    };
    assert_eq!(result, serde_json::to_value(&expect).unwrap());
    assert_eq!((expect.transactions, &expect.voters[..]), (3, &[0, 3][..]));
    assert_eq!(serde_json::from_value::<BlockEvent>(result).unwrap(), expect);
}

#[tokio::test]
async fn a_slow_subscriber_of_blocks_is_told_what_it_missed() {
    // The queue holds a notification or two; the ring four events.
    let limits = Limits { connection_queue_bytes_max: 1_024, ..Limits::default() };
    let (sender, events) = broadcast::channel(4);
    let mut connection = Connection::new(&limits);
    connection.subscribe(|feed| blocks(feed, events, chain(), Arc::default(), false));
    for height in 1..=20 {
        emit(&sender, event(Rung::Finalized, &block(height, &[])));
        tokio::task::yield_now().await;
    }
    let (mut heights, mut lagged) = (Vec::new(), 0);
    while heights.last() != Some(&20) {
        let result = connection.next().await;
        match result["height"].as_u64() {
            Some(height) => heights.push(height),
            None => lagged += result["lagged"].as_u64().unwrap(),
        }
    }
    assert!(lagged > 0);
    assert_eq!(heights.len() as u64 + lagged, 20, "seen or counted");
    assert!(heights.is_sorted());
    assert_eq!(connection.metrics.lagged.load(Relaxed), lagged);
}

#[tokio::test]
async fn the_cluster_is_looked_at_again_and_again() {
    let looks = Arc::new(AtomicU64::new(0));
    let mut connection = Connection::new(&Limits::default());
    let count = looks.clone();
    connection.subscribe(|feed| {
        cluster(feed, move || ClusterView {
            time_ms: count.fetch_add(1, Relaxed),
            status: views::status(&chain(), &live(), &Health::ready(), 1, 2),
            mempool: MempoolView { transactions: 2, bytes: 3, bytes_max: 4, rollups: Vec::new() },
            executions: Vec::new(),
            members: Vec::new(),
        })
    });
    for time in 0..3 {
        let result = connection.next().await;
        let view: ClusterView = serde_json::from_value(result).unwrap();
        assert_eq!((view.time_ms, view.status.ready, view.mempool.transactions), (time, true, 2));
    }
    assert!(looks.load(Relaxed) <= 4, "no look is kept for later");
}

fn pending() -> TransactionStatus {
    TransactionStatus {
        rung: Rung::Pending,
        place: None,
        times_ms: [(Rung::Pending, 70)].into(),
        reason: None,
    }
}

/// Of a cluster without L1.
fn ladder(executes: fn(RollupId) -> bool) -> Ladder {
    Ladder {
        executes: Box::new(executes),
        settles: Box::new(|_| false),
        on_l1: Box::new(|_, _| Some(Rung::Settled)),
    }
}

async fn no_look_up() -> Result<TransactionStatus, Refusal> {
    Err(Refusal::new(Reason::NotFound, "not in this test"))
}

#[tokio::test]
async fn a_transaction_climbs_to_its_end() {
    let (sender, events) = broadcast::channel(16);
    let mut connection = Connection::new(&Limits::default());
    connection.subscribe(|feed| {
        transaction(feed, id("a"), pending(), events, Arc::default(), ladder(|_| false), no_look_up)
    });
    assert_eq!(connection.next().await["rung"], "pending");
    let (first, second) = (block(5, &[(1, &["x", "a"])]), block(6, &[(1, &["a"])]));
    emit(&sender, event(Rung::Proposed, &block(4, &[(1, &["x"])])));
    emit(&sender, event(Rung::Proposed, &first));
    // Proposed again elsewhere: the same rung, another place.
    emit(&sender, event(Rung::Proposed, &second));
    emit(&sender, event(Rung::Proposed, &second));
    emit(&sender, event(Rung::Notarized, &second));
    emit(&sender, event(Rung::Finalized, &second));
    for (rung, height, index) in
        [("proposed", 5, 1), ("proposed", 6, 0), ("notarized", 6, 0), ("finalized", 6, 0)]
    {
        let result = connection.next().await;
        assert_eq!(result["rung"], rung);
        assert_eq!(result["place"]["height"], height);
        assert_eq!(result["place"]["index"], index);
    }
    wait_for(|| connection.metrics.subscriptions.load(Relaxed) == 0).await;
}

/// Final when it is asked for, and executed later.
#[tokio::test]
async fn a_final_transaction_goes_on_to_its_execution() {
    let (sender, events) = broadcast::channel(16);
    let mut connection = Connection::new(&Limits::default());
    let place = super::Place { rollup: RollupId(2), height: 2, block: EMPTY, index: 0 };
    let present = TransactionStatus { rung: Rung::Finalized, place: Some(place), ..pending() };
    let executes = |rollup| rollup == RollupId(2);
    connection.subscribe(|feed| {
        transaction(feed, id("a"), present, events, Arc::default(), ladder(executes), no_look_up)
    });
    assert_eq!(connection.next().await["rung"], "finalized");
    let outcomes = [(id("a"), Outcome::Executed)].into();
    emit(&sender, Event::Executed { rollup: RollupId(2), height: 2, outcomes, time_ms: 90 });
    assert_eq!(connection.next().await["rung"], "executed");
}

/// What L1 has, as a test sets it: blocks below these heights.
#[derive(Clone, Default)]
struct Heights(Arc<[AtomicU64; 2]>);

impl Heights {
    fn set(&self, posted: u64, settled: u64) {
        self.0[0].store(posted, Relaxed);
        self.0[1].store(settled, Relaxed);
    }

    fn rung(&self, height: u64) -> Option<Rung> {
        let below = |number: usize| height < self.0[number].load(Relaxed);
        below(1).then_some(Rung::Settled).or_else(|| below(0).then_some(Rung::Posted))
    }
}

/// Up to L1, back, and up again; each time after the execution where there is one.
#[tokio::test]
async fn a_reorg_of_l1_takes_a_rung_away() {
    for executed in [false, true] {
        let (sender, events) = broadcast::channel(16);
        let mut connection = Connection::new(&Limits::default());
        let before = if executed { Rung::Executed } else { Rung::Finalized };
        let place = super::Place { rollup: RollupId(2), height: 7, block: EMPTY, index: 0 };
        let present = TransactionStatus { rung: Rung::Finalized, place: Some(place.clone()), ..pending() };
        let l1 = Heights::default();
        let seen = l1.clone();
        let ladder = Ladder {
            executes: Box::new(move |_| executed),
            settles: Box::new(|rollup| rollup == RollupId(2)),
            on_l1: Box::new(move |_, height| seen.rung(height)),
        };
        let look_up = move || {
            let place = Some(place.clone());
            async move { Ok(TransactionStatus { rung: before, place, ..pending() }) }
        };
        let recent = Arc::default();
        connection.subscribe(|feed| transaction(feed, id("a"), present, events, recent, ladder, look_up));
        assert_eq!(connection.next().await["rung"], "finalized");
        let tell = |rollup| emit(&sender, Event::Batches { rollup: RollupId(rollup), time_ms: 90 });
        l1.set(8, 0);
        tell(2);
        if executed {
            // Not before it is executed.
            let outcomes = [(id("a"), Outcome::Executed)].into();
            emit(&sender, Event::Executed { rollup: RollupId(2), height: 7, outcomes, time_ms: 90 });
        }
        let posted = connection.next().await;
        assert_eq!(posted["rung"], "posted");
        assert_eq!(posted["times_ms"].get("executed").is_some(), executed);
        for (posted, settled, rung) in [(7, 0, before), (9, 7, Rung::Posted), (9, 8, Rung::Settled)] {
            l1.set(posted, settled);
            tell(1);
            tell(2);
            let result = connection.next().await;
            assert_eq!(result["rung"], rung.name());
            assert_eq!(result["times_ms"].get("posted").is_some(), rung >= Rung::Posted);
        }
        wait_for(|| connection.metrics.subscriptions.load(Relaxed) == 0).await;
    }
}

fn sight(index: u64) -> BatchSight {
    let batch = Batch {
        l1_chain_id: 1,
        inbox: L1Address([1; 20]),
        key_generation: 0,
        rollup: RollupId(1),
        index,
        previous_head: EMPTY,
        first_height: index * 10 + 1,
        last_height: index * 10 + 10,
        slot: 1,
        order_root: EMPTY,
        data_kind: DataKind::Directory,
        data_commitment: EMPTY,
        forced_cursor: 0,
        claimed_state_root: EMPTY,
    };
    BatchSight { batch, signature: None, posted: false, settled: false, posting: None }
}

#[tokio::test]
async fn batches_are_told_as_they_go_to_l1_and_come_back() {
    let (sender, events) = broadcast::channel(2);
    let mut connection = Connection::new(&Limits::default());
    // Final on L1 up to two heights; only the first index is there no more.
    let l1 = Heights::default();
    l1.set(21, 21);
    let (seen, made) = (l1.clone(), Arc::new(AtomicU64::new(4)));
    let count = made.clone();
    let read = move |from: u64, limit: usize| {
        let sights = (from.max(1)..count.load(Relaxed)).take(limit).map(|index| {
            let rung = seen.rung(index * 10 + 10);
            BatchSight { posted: rung.is_some(), settled: rung == Some(Rung::Settled), ..sight(index) }
        });
        sights.collect()
    };
    connection.subscribe(|feed| batches(feed, RollupId(1), None, events, read));
    let mut told = async |expect: &[(u64, bool, bool)]| {
        for (index, posted, settled) in expect {
            let result = connection.next().await;
            assert_eq!((result["index"].as_u64(), &result["posted"]), (Some(*index), &json!(posted)));
            assert_eq!(result["settled"], json!(settled), "batch {index}");
        }
    };
    // The settled one is left out.
    told(&[(2, false, false), (3, false, false)]).await;
    let tell = |posted, settled| {
        l1.set(posted, settled);
        emit(&sender, Event::Batches { rollup: RollupId(2), time_ms: 9 });
        emit(&sender, Event::Batches { rollup: RollupId(1), time_ms: 9 });
    };
    tell(41, 21);
    told(&[(2, true, false), (3, true, false)]).await;
    tell(31, 21);
    told(&[(3, false, false)]).await;
    made.store(5, Relaxed);
    tell(51, 41);
    told(&[(2, true, true), (3, true, true), (4, true, false)]).await;
    tell(51, 51);
    told(&[(4, true, true)]).await;
}

#[tokio::test]
async fn a_transaction_that_expires_says_why() {
    let (sender, events) = broadcast::channel(16);
    let mut connection = Connection::new(&Limits::default());
    connection.subscribe(|feed| {
        transaction(feed, id("a"), pending(), events, Arc::default(), ladder(|_| false), no_look_up)
    });
    let ended =
        |id| Event::Ended { ids: [id].into(), rung: Rung::Expired, reason: Reason::Expired, time_ms: 99 };
    emit(&sender, ended(id("other")));
    emit(&sender, ended(id("a")));
    connection.next().await;
    assert_eq!(
        connection.next().await,
        json!({
            "id": id("a").to_string(),
            "rung": "expired",
            "reason": "expired",
            "times_ms": {"pending": 70, "expired": 99},
        })
    );
}

#[tokio::test]
async fn after_a_gap_the_node_is_asked() {
    let (sender, events) = broadcast::channel(2);
    for height in 1..=4 {
        emit(&sender, event(Rung::Finalized, &block(height, &[])));
    }
    let mut connection = Connection::new(&Limits::default());
    let look_up = || async {
        let place = super::Place { rollup: RollupId(1), height: 2, block: EMPTY, index: 0 };
        Ok(TransactionStatus { rung: Rung::Finalized, place: Some(place), ..pending() })
    };
    connection.subscribe(|feed| {
        transaction(feed, id("a"), pending(), events, Arc::default(), ladder(|_| false), look_up)
    });
    assert_eq!(connection.next().await["rung"], "pending");
    assert_eq!(connection.next().await["rung"], "finalized");
}

#[tokio::test]
async fn a_rollup_is_delivered_without_gaps() {
    let (sender, events) = broadcast::channel(2);
    let tip = Arc::new(AtomicU64::new(3));
    let payload = |height: u64| format!("p{height}");
    // Every third block has nothing of this rollup.
    let at = move |height: u64| match height % 3 {
        0 => block(height, &[(2, &["other"])]),
        _ => block(height, &[(1, &[&payload(height)])]),
    };
    let mut connection = Connection::new(&Limits::default());
    let seen = tip.clone();
    connection.subscribe(|feed| {
        let tip = move || seen.load(Relaxed);
        let read = move |height| async move { Ok(at(height)) };
        rollup(feed, RollupId(1), 2, events, tip, read)
    });
    // More events than the ring holds; some are lost, none of the blocks.
    for height in 4..=20 {
        tip.store(height, Relaxed);
        emit(&sender, event(Rung::Finalized, &at(height)));
        if height % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for height in (2..=20).filter(|height| height % 3 != 0) {
        let result = connection.next().await;
        assert_eq!(result["height"], height);
        assert_eq!(result["payloads"], json!([baton_types::hex::encode(payload(height).as_bytes())]));
        assert_eq!(result["head"], baton_types::hex::encode(&[1; 32]));
    }
}

#[tokio::test]
async fn a_rollup_whose_blocks_are_gone_ends_with_the_reason() {
    let (_sender, events) = broadcast::channel(2);
    let mut connection = Connection::new(&Limits::default());
    let read = |_| async { Err(Refusal::new(Reason::Internal, "lost")) };
    connection.subscribe(|feed| rollup(feed, RollupId(1), 1, events, || 3, read));
    assert_eq!(connection.next().await, json!({"error": {"reason": "internal", "detail": "lost"}}));
}

#[tokio::test]
async fn a_block_that_is_not_there_yet_is_asked_for_again() {
    let (_sender, events) = broadcast::channel(2);
    let mut connection = Connection::new(&Limits::default());
    let asked = Arc::new(AtomicU64::new(0));
    let read = move |height| {
        let first = asked.fetch_add(1, Relaxed) == 0;
        async move {
            match first {
                true => Err(Refusal::new(Reason::NotFound, "not yet")),
                false => Ok(block(height, &[(1, &["a"])])),
            }
        }
    };
    connection.subscribe(|feed| rollup(feed, RollupId(1), 1, events, || 1, read));
    assert_eq!(connection.next().await["height"], 1);
}

#[tokio::test]
async fn subscriptions_are_limited_and_can_be_ended() {
    let limits = Limits { connection_subscriptions_max: 2, ..Limits::default() };
    let (_sender, events) = broadcast::channel::<Event>(2);
    let connection = Connection::new(&limits);
    let pump = |feed| blocks(feed, events.resubscribe(), chain(), Arc::default(), false);
    assert_eq!(connection.subscribe(pump), 1);
    assert_eq!(connection.subscribe(pump), 2);
    let refused = connection.session.subscribe(&Default::default(), Style::Baton, pump).unwrap_err();
    assert_eq!(refused.reason, Reason::ClientLimit);
    assert!(connection.session.unsubscribe(1));
    assert!(!connection.session.unsubscribe(1));
    assert_eq!(connection.subscribe(pump), 3);
    connection.session.close();
    wait_for(|| connection.metrics.subscriptions.load(Relaxed) == 0).await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

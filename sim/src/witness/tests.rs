use super::*;
use crate::cluster::genesis;
use baton_types::{
    Body, RollupId, Segment, Transaction,
    lottery::Indices,
    merkle::{self, History},
    receipt::Reason,
};
use bytes::Bytes;
use std::sync::Arc;

/// A block on `parent`, told apart by `payload`.
fn block(
    parent: &Block,
    height: u64,
    view: u64,
    timestamp_ms: u64,
    payload: &'static [u8],
) -> Digested<Block> {
    let mut header = parent.header().clone();
    (header.height, header.view, header.timestamp_ms) = (height, view, timestamp_ms);
    header.parent = parent.digest();
    let transaction = Transaction { valid_until: 9, bundle: None, payload: Bytes::from_static(payload) };
    let segments = vec![Segment { rollup: RollupId(1), transactions: vec![transaction] }];
    // Any history of the right length.
    let history = (0..height).try_fold(History::new(), |history, _| history.append(&merkle::EMPTY)).unwrap();
    let body = Body { segments, peaks: history.peaks, ..parent.body().clone() };
    Block::seal(header, body, None).digested()
}

fn event(rung: Rung, block: &Digested<Block>) -> Event {
    Event::Block { rung, block: block.clone(), time_ms: 0, voters: Indices::default() }
}

fn finalized(block: &Digested<Block>) -> Event {
    event(Rung::Finalized, block)
}

/// What the last event is told; those before it are fine.
fn check(events: &[Event], expect: Result<(), &str>) {
    let mut witness = Witness::default();
    let (last, fine) = events.split_last().unwrap();
    for event in fine {
        assert_eq!(witness.take(event), Ok(()));
    }
    match (witness.take(last), expect) {
        (Ok(()), Ok(())) => {}
        (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
        (found, expect) => panic!("{found:?} instead of {expect:?}"),
    }
}

#[test]
fn a_node_is_held_to_its_word() {
    let genesis = genesis(1, 1, |_| {}).0.block().unwrap();
    let first = block(&genesis, 1, 1, 10, b"a");
    let second = block(first.inner(), 2, 2, 20, b"b");
    let (a, b) = (finalized(&first), finalized(&second));
    check(&[a.clone(), b.clone()], Ok(()));
    check(&[event(Rung::Proposed, &first), event(Rung::Notarized, &first), a.clone()], Ok(()));
    check(&[event(Rung::Notarized, &first), event(Rung::Proposed, &first)], Err("went from"));
    check(&[a.clone(), finalized(&block(second.inner(), 3, 3, 30, b"c"))], Err("finalized 3 after Some(1)"));
    let other = block(first.inner(), 2, 2, 20, b"other");
    check(&[event(Rung::Notarized, &second), event(Rung::Notarized, &other)], Err("two blocks of view 0/2"));
    check(&[a.clone(), finalized(&block(&genesis, 2, 2, 20, b"b"))], Err("does not follow"));
    check(&[a.clone(), finalized(&block(first.inner(), 2, 2, 9, b"b"))], Err("time goes back"));
    check(&[a.clone(), finalized(&block(first.inner(), 2, 2, 20, b"a"))], Err("ordered at 1 and again at 2"));
    check(&[finalized(&block(&genesis, 10, 1, 10, b"a"))], Err("no longer valid"));
    let ids: Arc<[TxId]> = first.inner().ids().copied().collect();
    let ended = Event::Ended { ids, rung: Rung::Expired, reason: Reason::Expired, time_ms: 0 };
    check(std::slice::from_ref(&ended), Ok(()));
    check(&[a, ended], Err("though it was ordered"));
}

#[test]
fn what_was_final_stays_so_over_restarts() {
    let genesis = genesis(1, 1, |_| {}).0.block().unwrap();
    let first = block(&genesis, 1, 1, 10, b"a");
    let mut witness = Witness::default();
    assert_eq!(witness.take(&finalized(&first)), Ok(()));
    witness.restart();
    assert_eq!(witness.take(&finalized(&first)), Ok(()));
    witness.restart();
    let other = finalized(&block(&genesis, 1, 2, 10, b"b"));
    assert_eq!(witness.take(&other), Err("finalized two blocks at height 1".to_owned()));
}

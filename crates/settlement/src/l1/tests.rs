use super::*;
use crate::testing::{ROLLUP, digest};

fn snapshot(blocks: std::ops::RangeInclusive<u64>, eligible: u64) -> Snapshot {
    Snapshot {
        blocks: Arc::new(blocks.map(|number| (number, (digest(number), number * 12))).collect()),
        eligible: Some(L1Origin { number: eligible, hash: digest(eligible) }),
        ..Snapshot::default()
    }
}

#[test]
fn standing_of_a_block() {
    let snapshot = snapshot(10..=20, 15);
    let standing = |number, hash| snapshot.standing(&L1Origin { number, hash: digest(hash) });
    assert_eq!(standing(15, 15), Standing::Eligible);
    assert_eq!(standing(10, 10), Standing::Eligible);
    assert_eq!(standing(16, 16), Standing::Shallow);
    assert_eq!(standing(21, 21), Standing::Unseen);
    assert_eq!(standing(15, 99), Standing::Other);
    assert_eq!(standing(9, 9), Standing::Forgotten);
    assert_eq!(Snapshot::default().standing(&L1Origin::NONE), Standing::Unseen);
}

#[test]
fn forced_entries_up_to_an_origin() {
    let entry = |index: u64| ForcedEntry {
        index,
        l1_number: 10 + index / 2,
        sender: [1; 20],
        deadline: 100,
        gas: 21_000,
        data: Bytes::new(),
        hash: digest(index),
    };
    let inbox = InboxState { next_index: 0, head: EMPTY, next_height: 1, forced_cursor: 4 };
    let forced = Arc::new((4..12).map(entry).collect());
    let mut snapshot = snapshot(10..=20, 20);
    snapshot
        .rollups
        .insert(ROLLUP, RollupView { latest: inbox, finalized: inbox, forced, postings: Arc::default() });
    let at = |number| L1Origin { number, hash: digest(number) };
    let indices = |cursor, number, max| {
        let entries = snapshot.forced(ROLLUP, cursor, &at(number), max)?;
        Some(entries.iter().map(|entry| entry.index).collect::<Vec<_>>())
    };
    assert_eq!(indices(4, 13, 100), Some(vec![4, 5, 6, 7]));
    assert_eq!(indices(5, 13, 2), Some(vec![5, 6]));
    assert_eq!(indices(12, 20, 9), Some(vec![]));
    assert_eq!(indices(4, 11, 9), Some(vec![]), "L1 did not have them yet");
    assert_eq!(indices(3, 20, 9), None, "older than what is kept");
    assert_eq!(indices(13, 20, 9), None, "beyond the queue's end");
    assert_eq!(snapshot.forced(RollupId(9), 0, &at(20), 9), None);
}

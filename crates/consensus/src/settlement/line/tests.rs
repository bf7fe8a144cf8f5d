use super::*;
use baton_settlement::CutRule;
use baton_types::{
    Digest, RollupId,
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_math::algebra::Additive as _;

fn terms() -> Terms {
    Terms {
        rollup: RollupId(1),
        l1_chain_id: 1,
        inbox: L1Address([1; 20]),
        queue: L1Address([2; 20]),
        key_generation: 0,
        data_kind: DataKind::Directory,
        slot_seconds: 12,
        first_height: 1,
        rule: CutRule { bytes_target: 1_000, age_max_ms: 1_000 },
    }
}

fn digest(number: u64) -> Digest {
    Sha256::hash(&[&number.to_be_bytes()])
}

/// The contents of ten blocks from this height on.
fn contents(first_height: u64) -> Contents {
    Contents {
        rollup: RollupId(1),
        first_height,
        last_height: first_height + 9,
        last_timestamp_ms: first_height * 1_000,
        head_before: digest(first_height),
        forced_before: first_height / 10,
        result: None,
        slices: Vec::new(),
    }
}

fn extend(line: &mut Line, count: u64) {
    for _ in 0..count {
        let batch = line.batch(&contents(line.next_height()), EMPTY);
        assert_eq!(line.knows(&batch), Ok(false));
        line.push(batch);
    }
}

fn line(count: u64) -> Line {
    let mut line = Line::new(terms(), KEPT_MAX, true);
    extend(&mut line, count);
    line
}

/// The inbox after so many batches of a line.
fn inbox(line: &Line, count: usize) -> InboxState {
    match count.checked_sub(1).and_then(|last| line.placed().nth(last)) {
        None => InboxState { next_index: 0, head: EMPTY, next_height: 1, forced_cursor: 0 },
        Some(Kept { batch, .. }) => InboxState {
            next_index: batch.index + 1,
            head: batch.head(),
            next_height: batch.last_height + 1,
            forced_cursor: batch.forced_cursor,
        },
    }
}

/// Whether each batch follows the one before; the hatch can be before the second.
fn is_chain(line: &Line, hatch: bool) -> bool {
    let batches: Vec<_> = line.placed().map(|kept| &kept.batch).collect();
    let heights = batches.windows(2).all(|pair| pair[1].first_height == pair[0].last_height + 1);
    let behind = &batches[usize::from(hatch)..];
    heights
        && behind
            .windows(2)
            .all(|pair| (pair[1].index, pair[1].previous_head) == (pair[0].index + 1, pair[0].head()))
}

#[test]
fn batches_follow_each_other() {
    let line = line(3);
    assert!(is_chain(&line, false));
    assert_eq!((line.next_height(), line.next_place().index), (31, 3));
    let first = &line.placed().next().unwrap().batch;
    assert_eq!((first.index, first.previous_head, first.first_height), (0, EMPTY, 1));
}

#[test]
fn an_inbox_on_the_line_changes_nothing() {
    let mut line = line(3);
    for count in 0..=3 {
        let inbox = inbox(&line, count);
        assert_eq!(line.look(&inbox), Turn::Stay, "after {count}");
    }
    // Others were faster.
    let ahead = InboxState { next_index: 9, head: digest(1), next_height: 91, forced_cursor: 3 };
    assert_eq!(line.look(&ahead), Turn::Stay);
    assert_eq!(line.next_height(), 31);
}

/// The hatch takes index 1: what was batch 1 goes behind it, as batch 2.
fn escaped(line: &Line) -> InboxState {
    InboxState { next_index: 2, head: digest(99), forced_cursor: 7, ..inbox(line, 1) }
}

#[test]
fn behind_the_hatch_batches_are_placed_anew() {
    let mut line = line(4);
    let inbox = escaped(&line);
    assert_eq!(line.look(&inbox), Turn::From(11));
    assert_eq!((line.next_height(), line.next_place()), (11, inbox_place(&inbox)));
    assert_eq!(line.look(&inbox), Turn::Stay, "once");
    let old =
        line.get(&Place { index: 2, previous_head: line.placed().nth(1).unwrap().batch.head() }).unwrap();
    let old = old.batch.clone();
    extend(&mut line, 1);
    let new = line.placed().nth(1).unwrap().batch.clone();
    assert_eq!((new.index, new.previous_head, new.first_height), (2, digest(99), 11));
    assert_eq!(new.forced_cursor, 7, "what the hatch took is taken");
    assert_eq!((old.index, old.first_height), (2, 21), "the same index, behind another head");
    assert!(line.get(&place(&old)).is_some(), "nothing that was signed is forgotten");
    extend(&mut line, 2);
    assert!(is_chain(&line, true));
    assert_eq!(line.placed().map(|kept| kept.batch.forced_cursor).collect::<Vec<_>>(), [0, 7, 7, 7]);
    // Where the cluster had nothing to post.
    let end = InboxState { next_index: 6, head: digest(5), ..self::inbox(&line, 4) };
    assert_eq!(line.look(&end), Turn::From(41));
}

#[test]
fn two_batches_of_one_place_are_a_conflict() {
    let mut line = line(2);
    let batch = line.placed().next_back().unwrap().batch.clone();
    assert_eq!(line.knows(&batch), Ok(true));
    let other = Batch { order_root: digest(1), ..batch.clone() };
    let conflict = line.knows(&other).unwrap_err();
    assert_eq!((*conflict.kept, *conflict.made), (batch.clone(), other));
    assert!(line.certify(&place(&batch), SeedPoint::zero()));
    assert!(!line.certify(&place(&batch), SeedPoint::zero()));
}

/// Records come by index, not by time: those of the line that the hatch ended may come last.
#[test]
fn a_journal_gives_back_the_line_that_was() {
    let mut full = line(6);
    let old: Vec<_> = full.placed().map(|kept| kept.batch.clone()).collect();
    let inbox = escaped(&full);
    full.look(&inbox);
    extend(&mut full, 2);
    let new: Vec<_> = full.placed().skip(1).map(|kept| kept.batch.clone()).collect();
    let mut restored = Line::new(terms(), KEPT_MAX, true);
    old[..4].iter().chain(&new).chain(&old[4..]).for_each(|batch| restored.push(batch.clone()));
    restored.mend();
    assert!(is_chain(&restored, true));
    assert_eq!(restored.next_height(), full.next_height());
    assert_eq!(restored.next_place(), full.next_place());
    extend(&mut restored, 2);
    assert!(is_chain(&restored, true));
}

/// Also one that was far beyond the hatch, and one whose journal was lost, which makes the line again.
#[test]
fn a_batch_follows_from_its_place_alone() {
    let (mut far, mut near) = (line(4), line(2));
    let inbox = InboxState { forced_cursor: 1, ..escaped(&far) };
    for line in [&mut far, &mut near] {
        assert_eq!(line.look(&inbox), Turn::From(11));
        extend(line, 3);
    }
    // Nothing is left of what it signed but the chain and the inbox.
    let mut lost = line(1);
    assert_eq!(lost.look(&inbox), Turn::From(11));
    extend(&mut lost, 3);
    for kept in far.kept.values() {
        for other in [&near, &lost] {
            let same = other.get(&place(&kept.batch)).is_none_or(|theirs| theirs.batch == kept.batch);
            assert!(same, "two batches for {:?}", place(&kept.batch));
        }
    }
    let again = lost.placed().map(|kept| &kept.batch);
    assert!(again.eq(far.placed().map(|kept| &kept.batch)));
}

/// Where nothing is final on L1 everything stays, also behind a restart; then the last few do.
#[test]
fn what_is_not_final_on_l1_is_kept() {
    let whole = line(10);
    let mut line = Line::new(terms(), 3, true);
    whole.placed().for_each(|kept| line.push(kept.batch.clone()));
    line.mend();
    assert_eq!((line.placed().count(), line.lowest_index()), (10, 0));
    assert_eq!(line.first_unsettled().map(|kept| kept.batch.index), Some(0));
    for (settled, kept) in [(4, 6), (4, 6), (9, 3), (10, 3)] {
        assert_eq!(line.look(&inbox(&whole, settled)), Turn::Stay);
        assert_eq!(line.placed().count(), kept, "with {settled} final");
        assert_eq!(line.lowest_index(), 10 - kept as u64);
        assert!(!line.lacks(&inbox(&whole, settled)));
        let next = whole.placed().nth(settled).map(|kept| kept.batch.index);
        assert_eq!(line.first_unsettled().map(|kept| kept.batch.index), next);
    }
    assert!(line.lacks(&inbox(&whole, 2)), "L1 went back too far");
    assert!(!line.lacks(&InboxState { next_height: 1_000, ..inbox(&whole, 10) }), "others were faster");
    let mut blind = Line::new(terms(), 3, false);
    whole.placed().for_each(|kept| blind.push(kept.batch.clone()));
    assert_eq!((blind.placed().count(), blind.first_unsettled()), (3, None));
}

#[test]
fn a_line_knows_when_nothing_came_since() {
    let empty = Line::new(terms(), 3, true);
    assert!(empty.is_quiet(&EMPTY, 0));
    assert!(!empty.is_quiet(&EMPTY, 1) && !empty.is_quiet(&digest(1), 0));
    let line = line(2);
    let end = line.placed().next_back().unwrap().batch.clone();
    assert!(line.is_quiet(&end.order_root, end.forced_cursor));
    assert!(!line.is_quiet(&end.order_root, end.forced_cursor + 1) && !line.is_quiet(&digest(1), 1));
    let mut joined = line.clone();
    joined.join(&InboxState { next_height: 500, ..inbox(&line, 2) });
    assert!(!joined.is_quiet(&end.order_root, end.forced_cursor), "elsewhere");
}

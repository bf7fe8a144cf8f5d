use super::*;

fn digest(number: u64) -> Digest {
    Sha256::hash(&[&number.to_be_bytes()])
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<TxId> {
    numbers.into_iter().map(|number| digest(number).into()).collect()
}

/// The accumulator carried from block to block is the one over all headers at once.
#[test]
fn history_by_steps_and_at_once() {
    let mut history = History::new();
    let mut all = mmr::mem::Mmr::new();
    for number in 0..300 {
        assert_eq!(history.leaves, number);
        assert_eq!(history.root(), all.root(&hasher(), 0).ok());
        assert_eq!(history.peaks.len(), usize::try_from(number.count_ones()).unwrap());
        history = history.append(&digest(number)).unwrap();
        let batch = all.new_batch().add(&hasher(), &digest(number)).merkleize(&all, &hasher());
        all.apply_batch(&batch).unwrap();
    }
}

#[test]
fn history_needs_as_many_peaks_as_leaves_make() {
    let three = (0..3).fold(History::new(), |history, n| history.append(&digest(n)).unwrap());
    assert_eq!(three.peaks.len(), 2);
    let cases = [
        History { leaves: 2, ..three.clone() },
        History { leaves: 4, ..three.clone() },
        History { leaves: 3, peaks: Vec::new() },
        History { leaves: 0, ..three.clone() },
        History { leaves: u64::MAX, ..three.clone() },
        History { leaves: u64::MAX, peaks: vec![EMPTY; PEAKS_MAX] },
        History { leaves: 1 << 63, peaks: vec![EMPTY] },
    ];
    for history in cases {
        assert_eq!(history.root(), None, "{history:?}");
        assert_eq!(history.append(&EMPTY), None, "{history:?}");
    }
}

/// As many leaves as there can be: no more is refused, not a panic.
#[test]
fn history_has_an_end() {
    let full = History { leaves: 1 << 62, peaks: vec![EMPTY] };
    assert!(full.root().is_some());
    assert_eq!(full.append(&EMPTY), None);
    let last = History { leaves: (1 << 62) - 1, peaks: vec![EMPTY; 62] };
    assert_eq!(last.append(&EMPTY).map(|history| history.leaves), Some(1 << 62));
}

#[test]
fn heads_move_only_with_a_segment() {
    let mut heads = Heads::new();
    let (one, two) = (ids([1, 2]), ids([3]));
    advance_heads(&mut heads, 1, [(RollupId(1), &one[..])].into_iter());
    let first = heads.clone();
    advance_heads(&mut heads, 2, [(RollupId(2), &two[..])].into_iter());
    assert_eq!(heads[&RollupId(1)], first[&RollupId(1)]);
    advance_heads(&mut heads, 3, [].into_iter());
    assert_eq!(heads.len(), 2);
    advance_heads(&mut heads, 4, [(RollupId(1), &one[..])].into_iter());
    assert_ne!(heads[&RollupId(1)], first[&RollupId(1)]);
}

/// A head depends on rollup, height, order and number of ids, and on what was before.
#[test]
fn heads_commit_to_everything() {
    let head = |before: Digest, rollup: u32, height: u64, ids: &[TxId]| {
        let mut heads = Heads::from([(RollupId(rollup), before)]);
        advance_heads(&mut heads, height, [(RollupId(rollup), ids)].into_iter());
        heads[&RollupId(rollup)]
    };
    let heads = [
        head(EMPTY, 1, 1, &ids([1, 2])),
        head(digest(0), 1, 1, &ids([1, 2])),
        head(EMPTY, 2, 1, &ids([1, 2])),
        head(EMPTY, 1, 2, &ids([1, 2])),
        head(EMPTY, 1, 1, &ids([2, 1])),
        head(EMPTY, 1, 1, &ids([1])),
    ];
    for (i, one) in heads.iter().enumerate() {
        assert!(heads[i + 1..].iter().all(|other| other != one), "head {i}");
    }
    assert_ne!(heads_root(&Heads::new()), heads_root(&Heads::from([(RollupId(1), EMPTY)])));
}

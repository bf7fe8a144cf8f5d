use super::*;
use crate::testing::{Rng, block, child, numbered, segment, some_id, transaction};
use baton_types::{Block, RollupId};
use commonware_cryptography::{Digestible as _, sha256};

/// A block on `parent` with one transaction per number.
fn with(parent: &Block, numbers: &[u64]) -> Block {
    let transactions: Vec<_> = numbers.iter().map(|number| transaction(50, numbered(*number, 8))).collect();
    let segments = if numbers.is_empty() { Vec::new() } else { vec![segment(1, transactions)] };
    child(parent, segments)
}

fn id(number: u64) -> TxId {
    transaction(50, numbered(number, 8)).id(RollupId(1))
}

#[test]
fn remembers_finalized_ids_as_long_as_they_could_be_repeated() {
    let mut recent = Recent::new(10, 7);
    recent.finalize(1, [some_id(1)].iter());
    for height in 2..=10 {
        recent.finalize(height, [].iter());
        assert_eq!(recent.height_of(&some_id(1)), Some(1), "the next block is at {}", height + 1);
    }
    // A block at 12 may carry nothing that was valid at 1.
    recent.finalize(11, [].iter());
    assert_eq!(recent.height_of(&some_id(1)), None);
    assert!(recent.buckets.is_empty() && recent.finalized.is_empty());
}

#[test]
fn ignores_a_height_it_has() {
    let mut recent = Recent::new(10, 7);
    recent.finalize(5, [some_id(1)].iter());
    recent.finalize(5, [some_id(2)].iter());
    recent.finalize(4, [some_id(3)].iter());
    assert_eq!((recent.height_of(&some_id(2)), recent.height_of(&some_id(3))), (None, None));
    assert_eq!(recent.finalized_height(), 5);
}

#[test]
fn ancestry_is_the_path_and_what_is_finalized_below_it() {
    let genesis = block(0, Vec::new());
    let one = with(&genesis, &[1]);
    let left = with(&one, &[2]);
    let left_tip = with(&left, &[3]);
    let right = with(&one, &[4]);
    let mut recent = Recent::new(10, 7);
    for block in [&one, &left, &left_tip, &right] {
        assert!(recent.insert(block.digest(), block));
    }
    let ancestry = |recent: &Recent, parent: &Block| -> Vec<u64> {
        let height = parent.header().height;
        (1..=4).filter(|number| recent.contains(&parent.digest(), height, &id(*number))).collect()
    };
    let check = |recent: &Recent| {
        assert_eq!(ancestry(recent, &one), [1]);
        assert_eq!(ancestry(recent, &left), [1, 2]);
        assert_eq!(ancestry(recent, &left_tip), [1, 2, 3]);
        assert_eq!(ancestry(recent, &right), [1, 4]);
    };
    assert_eq!(ancestry(&recent, &genesis), [] as [u64; 0]);
    check(&recent);
    recent.finalize(1, one.ids());
    check(&recent);
    recent.finalize(2, left.ids());
    // The branch that lost is gone, its parent keeps its own past only.
    assert_eq!(recent.unfinalized.len(), 1);
    assert_eq!(ancestry(&recent, &one), [1]);
    assert_eq!(ancestry(&recent, &left_tip), [1, 2, 3]);
}

#[test]
fn a_broken_path_contains_everything() {
    let genesis = block(0, Vec::new());
    let one = with(&genesis, &[1]);
    let two = with(&one, &[]);
    let mut recent = Recent::new(10, 7);
    recent.insert(two.digest(), &two);
    assert!(!recent.connected(&two.digest(), 2));
    assert!(recent.contains(&two.digest(), 2, &some_id(9)));
    recent.insert(one.digest(), &one);
    assert!(recent.connected(&two.digest(), 2));
    assert!(!recent.contains(&two.digest(), 2, &some_id(9)));
    for wrong in [1, 3] {
        assert!(!recent.connected(&two.digest(), wrong), "the height is part of the question");
    }
    recent.remove(&one.digest());
    assert!(!recent.connected(&two.digest(), 2));
    recent.finalize(1, one.ids());
    assert!(recent.connected(&two.digest(), 2) && recent.connected(&one.digest(), 1));
}

#[test]
fn unfinalized_blocks_are_bounded_and_above_the_tip() {
    let mut recent = Recent::new(10, 7);
    let mut blocks = vec![block(0, Vec::new())];
    for _ in 0..=Recent::BLOCKS_MAX {
        blocks.push(with(blocks.last().unwrap(), &[]));
    }
    for block in &blocks[1..=Recent::BLOCKS_MAX] {
        assert!(recent.insert(block.digest(), block));
        assert!(recent.insert(block.digest(), block), "a second time changes nothing");
    }
    let last = blocks.last().unwrap();
    assert!(!recent.insert(last.digest(), last));
    recent.finalize(1, [].iter());
    assert!(recent.insert(last.digest(), last));
    assert!(!recent.insert(blocks[1].digest(), &blocks[1]), "finalized already");
}

/// Random trees of blocks against the plain definition: walk the parents and look.
#[test]
fn agrees_with_a_walk_over_all_parents() {
    let mut rng = Rng::new(2);
    for _ in 0..6 {
        let mut recent = Recent::new(1_000, rng.next());
        let mut blocks = vec![block(0, Vec::new())];
        let mut parents = vec![0];
        let mut tip = 0;
        for number in 1..60 {
            let parent = loop {
                let candidate = rng.below(blocks.len());
                if is_ancestor(&parents, tip, candidate) {
                    break candidate;
                }
            };
            let numbers: Vec<_> = (0..rng.below(3) as u64).map(|extra| 10 * number + extra).collect();
            blocks.push(with(&blocks[parent], &numbers));
            parents.push(parent);
            let new = blocks.last().unwrap();
            recent.insert(new.digest(), new);
            if rng.chance(20) && blocks[parent].header().height == blocks[tip].header().height {
                tip = blocks.len() - 1;
                recent.finalize(new.header().height, new.ids());
            }
            let from = rng.below(blocks.len());
            if !is_ancestor(&parents, tip, from) {
                continue;
            }
            for wanted in (0..600).filter(|wanted| wanted % 10 < 3) {
                let mut at = from;
                let mut expected = blocks[at].ids().any(|has| *has == id(wanted));
                while at != 0 {
                    at = parents[at];
                    expected |= blocks[at].ids().any(|has| *has == id(wanted));
                }
                let (digest, height) = (blocks[from].digest(), blocks[from].header().height);
                assert_eq!(recent.contains(&digest, height, &id(wanted)), expected);
            }
        }
    }
}

fn is_ancestor(parents: &[usize], ancestor: usize, mut block: usize) -> bool {
    while block > ancestor {
        block = parents[block];
    }
    block == ancestor
}

fn digest(number: u64) -> Digest {
    sha256::Digest(some_id(number).0)
}

/// Id 1 was ordered just below the floor at height 20 and is valid until 29. Nobody told this node.
#[test]
fn a_node_that_joined_judges_nothing_that_could_repeat_what_it_never_saw() {
    const FLOOR: u64 = 20;
    let mut recent = Recent::new(10, 7);
    recent.finalize(3, [some_id(3)].iter());
    recent.start_at(FLOOR);
    assert_eq!(recent.height_of(&some_id(3)), None, "it may have been forgotten in between");
    assert_eq!((recent.finalized_height(), recent.judges_from()), (19, 31));
    for height in FLOOR..FLOOR + 10 {
        recent.finalize(height, [some_id(height)].iter());
        let parent = digest(height);
        assert!(recent.contains(&parent, height, &some_id(1)), "a block at {} might repeat it", height + 1);
        assert!(recent.ancestry(&parent, height).is_none());
    }
    // From here on id 1 has expired, and everything that has not is known.
    recent.finalize(FLOOR + 10, [].iter());
    let parent = digest(0);
    let ancestry = recent.ancestry(&parent, FLOOR + 10).expect("it can tell");
    assert!(!ancestry.contains(&some_id(1)));
    assert!(ancestry.contains(&some_id(FLOOR + 1)));
    // From the first block on nothing is missing.
    let mut whole = Recent::new(10, 7);
    whole.start_at(1);
    assert_eq!(whole.judges_from(), 1);
}

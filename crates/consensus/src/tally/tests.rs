use super::*;
use crate::testing::Dealt;
use baton_types::{
    Body, Results,
    block::ElectionKind,
    lottery::{Lottery, LotteryPart},
    merkle::{EMPTY, Heads},
};
use commonware_cryptography::Signer as _;

/// A block in the words of the counts.
struct Case {
    height: u64,
    epoch: u64,
    parent_view: u64,
    view: u64,
    author: usize,
    /// First byte of the evidence.
    evidence: u8,
    bench: &'static [usize],
    suspended: &'static [usize],
}

const PLAIN: Case = Case {
    height: 1,
    epoch: 0,
    parent_view: 0,
    view: 1,
    author: 0,
    evidence: REVEAL,
    bench: &[],
    suspended: &[],
};

fn rules(dealt: &Dealt) -> Rules {
    dealt.genesis.lottery_rules().unwrap()
}

fn block(dealt: &Dealt, case: &Case) -> Block {
    let mut state = Lottery::genesis(EMPTY, EMPTY, vec![None; 4]);
    state.bench = case.bench.iter().copied().collect();
    state.suspended = case.suspended.iter().copied().collect();
    let committer = state.rotation().committer(case.epoch, case.view);
    let header = Header {
        epoch: case.epoch,
        view: case.view,
        parent_view: case.parent_view,
        height: case.height,
        election: ElectionKind::ZkLottery,
        committer: dealt.keys[committer].public_key(),
        author: dealt.keys[case.author].public_key(),
        ..dealt.genesis.block().unwrap().header().clone()
    };
    let part = LotteryPart { evidence: vec![case.evidence].into(), held: Vec::new(), state };
    let body = Body {
        segments: Vec::new(),
        heads: Heads::new(),
        peaks: vec![EMPTY; case.height.count_ones() as usize],
        payload: None,
        lottery: Some(Box::new(part)),
        results: Results::new(),
        l1: None,
    };
    Block::seal(header, body, Some(&dealt.keys[case.author]))
}

/// Counts of the epoch and since the start, after these blocks.
fn tally(cases: &[Case]) -> Tally {
    let dealt = Dealt::new();
    let mut tally = Tally::default();
    cases.iter().for_each(|case| tally.finalized(&rules(&dealt), &block(&dealt, case)));
    tally
}

#[test]
fn a_block_counts_for_its_author_and_for_its_committer() {
    // View 1 is member 1's, view 2 member 2's.
    let counts = tally(&[
        Case { author: 3, ..PLAIN },
        Case { height: 2, parent_view: 1, view: 2, author: 2, evidence: 1, ..PLAIN },
    ])
    .epoch
    .counts;
    assert_eq!(counts[0], Counts::default());
    assert_eq!(counts[1], Counts { reveals: 1, ..Counts::default() });
    assert_eq!(counts[2], Counts { authored: 1, single_proofs: 1, ..Counts::default() }, "its own turn");
    assert_eq!(counts[3], Counts { authored: 1, designated: 1, ..Counts::default() }, "drawn by another's");
}

#[test]
fn views_that_passed_are_missed_by_their_committers() {
    let counts = tally(&[PLAIN, Case { height: 2, parent_view: 1, view: 8, ..PLAIN }]).epoch.counts;
    // Views 2 to 7.
    assert_eq!(counts.iter().map(|counts| counts.turns_missed).collect::<Vec<_>>(), [1, 1, 2, 2]);
}

#[test]
fn who_is_left_out_counts_once_a_segment_and_once_an_epoch() {
    // Segments have 8 blocks; the last one's state already has the next bench.
    let case = |height, bench| Case { height, parent_view: height - 1, view: height, bench, ..PLAIN };
    let tally = tally(&[
        case(1, &[3]),
        case(2, &[3]),
        case(7, &[2]),
        case(8, &[2]),
        case(9, &[2]),
        Case { height: 10, epoch: 1, bench: &[2], suspended: &[1], ..PLAIN },
        Case { height: 11, epoch: 1, parent_view: 1, view: 2, bench: &[2], suspended: &[1], ..PLAIN },
    ]);
    let benched: Vec<_> = tally.since_start.counts.iter().map(|counts| counts.segments_benched).collect();
    assert_eq!(benched, [0, 0, 1, 1]);
    let suspended: Vec<_> = tally.since_start.counts.iter().map(|counts| counts.suspensions).collect();
    assert_eq!(suspended, [0, 1, 0, 0]);
    assert!(tally.benched.contains(2) && tally.suspended.contains(1), "as of the last block");
}

#[test]
fn an_epoch_begins_at_zero_and_a_restart_counts_it_again() {
    let dealt = Dealt::new();
    let blocks = [
        PLAIN,
        Case { height: 40, epoch: 1, ..PLAIN },
        Case { height: 41, epoch: 1, parent_view: 1, view: 2, ..PLAIN },
    ]
    .map(|case| block(&dealt, &case));
    let rules = rules(&dealt);
    let (mut through, mut restarted) = (Tally::default(), Tally::default());
    blocks.iter().for_each(|block| through.finalized(&rules, block));
    restarted.restored(&rules, &blocks[1]);
    restarted.finalized(&rules, &blocks[2]);
    assert_eq!(through.epoch, restarted.epoch);
    assert_eq!((through.epoch.from_height, through.epoch.counts[0].authored), (Some(40), 2));
    assert_eq!(through.since_start.counts[0].authored, 3);
    assert_eq!((restarted.since_start.from_height, restarted.since_start.counts[0].authored), (Some(41), 1));
    through.restart();
    assert_eq!(through, Tally::default());
}

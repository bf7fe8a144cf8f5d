//! The numbers that chapter 7 states about members that decline or stay silent: counted, and played with the
//! draw and the state of real blocks.

use super::*;
use baton_types::{
    Header,
    lottery::{Indices, Rules},
};
use rand::Rng as _;

/// Of `n` members `f` are faulty: the views, of n² equally likely pairs of committer and author, that fail when
/// faulty committers decline and faulty authors are silent.
const fn failing(f: u64, n: u64) -> u64 {
    n * n - (n - f) * (n - f)
}

/// The pairs that end with a block of the coalition, and with any, when faulty committers decline all blocks
/// but the coalition's.
const fn coalition(f: u64, n: u64) -> (u64, u64) {
    (n * f, n * f + (n - f) * (n - f))
}

#[test]
fn the_fractions_that_the_chapter_states() {
    let chapter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/7-lottery.md");
    let chapter = std::fs::read_to_string(chapter).unwrap();
    assert_eq!(failing(1, 4), 7);
    assert!(chapter.contains("7/16 of views at f = 1, 5/9 as f grows"));
    // As f grows, f/n goes to 1/3.
    assert_eq!((failing(1, 3), 3 * 3), (5, 9));
    for f in 1..=42 {
        let n = 3 * f + 1;
        assert!(9 * failing(f, n) < 5 * n * n, "f = {f}: below 5/9");
        let (own, all) = coalition(f, n);
        assert!(100 * own < 43 * all, "f = {f}: {own} of {all}");
        // It declines where the author is honest.
        assert!(3 * (n - f) > 2 * n, "f = {f}: about two thirds of its turns");
    }
    assert_eq!((coalition(1, 3), coalition(1, 4)), ((3, 7), (4, 13)));
    assert!(chapter.contains("share of blocks to at most about 43 %"));
}

#[derive(Default)]
struct Epoch {
    views: u64,
    blocks: u64,
    own: u64,
    suspended: Indices,
}

const EPOCH_BLOCKS: u64 = 2_000;
const FAULTY: usize = 2;

/// Plays epochs of four members, one of them faulty; `passes` says whether a view with this committer and
/// author ends with a block.
fn play(epochs: u64, passes: fn(usize, usize) -> bool) -> Vec<Epoch> {
    let world = World::new(&[]);
    let node = world.node(0);
    let rules = Rules { epoch_blocks: EPOCH_BLOCKS, ..node.rules().clone() };
    let (mut rng, mut state) = (StdRng::seed_from_u64(8), world.state());
    let mut parent: Header = world.genesis.block().unwrap().header().clone();
    let mut played = Vec::new();
    for number in 0..epochs {
        let mut epoch = Epoch::default();
        let mut view = 0;
        while (parent.height + 1) / EPOCH_BLOCKS == number {
            let before = state.before(&rules, &parent, number);
            epoch.suspended = before.suspended;
            view += 1;
            epoch.views += 1;
            let mut output = Output([0; 32]);
            rng.fill_bytes(&mut output.0);
            let committer = before.rotation().committer(number, view);
            let author = node.author(&before, &output);
            if !passes(committer, author) {
                continue;
            }
            epoch.blocks += 1;
            epoch.own += u64::from(author == FAULTY);
            let header = Header {
                epoch: number,
                view,
                parent_view: if parent.epoch == number { parent.view } else { 0 },
                height: parent.height + 1,
                author: rules.members.get(author).unwrap().clone(),
                ..parent.clone()
            };
            state = before.after(&rules, &header, &[]).unwrap();
            parent = header;
        }
        played.push(epoch);
    }
    played
}

/// Whether `part` of `all` is within four percentage points of `expected`: four standard deviations.
fn about(part: u64, all: u64, expected: (u64, u64)) -> bool {
    let (found, expected) = (10_000 * part / all, 10_000 * expected.0 / expected.1);
    found.abs_diff(expected) < 400
}

#[test]
fn a_silent_and_declining_member_costs_seven_views_of_sixteen() {
    let epochs = play(1, |committer, author| committer != FAULTY && author != FAULTY);
    let Epoch { views, blocks, .. } = epochs[0];
    assert!(about(views - blocks, views, (7, 16)), "{blocks} blocks in {views} views");
}

/// What it gains, and what it pays: counted, and suspended in every other epoch, where it has no block at all.
#[test]
fn a_member_that_declines_all_blocks_but_its_own_is_suspended_every_other_epoch() {
    let epochs = play(4, |committer, author| committer != FAULTY || author == FAULTY);
    for (number, Epoch { views, blocks, own, suspended }) in (0..).zip(&epochs) {
        if number % 2 == 0 {
            assert!(suspended.is_empty(), "epoch {number}");
            assert!(about(*own, *blocks, coalition(1, 4)), "{own} of {blocks} blocks are its own");
            assert!(about(views - blocks, *views, (3, 16)), "{blocks} blocks in {views} views");
        } else {
            assert_eq!((suspended.iter().collect::<Vec<_>>(), *own), (vec![FAULTY], 0), "epoch {number}");
            assert_eq!(views, blocks, "nobody declines");
        }
    }
    let (own, blocks) = epochs.iter().fold((0, 0), |(own, all), epoch| (own + epoch.own, all + epoch.blocks));
    // Less than the quarter that it would have had.
    assert!(4 * own < blocks, "{own} of {blocks}");
}

/// A dead author costs every committer a turn in n, and that suspends nobody.
#[test]
fn a_silent_author_suspends_nobody_but_itself() {
    let epochs = play(2, |committer, author| committer != FAULTY && author != FAULTY);
    assert_eq!(epochs[1].suspended.iter().collect::<Vec<_>>(), [FAULTY]);
    let epochs = play(2, |_, author| author != FAULTY);
    assert!(epochs[1].suspended.is_empty());
}

/// Of how many millions of epochs a silent author of four suspends a given committer that keeps the rules and has so
/// many turns in each.
fn suspends(turns: u32) -> u128 {
    let ways = |missed: u32| {
        (0..u128::from(missed)).fold(1, |ways, i| ways * (u128::from(turns) - i) / (i + 1))
            * 3u128.pow(turns - missed)
    };
    let least = (turns / 2 + 1).max(4);
    1_000_000 * (least..=turns).map(ways).sum::<u128>() / 4u128.pow(turns)
}

#[test]
fn a_silent_author_hardly_ever_suspends_an_honest_committer() {
    assert_eq!([7, 10, 40].map(suspends), [70_556, 19_727, 174]);
    let chapter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/7-lottery.md");
    let chapter = std::fs::read_to_string(chapter).unwrap();
    assert!(chapter.contains("7 % of epochs with 7 turns, 2 % with 10, 0.02 % with 40"));
}

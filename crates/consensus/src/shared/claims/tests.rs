use super::*;
use baton_types::{Epoch, View};

fn rollups<const N: usize>(ids: [u32; N]) -> [RollupId; N] {
    ids.map(RollupId)
}

fn round(view: u64) -> Round {
    Round::new(Epoch::zero(), View::new(view))
}

/// Views one after the other, in each of which all `rollups` have something new; those with a claim of one that is
/// `stuck` fail, and the others make a block. How many blocks there were, and in how many views each was claimed
/// in vain and for good.
fn run(claims: &mut Claims, views: u64, ids: &[RollupId], stuck: &[RollupId]) -> BTreeMap<u32, (u32, u32)> {
    let (mut height, mut counts) = (0, BTreeMap::<u32, (u32, u32)>::new());
    for view in 1..=views {
        let claimed = claims.choose(round(view), height, ids.to_vec());
        let certified = !claimed.iter().any(|id| stuck.contains(id));
        claims.passed(round(view), certified);
        height += u64::from(certified);
        for id in claimed {
            let (failed, good) = counts.entry(id.0).or_default();
            *if certified { good } else { failed } += 1;
        }
    }
    counts
}

#[test]
fn one_that_is_stuck_holds_up_no_other() {
    let ids = rollups([4, 5, 6]);
    let mut claims = Claims::default();
    let counts = run(&mut claims, 1_000, &ids, &rollups([5]));
    let (failed, good) = counts[&5];
    assert!(good == 0 && (6..=30).contains(&failed), "{counts:?}");
    for id in [4, 6] {
        // The first failure is everybody's; in the others it was beside the one on trial.
        assert!(counts[&id].0 <= failed && counts[&id].1 > 950, "{counts:?}");
    }
    assert!(claims.may(ids[0], 0) && claims.may(ids[2], 0) && !claims.may(ids[1], 0));
}

#[test]
fn two_that_are_stuck_hold_up_no_other() {
    let mut claims = Claims::default();
    let counts = run(&mut claims, 1_000, &rollups([4, 5, 6]), &rollups([4, 5]));
    assert!(counts[&4].1 == 0 && counts[&5].1 == 0 && counts[&6].1 > 900, "{counts:?}");
}

#[test]
fn one_by_itself_is_claimed_less_and_less_often() {
    let (mut claims, id) = (Claims::default(), RollupId(4));
    for strikes in [1, 2, 3, 4, 5, 6, 6, 6] {
        assert_eq!(claims.choose(round(strikes), 100, vec![id]), [id]);
        claims.passed(round(strikes), false);
        let waits = (100..).position(|height| claims.may(id, height)).expect("at last");
        assert_eq!(waits, 1 << strikes);
        claims.trials.get_mut(&id).expect("it failed").withheld_below = 0;
    }
    claims.choose(round(9), 100, vec![id]);
    claims.passed(round(9), true);
    assert!(claims.trials.is_empty());
}

#[test]
fn of_what_is_well_again_everything_is_claimed() {
    let (mut claims, ids) = (Claims::default(), rollups([4, 5]));
    run(&mut claims, 200, &ids, &ids);
    run(&mut claims, 400, &ids, &[]);
    assert_eq!(claims.choose(round(1), 10_000, ids.to_vec()), ids);
}

#[test]
fn views_of_others_change_nothing() {
    let (mut claims, ids) = (Claims::default(), rollups([4, 5]));
    claims.choose(round(7), 10, ids.to_vec());
    claims.passed(round(6), false);
    assert_eq!(claims.choose(round(8), 10, ids.to_vec()), ids);
    claims.passed(round(7), false);
    assert_eq!(claims.choose(round(9), 10, ids.to_vec()), ids);
}

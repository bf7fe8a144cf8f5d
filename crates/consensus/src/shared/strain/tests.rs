use super::*;
use baton_types::{Epoch, View};

const MAX: usize = 1 << 20;

fn pass(strain: &mut Strain, views: std::ops::Range<u64>, notarized: bool) {
    for view in views {
        strain.passed(Round::new(Epoch::zero(), View::new(view)), notarized);
    }
}

#[test]
fn blocks_shrink_once_more_views_fail_than_there_may_be_silent_leaders() {
    let mut strain = Strain::new(1);
    assert_eq!(strain.bytes(MAX), MAX);
    pass(&mut strain, 1..2, false);
    assert_eq!(strain.bytes(MAX), MAX);
    pass(&mut strain, 2..3, false);
    assert_eq!(strain.bytes(MAX), MAX / 2);
    pass(&mut strain, 3..5, false);
    assert_eq!(strain.bytes(MAX), MAX / 8);
    pass(&mut strain, 5..500, false);
    assert_eq!(strain.bytes(MAX), BYTES_MIN);
}

#[test]
fn a_silent_leader_now_and_then_changes_nothing() {
    let mut strain = Strain::new(1);
    for turn in 0..100 {
        pass(&mut strain, 4 * turn..4 * turn + 1, false);
        pass(&mut strain, 4 * turn + 1..4 * turn + 4, true);
    }
    assert_eq!(strain.bytes(MAX), MAX);
}

#[test]
fn they_grow_again_when_views_succeed() {
    let mut strain = Strain::new(0);
    pass(&mut strain, 1..4, false);
    assert_eq!(strain.bytes(MAX), MAX / 8);
    pass(&mut strain, 4..4 + CALM_VIEWS - 1, true);
    assert_eq!(strain.bytes(MAX), MAX / 8);
    pass(&mut strain, 50..51, true);
    assert_eq!(strain.bytes(MAX), MAX / 4);
    // One failure begins the count anew.
    pass(&mut strain, 51..60, true);
    pass(&mut strain, 60..61, false);
    assert_eq!(strain.bytes(MAX), MAX / 8);
    pass(&mut strain, 61..61 + 3 * CALM_VIEWS, true);
    assert_eq!(strain.bytes(MAX), MAX);
}

#[test]
fn a_certificate_that_comes_again_or_late_counts_for_nothing() {
    let mut strain = Strain::new(0);
    for _ in 0..5 {
        pass(&mut strain, 7..8, false);
        pass(&mut strain, 3..6, false);
    }
    assert_eq!(strain.bytes(MAX), MAX / 2);
    assert!(!strain.passed(Round::new(Epoch::zero(), View::new(7)), true));
    assert!(strain.passed(Round::new(Epoch::new(1), View::new(1)), false), "views are counted by epoch");
}

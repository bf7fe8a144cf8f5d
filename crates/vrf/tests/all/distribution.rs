//! Drawn members are distributed as they should be, over fixed keys.

use crate::fixtures::{LATER, secret};
use baton_vrf::{Beacon, Context, EpochSecrets, Output, Rounds};
use std::{num::NonZeroU32, sync::LazyLock};

/// Outputs of twenty keys in one epoch, each against its root.
static OUTPUTS: LazyLock<Vec<Output>> = LazyLock::new(|| {
    let context = Context { chain: [3; 32], epoch: 12, beacon: Beacon::of(b"distribution") };
    let mut outputs = Vec::new();
    for number in 0..20 {
        let secret = secret(number);
        let secrets = EpochSecrets::new(&secret, context, Rounds::MAX);
        let (root, key) = (secrets.root(), secret.public_key());
        let reveals = (0..Rounds::MAX.count()).map(|turn| secrets.reveal(turn).unwrap());
        outputs.extend(reveals.map(|reveal| reveal.verify(&root, &key, &context, &LATER).unwrap()));
    }
    outputs
});

fn draws(members: u32, benched: impl Fn(u32) -> bool) -> Vec<usize> {
    let members = NonZeroU32::new(members).unwrap();
    let draw = |output: &Output| usize::try_from(output.draw(members, &benched).unwrap()).unwrap();
    OUTPUTS.iter().map(draw).collect()
}

/// Σ (observed − expected)² / expected over equally likely cells.
fn chi_square(cells: usize, places: impl Iterator<Item = usize>) -> f64 {
    let mut counts = vec![0u32; cells];
    places.for_each(|place| counts[place] += 1);
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / f64::from(u32::try_from(cells).unwrap());
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// What chi-square with this many degrees of freedom exceeds once in a thousand times, by the
/// approximation of Wilson and Hilferty.
fn once_in_a_thousand(freedom: usize) -> f64 {
    let freedom = f64::from(u32::try_from(freedom).unwrap());
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part + 3.0902 * part.sqrt()).powi(3)
}

#[test]
fn the_bound_is_that_of_the_tables() {
    for (freedom, expect) in [(3, 16.266), (6, 22.458), (9, 27.877), (30, 59.703), (100, 149.449)] {
        let bound = once_in_a_thousand(freedom);
        assert!((bound - expect).abs() < expect * 0.02, "{freedom}: {bound}");
    }
}

#[test]
fn members_are_drawn_evenly() {
    assert_eq!(OUTPUTS.len(), 40_940);
    for members in [2, 3, 4, 7, 10, 64, 100, 128] {
        let cells = usize::try_from(members).unwrap();
        let drawn = draws(members, |_| false);
        let statistic = chi_square(cells, drawn.iter().copied());
        println!("{members} members: {statistic:.1} of {:.1}", once_in_a_thousand(cells - 1));
        assert!(statistic < once_in_a_thousand(cells - 1), "{members} members: {statistic}");
        assert!((0..cells).all(|member| drawn.contains(&member)), "everyone is drawn, the last one too");
    }
}

#[test]
fn the_benched_are_not_drawn_and_the_others_evenly() {
    for (members, benched) in [(4, &[2][..]), (7, &[0, 6]), (10, &[1, 2, 3]), (100, &[0, 50, 99])] {
        let drawn = draws(members, |member| benched.contains(&member));
        let left: Vec<_> = (0..members).filter(|member| !benched.contains(member)).collect();
        let places = drawn.iter().map(|member| left.binary_search(&u32::try_from(*member).unwrap()).unwrap());
        let statistic = chi_square(left.len(), places);
        assert!(statistic < once_in_a_thousand(left.len() - 1), "{members} members: {statistic}");
    }
}

/// One turn's member says nothing about the next one's.
#[test]
fn pairs_of_turns_are_drawn_evenly() {
    for members in [4, 7, 10] {
        let cells = usize::try_from(members).unwrap();
        let drawn = draws(members, |_| false);
        let pairs = drawn.as_chunks::<2>().0.iter().map(|[one, two]| one * cells + two);
        let statistic = chi_square(cells * cells, pairs);
        assert!(statistic < once_in_a_thousand(cells * cells - 1), "{members} members: {statistic}");
    }
}

/// Each bit of an output is set half of the time: 20,470 ± 5 standard deviations of 101.
#[test]
fn bits_are_balanced() {
    for bit in 0..256 {
        let set = OUTPUTS.iter().filter(|output| output.0[bit / 8] >> (bit % 8) & 1 == 1).count();
        assert!((19_964..=20_976).contains(&set), "bit {bit}: {set}");
    }
}

/// The test itself notices a draw that never takes the last member, as with a modulus of n − 1.
#[test]
fn a_skewed_draw_is_noticed() {
    for members in [4, 7, 10, 100, 128] {
        let cells = usize::try_from(members).unwrap();
        let skewed = draws(members - 1, |_| false);
        assert!(chi_square(cells, skewed.into_iter()) > once_in_a_thousand(cells - 1), "{members} members");
    }
}

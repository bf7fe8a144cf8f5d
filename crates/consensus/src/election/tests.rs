use super::*;
use commonware_consensus::types::{Epoch, View};

fn round(epoch: u64, view: u64) -> Round {
    Round::new(Epoch::new(epoch), View::new(view))
}

/// Chi-square of 100,000 draws with a fixed seed against the weights, three degrees of freedom.
#[test]
fn draws_follow_the_weights() {
    let weights = [1, 2, 3, 10];
    let mut drawn = [0u64; 4];
    for view in 0..100_000 {
        drawn[weighted(&weights, round(3, view), b"seed")] += 1;
    }
    let total: u64 = weights.iter().sum();
    let statistic: u64 = drawn
        .iter()
        .zip(weights)
        .map(|(drawn, weight)| {
            let expected = 100_000 * weight / total;
            drawn.abs_diff(expected).pow(2) * 1_000 / expected
        })
        .sum();
    // 16.27 is exceeded by one honest sample in a thousand.
    assert!(statistic < 16_270, "{drawn:?}: chi-square {statistic} thousandths");
}

#[test]
fn round_and_seed_both_decide() {
    let weights = [5; 7];
    let sequence = |epoch, seed: &[u8]| -> Vec<_> {
        (0..64).map(|view| weighted(&weights, round(epoch, view), seed)).collect()
    };
    assert_eq!(sequence(1, b"a"), sequence(1, b"a"));
    assert_ne!(sequence(1, b"a"), sequence(2, b"a"));
    assert_ne!(sequence(1, b"a"), sequence(1, b"b"));
}

#[test]
fn the_heaviest_members_fit() {
    let weights = vec![Genesis::WEIGHT_MAX; 128];
    assert!(weighted(&weights, round(0, 1), &[]) < 128);
    assert_eq!(weighted(&[7], round(0, 1), &[]), 0);
}

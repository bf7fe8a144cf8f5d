//! A few drawn scenarios in every test run. `cargo xtask sweep` runs as many as time allows.

use baton_sim::{outcome, swarm::draw};

fn check(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = outcome(&draw(seed)).report;
        assert!(
            report.violations.is_empty(),
            "{:#?}\nreplay with: cargo xtask sweep --replay {seed}",
            report.violations
        );
        assert!(report.height >= 3, "{report:?}");
    }
}

#[test]
fn seeds_0_to_5() {
    check(0..6);
}

#[test]
fn seeds_6_to_11() {
    check(6..12);
}

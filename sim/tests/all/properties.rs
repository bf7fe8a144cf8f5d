//! That the properties can fail: on clusters that break what every node relies on.

use baton_sim::{Action, Outcome, Scenario, outcome, trace::render};

fn liars(liars: usize) -> Scenario {
    let lies = (0..liars).map(|member| (600, Action::LyingDisk(member)));
    Scenario {
        name: "liars",
        seed: 201,
        events: lies.chain([(2_000, Action::CrashAll), (2_200, Action::RestartAll)]).collect(),
        run_ms: 3_000,
        drain_ms: 5_000,
        ..Scenario::default()
    }
}

/// Disks that say they synced and did not, and then a power failure: members forget what they
/// voted for, and two blocks of one view get certificates.
#[test]
fn lost_writes_are_noticed() {
    let Outcome { report, trace } = outcome(&liars(4));
    let found = |what: &str| report.violations.iter().any(|violation| violation.contains(what));
    assert!(found("two blocks of view"), "{:#?}", report.violations);
    assert!(found("vote after a finalize vote"), "{:#?}", report.violations);
    let trace = render(&trace);
    for told in
        ["FAULT LyingDisk(0)", "FAULT CrashAll", "member 3 ended: crashed", "VIOLATION member 0 contradicts"]
    {
        assert!(trace.contains(told), "{told} is not in\n{trace}");
    }
}

/// One such disk is one faulty member: the others are not misled, and the member itself is found out.
#[test]
fn one_liar_misleads_nobody() {
    let report = outcome(&liars(1)).report;
    assert!(!report.violations.is_empty());
    let of_the_liar = |violation: &String| violation.contains("member 0");
    assert!(report.violations.iter().all(of_the_liar), "{:#?}", report.violations);
}

/// Half of the cluster never comes back: no progress is a violation.
#[test]
fn no_progress_is_noticed() {
    let report = outcome(&Scenario {
        name: "no_progress_is_noticed",
        seed: 202,
        events: vec![(1_000, Action::Partition(vec![0, 1]))],
        run_ms: 4_000,
        stall_max_ms: Some(2_000),
        drain_ms: 1_000,
        ..Scenario::default()
    })
    .report;
    assert!(
        report.violations.iter().any(|violation| violation.starts_with("no new block for")),
        "{report:?}"
    );
    assert!(report.violations.iter().any(|violation| violation.starts_with("not settled")), "{report:?}");
}

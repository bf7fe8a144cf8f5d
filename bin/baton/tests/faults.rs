//! Processes that die, stop and come back under load: nodes agree, and nothing accepted is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{thread, time::Duration};
use support::{Cluster, load, load::Load};

/// Between a fault and the next thing that happens.
const WHILE: Duration = Duration::from_millis(700);
/// Longer than a view, a reconnection and what readiness allows.
const STOPPED: Duration = Duration::from_secs(10);

#[test]
fn kills_and_pauses_under_load_lose_nothing() {
    let mut cluster = Cluster::start(4);
    let load = Load::start(&cluster, Duration::from_millis(100));

    // One after the other, as a careless operator or a bad host would.
    for round in 0..6 {
        let node = &mut cluster.nodes[round % 4];
        thread::sleep(WHILE);
        node.kill();
        thread::sleep(WHILE);
        node.start(&[]);
        node.becomes_ready();
    }
    // All at once, twice: the second time in the middle of coming back.
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    thread::sleep(WHILE);
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(|node| node.becomes_ready());

    // A process that stands still, with all its connections open.
    let before = cluster.height();
    cluster.nodes[2].process.as_ref().unwrap().signal("STOP");
    thread::sleep(STOPPED);
    let meanwhile = cluster.nodes[0].height().unwrap();
    assert!(meanwhile > before + 5, "from {before} to {meanwhile}: the others must go on");
    cluster.nodes[2].process.as_ref().unwrap().signal("CONT");
    cluster.nodes[2].reaches(meanwhile);
    cluster.nodes[2].becomes_ready();

    let accepted = load.stop();
    assert!(accepted.len() > 2_000, "{} accepted: hardly a load", accepted.len());
    load::check(&cluster, &accepted);
    for node in &cluster.nodes {
        assert_eq!(
            node.metric("network_tracker_directory_blocked"),
            0,
            "a correct member was taken for a liar"
        );
    }
    cluster.nodes.iter_mut().for_each(|node| node.stop());
}

/// Without a quorum nothing is final, and every node says what is missing; with it the cluster goes on.
#[test]
fn a_lost_quorum_is_named_and_comes_back() {
    let mut cluster = Cluster::start(4);
    cluster.nodes[2].kill();
    cluster.nodes[3].kill();
    cluster.nodes[0].becomes_unready("connected to 1 other members, and 2 are needed for a certificate");
    assert_eq!(cluster.nodes[0].metric("baton_ready"), 0);
    assert!(cluster.nodes[0].metric("baton_finalized_age_ms") > 1_000);
    let before = cluster.height();
    cluster.nodes[2].start(&[]);
    for node in &mut cluster.nodes[..3] {
        node.becomes_ready();
        node.reaches(before + 1);
    }
}

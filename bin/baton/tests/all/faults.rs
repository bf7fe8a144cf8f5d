//! Processes that die, stop and come back under load: nodes agree, and nothing accepted is lost.

use crate::support::{Cluster, Node, PATIENCE, eventually, http, load, load::Load};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Blocks between a fault and the next thing that happens.
const WHILE: u64 = 8;
/// Blocks that the others make while a process stands still: some of its turns are among them.
const STOPPED: u64 = 60;

#[test]
fn kills_and_pauses_under_load_lose_nothing() {
    let mut cluster = Cluster::start(4);
    let load = Load::start(&cluster, Duration::from_millis(100));

    // One after the other, as a careless operator or a bad host would.
    for round in 0..6 {
        let (victim, other) = (round % 4, (round + 1) % 4);
        cluster.nodes[other].advances(WHILE);
        cluster.nodes[victim].kill();
        cluster.nodes[other].advances(WHILE);
        cluster.nodes[victim].start(&[]);
        cluster.nodes[victim].becomes_ready();
    }
    // All at once, twice: the second time in the middle of coming back.
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    let runs = || http(cluster.nodes[0].ops, "GET /livez", "").ok();
    assert!(eventually(PATIENCE, runs).is_some(), "{}", cluster.nodes[0].log_text());
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(|node| node.becomes_ready());

    // A process that stands still, with all its connections open.
    cluster.nodes[2].process.as_ref().unwrap().signal("STOP");
    let meanwhile = cluster.nodes[0].advances(STOPPED);
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

/// Incident: rollup-boost dropped transactions that it had preconfirmed.
/// Kills at moments drawn from a seed: one node or all, while they work and while they start.
#[test]
fn kills_at_random_moments_lose_nothing() {
    const KILLS: u32 = 20;
    let seed = std::env::var("BATON_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("repeat with BATON_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(4);
    let load = Load::start(&cluster, Duration::from_millis(100));
    for _ in 0..KILLS {
        // Every fifth hits all of them; a third comes while a node that was killed still starts.
        let victims = if rng.random_ratio(1, 5) { 0..4 } else { one(rng.random_range(0..4)) };
        let moment = if rng.random_ratio(1, 3) { 0..300 } else { 800..2_000 };
        // The moment of the kill; nothing is expected to have happened by then.
        thread::sleep(Duration::from_millis(rng.random_range(moment)));
        cluster.nodes[victims.clone()].iter_mut().for_each(Node::kill);
        cluster.nodes[victims].iter_mut().for_each(|node| node.start(&[]));
    }
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let accepted = load.stop();
    assert!(accepted.len() > 500, "{} accepted: hardly a load", accepted.len());
    load::check(&cluster, &accepted);
    for node in &cluster.nodes {
        assert_eq!(node.metric("node_votes_lost_total"), 0, "a vote was not on the disk when it was cast");
    }
}

const fn one(index: usize) -> std::ops::Range<usize> {
    index..index + 1
}

/// A process that stands still for a minute, with its connections open, misses hundreds of blocks.
#[test]
fn a_minute_of_standing_still_is_caught_up() {
    let mut cluster = Cluster::start(4);
    let load = Load::on(&cluster.nodes[..3], Duration::from_millis(200));
    cluster.nodes[3].process.as_ref().unwrap().signal("STOP");
    let (from, stopped) = (cluster.nodes[0].height().unwrap(), Instant::now());
    // The fault itself.
    thread::sleep(Duration::from_secs(60));
    let missed = cluster.nodes[0].height().unwrap() - from;
    assert!(missed > 60, "{missed} blocks in {:?}: the others need the one that stands", stopped.elapsed());
    cluster.nodes[3].process.as_ref().unwrap().signal("CONT");
    cluster.nodes[3].reaches(from + missed);
    cluster.nodes[3].becomes_ready();
    println!("{missed} blocks missed, caught up {:?} after the stop", stopped.elapsed());
    let accepted = load.stop();
    load::check(&cluster, &accepted);
    assert_eq!(cluster.nodes[3].metric("network_tracker_directory_blocked"), 0);
    cluster.nodes.iter_mut().for_each(Node::stop);
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

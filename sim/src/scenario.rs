//! A scenario: a seed, a cluster, faults at their times, a load. And what must hold in any of them.

use crate::{
    cluster::{self, Cluster, LinkSpec},
    load::{self, Promises, Rate},
};
use baton_types::{Genesis, receipt::Rung};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use std::{fmt::Write as _, time::Duration};

/// A fault, or its end.
#[derive(Clone, Debug)]
pub enum Action {
    Crash(usize),
    Restart(usize),
    CrashAll,
    RestartAll,
    /// Cuts these members off from the others.
    Partition(Vec<usize>),
    Heal,
    Link(LinkSpec),
    /// The member's clock, from its next start on.
    Skew(usize, u64),
}

pub struct Scenario {
    pub name: &'static str,
    pub seed: u64,
    pub nodes: u16,
    pub genesis: fn(&mut Genesis),
    pub link: LinkSpec,
    pub rate: Rate,
    /// In order of time, in ms from the start.
    pub events: Vec<(u64, Action)>,
    /// How long the load and the faults go on.
    pub run_ms: u64,
    /// How long afterwards the cluster may take to order what it accepted.
    pub drain_ms: u64,
    /// Blocks that must be final everywhere at the end.
    pub min_height: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            seed: 1,
            nodes: 4,
            genesis: |_| {},
            link: LinkSpec::default(),
            rate: Rate::default(),
            events: Vec::new(),
            run_ms: 5_000,
            drain_ms: 20_000,
            min_height: 20,
        }
    }
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened; equal for equal seeds.
    pub state: String,
    pub height: u64,
    pub epoch: u64,
    pub accepted: usize,
    pub ordered: usize,
    pub violations: Vec<String>,
}

/// Runs a scenario and panics with its seed and the command to repeat it when a property fails.
/// `after` looks at the cluster at its end.
pub fn run(scenario: &Scenario) -> Report {
    run_with(scenario, async |_| {})
}

/// As [`run`].
pub fn run_with(scenario: &Scenario, after: impl AsyncFnOnce(&mut Cluster)) -> Report {
    let seed = seed(scenario);
    let config = deterministic::Config::new().with_seed(seed);
    let report = deterministic::Runner::new(config)
        .start(|context| Box::pin(simulate(context, scenario, seed, after)));
    if !report.violations.is_empty() {
        let mut text = String::new();
        for violation in &report.violations {
            let _ = writeln!(text, "  - {violation}");
        }
        panic!(
            "scenario {} fails with seed {seed}:\n{text}repeat with: BATON_SEED={seed} cargo test -p baton-sim {}",
            scenario.name, scenario.name
        );
    }
    report
}

/// As [`run`], twice, and the two must agree in every event.
pub fn run_twice(scenario: &Scenario) -> Report {
    let first = run(scenario);
    let second = run(scenario);
    assert_eq!(first, second, "scenario {} is not deterministic with seed {}", scenario.name, seed(scenario));
    first
}

fn seed(scenario: &Scenario) -> u64 {
    std::env::var("BATON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(scenario.seed)
}

async fn simulate(
    context: deterministic::Context,
    scenario: &Scenario,
    seed: u64,
    after: impl AsyncFnOnce(&mut Cluster),
) -> Report {
    let (genesis, keys) = cluster::genesis(scenario.nodes, seed, scenario.genesis);
    let mut cluster = Cluster::new(context.child("cluster"), genesis, keys, scenario.link).await;
    let promises = Promises::default();
    let start = context.current();
    let elapsed = || {
        let since = context.current().duration_since(start).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    };
    let mut events = scenario.events.iter().peekable();
    let mut number = 0;
    while elapsed() < scenario.run_ms {
        while let Some((_, action)) = events.next_if(|(at, _)| *at <= elapsed()) {
            act(&mut cluster, action).await;
        }
        let running: Vec<_> = cluster.running().map(|(index, client)| (index, client.clone())).collect();
        if let Some((index, client)) =
            running.get(usize::try_from(number).unwrap_or(0) % running.len().max(1))
        {
            number += 1;
            load::submit(&context, *index, client.clone(), number, scenario.rate, &promises);
        }
        load::pause(&context, scenario.rate).await;
    }
    for (_, action) in events {
        act(&mut cluster, action).await;
    }
    let mut violations = Vec::new();
    // Progress after the last fault is part of what must hold.
    let height = scenario.min_height.max(cluster.lowest() + 3);
    if !drain(&context, &cluster, &promises, height, scenario.drain_ms).await {
        violations.push(format!(
            "not settled {} ms after the end of the load: {} of {height} blocks final everywhere; {}",
            scenario.drain_ms,
            cluster.lowest(),
            unsettled(&cluster, &promises)
        ));
    }
    check(&cluster, &promises, &mut violations);
    after(&mut cluster).await;
    let ordered = cluster.members.iter().map(|member| member.witness.lock().ordered.len()).max().unwrap_or(0);
    Report {
        state: context.auditor().state(),
        height: cluster.lowest(),
        epoch: cluster.running().map(|(_, client)| client.live().epoch.get()).max().unwrap_or(0),
        accepted: promises.lock().len(),
        ordered,
        violations,
    }
}

async fn act(cluster: &mut Cluster, action: &Action) {
    let all = 0..cluster.members.len();
    match action {
        Action::Crash(index) => cluster.crash(*index),
        Action::Restart(index) => cluster.start(*index).await,
        Action::CrashAll => all.for_each(|index| cluster.crash(index)),
        Action::RestartAll => {
            for index in all {
                cluster.start(index).await;
            }
        }
        Action::Partition(side) => cluster.partition(side).await,
        Action::Heal => cluster.heal().await,
        Action::Link(link) => cluster.set_link(*link).await,
        Action::Skew(index, ms) => cluster.members[*index].skew_ms = *ms,
    }
}

/// Waits until every promise is kept and `height` is final everywhere.
async fn drain(
    context: &deterministic::Context,
    cluster: &Cluster,
    promises: &Promises,
    height: u64,
    drain_ms: u64,
) -> bool {
    let deadline = context.current() + Duration::from_millis(drain_ms);
    while context.current() < deadline {
        if cluster.lowest() >= height && unsettled(cluster, promises).is_empty() {
            return true;
        }
        context.sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Promises that are not kept yet, in words; empty when there are none.
fn unsettled(cluster: &Cluster, promises: &Promises) -> String {
    let promises = promises.lock();
    let mut open = 0;
    let mut example = None;
    for (index, _) in cluster.running() {
        let witness = cluster.members[index].witness.lock();
        for (id, promise) in promises.iter() {
            if !witness.ordered.contains_key(id) && cluster.members[promise.node].running.is_some() {
                open += 1;
                example.get_or_insert((index, *id, *promise));
            }
        }
    }
    example.map_or_else(String::new, |(index, id, promise)| {
        format!(
            "{open} open; member {index} has not ordered {id}, promised by member {} as {}",
            promise.node, promise.rung
        )
    })
}

fn check(cluster: &Cluster, promises: &Promises, violations: &mut Vec<String>) {
    let mut agreed = std::collections::BTreeMap::new();
    for (index, member) in cluster.members.iter().enumerate() {
        if let Some(contradiction) = member.contradiction.lock().as_ref() {
            violations.push(format!("member {index} contradicts itself: {contradiction}"));
        }
        let witness = member.witness.lock();
        for (height, digest) in &witness.chain {
            let first = agreed.entry(*height).or_insert((index, *digest));
            if first.1 != *digest {
                violations.push(format!("members {} and {index} disagree at height {height}", first.0));
            }
        }
        for (id, promise) in promises.lock().iter() {
            let lost = witness.expired.contains_key(id) && !witness.ordered.contains_key(id);
            if lost && promise.rung >= Rung::Replicated {
                violations
                    .push(format!("{id} was promised as {} and expired on member {index}", promise.rung));
            }
        }
    }
}

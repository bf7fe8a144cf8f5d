//! A scenario: a seed, a cluster, faults at their times, a load.

use crate::{
    byzantine::Behaviour,
    cluster::{self, Cluster, LinkSpec},
    disk::Unsynced,
    fault::{self, Action},
    life,
    load::{Load, Rate},
    properties,
    trace::Entry,
    wallet::Evm,
};
use baton_consensus::{History, evm::Fault};
use baton_types::{
    Genesis, RollupId,
    genesis::{Election, Reshare},
};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, SystemTime},
};

/// When every run begins: clocks may then be set back.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
/// The longest epoch under the zero-knowledge lottery: proofs of longer ones take seconds where nothing is optimised.
const PROVEN_BLOCKS_MAX: u64 = 60;
/// Simulated time beyond load and drain after which a run has hung.
const HUNG_MS: u64 = 120_000;

/// What a swarm varies of a genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    pub election: Election,
    pub epoch_blocks: u64,
    pub reshare: Reshare,
    pub idle_ms: u64,
    pub block_interval_min_ms: u64,
    pub validity_blocks_max: u64,
    pub evm: Evm,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            election: Election::ThresholdLottery,
            epoch_blocks: 2_000,
            reshare: Reshare::OnChange,
            idle_ms: 300,
            block_interval_min_ms: 30,
            validity_blocks_max: 600,
            evm: Evm::None,
        }
    }
}

impl Chain {
    /// The same with another election, for so many nodes.
    pub fn under(self, election: Election, nodes: u16) -> Self {
        let mut chain = Self { election, ..self };
        if election == Election::ZkLottery {
            let shortest = (4 * u64::from(nodes)).max(16);
            chain.epoch_blocks = chain.epoch_blocks.clamp(shortest, PROVEN_BLOCKS_MAX.max(shortest));
        }
        chain
    }

    fn apply(&self, genesis: &mut Genesis) {
        genesis.election = self.election;
        genesis.epoch_blocks = self.epoch_blocks;
        genesis.reshare = self.reshare;
        genesis.timing.idle_ms = self.idle_ms;
        genesis.timing.block_interval_min_ms = self.block_interval_min_ms;
        genesis.validity_blocks_max = self.validity_blocks_max;
        self.evm.add(genesis);
        if self.election == Election::StakeWeighted {
            for (member, weight) in genesis.members.iter_mut().zip(1..) {
                member.weight = weight;
            }
        }
    }
}

#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub seed: u64,
    pub nodes: u16,
    pub chain: Chain,
    /// Applied after `chain`.
    pub genesis: fn(&mut Genesis),
    /// Whether the genesis has the members' commitments for epoch 0, where the election has any.
    pub commitments: bool,
    pub link: LinkSpec,
    /// How long a sync or a read of any disk takes.
    pub disk_ms: u64,
    /// What a crash leaves of writes that were not synced.
    pub unsynced: Unsynced,
    /// Members do not ask what they have said before: shows what is then possible.
    pub trusts_own_journal: bool,
    /// How much of the chain members keep.
    pub history: History,
    pub rate: Rate,
    /// Members that do not keep the rules; the properties are those of the others.
    pub hostile: Vec<(usize, Behaviour)>,
    /// What happens to executors of members once they are started again.
    pub evm_faults: Vec<(usize, (RollupId, Fault))>,
    /// In order of time, in ms from the start.
    pub events: Vec<(u64, Action)>,
    /// How long the load and the faults go on.
    pub run_ms: u64,
    /// Whether all faults end then, and members that are down start.
    pub heals: bool,
    /// The longest time without a new block, where the faults are such that there should be one.
    pub stall_max_ms: Option<u64>,
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
            chain: Chain::default(),
            genesis: |_| {},
            commitments: true,
            link: LinkSpec::default(),
            disk_ms: 0,
            unsynced: Unsynced::Lost,
            trusts_own_journal: false,
            history: History::Full,
            rate: Rate::default(),
            hostile: Vec::new(),
            evm_faults: Vec::new(),
            events: Vec::new(),
            run_ms: 5_000,
            heals: false,
            stall_max_ms: None,
            drain_ms: 20_000,
            min_height: 20,
        }
    }
}

impl Scenario {
    /// The same with another election. Epochs are as long as it can prove.
    #[must_use]
    pub fn under(self, election: Election) -> Self {
        Self { chain: self.chain.under(election, self.nodes), ..self }
    }
}

/// What a run ended with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened; equal for equal seeds.
    pub state: String,
    pub simulated_ms: u64,
    pub height: u64,
    pub epoch: u64,
    pub accepted: usize,
    pub ordered: usize,
    pub violations: Vec<String>,
}

/// A report, and how it came about.
pub struct Outcome {
    pub report: Report,
    pub trace: Vec<(u64, Entry)>,
}

/// Runs a scenario and panics with its seed and the command to repeat it when a property fails.
pub fn run(scenario: &Scenario) -> Report {
    run_with(scenario, async |_| {})
}

/// As [`run`]. `after` looks at the cluster at its end.
pub fn run_with(scenario: &Scenario, after: impl AsyncFnOnce(&mut Cluster)) -> Report {
    let seed = seed(scenario);
    let report = start(scenario, seed, after).report;
    if !report.violations.is_empty() {
        let mut text = String::new();
        for violation in &report.violations {
            let _ = writeln!(text, "  - {violation}");
        }
        panic!(
            "scenario {} under {} fails with seed {seed}:\n{text}repeat with: BATON_SEED={seed} cargo test -p \
             baton-sim {}",
            scenario.name,
            scenario.chain.election.kind().name(),
            scenario.name
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

/// Runs a scenario with its own seed. What fails is in the report, a panic too.
pub fn outcome(scenario: &Scenario) -> Outcome {
    let run = || start(scenario, scenario.seed, async |_| {});
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let violations = vec![format!("the run panicked: {}", life::message(&*panic))];
        Outcome { report: Report { violations, ..Report::default() }, trace: Vec::new() }
    })
}

fn seed(scenario: &Scenario) -> u64 {
    std::env::var("BATON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(scenario.seed)
}

fn start(scenario: &Scenario, seed: u64, after: impl AsyncFnOnce(&mut Cluster)) -> Outcome {
    let hung = Duration::from_millis(scenario.run_ms + scenario.drain_ms + HUNG_MS);
    let config = deterministic::Config::new()
        .with_seed(seed)
        .with_start_time(SystemTime::UNIX_EPOCH + EPOCH)
        .with_timeout(Some(hung));
    deterministic::Runner::new(config).start(|context| Box::pin(simulate(context, scenario, seed, after)))
}

async fn simulate(
    context: deterministic::Context,
    scenario: &Scenario,
    seed: u64,
    after: impl AsyncFnOnce(&mut Cluster),
) -> Outcome {
    let (mut genesis, keys) = cluster::genesis(scenario.nodes, seed, |genesis| {
        scenario.chain.apply(genesis);
        (scenario.genesis)(genesis);
    });
    if !scenario.commitments {
        genesis.members.iter_mut().for_each(|member| member.commitment = None);
    }
    let hostile = scenario.hostile.iter().cloned().collect();
    let (link, unsynced, history) = (scenario.link, scenario.unsynced, scenario.history);
    let home = context.child("cluster");
    let mut cluster = Cluster::with_history(home, genesis, keys, link, unsynced, hostile, history).await;
    cluster.trusts_own_journal = scenario.trusts_own_journal;
    cluster.evm_faults = scenario.evm_faults.iter().copied().collect();
    for member in &cluster.members {
        member.disk.set(|faults| faults.latency_ms = scenario.disk_ms);
    }
    let mut load = Load::new(context.child("load"), scenario.rate);
    let mut violations = Vec::new();
    drive(&mut cluster, scenario, &mut load, &mut violations).await;
    // Progress after the last fault is part of what must hold, on a member set back to a copy too.
    let height = scenario.min_height.max(cluster.highest() + 3);
    if !drain(&context, &mut cluster, &load, height, scenario.drain_ms).await {
        violations.push(format!(
            "not settled {} ms after the end of the load: {} of {height} blocks final everywhere; {}",
            scenario.drain_ms,
            cluster.lowest(),
            properties::unsettled(&cluster, &load.promises.lock())
        ));
    }
    properties::check(&cluster, &load.promises.lock(), &mut violations);
    properties::ask(&context, &cluster, &mut violations).await;
    after(&mut cluster).await;
    for violation in &violations {
        cluster.trace.record(Entry::Violation(violation.clone()));
    }
    let ordered = cluster.members.iter().map(|member| member.witness.lock().ordered.len()).max().unwrap_or(0);
    let report = Report {
        state: context.auditor().state(),
        simulated_ms: cluster.trace.now_ms(),
        height: cluster.lowest(),
        epoch: cluster.epoch().get(),
        accepted: load.promises.lock().promises.len(),
        ordered,
        violations,
    };
    Outcome { report, trace: cluster.trace.take() }
}

/// The load and the faults, from the start to `run_ms`.
async fn drive(cluster: &mut Cluster, scenario: &Scenario, load: &mut Load, violations: &mut Vec<String>) {
    let mut events = scenario.events.iter().peekable();
    let (mut highest, mut highest_ms, mut stalled) = (0, 0, false);
    while cluster.trace.now_ms() < scenario.run_ms {
        cluster.reap();
        let now = cluster.trace.now_ms();
        while let Some((_, action)) = events.next_if(|(at, _)| *at <= now) {
            act(cluster, load, action).await;
        }
        load.submit(&cluster.running().collect::<Vec<_>>());
        cluster.post().await;
        load.pause().await;
        let height = cluster.running().map(|(_, client)| client.finalized_height()).max().unwrap_or(0);
        if height > highest {
            (highest, highest_ms) = (height, cluster.trace.now_ms());
        }
        let quiet_ms = cluster.trace.now_ms() - highest_ms;
        // Told once: the rest of the run is no other failure.
        if !stalled && scenario.stall_max_ms.is_some_and(|max| quiet_ms > max) {
            stalled = true;
            violations.push(format!("no new block for {quiet_ms} ms after block {highest}"));
        }
    }
    cluster.reap();
    for (_, action) in events {
        act(cluster, load, action).await;
    }
    if scenario.heals {
        cluster.trace.record(Entry::Fault("all faults end".to_owned()));
        fault::end_all(cluster, scenario.link, scenario.disk_ms).await;
    }
}

async fn act(cluster: &mut Cluster, load: &Load, action: &Action) {
    cluster.trace.record(Entry::Fault(action.to_string()));
    action.apply(cluster).await;
    if let Action::Wipe(index) | Action::Restore(index) | Action::Rot(index, ..) = action {
        load.promises.lock().forget(*index);
    }
}

/// Waits until every promise is kept and `height` is final everywhere.
async fn drain(
    context: &deterministic::Context,
    cluster: &mut Cluster,
    load: &Load,
    height: u64,
    drain_ms: u64,
) -> bool {
    let deadline = context.current() + Duration::from_millis(drain_ms);
    while context.current() < deadline {
        cluster.reap();
        cluster.post().await;
        if cluster.lowest() >= height && properties::unsettled(cluster, &load.promises.lock()).is_empty() {
            return true;
        }
        context.sleep(Duration::from_millis(100)).await;
    }
    false
}

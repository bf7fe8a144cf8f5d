//! Draws a scenario from a seed: a genesis, links, disks, a load and a mix of faults.
//!
//! The draw stays within what a cluster tolerates: at any time at most f members are at fault, or all
//! of them are for a while (a crash of all, a partition without a majority, heavy loss), and at the end
//! all faults end. So every property must hold in every draw. A wiped member counts as faulty from
//! then on, as it may never get a share again; one whose votes rot or whose disk is set back does too, and
//! meanwhile not all members lose their memory, which is what keeps it from a wrong vote. A hostile member is at fault
//! all the time.
//!
//! A draw takes only some of the kinds of faults: with all of them in each run, some combinations would never
//! come up, because others hide them.

mod hostile;

use crate::{
    cluster::LinkSpec,
    disk::{Damage, Unsynced},
    fault::Action,
    load::Rate,
    scenario::{Chain, Scenario},
    wallet::Evm,
};
use baton_consensus::History;
use baton_types::{
    faults_tolerated,
    genesis::{Election, Reshare},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, fmt::Write as _, ops::RangeInclusive};

/// Faults of one run.
const EPISODES_MAX: usize = 7;
/// A cluster whose faults it tolerates makes a block at least this often.
const STALL_MAX_MS: u64 = 12_000;
/// A member that starts has asked its peers within this time.
const ASKED_MS: u64 = 8_000;
/// For how many blocks transactions are valid at most where members keep a window of the chain, and the longest epoch
/// there: runs then outlive windows.
const VALIDITY_BLOCKS: u64 = 16;
const WINDOWED_EPOCH_MAX: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Crash,
    CrashAtWrite,
    FlappingProcess,
    Wipe,
    Rot,
    Restore,
    Pause,
    CutOff,
    FlappingLink,
    Deaf,
    Mute,
    OneWay,
    Slow,
    Skew,
    SlowDisk,
    FullDisk,
    UnreadableDisk,
    CrashAll,
    NoMajority,
    HeavyLoss,
}

const KINDS: [Kind; 20] = [
    Kind::Crash,
    Kind::CrashAtWrite,
    Kind::FlappingProcess,
    Kind::Wipe,
    Kind::Rot,
    Kind::Restore,
    Kind::Pause,
    Kind::CutOff,
    Kind::FlappingLink,
    Kind::Deaf,
    Kind::Mute,
    Kind::OneWay,
    Kind::Slow,
    Kind::Skew,
    Kind::SlowDisk,
    Kind::FullDisk,
    Kind::UnreadableDisk,
    Kind::CrashAll,
    Kind::NoMajority,
    Kind::HeavyLoss,
];

impl Kind {
    /// Whether it hits the cluster as a whole.
    const fn all(self) -> bool {
        matches!(self, Self::CrashAll | Self::NoMajority | Self::HeavyLoss)
    }

    /// Whether the member may lack votes or a share for the rest of the run.
    const fn lasts(self) -> bool {
        matches!(self, Self::Wipe | Self::Rot | Self::Restore | Self::UnreadableDisk)
    }

    /// Whether only the memory of its peers keeps the member from a wrong vote.
    const fn relies_on_memory(self) -> bool {
        matches!(self, Self::Rot | Self::Restore)
    }
}

/// The default most often: it has the most to go wrong.
const ELECTIONS: [Election; 6] = [
    Election::ZkLottery,
    Election::ZkLottery,
    Election::ZkLottery,
    Election::ThresholdLottery,
    Election::RoundRobin,
    Election::StakeWeighted,
];

struct Draw {
    rng: StdRng,
    nodes: usize,
    link: LinkSpec,
    disk_ms: u64,
    run_ms: u64,
    hostile: BTreeSet<usize>,
    /// Who is at fault, from when to when.
    faulty: Vec<(RangeInclusive<u64>, usize)>,
    /// When the cluster as a whole is.
    stalls: Vec<RangeInclusive<u64>>,
    /// When all members lose their memory, and when somebody relies on it.
    crashes: Vec<RangeInclusive<u64>>,
    memories: Vec<RangeInclusive<u64>>,
    events: Vec<(u64, Action)>,
}

fn overlap(one: &RangeInclusive<u64>, other: &RangeInclusive<u64>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

/// The scenario of a seed.
pub fn draw(seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = pick(&mut rng, &[4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 7, 7, 3, 1]);
    let chain = draw_chain(&mut rng, nodes);
    let history = match chain.validity_blocks_max {
        // As few as there may be, so that members which were away find that what they need is gone.
        VALIDITY_BLOCKS => History::Window { blocks: 2 * (VALIDITY_BLOCKS + chain.epoch_blocks) },
        _ => History::Full,
    };
    let hostile = hostile::draw(&mut rng, nodes, &chain, history);
    let latency_ms = rng.random_range(1..=60);
    let loss_permille = pick(&mut rng, &[0, 0, 0, 5, 20, 50, 100]);
    let link = LinkSpec { latency_ms, jitter_ms: rng.random_range(0..=latency_ms / 2), loss_permille };
    let disk_ms = pick(&mut rng, &[0, 0, 0, 1, 3, 8]);
    let unsynced = pick(&mut rng, &[Unsynced::Lost, Unsynced::Torn, Unsynced::Reordered, Unsynced::Kept]);
    let rate = draw_rate(&mut rng, &chain);
    let run_ms = rng.random_range(3_000..=16_000);
    let mut draw = Draw {
        rng,
        nodes: usize::from(nodes),
        link,
        disk_ms,
        run_ms,
        hostile: hostile.iter().map(|(member, _)| *member).collect(),
        faulty: Vec::new(),
        stalls: Vec::new(),
        crashes: Vec::new(),
        memories: Vec::new(),
        events: Vec::new(),
    };
    draw.episodes();
    draw.events.sort_by_key(|(at_ms, _)| *at_ms);
    // A cluster that tolerates no fault may stop at any; and each loss, or turn of a hostile member, may cost a view.
    let steady = draw.stalls.is_empty()
        && faults_tolerated(u32::from(nodes)) > 0
        && hostile.is_empty()
        && loss_permille <= 20;
    Scenario {
        name: "swarm",
        seed,
        nodes,
        chain,
        link,
        disk_ms,
        unsynced,
        history,
        rate,
        hostile,
        events: draw.events,
        run_ms,
        heals: true,
        stall_max_ms: steady.then_some(STALL_MAX_MS),
        drain_ms: 90_000,
        min_height: 3,
        ..Scenario::default()
    }
}

fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn draw_chain(rng: &mut StdRng, nodes: u16) -> Chain {
    let election = pick(rng, &ELECTIONS);
    let chain = Chain {
        election,
        epoch_blocks: pick(rng, &[20, 30, 40, 60, 2_000, 2_000]),
        reshare: pick(rng, &[Reshare::OnChange, Reshare::EveryEpoch]),
        idle_ms: pick(rng, &[150, 300, 300]),
        block_interval_min_ms: pick(rng, &[30, 100, 150]),
        evm: pick(rng, &[Evm::None, Evm::None, Evm::PerBlock, Evm::Slotted, Evm::Arrival, Evm::Two]),
        ..Chain::default()
    };
    let mut chain = chain.under(election, nodes);
    if chain.epoch_blocks <= WINDOWED_EPOCH_MAX && rng.random_bool(0.3) {
        chain.validity_blocks_max = VALIDITY_BLOCKS;
    }
    chain
}

fn draw_rate(rng: &mut StdRng, chain: &Chain) -> Rate {
    let windowed = chain.validity_blocks_max == VALIDITY_BLOCKS;
    Rate {
        every_ms: pick(rng, &[50, 100, 200, 500]),
        batch: rng.random_range(1..=10),
        payload_bytes: pick(rng, &[1, 64, 64, 300, 20_000]),
        bundle_every: pick(rng, &[0, 2, 7]),
        replicated_every: pick(rng, &[0, 1, 3]),
        twice_every: pick(rng, &[0, 1, 4]),
        // What is valid for so few blocks may expire whatever it is.
        short_every: if windowed { 1 } else { pick(rng, &[0, 0, 3]) },
        evm_every: if chain.evm == Evm::None { 0 } else { pick(rng, &[1, 1, 3]) },
    }
}

impl Draw {
    fn episodes(&mut self) {
        let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| self.rng.random_bool(0.4)).collect();
        if kinds.is_empty() {
            return;
        }
        for _ in 0..self.rng.random_range(1..=EPISODES_MAX) {
            let kind = pick(&mut self.rng, &kinds);
            let from = self.rng.random_range(100..self.run_ms);
            let to = from + self.rng.random_range(100..=6_000);
            if kind.all() {
                self.cluster_fault(kind, from, to);
            } else {
                let until = if kind.lasts() { u64::MAX } else { to };
                let asked = from..=to + ASKED_MS;
                if kind.relies_on_memory() {
                    if self.crashes.iter().any(|crash| overlap(crash, &asked)) {
                        continue;
                    }
                    self.memories.push(asked);
                }
                let member = self.rng.random_range(0..self.nodes);
                if self.take(member, from..=until) {
                    self.member_fault(kind, member, from, to);
                }
            }
        }
    }

    fn tolerated(&self) -> usize {
        faults_tolerated(u32::try_from(self.nodes).expect("few nodes")) as usize
    }

    /// Books a member for a fault, unless too many are at fault then.
    fn take(&mut self, member: usize, span: RangeInclusive<u64>) -> bool {
        if self.hostile.contains(&member) {
            return false;
        }
        let allowed = self.tolerated().max(1);
        let faulty = self.faulty.iter().filter(|(other, _)| overlap(other, &span)).map(|(_, other)| *other);
        let others = faulty.chain(self.hostile.iter().copied());
        let mut others: Vec<usize> = others.filter(|other| *other != member).collect();
        others.sort_unstable();
        others.dedup();
        if others.len() >= allowed {
            return false;
        }
        self.faulty.push((span, member));
        true
    }

    fn at(&mut self, at_ms: u64, action: Action) {
        self.events.push((at_ms, action));
    }

    fn cluster_fault(&mut self, kind: Kind, from: u64, to: u64) {
        if kind == Kind::CrashAll {
            if self.memories.iter().any(|memory| overlap(memory, &(from..=to))) {
                return;
            }
            self.crashes.push(from..=to);
        }
        self.stalls.push(from..=to);
        match kind {
            Kind::CrashAll => {
                self.at(from, Action::CrashAll);
                self.at(to, Action::RestartAll);
            }
            Kind::NoMajority => {
                let side = (0..self.nodes).filter(|index| index % 2 == 0).collect();
                self.at(from, Action::Partition(side));
                self.at(to, Action::Heal);
            }
            _ => {
                let loss_permille = pick(&mut self.rng, &[150, 300, 500]);
                self.at(from, Action::Link(LinkSpec { loss_permille, ..self.link }));
                self.at(to, Action::Link(self.link));
            }
        }
    }

    fn member_fault(&mut self, kind: Kind, member: usize, from: u64, to: u64) {
        // A vote that nobody can do without must not be lost.
        if kind.lasts() && self.tolerated() == 0 {
            return;
        }
        let (begin, end) = match kind {
            Kind::Crash => (Action::Crash(member), Action::Restart(member)),
            Kind::CrashAtWrite => {
                let writes = self.rng.random_range(0..=300);
                (Action::CrashAtWrite(member, writes), Action::Restart(member))
            }
            Kind::Wipe => (Action::Wipe(member), Action::Restart(member)),
            Kind::Rot => {
                let damage = pick(&mut self.rng, &[Damage::Flip, Damage::Cut, Damage::Gone]);
                self.at(from, Action::Crash(member));
                (Action::Rot(member, "_consensus_", damage), Action::Restart(member))
            }
            Kind::Restore => {
                self.at(from, Action::Copy(member));
                self.at(to, Action::Restore(member));
                return self.at(to, Action::Restart(member));
            }
            Kind::Pause => (Action::Pause(member), Action::Resume(member)),
            Kind::CutOff => (Action::Partition(vec![member]), Action::Heal),
            Kind::FlappingProcess => {
                let (crash, restart) = (Action::Crash(member), Action::Restart(member));
                return self.flap(from, to, &crash, &restart);
            }
            Kind::FlappingLink => {
                let (cut, heal) = (Action::Partition(vec![member]), Action::Heal);
                return self.flap(from, to, &cut, &heal);
            }
            Kind::Deaf | Kind::Mute | Kind::OneWay => {
                let other = self.rng.random_range(0..self.nodes);
                for peer in (0..self.nodes).filter(|peer| *peer != member) {
                    let cut = match kind {
                        Kind::Deaf => Action::Cut(peer, member),
                        Kind::Mute => Action::Cut(member, peer),
                        _ if peer == other => Action::Cut(peer, member),
                        _ => continue,
                    };
                    self.at(from, cut);
                }
                return self.at(to, Action::Heal);
            }
            Kind::Slow => {
                let ms = pick(&mut self.rng, &[30, 100, 300, 1_000, 3_000]);
                (Action::Slow(member, ms), Action::Slow(member, 0))
            }
            Kind::Skew => {
                let ms = pick(&mut self.rng, &[50, 150, 500, 2_000, 10_000, 3_600_000]);
                let sign = pick(&mut self.rng, &[-1, 1]);
                (Action::Skew(member, sign * ms), Action::Skew(member, 0))
            }
            Kind::SlowDisk => {
                let ms = pick(&mut self.rng, &[10, 30, 100, 400]);
                (Action::SlowDisk(member, ms), Action::SlowDisk(member, self.disk_ms))
            }
            Kind::FullDisk => {
                self.at(to, Action::FullDisk(member, false));
                (Action::FullDisk(member, true), Action::Restart(member))
            }
            Kind::UnreadableDisk => {
                // Most of what it needs it has read: it notices when it starts.
                self.at(from, Action::Crash(member));
                self.at(from, Action::UnreadableDisk(member, true));
                self.at(to, Action::UnreadableDisk(member, false));
                (Action::Restart(member), Action::Restart(member))
            }
            Kind::CrashAll | Kind::NoMajority | Kind::HeavyLoss => unreachable!("not of one member"),
        };
        self.at(from, begin);
        self.at(to, end);
    }

    fn flap(&mut self, from: u64, to: u64, down: &Action, up: &Action) {
        let period = self.rng.random_range(150..=900);
        let mut at = from;
        while at < to {
            self.at(at, down.clone());
            self.at(at + period / 2, up.clone());
            at += period;
        }
    }
}

/// The scenario as a test to paste.
pub fn to_rust(scenario: &Scenario) -> String {
    // Named one by one, so that a new field cannot be forgotten here.
    let Scenario {
        name: _,
        seed,
        nodes,
        chain,
        genesis: _,
        commitments: _,
        link,
        disk_ms,
        unsynced,
        trusts_own_journal: _,
        history,
        rate,
        hostile,
        events,
        run_ms,
        heals,
        stall_max_ms,
        drain_ms,
        min_height,
        evm_faults: _,
    } = scenario;
    let Chain { election, epoch_blocks, reshare, idle_ms, block_interval_min_ms, validity_blocks_max, evm } =
        chain;
    let mut text = format!(
        "#[test]\nfn swarm_{seed}() {{\n    run_twice(&Scenario {{\n        name: \"swarm_{seed}\",\n        \
         seed: {seed},\n        nodes: {nodes},\n        chain: Chain {{\n            \
         election: Election::{election:?},\n            epoch_blocks: {epoch_blocks},\n            \
         reshare: Reshare::{reshare:?},\n            idle_ms: {idle_ms},\n            \
         block_interval_min_ms: {block_interval_min_ms},\n            \
         validity_blocks_max: {validity_blocks_max},\n            evm: Evm::{evm:?},\n        }},\n        \
         link: {link:?},\n        disk_ms: {disk_ms},\n        unsynced: Unsynced::{unsynced:?},\n        \
         history: History::{history:?},\n        rate: {rate:?},\n        \
         events: vec![\n"
    );
    for (at_ms, action) in events {
        let _ = writeln!(text, "            ({at_ms}, Action::{action}),");
    }
    let hostile: Vec<_> =
        hostile.iter().map(|(member, behaviour)| format!("({member}, Behaviour::{behaviour})")).collect();
    let hostile = hostile.join(", ");
    let _ = write!(
        text,
        "        ],\n        hostile: vec![{hostile}],\n        run_ms: {run_ms},\n        heals: {heals},\n        \
         stall_max_ms: {stall_max_ms:?},\n        drain_ms: {drain_ms},\n        \
         min_height: {min_height},\n        ..Scenario::default()\n    }});\n}}\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::Behaviour;

    #[test]
    fn a_seed_draws_one_scenario() {
        for seed in 0..50 {
            assert_eq!(to_rust(&draw(seed)), to_rust(&draw(seed)));
        }
        assert_ne!(to_rust(&draw(1)), to_rust(&draw(2)));
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let drawn: BTreeSet<String> = (0..2_000)
            .flat_map(|seed| draw(seed).events)
            .map(|(_, action)| format!("{action:?}").split('(').next().unwrap().to_owned())
            .collect();
        let expect = [
            "Copy",
            "Crash",
            "CrashAll",
            "CrashAtWrite",
            "Cut",
            "FullDisk",
            "Heal",
            "Link",
            "Partition",
            "Pause",
            "Restart",
            "RestartAll",
            "Restore",
            "Resume",
            "Rot",
            "Skew",
            "Slow",
            "SlowDisk",
            "UnreadableDisk",
            "Wipe",
        ];
        assert_eq!(drawn.iter().map(String::as_str).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn every_election_is_drawn() {
        let drawn: BTreeSet<_> = (0..100).map(|seed| draw(seed).chain.election.kind().name()).collect();
        assert_eq!(
            drawn.into_iter().collect::<Vec<_>>(),
            ["round-robin", "stake-weighted", "threshold-lottery", "zk-lottery"]
        );
    }

    #[test]
    fn no_more_than_f_members_lose_their_disks() {
        for seed in 0..5_000 {
            let scenario = draw(seed);
            let hostile = scenario.hostile.iter().map(|(member, _)| *member);
            let wiped = scenario.events.iter().filter_map(|(_, action)| match action {
                Action::Wipe(member)
                | Action::Rot(member, ..)
                | Action::Restore(member)
                | Action::UnreadableDisk(member, _) => Some(*member),
                _ => None,
            });
            let lost: BTreeSet<usize> = wiped.chain(hostile).collect();
            assert!(lost.len() <= faults_tolerated(u32::from(scenario.nodes)) as usize, "seed {seed}");
        }
    }

    #[test]
    fn every_kind_of_chain_and_of_conduct_is_drawn() {
        let word = |text: String| text.split([' ', '(']).next().unwrap().to_owned();
        let (mut evm, mut history, mut hostile) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for scenario in (0..10_000).map(draw) {
            assert_eq!(scenario.chain.evm == Evm::None, scenario.rate.evm_every == 0);
            evm.insert(format!("{:?}", scenario.chain.evm));
            history.insert(word(format!("{:?}", scenario.history)));
            hostile.extend(scenario.hostile.into_iter().map(|(_, behaviour)| match behaviour {
                Behaviour::Lottery(trick) => word(format!("{trick:?}")),
                other => word(format!("{other:?}")),
            }));
        }
        assert_eq!((evm.len(), history.len(), hostile.len()), (5, 2, 16 + 14), "{hostile:?}");
    }
}

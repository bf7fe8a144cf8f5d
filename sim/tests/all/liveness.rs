//! Each kind of fault over the ends of epochs, with the key dealt again in each: the chain goes on meanwhile.

use baton_sim::{Action, Chain, Scenario, cluster::LinkSpec, run_with, trace::Entry};
use baton_types::genesis::{Election, Reshare};
use std::collections::BTreeSet;

suite!(
    [threshold_lottery: ThresholdLottery, zk_lottery: ZkLottery]
    (epochs_and_reshares_pass_under_every_fault)
);

const FROM_MS: u64 = 500;
const LATENCY: LinkSpec = LinkSpec { latency_ms: 10, jitter_ms: 3, loss_permille: 0 };
const DISK_MS: u64 = 2;

/// What goes wrong, from `FROM_MS` to the end of the run.
struct Fault {
    name: &'static str,
    events: Vec<(u64, Action)>,
    lasts_ms: u64,
    stall_max_ms: u64,
}

impl Fault {
    /// For a while that is enough for two epochs and more, and with at most a few slow views.
    fn new(name: &'static str, actions: impl IntoIterator<Item = Action>) -> Self {
        let events = actions.into_iter().map(|action| (FROM_MS, action)).collect();
        Self { name, events, lasts_ms: 8_000, stall_max_ms: 4_000 }
    }

    /// Where a member is there and its turns are lost all the same, each costs a leader timeout.
    fn with_lost_turns(self) -> Self {
        Self { lasts_ms: 18_000, ..self }
    }

    fn then(mut self, at_ms: u64, actions: impl IntoIterator<Item = Action>) -> Self {
        self.events.extend(actions.into_iter().map(|action| (at_ms, action)));
        self
    }
}

fn faults() -> Vec<Fault> {
    let flapping = (0..25).fold(Fault::new("flapping member", []), |fault, i| {
        let at_ms = FROM_MS + i * 700;
        fault.then(at_ms, [Action::Crash(1)]).then(at_ms + 300, [Action::Restart(1)])
    });
    let deaf = (1..4).map(|peer| Action::Cut(peer, 0));
    let mute = (1..4).map(|peer| Action::Cut(0, peer));
    vec![
        Fault::new("dead member", [Action::Crash(3)]),
        Fault::new("slow member", [Action::Slow(2, 900)]).with_lost_turns(),
        flapping.with_lost_turns(),
        Fault::new("asymmetric reachability", deaf)
            .then(9_500, [Action::Heal])
            .then(9_500, mute)
            .with_lost_turns(),
        Fault::new("clock seconds off", [Action::Skew(0, 5_000)])
            .then(9_500, [Action::Skew(0, -5_000)])
            .with_lost_turns(),
        Fault::new("disk ten times slower", [Action::SlowDisk(0, 10 * DISK_MS)]),
        Fault {
            lasts_ms: 60_000,
            stall_max_ms: 25_000,
            ..Fault::new("30 % loss", [Action::Link(LinkSpec { loss_permille: 300, ..LATENCY })])
        },
    ]
}

/// Two epochs begin and end while the fault lasts, whichever part of a ceremony it falls on.
fn epochs_and_reshares_pass_under_every_fault(election: Election) {
    for Fault { name, events, lasts_ms, stall_max_ms } in faults() {
        println!("{name}");
        let scenario = Scenario {
            name: "epochs_and_reshares_pass_under_every_fault",
            seed: 401,
            chain: Chain {
                epoch_blocks: 12,
                reshare: Reshare::EveryEpoch,
                block_interval_min_ms: 100,
                ..Chain::default()
            },
            link: LATENCY,
            disk_ms: DISK_MS,
            events,
            run_ms: FROM_MS + lasts_ms,
            heals: true,
            stall_max_ms: Some(stall_max_ms),
            drain_ms: 60_000,
            ..Scenario::default()
        };
        let report = run_with(&scenario.under(election), async |cluster| {
            let trace = cluster.trace.take();
            let faults = trace.iter().enumerate().filter(|(_, (_, entry))| matches!(entry, Entry::Fault(_)));
            let places: Vec<_> = faults.map(|(place, _)| place).collect();
            let (begin, end) = (places[0], places[places.len() - 1]);
            let epochs = trace[begin..end].iter().filter_map(|(_, entry)| match entry {
                Entry::Final { epoch, .. } => Some(*epoch),
                _ => None,
            });
            let epochs: BTreeSet<u64> = epochs.collect();
            println!("  epochs {epochs:?}");
            assert!(epochs.len() > 2, "{name}: the chain was in the epochs {epochs:?}");
        });
        println!("  {} blocks in {} ms", report.height, report.simulated_ms);
    }
}

//! Counters of the API, as Prometheus text.

use baton_consensus::tally::{Counts, Tally};
use baton_types::receipt::Reason;
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// `ok`, then every reason.
const OUTCOMES: usize = 1 + Reason::ALL.len();
/// Requests that name no method of the table.
const UNKNOWN: &str = "unknown";

/// Everything here is a relaxed atomic: a reader may see counters of slightly different moments.
#[derive(Debug)]
pub struct Metrics {
    /// Of the table, then [`UNKNOWN`].
    methods: Vec<(&'static str, [AtomicU64; OUTCOMES])>,
    transactions: [AtomicU64; OUTCOMES],
    pub(crate) in_flight: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    /// Times that the system gave no connection, as when too many files are open.
    pub(crate) accepts_failed: AtomicU64,
    connections_dropped: [AtomicU64; Dropped::ALL.len()],
    pub(crate) websockets: AtomicU64,
    pub(crate) subscriptions: AtomicU64,
    pub(crate) notifications: AtomicU64,
    pub(crate) lagged: AtomicU64,
}

/// Why a connection was closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Nothing moved for too long.
    Idle,
    /// The peer does not read what is written to it.
    Stalled,
    /// A request took too long to arrive.
    Slow,
    /// The memory for requests in progress was used up.
    Memory,
    /// The peer does not read, and others wait for the memory that this takes.
    Pressed,
}

impl Dropped {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Idle, "idle"),
        (Self::Stalled, "stalled"),
        (Self::Slow, "slow"),
        (Self::Memory, "memory"),
        (Self::Pressed, "pressed"),
    ];
}

const fn zeros() -> [AtomicU64; OUTCOMES] {
    [const { AtomicU64::new(0) }; OUTCOMES]
}

fn outcome(result: Result<(), Reason>) -> usize {
    match result {
        Ok(()) => 0,
        Err(reason) => {
            1 + Reason::ALL.iter().position(|each| *each == reason).expect("ALL lists every reason")
        }
    }
}

fn outcome_name(index: usize) -> &'static str {
    index.checked_sub(1).and_then(|index| Reason::ALL.get(index)).map_or("ok", |reason| reason.name())
}

impl Metrics {
    pub fn new(methods: impl Iterator<Item = &'static str>) -> Self {
        Self {
            methods: methods.chain([UNKNOWN]).map(|name| (name, zeros())).collect(),
            transactions: zeros(),
            in_flight: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            accepts_failed: AtomicU64::new(0),
            connections_dropped: Default::default(),
            websockets: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            notifications: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
        }
    }

    /// Counts a call of the method at `index` of the table; of none when there is no such method.
    pub(crate) fn request(&self, index: Option<usize>, result: Result<(), Reason>) {
        let known = index.and_then(|index| self.methods.get(index));
        if let Some((_, outcomes)) = known.or(self.methods.last()) {
            outcomes[outcome(result)].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn dropped(&self, why: Dropped) {
        self.connections_dropped[why as usize].fetch_add(1, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn dropped_so_far(&self, why: Dropped) -> u64 {
        self.connections_dropped[why as usize].load(Relaxed)
    }

    /// Counts transactions offered, by what became of them.
    pub(crate) fn transactions(&self, result: Result<(), Reason>, count: usize) {
        self.transactions[outcome(result)].fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counters in Prometheus' text format. Outcomes that never happened are left out.
    pub fn text(&self) -> String {
        let mut out = String::new();
        head(&mut out, "baton_rpc_requests_total", "counter", "Calls by method and outcome.");
        for (method, outcomes) in &self.methods {
            for (index, count) in outcomes.iter().enumerate() {
                let count = count.load(Relaxed);
                if count != 0 {
                    let outcome = outcome_name(index);
                    let labels = format!("{{method=\"{method}\",outcome=\"{outcome}\"}}");
                    line(&mut out, "baton_rpc_requests_total", &labels, count);
                }
            }
        }
        head(&mut out, "baton_rpc_transactions_total", "counter", "Transactions offered, by outcome.");
        for (index, count) in self.transactions.iter().enumerate() {
            let count = count.load(Relaxed);
            if count != 0 {
                let labels = format!("{{outcome=\"{}\"}}", outcome_name(index));
                line(&mut out, "baton_rpc_transactions_total", &labels, count);
            }
        }
        out.push_str(&self.connections_text("baton_rpc"));
        let plain = [
            ("baton_rpc_in_flight", "gauge", "Requests in progress.", &self.in_flight),
            ("baton_rpc_websockets", "gauge", "Open WebSocket connections.", &self.websockets),
            ("baton_rpc_subscriptions", "gauge", "Open subscriptions.", &self.subscriptions),
            ("baton_rpc_notifications_total", "counter", "Notifications queued.", &self.notifications),
            (
                "baton_rpc_lagged_total",
                "counter",
                "Events that slow subscribers of blocks missed.",
                &self.lagged,
            ),
        ];
        for (name, kind, help, value) in plain {
            head(&mut out, name, kind, help);
            line(&mut out, name, "", value.load(Relaxed));
        }
        out
    }

    /// What the gate of a port counts, under names that begin like this.
    pub(crate) fn connections_text(&self, port: &str) -> String {
        let mut out = String::new();
        let dropped = format!("{port}_connections_dropped_total");
        head(&mut out, &dropped, "counter", "Connections closed by the node, by reason.");
        for ((_, reason), count) in Dropped::ALL.iter().zip(&self.connections_dropped) {
            line(&mut out, &dropped, &format!("{{reason=\"{reason}\"}}"), count.load(Relaxed));
        }
        let plain = [
            ("connections", "gauge", "Open connections.", &self.connections),
            (
                "connections_refused_total",
                "counter",
                "Connections over the limit, or over their client's share.",
                &self.connections_refused,
            ),
            (
                "accepts_failed_total",
                "counter",
                "Times that the system gave no connection, as when too many files are open.",
                &self.accepts_failed,
            ),
        ];
        for (name, kind, help, value) in plain {
            let name = format!("{port}_{name}");
            head(&mut out, &name, kind, help);
            line(&mut out, &name, "", value.load(Relaxed));
        }
        out
    }
}

type Count = fn(&Counts) -> u64;

/// What finalized blocks say of each member since this node started: one label value per member.
pub(crate) fn members(tally: &Tally) -> String {
    let counters: [(&str, &str, Count); 7] = [
        ("blocks_authored", "Finalized blocks it built.", |counts| counts.authored),
        ("designations", "Blocks among these that another's turn drew it for.", |counts| counts.designated),
        ("reveals", "Blocks of its turns with a reveal under its commitment.", |counts| counts.reveals),
        ("single_proofs", "Blocks of its turns with a proof of the view alone.", |counts| {
            counts.single_proofs
        }),
        ("turns_missed", "Its turns that passed without a block.", |counts| counts.turns_missed),
        ("segments_benched", "Segments in which it was benched.", |counts| counts.segments_benched),
        ("suspensions", "Epochs in which it was suspended.", |counts| counts.suspensions),
    ];
    let mut out = String::new();
    let label = |member: usize| format!("{{validator=\"{member}\"}}");
    for (name, help, count) in counters {
        let name = format!("baton_validator_{name}_total");
        head(&mut out, &name, "counter", help);
        for (member, counts) in tally.since_start.counts.iter().enumerate() {
            line(&mut out, &name, &label(member), count(counts));
        }
    }
    let gauges = [
        ("baton_validator_benched", "Whether it is not drawn in this segment.", tally.benched),
        ("baton_validator_suspended", "Whether it is left out of this epoch's lottery.", tally.suspended),
    ];
    for (name, help, members) in gauges {
        head(&mut out, name, "gauge", help);
        for member in 0..tally.since_start.counts.len() {
            line(&mut out, name, &label(member), u64::from(members.contains(member)));
        }
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a string cannot fail");
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    writeln!(out, "{name}{labels} {value}").expect("writing to a string cannot fail");
}

/// Counts one in a gauge for as long as it lives.
pub(crate) struct Held {
    metrics: Arc<Metrics>,
    gauge: fn(&Metrics) -> &AtomicU64,
}

impl Held {
    pub(crate) fn new(metrics: &Arc<Metrics>, gauge: fn(&Metrics) -> &AtomicU64) -> Self {
        gauge(metrics).fetch_add(1, Relaxed);
        Self { metrics: metrics.clone(), gauge }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_a_line_each() {
        let mut tally = Tally::default();
        tally.since_start.counts = vec![Counts::default(); 3];
        tally.since_start.counts[1] = Counts {
            authored: 1,
            designated: 2,
            reveals: 3,
            single_proofs: 4,
            turns_missed: 5,
            ..Counts::default()
        };
        tally.since_start.counts[2] = Counts { segments_benched: 6, suspensions: 7, ..Counts::default() };
        tally.benched.insert(2);
        tally.suspended.insert(1);
        let text = members(&tally);
        for expect in [
            "baton_validator_blocks_authored_total{validator=\"1\"} 1\n",
            "baton_validator_designations_total{validator=\"1\"} 2\n",
            "baton_validator_reveals_total{validator=\"1\"} 3\n",
            "baton_validator_single_proofs_total{validator=\"1\"} 4\n",
            "baton_validator_turns_missed_total{validator=\"1\"} 5\n",
            "baton_validator_segments_benched_total{validator=\"2\"} 6\n",
            "baton_validator_suspensions_total{validator=\"2\"} 7\n",
            "baton_validator_benched{validator=\"2\"} 1\n",
            "baton_validator_benched{validator=\"1\"} 0\n",
            "baton_validator_suspended{validator=\"1\"} 1\n",
        ] {
            assert!(text.contains(expect), "{expect} is not in\n{text}");
        }
        // Seven counters and two gauges of three members, two lines of head each.
        assert_eq!(text.lines().count(), 9 * (2 + 3));
    }

    #[test]
    fn text_counts_by_method_and_outcome() {
        let metrics = Arc::new(Metrics::new(["baton_submit"].into_iter()));
        metrics.request(Some(0), Ok(()));
        metrics.request(Some(0), Err(Reason::Busy));
        metrics.request(Some(0), Err(Reason::Busy));
        metrics.request(None, Err(Reason::BadRequest));
        metrics.transactions(Err(Reason::Duplicate), 7);
        let held = Held::new(&metrics, |metrics| &metrics.connections);
        let text = metrics.text();
        for line in [
            "baton_rpc_requests_total{method=\"baton_submit\",outcome=\"ok\"} 1\n",
            "baton_rpc_requests_total{method=\"baton_submit\",outcome=\"busy\"} 2\n",
            "baton_rpc_requests_total{method=\"unknown\",outcome=\"bad_request\"} 1\n",
            "baton_rpc_transactions_total{outcome=\"duplicate\"} 7\n",
            "baton_rpc_connections 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(held);
        assert!(metrics.text().contains("baton_rpc_connections 0\n"));
    }
}

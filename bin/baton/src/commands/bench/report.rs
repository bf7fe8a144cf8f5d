//! The figures of a run.

use super::{
    LoadArgs, Target,
    check::Checked,
    load::{Run, Snapshot},
    meter::{Meter, Quantiles, Stamp, Times},
};
use crate::{
    output::grouped,
    process::{Usage, float},
};
use baton_types::receipt::Reason;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct Report {
    nodes: usize,
    members: u32,
    rollup: String,
    size: u32,
    batch: u32,
    rate: u32,
    connections: u16,
    measured_seconds: f64,
    /// In the whole run, warm-up and drain included.
    accepted: u64,
    /// In the measured window.
    accepted_per_second: f64,
    pub finalized_per_second: f64,
    receipt: Quantiles,
    notarized: Quantiles,
    pub finalized: Quantiles,
    pub blocks_per_second: f64,
    block_gap: Quantiles,
    transactions_per_block: f64,
    refused: BTreeMap<Reason, u64>,
    failed_requests: u64,
    lagged_events: u64,
    node_cpu_seconds: Vec<f64>,
    /// All nodes together.
    cpu_seconds_per_1000: Option<f64>,
    node_resident_bytes: Vec<u64>,
    loader_cpu_seconds: f64,
    /// Of one node, on average, over the whole run.
    disk_bytes_per_transaction: Option<f64>,
    check: Checked,
}

impl Report {
    pub fn new(target: &Target, args: &LoadArgs, run: &Run, check: &Checked) -> Self {
        let meter = run.meter.borrow();
        let window = run.from..run.to;
        let seconds = f64::from(run.to - run.from) / 1e6;
        let per_second = |stamp: fn(&Times) -> Stamp| {
            count(meter.own().filter(|(_, times)| window.contains(&stamp(times))).count()) / seconds
        };
        let finalized_per_second = per_second(|times| times.finalized);
        let latency = |stamp: fn(&Times) -> Stamp| {
            let own = meter.own().map(|(_, times)| times).filter(|times| window.contains(&times.sent));
            let measured = own.filter(|times| stamp(times) >= times.sent && !times.unmeasured);
            Quantiles::of(measured.map(|times| stamp(times) - times.sent).collect())
        };
        let (blocks_per_second, block_gap, transactions_per_block) = blocks(&meter, run.from, run.to);
        let cpu: Vec<f64> = cpu_seconds(&run.at_start, &run.at_end);
        let thousands = finalized_per_second * seconds / 1_000.0;
        Self {
            nodes: target.urls.len(),
            members: target.members,
            rollup: args.rollup.clone(),
            size: args.size,
            batch: args.batch,
            rate: args.rate,
            connections: args.connections,
            measured_seconds: seconds,
            accepted: meter.accepted(),
            accepted_per_second: per_second(|times| times.receipt),
            finalized_per_second,
            receipt: latency(|times| times.receipt),
            notarized: latency(|times| times.notarized),
            finalized: latency(|times| times.finalized),
            blocks_per_second,
            block_gap,
            transactions_per_block,
            refused: meter.refused.clone(),
            failed_requests: meter.failures,
            lagged_events: meter.lagged,
            cpu_seconds_per_1000: (!cpu.is_empty() && thousands > 0.0)
                .then(|| cpu.iter().sum::<f64>() / thousands),
            node_cpu_seconds: cpu,
            node_resident_bytes: run.at_end.nodes.iter().map(|usage| usage.resident_bytes).collect(),
            loader_cpu_seconds: run.at_end.loader.cpu_seconds - run.at_start.loader.cpu_seconds,
            disk_bytes_per_transaction: disk(run, meter.accepted()),
            check: check.clone(),
        }
    }

    /// Whether nothing was lost or repeated.
    pub fn fine(&self) -> bool {
        self.check.fine()
    }

    pub fn lines(&self) -> Vec<String> {
        let rate =
            if self.rate == 0 { "as fast as finalized".to_owned() } else { format!("{} tx/s", self.rate) };
        let mut lines = vec![
            format!(
                "{} nodes, {} bytes, {} per request, {} connections per node, {rate}, {:.1} s",
                self.nodes, self.size, self.batch, self.connections, self.measured_seconds
            ),
            String::new(),
            row("accepted", format!("{} tx/s", whole(self.accepted_per_second))),
            row("finalized", format!("{} tx/s", whole(self.finalized_per_second))),
            quantiles("submit → receipt", &self.receipt),
            quantiles("submit → notarized", &self.notarized),
            quantiles("submit → finalized", &self.finalized),
            row(
                "blocks",
                format!("{:.1} per s, {:.0} tx each", self.blocks_per_second, self.transactions_per_block),
            ),
            quantiles("between blocks", &self.block_gap),
        ];
        for (reason, count) in &self.refused {
            lines.push(row("refused", format!("{} as {reason}", grouped(*count))));
        }
        for (what, count) in
            [("requests that failed", self.failed_requests), ("events that were dropped", self.lagged_events)]
        {
            if count > 0 {
                lines.push(row("also", format!("{} {what}", grouped(count))));
            }
        }
        lines.extend(self.resources());
        lines.push(row("check", self.verdict()));
        lines.extend(self.check.examples.iter().map(|example| row("", example)));
        lines
    }

    fn resources(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(per_1000) = self.cpu_seconds_per_1000 {
            let each: Vec<_> = self
                .node_cpu_seconds
                .iter()
                .map(|seconds| format!("{:.0} %", 100.0 * seconds / self.measured_seconds))
                .collect();
            lines.push(row(
                "CPU of nodes",
                format!("{} of a core; {per_1000:.3} s per 1,000 tx", each.join(", ")),
            ));
            let resident: Vec<_> = self
                .node_resident_bytes
                .iter()
                .map(|bytes| format!("{} MiB", bytes / (1024 * 1024)))
                .collect();
            lines.push(row("memory of nodes", resident.join(", ")));
        }
        let loader = 100.0 * self.loader_cpu_seconds / self.measured_seconds;
        lines.push(row("CPU of the loader", format!("{loader:.0} % of a core")));
        if let Some(bytes) = self.disk_bytes_per_transaction {
            lines.push(row("disk", format!("{bytes:.0} bytes per tx and node")));
        }
        lines
    }

    fn verdict(&self) -> String {
        let Checked { first_height, last_height, missing, duplicates, disagreements, .. } = &self.check;
        let what = format!(
            "{} accepted, blocks {first_height} to {last_height} on {} nodes",
            grouped(self.accepted),
            self.nodes
        );
        if self.check.fine() {
            return format!("{what}: each exactly once");
        }
        format!("{what}: {missing} MISSING, {duplicates} TWICE, {disagreements} blocks DIFFER")
    }
}

pub fn row(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:20} {value}")
}

pub fn quantiles(name: &str, quantiles: &Quantiles) -> String {
    let Quantiles { p50_ms, p90_ms, p99_ms, max_ms, .. } = quantiles;
    row(name, format!("p50 {p50_ms:.1} ms, p90 {p90_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms"))
}

pub fn whole(number: f64) -> String {
    // Shown, never calculated with.
    format!("{number:.0}").parse().map_or_else(|_| number.to_string(), grouped)
}

fn count(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

/// CPU seconds of every node between two moments.
pub fn cpu_seconds(from: &Snapshot, to: &Snapshot) -> Vec<f64> {
    let difference = |(from, to): (&Usage, &Usage)| to.cpu_seconds - from.cpu_seconds;
    from.nodes.iter().zip(&to.nodes).map(difference).collect()
}

fn blocks(meter: &Meter, from: Stamp, to: Stamp) -> (f64, Quantiles, f64) {
    let inside: Vec<_> = meter.blocks.iter().filter(|block| (from..to).contains(&block.at)).collect();
    let gaps = inside.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).collect();
    let transactions: u64 = inside.iter().map(|block| block.transactions).sum();
    let number = count(inside.len());
    let per_block = if inside.is_empty() { 0.0 } else { float(transactions) / number };
    (number * 1e6 / f64::from(to - from), Quantiles::of(gaps), per_block)
}

fn disk(run: &Run, accepted: u64) -> Option<f64> {
    let grown: u64 = run
        .before
        .disk_bytes
        .iter()
        .zip(&run.after.disk_bytes)
        .map(|(from, to)| to.saturating_sub(*from))
        .sum();
    let nodes = run.after.disk_bytes.len();
    (nodes > 0 && accepted > 0).then(|| float(grown) / count(nodes) / float(accepted))
}

//! What happened to every transaction of a run, and when.

use baton_types::{api::ErrorData, receipt::Reason};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

/// Microseconds since the start plus one; 0 is never. Enough for 71 minutes.
pub type Stamp = u32;

/// Longest run that stamps can hold, with room for the drain.
pub const RUN_MAX: Duration = Duration::from_secs(3_600);

/// The first half of an id: long enough to be unique, short enough to be cheap.
pub type Key = [u64; 2];

/// The key of an id as the API writes it.
pub fn key(id: &str) -> Option<Key> {
    let half = |range: std::ops::Range<usize>| u64::from_str_radix(id.get(range)?, 16).ok();
    Some([half(2..18)?, half(18..34)?])
}

/// Ids are hashes already.
#[derive(Default)]
pub struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            self.write_u64(u64::from_ne_bytes(chunk.try_into().expect("eight bytes")));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    // The length of an array says nothing.
    fn write_usize(&mut self, _: usize) {}
}

/// Stamps of one transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// 0 for ids that another client submitted.
    pub sent: Stamp,
    pub receipt: Stamp,
    pub notarized: Stamp,
    pub finalized: Stamp,
    /// Nodes on which a finalized block with it was found, one bit each.
    pub found: u16,
    /// Its finalization was learnt late, so its time means nothing.
    pub unmeasured: bool,
    /// The node that accepted it.
    pub node: u8,
}

/// What one node was asked for, in transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    /// Refusals that said when to come back.
    pub invited: u64,
}

/// A finalized block, as the watcher saw it.
#[derive(Clone, Copy, Debug)]
pub struct BlockSeen {
    pub at: Stamp,
    pub height: u64,
    pub transactions: u64,
}

pub struct Meter {
    started: Instant,
    table: HashMap<Key, Times, BuildHasherDefault<Prefix>>,
    accepted: u64,
    /// Accepted and not seen final.
    outstanding: u64,
    pub blocks: Vec<BlockSeen>,
    /// By node.
    pub asked: Vec<Asked>,
    /// Transactions refused, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// Requests without an answer.
    pub failures: u64,
    /// Events that the node could not deliver in time.
    pub lagged: u64,
}

impl Meter {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            table: HashMap::default(),
            accepted: 0,
            outstanding: 0,
            blocks: Vec::new(),
            asked: Vec::new(),
            refused: BTreeMap::new(),
            failures: 0,
            lagged: 0,
        }
    }

    pub fn now(&self) -> Stamp {
        self.stamp(self.started.elapsed())
    }

    pub fn stamp(&self, since_start: Duration) -> Stamp {
        u32::try_from(since_start.as_micros() + 1).unwrap_or(Stamp::MAX)
    }

    pub const fn started(&self) -> Instant {
        self.started
    }

    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    pub const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Events may come before the receipt, so either creates the entry.
    pub fn accept(&mut self, node: u8, key: Key, sent: Stamp, receipt: Stamp) {
        let times = self.table.entry(key).or_default();
        if times.sent != 0 {
            return;
        }
        (times.sent, times.receipt, times.node) = (sent, receipt, node);
        self.accepted += 1;
        if times.finalized == 0 {
            self.outstanding += 1;
        }
        self.asked(node).accepted += 1;
    }

    /// What a node was asked for so far.
    pub fn asked(&mut self, node: u8) -> &mut Asked {
        let index = usize::from(node);
        if self.asked.len() <= index {
            self.asked.resize(index + 1, Asked::default());
        }
        &mut self.asked[index]
    }

    pub fn notarized(&mut self, key: Key, at: Stamp) {
        let times = self.table.entry(key).or_default();
        if times.notarized == 0 {
            times.notarized = at;
        }
    }

    pub fn finalized(&mut self, key: Key, at: Stamp, unmeasured: bool) {
        let times = self.table.entry(key).or_default();
        if times.finalized != 0 {
            return;
        }
        (times.finalized, times.unmeasured) = (at, unmeasured);
        // A certificate of finality can come without the one before it.
        if times.notarized == 0 {
            times.notarized = at;
        }
        if times.sent != 0 {
            self.outstanding -= 1;
        }
    }

    /// Notes that node `bit` has it in a finalized block; true when it had it before.
    pub fn found(&mut self, key: Key, bit: u16) -> bool {
        let Some(times) = self.table.get_mut(&key).filter(|times| times.sent != 0) else { return false };
        let repeated = times.found & bit != 0;
        times.found |= bit;
        repeated
    }

    pub fn refuse(&mut self, node: u8, error: &ErrorData, count: u64) {
        *self.refused.entry(error.reason).or_default() += count;
        let asked = self.asked(node);
        asked.refused += count;
        if error.retry_after_ms.is_some() {
            asked.invited += count;
        }
    }

    /// Our own transactions.
    pub fn own(&self) -> impl Iterator<Item = (&Key, &Times)> {
        self.table.iter().filter(|(_, times)| times.sent != 0)
    }
}

/// A distribution in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: usize,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Quantiles {
    /// Of durations in microseconds.
    pub fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).saturating_sub(1);
            micros.get(rank).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        Self { count: micros.len(), p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_come_before_the_receipt() {
        let mut meter = Meter::new();
        let id = format!("0x{}", "0123456789abcdef".repeat(4));
        let key = key(&id).unwrap();
        meter.notarized(key, 5);
        meter.finalized(key, 7, false);
        assert_eq!((meter.accepted(), meter.outstanding(), meter.own().count()), (0, 0, 0));
        meter.accept(3, key, 2, 9);
        meter.accept(0, key, 3, 10);
        assert_eq!((meter.accepted(), meter.outstanding(), meter.own().count()), (1, 0, 1));
        assert!(!meter.found(key, 1) && !meter.found(key, 2) && meter.found(key, 1));
        let other = [1, 2];
        assert_eq!(meter.asked(3).accepted, 1);
        assert_eq!(meter.asked(0).accepted, 0);
        meter.accept(0, other, 2, 3);
        assert_eq!(meter.outstanding(), 1);
        meter.finalized(other, 8, false);
        meter.finalized(other, 9, false);
        assert_eq!(meter.outstanding(), 0);
    }

    #[test]
    fn quantiles_take_the_nearest_rank() {
        let quantiles = Quantiles::of((1..=100).rev().map(|n| n * 1_000).collect());
        assert_eq!(
            (quantiles.p50_ms, quantiles.p90_ms, quantiles.p99_ms, quantiles.max_ms),
            (50.0, 90.0, 99.0, 100.0)
        );
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
        assert_eq!(Quantiles::of(vec![7_000]).p99_ms, 7.0);
    }

    #[test]
    fn ids_that_are_none() {
        for id in ["", "0x", "0x12", "0xzz23456789abcdef0123456789abcdef", "ä".repeat(40).as_str()] {
            assert_eq!(key(id), None, "{id}");
        }
    }
}

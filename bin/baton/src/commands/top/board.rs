//! What `top` knows. Everything kept here has a bound, however long it runs.

use baton_types::{
    api::{BlockEvent, ClusterView, MemberSight, SecondView},
    receipt::Rung,
};
use std::collections::VecDeque;

/// Blocks that are listed.
const BLOCKS_MAX: usize = 64;
/// Seconds of the charts.
pub const SECONDS: usize = 60;
/// Seconds that rates are taken over.
const RATE_SECONDS: u64 = 10;

#[derive(Clone, Debug)]
pub struct Row {
    pub event: BlockEvent,
    proposed_ms: Option<u64>,
}

impl Row {
    /// From proposed to finalized, as the node saw it.
    pub fn finality_ms(&self) -> Option<u64> {
        let proposed = self.proposed_ms.filter(|_| self.event.rung == Rung::Finalized)?;
        Some(self.event.time_ms.saturating_sub(proposed))
    }
}

#[derive(Clone, Debug, Default)]
struct Second {
    at: u64,
    blocks: u64,
    transactions: u64,
    finality_ms: Vec<u64>,
}

pub struct Board {
    pub url: String,
    pub cluster: Option<ClusterView>,
    /// Newest first.
    pub rows: VecDeque<Row>,
    seconds: VecDeque<Second>,
    /// Why the node is not there.
    pub lost: Option<String>,
}

impl Board {
    pub fn new(url: &str) -> Self {
        let (rows, seconds) = (VecDeque::new(), VecDeque::new());
        Self { url: url.to_owned(), cluster: None, rows, seconds, lost: None }
    }

    pub fn cluster(&mut self, view: ClusterView) {
        self.lost = None;
        self.cluster = Some(view);
    }

    pub fn block(&mut self, event: &BlockEvent) {
        let known = self.rows.iter().position(|row| row.event.hash == event.hash);
        let before = known.and_then(|at| self.rows.remove(at));
        let proposed = (event.rung == Rung::Proposed).then_some(event.time_ms);
        let proposed_ms = before.and_then(|row| row.proposed_ms).or(proposed);
        let row = Row { event: event.clone(), proposed_ms };
        if event.rung == Rung::Finalized {
            // What lost against it, at its height or below.
            self.rows.retain(|row| row.event.rung == Rung::Finalized || row.event.height > event.height);
            self.count(&row);
        }
        let at = self.rows.iter().position(|other| other.event.height <= event.height);
        self.rows.insert(at.unwrap_or(self.rows.len()), row);
        self.rows.truncate(BLOCKS_MAX);
    }

    fn count(&mut self, row: &Row) {
        let at = row.event.time_ms / 1_000;
        if self.seconds.back().is_none_or(|last| last.at < at) {
            self.seconds.push_back(Second { at, ..Second::default() });
        }
        while self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        if let Some(last) = self.seconds.back_mut() {
            last.blocks += 1;
            last.transactions += row.event.transactions;
            last.finality_ms.extend(row.finality_ms());
        }
    }

    /// What was before this board began to watch, or while the node was away.
    pub fn last_minute(&mut self, seconds: &[SecondView]) {
        for &SecondView { time_ms, blocks, transactions, finality_ms } in seconds {
            let at = time_ms / 1_000;
            let place = self.seconds.partition_point(|second| second.at < at);
            let told = Second { at, blocks, transactions, finality_ms: finality_ms.into_iter().collect() };
            match self.seconds.get_mut(place).filter(|known| known.at == at) {
                Some(known) if known.blocks < blocks => *known = told,
                Some(_) => (),
                None => self.seconds.insert(place, told),
            }
        }
        while self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
    }

    /// The present second by the node's clock.
    fn now(&self) -> u64 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.time_ms / 1_000)
    }

    fn recent(&self) -> impl Iterator<Item = &Second> {
        let now = self.now();
        self.seconds.iter().filter(move |second| second.at < now && second.at + RATE_SECONDS >= now)
    }

    /// Blocks and transactions in ten seconds.
    pub fn in_ten_seconds(&self) -> (u64, u64) {
        self.recent()
            .fold((0, 0), |(blocks, all), second| (blocks + second.blocks, all + second.transactions))
    }

    pub fn finality_ms(&self) -> Option<u64> {
        median(self.recent().flat_map(|second| &second.finality_ms).copied().collect())
    }

    /// One value a second up to now, oldest first: median time to finality, and transactions.
    pub fn charts(&self) -> (Vec<u64>, Vec<u64>) {
        let now = self.now();
        let first = now.saturating_sub(SECONDS as u64);
        let second = |at: u64| self.seconds.iter().find(|second| second.at == at);
        (first..now)
            .map(|at| {
                let finality = second(at).and_then(|second| median(second.finality_ms.clone()));
                (finality.unwrap_or(0), second(at).map_or(0, |second| second.transactions))
            })
            .unzip()
    }
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// In one word how a member is.
pub const fn condition(member: &MemberSight) -> &'static str {
    match member {
        MemberSight { connected: Some(false), .. } => "gone",
        MemberSight { voting: false, .. } => "silent",
        MemberSight { suspended: true, .. } => "suspended",
        MemberSight { benched: true, .. } => "benched",
        _ => "voting",
    }
}

//! What happened in a run, in order of time, for a person to read.

use commonware_runtime::{Clock as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::SystemTime};

/// Entries of one run; later ones are dropped.
const ENTRIES_MAX: usize = 1_000_000;
/// A member that finalizes a block so long after the first one is catching up.
const TOGETHER_MS: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Fault(String),
    Started { member: usize },
    Ended { member: usize, cause: String },
    Final { member: usize, height: u64, epoch: u64, view: u64, transactions: usize },
    Nullify { member: usize, epoch: u64, view: u64 },
    Violation(String),
}

/// Collects entries. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    context: Context,
    start: SystemTime,
    entries: Mutex<Vec<(u64, Entry)>>,
}

impl Trace {
    pub fn new(context: Context) -> Self {
        let start = context.current();
        Self(Arc::new(Inner { context, start, entries: Mutex::default() }))
    }

    /// Time since the start of the run.
    pub fn now_ms(&self) -> u64 {
        let since = self.0.context.current().duration_since(self.0.start).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    pub fn record(&self, entry: Entry) {
        let now = self.now_ms();
        let mut entries = self.0.entries.lock();
        if entries.len() < ENTRIES_MAX {
            entries.push((now, entry));
        }
    }

    pub fn take(&self) -> Vec<(u64, Entry)> {
        std::mem::take(&mut self.0.entries.lock())
    }
}

struct Line {
    at_ms: u64,
    text: String,
    members: Vec<(usize, u64)>,
}

/// One line per event: a block with when each member had it final, a view with who gave it up.
pub fn render(entries: &[(u64, Entry)]) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut blocks: BTreeMap<u64, usize> = BTreeMap::new();
    let mut views: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let mut behind: BTreeMap<usize, (usize, u64, u64)> = BTreeMap::new();
    for (at_ms, entry) in entries {
        let at_ms = *at_ms;
        let next = lines.len();
        let (text, members) = match entry {
            Entry::Final { member, height, epoch, view, transactions } => match blocks.get(height) {
                None => {
                    blocks.insert(*height, next);
                    let text = format!("block {height} (view {epoch}/{view}, {transactions} tx) final on");
                    (text, vec![(*member, at_ms)])
                }
                Some(index) if at_ms < lines[*index].at_ms + TOGETHER_MS => {
                    lines[*index].members.push((*member, at_ms));
                    continue;
                }
                Some(_) => match behind.get_mut(member) {
                    Some((index, first, last)) if *last + 1 == *height => {
                        *last = *height;
                        lines[*index].text = format!("member {member} catches up blocks {first} to {height}");
                        continue;
                    }
                    _ => {
                        behind.insert(*member, (next, *height, *height));
                        (format!("member {member} catches up block {height}"), Vec::new())
                    }
                },
            },
            Entry::Nullify { member, epoch, view } => match views.get(&(*epoch, *view)) {
                None => {
                    views.insert((*epoch, *view), next);
                    (format!("view {epoch}/{view} given up by"), vec![(*member, at_ms)])
                }
                Some(index) => {
                    let members = &mut lines[*index].members;
                    if members.iter().all(|(known, _)| known != member) {
                        members.push((*member, at_ms));
                    }
                    continue;
                }
            },
            Entry::Fault(text) => (format!("FAULT {text}"), Vec::new()),
            Entry::Started { member } => (format!("member {member} started"), Vec::new()),
            Entry::Ended { member, cause } => (format!("member {member} ended: {cause}"), Vec::new()),
            Entry::Violation(text) => (format!("VIOLATION {text}"), Vec::new()),
        };
        lines.push(Line { at_ms, text, members });
    }
    let mut text = String::new();
    for line in &lines {
        let _ = write!(text, "{:>5}.{:03} s  {}", line.at_ms / 1_000, line.at_ms % 1_000, line.text);
        for (member, at_ms) in &line.members {
            let _ = write!(text, " {member} (+{})", at_ms - line.at_ms);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;

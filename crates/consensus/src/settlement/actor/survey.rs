//! What L1 and the batches so far mean for the rest of the node, looked at on each tick: whether the hatch was used,
//! which blocks have to stay, which rollups take nothing more for now, what is wrong, and what subscribers hear.

use super::{Actor, Lane};
use crate::{
    aliases::Runtime,
    client::Event,
    settlement::{
        board::standing,
        line::{Line, Turn, place},
    },
    shared::Settling,
};
use baton_settlement::{InboxState, RollupView, Snapshot};
use baton_types::{
    Digest, PublicKey,
    receipt::{Reason, Refusal},
};
use commonware_p2p::Sender;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use tracing::{info, warn};

/// How long an inbox may stand where this node cannot go on: others do, and then it can too.
const LOST_AFTER: Duration = Duration::from_secs(600);
/// What a client is told to wait while L1 is behind.
const RETRY_MS: u64 = 10_000;

/// A lane whose next batch begins below this node's blocks.
pub(super) struct Lost {
    /// The rollup's head and forced cursor where the blocks begin.
    pub standing: (Digest, u64),
    /// Of the inbox, and since when it is there.
    pub index: u64,
    pub since: SystemTime,
}

/// What subscribers to batches were last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    latest: Option<InboxState>,
    finalized: Option<InboxState>,
    next_height: u64,
    next_index: u64,
    certified: u64,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    pub(super) fn survey(&mut self, now: SystemTime) {
        let snapshot = self.view.snapshot();
        self.look(&snapshot);
        let (now_ms, tip) = (self.shared.now_ms(), self.shared.finalized_height());
        let tip = self.shared.finalized(tip);
        let mut settling = Settling::default();
        let mut troubles = BTreeMap::new();
        let lines = self.board.lines.lock();
        for (rollup, lane) in &mut self.lanes {
            let Some(line) = lines.get(rollup) else { continue };
            if self.settings.watches {
                settling.needs_from = settling.needs_from.min(lane.needs_from(line));
            }
            let view = snapshot.rollups.get(rollup);
            let here = tip.as_ref().map(|tip| standing(tip.inner(), *rollup));
            if let Some(trouble) = view.and_then(|view| lane.trouble(line, view, here, now)) {
                troubles.insert(*rollup, trouble);
            }
            let age_ms = view.map_or(0, |view| backlog_ms(line, view, now_ms));
            let behind = age_ms > self.settings.backlog_ms_max;
            if behind {
                settling.behind.insert(*rollup, refusal(line, age_ms, self.settings.backlog_ms_max));
            }
            if std::mem::replace(&mut lane.behind, behind) != behind {
                match behind {
                    true => {
                        warn!(%rollup, age_ms, "batches are behind: this rollup's transactions are refused")
                    }
                    false => {
                        info!(%rollup, "batches have caught up: this rollup's transactions are taken again")
                    }
                }
            }
            let told = Told {
                latest: view.map(|view| view.latest),
                finalized: view.map(|view| view.finalized),
                next_height: line.next_height(),
                next_index: line.next_place().index,
                certified: lane.certified,
            };
            if lane.batches_told.replace(told).is_some_and(|before| before != told) {
                let _ = self.shared.events.send(Event::Batches { rollup: *rollup, time_ms: now_ms });
            }
        }
        // What the lines have forgotten is asked for no more.
        self.gathers.retain(|position, gather| {
            lines.get(&position.rollup).is_some_and(|line| line.get(&place(&gather.batch)).is_some())
        });
        drop(lines);
        self.board.set_troubles(troubles);
        self.shared.set_settling(settling);
    }

    /// Whether the hatch has put something where the batches of a line should be.
    fn look(&mut self, snapshot: &Snapshot) {
        for (rollup, lane) in &mut self.lanes {
            let Some(inbox) = snapshot.rollups.get(rollup).map(|view| view.finalized) else { continue };
            let turn = self.board.lines.lock().get_mut(rollup).map(|line| line.look(&inbox));
            if let Some(Turn::From(height)) = turn {
                warn!(
                    %rollup, height, index = inbox.next_index,
                    "the inbox on L1 went on without the cluster: batches from here on are placed behind it"
                );
                self.metrics.replaced.inc();
                lane.cutter = None;
                lane.cut.clear();
                lane.life += 1;
                self.gathers.retain(|position, gather| {
                    position.rollup != *rollup || gather.batch.last_height < height
                });
            }
        }
    }
}

impl<E: Runtime> Lane<E> {
    /// The lowest block that may be needed again for what L1 does not have for good: the one before the first with
    /// anything in it.
    fn needs_from(&self, line: &Line) -> u64 {
        let unsettled = line.first_unsettled().map(|kept| kept.batch.first_height);
        let cut = self.encoding.or(self.cut.front().map(|contents| contents.first_height));
        let open = match &self.cutter {
            Some(cutter) => Some(cutter.needs_from()),
            None => self.lost.is_none().then(|| line.next_height()),
        };
        let next = if self.stopped { None } else { cut.into_iter().chain(open).min() };
        unsettled.into_iter().chain(next).min().map_or(u64::MAX, |height| height.saturating_sub(1))
    }

    /// Why nothing comes of this rollup's batches. `here` is where it stands at the tip.
    fn trouble(
        &mut self,
        line: &Line,
        view: &RollupView,
        here: Option<(Digest, u64)>,
        now: SystemTime,
    ) -> Option<String> {
        let InboxState { next_index, next_height, .. } = view.latest;
        if self.stopped {
            return Some(format!(
                "this node made another batch {} than it has signed, and signs no more: see the log, and report this",
                line.next_place().index
            ));
        }
        let lost = self.lost.as_mut().is_some_and(|lost| {
            if lost.index != next_index {
                (lost.index, lost.since) = (next_index, now);
            }
            let waits = here.is_some_and(|here| here != lost.standing);
            waits && now.duration_since(lost.since).unwrap_or_default() >= LOST_AFTER
        });
        (lost || line.lacks(&view.latest)).then(|| {
            format!(
                "the inbox waits for batch {next_index}, from block {next_height} on, and this node does not have it any \
                 more: let a node post that has it; if none has, give one an older copy of its data_dir, or all its \
                 blocks"
            )
        })
    }
}

/// How old the oldest batch is that the newest block of L1 does not have; 0 where it has all.
fn backlog_ms(line: &Line, view: &RollupView, now_ms: u64) -> u64 {
    let Some(oldest) = line.first_from(view.latest.next_height) else { return 0 };
    // The end of its slot: what is not known is in its favour.
    let end = oldest.batch.slot.saturating_add(1).saturating_mul(line.terms.slot_seconds.max(1));
    now_ms.saturating_sub(end.saturating_mul(1_000))
}

fn refusal(line: &Line, age_ms: u64, max_ms: u64) -> Refusal {
    let detail = format!(
        "batches are behind: transactions of rollup {} have waited for {} s to be posted (l1.backlog_ms_max is {max_ms} \
         ms). What was accepted keeps its place; retry when batches have caught up",
        line.terms.rollup,
        age_ms / 1_000
    );
    Refusal::new(Reason::Busy, detail).retry_after(RETRY_MS)
}

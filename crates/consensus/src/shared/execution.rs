//! Where ordering meets execution: what the next block has room for, what it may claim, what executors read
//! and tell.

use super::{Shared, Tracked};
use crate::{client::Event, evm::Outcome};
use alloy_primitives::Address;
use baton_execution::{
    evm::{Refused, Room, Signed, State},
    pool::Ended,
};
use baton_types::{
    Block, Digest, ExecutionResult, Results, RollupId, Round, TxId, receipt::Rung, results::LAG_BLOCKS_MAX,
};
use commonware_consensus::Heightable as _;
use commonware_cryptography::{Digested, Digestible as _};
use std::{collections::BTreeMap, sync::Arc};

/// Whether a rollup with this attested result may have no segment at `height`.
pub const fn lags(known: &ExecutionResult, height: u64) -> bool {
    height > known.executed_to.saturating_add(LAG_BLOCKS_MAX)
}

impl Shared {
    /// Tells what left the pool without being ordered, other than by expiry.
    pub(super) fn tell_ended(&self) {
        let now = self.now_ms();
        let mut state = self.state.lock();
        let mut alike = BTreeMap::<_, Vec<TxId>>::new();
        for Ended { id, rung, reason } in state.pool.take_ended() {
            state.end(id, rung, reason);
            alike.entry((rung, reason)).or_default().push(id);
        }
        for ((rung, reason), ids) in alike {
            let _ = self.events.send(Event::Ended { ids: ids.into(), rung, reason, time_ms: now });
        }
    }

    /// Whether a block on `parent` would have a transaction, or a result that is not attested yet.
    /// `connected` comes first.
    pub fn has_work(&self, parent: &Digested<Block>) -> bool {
        let (digest, height) = (parent.digest(), parent.height().get());
        let results = &parent.inner().body().results;
        let news = |(rollup, known): &(&RollupId, &ExecutionResult)| {
            self.executions.get(*rollup).is_some_and(|execution| execution.has_news(known))
        };
        let news: Vec<_> = results.iter().filter(news).map(|(rollup, _)| *rollup).collect();
        let rooms = self.rooms(&digest, height, results);
        let mut state = self.state.lock();
        if news.iter().any(|rollup| state.claims.may(*rollup, height)) {
            return true;
        }
        state.pool.set_rooms(&rooms);
        let ancestry = state.recent.ancestry(&digest, height);
        ancestry.is_some_and(|ancestry| state.pool.has_work(height + 1, |id| ancestry.contains(id)))
    }

    /// What a block on `parent` has room for in each EVM rollup that is not paused.
    pub(super) fn rooms(
        &self,
        parent: &Digest,
        parent_height: u64,
        results: &Results,
    ) -> BTreeMap<RollupId, Room> {
        results
            .iter()
            .filter(|(_, known)| !lags(known, parent_height + 1))
            .filter_map(|(rollup, known)| {
                Some((*rollup, self.executions.get(rollup)?.room(known, parent, parent_height)))
            })
            .collect()
    }

    /// What a block of this round on `parent` says of execution.
    pub fn claims(&self, parent: &Block, round: Round) -> Results {
        let height = parent.header().height;
        let mut results = parent.body().results.clone();
        let claim = |(rollup, known): (&RollupId, &ExecutionResult)| {
            Some((*rollup, self.executions.get(rollup)?.claim(known, height)?))
        };
        let news: Results = results.iter().filter_map(claim).collect();
        let chosen = self.state.lock().claims.choose(round, height, news.keys().copied().collect());
        results.extend(chosen.into_iter().filter_map(|rollup| Some((rollup, *news.get(&rollup)?))));
        results
    }

    /// The ancestor of an unfinalized block at a height that is not final; none when the way is not known, an
    /// inner none when the height is final.
    pub fn ancestor(&self, block: &Digest, height: u64) -> Option<Option<Digest>> {
        let state = self.state.lock();
        if height <= state.live.finalized_height {
            return Some(None);
        }
        let mut next = *block;
        loop {
            let tracked = &state.tracked.get(&next)?.block;
            if tracked.height().get() == height {
                return Some(Some(next));
            }
            next = tracked.inner().header().parent;
        }
    }

    // ---- Execution ----

    /// The lowest block that may be executed next, in the eyes of an executor that has `executed` some.
    pub fn unexecuted(&self, executed: impl Fn(&Digest) -> bool) -> Option<Digested<Block>> {
        let state = self.state.lock();
        let next = |tracked: &&Tracked| {
            tracked.rung >= Rung::Proposed
                && executed(&tracked.block.inner().header().parent)
                && !executed(&tracked.block.digest())
        };
        let lowest = state.tracked.values().filter(next).min_by_key(|tracked| tracked.block.height());
        lowest.map(|tracked| tracked.block.clone())
    }

    /// Transactions with their senders, where this node's pool knows them.
    pub fn signed(&self, rollup: RollupId, ids: &[TxId]) -> Vec<Option<Arc<Signed>>> {
        let state = self.state.lock();
        ids.iter().map(|id| state.pool.signed(rollup, id).cloned()).collect()
    }

    /// Whether the rules of nonces, balances and fees would take a transaction now.
    pub fn check_signed(&self, rollup: RollupId, signed: &Signed) -> Result<(), Refused> {
        self.state.lock().pool.check_signed(rollup, signed)
    }

    /// The nonce after the last that waits here or is ordered without a gap; none when nothing of this sender is.
    pub fn next_nonce(&self, rollup: RollupId, sender: &Address) -> Option<u64> {
        self.state.lock().pool.next_nonce(rollup, sender)
    }

    /// The lowest final block that an executor, or a batch for L1, may need again.
    pub fn needs_from(&self) -> u64 {
        let needs = self.executions.values().filter_map(|execution| execution.needs_from());
        needs.min().unwrap_or(u64::MAX).min(self.settling.lock().needs_from)
    }

    /// The state is that of a later block, whatever happened in between.
    pub fn moved_state(&self, rollup: RollupId, state: State) {
        self.state.lock().pool.restate(rollup, state);
        self.tell_ended();
        self.work.notify_waiters();
    }

    /// A final block is executed, with this state after it.
    pub fn executed(
        &self,
        rollup: RollupId,
        height: u64,
        state: State,
        touched: &[Address],
        outcomes: Vec<(TxId, Outcome)>,
    ) {
        let skipped: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Skipped(_)))
            .map(|(id, _)| *id)
            .collect();
        self.state.lock().pool.executed(rollup, state, touched, &skipped);
        self.tell_ended();
        if !outcomes.is_empty() {
            let time_ms = self.now_ms();
            let _ = self.events.send(Event::Executed { rollup, height, outcomes: outcomes.into(), time_ms });
        }
        // Its result wants to be attested, and its senders may go on.
        self.work.notify_waiters();
    }
}

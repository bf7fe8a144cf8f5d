//! What the mempool asks of the shared state.

use super::{Shared, State};
use crate::evm;
use baton_execution::pool::{Checked, PoolStats, Source};
use baton_types::{
    TxId,
    receipt::{Reason, Refusal},
};

impl Shared {
    pub fn pool_stats(&self) -> PoolStats {
        self.state.lock().pool.stats()
    }

    /// Whether a client's request may come in now.
    pub fn room(&self) -> Result<(), Refusal> {
        let now = self.now_ms();
        let mut state = self.state.lock();
        let (all, own) = (state.pool.usage(), state.pool.own());
        state.admission.check(now, all, own)
    }

    /// Takes units into the pool, all under one lock. A refused unit does not affect the others.
    pub fn admit(&self, units: Vec<Checked>, source: &Source) -> Vec<Result<(), Refusal>> {
        let now = self.now_ms();
        let signed: Vec<_> =
            units.iter().map(|unit| unit.signed().map(|(rollup, signed)| (rollup, signed.clone()))).collect();
        let results = {
            let mut state = self.state.lock();
            let tip = state.live.finalized_height;
            let State { pool, recent, admission, .. } = &mut *state;
            // It might tell a client that something waits, or expired, which was ordered before it joined.
            if matches!(source, Source::Client(_)) && tip + 1 < recent.judges_from() {
                let from = recent.judges_from();
                let detail = format!(
                    "this node has just joined and takes transactions from height {from} on; now at {tip}"
                );
                let refusal = Refusal::new(Reason::NotReady, detail).retry_after(1_000);
                return units.iter().map(|_| Err(refusal.clone())).collect();
            }
            let mut first = None;
            let results: Vec<_> = units
                .into_iter()
                .map(|unit| match unit.ids().iter().find(|id| recent.height_of(id).is_some()) {
                    Some(id) => {
                        Err(Refusal::new(Reason::Duplicate, format!("transaction {id} is already ordered")))
                    }
                    None => {
                        let id = unit.ids()[0];
                        pool.admit(unit, source.clone(), tip).inspect(|()| {
                            first.get_or_insert(id);
                        })
                    }
                })
                .collect();
            if let (Source::Client(_), Some(first)) = (source, first) {
                admission.admitted(now, first);
            }
            results
        };
        self.tell_ended();
        if results.iter().any(Result::is_ok) {
            self.work.notify_waiters();
        }
        for (signed, _) in signed.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            if let Some((rollup, signed)) = signed
                && let Some(execution) = self.executions.get(&rollup)
            {
                let _ = execution.events.send(evm::Event::Waiting(signed));
            }
        }
        results
    }

    pub fn set_replicated(&self, ids: &[TxId]) {
        self.state.lock().pool.set_replicated(ids);
    }

    pub fn set_journaled<'a>(&self, ids: impl Iterator<Item = &'a TxId>) {
        self.state.lock().pool.set_journaled(ids);
    }

    /// Whether each of `ids` is ordered, or waits here and is on this node's journal.
    pub fn all_safe(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().all(|id| state.pool.journaled(id) || state.recent.height_of(id).is_some())
    }

    /// Whether any of `ids` still waits in the pool.
    pub fn any_waiting(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().any(|id| state.pool.contains(id))
    }

    /// Whether each of `ids` waits here or is ordered already.
    pub fn all_known(&self, ids: &[TxId]) -> bool {
        let state = self.state.lock();
        ids.iter().all(|id| state.pool.contains(id) || state.recent.height_of(id).is_some())
    }
}

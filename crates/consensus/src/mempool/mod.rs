//! The mempool's I/O: admission, journal, gossip, acknowledgement. Its rules are `execution::pool`.
//!
//! ```text
//!  submit ─► check, admit (caller's task) ─► actor ─┬─► gossip to all members
//!                                                   └─► journal, one sync per group ─► receipt `pending`
//!  peers  ─► check, admit ─► (asked to) journal ─► Ack ─► at 2f: receipt `replicated`
//! ```
//!
//! Rules by event:
//! - *Submit.* While more waits than the cluster soon orders, the request is refused with `busy`
//!   (`admission`), as it is when the actor's queue is full; both before anything of it is looked at. Units
//!   are checked and admitted under the pool's limits before the actor hears of them.
//! - *Group.* Whatever waits is journaled together; one sync covers the group.
//! - *Gossip.* New units go out at once when nothing went out for 5 ms, else every 5 ms or 64 KB.
//! - *Ack.* A member acknowledges a batch only when all of it is on its own journal, or ordered. What is
//!   there already is not written again, so that asking again and again costs no disk.
//! - *Members.* Only members are listened to, and one member's units take no more than its share of the
//!   pool (`execution::pool`).
//! - *Repeat.* Own units still waiting after a while are gossiped again, a bounded amount at a time:
//!   a member that was away or over quota gets them late rather than never.
//! - *Restart.* The journal is replayed into the pool, less what was ordered or has expired.
//!
//! Invariants: a receipt is given only after the journal is synced, so `pending` survives a restart
//! of its node and `replicated` any f disks. The journal is cut by validity: a section is removed when
//! everything in it has been ordered or has expired, so it cannot grow past the validity window.

mod actor;
mod journal;
mod metrics;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use actor::{Actor, Config};

use crate::{
    client::{Submit, Submitted},
    shared::Shared,
};
use baton_execution::pool::{Checked, Pool, Source, Unit};
use baton_types::{
    PrivateKey, TxId,
    api::Ack,
    receipt::{Reason, Receipt, Refusal, Rung},
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests waiting for the actor; beyond, `busy`.
const QUEUE_MAX: usize = 4_096;
/// What a client is told to wait when the queue is full.
const RETRY_MS: u64 = 100;
/// Finality older than this makes admission refuse: the cluster does not order what it takes.
const STALLED_MS: u64 = 15_000;

/// The ids of a unit, or why it was not taken.
type Outcome = Result<Vec<TxId>, Refusal>;

/// A unit in the pool, with its ids.
type Waits = (Arc<Unit>, Arc<[TxId]>);

/// Units admitted to the pool, to be journaled and gossiped.
pub(crate) struct Accepted {
    units: Vec<Waits>,
    ids: Vec<TxId>,
    ack: Ack,
    /// The rung reached.
    reply: oneshot::Sender<Rung>,
}

#[derive(Clone)]
pub struct Mailbox {
    key: PrivateKey,
    shared: Arc<Shared>,
    sender: mpsc::Sender<Accepted>,
}

impl Mailbox {
    pub(crate) fn new(key: PrivateKey, shared: Arc<Shared>) -> (Self, mpsc::Receiver<Accepted>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { key, shared, sender }, receiver)
    }

    /// Whether a request may come in, whatever is in it.
    pub fn admits(&self) -> Result<(), Refusal> {
        self.check_progress()?;
        self.shared.room()
    }

    pub async fn submit(&self, submit: Submit) -> Result<Submitted, Refusal> {
        let (results, reached) = self.take(submit).await?;
        let sign = |rung| {
            let ids = results.iter().flatten().flatten().copied().collect();
            Receipt::sign(&self.key, self.shared.chain, rung, self.shared.now_ms(), ids)
        };
        let receipt = reached.map(sign);
        Ok(Submitted { results, receipt })
    }

    /// As [`Self::submit`], with the rung that was reached instead of a signed receipt.
    pub async fn take(&self, submit: Submit) -> Result<(Vec<Outcome>, Option<Rung>), Refusal> {
        self.admits()?;
        let slot = self.sender.try_reserve().map_err(|_| {
            Refusal::new(Reason::Busy, "this node's submission queue is full").retry_after(RETRY_MS)
        })?;
        let tip = self.shared.finalized_height();
        let mut results = Vec::with_capacity(submit.units.len());
        let mut checked: Vec<Checked> = Vec::with_capacity(submit.units.len());
        let held_up: Vec<_> = submit.units.iter().map(|unit| self.shared.held_up(unit)).collect();
        let units = submit.units.into_iter().zip(&held_up);
        let units = units.filter(|(_, held_up)| held_up.is_none()).map(|(unit, _)| unit).collect();
        let mut passed = Pool::check_all(&self.shared.rules, units, tip).into_iter();
        for held_up in held_up {
            let result = match held_up {
                Some(refusal) => Err(refusal),
                None => passed.next().expect("one outcome per unit"),
            };
            match result {
                Ok(unit) => {
                    results.push(Ok(unit.ids().to_vec()));
                    checked.push(unit);
                }
                Err(refusal) => results.push(Err(refusal)),
            }
        }
        let units: Vec<Waits> = checked.iter().map(|unit| (unit.unit(), unit.ids_shared())).collect();
        let mut outcomes = self.shared.admit(checked, &Source::Client(submit.client)).into_iter().zip(units);
        let mut accepted = Vec::new();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            match outcomes.next().expect("one outcome per checked unit") {
                (Ok(()), unit) => accepted.push(unit),
                (Err(refusal), _) => *result = Err(refusal),
            }
        }
        let ids: Vec<TxId> = results.iter().flatten().flatten().copied().collect();
        if ids.is_empty() {
            return Ok((results, None));
        }
        let (reply, rung) = oneshot::channel();
        slot.send(Accepted { units: accepted, ids, ack: submit.ack, reply });
        let rung = rung
            .await
            .map_err(|_| Refusal::new(Reason::NotReady, "this node is shutting down; submit to another"))?;
        Ok((results, Some(rung)))
    }

    /// Taking what cannot be ordered only fills memory.
    fn check_progress(&self) -> Result<(), Refusal> {
        let last = self.shared.finalized_time_ms();
        let age = self.shared.now_ms().saturating_sub(last);
        if last != 0 && age > STALLED_MS {
            let detail = format!("the cluster has finalized nothing for {} s", age / 1_000);
            return Err(Refusal::new(Reason::Busy, detail).retry_after(1_000));
        }
        Ok(())
    }
}

/// Largest message between two mempools.
pub fn message_bytes_max(limits: &baton_types::BlockLimits) -> usize {
    // A batch of many units, or one unit of the largest size.
    wire::BATCH_BYTES_MAX.max(limits.block_bytes_max + 4_096) + 64
}

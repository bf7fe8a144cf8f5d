//! The part of the pool that belongs to EVM rollups.
//!
//! ```text
//! unit ─► slab, ids, expiry, journal …          as of any rollup
//!    └──► EvmPool: sender ─► nonces             decides admission, order, replacement
//! ```
//!
//! A single transaction stands in both until it is ordered, then in the [`EvmPool`] alone until its execution
//! is final ([`Pool::executed`]): it holds its nonce, so that its sender's next ones can be ordered meanwhile.
//! What the [`EvmPool`] drops before that leaves both, and [`Pool::take_ended`] says why. Bundles wait in the
//! lane's queue and go first.

use super::{Checked, Limits, Pool, slab::Slot};
use crate::evm::{AccountFacts, Admitted, EvmPool, EvmPoolLimits, Refused, Room, Signed, State, Turn};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};
use baton_types::{
    Rollup, RollupId, TxId,
    receipt::{Reason, Refusal, Rung},
};
use std::{collections::BTreeMap, sync::Arc};

const RETRY_MS: u64 = 500;

/// A transaction that left without being ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub id: TxId,
    pub rung: Rung,
    pub reason: Reason,
}

#[derive(Debug)]
pub(super) struct EvmLane {
    pool: EvmPool,
    /// After the newest final block; nobody has anything before [`Pool::executed`] says who has what.
    head: State,
    /// None: nothing may be ordered.
    room: Option<Room>,
}

impl EvmLane {
    pub fn new(rollup: &Rollup, limits: &Limits) -> Self {
        let limits = EvmPoolLimits {
            transactions_max: limits.transactions_max,
            bytes_max: rollup.mempool_bytes_max,
            sender_transactions_max: limits.sender_transactions_max,
        };
        Self { pool: EvmPool::new(limits, rollup.ordering), head: State::default(), room: None }
    }

    /// Of somebody who may send.
    fn account(&self, sender: &Address) -> Result<AccountFacts, Refused> {
        if self.head.is_contract(sender) {
            return Err(Refused::SenderIsContract);
        }
        Ok(self.head.account(sender).copied().unwrap_or_default())
    }

    /// Gas that the next block has for it; none while it is paused.
    pub fn gas(&self) -> Option<u64> {
        self.room.map(|room| room.gas)
    }

    pub const fn is_paused(&self) -> bool {
        self.room.is_none()
    }

    /// What fits in this much gas.
    pub fn select(&self, gas: u64, bytes_max: usize, turn: impl Fn(&B256) -> Turn) -> Vec<Arc<Signed>> {
        let room = self.room.map(|room| Room { gas, ..room });
        room.map_or_else(Vec::new, |room| self.pool.select(room, bytes_max, turn))
    }

    pub fn has_work(&self, turn: impl Fn(&B256) -> Turn) -> bool {
        self.room.is_some_and(|room| self.pool.has_work(room, turn))
    }
}

pub(super) const fn id(hash: &B256) -> TxId {
    TxId(hash.0)
}

fn refusal(refused: &Refused) -> Refusal {
    let reason = match refused {
        Refused::Duplicate => Reason::Duplicate,
        Refused::NonceTooLow { .. } => Reason::NonceTooLow,
        Refused::NonceTooFar { .. } => Reason::NonceTooHigh,
        Refused::Underpriced { .. } => Reason::Underpriced,
        Refused::Balance { .. } => Reason::Balance,
        Refused::SenderIsContract => Reason::SenderIsContract,
        Refused::Full => return Refusal::new(Reason::Busy, refused.to_string()).retry_after(RETRY_MS),
    };
    Refusal::new(reason, refused.to_string())
}

impl Pool {
    /// Whether a unit waits by sender and nonce instead of in its lane's queue.
    pub(super) fn by_nonce(&self, lane: usize, single: bool) -> bool {
        single && self.lanes[lane].evm.is_some()
    }

    fn evm(&self, rollup: RollupId) -> Option<&EvmLane> {
        let lane = self.lanes.binary_search_by_key(&rollup, |lane| lane.rollup).ok()?;
        self.lanes[lane].evm.as_ref()
    }

    fn evm_mut(&mut self, rollup: RollupId) -> Option<&mut EvmLane> {
        let lane = self.lanes.binary_search_by_key(&rollup, |lane| lane.rollup).ok()?;
        self.lanes[lane].evm.as_mut()
    }

    /// What the rules of nonces, balances and fees say, and who makes room.
    pub(super) fn admit_signed(&mut self, checked: &Checked) -> Result<(), Refusal> {
        let Some(signed) = &checked.signed else { return Ok(()) };
        let (rollup, _) = checked.unit.legs().next().expect("checked units have legs");
        let (sender, nonce) = (signed.sender(), signed.envelope().nonce());
        let Some(lane) = self.evm(rollup) else { return Ok(()) };
        if let Some(waiting) = lane.pool.waiting(&sender, nonce)
            && !self.ids.contains(&id(&waiting.hash()))
        {
            let detail = format!("nonce {nonce} is ordered already, by transaction {}", waiting.hash());
            return Err(Refusal::new(Reason::NonceTooLow, detail));
        }
        let Some(lane) = self.evm_mut(rollup) else { return Ok(()) };
        let account = lane.account(&sender).map_err(|refused| refusal(&refused))?;
        let Admitted { replaced, evicted } =
            lane.pool.admit(Arc::clone(signed), account).map_err(|refused| refusal(&refused))?;
        if let Some(hash) = replaced {
            self.end(&hash, Rung::Superseded, Reason::Replaced);
        }
        for hash in evicted {
            self.end(&hash, Rung::Rejected, Reason::Busy);
        }
        Ok(())
    }

    /// Takes out what the nonces' pool has dropped, unless it is ordered.
    fn end(&mut self, hash: &B256, rung: Rung, reason: Reason) {
        let id = id(hash);
        if let Some(slot) = self.ids.get(&id).copied() {
            self.remove(slot);
            self.ended.push(Ended { id, rung, reason });
        }
    }

    /// It waits no longer, for a reason that is no block.
    pub(super) fn forget_signed(&mut self, checked: &Checked) {
        let rollup = checked.unit.legs().next().map(|(rollup, _)| rollup);
        if let (Some(signed), Some(rollup)) = (&checked.signed, rollup)
            && let Some(lane) = self.evm_mut(rollup)
        {
            lane.pool.remove(&signed.hash());
        }
    }

    /// What left without being ordered since the last call, except by expiry.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// What the next block has room for in every EVM rollup; those that are not named are paused.
    pub fn set_rooms(&mut self, rooms: &BTreeMap<RollupId, Room>) {
        for lane in &mut self.lanes {
            if let Some(evm) = &mut lane.evm {
                evm.room = rooms.get(&lane.rollup).copied();
            }
        }
    }

    /// The state is that of a later block, of which nobody says what it touched.
    pub fn restate(&mut self, rollup: RollupId, head: State) {
        let senders = self.evm(rollup).map(|lane| lane.pool.senders()).unwrap_or_default();
        self.executed(rollup, head, &senders, &[]);
    }

    /// A final block is executed: the state after it, whose accounts it touched, and what it left out.
    pub fn executed(&mut self, rollup: RollupId, head: State, touched: &[Address], skipped: &[TxId]) {
        let Some(lane) = self.evm_mut(rollup) else { return };
        for id in skipped {
            lane.pool.remove(&B256::from(id.0));
        }
        lane.head = head;
        let mut gone = Vec::new();
        for address in touched {
            if !lane.pool.contains_sender(address) {
                continue;
            }
            let account = lane.head.account(address).copied().unwrap_or_default();
            gone.extend(lane.pool.update(address, account).into_iter().map(|hash| (hash, account.nonce)));
        }
        for (hash, next) in gone {
            let Some(slot) = self.ids.get(&id(&hash)).copied() else { continue };
            match self.nonce(slot) {
                Some(nonce) if nonce < next => self.end(&hash, Rung::Superseded, Reason::NonceTooLow),
                _ => self.end(&hash, Rung::Rejected, Reason::Balance),
            }
        }
    }

    fn nonce(&self, slot: Slot) -> Option<u64> {
        Some(self.slab.get(slot).checked.signed.as_ref()?.envelope().nonce())
    }

    /// A transaction with its sender, from its admission until its execution is final.
    pub fn signed(&self, rollup: RollupId, id: &TxId) -> Option<&Arc<Signed>> {
        self.evm(rollup)?.pool.get(&B256::from(id.0))
    }

    /// Whether the rules of nonces, balances and fees would take a transaction now.
    pub fn check_signed(&self, rollup: RollupId, signed: &Signed) -> Result<(), Refused> {
        let Some(lane) = self.evm(rollup) else { return Ok(()) };
        lane.pool.check(signed, &lane.account(&signed.sender())?)
    }

    /// The nonce after the last that waits or is ordered without a gap; none when nothing of this sender is here.
    pub fn next_nonce(&self, rollup: RollupId, sender: &Address) -> Option<u64> {
        self.evm(rollup)?.pool.next_nonce(sender)
    }
}

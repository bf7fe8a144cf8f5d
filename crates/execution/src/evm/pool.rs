//! What waits to be ordered in an EVM rollup: one queue of nonces per sender.
//!
//! | event | effect |
//! |---|---|
//! | `admit` | the transaction waits, perhaps in the place of another; or is refused for one stated reason |
//! | `select` | nothing: the choice depends only on what waits, the room and what is ordered already |
//! | `update` | a sender's account changed: what is used up or not covered any more leaves |
//! | `remove` | it leaves: it expired, or was left out by execution |
//!
//! What is ordered stays until its execution is final: it holds its nonce, so that the ones after it can be
//! ordered meanwhile.
//!
//! Invariants: a sender's nonces lie in the `sender_transactions_max` from its account's on; its balance
//! covers the most that all it has here can cost together; the sums are those of what waits.
//!
//! **A full pool** loses the last nonce of somebody, the worst first: what stands behind a gap, then (by
//! `priority-fee`) the lowest tip, then the youngest. By `arrival` nothing executable is ever displaced. A
//! newcomer that would itself be the worst is refused, and then nothing changes.
//!
//! **Replacement** wants both fees to be a tenth higher, so that filling the network with small changes of
//! one transaction costs something.
//!
//! Absent: base fees at admission. What offers less than today's waits for a lower one.

use super::{changes::AccountFacts, transaction::Signed};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use baton_types::genesis::Ordering;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvmPoolLimits {
    pub transactions_max: usize,
    /// Raw transactions.
    pub bytes_max: usize,
    /// Nonces from the account's on that a sender may use.
    pub sender_transactions_max: u64,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("this very transaction waits already")]
    Duplicate,
    #[error("nonce {nonce} is used up: the account's next is {next}")]
    NonceTooLow { nonce: u64, next: u64 },
    #[error("nonce {nonce} is too far ahead: the account's next is {next}, and {slots} may wait")]
    NonceTooFar { nonce: u64, next: u64, slots: u64 },
    #[error("nonce {nonce} waits already: to replace it offer at least {fee} per gas and a tip of {tip}")]
    Underpriced { nonce: u64, fee: u128, tip: u128 },
    #[error("the sender has {balance}, all it has waiting may cost {cost}")]
    Balance { balance: U256, cost: U256 },
    #[error("the sender is a contract, which cannot sign (EIP-3607)")]
    SenderIsContract,
    #[error("the pool is full of better ones; try again later or offer a higher tip")]
    Full,
}

/// What the next block has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Base fee by which tips are compared: the last attested one, so that every voter knows it.
    pub order_fee: u64,
    /// What a transaction has to offer per gas.
    pub base_fee: u64,
    pub gas: u64,
}

/// What comes of a waiting transaction in a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Ready,
    /// The block's ancestry has it: it counts as executed.
    Ordered,
    /// Neither it nor the sender's later ones can go.
    Blocked,
}

/// What made room for an admitted transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// The one with the same nonce.
    pub replaced: Option<B256>,
    pub evicted: Vec<B256>,
}

#[derive(Debug)]
pub struct EvmPool {
    limits: EvmPoolLimits,
    ordering: Ordering,
    senders: BTreeMap<Address, Queue>,
    hashes: BTreeMap<B256, (Address, u64)>,
    /// One per sender, the worst first.
    tails: BTreeSet<Tail>,
    bytes: usize,
    /// Admissions so far.
    sequence: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    signed: Arc<Signed>,
    arrival: u64,
}

#[derive(Debug)]
struct Queue {
    account: AccountFacts,
    /// By nonce; never empty.
    waiting: BTreeMap<u64, Waiting>,
    cost: U256,
}

/// How dear the last of a sender's transactions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tail {
    executable: bool,
    tip: u128,
    age: Reverse<u64>,
    sender: Address,
}

/// A sender's next transaction in a selection.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    tip: u128,
    age: Reverse<u64>,
    sender: Address,
    nonce: u64,
}

/// What the fee recipient gets per gas at this base fee.
pub(super) fn tip(signed: &Signed, base_fee: u64) -> u128 {
    let over = signed.envelope().max_fee_per_gas().saturating_sub(u128::from(base_fee));
    tip_max(signed).min(over)
}

fn tip_max(signed: &Signed) -> u128 {
    let envelope = signed.envelope();
    envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas())
}

/// A tenth more, at least one.
const fn raised(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(10)).saturating_add((fee == 0) as u128)
}

impl Queue {
    fn tail(&self, ordering: Ordering) -> Option<Tail> {
        let (nonce, last) = self.waiting.last_key_value()?;
        Some(Tail {
            executable: nonce - self.account.nonce + 1 == self.waiting.len() as u64,
            tip: if ordering == Ordering::PriorityFee { tip_max(&last.signed) } else { 0 },
            age: Reverse(last.arrival),
            sender: last.signed.sender(),
        })
    }
}

impl EvmPool {
    pub const fn new(limits: EvmPoolLimits, ordering: Ordering) -> Self {
        Self {
            limits,
            ordering,
            senders: BTreeMap::new(),
            hashes: BTreeMap::new(),
            tails: BTreeSet::new(),
            bytes: 0,
            sequence: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Of the raw transactions.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self, hash: &B256) -> Option<&Arc<Signed>> {
        let (sender, nonce) = self.hashes.get(hash)?;
        Some(&self.senders.get(sender)?.waiting.get(nonce)?.signed)
    }

    /// The nonce after the last that is used up or waits without a gap; none when nothing waits.
    pub fn next_nonce(&self, sender: &Address) -> Option<u64> {
        let queue = self.senders.get(sender)?;
        (queue.account.nonce..).find(|nonce| !queue.waiting.contains_key(nonce))
    }

    /// `account` is the sender's in the state of the newest final block. A sender of whom something waits is
    /// taken as the last [`Self::update`] said.
    pub fn admit(&mut self, signed: Arc<Signed>, account: AccountFacts) -> Result<Admitted, Refused> {
        let (sender, nonce) = (signed.sender(), signed.envelope().nonce());
        let account = self.senders.get(&sender).map_or(account, |queue| queue.account);
        self.check(&signed, &account)?;
        let old = self.take(&sender, nonce);
        let arrival = self.sequence;
        self.sequence += 1;
        self.insert(account, Waiting { signed, arrival });
        let evicted = self.shrink();
        if evicted.iter().any(|(_, gone)| gone.arrival == arrival) {
            // As it was: what was worse made room for nothing.
            let others = evicted.into_iter().filter(|(_, gone)| gone.arrival != arrival);
            for (account, waiting) in others.chain(old.map(|old| (account, old))) {
                self.insert(account, waiting);
            }
            return Err(Refused::Full);
        }
        let evicted = evicted.iter().map(|(_, gone)| gone.signed.hash()).collect();
        Ok(Admitted { replaced: old.map(|old| old.signed.hash()), evicted })
    }

    /// Whether [`Self::admit`] would take it, as far as the sender decides.
    pub fn check(&self, signed: &Signed, account: &AccountFacts) -> Result<(), Refused> {
        let (nonce, next) = (signed.envelope().nonce(), account.nonce);
        if self.hashes.contains_key(&signed.hash()) {
            return Err(Refused::Duplicate);
        }
        let slots = self.limits.sender_transactions_max;
        match nonce.checked_sub(next) {
            None => return Err(Refused::NonceTooLow { nonce, next }),
            Some(ahead) if ahead >= slots => return Err(Refused::NonceTooFar { nonce, next, slots }),
            Some(_) => {}
        }
        let queue = self.senders.get(&signed.sender());
        let mut others = queue.map_or(U256::ZERO, |queue| queue.cost);
        if let Some(old) = queue.and_then(|queue| queue.waiting.get(&nonce)) {
            let (fee, tip) = (raised(old.signed.envelope().max_fee_per_gas()), raised(tip_max(&old.signed)));
            if signed.envelope().max_fee_per_gas() < fee || tip_max(signed) < tip {
                return Err(Refused::Underpriced { nonce, fee, tip });
            }
            others -= old.signed.cost_max();
        }
        let (balance, cost) = (account.balance, others.saturating_add(signed.cost_max()));
        if cost > balance { Err(Refused::Balance { balance, cost }) } else { Ok(()) }
    }

    fn insert(&mut self, account: AccountFacts, waiting: Waiting) {
        let (hash, sender) = (waiting.signed.hash(), waiting.signed.sender());
        let nonce = waiting.signed.envelope().nonce();
        let empty = || Queue { account, waiting: BTreeMap::new(), cost: U256::ZERO };
        let queue = self.senders.entry(sender).or_insert_with(empty);
        if let Some(tail) = queue.tail(self.ordering) {
            self.tails.remove(&tail);
        }
        self.bytes += waiting.signed.bytes();
        queue.cost += waiting.signed.cost_max();
        queue.waiting.insert(nonce, waiting);
        self.tails.extend(queue.tail(self.ordering));
        self.hashes.insert(hash, (sender, nonce));
    }

    pub fn waiting(&self, sender: &Address, nonce: u64) -> Option<&Arc<Signed>> {
        Some(&self.senders.get(sender)?.waiting.get(&nonce)?.signed)
    }

    /// Those of whom something waits.
    pub fn senders(&self) -> Vec<Address> {
        self.senders.keys().copied().collect()
    }

    pub fn contains_sender(&self, sender: &Address) -> bool {
        self.senders.contains_key(sender)
    }

    /// Takes one out, if it waits.
    pub fn remove(&mut self, hash: &B256) {
        if let Some((sender, nonce)) = self.hashes.get(hash).copied() {
            self.take(&sender, nonce);
        }
    }

    fn take(&mut self, sender: &Address, nonce: u64) -> Option<Waiting> {
        let queue = self.senders.get_mut(sender)?;
        let tail = queue.tail(self.ordering);
        let gone = queue.waiting.remove(&nonce)?;
        if let Some(tail) = tail {
            self.tails.remove(&tail);
        }
        self.bytes -= gone.signed.bytes();
        queue.cost -= gone.signed.cost_max();
        self.hashes.remove(&gone.signed.hash());
        if let Some(tail) = queue.tail(self.ordering) {
            self.tails.insert(tail);
        } else {
            self.senders.remove(sender);
        }
        Some(gone)
    }

    /// Takes the worst out until the rest fits, with the account of each.
    fn shrink(&mut self) -> Vec<(AccountFacts, Waiting)> {
        let mut gone = Vec::new();
        while self.hashes.len() > self.limits.transactions_max || self.bytes > self.limits.bytes_max {
            let Some(Tail { sender, .. }) = self.tails.first().copied() else { break };
            let queue = self.senders.get(&sender).expect("who has a tail has a queue");
            let (account, last) = (queue.account, queue.waiting.last_key_value());
            let nonce = *last.expect("queues are never empty").0;
            gone.extend(self.take(&sender, nonce).map(|waiting| (account, waiting)));
        }
        gone
    }

    /// The account of a sender in the state of the newest final block. Returns what left: used-up nonces,
    /// and from the last on what the balance does not cover any more.
    pub fn update(&mut self, sender: &Address, account: AccountFacts) -> Vec<B256> {
        let Some(queue) = self.senders.get_mut(sender) else { return Vec::new() };
        if let Some(tail) = queue.tail(self.ordering) {
            self.tails.remove(&tail);
        }
        queue.account = account;
        let ahead = queue.waiting.split_off(&account.nonce);
        let mut gone: Vec<_> = std::mem::replace(&mut queue.waiting, ahead).into_values().collect();
        gone.iter().for_each(|waiting| queue.cost -= waiting.signed.cost_max());
        while queue.cost > account.balance {
            let Some((_, last)) = queue.waiting.pop_last() else { break };
            queue.cost -= last.signed.cost_max();
            gone.push(last);
        }
        if let Some(tail) = queue.tail(self.ordering) {
            self.tails.insert(tail);
        } else {
            self.senders.remove(sender);
        }
        for waiting in &gone {
            self.bytes -= waiting.signed.bytes();
            self.hashes.remove(&waiting.signed.hash());
        }
        gone.iter().map(|waiting| waiting.signed.hash()).collect()
    }

    /// What a block may carry, in its order. `turn` is asked what comes of each.
    pub fn select(&self, room: Room, bytes_max: usize, turn: impl Fn(&B256) -> Turn) -> Vec<Arc<Signed>> {
        let first = |queue: &Queue| self.candidate(queue, queue.account.nonce, room, &turn);
        let mut heads: BinaryHeap<Candidate> = self.senders.values().filter_map(first).collect();
        let (mut gas_left, mut bytes_left, mut chosen) = (room.gas, bytes_max, Vec::new());
        while let Some(Candidate { sender, nonce, .. }) = heads.pop() {
            let queue = &self.senders[&sender];
            let signed = &queue.waiting[&nonce].signed;
            let gas = signed.envelope().gas_limit();
            // The sender's later ones need this one; the others go on.
            if gas > gas_left || signed.bytes() > bytes_left {
                continue;
            }
            gas_left -= gas;
            bytes_left -= signed.bytes();
            chosen.push(Arc::clone(signed));
            heads.extend(self.candidate(queue, nonce + 1, room, &turn));
        }
        chosen
    }

    /// Whether [`Self::select`] with enough room would return anything.
    pub fn has_work(&self, room: Room, turn: impl Fn(&B256) -> Turn) -> bool {
        let mut heads =
            self.senders.values().filter_map(|queue| self.candidate(queue, queue.account.nonce, room, &turn));
        heads.any(|head| {
            self.senders[&head.sender].waiting[&head.nonce].signed.envelope().gas_limit() <= room.gas
        })
    }

    /// The first from this nonce on that is not ordered. None when nothing waits with its nonce, it is
    /// blocked, or it offers less than the base fee.
    fn candidate(
        &self,
        queue: &Queue,
        mut nonce: u64,
        room: Room,
        turn: &impl Fn(&B256) -> Turn,
    ) -> Option<Candidate> {
        let mut waiting = queue.waiting.get(&nonce)?;
        loop {
            match turn(&waiting.signed.hash()) {
                Turn::Ready => break,
                Turn::Blocked => return None,
                Turn::Ordered => nonce = nonce.checked_add(1)?,
            }
            waiting = queue.waiting.get(&nonce)?;
        }
        let Waiting { signed, arrival } = waiting;
        if signed.envelope().max_fee_per_gas() < u128::from(room.base_fee) {
            return None;
        }
        let tip = if self.ordering == Ordering::PriorityFee { tip(signed, room.order_fee) } else { 0 };
        Some(Candidate { tip, age: Reverse(*arrival), sender: signed.sender(), nonce })
    }
}

#[cfg(test)]
mod tests;

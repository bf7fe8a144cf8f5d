//! Forced entries of L1: which are ordered, which are left out, how many a block takes.
//!
//! An entry is ordered when the rollup takes such a transaction and the block's ancestry does not have it
//! yet. What is left out has a reason that every node finds; it moves the cursor all the same, so that nobody
//! can stop a queue with nonsense. A transaction that is ordered can still be skipped when it is executed,
//! as any other.
//!
//! By how much: up to the genesis's quota of entries and bytes, and in an EVM rollup up to half of a block's gas,
//! but one always. A proposer takes what the quota allows; a voter asks for one.

use crate::{Rules, Violation, evm::Signed};
use alloy_consensus::Transaction as _;
use baton_types::{
    Block, EvmRollups, RollupId, Segment, Transaction, TxId,
    forced::{Envelope, FORCED_FROM, Fate, Taken, data_hash},
    genesis::Data,
    receipt::Reason,
};
use bytes::Bytes;

/// Why a rollup does not order an entry, whatever is in the ancestry; none when it does.
pub fn unfit(rules: &Rules, rollup: RollupId, gas: u64, data: &[u8]) -> Option<Reason> {
    let facts = rules.rollup(rollup)?;
    if data.len() > facts.transaction_bytes_max {
        return Some(Reason::TooLarge);
    }
    if data.is_empty() {
        return Some(Reason::Empty);
    }
    if facts.data == Data::Hash && data.len() != 32 {
        return Some(Reason::NotAHash);
    }
    let params = rules.evm(rollup)?;
    match Signed::decode(data, params) {
        Err(skip) => Some(skip.reason()),
        Ok(signed) if signed.envelope().gas_limit() > gas => Some(Reason::GasLimit),
        Ok(_) => None,
    }
}

/// As [`unfit`], of an entry whose transaction may be in the ancestry.
fn left_out(
    rules: &Rules,
    rollup: RollupId,
    gas: u64,
    transaction: &Transaction,
    ordered: impl Fn(&TxId) -> bool,
) -> Option<Reason> {
    let twice = || ordered(&id(rules, rollup, transaction)).then_some(Reason::Duplicate);
    unfit(rules, rollup, gas, &transaction.payload).or_else(twice)
}

fn id(rules: &Rules, rollup: RollupId, transaction: &Transaction) -> TxId {
    EvmRollups::new(rules.evm(rollup).map(|_| rollup)).id(rollup, transaction)
}

/// The transaction of an entry.
pub const fn transaction(index: u64, data: Bytes) -> Transaction {
    Transaction { valid_until: FORCED_FROM + index, bundle: None, payload: data }
}

/// What one rollup's entries have used of a block's quota.
#[derive(Default)]
struct Used {
    entries: usize,
    bytes: usize,
    gas: u64,
}

impl Used {
    /// Counts one more entry; false when the quota has no room for it.
    fn add(&mut self, rules: &Rules, rollup: RollupId, gas: u64, bytes: usize) -> bool {
        let Some(quota) = rules.forced() else { return false };
        let gas_max = rules.evm(rollup).map_or(u64::MAX, |params| params.gas_limit / 2);
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.gas = self.gas.saturating_add(gas);
        let within = self.bytes <= quota.bytes_max && self.gas <= gas_max;
        self.entries == 1 || (self.entries <= quota.entries_max && within)
    }
}

/// What a block takes of one queue.
#[derive(Debug, Default)]
pub struct Pick {
    pub taken: Vec<Taken>,
    pub transactions: Vec<Transaction>,
    /// Gas that the transactions may use.
    pub gas: u64,
}

/// The next entries from `cursor` on, as many as a block may take. `ordered` tells what the ancestry has.
pub fn pick(
    rules: &Rules,
    rollup: RollupId,
    cursor: u64,
    entries: impl Iterator<Item = (Envelope, Bytes)>,
    ordered: impl Fn(&TxId) -> bool,
) -> Pick {
    let (mut pick, mut used, mut ids) = (Pick::default(), Used::default(), Vec::new());
    let bytes_max = rules.rollup(rollup).map_or(0, |rollup| rollup.transaction_bytes_max);
    for (index, (envelope, data)) in (cursor..).zip(entries) {
        let too_large = data.len() > bytes_max;
        let bytes = if too_large { 0 } else { data.len() };
        let transaction = transaction(index, data);
        let own = id(rules, rollup, &transaction);
        let reason =
            left_out(rules, rollup, envelope.gas, &transaction, |id| ordered(id) || ids.contains(id));
        let gas = if reason.is_none() { envelope.gas } else { 0 };
        if !used.add(rules, rollup, gas, bytes) {
            break;
        }
        let fate = match reason {
            None => {
                ids.push(own);
                pick.gas = pick.gas.saturating_add(gas);
                pick.transactions.push(transaction);
                Fate::Ordered
            }
            Some(_) if too_large => Fate::TooLarge(data_hash(&transaction.payload)),
            Some(_) => Fate::LeftOut(transaction.payload),
        };
        pick.taken.push(Taken { envelope, fate });
    }
    pick
}

/// Whether a block ordered and left out what it had to, and no more than the quota. That the entries are those
/// of the queue is checked before (`baton_types::forced`); that one is too large is for those to say who
/// have it.
pub fn check(rules: &Rules, block: &Block, ordered: impl Fn(&TxId) -> bool) -> Result<(), Violation> {
    let Some(part) = &block.body().l1 else { return Ok(()) };
    for (rollup, taken) in &part.news.taken {
        let segment = block.body().segments.iter().find(|segment| segment.rollup == *rollup);
        let after = part.state.queues.get(rollup).map_or(0, |queue| queue.cursor);
        let first = after.saturating_sub(taken.len() as u64);
        check_rollup(rules, *rollup, (first..).zip(taken), segment, &ordered)?;
    }
    Ok(())
}

fn check_rollup<'a>(
    rules: &Rules,
    rollup: RollupId,
    taken: impl Iterator<Item = (u64, &'a Taken)>,
    segment: Option<&Segment>,
    ordered: impl Fn(&TxId) -> bool,
) -> Result<(), Violation> {
    let mut forced = segment.into_iter().flat_map(|segment| &segment.transactions);
    let (mut used, mut ids) = (Used::default(), Vec::new());
    for (index, Taken { envelope, fate }) in taken {
        let (data, is_ordered) = match fate {
            Fate::Ordered => (forced.next().map(|transaction| transaction.payload.clone()), true),
            Fate::LeftOut(data) => (Some(data.clone()), false),
            Fate::TooLarge(_) => (None, false),
        };
        let Some(data) = data else {
            if !used.add(rules, rollup, 0, 0) {
                return Err(Violation::ForcedQuota { rollup });
            }
            continue;
        };
        let bytes = data.len();
        let transaction = transaction(index, data);
        let known = |id: &TxId| ordered(id) || ids.contains(id);
        let reason = left_out(rules, rollup, envelope.gas, &transaction, known);
        if reason.is_none() != is_ordered {
            return Err(Violation::ForcedFate { rollup, reason });
        }
        if is_ordered {
            ids.push(id(rules, rollup, &transaction));
        }
        if !used.add(rules, rollup, if is_ordered { envelope.gas } else { 0 }, bytes) {
            return Err(Violation::ForcedQuota { rollup });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

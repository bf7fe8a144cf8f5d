//! Whether a segment stands in the order of tips, as rollups ordered by `priority-fee` want it (§10.8).
//!
//! The order is a merge: every sender's transactions by nonce, and of all senders' next ones always one with
//! the highest tip. Tips are compared at the last attested base fee, which the block's parent
//! carries: so the rule needs nobody's execution.
//!
//! Legs of bundles are exempt: moving one by its tip would move the others.

use super::{pool::tip, transaction::Signed};
use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use std::collections::{BTreeMap, BinaryHeap};

/// The first transaction before which another had to stand.
pub fn misplaced<'a>(transactions: &[&'a Signed], base_fee: u64) -> Option<&'a Signed> {
    let mut queues = BTreeMap::<Address, Vec<u128>>::new();
    let mut nonces = BTreeMap::<Address, u64>::new();
    for signed in transactions.iter().rev() {
        let nonce = signed.envelope().nonce();
        if nonces.insert(signed.sender(), nonce).is_some_and(|later| later <= nonce) {
            return Some(signed);
        }
        queues.entry(signed.sender()).or_default().push(tip(signed, base_fee));
    }
    let mut heads: BinaryHeap<u128> = queues.values_mut().filter_map(Vec::pop).collect();
    transactions.iter().copied().find(|signed| {
        if heads.pop() != Some(tip(signed, base_fee)) {
            return true;
        }
        heads.extend(queues.get_mut(&signed.sender()).and_then(Vec::pop));
        false
    })
}

#[cfg(test)]
mod tests;

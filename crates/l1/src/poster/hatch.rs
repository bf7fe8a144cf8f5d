//! The way on when an inbox refuses a batch because it leaves out entries that have expired: those of an outage that
//! lasted longer than entries may wait. The blocks that have the entries are further on in the line, so no later batch
//! can come first. Once the hatch is open, the poster takes the entries through it, and the members sign the batch again
//! behind it.

use crate::{
    client::{Client, L1Error},
    contracts::{BatchInbox, ForcedQueue},
    transaction::{Draft, Fees},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, TxKind};
use alloy_sol_types::SolCall as _;

/// Takes all entries from the expired `entry` on that have expired, and says before which one.
pub(super) async fn draft(
    client: &Client,
    inbox: Address,
    queue: Address,
    entry: u64,
    fees: Fees,
) -> Result<(u64, Draft), L1Error> {
    let at = BlockId::latest();
    // Deadlines never decrease.
    let (mut to, mut end) = (entry + 1, client.read(queue, &ForcedQueue::lengthCall {}, at).await?);
    while to < end {
        let middle = to + (end - to) / 2;
        match client.read(queue, &ForcedQueue::expiredCall { index: middle }, at).await? {
            true => to = middle + 1,
            false => end = middle,
        }
    }
    let input = BatchInbox::escapeCall { to }.abi_encode().into();
    Ok((to, Draft { nonce: 0, to: TxKind::Call(inbox), input, gas: 0, fees, sidecar: None }))
}

//! Joining a cluster whose members no longer have the beginning of the chain.
//!
//! ```text
//!  newcomer ── where could I join? ──► all members
//!           ◄── lowest block I have; a certified block V below my tip ── f + 1 of them
//!           ── who holds the key in its epoch? ──► one member, the next when it does not answer
//!           ◄── last block of the epoch before, certified
//!  then: marshal begins at that floor, the key ceremony in its epoch, history and index at its peaks
//! ```
//! V is `validity_blocks_max`: when the newcomer has followed V blocks it knows every id that a block
//! could repeat, and that is about when it reaches the tip (`execution::recent` holds it to that).
//!
//! # Rules
//! - *Who joins.* Only a node that keeps a window, when it starts: if it lacks the next block and one of
//!   f + 1 members has it no more, or if it is more than its window behind. A node that keeps everything
//!   replays everything.
//! - *How long it asks.* Without any data until f + 1 members answered; that many also make a
//!   cluster that is new. With data [`PATIENCE`]: it may be the cluster that is down.
//! - *Which floor.* The highest of those offered by f + 1 members. At least one of them is correct and
//!   up to date, so the floor is no older than what that one offers.
//! - *Trust.* Nothing is believed that does not verify under the group key of the genesis. A member
//!   that offers what does not is blocked. A false `lowest` costs the newcomer old blocks, no more.
//! - *Restart.* The floor and its epoch are on disk before anything begins there. A node that
//!   stopped before its floor arrived goes on with that, or with a newer one.
//! - *Falling behind while running.* What the ceremony and the engines cannot skip while they run they
//!   can skip at a start. So a node that finds that f + 1 members no longer have its next block
//!   ends, and says so; its supervisor starts it again.
//!
//! # Why no vote is cast twice
//! Secrets and vote journals stay what they are. The epoch of the floor is entered with the journal of that
//! epoch, if there is one: the engine goes on from whichever is higher. A node whose disk was wiped
//! has neither share nor journal and gets a share from the next reshare.
//!
//! # Deviations
//! The library's probe takes the latest finalization as the floor. The newcomer would then be silent
//! for V blocks, so members here offer an older one.
//!
//! Deliberately absent: the state of executed rollups, and members other than those of the genesis.

mod actor;
mod record;
mod wire;

pub use actor::{Actor, Config, Mailbox, Source};
pub use record::{Joined, Record};
pub use wire::{Checks, EpochStart, Floor, Message, Offer, message_bytes_max};

use crate::{aliases::Runtime, shared::Shared};
use baton_types::EpochInfo;
use commonware_consensus::Epochable as _;
use commonware_glue::dkg::state_sync::StateSync;
use commonware_macros::select;
use std::{sync::Arc, time::Duration};
use tracing::{error, info, warn};

/// How long a node with data of its own asks before it goes on with that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time without a finalized block after which a node asks whether its peers still have the next one.
const SILENCE: Duration = Duration::from_secs(10);

/// Where this node stands when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The last height that is processed here.
    pub processed: Option<u64>,
    /// Blocks that this node keeps.
    pub window: u64,
}

/// The floor to begin at; none when this node goes on where it stands.
pub async fn decide<E: Runtime>(
    context: &E,
    mailbox: &Mailbox,
    record: &mut Record<E>,
    genesis: EpochInfo,
    standing: Standing,
) -> Option<Joined> {
    let next = standing.processed.map_or(1, |height| height + 1);
    let known = record.get();
    let patience = (standing.processed.is_some() || known.is_some()).then_some(PATIENCE);
    // Chosen by an earlier start, and not arrived before that ended.
    let unfinished = known.filter(|joined| joined.height > next);
    let Some(offers) = within(context, patience, mailbox.survey(next)).await.flatten() else {
        warn!(next, "too few members answered where to join: going on from what is here");
        return unfinished;
    };
    let from = unfinished.as_ref().map_or(next, |joined| joined.height);
    let floors = offers.iter().filter_map(|offer| offer.floor.as_ref());
    let floor = floors.max_by_key(|floor| floor.header.height).filter(|floor| floor.header.height > from);
    let Some(floor) = floor else { return unfinished };
    let height = floor.header.height;
    let gone = offers.iter().any(|offer| offer.lowest > next);
    if unfinished.is_none() && !gone && height <= next + standing.window {
        return None;
    }
    let epoch = floor.certificate.epoch();
    let epoch_info = if epoch.is_zero() {
        Some(genesis)
    } else {
        within(context, patience, mailbox.epoch(epoch)).await.flatten()
    };
    let Some(epoch_info) = epoch_info else {
        warn!(height, %epoch, "no member told who holds the key in the epoch of the floor");
        return unfinished;
    };
    info!(next, height, %epoch, "joining at a certified block: the blocks before it are not fetched");
    let joined = Joined { height, sync: StateSync { info: epoch_info, floor: floor.certificate.clone() } };
    record.put(joined.clone()).await;
    Some(joined)
}

async fn within<E: Runtime, T>(
    context: &E,
    limit: Option<Duration>,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let Some(limit) = limit else { return Some(answer.await) };
    select! {
        answer = answer => Some(answer),
        _ = context.sleep(limit) => None,
    }
}

/// Watches whether this node can get its next block at all. Ends when it cannot, and could join higher up.
pub async fn watch<E: Runtime>(context: E, mailbox: Mailbox, shared: Arc<Shared>, may_join: bool) {
    let mut before = shared.finalized_height();
    loop {
        context.sleep(SILENCE).await;
        let now = shared.finalized_height();
        if now > before {
            before = now;
            shared.unavailable(None);
            continue;
        }
        // Where this node joins, that block comes first.
        let next = (now + 1).max(shared.lowest_height());
        let Some(offers) = within(&context, Some(SILENCE), mailbox.survey(next)).await.flatten() else {
            continue;
        };
        let lowest = offers.iter().map(|offer| offer.lowest).min().unwrap_or(0);
        if lowest <= next || shared.finalized_height() > now {
            continue;
        }
        if may_join {
            error!(
                next,
                lowest,
                "peers no longer have the next block: start this node again, and it joins at a later one"
            );
            return;
        }
        if shared.live().unavailable_below != Some(lowest) {
            error!(
                next,
                lowest,
                "no peer that answered has the next block, and storage.history is \"full\": copy the data \
                 directory of a node that has the whole chain, without its secrets, or keep a window"
            );
            shared.unavailable(Some(lowest));
        }
    }
}

#[cfg(test)]
mod tests;

//! How much may wait to be ordered: about what the cluster orders in the time that a transaction may wait.
//!
//! ```text
//!  finalized blocks ─► pace ────────┐
//!  own transactions ─► time allowed ┴─► room = pace × time ─► a request is taken, or refused with `busy`
//! ```
//! A longer queue orders nothing faster; it only makes everybody wait. So what is more than the cluster can do
//! is refused at the door of each node, before it costs anything, and what is taken stays quick.
//!
//! Rules by event:
//! - *Request of a client.* Taken as a whole while less than the room waits, whoever it is from. A node of whose
//!   own clients less than its n-th of the room waits takes it even then: one flooded node does not close
//!   the doors of the others.
//! - *Refusal.* It says when to come back: when half of the room is free again, and later by the square of how
//!   many ask for each that is taken, so that those who wait do not keep the node busy with asking.
//! - *Finalized block.* The pace is what was finalized over [`PACE_MS`] or longer; the best of the last seconds
//!   counts, so that a pause does not close the door, and a quiet cluster can be loaded step by step.
//! - *Own transaction final.* One at a time is watched from admission to finality. Where even the quickest takes
//!   long, as between continents, the time allowed is [`SHORTEST_TIMES`] times that.
//!
//! Amounts are payload bytes and [`TRANSACTION_BYTES`] for each transaction, so that many small ones count for
//! the work they are.
//!
//! Deliberately absent: limits on what other members send. Their share of the pool bounds it
//! (`execution::pool`), and refusing it would lose what has a receipt.

use baton_execution::pool::Usage;
use baton_types::{
    Block, TxId,
    receipt::{Reason, Refusal},
};
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// What handling a transaction costs, whatever its size, as bytes of payload.
const TRANSACTION_BYTES: u64 = 200;
/// Room that there always is: a first load has to get in before there is any pace.
const ROOM_MIN: u64 = 1024 * 1024;
/// A pace over less would be that of a lucky moment: after a pause several blocks become final at once.
const PACE_MS: u64 = 1_000;
/// For so many seconds the best pace is remembered.
const PACES_MAX: u64 = 5;
/// Blocks within one [`PACE_MS`]; more are not told apart.
const BLOCKS_MAX: usize = 1_024;
/// A node that is further behind catches up, and its pace is not that of the cluster.
const BEHIND_MAX: u64 = 8;
/// From the shortest wait to one that is still fine: a block or two more on the way.
const SHORTEST_TIMES: u64 = 3;
/// The shortest wait grows by 2^-14 per block, doubling in 11,000 blocks in which nothing was as quick.
const FADE_BITS: u32 = 14;
/// What a refused client is told to wait at least and at most.
const RETRY_MS_MIN: u64 = 20;
const RETRY_MS_MAX: u64 = 2_000;

/// What transactions count for together.
const fn amount(of: Usage) -> u64 {
    (of.bytes as u64).saturating_add((of.transactions as u64).saturating_mul(TRANSACTION_BYTES))
}

pub fn contents(block: &Block) -> Usage {
    let payloads = block.body().segments.iter().flat_map(|segment| &segment.transactions);
    let bytes = payloads.map(|transaction| transaction.payload.len()).sum();
    Usage { transactions: block.transactions(), bytes }
}

pub struct Admission {
    wait_ms_max: u64,
    members: u64,
    /// When blocks became final and what was in them, over the last [`PACE_MS`] and a little more.
    blocks: VecDeque<(u64, u64)>,
    /// The best pace of a second: the second, and the amount per second.
    paces: VecDeque<(u64, u64)>,
    /// In units of 2^-14 ms.
    shortest: Option<u64>,
    /// The own transaction being watched, and when it was admitted.
    watched: Option<(TxId, u64)>,
    /// Requests of this second and of the one before.
    doors: [Door; 2],
}

/// Requests of clients in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Door {
    second: u64,
    taken: u64,
    refused: u64,
}

impl Admission {
    pub const fn new(wait_ms_max: u64, members: u64) -> Self {
        Self {
            wait_ms_max,
            members,
            blocks: VecDeque::new(),
            paces: VecDeque::new(),
            shortest: None,
            watched: None,
            doors: [Door { second: 0, taken: 0, refused: 0 }; 2],
        }
    }

    /// Whether a client's request may come in while `all` waits, of it `own` from this node's clients.
    pub fn check(&mut self, now: u64, all: Usage, own: Usage) -> Result<(), Refusal> {
        let room = self.room(now);
        if amount(all) < room || amount(own) < room / self.members.max(1) {
            return Ok(());
        }
        let transactions = all.transactions;
        let detail = format!(
            "{transactions} transactions wait, as many as the cluster orders within {} ms (limits.wait_ms_max, \
             longer on a slow network); retry, or use another node",
            self.wait_ms()
        );
        self.door(now).refused += 1;
        let (taken, refused) = self
            .doors
            .iter()
            .fold((0, 0), |(taken, refused), door| (taken + door.taken, refused + door.refused));
        let taken = taken.max(1);
        let asked = taken + refused;
        // By then about half of the room is free again, so that it never runs empty.
        let half = self.wait_ms() / 2;
        let retry = half.saturating_mul(asked.saturating_mul(asked)) / taken.saturating_mul(taken);
        Err(Refusal::new(Reason::Busy, detail).retry_after(retry.clamp(RETRY_MS_MIN, RETRY_MS_MAX)))
    }

    fn room(&self, now: u64) -> u64 {
        let since = (now / 1_000).saturating_sub(PACES_MAX);
        let paces = self.paces.iter().filter(|(second, _)| *second >= since).map(|(_, pace)| *pace);
        let pace = paces.max().unwrap_or(0);
        (pace.saturating_mul(self.wait_ms()) / 1_000).max(ROOM_MIN)
    }

    /// How long a transaction may wait.
    fn wait_ms(&self) -> u64 {
        let shortest = self.shortest.map_or(0, |shortest| shortest >> FADE_BITS);
        self.wait_ms_max.max(shortest.saturating_mul(SHORTEST_TIMES))
    }

    /// A client's request was taken, with this transaction in it.
    pub fn admitted(&mut self, now: u64, id: TxId) {
        self.door(now).taken += 1;
        self.watched.get_or_insert((id, now));
    }

    /// The count of the present second.
    fn door(&mut self, now: u64) -> &mut Door {
        let second = now / 1_000;
        if self.doors[1].second != second {
            let last = self.doors[1];
            let before = if last.second + 1 == second { last } else { Door::default() };
            self.doors = [before, Door { second, ..Door::default() }];
        }
        &mut self.doors[1]
    }

    /// A block with so much in it became final, `behind` blocks below the tip. `waits` tells what is in the
    /// pool now.
    pub fn finalized(&mut self, now: u64, block: Usage, behind: u64, waits: impl FnOnce(&TxId) -> bool) {
        self.shortest = self.shortest.map(|shortest| shortest.saturating_add(shortest >> FADE_BITS));
        if let Some((id, since)) = self.watched
            && !waits(&id)
        {
            self.watched = None;
            let wait = now.saturating_sub(since).max(1) << FADE_BITS;
            self.shortest = Some(self.shortest.map_or(wait, |shortest| shortest.min(wait)));
        }
        if behind > BEHIND_MAX {
            self.blocks.clear();
            return;
        }
        self.blocks.push_back((now, amount(block)));
        let beyond = |block: &(u64, u64)| now.saturating_sub(block.0) >= PACE_MS;
        while self.blocks.len() > BLOCKS_MAX || self.blocks.get(1).is_some_and(beyond) {
            self.blocks.pop_front();
        }
        let elapsed = self.blocks.front().map_or(0, |(from, _)| now.saturating_sub(*from));
        if elapsed >= PACE_MS {
            let finalized: u64 = self.blocks.iter().skip(1).map(|(_, amount)| *amount).sum();
            self.note(now / 1_000, finalized.saturating_mul(1_000) / elapsed);
        }
    }

    fn note(&mut self, second: u64, pace: u64) {
        match self.paces.back_mut() {
            Some((last, best)) if *last == second => *best = pace.max(*best),
            _ => self.paces.push_back((second, pace)),
        }
        while self.paces.len() as u64 > PACES_MAX {
            self.paces.pop_front();
        }
    }
}

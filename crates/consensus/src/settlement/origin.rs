//! The origin and the forced entries of a block, as this node sees L1.
//!
//! A proposer moves the origin to a block that has been eligible for a while and that 2f+1 members report, so
//! that voters have it; when its move finds no quorum all the same, it does not try again for a while. A voter compares a move with its own view, and waits while that is behind; it says no
//! only to what its view shows to be wrong for good: other entries than that very block of L1 has, or
//! entries left out that it could hand to anybody.

use super::Offer;
use baton_execution::Rules as ChainRules;
use baton_settlement::{ForcedEntry, L1Origin, L1View, Snapshot, Standing};
use baton_types::{
    Block, Digest, Header, RollupId, Round,
    forced::{
        Envelope, Fate, L1Part, News, PENDING_MAX, Queue, Rules, State, Unsound, data_hash, entry_hash,
    },
    merkle::EMPTY,
    settlement::L1Address,
};
use commonware_utils::sync::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// An own move that found no quorum is not made again for up to two to this power of blocks.
const STRIKES_MAX: u32 = 6;

/// What a member needs to judge and to make the part of a block that speaks of L1.
#[derive(Clone)]
pub struct L1 {
    pub rules: Rules,
    view: Arc<dyn L1View>,
    moves: Arc<Mutex<Moves>>,
}

/// Own moves of the origin.
#[derive(Default)]
struct Moves {
    /// The last one that is not decided, with the height of its block.
    last: Option<(Round, u64)>,
    strikes: u32,
    withheld_below: u64,
}

/// What a block of this node says of L1, but for the entries that it takes.
pub struct Plan {
    pub origin: L1Origin,
    pub news: News,
    /// What it can take, by rollup; an empty offer where entries are pending and not here.
    pub offers: BTreeMap<RollupId, Offer>,
}

/// What this node's view says of a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Sight {
    Fits,
    /// It may still come.
    Unseen,
    Differs(Differs),
}

/// Why a block cannot be what L1 says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Differs {
    #[error("the queue of rollup {0} is another one at its L1 origin")]
    Queue(RollupId),
    #[error("a forced entry of rollup {0} is not too large")]
    Size(RollupId),
    #[error("the pending forced entry of rollup {0} was left out, and this node has it")]
    LeftOut(RollupId),
}

impl L1 {
    pub fn new(rules: Rules, view: Arc<dyn L1View>) -> Self {
        Self { rules, view, moves: Arc::default() }
    }

    /// A view is over. When an own move went with it, more members than f may be unable to follow.
    pub fn passed(&self, round: Round, certified: bool) {
        let mut moves = self.moves.lock();
        let Some((_, height)) = moves.last.take_if(|(last, _)| *last == round) else { return };
        if certified {
            moves.strikes = 0;
        } else {
            moves.strikes = (moves.strikes + 1).min(STRIKES_MAX);
            moves.withheld_below = height + (1 << moves.strikes);
        }
    }

    /// What the child of `parent` with this header says; none when it would not stand: 2f+1 members report
    /// more of L1 than is to be seen here.
    pub fn plan(&self, parent: &Block, header: &Header) -> Option<Plan> {
        let known = &parent.body().l1.as_ref()?.state;
        let snapshot = self.view.snapshot();
        let report = snapshot.eligible.map_or(0, |origin| origin.number);
        let stays = L1Origin { number: parent.header().l1_number, hash: parent.header().l1_hash };
        let eased = self.rules.eased(known, header);
        let withheld = header.height < self.moves.lock().withheld_below;
        let moved = if withheld { None } else { self.next(&snapshot, known, stays.number) };
        if moved.is_some() {
            self.moves.lock().last = Some((header.round(), header.height));
        }
        let (origin, arrived) = moved.unwrap_or((stays, BTreeMap::new()));
        if origin.number < self.rules.least(known) && !eased {
            return None;
        }
        let queues = self.rules.open(known, &arrived).ok()?;
        let offers = self.offers(&snapshot, queues);
        Some(Plan { origin, news: News { report, arrived, taken: BTreeMap::new() }, offers })
    }

    /// The newest origin that the other members can be expected to know, if it is above `number`.
    fn next(
        &self,
        snapshot: &Snapshot,
        known: &State,
        number: u64,
    ) -> Option<(L1Origin, BTreeMap<RollupId, Queue>)> {
        let newest = snapshot.proposable?.number.min(self.rules.agreed(known)?);
        if newest <= number.max(self.rules.start_block) {
            return None;
        }
        let (hash, _) = snapshot.blocks.get(&newest)?;
        let origin = L1Origin { number: newest, hash: *hash };
        let mut arrived = BTreeMap::new();
        for (rollup, queue) in &known.queues {
            let at = queue_at(snapshot, *rollup, queue, &origin)?;
            if at != *queue {
                arrived.insert(*rollup, at);
            }
        }
        Some((origin, arrived))
    }

    fn offers(&self, snapshot: &Snapshot, queues: BTreeMap<RollupId, Queue>) -> BTreeMap<RollupId, Offer> {
        let offer = |(rollup, queue): (RollupId, Queue)| {
            let here = (queue.cursor..).zip(&queue.pending).map_while(|(index, hash)| {
                let entry = entry(snapshot, rollup, index, hash)?;
                Some((envelope(entry), entry.data.clone()))
            });
            let entries = here.take(self.rules.entries_max).collect();
            (rollup, Offer { cursor: queue.cursor, entries })
        };
        queues.into_iter().filter(|(_, queue)| !queue.pending.is_empty()).map(offer).collect()
    }

    /// Whether a block on `parent` could take a forced entry that is here.
    pub fn has_work(&self, parent: &Block) -> bool {
        let Some(part) = &parent.body().l1 else { return false };
        let snapshot = self.view.snapshot();
        part.state.queues.iter().any(|(rollup, queue)| {
            let first = queue.pending.first();
            first.is_some_and(|hash| entry(&snapshot, *rollup, queue.cursor, hash).is_some())
        })
    }

    /// Whether a block's part follows from its parent's. Needs no view of L1.
    pub fn check(&self, parent: &Block, block: &Block) -> Result<(), Unsound> {
        let (Some(known), Some(part)) = (&parent.body().l1, &block.body().l1) else {
            return Err(Unsound::State);
        };
        let (news, segments) = (&part.news, &block.body().segments);
        let state = self.rules.after(&known.state, parent.header(), block.header(), news, segments)?;
        if state == part.state { Ok(()) } else { Err(Unsound::State) }
    }

    /// What only a view of L1 can tell of a block whose part follows from its parent's. `paused` says which
    /// rollups may have no segment.
    pub fn look(
        &self,
        rules: &ChainRules,
        parent: &Block,
        block: &Block,
        paused: impl Fn(RollupId) -> bool,
    ) -> Sight {
        let (Some(known), Some(part)) = (&parent.body().l1, &block.body().l1) else { return Sight::Fits };
        let Ok(queues) = self.rules.open(&known.state, &part.news.arrived) else { return Sight::Fits };
        let snapshot = self.view.snapshot();
        let header = block.header();
        let origin = L1Origin { number: header.l1_number, hash: header.l1_hash };
        if origin.hash != parent.header().l1_hash {
            // Another block of L1 at this height can still become this one.
            if snapshot.standing(&origin) != Standing::Eligible {
                return Sight::Unseen;
            }
            for (rollup, queue) in &known.state.queues {
                match queue_at(&snapshot, *rollup, queue, &origin) {
                    None => return Sight::Unseen,
                    Some(at) if queues.get(rollup) != Some(&at) => {
                        return Sight::Differs(Differs::Queue(*rollup));
                    }
                    Some(_) => {}
                }
            }
        }
        self.look_at_sizes(rules, &snapshot, part, &queues).unwrap_or_else(|| {
            if self.rules.eased(&known.state, header) {
                return Sight::Fits;
            }
            // What it could have taken; a rollup that has other transactions was looked at without L1.
            let left_out = queues.iter().find(|(rollup, queue)| {
                let first = queue.pending.first().filter(|_| !part.news.taken.contains_key(*rollup));
                let here = |hash| entry(&snapshot, **rollup, queue.cursor, hash).is_some();
                first.is_some_and(here) && !paused(**rollup)
            });
            left_out.map_or(Sight::Fits, |(rollup, _)| Sight::Differs(Differs::LeftOut(*rollup)))
        })
    }

    /// None when all entries that are said to be too large are.
    fn look_at_sizes(
        &self,
        rules: &ChainRules,
        snapshot: &Snapshot,
        part: &L1Part,
        queues: &BTreeMap<RollupId, Queue>,
    ) -> Option<Sight> {
        for (rollup, taken) in &part.news.taken {
            let queue = queues.get(rollup)?;
            let max = rules.rollup(*rollup)?.transaction_bytes_max;
            for ((index, hash), entry) in (queue.cursor..).zip(&queue.pending).zip(taken) {
                if !matches!(entry.fate, Fate::TooLarge(_)) {
                    continue;
                }
                match self::entry(snapshot, *rollup, index, hash) {
                    None => return Some(Sight::Unseen),
                    Some(entry) if entry.data.len() <= max => {
                        return Some(Sight::Differs(Differs::Size(*rollup)));
                    }
                    Some(_) => {}
                }
            }
        }
        None
    }
}

fn envelope(entry: &ForcedEntry) -> Envelope {
    Envelope { sender: L1Address(entry.sender), deadline: entry.deadline, gas: entry.gas }
}

/// The entry with this index, if it is the one with this hash.
fn entry<'a>(snapshot: &'a Snapshot, rollup: RollupId, index: u64, hash: &Digest) -> Option<&'a ForcedEntry> {
    at(snapshot, rollup, index).filter(|entry| entry.hash == *hash)
}

fn at(snapshot: &Snapshot, rollup: RollupId, index: u64) -> Option<&ForcedEntry> {
    let entries = &snapshot.rollups.get(&rollup)?.forced;
    entries.get(usize::try_from(index.checked_sub(entries.first()?.index)?).ok()?)
}

/// A queue as it is at `origin`, from the cursor of `known` on. None when this view does not say.
fn queue_at(snapshot: &Snapshot, rollup: RollupId, known: &Queue, origin: &L1Origin) -> Option<Queue> {
    let cursor = known.cursor;
    let entries = &snapshot.rollups.get(&rollup)?.forced;
    if entries.first().is_some_and(|first| first.index > cursor) {
        return None;
    }
    let from = entries.iter().skip_while(|entry| entry.index < cursor);
    let seen: Vec<_> = from.take(PENDING_MAX).take_while(|entry| entry.l1_number <= origin.number).collect();
    let Some(first) = seen.first() else {
        // After a reorg there may be fewer than were taken.
        return Some(Queue { pending: Vec::new(), ..known.clone() });
    };
    // After a reorg it may follow another one than was taken.
    let before = cursor.checked_sub(1).and_then(|index| at(snapshot, rollup, index)).map(|entry| entry.hash);
    let follows = |last: &Option<Digest>| {
        let previous = last.unwrap_or(EMPTY);
        entry_hash(&previous, rollup, cursor, &envelope(first), &data_hash(&first.data)) == first.hash
    };
    let last = [known.last, before].into_iter().find(follows)?;
    Some(Queue { cursor, last, pending: seen.iter().map(|entry| entry.hash).collect() })
}

#[cfg(test)]
mod tests;

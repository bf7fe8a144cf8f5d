//! How one block's part follows from its parent's.

use super::{Fate, News, PENDING_MAX, Queue, Report, State, Taken, data_hash, entry_hash};
use crate::{Genesis, Header, PublicKey, RollupId, Segment, Transaction, merkle::EMPTY, quorum};
use commonware_utils::ordered::Set;
use std::collections::BTreeMap;
use thiserror::Error;

/// Blocks per member in which a report counts.
const REPORT_BLOCKS: u64 = 8;
/// Views per member without a block after which nothing is asked of proposers.
const EASE_VIEWS: u64 = 2;
/// For so many blocks per member.
const EASE_BLOCKS: u64 = 64;

/// What does not change within a chain that settles.
#[derive(Clone, Debug)]
pub struct Rules {
    pub members: Set<PublicKey>,
    pub start_block: u64,
    pub slack: u64,
    pub entries_max: usize,
}

/// Why a block's part does not stand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsound {
    #[error("its author is no member")]
    Author,
    #[error("its L1 origin {number} is another block than its parent's, and not after it ({parent})")]
    Backwards { number: u64, parent: u64 },
    #[error("its L1 origin {number} is not above block {start}, where the contracts begin")]
    TooEarly { number: u64, start: u64 },
    #[error("its L1 origin {number} is behind {least}, which 2f+1 members have reported")]
    Behind { number: u64, least: u64 },
    #[error("entries arrive though its L1 origin stays")]
    Arrived,
    #[error("what it says of the queue of rollup {0} cannot follow what its parent says")]
    Queue(RollupId),
    #[error("it takes {taken} forced entries of rollup {rollup}; {pending} are pending and {max} allowed")]
    TooMany { rollup: RollupId, taken: usize, pending: usize, max: usize },
    #[error("forced entry {index} of rollup {rollup} is another one, or out of its place")]
    Entry { rollup: RollupId, index: u64 },
    #[error("a transaction of rollup {0} claims to be forced, and is not taken from the queue, or not first")]
    Invented(RollupId),
    #[error("rollup {0} has transactions, and its pending forced entries were left out")]
    LeftOut(RollupId),
    #[error("its L1 state does not follow from its parent's")]
    State,
}

impl Rules {
    /// None for a chain that does not settle.
    pub fn new(genesis: &Genesis) -> Result<Option<Self>, String> {
        let Some(l1) = &genesis.l1 else { return Ok(None) };
        Ok(Some(Self {
            members: genesis.identities()?,
            start_block: l1.start_block,
            slack: l1.origin_slack,
            entries_max: l1.forced.entries_max,
        }))
    }

    fn count(&self) -> u32 {
        u32::try_from(self.members.len()).expect("clusters are small")
    }

    /// The newest block of L1 that 2f+1 members have reported lately.
    pub fn agreed(&self, state: &State) -> Option<u64> {
        let mut reports: Vec<_> = state.reports.values().map(|report| report.number).collect();
        reports.sort_unstable_by(|one, other| other.cmp(one));
        reports.get(quorum(self.count()) as usize - 1).copied().filter(|number| *number > 0)
    }

    /// The origin may not be below.
    pub fn least(&self, state: &State) -> u64 {
        self.agreed(state).map_or(0, |agreed| agreed.saturating_sub(self.slack))
    }

    /// Whether so many views passed without a block that nothing is asked of this one's proposer. More than
    /// f members may then be unable to see L1, or lie about what they see.
    pub fn eased(&self, parent: &State, header: &Header) -> bool {
        header.height <= parent.eased_until || self.waited(header)
    }

    fn waited(&self, header: &Header) -> bool {
        header.view.saturating_sub(header.parent_view) > EASE_VIEWS * u64::from(self.count())
    }

    /// The queues that a block takes from.
    pub fn open(
        &self,
        parent: &State,
        arrived: &BTreeMap<RollupId, Queue>,
    ) -> Result<BTreeMap<RollupId, Queue>, Unsound> {
        let mut queues = parent.queues.clone();
        for (rollup, queue) in arrived {
            let known = queues.get_mut(rollup).ok_or(Unsound::Queue(*rollup))?;
            if queue.cursor != known.cursor || queue.pending.len() > PENDING_MAX {
                return Err(Unsound::Queue(*rollup));
            }
            known.clone_from(queue);
        }
        Ok(queues)
    }

    /// The state after a block that brings `news` and `segments`; `known` is the state after its parent. That
    /// the news of a moved origin are true is for those to say who see L1.
    pub fn after(
        &self,
        known: &State,
        parent: &Header,
        header: &Header,
        news: &News,
        segments: &[Segment],
    ) -> Result<State, Unsound> {
        let eased = self.eased(known, header);
        self.check_origin(known, parent, header, eased)?;
        if (header.l1_number, header.l1_hash) == (parent.l1_number, parent.l1_hash)
            && !news.arrived.is_empty()
        {
            return Err(Unsound::Arrived);
        }
        let mut queues = self.open(known, &news.arrived)?;
        if let Some(rollup) = news.taken.keys().find(|rollup| !queues.contains_key(rollup)) {
            return Err(Unsound::Queue(*rollup));
        }
        for Segment { rollup, transactions } in segments {
            let forced = |transaction: &Transaction| transaction.forced().is_some();
            let first = if news.taken.contains_key(rollup) {
                transactions.iter().take_while(|transaction| transaction.forced().is_some()).count()
            } else {
                0
            };
            if transactions[first..].iter().any(forced) {
                return Err(Unsound::Invented(*rollup));
            }
        }
        for (rollup, queue) in &mut queues {
            let segment = segments.iter().find(|segment| segment.rollup == *rollup);
            match news.taken.get(rollup) {
                Some(taken) => self.take(*rollup, queue, taken, segment)?,
                None if !eased && segment.is_some() && !queue.pending.is_empty() => {
                    return Err(Unsound::LeftOut(*rollup));
                }
                None => {}
            }
        }
        let eased_until = match self.waited(header) {
            true => header.height + EASE_BLOCKS * u64::from(self.count()),
            false => known.eased_until,
        };
        Ok(State { reports: self.reports(known, header, news.report)?, queues, eased_until })
    }

    fn check_origin(
        &self,
        known: &State,
        parent: &Header,
        header: &Header,
        eased: bool,
    ) -> Result<(), Unsound> {
        let (number, hash) = (header.l1_number, header.l1_hash);
        let moved = (number, hash) != (parent.l1_number, parent.l1_hash);
        if moved && number <= parent.l1_number {
            return Err(Unsound::Backwards { number, parent: parent.l1_number });
        }
        if moved && number <= self.start_block {
            return Err(Unsound::TooEarly { number, start: self.start_block });
        }
        let least = self.least(known);
        if number < least && !eased {
            return Err(Unsound::Behind { number, least });
        }
        Ok(())
    }

    fn reports(&self, known: &State, header: &Header, number: u64) -> Result<BTreeMap<u8, Report>, Unsound> {
        let member = self.members.position(&header.author).ok_or(Unsound::Author)?;
        let member = u8::try_from(member).expect("members have indices below 128");
        let mut reports = known.reports.clone();
        reports.insert(member, Report { height: header.height, number });
        let window = REPORT_BLOCKS * u64::from(self.count());
        reports.retain(|_, report| report.height + window > header.height);
        Ok(reports)
    }

    /// Takes entries from the front of a queue; their hashes chain to the pending ones.
    fn take(
        &self,
        rollup: RollupId,
        queue: &mut Queue,
        taken: &[Taken],
        segment: Option<&Segment>,
    ) -> Result<(), Unsound> {
        let (count, pending, max) = (taken.len(), queue.pending.len(), self.entries_max);
        if count == 0 || count > pending || count > max {
            return Err(Unsound::TooMany { rollup, taken: count, pending, max });
        }
        let mut ordered = segment
            .into_iter()
            .flat_map(|segment| &segment.transactions)
            .take_while(|transaction| transaction.forced().is_some());
        let mut last = queue.last.unwrap_or(EMPTY);
        for (entry, expected) in taken.iter().zip(&queue.pending) {
            let index = queue.cursor;
            let data = match &entry.fate {
                Fate::Ordered => ordered
                    .next()
                    .filter(|transaction| transaction.forced() == Some(index) && transaction.bundle.is_none())
                    .map(|transaction| data_hash(&transaction.payload))
                    .ok_or(Unsound::Entry { rollup, index })?,
                Fate::LeftOut(data) => data_hash(data),
                Fate::TooLarge(hash) => *hash,
            };
            last = entry_hash(&last, rollup, index, &entry.envelope, &data);
            if last != *expected {
                return Err(Unsound::Entry { rollup, index });
            }
            queue.cursor += 1;
        }
        if ordered.next().is_some() {
            return Err(Unsound::Invented(rollup));
        }
        queue.last = Some(last);
        queue.pending.drain(..count);
        Ok(())
    }
}

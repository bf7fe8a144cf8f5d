//! What blocks say of L1: how far its members see, which entries of the forced queues they have taken.
//!
//! ```text
//! queue on L1    … c−1 │ c   c+1  c+2 │ c+3 …        header: l1_number, l1_hash = the origin
//!                last ─┘ └─ pending ──┘ └─ above the origin, or no room yet
//!
//! block:  arrived   the queue as the new origin has it      only where the origin moved
//!         taken     the first of pending, each ordered or left out
//!         state     reports, cursors, last, pending         all a child has to know
//! ```
//! | event | effect |
//! |---|---|
//! | a block of a member | its report replaces the one before; those of long ago are forgotten |
//! | the origin moves | it goes forward; voters compare it, and what arrived, with their own view of L1 |
//! | the origin stays | always acceptable, unless 2f+1 members report far higher ones |
//! | entries are pending | the next one is taken before the rollup has other transactions |
//! | no block for two rounds of leaders | nothing has to be taken and the origin may stay, for a while |
//!
//! Why so: the hashes of pending entries stand in the block, so that a child is checked without L1. Only a
//! move of the origin needs it, so neither an outage nor a reorg can stop ordering. Hashes chain, so
//! that nobody can invent an entry or pass one over. After a reorg deeper than the origin the next
//! origin says anew what is pending, from the same cursor: the cursor never goes back.
//!
//! An ordered entry is the transaction whose `valid_until` is [`FORCED_FROM`] + index. No other has one so
//! high, so it says by itself that it was forced, and its id in an opaque rollup is unique. In an EVM
//! rollup the id is the hash that wallets know, and a copy from the pool is the same transaction.
//!
//! Deliberately absent: which entries are left out (`baton-execution`, which knows transactions).

mod rules;

pub use rules::{Rules, Unsound};

use crate::{Digest, MEMBERS_MAX, RollupId, domain, settlement::L1Address};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Encode as _, EncodeSize, Error, FixedSize, RangeCfg, Read, ReadExt as _, Write};
use commonware_cryptography::{Hasher as _, Sha256};
use std::collections::BTreeMap;

/// `valid_until` of forced entry 0. Far above any height, and exact in every reader of JSON.
pub const FORCED_FROM: u64 = 1 << 52;
/// Entries of one rollup that can be pending: more than a block of L1 has room for.
pub const PENDING_MAX: usize = 1_024;

/// What bounds the part when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub rollups: usize,
    /// Of one rollup in one block.
    pub entries_max: usize,
    pub bytes_max: usize,
}

/// The hash of an entry, as the contract chains it.
pub fn entry_hash(
    previous: &Digest,
    rollup: RollupId,
    index: u64,
    entry: &Envelope,
    data: &Digest,
) -> Digest {
    domain::hash(
        domain::L1_FORCED,
        &[
            previous,
            &rollup.0.to_be_bytes(),
            &index.to_be_bytes(),
            &entry.sender.0,
            &entry.deadline.to_be_bytes(),
            &entry.gas.to_be_bytes(),
            data,
        ],
    )
}

/// As entries and their hashes name the data of one.
pub fn data_hash(data: &[u8]) -> Digest {
    Sha256::hash(&[data])
}

/// All of an entry but its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub sender: L1Address,
    /// Unix seconds.
    pub deadline: u64,
    /// Most gas that it may use.
    pub gas: u64,
}

/// One rollup's queue as a block knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The entry that is next.
    pub cursor: u64,
    /// Hash of the one before; zero before the first.
    pub last: Option<Digest>,
    /// Hashes of the next ones, up to the origin or to [`PENDING_MAX`].
    pub pending: Vec<Digest>,
}

/// What a member said in its last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub height: u64,
    /// The newest block of L1 that it would take for an origin.
    pub number: u64,
}

/// The state after a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// By member.
    pub reports: BTreeMap<u8, Report>,
    /// One for each rollup that settles.
    pub queues: BTreeMap<RollupId, Queue>,
    /// The last height at which nothing is asked of proposers.
    pub eased_until: u64,
}

impl State {
    /// Of the genesis block.
    pub fn genesis(rollups: impl Iterator<Item = RollupId>) -> Self {
        let queues = rollups.map(|rollup| (rollup, Queue::default())).collect();
        Self { queues, ..Self::default() }
    }
}

/// An entry that a block takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub envelope: Envelope,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next forced transaction of the rollup's segment.
    Ordered,
    /// The rollup takes no such transaction; here is its data.
    LeftOut(Bytes),
    /// Larger than any transaction of the rollup; here is the hash of its data.
    TooLarge(Digest),
}

/// What a block brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The newest block of L1 that the author would take for an origin; 0 for none.
    pub report: u64,
    /// Queues that are not as the parent left them, at the new origin and before entries are taken.
    pub arrived: BTreeMap<RollupId, Queue>,
    pub taken: BTreeMap<RollupId, Vec<Taken>>,
}

/// The part of a block that speaks of L1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L1Part {
    pub news: News,
    pub state: State,
}

impl L1Part {
    pub fn root(&self) -> Digest {
        domain::hash(domain::L1_PART, &[&self.encode()])
    }

    /// Largest encoding.
    pub const fn max_encode_size(limits: &Limits) -> usize {
        let length = 5;
        let queue = RollupId::SIZE + 8 + 1 + Digest::SIZE + length + PENDING_MAX * Digest::SIZE;
        let entry = Envelope::SIZE + 1 + Digest::SIZE + length;
        let taken = RollupId::SIZE + length + limits.entries_max * entry + limits.bytes_max;
        let reports = length + MEMBERS_MAX.get() as usize * (1 + Report::SIZE);
        8 + 3 * length + limits.rollups * (2 * queue + taken) + reports + 8
    }
}

impl Write for Envelope {
    fn write(&self, buf: &mut impl BufMut) {
        self.sender.0.write(buf);
        self.deadline.write(buf);
        self.gas.write(buf);
    }
}

impl FixedSize for Envelope {
    const SIZE: usize = 20 + 8 + 8;
}

impl Read for Envelope {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let sender = L1Address(<[u8; 20]>::read(buf)?);
        Ok(Self { sender, deadline: u64::read(buf)?, gas: u64::read(buf)? })
    }
}

impl Write for Queue {
    fn write(&self, buf: &mut impl BufMut) {
        self.cursor.write(buf);
        self.last.write(buf);
        self.pending.write(buf);
    }
}

impl EncodeSize for Queue {
    fn encode_size(&self) -> usize {
        8 + self.last.encode_size() + self.pending.encode_size()
    }
}

impl Read for Queue {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self {
            cursor: u64::read(buf)?,
            last: Option::read_cfg(buf, &())?,
            pending: Vec::read_cfg(buf, &(RangeCfg::new(0..=PENDING_MAX), ()))?,
        })
    }
}

impl Write for Report {
    fn write(&self, buf: &mut impl BufMut) {
        self.height.write(buf);
        self.number.write(buf);
    }
}

impl FixedSize for Report {
    const SIZE: usize = 16;
}

impl Read for Report {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { height: u64::read(buf)?, number: u64::read(buf)? })
    }
}

impl Write for State {
    fn write(&self, buf: &mut impl BufMut) {
        self.reports.write(buf);
        self.queues.write(buf);
        self.eased_until.write(buf);
    }
}

impl EncodeSize for State {
    fn encode_size(&self) -> usize {
        self.reports.encode_size() + self.queues.encode_size() + 8
    }
}

impl Read for State {
    type Cfg = Limits;

    fn read_cfg(buf: &mut impl Buf, limits: &Limits) -> Result<Self, Error> {
        let members = RangeCfg::new(0..=MEMBERS_MAX.get() as usize);
        Ok(Self {
            reports: BTreeMap::read_cfg(buf, &(members, ((), ())))?,
            queues: BTreeMap::read_cfg(buf, &(rollups(limits), ((), ())))?,
            eased_until: u64::read(buf)?,
        })
    }
}

fn rollups(limits: &Limits) -> RangeCfg<usize> {
    RangeCfg::new(0..=limits.rollups)
}

impl Write for Taken {
    fn write(&self, buf: &mut impl BufMut) {
        self.envelope.write(buf);
        match &self.fate {
            Fate::Ordered => 0u8.write(buf),
            Fate::LeftOut(data) => {
                1u8.write(buf);
                data.write(buf);
            }
            Fate::TooLarge(hash) => {
                2u8.write(buf);
                hash.write(buf);
            }
        }
    }
}

impl EncodeSize for Taken {
    fn encode_size(&self) -> usize {
        Envelope::SIZE
            + 1
            + match &self.fate {
                Fate::Ordered => 0,
                Fate::LeftOut(data) => data.encode_size(),
                Fate::TooLarge(_) => Digest::SIZE,
            }
    }
}

impl Read for Taken {
    type Cfg = Limits;

    fn read_cfg(buf: &mut impl Buf, limits: &Limits) -> Result<Self, Error> {
        let envelope = Envelope::read(buf)?;
        let fate = match u8::read(buf)? {
            0 => Fate::Ordered,
            // Copied: a slice would keep the message alive that it came in.
            1 => Fate::LeftOut(Bytes::copy_from_slice(&Bytes::read_cfg(
                buf,
                &RangeCfg::new(0..=limits.bytes_max),
            )?)),
            2 => Fate::TooLarge(Digest::read(buf)?),
            other => return Err(Error::InvalidEnum(other)),
        };
        Ok(Self { envelope, fate })
    }
}

impl Write for L1Part {
    fn write(&self, buf: &mut impl BufMut) {
        self.news.report.write(buf);
        self.news.arrived.write(buf);
        self.news.taken.write(buf);
        self.state.write(buf);
    }
}

impl EncodeSize for L1Part {
    fn encode_size(&self) -> usize {
        let News { arrived, taken, .. } = &self.news;
        8 + arrived.encode_size() + taken.encode_size() + self.state.encode_size()
    }
}

impl Read for L1Part {
    type Cfg = Limits;

    fn read_cfg(buf: &mut impl Buf, limits: &Limits) -> Result<Self, Error> {
        let entries = (RangeCfg::new(1..=limits.entries_max), *limits);
        let news = News {
            report: u64::read(buf)?,
            arrived: BTreeMap::read_cfg(buf, &(rollups(limits), ((), ())))?,
            taken: BTreeMap::read_cfg(buf, &(rollups(limits), ((), entries)))?,
        };
        let left_out = |taken: &Taken| match &taken.fate {
            Fate::LeftOut(data) => data.len(),
            _ => 0,
        };
        // Together, not each.
        if news.taken.values().any(|taken| taken.iter().map(left_out).sum::<usize>() > limits.bytes_max) {
            return Err(Error::Invalid("L1Part", "entries that are left out exceed the quota"));
        }
        Ok(Self { news, state: State::read_cfg(buf, limits)? })
    }
}

#[cfg(test)]
mod tests;

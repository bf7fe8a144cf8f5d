//! What the zero-knowledge lottery remembers: beacons, commitments in force, who is benched or
//! suspended. Every block carries it and every voter computes it anew from the parent's, so that a block
//! alone is enough to judge its child, on any branch, after a restart or a sync.
//!
//! ```text
//! epoch e−1:  [0][1] …           close ……… [last]   epoch e: [0] …
//!                  │ context beacon of e   │    └─ later beacon of e: its parent_seed
//!                  │                       └─ last block that may put commitments for e in force
//!                  └─ its parent_seed
//! segments:   … j−5 … j−2 │ j−1 │ j …     reports in the blocks of j−5 to j−2 decide the bench of j
//! ```
//! | event | effect |
//! |---|---|
//! | first block of an epoch | beacons and commitments prepared by the last epoch come in force; who missed most of its turns there is suspended for this one |
//! | first seed of an epoch, in its second block | it becomes the next epoch's context beacon (the genesis has no seed: in epoch 0 it is the third block's) |
//! | views between a block and its parent | a miss for the committer of each |
//! | report of silent members | noted with its author, once per segment |
//! | commitment held by 2f+1 members | noted for the next epoch, the first for each member, until the close |
//! | last block of a segment | the bench moves on by one segment |
//!
//! Why so: beacons come from headers, never from a certificate, because finalizations of one block in
//! several views coexist. A bench decided a segment ahead is the same for all views of a segment. It takes
//! 2f+1 authors to bench a member, so f liars together with ordinary hiccups bench nobody, and at most f
//! are benched and f suspended, so that f + 1 members at least are always drawn from. Segments are short, so that
//! a dead member soon costs nothing; several are judged together, so that authors are drawn often enough.
//!
//! Deliberately absent: the draw and the proofs themselves (`baton-vrf`).

use crate::{
    Digest, Header, MEMBERS_MAX, PublicKey, Signature, block::ParentSeed, domain, faults_tolerated,
    merkle::EMPTY, quorum,
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Encode as _, EncodeSize, Error, FixedSize, RangeCfg, Read, ReadExt as _, Write};
use commonware_cryptography::Verifier as _;
use commonware_utils::ordered::Set;
use std::collections::BTreeMap;
use thiserror::Error as ThisError;

/// Turns of a member that one proof can cover.
pub const TURNS_MAX: u64 = 2_047;
/// Views that a commitment provides for each block of an epoch: 2.25 in the worst case that is tolerated, and
/// margin.
pub const TURNS_PER_BLOCK: u64 = 4;
/// Commitments that one block may put in force.
pub const HELD_MAX: usize = 4;
/// Segments whose reports are judged together: 8 blocks per member.
pub const SEGMENTS_JUDGED: usize = 4;
/// Encoded evidence of one reveal: a path of hashes, or a single-round proof.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024;

/// A set of members by index.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indices(pub [u8; 32]);

impl Indices {
    pub fn contains(&self, member: usize) -> bool {
        self.0.get(member / 8).is_some_and(|byte| byte & (1 << (member % 8)) != 0)
    }

    pub fn insert(&mut self, member: usize) {
        if let Some(byte) = self.0.get_mut(member / 8) {
            *byte |= 1 << (member % 8);
        }
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; 32]
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let indices = *self;
        (0..256).filter(move |member| indices.contains(*member))
    }
}

impl FromIterator<usize> for Indices {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let mut indices = Self::default();
        members.into_iter().for_each(|member| indices.insert(member));
        indices
    }
}

impl std::fmt::Debug for Indices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Write for Indices {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl FixedSize for Indices {
    const SIZE: usize = 32;
}

impl Read for Indices {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self(<[u8; 32]>::read(buf)?))
    }
}

/// One member's commitment to its reveals of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Root over the leaves of all turns.
    pub root: Digest,
    /// Hash of the proof that they come from the member's registered key.
    pub proof: Digest,
}

impl Commitment {
    /// One that stands in the genesis, from its root in hex: its proof comes later.
    pub fn unproven(root: &str) -> Result<Self, String> {
        let root = crate::hex::decode_array::<32>(root).map(commonware_cryptography::sha256::Digest)?;
        Ok(Self { root, proof: EMPTY })
    }
}

impl Write for Commitment {
    fn write(&self, buf: &mut impl BufMut) {
        self.root.write(buf);
        self.proof.write(buf);
    }
}

impl FixedSize for Commitment {
    const SIZE: usize = 64;
}

impl Read for Commitment {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { root: Digest::read(buf)?, proof: Digest::read(buf)? })
    }
}

/// A commitment whose proof 2f+1 members hold and have verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub member: u8,
    pub commitment: Commitment,
    /// Signatures over [`held_message`], in ascending order of member.
    pub holders: Vec<(u8, Signature)>,
}

/// What a holder signs, in the domain of [`domain::held`].
pub fn held_message(epoch: u64, member: u8, commitment: &Commitment) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + 1 + Commitment::SIZE);
    epoch.write(&mut message);
    member.write(&mut message);
    commitment.write(&mut message);
    message
}

impl Write for Held {
    fn write(&self, buf: &mut impl BufMut) {
        self.member.write(buf);
        self.commitment.write(buf);
        self.holders.write(buf);
    }
}

impl EncodeSize for Held {
    fn encode_size(&self) -> usize {
        1 + Commitment::SIZE + self.holders.encode_size()
    }
}

impl Read for Held {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self {
            member: u8::read(buf)?,
            commitment: Commitment::read(buf)?,
            holders: Vec::read_cfg(buf, &(members_range(), ((), ())))?,
        })
    }
}

fn members_range() -> RangeCfg<usize> {
    RangeCfg::new(0..=MEMBERS_MAX.get() as usize)
}

/// What does not change within a chain.
#[derive(Clone, Debug)]
pub struct Rules {
    pub chain: Digest,
    pub members: Set<PublicKey>,
    pub epoch_blocks: u64,
}

/// Why a block's part in the lottery does not stand.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum Unsound {
    #[error("it puts {0} commitments in force; at most {HELD_MAX} at once")]
    TooMany(usize),
    #[error("commitments for the next epoch closed at height {close}")]
    Closed { close: u64 },
    #[error("member {0} is not one of this cluster's")]
    Member(u8),
    #[error("member {0} has a commitment for the next epoch already")]
    Repeated(u8),
    #[error(
        "the commitment of member {member} is held by {holders} members; {needed} are needed, each once and in order"
    )]
    Holders { member: u8, holders: usize, needed: usize },
    #[error("holder {holder} did not sign the commitment of member {member}")]
    Signature { member: u8, holder: u8 },
    #[error("its silence report names members that do not exist")]
    Report,
    #[error("its lottery state does not follow from its parent's")]
    State,
}

impl Rules {
    /// Blocks between two moves of the bench.
    pub fn segment_blocks(&self) -> u64 {
        2 * self.members.len() as u64
    }

    /// The last height at which commitments for the epoch after `epoch` may come in force: far enough
    /// from the end that nobody knows the later beacon yet.
    pub fn close(&self, epoch: u64) -> u64 {
        let margin = (self.epoch_blocks / 10).clamp(2, 64);
        (epoch + 1).saturating_mul(self.epoch_blocks).saturating_sub(1 + margin)
    }

    fn faults(&self) -> usize {
        faults_tolerated(u32::try_from(self.members.len()).expect("clusters are small")) as usize
    }

    fn quorum(&self) -> usize {
        quorum(u32::try_from(self.members.len()).expect("clusters are small")) as usize
    }

    /// At most f members with at least `least`, the highest count first, then the lowest index.
    fn worst(&self, counts: impl Iterator<Item = (usize, u64)>, least: u64) -> Indices {
        let mut counts: Vec<_> = counts.filter(|(_, count)| *count >= least).collect();
        counts.sort_by_key(|(member, count)| (std::cmp::Reverse(*count), *member));
        counts.into_iter().take(self.faults()).map(|(member, _)| member).collect()
    }

    /// Checks what a block puts in force on top of `before`, the state that it builds on.
    pub fn check_held(&self, before: &Lottery, header: &Header, held: &[Held]) -> Result<(), Unsound> {
        if held.len() > HELD_MAX {
            return Err(Unsound::TooMany(held.len()));
        }
        let close = self.close(header.epoch);
        if !held.is_empty() && header.height > close {
            return Err(Unsound::Closed { close });
        }
        for (index, entry) in held.iter().enumerate() {
            let member = entry.member;
            let slot = before.next_commitments.get(usize::from(member)).ok_or(Unsound::Member(member))?;
            if slot.is_some() || held[..index].iter().any(|other| other.member == member) {
                return Err(Unsound::Repeated(member));
            }
            self.check_holders(header.epoch + 1, entry)?;
        }
        Ok(())
    }

    /// Whether 2f+1 members hold what `held` says, for `epoch`.
    pub fn check_holders(&self, epoch: u64, held: &Held) -> Result<(), Unsound> {
        let Held { member, commitment, holders } = held;
        let sorted = holders.is_sorted_by(|(one, _), (other, _)| one < other);
        if !sorted || holders.len() < self.quorum() {
            let (member, needed) = (*member, self.quorum());
            return Err(Unsound::Holders { member, holders: holders.len(), needed });
        }
        let (domain, message) = (domain::held(&self.chain), held_message(epoch, *member, commitment));
        for (holder, signature) in holders {
            let key = self.members.get(usize::from(*holder)).ok_or(Unsound::Member(*holder))?;
            if !key.verify(&domain, &message, signature) {
                return Err(Unsound::Signature { member: *member, holder: *holder });
            }
        }
        Ok(())
    }
}

/// The state after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lottery {
    pub context_beacon: Digest,
    pub later_beacon: Digest,
    /// In force in this epoch, by member.
    pub commitments: Vec<Option<Commitment>>,
    /// Known from the epoch's second block on.
    pub next_context_beacon: Option<Digest>,
    pub next_commitments: Vec<Option<Commitment>>,
    /// Neither drawn nor committing in this epoch.
    pub suspended: Indices,
    /// Turns of this epoch that passed without a block, by committer.
    pub misses: Vec<u32>,
    /// Not drawn in this segment, and in the next.
    pub bench: Indices,
    pub bench_next: Indices,
    /// Authors that reported a member, by member: in this segment, and in those before it that are judged with
    /// it.
    pub reports: [BTreeMap<u8, Indices>; SEGMENTS_JUDGED],
}

/// A beacon from a seed of the group.
pub fn beacon(seed: &ParentSeed) -> Digest {
    domain::hash(domain::BEACON, &[seed])
}

impl Lottery {
    /// The state of the genesis block.
    pub fn genesis(
        context_beacon: Digest,
        later_beacon: Digest,
        commitments: Vec<Option<Commitment>>,
    ) -> Self {
        let n = commitments.len();
        Self {
            context_beacon,
            later_beacon,
            commitments,
            next_context_beacon: None,
            next_commitments: vec![None; n],
            suspended: Indices::default(),
            misses: vec![0; n],
            bench: Indices::default(),
            bench_next: Indices::default(),
            reports: Default::default(),
        }
    }

    pub fn members(&self) -> usize {
        self.commitments.len()
    }

    /// Members that commit in turn in this epoch.
    pub fn rotation(&self) -> Rotation {
        Rotation { members: (0..self.members()).filter(|member| !self.suspended.contains(*member)).collect() }
    }

    /// The state that a block of `epoch` on `parent` builds on; `self` is the state after `parent`.
    pub fn before(&self, rules: &Rules, parent: &Header, epoch: u64) -> Self {
        if epoch == parent.epoch {
            return self.clone();
        }
        let turns = parent.view / self.rotation().members.len().max(1) as u64;
        let misses = self.misses.iter().map(|misses| u64::from(*misses)).enumerate();
        // A dead proposer costs each committer one turn in n; more than half is the committer's own doing.
        let suspended = rules.worst(misses, (turns / 2 + 1).max(4));
        let n = self.members();
        Self {
            // Epochs are long enough for it to be set.
            context_beacon: self.next_context_beacon.unwrap_or(EMPTY),
            later_beacon: beacon(&parent.parent_seed),
            commitments: self.next_commitments.clone(),
            next_context_beacon: None,
            next_commitments: vec![None; n],
            suspended,
            misses: vec![0; n],
            bench: self.bench,
            bench_next: self.bench_next,
            reports: self.reports.clone(),
        }
    }

    /// The state after a block; `self` is [`Self::before`] it.
    pub fn after(mut self, rules: &Rules, header: &Header, held: &[Held]) -> Result<Self, Unsound> {
        let report = Indices(header.bench_report);
        if report.iter().any(|member| member >= self.members()) {
            return Err(Unsound::Report);
        }
        rules.check_held(&self, header, held)?;
        for entry in held {
            self.next_commitments[usize::from(entry.member)] = Some(entry.commitment);
        }
        if header.parent_view > 0 && self.next_context_beacon.is_none() {
            self.next_context_beacon = Some(beacon(&header.parent_seed));
        }
        // The parent's view is 0 where the parent belongs to the epoch before.
        for (member, missed) in self.rotation().turns(header.epoch, header.parent_view + 1, header.view) {
            let misses = &mut self.misses[member];
            *misses = misses.saturating_add(u32::try_from(missed).unwrap_or(u32::MAX));
        }
        if let Some(author) = rules.members.position(&header.author) {
            for member in report.iter() {
                let member = u8::try_from(member).expect("members have indices below 128");
                self.reports[0].entry(member).or_default().insert(author);
            }
        }
        if (header.height + 1).is_multiple_of(rules.segment_blocks()) {
            let reporters = (0..self.members()).map(|member| (member, self.reporters(member)));
            let judged = rules.worst(reporters, rules.quorum() as u64);
            self.bench = std::mem::replace(&mut self.bench_next, judged);
            self.reports.rotate_right(1);
            self.reports[0].clear();
        }
        Ok(self)
    }

    /// How many authors reported `member` in the segments that are judged together.
    fn reporters(&self, member: usize) -> u64 {
        let reports = self.reports.iter().flatten().filter(|(reported, _)| usize::from(**reported) == member);
        reports.flat_map(|(_, authors)| authors.iter()).collect::<Indices>().len() as u64
    }
}

/// Who commits in which view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Never empty.
    pub members: Vec<usize>,
}

impl Rotation {
    pub fn committer(&self, epoch: u64, view: u64) -> usize {
        let place = (u128::from(epoch) + u128::from(view)) % self.members.len() as u128;
        self.members[usize::try_from(place).expect("below the number of members")]
    }

    /// The committer's number of the turn that `view` is: each has one in as many views as there are members.
    pub fn turn(&self, view: u64) -> u64 {
        view / self.members.len() as u64
    }

    /// How many of the views `first..end` each member commits in.
    pub fn turns(&self, epoch: u64, first: u64, end: u64) -> Vec<(usize, u64)> {
        let count = self.members.len() as u64;
        let views = end.saturating_sub(first);
        let (rounds, rest) = (views / count, views % count);
        let mut turns: BTreeMap<usize, u64> = self.members.iter().map(|member| (*member, rounds)).collect();
        for view in first..first + rest {
            *turns.entry(self.committer(epoch, view)).or_default() += 1;
        }
        turns.into_iter().filter(|(_, turns)| *turns > 0).collect()
    }
}

impl Write for Lottery {
    fn write(&self, buf: &mut impl BufMut) {
        self.context_beacon.write(buf);
        self.later_beacon.write(buf);
        self.commitments.write(buf);
        self.next_context_beacon.write(buf);
        self.next_commitments.write(buf);
        self.suspended.write(buf);
        self.misses.write(buf);
        self.bench.write(buf);
        self.bench_next.write(buf);
        self.reports.iter().for_each(|reports| reports.write(buf));
    }
}

impl EncodeSize for Lottery {
    fn encode_size(&self) -> usize {
        2 * Digest::SIZE
            + self.commitments.encode_size()
            + self.next_context_beacon.encode_size()
            + self.next_commitments.encode_size()
            + 3 * Indices::SIZE
            + self.misses.encode_size()
            + self.reports.iter().map(EncodeSize::encode_size).sum::<usize>()
    }
}

impl Read for Lottery {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let range = members_range();
        let mut lottery = Self {
            context_beacon: Digest::read(buf)?,
            later_beacon: Digest::read(buf)?,
            commitments: Vec::read_cfg(buf, &(range, ()))?,
            next_context_beacon: Option::read_cfg(buf, &())?,
            next_commitments: Vec::read_cfg(buf, &(range, ()))?,
            suspended: Indices::read(buf)?,
            misses: Vec::read_cfg(buf, &(range, ()))?,
            bench: Indices::read(buf)?,
            bench_next: Indices::read(buf)?,
            reports: Default::default(),
        };
        for reports in &mut lottery.reports {
            *reports = BTreeMap::read_cfg(buf, &(range, ((), ())))?;
        }
        let n = lottery.members();
        let all_members = lottery.suspended.len() >= n;
        if n == 0 || lottery.next_commitments.len() != n || lottery.misses.len() != n || all_members {
            return Err(Error::Invalid("Lottery", "its parts do not speak of the same members"));
        }
        Ok(lottery)
    }
}

/// The lottery's part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotteryPart {
    /// Shows that the header's reveal is the committer's: what `baton-vrf` encodes.
    pub evidence: Bytes,
    /// Commitments for the next epoch that this block puts in force.
    pub held: Vec<Held>,
    /// The state after this block.
    pub state: Lottery,
}

impl LotteryPart {
    pub fn evidence_root(&self) -> Digest {
        if self.evidence.is_empty() { EMPTY } else { domain::hash(domain::EVIDENCE, &[&self.evidence]) }
    }

    pub fn members_root(&self) -> Digest {
        domain::hash(domain::MEMBERS, &[&self.held.encode(), &self.state.encode()])
    }

    /// Largest encoding.
    pub const fn max_encode_size() -> usize {
        let n = MEMBERS_MAX.get() as usize;
        let length = 5;
        let held = 1 + Commitment::SIZE + length + n * (1 + Signature::SIZE);
        let state = 3 * (Digest::SIZE + 1) + 2 * (length + n * (1 + Commitment::SIZE)) + 3 * Indices::SIZE;
        let counts = length + n * 5 + SEGMENTS_JUDGED * (length + n * (1 + Indices::SIZE));
        length + EVIDENCE_BYTES_MAX + length + HELD_MAX * held + state + counts
    }
}

impl Write for LotteryPart {
    fn write(&self, buf: &mut impl BufMut) {
        self.evidence.write(buf);
        self.held.write(buf);
        self.state.write(buf);
    }
}

impl EncodeSize for LotteryPart {
    fn encode_size(&self) -> usize {
        self.evidence.encode_size() + self.held.encode_size() + self.state.encode_size()
    }
}

impl Read for LotteryPart {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        // Copied: a slice would keep the message alive that it came in.
        let evidence = Bytes::read_cfg(buf, &RangeCfg::new(0..=EVIDENCE_BYTES_MAX))?;
        Ok(Self {
            evidence: Bytes::copy_from_slice(&evidence),
            held: Vec::read_cfg(buf, &(RangeCfg::new(0..=HELD_MAX), ()))?,
            state: Lottery::read(buf)?,
        })
    }
}

#[cfg(test)]
mod tests;

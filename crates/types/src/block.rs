//! Blocks: a fixed-size header that is hashed and certified, and a body it commits to.
//!
//! ```text
//! header (fixed size) ── digest = SHA-256(_BATON_HEADER ‖ header) ── what votes and certificates name
//!   body_root ────► segments: per rollup, in id order, its ordered transactions
//!   heads_root ───► heads: one hash chain per rollup, after this block
//!   history_root ─► peaks: accumulator over all earlier headers
//!   results_root ─► results: where the execution of each EVM rollup stands
//!   payload_root ─► payload: key-ceremony material (dealer log, or the next epoch's committee)
//!   members_root, reveal_evidence ─► lottery: its state and what shows the reveal (zk-lottery only)
//!   forced_root ──► l1: reports, forced entries, their queues (only where the genesis has a section l1)
//! ```
//!
//! Decoding a block checks that the body is the one its header names and that the author signed the
//! header. Blocks are cached by digest wherever they come from; without this a peer could put
//! a foreign body under an honest digest.
//!
//! The header has every field of version 1 from the first day. Those of later parts are zero until then,
//! those of the lottery are zero under other elections, and those of L1 where nothing settles; all are
//! checked to be zero.

use crate::{
    Context, Digest, Directory, Payload, PrivateKey, PublicKey, RollupId, Signature, Transaction, TxId,
    domain,
    forced::{self, L1Part},
    lottery::LotteryPart,
    merkle::{self, EMPTY, Heads, History},
    reshare,
    results::{self, EvmRollups, ExecutionResult, Results},
};
use bytes::BufMut;
use commonware_codec::{
    Buf, Encode, EncodeSize, Error, FixedSize, RangeCfg, Read, ReadExt, Write, varint::UInt,
};
use commonware_consensus::{
    BoundedBlock, CertifiableBlock, Heightable,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::{
    Digested, Digestible, Signer as _, Verifier as _,
    bls12381::primitives::{sharing::ModeVersion, variant::MinSig},
};
use commonware_glue::dkg::ReshareBlock;
use std::num::NonZeroU32;

pub const HEADER_VERSION: u8 = 1;

/// The group's seed signature for one view; all zero where there is none.
pub type ParentSeed = [u8; 48];

/// How leaders were chosen for the block's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ElectionKind {
    Genesis = 0,
    RoundRobin = 1,
    ThresholdLottery = 2,
    ZkLottery = 3,
    StakeWeighted = 4,
}

impl ElectionKind {
    /// As the genesis, the API and the command line write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::RoundRobin => "round-robin",
            Self::ThresholdLottery => "threshold-lottery",
            Self::ZkLottery => "zk-lottery",
            Self::StakeWeighted => "stake-weighted",
        }
    }
}

impl TryFrom<u8> for ElectionKind {
    type Error = Error;

    fn try_from(kind: u8) -> Result<Self, Error> {
        Ok(match kind {
            0 => Self::Genesis,
            1 => Self::RoundRobin,
            2 => Self::ThresholdLottery,
            3 => Self::ZkLottery,
            4 => Self::StakeWeighted,
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Digest of the genesis.
    pub chain: Digest,
    pub epoch: u64,
    pub view: u64,
    /// View of the parent, within this epoch; 0 for the last block of the epoch before.
    pub parent_view: u64,
    pub height: u64,
    pub parent: Digest,
    pub timestamp_ms: u64,
    /// The member that leads the view.
    pub committer: PublicKey,
    /// The member that built the block; the committer itself unless the election says otherwise.
    pub author: PublicKey,
    pub election: ElectionKind,
    pub reveal: [u8; 32],
    pub reveal_evidence: Digest,
    pub parent_seed: ParentSeed,
    pub body_root: Digest,
    pub heads_root: Digest,
    pub history_root: Digest,
    pub results_root: Digest,
    /// The origin: the last block of L1 that the cluster has taken note of.
    pub l1_number: u64,
    pub l1_hash: Digest,
    pub forced_root: Digest,
    pub members_root: Digest,
    /// One bit per member that the author has not heard lately.
    pub bench_report: [u8; 32],
    pub payload_root: Digest,
    /// Highest protocol version the author is ready for; its two highest bits speak of reshares.
    pub protocol_signal: u32,
}

impl Header {
    pub fn digest(&self) -> Digest {
        domain::hash(domain::HEADER, &[&self.encode()])
    }

    pub const fn round(&self) -> Round {
        Round::new(Epoch::new(self.epoch), View::new(self.view))
    }

    /// The first field that is set and should not, if any. `settles`: the genesis has a section l1.
    pub fn reserved_in_use(&self, settles: bool) -> Option<&'static str> {
        let lottery = self.election == ElectionKind::ZkLottery;
        let fields = [
            ("reveal", !lottery && self.reveal != [0; 32]),
            ("reveal_evidence", !lottery && self.reveal_evidence != EMPTY),
            ("l1_number", !settles && self.l1_number != 0),
            ("l1_hash", !settles && self.l1_hash != EMPTY),
            ("forced_root", !settles && self.forced_root != EMPTY),
            ("members_root", !lottery && self.members_root != EMPTY),
            ("bench_report", !lottery && self.bench_report != [0; 32]),
            ("protocol_signal", self.protocol_signal & !(reshare::WANTED | reshare::DUE) != 0),
        ];
        fields.into_iter().find_map(|(name, used)| used.then_some(name))
    }
}

impl Write for Header {
    fn write(&self, buf: &mut impl BufMut) {
        HEADER_VERSION.write(buf);
        self.chain.write(buf);
        self.epoch.write(buf);
        self.view.write(buf);
        self.parent_view.write(buf);
        self.height.write(buf);
        self.parent.write(buf);
        self.timestamp_ms.write(buf);
        self.committer.write(buf);
        self.author.write(buf);
        (self.election as u8).write(buf);
        self.reveal.write(buf);
        self.reveal_evidence.write(buf);
        self.parent_seed.write(buf);
        self.body_root.write(buf);
        self.heads_root.write(buf);
        self.history_root.write(buf);
        self.results_root.write(buf);
        self.l1_number.write(buf);
        self.l1_hash.write(buf);
        self.forced_root.write(buf);
        self.members_root.write(buf);
        self.bench_report.write(buf);
        self.payload_root.write(buf);
        self.protocol_signal.write(buf);
    }
}

impl FixedSize for Header {
    const SIZE: usize = 2 + u32::SIZE + 6 * u64::SIZE + 15 * 32 + 48;
}

impl Read for Header {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        if u8::read(buf)? != HEADER_VERSION {
            return Err(Error::Invalid("Header", "unknown version"));
        }
        Ok(Self {
            chain: Digest::read(buf)?,
            epoch: u64::read(buf)?,
            view: u64::read(buf)?,
            parent_view: u64::read(buf)?,
            height: u64::read(buf)?,
            parent: Digest::read(buf)?,
            timestamp_ms: u64::read(buf)?,
            committer: PublicKey::read(buf)?,
            author: PublicKey::read(buf)?,
            election: u8::read(buf)?.try_into()?,
            reveal: ReadExt::read(buf)?,
            reveal_evidence: Digest::read(buf)?,
            parent_seed: ReadExt::read(buf)?,
            body_root: Digest::read(buf)?,
            heads_root: Digest::read(buf)?,
            history_root: Digest::read(buf)?,
            results_root: Digest::read(buf)?,
            l1_number: u64::read(buf)?,
            l1_hash: Digest::read(buf)?,
            forced_root: Digest::read(buf)?,
            members_root: Digest::read(buf)?,
            bench_report: ReadExt::read(buf)?,
            payload_root: Digest::read(buf)?,
            protocol_signal: u32::read(buf)?,
        })
    }
}

/// What bounds a block when it is decoded. The same on every node: it follows from the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Encoded segments of one block, in bytes.
    pub block_bytes_max: usize,
    /// Payload of one transaction, in bytes.
    pub transaction_bytes_max: usize,
    pub rollups_max: usize,
    pub evm: EvmRollups,
    /// Of a chain that settles.
    pub l1: Option<forced::Limits>,
}

impl BlockLimits {
    /// A transaction encodes to at least three bytes.
    const fn transactions_max(&self) -> usize {
        self.block_bytes_max / 3
    }
}

/// One rollup's ordered transactions in one block; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub rollup: RollupId,
    pub transactions: Vec<Transaction>,
}

impl Write for Segment {
    fn write(&self, buf: &mut impl BufMut) {
        self.rollup.write(buf);
        self.transactions.write(buf);
    }
}

impl EncodeSize for Segment {
    fn encode_size(&self) -> usize {
        self.rollup.encode_size() + self.transactions.encode_size()
    }
}

impl Read for Segment {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        Ok(Self {
            rollup: RollupId::read(buf)?,
            transactions: Vec::read_cfg(
                buf,
                &(RangeCfg::new(1..=limits.transactions_max()), limits.transaction_bytes_max),
            )?,
        })
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// In ascending order of rollup id.
    pub segments: Vec<Segment>,
    /// Hash chain of every rollup, after this block.
    pub heads: Heads,
    /// Peaks of the accumulator over all earlier headers.
    pub peaks: Vec<Digest>,
    pub payload: Option<Payload>,
    /// Under the zero-knowledge lottery only.
    pub lottery: Option<Box<LotteryPart>>,
    /// One for each EVM rollup.
    pub results: Results,
    /// Where the genesis has a section l1, and only there.
    pub l1: Option<Box<L1Part>>,
}

impl Body {
    /// The ids of each segment's transactions.
    pub fn ids(&self) -> Vec<Vec<TxId>> {
        let evm = EvmRollups::new(self.results.keys().copied());
        let ids = |segment: &Segment| {
            segment.transactions.iter().map(|transaction| evm.id(segment.rollup, transaction)).collect()
        };
        self.segments.iter().map(ids).collect()
    }

    /// Pairs each segment's rollup with its part of [`Self::ids`].
    pub fn segment_ids<'a>(
        &'a self,
        ids: &'a [Vec<TxId>],
    ) -> impl ExactSizeIterator<Item = (RollupId, &'a [TxId])> + Clone {
        self.segments.iter().zip(ids).map(|(segment, ids)| (segment.rollup, &ids[..]))
    }
}

impl Write for Body {
    fn write(&self, buf: &mut impl BufMut) {
        self.segments.write(buf);
        self.heads.write(buf);
        self.peaks.write(buf);
        self.payload.write(buf);
        self.lottery.is_some().write(buf);
        if let Some(lottery) = &self.lottery {
            lottery.write(buf);
        }
        results::write_results(&self.results, buf);
        // Whether there is one follows from the genesis.
        if let Some(l1) = &self.l1 {
            l1.write(buf);
        }
    }
}

impl EncodeSize for Body {
    fn encode_size(&self) -> usize {
        self.segments.encode_size()
            + self.heads.encode_size()
            + self.peaks.encode_size()
            + self.payload.encode_size()
            + 1
            + self.lottery.as_ref().map_or(0, |lottery| lottery.encode_size())
            + self.results.len() * (RollupId::SIZE + ExecutionResult::SIZE)
            + self.l1.as_ref().map_or(0, |l1| l1.encode_size())
    }
}

impl Read for Body {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        let rollups = RangeCfg::new(0..=limits.rollups_max);
        Ok(Self {
            segments: Vec::read_cfg(buf, &(rollups, *limits))?,
            heads: Heads::read_cfg(buf, &(rollups, ((), ())))?,
            peaks: Vec::read_cfg(buf, &(RangeCfg::new(0..=merkle::PEAKS_MAX), ()))?,
            payload: Option::<Payload>::read_cfg(buf, &payload_cfg())?,
            lottery: Option::<LotteryPart>::read_cfg(buf, &())?.map(Box::new),
            results: limits.evm.read_results(buf)?,
            l1: match &limits.l1 {
                Some(limits) => Some(Box::new(L1Part::read_cfg(buf, limits)?)),
                None => None,
            },
        })
    }
}

/// Commitments to the lottery's part: to the evidence of the reveal, and to members and state.
fn lottery_roots(part: Option<&LotteryPart>) -> (Digest, Digest) {
    part.map_or((EMPTY, EMPTY), |part| (part.evidence_root(), part.members_root()))
}

/// Commits to what a block says of L1; zero where nothing settles.
fn l1_root(part: Option<&L1Part>) -> Digest {
    part.map_or(EMPTY, L1Part::root)
}

pub const fn payload_cfg() -> (NonZeroU32, ModeVersion) {
    (crate::MEMBERS_MAX, ModeVersion::v1())
}

/// Commits to ceremony material; [`EMPTY`] without any.
pub fn payload_root(payload: Option<&Payload>) -> Digest {
    payload.map_or(EMPTY, |payload| domain::hash(domain::PAYLOAD, &[&payload.encode()]))
}

#[derive(Clone)]
pub struct Block {
    header: Header,
    /// The author's signature over the header's digest; none in the genesis block.
    signature: Option<Signature>,
    body: Body,
    /// Ids of the transactions, by segment; derived from the body.
    ids: Vec<Vec<TxId>>,
}

impl Block {
    /// Completes `header` with the roots of `body`, and signs it when there is an author to.
    pub fn seal(header: Header, body: Body, author: Option<&PrivateKey>) -> Self {
        let ids = body.ids();
        Self::seal_with(header, body, ids, author)
    }

    /// As [`Self::seal`], for an author that has computed the ids of `body` already.
    pub fn seal_with(
        mut header: Header,
        body: Body,
        ids: Vec<Vec<TxId>>,
        author: Option<&PrivateKey>,
    ) -> Self {
        let leaves = header.height;
        header.body_root = body_root(&body, &ids);
        header.heads_root = merkle::heads_root(&body.heads);
        header.history_root = History { leaves, peaks: body.peaks.clone() }
            .root()
            .expect("an author appends to a history it has checked");
        header.results_root = results::results_root(&body.results);
        header.payload_root = payload_root(body.payload.as_ref());
        (header.reveal_evidence, header.members_root) = lottery_roots(body.lottery.as_deref());
        header.forced_root = l1_root(body.l1.as_deref());
        let signature = author.map(|key| key.sign(&domain::author(&header.chain), &header.digest()));
        Self { header, signature, body, ids }
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }

    pub const fn body(&self) -> &Body {
        &self.body
    }

    pub fn digested(self) -> Digested<Self> {
        let digest = self.digest();
        Digested::precomputed(self, digest)
    }

    /// The ids of each segment's transactions.
    pub fn segment_ids(&self) -> impl ExactSizeIterator<Item = (RollupId, &[TxId])> + Clone {
        self.body.segment_ids(&self.ids)
    }

    pub fn ids(&self) -> impl Iterator<Item = &TxId> {
        self.ids.iter().flatten()
    }

    pub fn transactions(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    /// Rollup and index in its segment of a transaction.
    pub fn position(&self, id: &TxId) -> Option<(RollupId, u32)> {
        self.segment_ids().find_map(|(rollup, ids)| {
            let index = ids.iter().position(|candidate| candidate == id)?;
            Some((rollup, u32::try_from(index).ok()?))
        })
    }

    /// The accumulator over all headers up to and including this one.
    pub fn history_after(&self) -> Option<History> {
        History { leaves: self.header.height, peaks: self.body.peaks.clone() }.append(&self.digest())
    }

    fn check(&self) -> Result<(), &'static str> {
        let header = &self.header;
        if header.body_root != body_root(&self.body, &self.ids) {
            return Err("body does not match the header");
        }
        if header.heads_root != merkle::heads_root(&self.body.heads) {
            return Err("rollup heads do not match the header");
        }
        let history = History { leaves: header.height, peaks: self.body.peaks.clone() };
        if history.root() != Some(header.history_root) {
            return Err("history does not match the header");
        }
        if header.results_root != results::results_root(&self.body.results) {
            return Err("results do not match the header");
        }
        if header.payload_root != payload_root(self.body.payload.as_ref()) {
            return Err("payload does not match the header");
        }
        if (header.reveal_evidence, header.members_root) != lottery_roots(self.body.lottery.as_deref()) {
            return Err("lottery does not match the header");
        }
        if header.forced_root != l1_root(self.body.l1.as_deref()) {
            return Err("what it says of L1 does not match the header");
        }
        match &self.signature {
            None if header.height == 0 => Ok(()),
            Some(signature)
                if header.author.verify(&domain::author(&header.chain), &header.digest(), signature) =>
            {
                Ok(())
            }
            _ => Err("not signed by its author"),
        }
    }
}

fn body_root(body: &Body, ids: &[Vec<TxId>]) -> Digest {
    merkle::transactions(body.segment_ids(ids)).root()
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl Eq for Block {}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.header.write(buf);
        self.signature.write(buf);
        self.body.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        Header::SIZE + self.signature.encode_size() + self.body.encode_size()
    }
}

impl Read for Block {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        let header = Header::read(buf)?;
        let signature = Option::<Signature>::read(buf)?;
        let body = Body::read_cfg(buf, limits)?;
        let ids = body.ids();
        let block = Self { header, signature, body, ids };
        block.check().map_err(|reason| Error::Invalid("Block", reason))?;
        Ok(block)
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(limits: &BlockLimits) -> usize {
        let lengths = 4 * UInt(u64::MAX).encode_size();
        let heads = limits.rollups_max * (RollupId::SIZE + 32);
        Header::SIZE
            + 1
            + Signature::SIZE
            + limits.block_bytes_max
            + heads
            + merkle::PEAKS_MAX * 32
            + 1
            + Payload::max_encode_size(crate::MEMBERS_MAX)
            + 1
            + LotteryPart::max_encode_size()
            + limits.evm.iter().count() * (RollupId::SIZE + ExecutionResult::SIZE)
            + limits.l1.as_ref().map_or(0, L1Part::max_encode_size)
            + lengths
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.header.digest()
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.header.height)
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> Digest {
        self.header.parent
    }
}

impl CertifiableBlock for Block {
    type Context = Context;

    fn context(&self) -> Context {
        Context {
            round: self.header.round(),
            leader: self.header.committer.clone(),
            parent: (View::new(self.header.parent_view), self.header.parent),
        }
    }
}

impl ReshareBlock for Block {
    type Variant = MinSig;
    type PublicKey = PublicKey;
    type Directory = Directory;

    fn payload(&self) -> Option<Payload> {
        self.body.payload.clone()
    }
}

//! A leader whose blocks are not what they should be.
//!
//! Its engine makes a good block and votes for it. On the way out the block is changed and signed again,
//! and so is the vote. Which of the two leaves first is not known, so the vote waits for the block. The same
//! goes for what the author that the lottery draws tells its committer.

use super::{
    Player,
    conduct::{notarize, parse_vote, write_vote},
    ends::{Conduct, Mail},
    lottery::parse,
};
use crate::wallet::{EVM, address, transfer, waste};
use baton_consensus::{fuzzing::LotteryMessage, network::Channel};
use baton_types::{
    Block, Body, Bundle, Digest, Header, PrivateKey, PublicKey, RollupId, Segment, Signature, Transaction,
    block::ElectionKind,
    lottery::{Commitment, Held, Indices, LotteryPart},
    merkle::{self, EMPTY},
    reshare,
    results::LAG_BLOCKS_MAX,
};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::simplex::types::Vote;
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_runtime::IoBuf;
use std::collections::{BTreeMap, VecDeque};

/// Blocks of others, and own ones, that are remembered.
const BLOCKS_MAX: usize = 64;
/// Of each kind that execution leaves out, so many fill a block.
const WASTE: u64 = 20;
/// Votes and answers that wait for their block.
const HELD_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Equivocate,
    BreakRules,
    /// Rules of the zero-knowledge lottery.
    BreakDraws,
    /// A block for another parent than the committer's, until it is asked again or always.
    OtherParent {
        corrects: bool,
    },
    /// A good block without the forced entries that it had to take.
    LeaveOut,
    /// A good block that reports these members silent.
    Accuse(Indices),
    /// A block that voters take, full of what execution leaves out.
    Waste,
}

/// What members see in place of an own block.
type Parts = Vec<(Vec<PublicKey>, Digest)>;

pub struct Forger {
    player: Player,
    plan: Plan,
    turn: usize,
    blocks: BTreeMap<Digest, Block>,
    order: VecDeque<Digest>,
    forged: BTreeMap<Digest, Parts>,
    /// The own block that a committer was told of last.
    told: Option<Digest>,
    held: VecDeque<Mail>,
}

impl Forger {
    pub fn new(player: Player, plan: Plan) -> Self {
        Self {
            player,
            plan,
            turn: 0,
            blocks: BTreeMap::new(),
            order: VecDeque::new(),
            forged: BTreeMap::new(),
            told: None,
            held: VecDeque::new(),
        }
    }

    fn remember(&mut self, block: Block) {
        let digest = block.digest();
        if self.blocks.insert(digest, block).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > BLOCKS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.blocks.remove(&oldest);
                self.forged.remove(&oldest);
            }
        }
    }

    fn block(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let Ok(block) = Block::decode_cfg(mail.bytes.clone(), &self.player.limits) else {
            return out.push(mail);
        };
        let digest = block.digest();
        if self.forged.contains_key(&digest) {
            // Asked for again: nobody gets the good one.
            return;
        }
        self.remember(block.clone());
        let own = block.header().author == self.player.me();
        let forged = if own { self.forge(&block) } else { None };
        match forged {
            None => out.push(mail),
            Some((parts, bodies)) => {
                self.forged.insert(digest, parts);
                for (to, body) in bodies {
                    out.push(Mail { channel: Channel::Blocks, to, bytes: IoBuf::from(body.encode()) });
                }
            }
        }
        self.release(out);
    }

    /// What to send in place of an own block, if there is something.
    fn forge(&mut self, block: &Block) -> Option<(Parts, Bodies)> {
        let parent = self.blocks.get(&block.header().parent)?.clone();
        // The last block of an epoch is derived, not made.
        if block.body().payload.is_some() {
            return None;
        }
        let others = self.player.others.clone();
        match self.plan {
            Plan::Equivocate => {
                let other = self.rival(block, &parent);
                let at = 1 + self.turn % (others.len() - 1);
                self.turn += 1;
                let (left, right) = others.split_at(at);
                self.player.deeds.did("two blocks");
                let (left, right) = (left.to_vec(), right.to_vec());
                let parts = vec![(left.clone(), block.digest()), (right.clone(), other.digest())];
                Some((parts, vec![(left, block.clone()), (right, other)]))
            }
            Plan::Accuse(report) => {
                let accusing = self.accuse(block, &parent, report)?;
                self.player.deeds.did("accused");
                Some((vec![(others.clone(), accusing.digest())], vec![(others, accusing)]))
            }
            Plan::Waste => {
                let wasteful = self.waste(block, &parent)?;
                self.player.deeds.did("wasted");
                Some((vec![(others.clone(), wasteful.digest())], vec![(others, wasteful)]))
            }
            Plan::LeaveOut => {
                let forgery = self.leave_out(block, &parent)?;
                let digest = forgery.digest();
                self.player.deeds.did("left out");
                self.player.deeds.forged(digest);
                Some((vec![(others.clone(), digest)], vec![(others, forgery)]))
            }
            Plan::BreakRules | Plan::BreakDraws | Plan::OtherParent { .. } => {
                let forgery = match self.plan {
                    Plan::BreakRules => self.breach(BREACHES, block, &parent)?,
                    Plan::BreakDraws => self.breach(DRAW_BREACHES, block, &parent)?,
                    _ => self.misplaced(block, &parent)?,
                };
                let digest = forgery.digest();
                self.player.deeds.forged(digest);
                Some((vec![(others.clone(), digest)], vec![(others, forgery)]))
            }
        }
    }

    fn waste(&self, block: &Block, parent: &Block) -> Option<Block> {
        let mut draft = self.draft(block, parent);
        let first = block.header().height * WASTE;
        let waste: Vec<_> = (first..first + WASTE).flat_map(waste).collect();
        signed(&mut draft, waste.iter().map(|(payload, _)| payload.clone()).collect())?;
        let ids = draft.body.ids().into_iter().flatten();
        self.player.deeds.wasted(ids.zip(waste.into_iter().map(|(_, reason)| reason)));
        Some(draft.seal())
    }

    /// Its state is as if nobody had asked for them.
    fn leave_out(&self, block: &Block, parent: &Block) -> Option<Block> {
        let rules = self.player.forced.as_ref()?;
        let mut draft = self.draft(block, parent);
        let part = draft.body.l1.as_deref_mut().filter(|part| !part.news.taken.is_empty())?;
        part.news.taken.clear();
        part.state.queues = rules.open(&parent.body().l1.as_ref()?.state, &part.news.arrived).ok()?;
        let mut segments = std::mem::take(&mut draft.body.segments);
        for segment in &mut segments {
            segment.transactions.retain(|transaction| transaction.forced().is_none());
        }
        segments.retain(|segment| !segment.transactions.is_empty());
        draft.fill(segments);
        Some(draft.seal())
    }

    fn accuse(&self, block: &Block, parent: &Block, report: Indices) -> Option<Block> {
        let rules = &self.player.rules;
        let mut draft = self.draft(block, parent);
        draft.header.bench_report = report.0;
        let before = &parent.body().lottery.as_ref()?.state;
        let before = before.before(rules, parent.header(), draft.header.epoch);
        let part = draft.body.lottery.as_mut()?;
        part.state = before.after(rules, &draft.header, &part.held).ok()?;
        Some(draft.seal())
    }

    /// As if it had not heard of the parent.
    fn misplaced(&self, block: &Block, parent: &Block) -> Option<Block> {
        let mut draft = self.draft(block, parent);
        if draft.header.committer == self.player.me() {
            return None;
        }
        let parent = parent.header();
        (draft.header.parent, draft.header.parent_view) = (parent.parent, parent.parent_view);
        self.player.deeds.did("another parent");
        Some(draft.seal())
    }

    fn draft(&self, block: &Block, parent: &Block) -> Draft {
        let past = self.order.iter().rev().filter_map(|digest| {
            let past = self.blocks.get(digest).filter(|past| past.header().height < block.header().height)?;
            let segment = past.body().segments.first()?;
            Some((segment.rollup, segment.transactions.first()?.clone()))
        });
        Draft {
            header: block.header().clone(),
            body: block.body().clone(),
            parent: parent.clone(),
            signer: self.player.key.clone(),
            past: past.into_iter().find(|(_, past)| past.bundle.is_none()),
            evidence: parent.body().lottery.as_ref().map(|part| part.evidence.clone()),
        }
    }

    /// As good as the other block: without its transactions, or a moment later where it has none.
    fn rival(&self, block: &Block, parent: &Block) -> Block {
        let mut draft = self.draft(block, parent);
        if draft.body.segments.is_empty() {
            draft.header.timestamp_ms += 1;
        }
        draft.fill(Vec::new());
        draft.seal()
    }

    fn breach(&mut self, breaches: &[(&str, Breach)], block: &Block, parent: &Block) -> Option<Block> {
        for _ in 0..breaches.len() {
            let (rule, change) = breaches[self.turn % breaches.len()];
            self.turn += 1;
            let mut draft = self.draft(block, parent);
            if change(&mut draft).is_some() {
                self.player.deeds.did(rule);
                return Some(draft.seal());
            }
        }
        None
    }

    fn vote(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let Some((epoch, Vote::Notarize(vote))) = parse_vote(&mail.bytes) else { return out.push(mail) };
        let payload = vote.proposal.payload;
        if let Some(parts) = self.forged.get(&payload) {
            for (to, digest) in parts {
                let vote = notarize(&self.player.scheme, &vote, *digest);
                out.push(Mail { channel: Channel::Votes, to: to.clone(), bytes: write_vote(epoch, &vote) });
            }
        } else if self.blocks.contains_key(&payload) {
            out.push(mail);
        } else {
            self.hold(mail);
        }
    }

    fn hold(&mut self, mail: Mail) {
        self.held.push_back(mail);
        while self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }

    /// Tells a committer of the block that it gets.
    fn built(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let Some(LotteryMessage::Built { round, digest }) = parse(&mail.bytes) else { return out.push(mail) };
        let again = self.told.replace(digest) == Some(digest);
        if again && self.plan == (Plan::OtherParent { corrects: true }) {
            self.forged.remove(&digest);
            self.player.deeds.did("the right parent");
            if let Some(block) = self.blocks.get(&digest) {
                let bytes = block.encode().into();
                out.push(Mail { channel: Channel::Blocks, to: self.player.others.clone(), bytes });
            }
        }
        if let Some(parts) = self.forged.get(&digest) {
            for (_, digest) in parts.iter().filter(|(to, _)| mail.to.iter().any(|told| to.contains(told))) {
                let message = LotteryMessage::Built { round, digest: *digest };
                out.push(Mail { bytes: message.encode().into(), ..mail.clone() });
            }
        } else if self.blocks.contains_key(&digest) {
            out.push(mail);
        } else {
            self.told = None;
            self.hold(mail);
        }
    }

    /// Votes and answers whose block is there by now.
    fn release(&mut self, out: &mut Vec<Mail>) {
        for mail in std::mem::take(&mut self.held) {
            match mail.channel {
                Channel::Votes => self.vote(mail, out),
                _ => self.built(mail, out),
            }
        }
    }
}

impl Conduct for Forger {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        match mail.channel {
            Channel::Blocks => self.block(mail, out),
            Channel::Votes => self.vote(mail, out),
            Channel::Lottery => self.built(mail, out),
            _ => out.push(mail),
        }
    }

    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Blocks
            && let Ok(block) = Block::decode_cfg(bytes.clone(), &self.player.limits)
        {
            self.remember(block);
        }
        Some(bytes)
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        self.release(out);
    }
}

/// Which body goes to whom.
type Bodies = Vec<(Vec<PublicKey>, Block)>;

/// A good block to be spoilt.
struct Draft {
    header: Header,
    body: Body,
    parent: Block,
    signer: PrivateKey,
    /// Something that an ancestor ordered.
    past: Option<(RollupId, Transaction)>,
    /// Of the parent's view.
    evidence: Option<Bytes>,
}

impl Draft {
    /// Other transactions, with the accumulators that belong to them.
    fn fill(&mut self, segments: Vec<Segment>) {
        self.body.segments = segments;
        self.body.heads = self.parent.body().heads.clone();
        let ids = self.body.ids();
        let Body { segments, heads, .. } = &mut self.body;
        let chained = segments.iter().zip(&ids).map(|(segment, ids)| (segment.rollup, &ids[..]));
        merkle::advance_heads(heads, self.header.height, chained);
    }

    fn transaction(&self, text: &str) -> Transaction {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        Transaction { valid_until: self.header.height + 10, bundle: None, payload }
    }

    /// Only these, in this order, in one rollup.
    fn one(&mut self, rollup: u32, transactions: Vec<Transaction>) {
        self.fill(vec![Segment { rollup: RollupId(rollup), transactions }]);
    }

    fn bundle(&self) -> Bundle {
        let legs = vec![(RollupId(1), Bytes::from_static(b"a")), (RollupId(1), Bytes::from_static(b"b"))];
        Bundle::new(self.header.height + 10, legs)
    }

    fn lottery(&mut self) -> Option<&mut LotteryPart> {
        self.body.lottery.as_deref_mut()
    }

    /// Evidence that was changed.
    fn show(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Option<()> {
        let part = self.lottery()?;
        part.evidence = change(part.evidence.to_vec()).into();
        Some(())
    }

    fn seal(self) -> Block {
        Block::seal(self.header, self.body, Some(&self.signer))
    }
}

/// Breaks one rule, or returns nothing where this block cannot.
type Breach = fn(&mut Draft) -> Option<()>;

/// Only these in the EVM rollup, where the cluster has one that is not paused.
fn signed(draft: &mut Draft, payloads: Vec<Bytes>) -> Option<()> {
    let known = draft.parent.body().results.get(&EVM)?;
    if draft.header.height > known.executed_to + LAG_BLOCKS_MAX {
        return None;
    }
    let valid_until = draft.header.height + 10;
    let transaction = |payload| Transaction { valid_until, bundle: None, payload };
    draft.one(EVM.0, payloads.into_iter().map(transaction).collect());
    Some(())
}

/// By the reason that voters must give.
const BREACHES: &[(&str, Breach)] = &[
    ("chain", |draft| {
        draft.header.chain = draft.header.parent;
        Some(())
    }),
    ("context", |draft| {
        draft.header.committer = PrivateKey::from_seed(1).public_key();
        Some(())
    }),
    ("author", |draft| {
        draft.signer = PrivateKey::from_seed(1);
        draft.header.author = draft.signer.public_key();
        Some(())
    }),
    ("election", |draft| {
        draft.header.election = match draft.header.election {
            ElectionKind::RoundRobin => ElectionKind::ThresholdLottery,
            _ => ElectionKind::RoundRobin,
        };
        Some(())
    }),
    ("reserved", |draft| {
        draft.header.protocol_signal = 1;
        Some(())
    }),
    ("reshare", |draft| {
        draft.header.protocol_signal ^= reshare::DUE;
        Some(())
    }),
    ("time", |draft| {
        draft.header.timestamp_ms = draft.parent.header().timestamp_ms.checked_sub(1)?;
        Some(())
    }),
    ("seed", |draft| {
        draft.header.parent_seed[0] ^= 1;
        Some(())
    }),
    ("segment_order", |draft| {
        let [one, two] = ["one", "two"].map(|text| vec![draft.transaction(text)]);
        let segments = [(2, two), (1, one)];
        let segment = |(rollup, transactions)| Segment { rollup: RollupId(rollup), transactions };
        draft.fill(segments.map(segment).to_vec());
        Some(())
    }),
    ("unknown_rollup", |draft| {
        draft.one(9, vec![draft.transaction("x")]);
        // With a head of its own the body may have more heads than anybody decodes.
        draft.body.heads.remove(&RollupId(9));
        Some(())
    }),
    ("empty_payload", |draft| {
        draft.one(1, vec![draft.transaction("")]);
        Some(())
    }),
    ("not_a_hash", |draft| {
        draft.one(3, vec![draft.transaction("x")]);
        Some(())
    }),
    ("expired", |draft| {
        let valid_until = draft.header.height - 1;
        draft.one(1, vec![Transaction { valid_until, ..draft.transaction("x") }]);
        Some(())
    }),
    ("validity_too_long", |draft| {
        draft.one(1, vec![Transaction { valid_until: u64::MAX, ..draft.transaction("x") }]);
        Some(())
    }),
    ("repeated_id", |draft| {
        draft.one(1, vec![draft.transaction("x"), draft.transaction("x")]);
        Some(())
    }),
    ("bundle_incomplete", |draft| {
        draft.one(1, vec![draft.bundle().legs.remove(0).1]);
        Some(())
    }),
    ("bundle_interrupted", |draft| {
        let [(_, one), (_, two)] = <[_; 2]>::try_from(draft.bundle().legs).expect("it has two legs");
        draft.one(1, vec![one, draft.transaction("between"), two]);
        Some(())
    }),
    ("heads", |draft| {
        draft.body.heads.insert(RollupId(1), EMPTY);
        Some(())
    }),
    ("history", |draft| {
        *draft.body.peaks.first_mut()? = EMPTY;
        Some(())
    }),
    ("claim", |draft| {
        draft.body.results.get_mut(&EVM)?.executed_to = draft.header.height;
        Some(())
    }),
    ("result", |draft| {
        let known = *draft.parent.body().results.get(&EVM)?;
        let claim = draft.body.results.get_mut(&EVM)?;
        // Nothing new may be known here: what this member claims finds no quorum.
        claim.executed_to = draft.header.height - 1;
        claim.state_root.0[0] ^= 1;
        (claim.executed_to > known.executed_to).then_some(())
    }),
    ("order", |draft| {
        let to = address(9);
        signed(draft, vec![transfer(0, 1_000, 1, to), transfer(1, 1_000, 2, to)])
    }),
    ("unsigned", |draft| signed(draft, vec![Bytes::from_static(b"\x02no transaction")])),
    ("repeated", |draft| {
        let (rollup, past) =
            draft.past.clone().filter(|(_, past)| past.valid_until >= draft.header.height)?;
        draft.one(rollup.0, vec![past]);
        Some(())
    }),
];

/// By what is wrong.
const DRAW_BREACHES: &[(&str, Breach)] = &[
    ("damaged evidence", |draft| {
        draft.show(|mut evidence| {
            evidence[40] ^= 1;
            evidence
        })
    }),
    ("evidence of another view", |draft| {
        let other = draft.evidence.clone().filter(|evidence| !evidence.is_empty())?;
        draft.show(|_| other.to_vec())
    }),
    ("no evidence", |draft| draft.show(|_| Vec::new())),
    ("nonsense for evidence", |draft| draft.show(|_| vec![9; 60])),
    ("another opening", |draft| {
        draft.header.reveal[0] ^= 1;
        Some(())
    }),
    ("no state", |draft| {
        draft.body.lottery = None;
        Some(())
    }),
    ("another beacon", |draft| {
        draft.lottery()?.state.later_beacon = EMPTY;
        Some(())
    }),
    ("a suspension", |draft| {
        let suspended = &mut draft.lottery()?.state.suspended;
        let member = (0..2).find(|member| !suspended.contains(*member))?;
        suspended.insert(member);
        Some(())
    }),
    ("a commitment that one member holds", |draft| {
        let signature: Signature = draft.signer.sign(b"held", b"by nobody");
        let held = Held {
            member: 0,
            commitment: Commitment { root: EMPTY, proof: EMPTY },
            holders: vec![(0, signature)],
        };
        draft.lottery()?.held = vec![held];
        Some(())
    }),
    ("a report of nobody", |draft| {
        draft.header.bench_report[31] = 0x80;
        Some(())
    }),
];

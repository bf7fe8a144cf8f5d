//! A leader whose blocks are not what they should be.
//!
//! Its engine makes a good block and votes for it. On the way out the block is changed and signed again,
//! and so is the vote. Which of the two leaves first is not known, so the vote waits for the block.

use super::{
    Player,
    conduct::{notarize, parse_vote, write_vote},
    ends::{Conduct, Mail},
};
use baton_consensus::network::Channel;
use baton_types::{
    Block, Body, Bundle, Digest, Header, PrivateKey, PublicKey, RollupId, Segment, Transaction,
    block::ElectionKind,
    merkle::{self, EMPTY},
};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::simplex::types::Vote;
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_runtime::IoBuf;
use std::collections::{BTreeMap, VecDeque};

/// Blocks of others, and own ones, that are remembered.
const BLOCKS_MAX: usize = 64;
/// Votes that wait for their block.
const HELD_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Equivocate,
    BreakRules,
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
        for vote in std::mem::take(&mut self.held) {
            self.vote(vote, out);
        }
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
            Plan::BreakRules => {
                let forgery = self.breach(block, &parent)?;
                let digest = forgery.digest();
                self.player.deeds.forged(digest);
                Some((vec![(others.clone(), digest)], vec![(others, forgery)]))
            }
        }
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

    fn breach(&mut self, block: &Block, parent: &Block) -> Option<Block> {
        for _ in 0..BREACHES.len() {
            let (rule, change) = BREACHES[self.turn % BREACHES.len()];
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
            self.held.push_back(mail);
            while self.held.len() > HELD_MAX {
                self.held.pop_front();
            }
        }
    }
}

impl Conduct for Forger {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        match mail.channel {
            Channel::Blocks => self.block(mail, out),
            Channel::Votes => self.vote(mail, out),
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
        for vote in std::mem::take(&mut self.held) {
            self.vote(vote, out);
        }
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

    fn seal(self) -> Block {
        Block::seal(self.header, self.body, Some(&self.signer))
    }
}

/// Breaks one rule, or returns nothing where this block cannot.
type Breach = fn(&mut Draft) -> Option<()>;

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
    ("repeated", |draft| {
        let (rollup, past) =
            draft.past.clone().filter(|(_, past)| past.valid_until >= draft.header.height)?;
        draft.one(rollup.0, vec![past]);
        Some(())
    }),
];

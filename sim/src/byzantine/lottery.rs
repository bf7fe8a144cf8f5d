//! Members that play the zero-knowledge lottery against its rules.
//!
//! What a member says of the lottery, and the bodies of the blocks it was drawn for, are told apart by [`Kind`]. As
//! author of blocks that are not what they should be it is a [`Forger`](super::forger).

use super::{
    Player,
    conduct::{notarize, parse_vote, write_vote},
    ends::{Conduct, Mail},
    forger::{Forger, Plan},
};
use baton_consensus::{fuzzing::LotteryMessage as Message, network::Channel};
use baton_types::{
    Block, Context, Digest, PublicKey, Round, View, domain,
    lottery::{Commitment, Held, held_message},
    merkle::EMPTY,
};
use bytes::Bytes;
use commonware_codec::{Decode as _, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::types::Vote;
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_runtime::IoBuf;
use rand::{Rng as _, RngExt as _};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// Messages kept for later.
const KEPT_MAX: usize = 64;
/// Parents for which a block is asked at once, more than a committer may have in a view.
const PARENTS: usize = 7;
/// Questions for one proof in a row.
const WANTS: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trick {
    /// As committer, lets every view pass whose block would be another's.
    Decline,
    /// Keeps what is of these kinds from these members.
    Hide(Vec<Kind>, Vec<usize>),
    /// Sends what is of these kinds so many ms late.
    Delay(Vec<Kind>, u64),
    /// As author, sends the body to the committer alone.
    OneReceiver,
    /// As committer, shows reveals that are damaged, of other views, of other members or nonsense.
    ForgeReveals,
    /// As committer, also asks those who are not drawn, too early, for blocks on other parents, with damaged
    /// evidence, and twice.
    WildDesignations,
    /// As committer, puts its own name to the block of the member that is drawn.
    Usurp,
    /// Puts its own name to blocks of views that it has no part in.
    Intrude,
    /// As author, blocks whose draw or whose state of the lottery is wrong.
    BreakDraws,
    /// As author, blocks for another parent than the committer's; or only until it is asked again.
    OtherParent { corrects: bool },
    /// As author, reports that these members are silent.
    Accuse(Vec<usize>),
    /// Proofs of epochs that prove nothing, its own and those it hands out.
    FalseProofs,
    /// Says that it holds proofs and does not, and that others do.
    FalseHolds,
    /// Well-formed messages that say nothing true: of blocks that nobody built, of epochs and members that are not,
    /// answers to no question, and the same question again and again.
    FalseWords,
}

/// As Rust source, within `Trick::…`.
impl fmt::Display for Trick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |kinds: &[Kind]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("Kind::{kind:?}")).collect();
            kinds.join(", ")
        };
        match self {
            Self::Hide(kinds, from) => write!(f, "Hide(vec![{}], vec!{from:?})", list(kinds)),
            Self::Delay(kinds, ms) => write!(f, "Delay(vec![{}], {ms})", list(kinds)),
            Self::Accuse(members) => write!(f, "Accuse(vec!{members:?})"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a member sends for the lottery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Reveal,
    Designate,
    Built,
    Have,
    Copy,
    /// Of a block that it was drawn for.
    Body,
}

/// What there is to a mail; none for votes and the like.
fn kind(player: &Player, mail: &Mail) -> Option<Kind> {
    match mail.channel {
        Channel::Blocks => {
            let block = Block::decode_cfg(mail.bytes.clone(), &player.limits).ok()?;
            let (me, header) = (player.me(), block.header());
            (header.author == me && header.committer != me).then_some(Kind::Body)
        }
        Channel::Lottery | Channel::Proofs => match parse(&mail.bytes)? {
            Message::Reveal { .. } => Some(Kind::Reveal),
            Message::Designate { .. } => Some(Kind::Designate),
            Message::Built { .. } => Some(Kind::Built),
            Message::Have { .. } => Some(Kind::Have),
            Message::Copy { .. } => Some(Kind::Copy),
            _ => None,
        },
        _ => None,
    }
}

pub fn parse(bytes: &IoBuf) -> Option<Message> {
    Message::decode(bytes.clone()).ok()
}

fn mail(channel: Channel, to: Vec<PublicKey>, message: &Message) -> Mail {
    Mail { channel, to, bytes: message.encode().into() }
}

/// What a member with this trick does; `identities` names members by index.
pub fn conduct(
    player: Player,
    trick: &Trick,
    identities: impl Fn(&[usize]) -> Vec<PublicKey>,
) -> Box<dyn Conduct> {
    match trick {
        Trick::Decline => Box::new(Decline(player)),
        Trick::Hide(kinds, from) => Box::new(Hide { player, kinds: kinds.clone(), from: identities(from) }),
        Trick::Delay(kinds, ms) => Box::new(Delay {
            player,
            kinds: kinds.clone(),
            ticks: ms / super::TICK_MS,
            now: 0,
            kept: VecDeque::new(),
        }),
        Trick::OneReceiver => Box::new(OneReceiver(player)),
        Trick::ForgeReveals => Box::new(ForgeReveals { player, turn: 0, own: None, foreign: None }),
        Trick::WildDesignations => Box::new(WildDesignations { player, turn: 0, parent: None }),
        Trick::Usurp => Box::new(Impostor { player, usurps: true, blocks: Vec::new(), out: Vec::new() }),
        Trick::Intrude => Box::new(Impostor { player, usurps: false, blocks: Vec::new(), out: Vec::new() }),
        Trick::BreakDraws => Box::new(Forger::new(player, Plan::BreakDraws)),
        Trick::OtherParent { corrects } => {
            Box::new(Forger::new(player, Plan::OtherParent { corrects: *corrects }))
        }
        Trick::Accuse(members) => {
            let accused = identities(members);
            let report = accused.iter().filter_map(|key| player.rules.members.position(key)).collect();
            Box::new(Forger::new(player, Plan::Accuse(report)))
        }
        Trick::FalseProofs => Box::new(FalseProofs { player, turn: 0, foreign: None }),
        Trick::FalseHolds => Box::new(FalseHolds { player, turn: 0, known: BTreeMap::new() }),
        Trick::FalseWords => Box::new(FalseWords(player)),
    }
}

struct Decline(Player);

impl Conduct for Decline {
    /// Its engine then waits for the block in vain, and declines.
    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Lottery && matches!(parse(&bytes), Some(Message::Built { .. })) {
            self.0.deeds.did("declined");
            return None;
        }
        Some(bytes)
    }
}

struct Hide {
    player: Player,
    kinds: Vec<Kind>,
    from: Vec<PublicKey>,
}

impl Conduct for Hide {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        if let Some(kind) = kind(&self.player, &mail).filter(|kind| self.kinds.contains(kind)) {
            mail.to.retain(|to| !self.from.contains(to));
            self.player.deeds.did(format!("hid {kind:?}"));
        }
        if !mail.to.is_empty() {
            out.push(mail);
        }
    }
}

struct Delay {
    player: Player,
    kinds: Vec<Kind>,
    ticks: u64,
    now: u64,
    kept: VecDeque<(u64, Mail)>,
}

impl Conduct for Delay {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        match kind(&self.player, &mail).filter(|kind| self.kinds.contains(kind)) {
            None => out.push(mail),
            Some(kind) => {
                self.player.deeds.did(format!("late {kind:?}"));
                self.kept.push_back((self.now + self.ticks, mail));
            }
        }
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        self.now += 1;
        while let Some((_, mail)) = self.kept.pop_front_if(|(due, _)| *due <= self.now) {
            out.push(mail);
        }
    }
}

struct OneReceiver(Player);

impl Conduct for OneReceiver {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        let Self(player) = self;
        if kind(player, &mail) == Some(Kind::Body)
            && let Ok(block) = Block::decode_cfg(mail.bytes.clone(), &player.limits)
        {
            mail.to = vec![block.header().committer.clone()];
            player.deeds.did("one receiver");
        }
        out.push(mail);
    }
}

struct ForgeReveals {
    player: Player,
    turn: usize,
    /// An earlier reveal of its own, and one of somebody else.
    own: Option<Bytes>,
    foreign: Option<Bytes>,
}

impl Conduct for ForgeReveals {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        let reveal = (sent.channel == Channel::Lottery).then(|| parse(&sent.bytes)).flatten();
        let Some(Message::Reveal { round, evidence }) = reveal else { return out.push(sent) };
        let nonsense = || Bytes::from_static(&[0; 200]);
        self.turn += 1;
        let (name, round, forged) = match self.turn % 5 {
            0 => {
                let mut bytes = evidence.to_vec();
                let at = self.player.rng.random_range(1..bytes.len());
                bytes[at] ^= 1 << self.player.rng.random_range(0..8);
                ("damaged reveal", round, bytes.into())
            }
            1 => ("nonsense reveal", round, nonsense()),
            2 => ("reveal of another view", round, self.own.clone().unwrap_or_else(nonsense)),
            3 => ("reveal of another member", round, self.foreign.clone().unwrap_or_else(nonsense)),
            _ => {
                let next = Round::new(round.epoch(), round.view().next());
                ("reveal for another's view", next, evidence.clone())
            }
        };
        self.own = Some(evidence);
        self.player.deeds.did(name);
        out.push(mail(Channel::Lottery, sent.to, &Message::Reveal { round, evidence: forged }));
    }

    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Lottery
            && let Some(Message::Reveal { evidence, .. }) = parse(&bytes)
        {
            self.foreign = Some(evidence);
        }
        Some(bytes)
    }
}

struct WildDesignations {
    player: Player,
    turn: usize,
    /// Of a block that it asked for earlier.
    parent: Option<(View, Digest)>,
}

impl WildDesignations {
    /// Begun at once, such a block would stand before those of the views until then.
    fn too_early(&mut self, round: Round, evidence: Bytes, out: &mut Vec<Mail>) {
        let parent = (round.view().previous().unwrap_or_default(), self.player.random_digest());
        let context = Context { round, leader: self.player.me(), parent };
        let message = Message::Designate { context, evidence, payload: None };
        self.player.deeds.did("asked too early");
        out.push(mail(Channel::Lottery, self.player.others.clone(), &message));
    }
}

impl Conduct for WildDesignations {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        let said = (sent.channel == Channel::Lottery).then(|| parse(&sent.bytes)).flatten();
        let (context, evidence) = match said {
            Some(Message::Reveal { round, evidence }) => {
                out.push(sent);
                return self.too_early(round, evidence, out);
            }
            Some(Message::Designate { context, evidence, payload: None }) => (context, evidence),
            _ => return out.push(sent),
        };
        let drawn = sent.to.clone();
        let others = self.player.others.iter().filter(|other| !drawn.contains(other)).cloned().collect();
        let mut ask = |to: Vec<PublicKey>, context: Context, evidence: Bytes| {
            out.push(mail(Channel::Lottery, to, &Message::Designate { context, evidence, payload: None }));
        };
        let mut damaged = evidence.to_vec();
        damaged[40] ^= 1;
        ask(drawn.clone(), context.clone(), damaged.into());
        let leader = self.player.others[0].clone();
        ask(drawn.clone(), Context { leader, ..context.clone() }, evidence.clone());
        ask(others, context.clone(), evidence.clone());
        if let Some(parent) = self.parent.replace(context.parent) {
            ask(drawn.clone(), Context { parent, ..context.clone() }, evidence.clone());
        }
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            for _ in 0..PARENTS {
                let parent = (context.parent.0, self.player.random_digest());
                ask(drawn.clone(), Context { parent, ..context.clone() }, evidence.clone());
            }
            self.player.deeds.did("asked for many parents");
        }
        self.player.deeds.did("asked wildly");
        out.extend([sent.clone(), sent]);
    }
}

/// Signs what others have built.
struct Impostor {
    player: Player,
    /// As the committer; otherwise where it has no part in the view.
    usurps: bool,
    /// Of others, the last ones.
    blocks: Vec<Block>,
    out: Vec<Mail>,
}

impl Impostor {
    fn sign(&mut self, block: &Block) -> Block {
        let mut header = block.header().clone();
        header.author = self.player.me();
        let forgery = Block::seal(header, block.body().clone(), Some(&self.player.key));
        self.player.deeds.forged(forgery.digest());
        self.player.deeds.did("impostor's block");
        forgery
    }

    fn body(&self, block: &Block) -> Mail {
        Mail { channel: Channel::Blocks, to: self.player.others.clone(), bytes: block.encode().into() }
    }
}

impl Conduct for Impostor {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        let vote = (sent.channel == Channel::Votes).then(|| parse_vote(&sent.bytes)).flatten();
        let (Some((epoch, Vote::Notarize(vote))), true) = (vote, self.usurps) else { return out.push(sent) };
        let me = self.player.me();
        let named =
            |block: &&Block| block.digest() == vote.proposal.payload && block.header().committer == me;
        let Some(block) = self.blocks.iter().find(named).cloned() else { return out.push(sent) };
        let forgery = self.sign(&block);
        let vote = notarize(&self.player.scheme, &vote, forgery.digest());
        out.push(self.body(&forgery));
        out.push(Mail { bytes: write_vote(epoch, &vote), ..sent });
    }

    fn hear(&mut self, channel: Channel, from: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Blocks
            && let Ok(block) = Block::decode_cfg(bytes.clone(), &self.player.limits)
        {
            let header = block.header();
            if !self.usurps && header.committer != self.player.me() && header.author == *from {
                let (round, committer) = (header.round(), header.committer.clone());
                let forgery = self.sign(&block);
                let built = Message::Built { round, digest: forgery.digest() };
                let body = self.body(&forgery);
                self.out.extend([body, mail(Channel::Lottery, vec![committer], &built)]);
            }
            self.blocks.push(block);
            if self.blocks.len() > KEPT_MAX {
                self.blocks.remove(0);
            }
        }
        Some(bytes)
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        out.append(&mut self.out);
    }
}

struct FalseProofs {
    player: Player,
    turn: usize,
    foreign: Option<Bytes>,
}

impl FalseProofs {
    fn spoil(&mut self, proof: &Bytes) -> Bytes {
        self.turn += 1;
        let (name, spoilt) = match self.turn % 4 {
            0 => {
                let mut nonsense = vec![0; proof.len()];
                self.player.rng.fill_bytes(&mut nonsense);
                ("nonsense proof", nonsense.into())
            }
            1 => {
                let mut damaged = proof.to_vec();
                let at = self.player.rng.random_range(0..damaged.len());
                damaged[at] ^= 1 << self.player.rng.random_range(0..8);
                ("damaged proof", damaged.into())
            }
            2 => ("half a proof", proof.slice(..proof.len() / 2)),
            _ => ("another's proof", self.foreign.clone().unwrap_or_default()),
        };
        self.player.deeds.did(name);
        spoilt
    }
}

impl Conduct for FalseProofs {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        let said = (sent.channel == Channel::Proofs).then(|| parse(&sent.bytes)).flatten();
        let message = match said {
            Some(Message::Proof { epoch, proof }) => Message::Proof { epoch, proof: self.spoil(&proof) },
            Some(Message::Copy { epoch, member, proof }) => {
                Message::Copy { epoch, member, proof: self.spoil(&proof) }
            }
            _ => return out.push(sent),
        };
        out.push(mail(Channel::Proofs, sent.to, &message));
    }

    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Proofs
            && let Some(Message::Proof { proof, .. }) = parse(&bytes)
        {
            self.foreign = Some(proof);
        }
        Some(bytes)
    }
}

struct FalseHolds {
    player: Player,
    turn: usize,
    /// By epoch and member, what it said it holds.
    known: BTreeMap<(u64, u8), Commitment>,
}

impl FalseHolds {
    /// That 2f+1 members hold it, signed by nobody but the liar.
    fn false_held(&self, epoch: u64, member: u8, commitment: Commitment) -> Message {
        let message = held_message(epoch, member, &commitment);
        let signature = self.player.key.sign(&domain::held(&self.player.rules.chain), &message);
        let holders = (0u8..3).map(|holder| (holder, signature.clone())).collect();
        Message::Held { epoch, held: Held { member, commitment, holders } }
    }
}

impl Conduct for FalseHolds {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        let said = (sent.channel == Channel::Proofs).then(|| parse(&sent.bytes)).flatten();
        match said {
            Some(Message::Holds { epoch, commitment, signature }) => {
                let owner = self.player.rules.members.position(&sent.to[0]);
                let member = owner.and_then(|owner| u8::try_from(owner).ok()).unwrap_or_default();
                self.known.insert((epoch, member), commitment);
                self.turn += 1;
                let other = Commitment { proof: self.player.random_digest(), ..commitment };
                if self.turn.is_multiple_of(2) {
                    // Signed for another proof than the one it says it holds.
                    let message = Message::Holds { epoch, commitment: other, signature };
                    self.player.deeds.did("false signature");
                    out.push(mail(Channel::Proofs, sent.to, &message));
                } else {
                    // As its engine says, and then nobody ever gets the proof from it.
                    self.player.deeds.did("claims to hold");
                    out.push(sent);
                }
                let held = self.false_held(epoch, member, other);
                self.player.deeds.did("false holders");
                out.push(mail(Channel::Proofs, self.player.others.clone(), &held));
            }
            Some(Message::Copy { .. }) => self.player.deeds.did("kept a proof back"),
            _ => out.push(sent),
        }
    }
}

struct FalseWords(Player);

impl FalseWords {
    fn false_words(&mut self, round: Round) -> Vec<(Channel, Message)> {
        let Self(player) = self;
        let digest = player.random_digest();
        let commitment = Commitment { root: digest, proof: player.random_digest() };
        let signature = player.key.sign(b"nothing", b"nothing");
        let mut proof = vec![0; 2_000];
        player.rng.fill_bytes(&mut proof);
        let proof = Bytes::from(proof);
        let far = Round::new(round.epoch(), View::new(round.view().get() + 1_000_000));
        let (epoch, next) = (round.epoch().get(), round.epoch().get() + 1);
        let held = |member| Held { member, commitment, holders: Vec::new() };
        let mut said = vec![
            (Channel::Lottery, Message::Built { round, digest }),
            (Channel::Lottery, Message::Built { round: far, digest }),
            (Channel::Lottery, Message::Have { round, digest }),
            (Channel::Lottery, Message::Have { round: far, digest }),
            (Channel::Lottery, Message::Want { epoch, member: 0, proof: digest }),
        ];
        for epoch in [epoch, next, u64::MAX] {
            said.extend([
                (Channel::Proofs, Message::Proof { epoch, proof: proof.clone() }),
                (Channel::Proofs, Message::Holds { epoch, commitment, signature: signature.clone() }),
                (Channel::Proofs, Message::Held { epoch, held: held(0) }),
                (Channel::Proofs, Message::Held { epoch, held: held(u8::MAX) }),
                (Channel::Proofs, Message::Copy { epoch, member: 0, proof: proof.clone() }),
                (Channel::Proofs, Message::Copy { epoch, member: u8::MAX, proof: proof.clone() }),
                (Channel::Proofs, Message::Want { epoch, member: u8::MAX, proof: digest }),
                (Channel::Proofs, Message::Reveal { round, evidence: proof.clone() }),
            ]);
        }
        let again = || Message::Want { epoch, member: 1, proof: EMPTY };
        said.extend((0..WANTS).map(|_| (Channel::Proofs, again())));
        said
    }
}

impl Conduct for FalseWords {
    fn send(&mut self, sent: Mail, out: &mut Vec<Mail>) {
        if sent.channel == Channel::Lottery
            && let Some(Message::Reveal { round, .. }) = parse(&sent.bytes)
        {
            let said = self.false_words(round);
            out.extend(said.iter().map(|(channel, message)| mail(*channel, self.0.others.clone(), message)));
            self.0.deeds.did("false words");
        }
        out.push(sent);
    }
}

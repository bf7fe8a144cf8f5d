//! Votes that contradict each other, silence, lies.

use super::{
    Player,
    ends::{Conduct, Mail},
};
use baton_consensus::network::Channel;
use baton_types::{Digest, Epoch, PublicKey, Round, Scheme, View};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _, Write as _, varint::UInt};
use commonware_consensus::{
    Viewable as _,
    simplex::types::{Finalize, Notarize, Nullify, Proposal, Vote},
};
use commonware_p2p::utils::mux;
use commonware_runtime::IoBuf;
use rand::{Rng as _, RngExt as _};
use std::collections::VecDeque;

/// The epoch and the vote in a message, if it is one.
pub fn parse_vote(bytes: &IoBuf) -> Option<(u64, Vote<Scheme, Digest>)> {
    let (epoch, vote) = mux::parse(bytes.clone()).ok()?;
    Some((epoch, Vote::decode(vote).ok()?))
}

pub fn write_vote(epoch: u64, vote: &Vote<Scheme, Digest>) -> IoBuf {
    let mut bytes = UInt(epoch).encode().to_vec();
    bytes.extend_from_slice(&vote.encode());
    bytes.into()
}

pub fn notarize(scheme: &Scheme, like: &Notarize<Scheme, Digest>, payload: Digest) -> Vote<Scheme, Digest> {
    let proposal = Proposal::new(like.proposal.round, like.proposal.parent, payload);
    Vote::Notarize(Notarize::sign(scheme, proposal).expect("it has a share"))
}

/// Half of the members get its vote, the others one for a block that there is not; finalize votes come
/// with one to give the view up, and the other way round.
pub struct ConflictingVotes(Player);

impl ConflictingVotes {
    pub fn new(player: Player) -> Self {
        Self(player)
    }
}

impl Conduct for ConflictingVotes {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let Self(player) = self;
        let Some((epoch, vote)) = (mail.channel == Channel::Votes).then(|| parse_vote(&mail.bytes)).flatten()
        else {
            return out.push(mail);
        };
        let invented = player.random_digest();
        let scheme = &player.scheme;
        let other = match &vote {
            Vote::Notarize(vote) => notarize(scheme, vote, invented),
            Vote::Finalize(vote) => {
                Vote::Nullify(Nullify::sign::<Digest>(scheme, vote.proposal.round).expect("it has a share"))
            }
            Vote::Nullify(vote) => {
                let parent = vote.round.view().previous().unwrap_or_default();
                let proposal = Proposal::new(vote.round, parent, invented);
                Vote::Finalize(Finalize::sign(scheme, proposal).expect("it has a share"))
            }
        };
        let (some, rest) = mail.to.split_at(mail.to.len() / 2);
        let other = Mail { to: rest.to_vec(), bytes: write_vote(epoch, &other), ..mail.clone() };
        player.deeds.did("conflicting vote");
        // Votes of one kind go to different members; a pair that excludes each other goes to all.
        if matches!(vote, Vote::Notarize(_)) {
            out.push(Mail { to: some.to_vec(), ..mail });
            out.push(other);
        } else {
            out.push(Mail { to: mail.to.clone(), ..other });
            out.push(mail);
        }
    }
}

/// Neither casts nor hears finalize votes of two views in three.
pub struct RareFinality(Player);

impl RareFinality {
    pub fn new(player: Player) -> Self {
        Self(player)
    }

    fn lost(channel: Channel, bytes: &IoBuf) -> bool {
        let vote = (channel == Channel::Votes).then(|| parse_vote(bytes)).flatten();
        matches!(vote, Some((_, Vote::Finalize(vote))) if !vote.view().get().is_multiple_of(3))
    }
}

impl Conduct for RareFinality {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        if Self::lost(mail.channel, &mail.bytes) {
            self.0.deeds.did("no finalize vote");
        } else {
            out.push(mail);
        }
    }

    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        (!Self::lost(channel, &bytes)).then_some(bytes)
    }
}

pub struct Withhold {
    player: Player,
    channels: Vec<Channel>,
    from: Vec<PublicKey>,
}

impl Withhold {
    pub fn new(player: Player, channels: Vec<Channel>, from: Vec<PublicKey>) -> Self {
        Self { player, channels, from }
    }
}

impl Conduct for Withhold {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        if self.channels.contains(&mail.channel) {
            let before = mail.to.len();
            mail.to.retain(|to| !self.from.contains(to));
            if mail.to.len() < before {
                self.player.deeds.did("withheld");
            }
        }
        if !mail.to.is_empty() {
            out.push(mail);
        }
    }
}

/// Of a message between resolvers: where its tag is (request, response, error), after epoch and number.
fn tag_at(mail: &Mail) -> Option<usize> {
    let prefix = match mail.channel {
        Channel::Backfill => 0,
        Channel::Resolver => mail.bytes.len() - mux::parse(mail.bytes.clone()).ok()?.1.len(),
        _ => return None,
    };
    (mail.bytes.len() > prefix + 8).then_some(prefix + 8)
}

const RESPONSE: u8 = 1;
const ERROR: u8 = 2;

/// Answers another question, nonsense, half of the answer, nothing, or that it does not know.
pub struct Lie {
    player: Player,
    lies: u64,
    /// The value of an earlier answer.
    earlier: Vec<u8>,
}

impl Lie {
    pub fn new(player: Player) -> Self {
        Self { player, lies: 0, earlier: vec![0] }
    }
}

impl Conduct for Lie {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let tag = tag_at(&mail).filter(|tag| mail.bytes.as_ref()[*tag] == RESPONSE);
        let Some(tag) = tag else { return out.push(mail) };
        let (frame, value) = mail.bytes.as_ref().split_at(tag + 1);
        let mut bytes = frame.to_vec();
        self.lies += 1;
        let name = match self.lies % 5 {
            0 => {
                bytes.extend_from_slice(&self.earlier);
                "another answer"
            }
            1 => {
                let mut value = vec![0; self.player.rng.random_range(1..200)];
                self.player.rng.fill_bytes(&mut value);
                bytes.extend_from_slice(&UInt(value.len() as u64).encode());
                bytes.extend_from_slice(&value);
                "nonsense"
            }
            2 => {
                bytes.extend_from_slice(&value[..value.len() / 2]);
                "half an answer"
            }
            3 => {
                bytes[tag] = ERROR;
                "denial"
            }
            _ => {
                self.player.deeds.did("silence");
                return;
            }
        };
        self.earlier = value.to_vec();
        self.player.deeds.did(name);
        out.push(Mail { bytes: bytes.into(), ..mail });
    }
}

/// Message of a mempool: units that ask for an acknowledgement, and the acknowledgement.
pub const UNITS_ASKING: u8 = 1;
const ACK: u8 = 2;

/// Acknowledges at once, and its own mempool never hears of it.
pub struct FalseAcks {
    player: Player,
    acks: Vec<Mail>,
}

impl FalseAcks {
    pub fn new(player: Player) -> Self {
        Self { player, acks: Vec::new() }
    }
}

impl Conduct for FalseAcks {
    fn hear(&mut self, channel: Channel, from: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel != Channel::Mempool || bytes.len() < 9 || bytes.as_ref()[0] > UNITS_ASKING {
            return Some(bytes);
        }
        if bytes.as_ref()[0] == UNITS_ASKING {
            let ack = [&[ACK], &bytes.as_ref()[1..9]].concat();
            self.acks.push(Mail { channel, to: vec![from.clone()], bytes: ack.into() });
            self.player.deeds.did("false acknowledgement");
        }
        None
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        out.append(&mut self.acks);
    }
}

/// Damages every certified block that it offers to those that want to join, and every description of an
/// epoch.
pub struct FalseFloors(Player);

impl FalseFloors {
    pub fn new(player: Player) -> Self {
        Self(player)
    }
}

impl Conduct for FalseFloors {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        /// Of messages that carry a certificate and a header.
        const LONG: usize = 600;
        let Self(player) = self;
        if mail.channel == Channel::Joining && mail.bytes.len() > LONG {
            let mut bytes = mail.bytes.as_ref().to_vec();
            // Behind tag and height, within the certificate or the header.
            let at = player.rng.random_range(32..LONG);
            bytes[at] ^= 1 << player.rng.random_range(0..8);
            mail.bytes = bytes.into();
            player.deeds.did("false floor");
        }
        out.push(mail);
    }
}

/// Damages every piece of a state that it gives, or says that it is larger than it is.
pub struct FalseStates(Player);

impl FalseStates {
    pub fn new(player: Player) -> Self {
        Self(player)
    }
}

impl Conduct for FalseStates {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        /// Of answers with a piece.
        const LONG: usize = 40;
        let Self(player) = self;
        if mail.channel == Channel::States && mail.bytes.len() > LONG {
            let mut bytes = mail.bytes.as_ref().to_vec();
            // Behind tag, rollup and number.
            let at = player.rng.random_range(13..bytes.len());
            bytes[at] ^= 1 << player.rng.random_range(0..8);
            mail.bytes = bytes.into();
            player.deeds.did("false state");
        }
        out.push(mail);
    }
}

/// Answers who asks for its own votes with votes that the liar signed, for blocks that there are not.
pub struct FalseVotes {
    player: Player,
    /// Where its own last vote was.
    epoch: u64,
    view: u64,
    /// Its latest own votes.
    said: VecDeque<Bytes>,
}

/// Own votes that are passed off as another's.
const SAID_MAX: usize = 14;

impl FalseVotes {
    pub fn new(player: Player) -> Self {
        Self { player, epoch: 0, view: 1, said: VecDeque::new() }
    }
}

impl Conduct for FalseVotes {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        /// Tag of an answer.
        const VOTES: u8 = 5;
        if mail.channel == Channel::Votes
            && let Some((epoch, vote)) = parse_vote(&mail.bytes)
        {
            (self.epoch, self.view) = (epoch, vote.view().get());
            // Honest members say the same in most views: signed by this one, it may hide that they did.
            self.said.push_back(Bytes::from(mail.bytes.as_ref().to_vec()));
            if self.said.len() > SAID_MAX {
                self.said.pop_front();
            }
        }
        if mail.channel == Channel::Joining && mail.bytes.as_ref().first() == Some(&VOTES) {
            let round = Round::new(Epoch::new(self.epoch), View::new(self.view + 1));
            let proposal = Proposal::new(round, View::new(self.view), self.player.random_digest());
            let vote = Notarize::sign(&self.player.scheme, proposal).expect("it has a share");
            let vote = write_vote(self.epoch, &Vote::Notarize(vote)).as_ref().to_vec();
            let mut votes = vec![Bytes::from(vote), Bytes::from_static(b"nonsense")];
            votes.extend(self.said.iter().cloned());
            let mut bytes = vec![VOTES];
            Epoch::new(self.epoch + 7).write(&mut bytes);
            votes.write(&mut bytes);
            mail.bytes = bytes.into();
            self.player.deeds.did("false votes");
        }
        out.push(mail);
    }
}

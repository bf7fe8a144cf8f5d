//! The rules of one election, as a function of public data: who commits, what its evidence shows, whom
//! that draws. Voters judge blocks with it, the API explains them, and an election's proof is verified
//! with it by a program that runs no node.

use super::{EpochView, KeyError, REVEAL, SINGLE, Unelected, keys, rounds};
use baton_types::{
    Digest, Genesis, Header, PublicKey,
    api::{CandidateView, CommitmentView, ElectionView, EvidenceKind, LotteryView, MissedView, SkipReason},
    hex,
    lottery::{Commitment, Indices, Lottery as State, Rules},
    merkle::EMPTY,
};
use baton_vrf::{Output, PublicKey as VrfKey, Reveal, Rounds, SingleProof};
use std::num::NonZeroU32;

/// Missed views that are listed one by one.
const MISSED_MAX: usize = 256;

/// What elections of a chain are judged by.
pub(super) struct Judge<'a> {
    pub rules: &'a Rules,
    /// Names the chain in what is proven.
    pub base: &'a Digest,
    pub keys: &'a [VrfKey],
    pub rounds: Rounds,
}

/// The same, made from the genesis alone.
pub(super) struct Charter {
    pub rules: Rules,
    base: Digest,
    pub keys: Vec<VrfKey>,
    pub rounds: Rounds,
}

impl Charter {
    pub fn new(genesis: &Genesis) -> Result<Self, KeyError> {
        Ok(Self {
            rules: genesis.lottery_rules().map_err(KeyError::Genesis)?,
            base: genesis.context_beacon(),
            keys: keys(genesis)?,
            rounds: rounds(genesis),
        })
    }

    pub fn judge(&self) -> Judge<'_> {
        Judge { rules: &self.rules, base: &self.base, keys: &self.keys, rounds: self.rounds }
    }
}

/// An election that stands, and how it came out.
#[derive(Clone, Debug)]
pub struct Elected {
    pub committer: usize,
    pub author: usize,
    pub turn: u64,
    pub evidence: EvidenceKind,
    pub evidence_bytes: usize,
    pub opening: [u8; 32],
    pub output: Output,
    /// Of the committer, in force.
    pub commitment: Option<Commitment>,
    pub context_beacon: Digest,
    pub later_beacon: Digest,
    /// Candidates in the order of the draw; the last is the author.
    pub draw: Vec<(usize, Option<SkipReason>)>,
    pub benched: Indices,
    pub suspended: Indices,
    /// The first views between parent and block, with their committers.
    pub missed: Vec<(u64, usize)>,
}

impl Judge<'_> {
    fn epoch(&self, epoch: u64, before: &State) -> EpochView {
        EpochView::new(self.base, epoch, before)
    }

    /// Opening and output that `evidence` shows for a view of an epoch.
    pub fn verify(
        &self,
        known: &EpochView,
        view: u64,
        committer: usize,
        evidence: &[u8],
    ) -> Result<([u8; 32], Output), Unelected> {
        let malformed = |error: baton_vrf::Malformed| Unelected::Malformed(error.to_string());
        let key = self.keys.get(committer).ok_or(Unelected::Uncommitted)?;
        let commitment = known.commitments.get(committer).copied().flatten();
        let turn = known.rotation.turn(view);
        match evidence.split_first() {
            Some((&REVEAL, bytes)) => {
                let commitment = commitment.ok_or(Unelected::Uncommitted)?;
                let reveal = Reveal::from_bytes(bytes).map_err(malformed)?;
                if u64::from(reveal.turn) != turn {
                    return Err(Unelected::Turn(reveal.turn, turn));
                }
                let output = reveal.verify(&commitment.root.0, key, &known.context, &known.later)?;
                Ok((reveal.opening.to_bytes(), output))
            }
            Some((&SINGLE, bytes)) => {
                // A second candidate for the same turn would be a choice.
                if commitment.is_some() && turn < u64::from(self.rounds.count()) {
                    return Err(Unelected::Committed);
                }
                let proof = SingleProof::from_bytes(bytes).map_err(malformed)?;
                let output = proof.verify(key, &known.context, view, &known.later)?;
                Ok((proof.opening().to_bytes(), output))
            }
            _ => Err(Unelected::Malformed("no evidence of a known kind".to_owned())),
        }
    }

    /// Members in the order in which an output draws them, up to the first that may build.
    pub fn draw(&self, before: &State, output: Output) -> Vec<(usize, Option<SkipReason>)> {
        let members = u32::try_from(self.rules.members.len()).ok().and_then(NonZeroU32::new);
        let mut drawn = Vec::new();
        for member in members.into_iter().flat_map(|members| output.candidates(members)) {
            let member = usize::try_from(member).expect("members have small indices");
            let skipped = if before.suspended.contains(member) {
                Some(SkipReason::Suspended)
            } else {
                before.bench.contains(member).then_some(SkipReason::Benched)
            };
            drawn.push((member, skipped));
            if skipped.is_none() {
                break;
            }
        }
        drawn
    }

    /// Judges the election of a block with this header and evidence, given the state that it builds on.
    pub fn elect(&self, before: &State, header: &Header, evidence: &[u8]) -> Result<Elected, Unelected> {
        let members = &self.rules.members;
        let (epoch, view) = (header.epoch, header.view);
        let known = self.epoch(epoch, before);
        let committer = known.rotation.committer(epoch, view);
        if members.get(committer) != Some(&header.committer) {
            return Err(Unelected::Committer { committer });
        }
        let (opening, output) = self.verify(&known, view, committer, evidence)?;
        if opening != header.reveal {
            return Err(Unelected::Opening);
        }
        let draw = self.draw(before, output);
        let drawn = draw.last().filter(|(_, skipped)| skipped.is_none()).map(|(member, _)| *member);
        let drawn = drawn.ok_or(Unelected::Nobody)?;
        let author = members.position(&header.author).unwrap_or(usize::MAX);
        if author != drawn {
            return Err(Unelected::Author { author, drawn });
        }
        let missed = (header.parent_view + 1..view).take(MISSED_MAX);
        Ok(Elected {
            committer,
            author,
            turn: known.rotation.turn(view),
            evidence: if evidence.first() == Some(&REVEAL) {
                EvidenceKind::Reveal
            } else {
                EvidenceKind::SingleProof
            },
            evidence_bytes: evidence.len(),
            opening,
            output,
            commitment: known.commitments.get(committer).copied().flatten(),
            context_beacon: before.context_beacon,
            later_beacon: before.later_beacon,
            draw,
            benched: before.bench,
            suspended: before.suspended,
            missed: missed.map(|view| (view, known.rotation.committer(epoch, view))).collect(),
        })
    }

    /// Checks the proof of the committer's whole epoch against the commitment that the election used.
    pub fn check_epoch_proof(
        &self,
        epoch: u64,
        elected: &Elected,
        proof: &[u8],
    ) -> Result<(), super::offline::Refused> {
        use super::offline::Refused;
        let commitment = elected.commitment.ok_or(Refused::NothingCommitted)?;
        let context = super::context(self.base, epoch, &elected.context_beacon);
        let key = self.keys.get(elected.committer).ok_or(Refused::NothingCommitted)?;
        let proof = baton_vrf::EpochProof::from_bytes(proof).map_err(baton_vrf::Refused::from);
        let found = proof.and_then(|proof| proof.verify(key, &context, self.rounds));
        let found = found.map_err(Refused::EpochProof)?;
        // In epoch 0 the genesis has the roots, and no proof.
        let hash = commitment.proof == EMPTY || commitment.proof.0 == found.proof_hash;
        if commitment.root.0 == found.root && hash { Ok(()) } else { Err(Refused::OtherEpochProof) }
    }
}

/// A member's index as the API shows it.
pub(super) fn number(member: usize) -> u32 {
    u32::try_from(member).unwrap_or(u32::MAX)
}

pub fn commitment_view(commitment: &Commitment) -> CommitmentView {
    CommitmentView {
        root: hex::encode(&commitment.root),
        proof_hash: (commitment.proof != EMPTY).then(|| hex::encode(&commitment.proof)),
    }
}

fn lottery_view(elected: &Elected) -> LotteryView {
    let draw = elected.draw.iter();
    LotteryView {
        turn: elected.turn,
        evidence: elected.evidence,
        evidence_bytes: u64::try_from(elected.evidence_bytes).unwrap_or(u64::MAX),
        opening: hex::encode(&elected.opening),
        commitment: elected.commitment.as_ref().map(commitment_view),
        context_beacon: hex::encode(&elected.context_beacon),
        later_beacon: hex::encode(&elected.later_beacon),
        output: hex::encode(&elected.output.0),
        draw: draw
            .map(|(member, skipped)| CandidateView { member: number(*member), skipped: *skipped })
            .collect(),
        benched: elected.benched.iter().map(number).collect(),
        suspended: elected.suspended.iter().map(number).collect(),
        missed: elected
            .missed
            .iter()
            .map(|(view, committer)| MissedView { view: *view, committer: number(*committer) })
            .collect(),
    }
}

/// What the API and the command line show of the election of a block; `elected` under zk-lottery.
pub fn election_view(
    header: &Header,
    index: impl Fn(&PublicKey) -> u32,
    elected: Option<&Elected>,
) -> ElectionView {
    ElectionView {
        height: header.height,
        block: hex::encode(&header.digest()),
        epoch: header.epoch,
        view: header.view,
        parent_view: header.parent_view,
        views_missed: header.view.saturating_sub(header.parent_view + 1),
        election: header.election.name().to_owned(),
        committer: index(&header.committer),
        author: index(&header.author),
        parent_seed: hex::encode(&header.parent_seed),
        lottery: elected.map(lottery_view),
    }
}

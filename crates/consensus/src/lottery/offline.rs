//! Verifies an election with nothing but the group key: no node, no network, no state of its own.
//!
//! Rules, in order; the first that fails is the reason:
//!
//! | step | holds because |
//! |---|---|
//! | the certificate makes the header final | the group key |
//! | the genesis is the chain's, and the one that the verifier knows if it knows one | the header's `chain` |
//! | the parent is the header's, and the header's place follows it | the header's `parent` |
//! | `held` and `state` are the parent's | its `members_root` |
//! | the evidence is the block's | the header's `reveal_evidence` |
//! | committer, commitment in force, reveal, output, draw, author | `judge`, as voters do |
//! | the epoch's proof, if given, leads to the commitment in force | `baton-vrf` |
//!
//! What a verifier trusts is the group key: that it signed means that 2f+1 members found the parent's state
//! to follow from its own parent's, back to the genesis. The genesis is in the proof and under the header.

use super::{
    KeyError, Unelected,
    judge::{Charter, Elected, election_view, number},
};
use baton_types::{
    Digest, Genesis, GroupKey, Header, PublicKey,
    api::ElectionView,
    block::ElectionKind,
    election::ElectionProof,
    genesis::Election,
    proof::{self, verify_final},
};
use rand_core::CryptoRng;
use thiserror::Error;

/// Why an election's proof does not hold.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("the block is not final: {0}")]
    NotFinal(#[from] proof::Refused),
    #[error("the block is of chain {block}, and its genesis of chain {genesis}")]
    Genesis { block: Digest, genesis: Digest },
    #[error("the block is of chain {block}, and the genesis given of chain {given}")]
    OtherChain { block: Digest, given: Digest },
    #[error("the genesis does not stand: {0}")]
    Keys(#[from] KeyError),
    #[error("the block's election is {0}; only elections by zk-lottery have a proof")]
    Kind(&'static str),
    #[error("the parent given is not the one that the header names")]
    Parent,
    #[error("the header's {0} does not follow from its parent")]
    Place(&'static str),
    #[error("the lottery state is not the one that the parent's header commits to")]
    State,
    #[error("the lottery state is of {found} members, and the genesis has {expected}")]
    Members { found: usize, expected: usize },
    #[error("the evidence is not what the header commits to")]
    Evidence,
    #[error("the election does not stand: {0}")]
    Unelected(#[from] Unelected),
    #[error("the committer has no commitment in force, so no proof of the epoch belongs to this election")]
    NothingCommitted,
    #[error("the epoch's proof does not hold for the committer: {0}")]
    EpochProof(baton_vrf::Refused),
    #[error("the epoch's proof holds, but is not the one that the chain put in force")]
    OtherEpochProof,
}

/// What else a verifier has, beside the proof and the group key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The genesis of the chain that it expects.
    pub genesis: Option<&'a Genesis>,
    /// The committer's proof of its whole epoch.
    pub epoch_proof: Option<&'a [u8]>,
}

/// Checks everything from the certificate to the author.
pub fn verify(
    rng: &mut impl CryptoRng,
    proof: &ElectionProof,
    group_key: &GroupKey,
    extras: Extras<'_>,
) -> Result<ElectionView, Refused> {
    let header = &proof.header;
    verify_final(rng, header, proof.history.as_ref(), &proof.certificate, group_key)?;
    check_genesis(proof, extras.genesis)?;
    check_parent(header, &proof.parent, proof.genesis.epoch_blocks)?;
    let part = proof.part();
    if part.members_root() != proof.parent.members_root {
        return Err(Refused::State);
    }
    if part.evidence_root() != header.reveal_evidence {
        return Err(Refused::Evidence);
    }
    let charter = Charter::new(&proof.genesis)?;
    let (found, expected) = (proof.state.members(), charter.keys.len());
    if found != expected {
        return Err(Refused::Members { found, expected });
    }
    let before = proof.state.before(&charter.rules, &proof.parent, header.epoch);
    let judge = charter.judge();
    let elected: Elected = judge.elect(&before, header, &proof.evidence)?;
    if let Some(epoch_proof) = extras.epoch_proof {
        judge.check_epoch_proof(header.epoch, &elected, epoch_proof)?;
    }
    let index = |key: &PublicKey| charter.rules.members.position(key).map_or(u32::MAX, number);
    Ok(election_view(header, index, Some(&elected)))
}

fn check_genesis(proof: &ElectionProof, given: Option<&Genesis>) -> Result<(), Refused> {
    let block = proof.header.chain;
    if let Some(given) = given.map(Genesis::digest).filter(|given| *given != block) {
        return Err(Refused::OtherChain { block, given });
    }
    let genesis = proof.genesis.digest();
    if genesis != block {
        return Err(Refused::Genesis { block, genesis });
    }
    let kind = proof.header.election;
    if kind != ElectionKind::ZkLottery || proof.genesis.election != Election::ZkLottery {
        return Err(Refused::Kind(kind.name()));
    }
    Ok(())
}

/// That a header stands where its parent says. Voters have seen to it; what follows relies on it.
fn check_parent(header: &Header, parent: &Header, epoch_blocks: u64) -> Result<(), Refused> {
    if header.parent != parent.digest() {
        return Err(Refused::Parent);
    }
    let epoch = |height: u64| height / epoch_blocks;
    let parent_view = if header.epoch == parent.epoch { parent.view } else { 0 };
    let places = [
        ("chain", header.chain == parent.chain),
        ("height", parent.height.checked_add(1) == Some(header.height)),
        ("epoch", header.epoch == epoch(header.height) && parent.epoch == epoch(parent.height)),
        ("parent view", header.parent_view == parent_view && header.view > parent_view),
    ];
    match places.iter().find(|(_, follows)| !follows) {
        Some((field, _)) => Err(Refused::Place(field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

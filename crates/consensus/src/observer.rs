//! Watches what consensus reports on its way to marshal: votes, certificates, seeds.
//!
//! The orchestrator takes one value as automaton, relay and reporter, so watching needs a wrapper.

use crate::{
    aliases::{Automaton, Runtime},
    shared::Shared,
};
use baton_types::{Digest, PublicKey, Scheme, Seed, block::ParentSeed};
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    CertifiableAutomaton, Epochable as _, Handoff, Relay, Reporter, Viewable as _,
    simplex::{
        scheme::bls12381_threshold::vrf::Seedable as _,
        types::{Activity, Attributable as _, Context},
    },
    types::Round,
};
use commonware_utils::channel::oneshot;
use std::sync::Arc;

pub struct Observer<E: Runtime> {
    pub inner: Automaton<E>,
    pub shared: Arc<Shared>,
}

// Derived, it would ask for a runtime that can be cloned.
impl<E: Runtime> Clone for Observer<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

/// The 48 bytes of a seed signature: its encoding after the round.
pub fn seed_bytes(seed: &Seed) -> ParentSeed {
    let encoded = seed.encode();
    let mut bytes = [0; 48];
    let start = encoded.len() - bytes.len();
    bytes.copy_from_slice(&encoded[start..]);
    bytes
}

impl<E: Runtime> commonware_consensus::Automaton for Observer<E> {
    type Context = Context<Digest, PublicKey>;
    type Digest = Digest;

    fn propose(&mut self, context: Self::Context) -> impl Future<Output = oneshot::Receiver<Digest>> + Send {
        self.inner.propose(context)
    }

    fn verify(
        &mut self,
        context: Self::Context,
        digest: Digest,
    ) -> impl Future<Output = oneshot::Receiver<bool>> + Send {
        self.inner.verify(context, digest)
    }
}

impl<E: Runtime> CertifiableAutomaton for Observer<E> {
    fn prepare(
        &mut self,
        context: Self::Context,
    ) -> impl Future<Output = oneshot::Receiver<Handoff<Digest>>> + Send {
        self.inner.prepare(context)
    }

    fn certify(
        &mut self,
        round: Round,
        digest: Digest,
    ) -> impl Future<Output = oneshot::Receiver<bool>> + Send {
        self.inner.certify(round, digest)
    }
}

impl<E: Runtime> Relay for Observer<E> {
    type Digest = Digest;
    type PublicKey = PublicKey;
    type Plan = <Automaton<E> as Relay>::Plan;

    fn broadcast(&mut self, digest: Digest, plan: Self::Plan) -> Feedback {
        self.inner.broadcast(digest, plan)
    }
}

impl<E: Runtime> Reporter for Observer<E> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let shared = &self.shared;
        match &activity {
            Activity::Notarize(vote) => {
                shared.vote(Round::new(vote.epoch(), vote.view()), usize::from(vote.signer()), true);
            }
            Activity::Nullify(vote) => {
                shared.vote(Round::new(vote.epoch(), vote.view()), usize::from(vote.signer()), false);
            }
            Activity::Finalize(vote) => {
                shared.vote(Round::new(vote.epoch(), vote.view()), usize::from(vote.signer()), true);
            }
            Activity::Notarization(notarization) => {
                let proposal = &notarization.proposal;
                shared.notarized(proposal.round, &proposal.payload, seed_bytes(&notarization.seed()));
            }
            Activity::Finalization(finalization) => {
                let proposal = &finalization.proposal;
                shared.finalization(proposal.round, &proposal.payload, seed_bytes(&finalization.seed()));
            }
            Activity::Nullification(nullification) => shared.passed(nullification.round, None),
            _ => {}
        }
        self.inner.report(activity)
    }
}

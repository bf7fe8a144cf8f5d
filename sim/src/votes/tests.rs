use super::*;
use crate::cluster::genesis;
use baton_types::{Round, Scheme, View};
use commonware_consensus::simplex::types::{Finalize, Notarize, Nullify, Proposal};

struct Signer(Scheme);

impl Signer {
    fn new() -> Self {
        let (genesis, keys) = genesis(4, 1, |_| {});
        let (members, sharing) = (genesis.identities().unwrap(), genesis.sharing().unwrap());
        Self(Scheme::signer(b"test", members, sharing.public().clone(), keys[0].share.clone()).unwrap())
    }

    fn round(epoch: u64, view: u64) -> Round {
        Round::new(Epoch::new(epoch), View::new(view))
    }

    fn proposal(epoch: u64, view: u64, block: u8) -> Proposal<Digest> {
        Proposal::new(Self::round(epoch, view), View::zero(), Digest::from([block; 32]))
    }

    fn notarize(&self, epoch: u64, view: u64, block: u8) -> Vote<Scheme, Digest> {
        Vote::Notarize(Notarize::sign(&self.0, Self::proposal(epoch, view, block)).unwrap())
    }

    fn finalize(&self, epoch: u64, view: u64, block: u8) -> Vote<Scheme, Digest> {
        Vote::Finalize(Finalize::sign(&self.0, Self::proposal(epoch, view, block)).unwrap())
    }

    fn nullify(&self, epoch: u64, view: u64) -> Vote<Scheme, Digest> {
        Vote::Nullify(Nullify::sign::<Digest>(&self.0, Self::round(epoch, view)).unwrap())
    }
}

fn check(votes: &[Vote<Scheme, Digest>], expect: Option<&str>) {
    let mut heard = Votes::default();
    votes.iter().for_each(|vote| heard.hear(vote));
    assert_eq!(heard.contradiction(), expect);
}

#[test]
fn only_contradictions_are_noticed() {
    let signer = Signer::new();
    let (notarize, finalize, nullify) =
        (signer.notarize(1, 5, 7), signer.finalize(1, 5, 7), signer.nullify(1, 5));
    check(&[notarize.clone(), notarize.clone(), finalize.clone(), finalize.clone()], None);
    check(&[notarize.clone(), nullify.clone(), nullify.clone()], None);
    check(&[notarize.clone(), signer.notarize(1, 6, 8), signer.notarize(2, 5, 8)], None);
    check(&[notarize, signer.notarize(1, 5, 8)], Some("notarize votes for two blocks in epoch 1, view 5"));
    check(
        &[finalize.clone(), signer.finalize(1, 5, 8)],
        Some("finalize votes for two blocks in epoch 1, view 5"),
    );
    check(
        &[finalize.clone(), nullify.clone()],
        Some("a nullify vote after a finalize vote in epoch 1, view 5"),
    );
    check(&[nullify, finalize], Some("a finalize vote after a nullify vote in epoch 1, view 5"));
}

#[test]
fn a_lost_share_must_not_sign() {
    let signer = Signer::new();
    let mut heard = Votes::default();
    heard.hear(&signer.notarize(2, 5, 7));
    heard.lost_share(Epoch::new(2));
    heard.hear(&signer.notarize(3, 1, 7));
    assert_eq!(heard.contradiction(), None);
    heard.hear(&signer.notarize(2, 9, 7));
    assert_eq!(heard.contradiction(), Some("a vote in epoch 2, view 9, with a share whose disk was lost"));
}

use super::*;
use baton_types::PublicKey;
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::deal,
        primitives::{sharing::Mode, variant::MinSig},
    },
    ed25519::PrivateKey,
};
use commonware_runtime::{Runner as _, Storage as _, Supervisor as _, deterministic};
use commonware_utils::{N3f1, ordered::Set};
use futures::FutureExt as _;
use rand::{SeedableRng as _, rngs::StdRng};

fn share() -> Share {
    let member = PrivateKey::from_seed(1).public_key();
    let players = Set::from_iter_dedup([member.clone()]);
    let (_, shares) =
        deal::<MinSig, _, N3f1>(StdRng::seed_from_u64(1), Mode::NonZeroCounter, players).expect("one member");
    shares.get_value(&member).expect("dealt").clone()
}

async fn held(context: &deterministic::Context, label: &'static str, first: Option<Share>) -> bool {
    let mut secrets = Secrets::open(context.child(label), "node", first, Epoch::new(7)).await;
    secrets.get_share(Epoch::zero()).await.is_some()
}

#[test]
fn a_share_is_imported_once_and_kept() {
    deterministic::Runner::seeded(1).start(|context| async move {
        assert!(held(&context, "first", Some(share())).await);
        assert!(held(&context, "second", None).await);
    });
}

#[test]
fn secrets_without_their_vote_journal_are_forgotten() {
    deterministic::Runner::seeded(2).start(|context| async move {
        assert!(held(&context, "first", Some(share())).await);
        context.remove("node-orchestrator-marker", None).await.expect("it was there");
        assert!(!held(&context, "second", None).await, "it would sign without knowing what it signed");
        assert!(!held(&context, "third", Some(share())).await, "a share comes from a reshare only");
    });
}

/// A voter that replays votes of its own needs the share they were made with.
#[test]
fn votes_go_with_the_share() {
    deterministic::Runner::seeded(5).start(|context| async move {
        let journal = |epoch: u64| format!("node-orchestrator_consensus_{epoch}");
        assert!(held(&context, "first", Some(share())).await);
        for epoch in [6, 7, 8] {
            context.open(&journal(epoch), b"votes").await.expect("a fresh blob");
        }
        assert!(held(&context, "second", None).await);
        assert!(context.scan(&journal(7)).await.is_ok(), "a share and its votes stay");
        context.remove("node-secrets", None).await.expect("it was there");
        assert!(!held(&context, "third", None).await);
        for epoch in [6, 7, 8] {
            assert!(context.scan(&journal(epoch)).await.is_err(), "votes of epoch {epoch} are left");
        }
    });
}

#[test]
fn a_whole_vote_journal_may_get_its_share_again() {
    deterministic::Runner::seeded(3).start(|context| async move {
        assert!(held(&context, "first", Some(share())).await);
        context.remove("node-secrets", None).await.expect("it was there");
        assert!(held(&context, "second", Some(share())).await);
    });
}

/// Members acknowledge what a dealer dealt first, also to a copy of it that has not dealt yet.
#[test]
fn a_copy_deals_what_its_original_dealt() {
    async fn seeds(context: &deterministic::Context, prefix: &str, first: Option<Share>) -> [Summary; 2] {
        let mut secrets = Secrets::open(context.child("opened"), prefix, first, Epoch::zero()).await;
        secrets.put_seed(Epoch::zero(), drawn(b"another", b"")).await;
        secrets.prune(Epoch::new(1)).await;
        [0, 1].map(Epoch::new).map(|epoch| secrets.get_seed(epoch).now_or_never().flatten().expect("derived"))
    }
    deterministic::Runner::seeded(6).start(|context| async move {
        let [zero, one] = seeds(&context, "node", Some(share())).await;
        assert_ne!(zero, one);
        assert_eq!(seeds(&context, "node", None).await, [zero, one], "after a restart");
        assert_eq!(seeds(&context, "wiped", Some(share())).await, [zero, one], "of the same share");
        assert_ne!(seeds(&context, "other", None).await, [zero, one]);
    });
}

#[test]
fn shares_and_dealings_come_back_and_are_pruned() {
    deterministic::Runner::seeded(4).start(|context| async move {
        let mut secrets = Secrets::open(context.child("first"), "node", None, Epoch::zero()).await;
        let dealer: PublicKey = PrivateKey::from_seed(2).public_key();
        for epoch in [1, 2] {
            secrets.put_share(Epoch::new(epoch), share()).await;
        }
        secrets.prune(Epoch::new(2)).await;
        drop(secrets);
        let mut secrets = Secrets::open(context.child("second"), "node", None, Epoch::zero()).await;
        assert_eq!(secrets.get_share(Epoch::new(1)).await, None);
        assert_eq!(secrets.get_share(Epoch::new(2)).await, Some(share()));
        assert!(secrets.get_dealing(Epoch::new(2), &dealer).await.is_none());
    });
}

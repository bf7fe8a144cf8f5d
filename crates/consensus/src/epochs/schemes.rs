use super::secrets::Latest;
use crate::{aliases::Runtime, client::Silence, votes::Guard};
use baton_types::{Epoch, PublicKey, Scheme};
use commonware_cryptography::{
    bls12381::primitives::{group::Share, variant::MinSig},
    certificate::{Provider, Scoped},
};
use commonware_glue::dkg::{Registrar, types::SchemeInfo};
use commonware_utils::{
    ordered::{Quorum as _, Set},
    sync::Mutex,
};
use std::{collections::BTreeMap, sync::Arc};
use tracing::{info, warn};

/// Epochs whose schemes are kept: late certificates of the one before still come in.
const EPOCHS_KEPT: usize = 4;

/// Signing schemes of the latest epochs.
#[derive(Clone, Default)]
pub struct Schemes(Arc<Mutex<BTreeMap<Epoch, Arc<Scheme>>>>);

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.scheme(epoch).map(Scoped::scheme)
    }

    fn scheme(&self, epoch: Epoch) -> Option<Arc<Scheme>> {
        self.0.lock().get(&epoch).cloned()
    }
}

/// Turns the outcome of a ceremony into this node's scheme for an epoch.
pub struct SchemeRegistrar<E: Runtime> {
    pub namespace: Arc<[u8]>,
    pub schemes: Schemes,
    pub shared: Arc<crate::shared::Shared>,
    pub guard: tokio::sync::Mutex<Guard<E>>,
    pub latest_share: Latest,
}

impl<E: Runtime> SchemeRegistrar<E> {
    /// The share on disk, for a ceremony that this node reads again as one that was not there. Not for
    /// epochs before its own: the votes in them may be forgotten.
    fn kept_share(&self, epoch: Epoch, participants: &Set<PublicKey>, me: &PublicKey) -> Option<Share> {
        let (since, share) = self.latest_share.lock().clone()?;
        (since <= epoch && participants.key(share.index) == Some(me)).then_some(share)
    }
}

impl<E: Runtime> Registrar for SchemeRegistrar<E> {
    type Variant = MinSig;
    type PublicKey = PublicKey;

    async fn register(&self, epoch: Epoch, info: SchemeInfo<MinSig, PublicKey>) {
        let namespace = &self.namespace;
        let (participants, sharing, me, share) = match info {
            SchemeInfo::Verifier { participants, sharing } => (participants, sharing, None, None),
            SchemeInfo::Member { participants, sharing, public_key } => {
                let share = self.kept_share(epoch, &participants, &public_key);
                (participants, sharing, Some(public_key), share)
            }
            SchemeInfo::Signer { participants, sharing, share } => {
                let me = participants.key(share.index).cloned();
                (participants, sharing, me, Some(share))
            }
        };
        let silent = match &me {
            Some(me) => Scheme::member(namespace, participants.clone(), sharing.clone(), me)
                .expect("the reshare actor names members only"),
            None => Scheme::verifier(namespace, participants.clone(), sharing.clone()),
        };
        // None where the key is dealt in another way than the share.
        let signer = share.and_then(|share| Scheme::signer(namespace, participants.clone(), sharing, share));
        let mut guard = self.guard.lock().await;
        let (scheme, voting) = match signer {
            Some(signer) if guard.may_vote(epoch, &signer).await => {
                info!(epoch = epoch.get(), members = participants.len(), "voting in this epoch");
                (signer, true)
            }
            Some(_) => (silent, false),
            None => {
                if me.is_some() {
                    warn!(epoch = epoch.get(), "member without a share in this epoch: following, not voting");
                } else {
                    info!(epoch = epoch.get(), "not a member in this epoch: following");
                }
                self.shared.silence(me.is_some().then_some(Silence::NoShare));
                guard.abstain(epoch, &silent).await;
                (silent, false)
            }
        };
        drop(guard);
        self.shared.enter_epoch(epoch, participants.iter().cloned().collect(), voting);
        let mut schemes = self.schemes.0.lock();
        schemes.insert(epoch, Arc::new(scheme));
        while schemes.len() > EPOCHS_KEPT {
            schemes.pop_first();
        }
    }
}

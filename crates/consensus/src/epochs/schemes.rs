use baton_types::{Epoch, PublicKey, Scheme};
use commonware_cryptography::{
    bls12381::primitives::variant::MinSig,
    certificate::{Provider, Scoped},
};
use commonware_glue::dkg::{Registrar, types::SchemeInfo};
use commonware_utils::sync::Mutex;
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
#[derive(Clone)]
pub struct SchemeRegistrar {
    pub namespace: Arc<[u8]>,
    pub schemes: Schemes,
    pub shared: Arc<crate::shared::Shared>,
}

impl Registrar for SchemeRegistrar {
    type Variant = MinSig;
    type PublicKey = PublicKey;

    async fn register(&self, epoch: Epoch, info: SchemeInfo<MinSig, PublicKey>) {
        let namespace = &self.namespace;
        let voting = matches!(info, SchemeInfo::Signer { .. });
        let (scheme, holders) = match info {
            SchemeInfo::Verifier { participants, sharing } => {
                info!(epoch = epoch.get(), "not a member in this epoch: following");
                (Scheme::verifier(namespace, participants.clone(), sharing), participants)
            }
            SchemeInfo::Member { participants, sharing, public_key } => {
                warn!(epoch = epoch.get(), "member without a share in this epoch: following, not voting");
                let scheme = Scheme::member(namespace, participants.clone(), sharing, &public_key)
                    .expect("the reshare actor names members only");
                (scheme, participants)
            }
            SchemeInfo::Signer { participants, sharing, share } => {
                info!(epoch = epoch.get(), members = participants.len(), "voting in this epoch");
                let scheme = Scheme::signer(namespace, participants.clone(), sharing, share)
                    .expect("the reshare actor checked the share");
                (scheme, participants)
            }
        };
        self.shared.enter_epoch(epoch, holders.iter().cloned().collect(), voting);
        let mut schemes = self.schemes.0.lock();
        schemes.insert(epoch, Arc::new(scheme));
        while schemes.len() > EPOCHS_KEPT {
            schemes.pop_first();
        }
    }
}

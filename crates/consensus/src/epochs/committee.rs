use baton_types::{Directory, Epoch, PublicKey};
use commonware_glue::dkg::ParticipantsProvider;
use commonware_p2p::Address;
use commonware_utils::ordered::Set;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Members of each epoch, and where they are. Fixed by the genesis until members can change.
#[derive(Clone, Debug)]
pub struct Committee {
    members: Set<PublicKey>,
    addresses: Arc<BTreeMap<PublicKey, SocketAddr>>,
}

impl Committee {
    pub fn new(addresses: BTreeMap<PublicKey, SocketAddr>) -> Self {
        Self { members: Set::from_iter_dedup(addresses.keys().cloned()), addresses: Arc::new(addresses) }
    }
}

impl ParticipantsProvider for Committee {
    type PublicKey = PublicKey;
    type Directory = Directory;

    async fn participants(&mut self, _epoch: Epoch) -> Set<PublicKey> {
        self.members.clone()
    }

    async fn directory(&mut self, _epoch: Epoch, peers: Set<PublicKey>) -> Directory {
        peers
            .into_iter()
            .map(|peer| {
                let address = *self.addresses.get(&peer).expect("peers are members of some committee");
                (peer, Address::Symmetric(address))
            })
            .collect()
    }
}

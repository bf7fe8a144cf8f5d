//! Links between members over authenticated, encrypted TCP.

use baton_consensus::network::{Channel, Network};
use baton_types::{Directory, Epoch, PrivateKey, PublicKey, domain};
use commonware_cryptography::ChaCha20Poly1305;
use commonware_glue::dkg::network::{AddressableManager, Manager, MissingAddress};
use commonware_p2p::{
    Address, PeerSetSubscription, Provider, TrackedPeers,
    authenticated::lookup::{self, Oracle},
};
use commonware_runtime::{Handle, Supervisor as _, tokio::Context};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::NZUsize;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// Room for members that join. The transport allocates its queues for all of them at once.
const PEERS_SPARE: usize = 4;
/// Messages queued between the network's actors.
const MAILBOX: std::num::NonZeroUsize = NZUsize!(1_024);

type Handshake = Cups<Sake<PrivateKey>, ChaCha20Poly1305>;

pub struct Tcp {
    /// None once it runs.
    network: Option<lookup::Network<Context, Handshake>>,
    running: Option<Handle<()>>,
    oracle: Oracle<PublicKey>,
    overrides: Arc<BTreeMap<PublicKey, SocketAddr>>,
}

impl Tcp {
    /// `overrides` are addresses to use instead of those that the chain names.
    pub fn new(
        context: &Context,
        key: PrivateKey,
        chain: &baton_types::Digest,
        listen: SocketAddr,
        members: usize,
        max_message_size: u32,
        overrides: BTreeMap<PublicKey, SocketAddr>,
    ) -> Self {
        let sake = Sake {
            signer: key,
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        };
        // Members often share private networks, so private addresses are allowed. The source address of
        // a connection must still be the member's: behind address translation, set `p2p.peers`.
        let config = lookup::Config::local(
            Cups::new(sake, cups::Version::V1),
            &domain::p2p(chain),
            listen,
            NZUsize!(PEERS_SPARE).saturating_add(members),
            max_message_size,
            MAILBOX,
        );
        let (network, oracle) = lookup::Network::new(context.child("network"), config);
        Self { network: Some(network), running: None, oracle, overrides: Arc::new(overrides) }
    }

    /// Resolves when the network has ended, if it was started.
    pub fn ended(self) -> Handle<()> {
        self.running.unwrap_or_else(|| Handle::ready(Ok(())))
    }
}

impl Network for Tcp {
    type Sender = lookup::Sender<PublicKey, Context>;
    type Receiver = lookup::Receiver<PublicKey>;
    type Manager = Peers;
    type Blocker = Oracle<PublicKey>;

    async fn register(&mut self, channel: Channel) -> (Self::Sender, Self::Receiver) {
        let network = self.network.as_mut().expect("channels are registered before the network starts");
        network.register(channel.id(), channel.quota())
    }

    fn start(&mut self) {
        self.running = self.network.take().map(lookup::Network::start);
    }

    fn manager(&self) -> Peers {
        Peers { inner: AddressableManager::new(self.oracle.clone()), overrides: self.overrides.clone() }
    }

    fn blocker(&self) -> Oracle<PublicKey> {
        self.oracle.clone()
    }
}

/// Tells the transport whom to talk to in an epoch, and where.
#[derive(Clone, Debug)]
pub struct Peers {
    inner: AddressableManager<Oracle<PublicKey>>,
    overrides: Arc<BTreeMap<PublicKey, SocketAddr>>,
}

impl Provider for Peers {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        self.inner.peer_set(id).await
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        self.inner.subscribe().await
    }
}

impl Manager for Peers {
    type Directory = Directory;
    type Error = MissingAddress<PublicKey>;

    fn track(
        &mut self,
        epoch: Epoch,
        peers: TrackedPeers<PublicKey>,
        directory: &Directory,
    ) -> Result<(), Self::Error> {
        let directory = directory
            .clone()
            .into_inner()
            .into_iter()
            .map(|(peer, address)| {
                let address = self.overrides.get(&peer).map_or(address, |own| Address::Symmetric(*own));
                (peer, address)
            })
            .collect();
        self.inner.track(epoch, peers, &directory)
    }
}

#[cfg(test)]
mod tests;

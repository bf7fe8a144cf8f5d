//! Simulated links between members.

use crate::votes::{Heard, Listener, Replays};
use baton_consensus::network::{Channel, Network};
use baton_types::{Directory, Epoch, PublicKey};
use commonware_glue::dkg::network::Manager;
use commonware_p2p::{PeerSetSubscription, PeerSetUpdate, Provider, TrackedPeers, simulated};
use commonware_runtime::deterministic::Context;
use commonware_utils::{channel::mpsc, ordered::Set, sync::Mutex};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

pub type Oracle = simulated::Oracle<PublicKey, Context>;

/// One member's end of the simulated network.
pub struct Links {
    control: simulated::Control<PublicKey, Context>,
    peers: Peers,
    listener: Listener,
    replays: Replays,
}

impl Links {
    /// `listener` hears the votes that leave this end, and the signatures over batches.
    pub fn new(oracle: &Oracle, me: PublicKey, listener: Listener, replays: Replays) -> Self {
        let peers = Peers { inner: oracle.manager(), sets: Arc::default() };
        Self { control: oracle.control(me), peers, listener, replays }
    }
}

impl Network for Links {
    type Sender = Heard;
    type Receiver = simulated::Receiver<PublicKey>;
    type Manager = Peers;
    type Blocker = simulated::Control<PublicKey, Context>;

    async fn register(&mut self, channel: Channel) -> (Self::Sender, Self::Receiver) {
        let registered = self.control.register(channel.id(), channel.quota()).await;
        let (sender, receiver) = registered.expect("the simulated network runs");
        let heard = [Channel::Votes, Channel::Batches].contains(&channel);
        let listener = heard.then(|| (channel, self.listener.clone()));
        (Heard::new(sender, listener, self.replays.clone()), receiver)
    }

    fn start(&mut self) {}

    fn manager(&self) -> Peers {
        self.peers.clone()
    }

    fn blocker(&self) -> Self::Blocker {
        self.control.clone()
    }
}

/// The simulator keeps one history of peer sets for the whole network, but a real node sees only
/// those it tracked itself. This answers from the latter, or a node that lags would ask wrong peers.
#[derive(Clone, Debug)]
pub struct Peers {
    inner: simulated::Manager<PublicKey, Context>,
    sets: Arc<Mutex<Sets>>,
}

#[derive(Debug, Default)]
struct Sets {
    tracked: BTreeMap<u64, TrackedPeers<PublicKey>>,
    subscribers: Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>,
}

impl Sets {
    fn latest(&self) -> Option<PeerSetUpdate<PublicKey>> {
        let (index, latest) = self.tracked.last_key_value()?;
        let primary = Set::from_iter_dedup(self.tracked.values().flat_map(|set| set.primary.iter().cloned()));
        let secondary = Set::from_iter_dedup(
            self.tracked
                .values()
                .flat_map(|set| set.secondary.iter())
                .filter(|peer| primary.position(peer).is_none())
                .cloned(),
        );
        Some(PeerSetUpdate {
            index: *index,
            latest: latest.clone(),
            all: TrackedPeers::new(primary, secondary),
        })
    }
}

impl Provider for Peers {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        self.sets.lock().tracked.get(&id).cloned()
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        // The library's type; a handful of updates per run.
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut sets = self.sets.lock();
        if let Some(update) = sets.latest() {
            let _ = sender.send(update);
        }
        sets.subscribers.push(sender);
        receiver
    }
}

impl Manager for Peers {
    type Directory = Directory;
    type Error = Infallible;

    fn track(
        &mut self,
        epoch: Epoch,
        peers: TrackedPeers<PublicKey>,
        _: &Directory,
    ) -> Result<(), Infallible> {
        let _ = commonware_p2p::Manager::track(&mut self.inner, epoch.get(), peers.clone());
        let mut sets = self.sets.lock();
        if sets.tracked.last_key_value().is_none_or(|(latest, _)| epoch.get() > *latest) {
            sets.tracked.insert(epoch.get(), peers);
            let update = sets.latest().expect("one was just inserted");
            sets.subscribers.retain(|subscriber| subscriber.send(update.clone()).is_ok());
        }
        Ok(())
    }
}

//! What methods work with: the node's handle, facts about it, and who is asking.

use crate::{
    blocks::Blocks,
    config::Limits,
    eth,
    metrics::{self, Metrics},
    session::{Session, Starts},
};
use baton_consensus::client::Client;
use baton_types::{
    Digest, Genesis, PublicKey, Rollup,
    api::RollupRef,
    receipt::{Reason, Refusal},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Deref,
    sync::Arc,
    time::Instant,
};
use tokio::sync::watch;

/// Whether the node does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub ready: bool,
    /// Why it is not ready, and what to do.
    pub reason: Option<String>,
}

impl Health {
    pub const fn ready() -> Self {
        Self { ready: true, reason: None }
    }

    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reason: Some(reason.into()) }
    }
}

pub type HealthSource = watch::Receiver<Health>;

/// Members with a connection to this node; none until somebody has looked. Looking costs, so it is done while
/// there are receivers beside that of the [`Api`].
pub type PeersSource = watch::Receiver<Option<BTreeSet<PublicKey>>>;

/// What does not change while the node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: String,
    /// This node's member index.
    pub index: u32,
    pub identity: PublicKey,
}

/// Everything a method needs. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    parts: Arc<Parts>,
    /// The EVM rollups, by name.
    evm: Arc<Vec<Arc<eth::Rollup>>>,
    /// The one that Ethereum's methods are about.
    served: Option<Arc<eth::Rollup>>,
}

pub struct Parts {
    pub client: Client,
    pub(crate) health: HealthSource,
    pub(crate) peers: PeersSource,
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) chain: Chain,
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Api {
    pub fn new(
        genesis: Arc<Genesis>,
        facts: Facts,
        client: Client,
        health: HealthSource,
        peers: PeersSource,
        limits: Limits,
    ) -> Self {
        let methods = crate::methods::table();
        let parts = Arc::new(Parts {
            client,
            health,
            peers,
            limits,
            started: Instant::now(),
            metrics: Arc::new(Metrics::new(methods.methods().iter().map(|method| method.name))),
            blocks: Arc::default(),
            chain: Chain::new(genesis, facts),
        });
        Self { parts, evm: Arc::default(), served: None }
    }

    /// With these EVM rollups, by name in the order of the genesis: the first is served on `/`.
    #[must_use]
    pub fn with_evm(self, rollups: impl IntoIterator<Item = (String, Arc<dyn eth::Backend>)>) -> Self {
        let made =
            |(name, backend)| eth::Rollup::new(name, backend, self.limits.clone(), &self.chain.facts.version);
        let evm: Vec<_> = rollups.into_iter().map(made).collect();
        Self { served: evm.first().cloned(), evm: Arc::new(evm), ..self }
    }

    /// The API on the path of a rollup.
    pub(crate) fn at(&self, name: &str) -> Result<Self, Refusal> {
        self.chain.rollup(&RollupRef::Name(name.to_owned()))?;
        let served = self.evm.iter().find(|rollup| rollup.name() == name).cloned();
        Ok(Self { served, ..self.clone() })
    }

    /// What Ethereum's methods are about.
    pub(crate) fn served(&self) -> Option<Arc<eth::Rollup>> {
        self.served.clone()
    }

    /// The API's counters, and what finalized blocks say of the members, as Prometheus text.
    pub fn metrics_text(&self) -> String {
        self.metrics.text() + &metrics::members(&self.client.tally())
    }
}

/// The genesis and this node's place in it: what views are made of beside live state.
#[derive(Clone)]
pub struct Chain(Arc<ChainParts>);

pub struct ChainParts {
    pub genesis: Arc<Genesis>,
    pub facts: Facts,
    pub digest: Digest,
    members: BTreeMap<PublicKey, u32>,
}

impl Deref for Chain {
    type Target = ChainParts;

    fn deref(&self) -> &ChainParts {
        &self.0
    }
}

impl Chain {
    pub fn new(genesis: Arc<Genesis>, facts: Facts) -> Self {
        let members = genesis.members.iter().filter_map(|member| member.identity().ok()).zip(0..).collect();
        Self(Arc::new(ChainParts { digest: genesis.digest(), genesis, facts, members }))
    }

    /// A member's index. Blocks name only members, so the largest index stands for a corrupt one.
    pub fn index_of(&self, member: &PublicKey) -> u32 {
        self.members.get(member).copied().unwrap_or(u32::MAX)
    }

    pub fn rollup(&self, rollup: &RollupRef) -> Result<&Rollup, Refusal> {
        let (found, name): (_, &dyn fmt::Display) = match rollup {
            RollupRef::Id(id) => (self.genesis.rollups.iter().find(|rollup| rollup.id == *id), id),
            RollupRef::Name(name) => (self.genesis.find_rollup(name), name),
        };
        found.ok_or_else(|| {
            let known: Vec<_> = self
                .genesis
                .rollups
                .iter()
                .map(|rollup| format!("{} (id {})", rollup.name, rollup.id))
                .collect();
            let name = name.to_string();
            let name: String = name.chars().take(64).collect();
            let detail = format!("no rollup {name:?}; this cluster has {}", known.join(", "));
            Refusal::new(Reason::UnknownRollup, detail)
        })
    }
}

/// Who is asking.
#[derive(Clone)]
pub struct Caller {
    /// Whose limits apply: an address, or `token:` and the name of an API token.
    pub key: Arc<str>,
    /// Over a WebSocket: its subscriptions, and those to start after the reply.
    pub(crate) session: Option<(Arc<Session>, Starts)>,
}

impl Caller {
    /// Without a connection, so without subscriptions.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self { key: key.into(), session: None }
    }
}

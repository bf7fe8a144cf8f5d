//! What all parts of a node are made from, and the channels between members.

use super::{BROADCAST_DEPTH, Config, MAILBOX, StartError};
use crate::{
    aliases::Runtime,
    evm::{self, exchange},
    lottery::Bodies,
    network::{Channel, Network},
    shared::Shared,
    storage::History,
    sync,
    votes::{Heard, Hushed, Listening},
};
use baton_execution::Rules;
use baton_types::{
    BlockLimits, Digest, EpochInfo, Genesis, PrivateKey, PublicKey, Scheme, domain, faults_tolerated, quorum,
};
use commonware_broadcast::buffered;
use commonware_consensus::types::FixedEpocher;
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_glue::dkg::network::Manager as _;
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_utils::{NZU16, ordered::Set};
use std::{num::NonZeroU64, sync::Arc};

pub(super) struct Base {
    pub genesis: Genesis,
    pub key: PrivateKey,
    pub me: PublicKey,
    pub members: Set<PublicKey>,
    /// Of all storage partitions.
    pub prefix: String,
    pub history: History,
    pub chain: Digest,
    pub consensus_namespace: Arc<[u8]>,
    /// The library wants it for ever; one per process.
    pub ceremony_namespace: &'static [u8],
    pub verifier: Scheme,
    pub epocher: FixedEpocher,
    pub epoch_blocks: NonZeroU64,
    pub limits: BlockLimits,
    pub cache: CacheRef,
    pub shared: Arc<Shared>,
}

impl Base {
    pub fn new<E: Runtime>(context: &E, config: Config) -> Result<Self, StartError> {
        let Config { genesis, key, partition: prefix, history, limits, clock, page_cache_pages, evm, .. } =
            config;
        history.check(&genesis)?;
        let me = key.public_key();
        let members = genesis.identities().map_err(StartError::Genesis)?;
        if members.position(&me).is_none() {
            return Err(StartError::NotAMember(me.to_string()));
        }
        let block = genesis.block().map_err(StartError::Genesis)?;
        let chain = block.header().chain;
        let consensus_namespace: Arc<[u8]> = domain::consensus(&chain).into();
        let group_key = genesis.group_key().map_err(StartError::Genesis)?;
        let epoch_blocks = NonZeroU64::new(genesis.epoch_blocks)
            .ok_or_else(|| StartError::Genesis("epoch_blocks is 0".into()))?;
        let hash_key = rand::Rng::next_u64(&mut context.child("hash_key"));
        let executions = evm::executions(&genesis, block.digest(), evm);
        let shared = Shared::new(&genesis, Rules::new(&genesis), limits, hash_key, clock, executions);
        Ok(Self {
            me,
            members,
            prefix,
            history,
            chain,
            verifier: Scheme::certificate_verifier(&consensus_namespace, group_key),
            consensus_namespace,
            ceremony_namespace: Box::leak(domain::ceremony(genesis.network.id).into_boxed_slice()),
            epocher: FixedEpocher::new(epoch_blocks),
            epoch_blocks,
            limits: genesis.limits(),
            cache: CacheRef::new(NZU16!(4_096), page_cache_pages),
            shared: Arc::new(shared),
            genesis,
            key,
        })
    }

    fn member_count(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    pub fn faults(&self) -> usize {
        faults_tolerated(self.member_count()) as usize
    }

    pub fn quorum(&self) -> usize {
        quorum(self.member_count()) as usize
    }

    pub fn first_epoch(&self) -> Result<EpochInfo, StartError> {
        self.genesis.epoch_info().map_err(StartError::Genesis)
    }

    /// Tells the transport who the members are. The orchestrator does this again for its epoch; some have to be
    /// asked before.
    pub fn track(&self, network: &impl Network) -> Result<(), StartError> {
        let info = self.first_epoch()?;
        let tracked =
            network.manager().track(info.epoch, info.participants().tracked_peers(), &info.directory);
        tracked.map_err(|error| StartError::Genesis(error.to_string()))?;
        Ok(())
    }

    /// Starts the broadcast of bodies.
    pub fn bodies<E: Runtime, N: Network>(
        &self,
        context: &E,
        network: &N,
        channel: (N::Sender, N::Receiver),
    ) -> Bodies {
        let config = buffered::Config {
            public_key: self.me.clone(),
            mailbox_size: MAILBOX,
            deque_size: BROADCAST_DEPTH,
            priority: false,
            codec_config: self.limits,
            peer_provider: network.manager(),
            strategy: Sequential,
        };
        let (broadcast, inner) = buffered::Engine::new(context.child("broadcast"), config);
        broadcast.start(channel);
        Bodies { inner, me: self.me.clone() }
    }

    /// Starts the part that tells others where they could join, and what they have voted.
    pub fn start_sync<E: Runtime, N: Network>(
        &self,
        context: &E,
        network: &N,
        heard: Heard,
        channel: (N::Sender, N::Receiver),
    ) -> (Handle<()>, sync::Mailbox) {
        let config = sync::Config {
            checks: sync::Checks {
                chain: self.chain,
                verifier: self.verifier.clone(),
                epocher: self.epocher.clone(),
            },
            limits: self.limits,
            members: self.others(),
            faults: self.faults(),
            validity_blocks_max: self.genesis.validity_blocks_max,
            blocker: network.blocker(),
            heard,
            shared: self.shared.clone(),
        };
        sync::Actor::start(context.child("sync"), config, channel)
    }

    /// Starts the part that gives states of EVM rollups to others, and fetches them.
    pub fn start_exchange<E: Runtime, N: Network>(
        &self,
        context: &E,
        network: &N,
        channel: (N::Sender, N::Receiver),
    ) -> (Handle<()>, exchange::Mailbox) {
        let config = exchange::Config {
            members: self.others(),
            executions: self.shared.executions().clone(),
            blocker: network.blocker(),
        };
        exchange::Actor::start(context.child("evm_states"), config, channel)
    }

    fn others(&self) -> Vec<PublicKey> {
        self.members.iter().filter(|member| **member != self.me).cloned().collect()
    }
}

type Pair<N> = (<N as Network>::Sender, <N as Network>::Receiver);
pub(super) type Listened<N> = (Hushed<<N as Network>::Sender>, Listening<<N as Network>::Receiver>);

/// All channels, registered before the network starts.
pub(super) struct Channels<N: Network> {
    pub votes: Listened<N>,
    pub certificates: Listened<N>,
    pub resolver: Listened<N>,
    pub blocks: Pair<N>,
    pub mempool: Pair<N>,
    pub backfill: Pair<N>,
    pub ceremony: Pair<N>,
    pub joining: Pair<N>,
    pub lottery: Pair<N>,
    pub proofs: Pair<N>,
    pub states: Pair<N>,
    /// Of a chain that settles.
    pub batches: Option<Pair<N>>,
}

impl<N: Network> Channels<N> {
    pub async fn register(network: &mut N, heard: Heard, shared: &Arc<Shared>, settles: bool) -> Self {
        let of = |(sender, receiver), unless_voting, heard| {
            (Hushed { inner: sender, unless_voting }, Listening { inner: receiver, heard })
        };
        Self {
            votes: of(network.register(Channel::Votes).await, None, Some(heard)),
            certificates: of(network.register(Channel::Certificates).await, Some(shared.clone()), None),
            resolver: of(network.register(Channel::Resolver).await, None, None),
            blocks: network.register(Channel::Blocks).await,
            mempool: network.register(Channel::Mempool).await,
            backfill: network.register(Channel::Backfill).await,
            ceremony: network.register(Channel::Ceremony).await,
            joining: network.register(Channel::Joining).await,
            lottery: network.register(Channel::Lottery).await,
            proofs: network.register(Channel::Proofs).await,
            states: network.register(Channel::States).await,
            batches: if settles { Some(network.register(Channel::Batches).await) } else { None },
        }
    }
}

//! Wiring of one node: marshal, reshare, orchestrator, application, mempool, ledger.
//!
//! Order of start: storage is opened and marshal runs first, so that the ledger can bring the ids in
//! memory up to date from the archive; only then do the engines that vote start.

use crate::{
    aliases::{Archive, MarshalActor, ReshareMailbox, Runtime, SimplexConfig, Variant},
    application::Application,
    client::Client,
    election::Elector,
    epochs::{Committee, LogRules, SchemeRegistrar, Schemes, Secrets},
    ledger, mempool,
    network::{Channel, Network},
    observer::Observer,
    shared::{Clock, Shared},
};
use baton_execution::{Rules, pool::Limits};
use baton_types::{Block, Digest, Finalization, Genesis, MEMBERS_MAX, PrivateKey, Scheme, domain, quorum};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporters,
    marshal::{self, Start, resolver::p2p as resolver, standard::Inline},
    simplex::config::{ForwardPolicy, SkipPolicy},
    types::{FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::Reveal,
        primitives::{group::Share, sharing::Mode, variant::MinSig},
    },
    certificate::ConstantProvider,
};
use commonware_glue::dkg::{fence::Fence, orchestrator, reshare, state_sync};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::archive::immutable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tracing::error;

const MAILBOX: NonZeroUsize = NZUsize!(1_024);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(4 * 1024 * 1024);
/// Views behind the tip whose artifacts are kept.
const VIEW_RETENTION: ViewDelta = ViewDelta::new(256);
/// Blocks kept from each peer before consensus asks for them.
const BROADCAST_DEPTH: usize = 32;
/// Finalized blocks delivered before the first is acknowledged.
const PENDING_ACKS: NonZeroUsize = NZUsize!(16);
/// Blocks a node that was away asks for at once.
const REPAIR_MAX: NonZeroUsize = NZUsize!(32);

/// What a node is started with.
pub struct Config {
    pub genesis: Genesis,
    pub key: PrivateKey,
    /// This node's share of a dealt key, on its first start only.
    pub first_share: Option<Share>,
    /// Prefix of all storage partitions.
    pub partition: String,
    pub limits: Limits,
    pub clock: Clock,
    /// Memory for pages of the archives, in pages of 4 KiB.
    pub page_cache_pages: NonZeroUsize,
}

/// A running node.
pub struct Node {
    pub client: Client,
    /// Whether [`Config::first_share`] is in the data directory now. A directory that has signed before
    /// takes none.
    pub share_imported: bool,
    /// Resolves when any part of the node has ended; the node is then of no use.
    pub handle: Handle<()>,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("{0}")]
    Genesis(String),
    #[error("this node's identity {0} is not a member of the genesis; check the key file and the genesis")]
    NotAMember(String),
}

/// Largest message of any channel.
pub fn max_message_size(genesis: &Genesis) -> u32 {
    let limits = genesis.limits();
    let members = MEMBERS_MAX.get();
    commonware_p2p::max_message_size(&[
        orchestrator::max_payload_size::<Scheme, Digest>(members),
        marshal::max_payload_size::<Variant, Scheme>(members, &limits),
        commonware_glue::dkg::max_payload_size::<MinSig, baton_types::PublicKey>(MEMBERS_MAX),
        mempool::message_bytes_max(&limits),
    ])
}

fn archive<C>(prefix: &str, name: &str, codec: C, cache: &CacheRef, table: u32) -> immutable::Config<C> {
    let part = |part: &str| format!("{prefix}-{name}-{part}");
    immutable::Config {
        metadata_partition: part("metadata"),
        freezer_table_partition: part("table"),
        freezer_table_initial_size: table,
        freezer_table_resize_frequency: 4,
        freezer_table_resize_chunk_size: 16_384,
        freezer_key_partition: part("key"),
        freezer_key_page_cache: cache.clone(),
        freezer_value_partition: part("value"),
        freezer_value_target_size: 256 * 1024 * 1024,
        freezer_value_compression: None,
        ordinal_partition: part("ordinal"),
        items_per_section: NZU64!(65_536),
        freezer_key_write_buffer: WRITE_BUFFER,
        freezer_value_write_buffer: WRITE_BUFFER,
        ordinal_write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        codec_config: codec,
    }
}

fn simplex_config(genesis: &Genesis, cache: &CacheRef) -> SimplexConfig {
    let timing = &genesis.timing;
    SimplexConfig {
        elector: Elector(genesis.election),
        mailbox_size: MAILBOX,
        replay_buffer: REPLAY_BUFFER,
        write_buffer: WRITE_BUFFER,
        page_cache: cache.clone(),
        leader_timeout: Duration::from_millis(timing.leader_timeout_ms),
        certification_timeout: Duration::from_millis(timing.certification_timeout_ms),
        timeout_retry: Duration::from_millis(timing.leader_timeout_ms),
        fetch_timeout: NZDuration!(Duration::from_secs(2)),
        fetch_retry_delay: Duration::from_millis(200),
        view_retention: VIEW_RETENTION,
        // A fresh engine forgets who was inactive, and with skipping enabled it took the leader of an
        // early view for one in some epochs.
        skip: SkipPolicy::Disabled,
        forward: ForwardPolicy::Disabled,
        track_historical_votes: false,
    }
}

/// Starts a node on `context` and `network`. The network's own tasks are the caller's to start,
/// after this has registered its channels.
pub async fn start<E: Runtime, N: Network>(
    context: E,
    config: Config,
    network: &mut N,
) -> Result<Node, StartError> {
    let Config { genesis, key, first_share, partition: prefix, limits: pool_limits, clock, page_cache_pages } =
        config;
    let me = key.public_key();
    let members = genesis.identities().map_err(StartError::Genesis)?;
    if members.position(&me).is_none() {
        return Err(StartError::NotAMember(me.to_string()));
    }
    let genesis_block = genesis.block().map_err(StartError::Genesis)?.digested();
    let chain = genesis_block.inner().header().chain;
    let consensus_namespace: Arc<[u8]> = domain::consensus(&chain).into();
    // The library wants it for ever; one per process.
    let ceremony_namespace: &'static [u8] =
        Box::leak(domain::ceremony(genesis.network.id).into_boxed_slice());
    let verifier =
        Scheme::certificate_verifier(&consensus_namespace, genesis.group_key().map_err(StartError::Genesis)?);
    let epoch_blocks = NonZeroU64::new(genesis.epoch_blocks)
        .ok_or_else(|| StartError::Genesis("epoch_blocks is 0".into()))?;
    let epocher = FixedEpocher::new(epoch_blocks);
    let block_limits = genesis.limits();
    let cache = CacheRef::new(NZU16!(4_096), page_cache_pages);
    let hash_key = rand::Rng::next_u64(&mut context.child("hash_key"));
    let rules = Rules::new(&genesis);
    let shared = Arc::new(Shared::new(&genesis, rules, pool_limits, hash_key, clock));

    let votes = network.register(Channel::Votes).await;
    let certificates = network.register(Channel::Certificates).await;
    let certificate_resolver = network.register(Channel::Resolver).await;
    let blocks = network.register(Channel::Blocks).await;
    let (mempool_sender, mempool_receiver) = network.register(Channel::Mempool).await;
    let backfill = network.register(Channel::Backfill).await;
    let ceremony = network.register(Channel::Ceremony).await;

    let fetcher = resolver::init(
        context.child("backfill"),
        resolver::Config {
            public_key: me.clone(),
            peer_provider: network.manager(),
            blocker: network.blocker(),
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(Duration::from_secs(2)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        backfill,
    );
    let (broadcast, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: MAILBOX,
            deque_size: BROADCAST_DEPTH,
            priority: false,
            codec_config: block_limits,
            peer_provider: network.manager(),
            strategy: Sequential,
        },
    );
    broadcast.start(blocks);

    let finalizations: Archive<E, Finalization> = immutable::Archive::init(
        context.child("finalizations"),
        archive(&prefix, "finalizations", (), &cache, 65_536),
    )
    .await
    .expect("the archive of certificates is readable");
    let block_archive: Archive<E, Arc<Block>> = immutable::Archive::init(
        context.child("blocks"),
        archive(&prefix, "blocks", block_limits, &cache, 65_536),
    )
    .await
    .expect("the archive of blocks is readable");
    let (marshal_actor, marshal, _floor): (MarshalActor<E>, _, _) = MarshalActor::init(
        context.child("marshal"),
        finalizations,
        block_archive,
        marshal::Config {
            provider: ConstantProvider::new(verifier.clone()),
            epocher: epocher.clone(),
            start: Start::Genesis(genesis_block),
            partition_prefix: format!("{prefix}-marshal"),
            mailbox_size: MAILBOX,
            view_retention: VIEW_RETENTION,
            prunable_items_per_section: NZU64!(64),
            page_cache: cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: block_limits,
            max_repair: REPAIR_MAX,
            max_pending_acks: PENDING_ACKS,
            strategy: Sequential,
        },
    )
    .await;

    let (fence, gate) = Fence::new();
    let no_sync = state_sync::Plan::disabled();
    let schemes = Schemes::default();
    let committee = Committee::new(
        genesis
            .members
            .iter()
            .map(|m| Ok((m.identity()?, m.p2p)))
            .collect::<Result<_, String>>()
            .map_err(StartError::Genesis)?,
    );
    let secrets = Secrets::open(context.child("secrets"), &prefix, first_share.clone()).await;
    let share_imported = first_share.is_some_and(|share| secrets.imported(&share));
    let (reshare_actor, reshare_mailbox): (_, ReshareMailbox) = reshare::Actor::new(
        context.child("reshare"),
        reshare::Config {
            signer: key.clone(),
            manager: network.manager(),
            blocker: network.blocker(),
            participants_provider: committee,
            secret_store: secrets,
            strategy: Sequential,
            registrar: SchemeRegistrar {
                namespace: consensus_namespace,
                schemes: schemes.clone(),
                shared: shared.clone(),
            },
            marshal: marshal.clone(),
            state_sync: no_sync.clone(),
            fence,
            namespace: ceremony_namespace,
            sharing_mode: Mode::NonZeroCounter,
            reveal: Reveal::V1,
            mailbox_size: MAILBOX,
            partition_prefix: format!("{prefix}-reshare"),
            page_cache: cache.clone(),
            write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
            max_participants: MEMBERS_MAX,
            blocks_per_epoch: epoch_blocks,
        },
    );
    let application = Application {
        key: key.clone(),
        chain,
        election: genesis.election.kind(),
        timing: genesis.timing.clone(),
        logs: LogRules { namespace: ceremony_namespace, reshare: genesis.reshare },
        verifier,
        epocher: epocher.clone(),
        marshal: marshal.clone(),
        shared: shared.clone(),
        infos: Arc::default(),
    };
    let automaton = Inline::new(
        context.child("application"),
        reshare::Application::new(application, reshare_mailbox.clone(), epoch_blocks),
        marshal.clone(),
        epocher,
    );
    let (orchestrator_actor, orchestrator_mailbox) = orchestrator::Actor::new(
        context.child("orchestrator"),
        orchestrator::Config {
            oracle: network.blocker(),
            manager: network.manager(),
            provider: schemes,
            marshal: marshal.clone(),
            application: Observer { inner: automaton, shared: shared.clone() },
            strategy: Sequential,
            simplex: simplex_config(&genesis, &cache),
            gate,
            state_sync: no_sync,
            blocks_per_epoch: epoch_blocks,
            mailbox_size: MAILBOX,
            partition_prefix: format!("{prefix}-orchestrator"),
        },
    );

    let (deliveries, delivered) = ledger::deliveries(shared.clone());
    let reporters = Reporters::from((deliveries, Reporters::from((orchestrator_mailbox, reshare_mailbox))));
    let marshal_handle = marshal_actor.start(reporters, buffer, fetcher);
    let (ledger_mailbox, ledger_requests) = ledger::Mailbox::new(shared.clone(), marshal.clone());
    let ledger_actor =
        ledger::Actor::open(context.child("ledger"), &prefix, cache.clone(), shared.clone(), &marshal).await;
    let ledger_handle = ledger_actor.start(delivered, ledger_requests);
    let (mempool_mailbox, mempool_requests) = mempool::Mailbox::new(key, shared.clone());
    let n = u32::try_from(genesis.members.len()).map_err(|error| StartError::Genesis(error.to_string()))?;
    let mempool_actor = mempool::Actor::open(
        context.child("mempool"),
        mempool::Config {
            partition: format!("{prefix}-mempool"),
            page_cache: cache,
            limits: block_limits,
            acks_needed: quorum(n) as usize - 1,
        },
        shared.clone(),
        mempool_sender,
    )
    .await;
    let mempool_handle = mempool_actor.start(mempool_requests, mempool_receiver);
    let reshare_handle = reshare_actor.start(ceremony);
    let orchestrator_handle = orchestrator_actor.start(votes, certificates, certificate_resolver);

    let client = Client { mempool: mempool_mailbox, ledger: ledger_mailbox, shared };
    let parts = [marshal_handle, ledger_handle, mempool_handle, reshare_handle, orchestrator_handle];
    // The parent of all tasks above: aborting it ends the node at once, as a crash would.
    let handle = context.spawn(move |_| async move {
        // Ok when the node was told to stop.
        if let Err(ended) = Handle::select(parts).await {
            error!(?ended, "a part of the node has ended");
        }
    });
    Ok(Node { client, share_imported, handle })
}

//! Wiring of one node: marshal, reshare, orchestrator, application, mempool, ledger.
//!
//! Order of start: the network first, because a node that keeps a window may have to ask where to join
//! (`sync`). Then storage is opened and marshal runs, so that the ledger can bring the ids in memory up to
//! date from the archive; only then do the engines that vote start.

use crate::{
    aliases::{Marshal, MarshalActor, ReshareMailbox, Runtime, SimplexConfig, StateSyncPlan, Variant},
    application::{Application, Play},
    client::Client,
    election::{Elector, Rotations},
    epochs::{Committee, LogRules, SchemeRegistrar, Schemes, Secrets},
    ledger::{self, Keep},
    lottery::{self, Bodies, Lottery},
    mempool,
    network::{Channel, Network},
    observer::Observer,
    shared::{Clock, Shared},
    storage::{self, Archives, History, HistoryError, REPLAY_BUFFER, WRITE_BUFFER},
    sync,
};
use baton_execution::{Rules, pool::Limits};
use baton_types::{
    Block, Digest, Epoch, Genesis, MEMBERS_MAX, PrivateKey, PublicKey, Scheme, block::payload_cfg, domain,
    faults_tolerated, quorum,
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporters,
    marshal::{self, Start, resolver::p2p as resolver, standard::Inline},
    simplex::config::{ForwardPolicy, SkipBudget, SkipPolicy},
    types::{FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Digested, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::Reveal,
        primitives::{group::Share, sharing::Mode, variant::MinSig},
    },
    certificate::ConstantProvider,
};
use commonware_glue::dkg::{fence::Fence, network::Manager as _, orchestrator, reshare, state_sync};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef, telemetry::metrics::MetricsExt as _};
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, ordered::Set, sync::Mutex};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tracing::error;

const MAILBOX: NonZeroUsize = NZUsize!(1_024);
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
    /// This node's key for the zero-knowledge lottery; needed when that is the election.
    pub vrf: Option<baton_vrf::SecretKey>,
    /// Prefix of all storage partitions.
    pub partition: String,
    /// How much of the chain it keeps.
    pub history: History,
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
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Lottery(#[from] lottery::KeyError),
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
        sync::message_bytes_max(members, &limits),
        lottery::message_bytes_max(),
    ])
}

fn simplex_config(genesis: &Genesis, rotations: Rotations, cache: &CacheRef) -> SimplexConfig {
    let timing = &genesis.timing;
    SimplexConfig {
        elector: Elector::new(genesis, rotations),
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
        // A silent leader's turn ends at once where it would cost a leader timeout each time. A fresh
        // engine has heard nobody yet and may take the leader of an epoch's second view for silent: one
        // lost view in some epochs is the cheaper of the two.
        skip: SkipPolicy::Enabled {
            timeout: Duration::from_millis(timing.certification_timeout_ms + timing.leader_timeout_ms),
            budget: SkipBudget::Participants,
        },
        forward: ForwardPolicy::Disabled,
        track_historical_votes: false,
    }
}

/// What marshal is opened from.
struct Opening<'a, E: Runtime> {
    context: &'a E,
    storage: storage::Config,
    verifier: Scheme,
    epocher: FixedEpocher,
    epoch_blocks: u64,
}

struct Opened<E: Runtime> {
    marshal_actor: MarshalActor<E>,
    marshal: Marshal,
    section: Option<NonZeroU64>,
    /// The last height that is processed.
    processed: Option<u64>,
}

impl<E: Runtime> Opening<'_, E> {
    /// Also returns the lowest height from which every block is here.
    async fn open(
        &self,
        start: Start<Scheme, Digest, Digested<Block>>,
    ) -> Result<(Opened<E>, u64), HistoryError> {
        let archives = Archives::open(self.context, &self.storage).await?;
        let ranges = archives.ranges();
        let Archives { finalizations, blocks, section } = archives;
        let (marshal_actor, marshal, floor) = MarshalActor::init(
            self.context.child("marshal"),
            finalizations,
            blocks,
            marshal::Config {
                provider: ConstantProvider::new(self.verifier.clone()),
                epocher: self.epocher.clone(),
                start,
                partition_prefix: format!("{}-marshal", self.storage.prefix),
                mailbox_size: MAILBOX,
                // In an epoch shorter than this it would keep the blocks of that many epochs.
                view_retention: VIEW_RETENTION.min(ViewDelta::new(self.epoch_blocks / 2)),
                prunable_items_per_section: NZU64!(64),
                page_cache: self.storage.page_cache.clone(),
                replay_buffer: REPLAY_BUFFER,
                key_write_buffer: WRITE_BUFFER,
                value_write_buffer: WRITE_BUFFER,
                block_codec_config: self.storage.limits,
                max_repair: REPAIR_MAX,
                max_pending_acks: PENDING_ACKS,
                strategy: Sequential,
            },
        )
        .await;
        let processed = floor.processed();
        let anchor = processed.map_or(0, |processed| processed.anchor().get());
        let lowest = ranges.into_iter().find(|(first, last)| (*first..=*last).contains(&anchor));
        let opened = Opened {
            marshal_actor,
            marshal,
            section,
            processed: processed.map(|processed| processed.height().get()),
        };
        Ok((opened, lowest.map_or(anchor, |(first, _)| first)))
    }
}

/// Starts the part that tells others where they could join.
fn start_sync<E: Runtime, B: Blocker<PublicKey = PublicKey> + Sync>(
    context: &E,
    genesis: &Genesis,
    me: &PublicKey,
    members: &Set<PublicKey>,
    checks: sync::Checks,
    blocker: B,
    channel: (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
) -> (Handle<()>, sync::Mailbox) {
    let n = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let config = sync::Config {
        checks,
        limits: genesis.limits(),
        members: members.iter().filter(|member| *member != me).cloned().collect(),
        faults: faults_tolerated(n) as usize,
        validity_blocks_max: genesis.validity_blocks_max,
        blocker,
    };
    sync::Actor::start(context.child("sync"), config, channel)
}

async fn state_sync_plan<E: Runtime>(
    context: &E,
    prefix: &str,
    history: History,
    floor: Option<sync::Joined>,
) -> StateSyncPlan {
    if history == History::Full {
        return state_sync::Plan::disabled();
    }
    let (max_participants, max_supported_mode) = payload_cfg();
    let config =
        state_sync::Config { partition_prefix: prefix.to_owned(), max_participants, max_supported_mode };
    state_sync::Plan::init(context.child("state_sync"), config, floor.map(|joined| joined.sync)).await
}

/// Starts a node on `context` and `network`. Returns when it runs; one that has nothing yet and keeps a
/// window asks f + 1 members first.
pub async fn start<E: Runtime, N: Network>(
    context: E,
    config: Config,
    network: &mut N,
) -> Result<Node, StartError> {
    let Config {
        genesis,
        key,
        first_share,
        vrf,
        partition: prefix,
        history,
        limits: pool_limits,
        clock,
        page_cache_pages,
    } = config;
    history.check(&genesis)?;
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
    let joining = network.register(Channel::Joining).await;
    let lottery_channel = network.register(Channel::Lottery).await;
    let proofs_channel = network.register(Channel::Proofs).await;
    let rotations = Rotations::default();
    let (lottery, lottery_orders) = Lottery::new(&genesis, &me, vrf, rotations.clone())?.unzip();
    if let Some(lottery) = &lottery {
        shared.play(lottery.clone());
    }

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
    let bodies = Bodies { inner: buffer, me: me.clone() };

    let checks = sync::Checks { chain, verifier: verifier.clone(), epocher: epocher.clone() };
    let (sync_handle, sync) =
        start_sync(&context, &genesis, &me, &members, checks, network.blocker(), joining);
    network.start();

    let opening = Opening {
        context: &context,
        storage: storage::Config {
            prefix: prefix.clone(),
            history,
            limits: block_limits,
            page_cache: cache.clone(),
        },
        verifier: verifier.clone(),
        epocher: epocher.clone(),
        epoch_blocks: genesis.epoch_blocks,
    };
    let (opened, lowest) = opening.open(Start::Genesis(genesis_block)).await?;
    let mut record = sync::Record::open(context.child("joined"), &prefix).await;
    let floor = match history {
        History::Window { blocks: window } if members.len() > 1 => {
            let info = genesis.epoch_info().map_err(StartError::Genesis)?;
            // The orchestrator does this again for its epoch; the peers of epoch 0 may have to be asked first.
            network
                .manager()
                .track(info.epoch, info.participants().tracked_peers(), &info.directory)
                .map_err(|error| StartError::Genesis(error.to_string()))?;
            let standing = sync::Standing { processed: opened.processed, window };
            sync::decide(&context, &sync, &mut record, info, standing).await
        }
        _ => None,
    };
    let (opened, lowest) = match &floor {
        None => (opened, Some(lowest)),
        Some(joined) => {
            drop(opened);
            shared.joining(joined.height);
            (opening.open(Start::Floor(joined.sync.floor.clone())).await?.0, None)
        }
    };
    let Opened { marshal_actor, marshal, section, processed } = opened;
    sync.attach(sync::Source { marshal: marshal.clone(), shared: shared.clone() }).await;
    let state_sync = state_sync_plan(&context, &prefix, history, floor).await;
    // The block that says who holds the key in the epoch of the floor is not here.
    let infos = record.get().map(|joined| (joined.sync.info.epoch, joined.sync.info));

    let (fence, gate) = Fence::new();
    let schemes = Schemes::default();
    let committee = Committee::new(
        genesis
            .members
            .iter()
            .map(|m| Ok((m.identity()?, m.p2p)))
            .collect::<Result<_, String>>()
            .map_err(StartError::Genesis)?,
    );
    let epoch = Epoch::new(processed.unwrap_or(0) / epoch_blocks);
    let secrets = Secrets::open(context.child("secrets"), &prefix, first_share.clone(), epoch).await;
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
            state_sync: state_sync.clone(),
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
        infos: Arc::new(Mutex::new(infos.into_iter().collect())),
        refusals: context.family("blocks_refused", "blocks that this node would not vote for"),
        lottery: lottery.clone().map(|lottery| Play {
            lottery,
            bodies: bodies.clone(),
            declined: context.family("views_declined", "own views that this node let pass, by reason"),
        }),
    };
    let lottery_actor = lottery.map(|lottery| {
        let config =
            lottery::ActorConfig { lottery, application: application.clone(), bodies: bodies.clone() };
        lottery::Actor::new(context.child("lottery"), config, lottery_channel.0, proofs_channel.0)
    });
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
            simplex: simplex_config(&genesis, rotations, &cache),
            gate,
            state_sync,
            blocks_per_epoch: epoch_blocks,
            mailbox_size: MAILBOX,
            partition_prefix: format!("{prefix}-orchestrator"),
        },
    );

    let (deliveries, delivered) = ledger::deliveries(shared.clone());
    let reporters = Reporters::from((deliveries, Reporters::from((orchestrator_mailbox, reshare_mailbox))));
    let marshal_handle = marshal_actor.start(reporters, bodies, fetcher);
    let (ledger_mailbox, ledger_requests) = ledger::Mailbox::new(shared.clone(), marshal.clone());
    let keep = match (history, section) {
        (History::Window { blocks }, Some(section)) => Some(Keep { blocks, section }),
        _ => None,
    };
    let ledger_config = ledger::Config { prefix: prefix.clone(), page_cache: cache.clone(), keep, lowest };
    let ledger_actor =
        ledger::Actor::open(context.child("ledger"), ledger_config, shared.clone(), marshal).await;
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
            members,
        },
        shared.clone(),
        mempool_sender,
    )
    .await;
    let mempool_handle = mempool_actor.start(mempool_requests, mempool_receiver);
    let reshare_handle = reshare_actor.start(ceremony);
    let orchestrator_handle = orchestrator_actor.start(votes, certificates, certificate_resolver);

    let watched = shared.clone();
    let may_join = keep.is_some();
    let watch_handle =
        context.child("watch").spawn(move |context| sync::watch(context, sync, watched, may_join));

    if let Some(lottery) = shared.lottery() {
        lottery.begin(shared.finalized_height().max(shared.lowest_height()));
    }
    let lottery_handle = lottery_actor
        .zip(lottery_orders)
        .map(|(actor, orders)| actor.start(orders, lottery_channel.1, proofs_channel.1));
    let client = Client { mempool: mempool_mailbox, ledger: ledger_mailbox, shared };
    let parts = [
        marshal_handle,
        ledger_handle,
        mempool_handle,
        reshare_handle,
        orchestrator_handle,
        sync_handle,
        watch_handle,
    ]
    .into_iter()
    .chain(lottery_handle)
    .collect::<Vec<_>>();
    // The parent of all tasks above: aborting it ends the node at once, as a crash would.
    let handle = context.spawn(move |_| async move {
        // Ok when the node was told to stop.
        if let Err(ended) = Handle::select(parts).await {
            error!(?ended, "a part of the node has ended");
        }
    });
    Ok(Node { client, share_imported, handle })
}

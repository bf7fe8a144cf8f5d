//! The parts that vote and deal keys, opened before anything runs and started after everything is open.

use super::{
    MAILBOX, StartError,
    base::{Base, Listened},
    chain::Chain,
    simplex_config,
};
use crate::{
    aliases::{Automaton, ReshareMailbox, Runtime},
    application::{Application, Play},
    election::Rotations,
    epochs::{Committee, LogRules, SchemeRegistrar, Schemes, Secrets},
    ledger::{self, Keep},
    lottery::{self, Bodies, Lottery},
    mempool,
    network::Network,
    observer::Observer,
    settlement::{self, Board, L1},
    storage::{History, REPLAY_BUFFER, WRITE_BUFFER},
    sync,
    votes::{self, Guard},
};
use baton_settlement::{L1View, Terms};
use baton_types::{Block, MEMBERS_MAX, PublicKey};
use commonware_consensus::marshal::{resolver::p2p as resolver, standard::Inline};
use commonware_cryptography::bls12381::{
    dkg::feldman_desmedt::Reveal,
    primitives::{group::Share, sharing::Mode},
};
use commonware_glue::dkg::{
    fence::{Fence, Gate},
    orchestrator, reshare,
};
use commonware_p2p::Sender;
use commonware_parallel::Sequential;
use commonware_runtime::{
    Handle,
    telemetry::metrics::{
        MetricsExt as _,
        histogram::{Buckets, Timed},
    },
};
use commonware_utils::{NZDuration, sync::Mutex};
use std::{sync::Arc, time::Duration};

/// How finalized blocks are asked for.
pub(super) fn backfill<N: Network>(
    base: &Base,
    network: &N,
) -> resolver::Config<PublicKey, N::Manager, N::Blocker> {
    resolver::Config {
        public_key: base.me.clone(),
        peer_provider: network.manager(),
        blocker: network.blocker(),
        mailbox_size: MAILBOX,
        fetch_timeout: NZDuration!(Duration::from_secs(2)),
        fetch_retry_delay: Duration::from_millis(100),
        priority_requests: false,
        priority_responses: false,
    }
}

/// What the others need of the part that deals keys.
pub(super) struct Ceremonies {
    pub mailbox: ReshareMailbox,
    pub schemes: Schemes,
    pub gate: Gate,
    pub share_imported: bool,
}

/// Opens shares and votes. Also returns what starts the part.
pub(super) async fn ceremonies<E: Runtime, N: Network>(
    context: &E,
    base: &Base,
    network: &N,
    chain: &Chain,
    first_share: Option<Share>,
    peers: Option<sync::Mailbox>,
) -> Result<(Ceremonies, impl FnOnce((N::Sender, N::Receiver)) -> Handle<()> + use<E, N>), StartError> {
    let members = base.genesis.members.iter().map(|member| Ok((member.identity()?, member.p2p)));
    let committee = Committee::new(members.collect::<Result<_, String>>().map_err(StartError::Genesis)?);
    let epoch = chain.epoch(base);
    let secrets = Secrets::open(context.child("secrets"), &base.prefix, first_share.clone(), epoch).await;
    let share_imported = first_share.is_some_and(|share| secrets.imported(&share));
    let guard = votes::Settings {
        prefix: base.prefix.clone(),
        page_cache: base.cache.clone(),
        faults: base.faults(),
        peers,
    };
    let guard = Guard::open(context.child("votes"), guard, base.shared.clone()).await;
    let (fence, gate) = Fence::new();
    let schemes = Schemes::default();
    let config = reshare::Config {
        signer: base.key.clone(),
        manager: network.manager(),
        blocker: network.blocker(),
        participants_provider: committee,
        strategy: Sequential,
        registrar: SchemeRegistrar {
            namespace: base.consensus_namespace.clone(),
            schemes: schemes.clone(),
            shared: base.shared.clone(),
            guard: guard.into(),
            latest_share: secrets.latest(),
        },
        secret_store: secrets,
        marshal: chain.marshal.clone(),
        state_sync: chain.state_sync.clone(),
        fence,
        namespace: base.ceremony_namespace,
        sharing_mode: Mode::NonZeroCounter,
        reveal: Reveal::V1,
        mailbox_size: MAILBOX,
        partition_prefix: format!("{}-reshare", base.prefix),
        page_cache: base.cache.clone(),
        write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        max_participants: MEMBERS_MAX,
        blocks_per_epoch: base.epoch_blocks,
    };
    let (actor, mailbox): (_, ReshareMailbox) = reshare::Actor::new(context.child("reshare"), config);
    let ceremonies = Ceremonies { mailbox, schemes, gate, share_imported };
    Ok((ceremonies, move |channel| actor.start(channel)))
}

pub(super) fn application<E: Runtime>(
    context: &E,
    base: &Base,
    chain: &Chain,
    lottery: Option<Lottery>,
    bodies: Bodies,
    l1: Option<L1>,
) -> Application {
    let infos = chain.info.clone().map(|info| (info.epoch, info));
    Application {
        l1,
        key: base.key.clone(),
        chain: base.chain,
        election: base.genesis.election.kind(),
        timing: base.genesis.timing.clone(),
        logs: LogRules { namespace: base.ceremony_namespace, reshare: base.genesis.reshare },
        verifier: base.verifier.clone(),
        epocher: base.epocher.clone(),
        marshal: chain.marshal.clone(),
        shared: base.shared.clone(),
        infos: Arc::new(Mutex::new(infos.into_iter().collect())),
        refusals: context.family("blocks_refused", "blocks that this node would not vote for"),
        lottery: lottery.map(|lottery| Play {
            lottery,
            bodies,
            declined: context.family("views_declined", "own views that this node let pass, by reason"),
            fetches: Timed::new(context.histogram(
                "author_fetch_duration",
                "how long a drawn member waited for ancestors of its block, in seconds",
                Buckets::LOCAL,
            )),
        }),
    }
}

/// What takes part in one epoch after the other.
pub(super) fn automaton<E: Runtime>(
    context: &E,
    base: &Base,
    chain: &Chain,
    application: Application,
    ceremonies: ReshareMailbox,
) -> Automaton<E> {
    Inline::new(
        context.child("application"),
        reshare::Application::new(application, ceremonies, base.epoch_blocks),
        chain.marshal.clone(),
        base.epocher.clone(),
    )
}

/// The part that runs an engine per epoch. Also returns what starts it, given the channels of votes, certificates
/// and requests for certificates.
#[allow(clippy::type_complexity, reason = "what starts it cannot be named")]
pub(super) fn engines<E: Runtime, N: Network>(
    context: &E,
    base: &Base,
    network: &N,
    chain: &Chain,
    automaton: Automaton<E>,
    (provider, gate): (Schemes, Gate),
    rotations: Rotations,
) -> (
    orchestrator::Mailbox<Block>,
    impl FnOnce(Listened<N>, Listened<N>, Listened<N>) -> Handle<()> + use<E, N>,
) {
    let config = orchestrator::Config {
        oracle: network.blocker(),
        manager: network.manager(),
        provider,
        marshal: chain.marshal.clone(),
        application: Observer { inner: automaton, shared: base.shared.clone() },
        strategy: Sequential,
        simplex: simplex_config(&base.genesis, rotations, &base.cache),
        gate,
        state_sync: chain.state_sync.clone(),
        blocks_per_epoch: base.epoch_blocks,
        mailbox_size: MAILBOX,
        partition_prefix: format!("{}-orchestrator", base.prefix),
    };
    let (actor, mailbox) = orchestrator::Actor::new(context.child("orchestrator"), config);
    (mailbox, move |votes, certificates, resolver| actor.start(votes, certificates, resolver))
}

/// The part that signs batches, opened: what starts it, and what others see of it.
pub(super) async fn settlement<E: Runtime, N: Network>(
    context: &E,
    base: &Base,
    chain: &Chain,
    schemes: Schemes,
    (view, settings): (Arc<dyn L1View>, settlement::Settings),
    (sender, receiver): (N::Sender, N::Receiver),
) -> Result<(impl FnOnce() -> Handle<()> + use<E, N>, Arc<Board>), StartError> {
    let config = settlement::Config {
        prefix: base.prefix.clone(),
        page_cache: base.cache.clone(),
        terms: Terms::all(&base.genesis),
        view,
        schemes,
        group_key: base.genesis.group_key().map_err(StartError::Genesis)?,
        settings,
    };
    let (context, marshal) = (context.child("settlement"), chain.marshal.clone());
    let (actor, board) = settlement::Actor::open(context, config, base.shared.clone(), marshal, sender).await;
    Ok((move || actor.start(receiver), board))
}

/// What history and index of this node go back to.
pub(super) async fn ledger<E: Runtime>(context: &E, base: &Base, chain: &Chain) -> ledger::Actor<E> {
    let config = ledger::Config {
        prefix: base.prefix.clone(),
        page_cache: base.cache.clone(),
        keep: keep(base, chain),
        lowest: chain.lowest,
    };
    ledger::Actor::open(context.child("ledger"), config, base.shared.clone(), chain.marshal.clone()).await
}

/// What a node keeps that does not keep everything.
pub(super) fn keep(base: &Base, chain: &Chain) -> Option<Keep> {
    match (base.history, chain.section) {
        (History::Window { blocks }, Some(section)) => Some(Keep { blocks, section }),
        _ => None,
    }
}

pub(super) async fn mempool<E: Runtime, S: Sender<PublicKey = PublicKey>>(
    context: &E,
    base: &Base,
    sender: S,
) -> mempool::Actor<E, S> {
    let config = mempool::Config {
        partition: format!("{}-mempool", base.prefix),
        page_cache: base.cache.clone(),
        limits: base.limits,
        acks_needed: base.quorum() - 1,
        members: base.members.clone(),
    };
    mempool::Actor::open(context.child("mempool"), config, base.shared.clone(), sender).await
}

/// The parts of the zero-knowledge lottery, opened. Returns what starts them.
pub(super) async fn lottery<E: Runtime, N: Network>(
    context: &E,
    base: &Base,
    application: &Application,
    turns: (N::Sender, N::Receiver),
    proofs: (N::Sender, N::Receiver),
    inbox: lottery::Inbox,
    background: fn(),
) -> Option<impl FnOnce() -> [Handle<()>; 2] + use<E, N>> {
    let Play { lottery, bodies, .. } = application.lottery.clone()?;
    let keeper = lottery::Keeper::open(
        context.child("lottery_proofs"),
        &base.prefix,
        lottery.clone(),
        base.key.clone(),
        proofs.0,
        background,
    )
    .await;
    let config = lottery::ActorConfig { lottery, application: application.clone(), bodies };
    let actor = lottery::Actor::new(context.child("lottery"), config, turns.0);
    Some(move || [actor.start(inbox.orders, turns.1), keeper.start(inbox.errands, proofs.1)])
}

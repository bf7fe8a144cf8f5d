//! Wiring of one node: marshal, reshare, orchestrator, application, mempool, ledger.
//!
//! Order of start: the network first, because a node that keeps a window may have to ask where to join
//! (`sync`). Then storage is opened and marshal runs, so that the ledger can bring the ids in memory up to
//! date from the archive; only then do the engines that vote start.

mod base;
mod chain;
mod parts;

use crate::{
    aliases::{Runtime, SimplexConfig, Variant},
    client::Client,
    election::{Elector, Rotations},
    evm, ledger,
    lottery::{self, Lottery},
    mempool,
    network::Network,
    settlement::{self, L1},
    shared::Clock,
    storage::{History, HistoryError, REPLAY_BUFFER, WRITE_BUFFER},
    sync,
    votes::Heard,
};
use base::{Base, Channels};
use baton_execution::pool::Limits;
use baton_settlement::L1View;
use baton_types::{Digest, Genesis, MEMBERS_MAX, PrivateKey, Scheme, forced};
use chain::Chain;
use commonware_consensus::{
    Reporters,
    marshal::{self, resolver::p2p as resolver},
    simplex::config::{ForwardPolicy, SkipBudget, SkipPolicy},
    types::ViewDelta,
};
use commonware_cryptography::bls12381::primitives::{group::Share, variant::MinSig};
use commonware_glue::dkg::orchestrator;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_utils::{NZDuration, NZUsize};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
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
    /// Called first on a thread whose work may wait, to lower its priority.
    pub background: fn(),
    pub evm: evm::Settings,
    /// What it sees of L1; none for a node that nobody tells.
    pub l1: Option<Arc<dyn L1View>>,
    pub settlement: settlement::Settings,
    /// Votes on the strength of its own journal alone. For simulations that show why it must not.
    pub trusts_own_journal: bool,
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
        evm::exchange::message_bytes_max(),
        settlement::MESSAGE_BYTES_MAX,
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

/// Starts a node on `context` and `network`. Returns when it runs; one that has nothing yet and keeps a
/// window asks f + 1 members first.
pub async fn start<E: Runtime, N: Network>(
    context: E,
    mut config: Config,
    network: &mut N,
) -> Result<Node, StartError> {
    let (first_share, vrf) = (config.first_share.take(), config.vrf.take());
    let (background, asks_peers, settings) = (config.background, !config.trusts_own_journal, config.evm);
    let mut settling = config.settlement;
    settling.watches &= config.l1.is_some();
    let view = config.l1.take().unwrap_or_else(|| Arc::new(settlement::Blind));
    let base = Base::new(&context, config)?;
    let heard = Heard::new(&base.members);
    let channels = Channels::register(network, heard.clone(), &base.shared, base.genesis.settles()).await;
    let rotations = Rotations::default();
    let (lottery, inbox) = Lottery::new(&base.genesis, &base.me, vrf, rotations.clone())?.unzip();
    if let Some(lottery) = &lottery {
        base.shared.play(lottery.clone());
    }
    let backfill = parts::backfill(&base, network);
    let backfill = resolver::init(context.child("backfill"), backfill, channels.backfill);
    let bodies = base.bodies(&context, network, channels.blocks);
    let (sync_handle, sync) = base.start_sync(&context, network, heard, channels.joining);
    network.start();
    base.track(network)?;

    let (marshal, chain) = Chain::open(&context, &base, &sync).await?;
    let peers = asks_peers.then(|| sync.clone());
    let (ceremonies, start_ceremonies) =
        parts::ceremonies(&context, &base, network, &chain, first_share, peers).await?;
    let l1 = forced::Rules::new(&base.genesis).map_err(StartError::Genesis)?;
    let l1 = l1.map(|rules| L1::new(rules, view.clone()));
    if let Some(l1) = &l1 {
        base.shared.settle(l1.clone());
    }
    let application = parts::application(&context, &base, &chain, lottery, bodies.clone(), l1);
    let start_lottery = match inbox {
        None => None,
        Some(inbox) => {
            let (turns, proofs) = (channels.lottery, channels.proofs);
            parts::lottery::<_, N>(&context, &base, &application, turns, proofs, inbox, background).await
        }
    };
    let automaton = parts::automaton(&context, &base, &chain, application, ceremonies.mailbox.clone());
    let settlement = match channels.batches {
        None => None,
        Some(batches) => {
            let schemes = ceremonies.schemes.clone();
            Some(
                parts::settlement::<_, N>(&context, &base, &chain, schemes, (view, settling), batches)
                    .await?,
            )
        }
    };
    let epochs = (ceremonies.schemes, ceremonies.gate);
    let (engines, start_engines) =
        parts::engines(&context, &base, network, &chain, automaton, epochs, rotations);

    let (deliveries, delivered) = ledger::deliveries(base.shared.clone());
    let reporters = Reporters::from((deliveries, Reporters::from((engines, ceremonies.mailbox))));
    let marshal_handle = marshal.start(reporters, bodies, backfill);
    let (ledger, requests) = ledger::Mailbox::new(base.shared.clone(), chain.marshal.clone());
    let ledger_handle = parts::ledger(&context, &base, &chain).await.start(delivered, requests);
    // Before the pool gets back what waited: who has what decides what may wait.
    let evm = evm::Config {
        prefix: base.prefix.clone(),
        page_cache: base.cache.clone(),
        keep: parts::keep(&base, &chain),
        settings,
        background,
    };
    let (exchange_handle, exchange) = base.start_exchange(&context, network, channels.states);
    let executors = evm::start(&context, &evm, &base.shared, &chain.marshal, &exchange).await;
    let (mempool, requests) = mempool::Mailbox::new(base.key.clone(), base.shared.clone());
    let (sender, receiver) = channels.mempool;
    let mempool_handle = parts::mempool(&context, &base, sender).await.start(requests, receiver);
    let mut handles = vec![
        marshal_handle,
        ledger_handle,
        mempool_handle,
        start_ceremonies(channels.ceremony),
        start_engines(channels.votes, channels.certificates, channels.resolver),
        sync_handle,
        exchange_handle,
    ];
    let (watched, may_join) = (base.shared.clone(), parts::keep(&base, &chain).is_some());
    let watch = move |context| sync::watch(context, sync, watched, may_join);
    handles.push(context.child("watch").spawn(watch));
    if let Some(lottery) = base.shared.lottery() {
        lottery.begin(base.shared.finalized_height().max(base.shared.lowest_height()));
    }
    handles.extend(start_lottery.into_iter().flat_map(|start| start()));
    handles.extend(executors);
    let (start_settlement, batches) = settlement.unzip();
    handles.extend(start_settlement.map(|start| start()));

    // The parent of all tasks above: aborting it ends the node at once, as a crash would.
    let handle = context.spawn(move |_| async move {
        // Ok when the node was told to stop.
        if let Err(ended) = Handle::select(handles).await {
            error!(?ended, "a part of the node has ended");
        }
    });
    let client = Client { mempool, ledger, batches, shared: base.shared };
    Ok(Node { client, share_imported: ceremonies.share_imported, handle })
}

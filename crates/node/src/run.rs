//! From configuration to a running node, and back down.

use crate::{
    auditor::{self, Auditor},
    config::{LogFormat, NodeConfig},
    disk, eth, failure, files, keys,
    machine::Machine,
    settlement::Settling,
    tcp::Tcp,
    watcher::{Gauges, Watcher},
};
use ::tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};
use baton_consensus::{Node, broken::Access, engine, evm, settlement};
use baton_execution::pool::Limits;
use baton_rpc::{Api, Cors, Facts, Health, Limits as RpcLimits, Ops, ServerConfig, Token};
use baton_settlement::L1View;
use baton_types::{Genesis, PrivateKey, faults_tolerated};
use commonware_cryptography::Signer as _;
use commonware_runtime::{Metrics as _, Runner as _, Spawner as _, Supervisor as _, tokio};
use commonware_utils::NZUsize;
use eyre::{Result, WrapErr as _, bail, eyre};
use rustix::process::Signal;
use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tracing::{debug, error, info, warn};

/// Nonces of one sender that may wait in an EVM rollup.
const SENDER_TRANSACTIONS_MAX: u64 = 256;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// 4 KiB pages of the archives kept in memory: 32 MiB.
const PAGE_CACHE_PAGES: std::num::NonZeroUsize = NZUsize!(8_192);

#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop when standard input ends: a supervisor that dies takes its nodes with it.
    pub exit_with_stdin: bool,
}

/// Runs a node until it is told to stop or cannot go on.
pub fn run(mut config: NodeConfig, options: RunOptions) -> Result<()> {
    init_logging(&config);
    config.rpc.connections_max = files::connections(config.rpc.connections_max);
    failure::install(config.data_dir.clone());
    let lock = lock_data_dir(&config.data_dir)?;
    let text = fs::read_to_string(&config.genesis)
        .wrap_err_with(|| format!("reading the genesis {}", config.genesis.display()))?;
    let genesis = Genesis::from_json(&text).wrap_err_with(|| format!("in {}", config.genesis.display()))?;
    check_same_chain(&config.data_dir, &genesis)?;
    let key = keys::load_identity(&config.keys_dir)?;
    let runtime = tokio::Config::default()
        .with_worker_threads(config.worker_threads)
        .with_storage_directory(config.data_dir.join("storage"));
    let result = tokio::Runner::new(runtime)
        .start(|context| async move { Box::pin(serve(context, config, options, genesis, key)).await });
    drop(lock);
    result
}

fn init_logging(config: &NodeConfig) {
    let filter = tracing_subscriber::EnvFilter::new(&config.log.filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second node in one process (a test) keeps the first one's logger.
    let _ = match config.log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Pretty => builder.with_ansi(false).try_init(),
    };
}

/// One data directory, one process.
fn lock_data_dir(dir: &Path) -> Result<File> {
    // It will hold shares of the key: for this user only.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| disk::explain(Access::Writing, dir, dir, &error))?;
    let path = dir.join("LOCK");
    let file = File::create(&path).map_err(|error| disk::explain(Access::Writing, &path, dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("the data directory {} is in use by another process; stop it first", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error).wrap_err_with(|| format!("locking {}", path.display())),
    }
}

/// A data directory belongs to one chain for ever.
fn check_same_chain(dir: &Path, genesis: &Genesis) -> Result<()> {
    let path = dir.join("CHAIN");
    let chain = baton_types::hex::encode(&genesis.digest());
    match fs::read_to_string(&path) {
        Ok(known) if known.trim() == chain => Ok(()),
        Ok(known) if baton_types::hex::decode_array::<32>(known.trim()).is_err() => bail!(
            "{} is damaged: expected 0x and 64 hex digits. If this directory is of the chain {chain}, write that \
             into it",
            path.display()
        ),
        Ok(known) => bail!(
            "{} holds the chain {}, but the genesis is of chain {chain}; use that chain's genesis or another data_dir",
            dir.display(),
            known.trim()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if dir.join("storage").exists() {
                bail!(
                    "{} is missing, and {} has data of some chain. If it is of the chain {chain}, write that into it",
                    path.display(),
                    dir.display()
                );
            }
            // Whole or not at all: an empty file would lock the directory's owner out.
            let fresh = dir.join("CHAIN.new");
            File::create(&fresh)
                .and_then(|mut file| writeln!(file, "{chain}").and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&fresh, &path))
                .map_err(|error| disk::explain(Access::Writing, &fresh, dir, &error))
        }
        Err(error) => Err(disk::explain(Access::Reading, &path, dir, &error)),
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Lowers the calling thread's priority: what Linux calls a process here is a thread.
fn yield_to_the_rest() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        debug!(%error, "a thread of background work keeps its priority");
    }
}

fn pool_limits(config: &NodeConfig, genesis: &Genesis) -> Limits {
    let members = u32::try_from(genesis.members.len()).unwrap_or(u32::MAX);
    Limits {
        bytes_max: config.limits.mempool_bytes_max,
        transactions_max: config.limits.mempool_transactions_max,
        client_transactions_max: config.limits.client_transactions_max,
        client_bytes_max: config.limits.client_bytes_max,
        wait_ms_max: config.limits.wait_ms_max,
        sender_transactions_max: SENDER_TRANSACTIONS_MAX,
        faults_max: faults_tolerated(members) as usize,
        validity_blocks_max: genesis.validity_blocks_max,
        block_bytes_max: genesis.block_bytes_max,
    }
}

async fn serve(
    context: tokio::Context,
    config: NodeConfig,
    options: RunOptions,
    genesis: Genesis,
    key: PrivateKey,
) -> Result<()> {
    let me = key.public_key();
    let index = genesis.identities().map_err(|error| eyre!(error))?.position(&me).ok_or_else(|| {
        eyre!("the identity in {} is not a member of the genesis", config.keys_dir.display())
    })?;
    let audited = auditor::configured(&config.auditor, &genesis)?;
    let rpc_listener = listen(config.rpc.listen, "rpc.listen").await?;
    let ops_listener = listen(config.ops.listen, "ops.listen").await?;
    // The transport binds this one itself, and could only panic if it is taken.
    drop(listen(config.p2p.listen, "p2p.listen").await?);
    // A write over the limit on the size of files is then an error; else it would end the process without a word.
    let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
    let mut told = pin!(asked_to_stop(options));
    let mut network = Tcp::new(
        &context,
        key.clone(),
        &genesis.digest(),
        config.p2p.listen,
        genesis.members.len(),
        engine::max_message_size(&genesis),
        config.peers(),
    );
    // It may wait for other members, and then for long.
    let mut l1 = Settling::begin(&config.l1, &genesis, &config.data_dir)?;
    let view = l1.as_ref().map(Settling::view);
    let started = ::tokio::select! {
        // Boxed: the compiler gives up on a future that contains all the others.
        node = Box::pin(start_node(&context, &config, &genesis, key, view, &mut network)) => Some(node?),
        reason = &mut told => {
            info!(reason, "stopping before the node has started");
            None
        }
    };
    let Some(node) = started else {
        end_tasks(context).await;
        return Ok(());
    };
    let network = network.ended();
    info!(index, identity = %me, p2p = %config.p2p.listen, rpc = %config.rpc.listen, "node started");

    if let (Some(l1), Some(batches)) = (&mut l1, node.client.batches()) {
        l1.post(batches.clone())?;
    }

    let rollups = eth::Rollup::all(&node.client, genesis.validity_blocks_max);
    let auditor = audited.and_then(|(name, engine)| {
        let (_, rollup) = rollups.iter().find(|(rollup, _)| *rollup == name)?;
        Some(Auditor::new(name, rollup.clone(), engine))
    });
    let board = auditor.as_ref().map(Auditor::board);
    let (watcher, health, peers) =
        Watcher::new(&config, &genesis, me.clone(), node.client.clone(), l1, board, context.child("health"));
    let gauges = watcher.gauges.clone();
    let genesis = Arc::new(genesis);
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        index: u32::try_from(index).wrap_err("member index")?,
        identity: me.clone(),
    };
    let rpc_limits = rpc_limits(&config);
    let client = node.client.clone();
    let api =
        Api::new(genesis.clone(), facts, client, health.clone(), peers, rpc_limits.clone()).with_evm(rollups);
    let (stop, stopping) = watch::channel(false);
    let servers = ::tokio::spawn(serve_http(
        (rpc_listener, ops_listener),
        api,
        server_config(&config, rpc_limits)?,
        health,
        (context.child("metrics"), gauges),
        stopping,
    ));
    let watching = ::tokio::spawn(watcher.run());
    let auditing = auditor.map(|auditor| ::tokio::spawn(auditor.run()));

    let result = ::tokio::select! {
        reason = told => {
            info!(reason, "stopping");
            Ok(())
        }
        _ = node.handle => Err(eyre!("a part of the node ended; see the log above")),
        _ = network => Err(eyre!("the p2p network ended; is {} free?", config.p2p.listen)),
    };
    let _ = stop.send(true);
    watching.abort();
    if let Some(auditing) = auditing {
        auditing.abort();
    }
    if timeout(SHUTDOWN_TIMEOUT, servers).await.is_err() {
        warn!("open requests did not end in time");
    }
    end_tasks(context).await;
    result
}

/// Starts the node, with the share of a first start.
async fn start_node(
    context: &tokio::Context,
    config: &NodeConfig,
    genesis: &Genesis,
    key: PrivateKey,
    l1: Option<Arc<dyn L1View>>,
    network: &mut Tcp,
) -> Result<Node> {
    let share = keys::take_share(&config.keys_dir)?;
    let node = engine::start(
        Machine::new(context.child("node")),
        engine::Config {
            genesis: genesis.clone(),
            key,
            first_share: share.as_ref().map(|taken| taken.share.clone()),
            vrf: keys::load_vrf(&config.keys_dir)?,
            partition: "baton".to_owned(),
            history: config.storage.history.history(),
            limits: pool_limits(config, genesis),
            clock: Arc::new(now_ms),
            page_cache_pages: PAGE_CACHE_PAGES,
            background: yield_to_the_rest,
            evm: evm::Settings { history_max: config.evm.states, ..evm::Settings::default() },
            l1,
            settlement: settlement::Settings {
                backlog_ms_max: config.l1.backlog_ms_max,
                ..settlement::Settings::default()
            },
            trusts_own_journal: false,
        },
        network,
    )
    .await?;
    match share {
        // Left behind, it could be imported into a wiped directory.
        Some(share) if node.share_imported => share.imported()?,
        Some(_) => {
            warn!("the share in the keys directory was not imported: this data directory has voted before")
        }
        None => {}
    }
    Ok(node)
}

async fn end_tasks(context: tokio::Context) {
    if let Err(error) = context.stop(0, Some(SHUTDOWN_TIMEOUT)).await {
        error!(?error, "tasks did not end in time");
    }
}

async fn listen(address: std::net::SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .wrap_err_with(|| format!("listening on {address} ({key}); another process may use the port"))
}

fn rpc_limits(config: &NodeConfig) -> RpcLimits {
    RpcLimits {
        request_bytes_max: config.rpc.request_bytes_max,
        requests_bytes_max: config.rpc.memory_bytes_max / 2,
        queue_bytes_max: config.rpc.memory_bytes_max / 2,
        client_share_percent: config.rpc.client_share_percent,
        batch_calls_max: config.rpc.batch_max,
        submit_transactions_max: config.rpc.submit_max,
        connections_max: config.rpc.connections_max,
        connection_subscriptions_max: config.rpc.subscriptions_max,
        eth: config.eth.clone(),
        ..RpcLimits::default()
    }
}

fn server_config(config: &NodeConfig, limits: RpcLimits) -> Result<ServerConfig> {
    let cors = config.rpc.cors.origins().map_or(Cors::Any, |origins| Cors::from_list(origins.to_vec()));
    let tokens =
        config.load_tokens()?.into_iter().map(|(name, token)| Token { name, secret: token.0 }).collect();
    Ok(ServerConfig { limits, cors, tokens })
}

async fn serve_http(
    (rpc, ops): (TcpListener, TcpListener),
    api: Api,
    config: ServerConfig,
    health: watch::Receiver<Health>,
    (metrics, gauges): (tokio::Context, Arc<Gauges>),
    stopping: watch::Receiver<bool>,
) {
    let api_metrics = api.clone();
    // One document: the end marker of the first part would hide the second.
    let text = Arc::new(move || {
        let node = metrics.encode();
        format!("{}{}{}", node.trim_end_matches("# EOF\n"), gauges.text(), api_metrics.metrics_text())
    });
    let stopped = |mut stopping: watch::Receiver<bool>| async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let (rpc, ops) = ::tokio::join!(
        baton_rpc::serve(rpc, api, config, stopped(stopping.clone())),
        baton_rpc::serve_ops(ops, Ops { health, metrics: text }, stopped(stopping)),
    );
    for result in [rpc, ops] {
        if let Err(error) = result {
            error!(%error, "an HTTP server ended");
        }
    }
}

/// Resolves with what asked the node to stop.
async fn asked_to_stop(options: RunOptions) -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return "signals cannot be received here";
    };
    let stdin = async {
        if !options.exit_with_stdin {
            return std::future::pending().await;
        }
        let mut stdin = ::tokio::io::stdin();
        let mut buffer = [0; 64];
        while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
    };
    ::tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated",
        () = stdin => "the supervisor is gone",
    }
}

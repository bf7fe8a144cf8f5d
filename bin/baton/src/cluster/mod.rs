//! A cluster of separate node processes on this machine, supervised.
//!
//! ```text
//! baton devnet ─┬─ baton node --config DIR/node-0/node.toml --exit-with-parent   (log: DIR/node-0/log)
//!               ├─ baton node --config DIR/node-1/node.toml --exit-with-parent
//!               └─ …                 ▲ standard input: a pipe that only the supervisor holds
//! ```
//! Invariants: every child this program started has ended when [`Cluster::stop`] returns. A child
//! also ends when the supervisor dies without a word, because its standard input then ends. Children
//! stand in process groups of their own, so a Ctrl-C in the terminal reaches the supervisor alone,
//! which stops them in order.

mod child;
pub mod l1;
pub mod layout;

use crate::{output::note, rpc};
use baton_node::accounts::ACCOUNTS;
use baton_types::api::{DevnetAccount, DevnetNode, DevnetView, StatusView};
use child::Node;
use eyre::{WrapErr as _, bail, eyre};
use futures::future::{join_all, select_all};
use layout::Layout;
use std::{path::Path, process::ExitStatus, time::Duration};
use tokio::time::{Instant, sleep};

/// How long nodes may take to finalize their first block.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How long nodes may take to stop when asked.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub struct Cluster {
    layout: Layout,
    nodes: Vec<Node>,
    /// Unless the user named a directory: removed at the end.
    _temporary: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Starts all nodes of a prepared directory.
    pub fn start(layout: Layout, temporary: Option<tempfile::TempDir>) -> eyre::Result<Self> {
        let nodes = (0..layout.nodes())
            .map(|index| Node::spawn(&layout, index, &[], &[]))
            .collect::<Result<_, _>>()?;
        Ok(Self { layout, nodes, _temporary: temporary })
    }

    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn pid(&self, index: u16) -> Option<u32> {
        self.nodes.get(usize::from(index)).and_then(Node::pid)
    }

    /// Waits until every node says it is ready and has finalized a block.
    pub async fn ready(&mut self) -> eyre::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        for index in 0..self.layout.nodes() {
            while let Err(reason) = self.is_ready(index).await {
                if let Some((dead, status)) = self.exited() {
                    bail!("node {dead} ended ({status})\n{}", self.log_tail(dead));
                }
                if Instant::now() > deadline {
                    let waited = READY_TIMEOUT.as_secs();
                    bail!("node {index} is not ready after {waited} s: {reason}\n{}", self.log_tail(index));
                }
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Whether this node is ready; if not, why.
    pub async fn is_ready(&self, index: u16) -> Result<(), String> {
        let (ready, text) =
            rpc::ops(&self.layout.ops_url(index), "/readyz").await.map_err(|error| error.to_string())?;
        if !ready {
            return Err(text.trim().to_owned());
        }
        let status = self.status(index).await.map_err(|error| format!("{error:#}"))?;
        if status.finalized_height == 0 { Err("no block finalized yet".to_owned()) } else { Ok(()) }
    }

    pub async fn status(&self, index: u16) -> eyre::Result<StatusView> {
        let api = rpc::Api::new(&self.layout.rpc_url(index))?;
        Ok(api.call("baton_status", rpc::NONE).await?)
    }

    /// A node that ended by itself, without waiting for one.
    fn exited(&mut self) -> Option<(u16, ExitStatus)> {
        self.nodes.iter_mut().find_map(|node| Some((node.index, node.try_wait()?)))
    }

    /// Waits until a running node ends. Never returns when none runs.
    pub async fn next_exit(&mut self) -> (u16, ExitStatus) {
        let running: Vec<_> = self
            .nodes
            .iter_mut()
            .filter(|node| node.pid().is_some())
            .map(|node| Box::pin(node.wait()))
            .collect();
        if running.is_empty() {
            return futures::future::pending().await;
        }
        select_all(running).await.0
    }

    pub fn running(&self) -> usize {
        self.nodes.iter().filter(|node| node.pid().is_some()).count()
    }

    /// Ends a node at once, as a power cut would.
    pub async fn kill(&mut self, index: u16) -> eyre::Result<()> {
        self.node(index)?.kill().await
    }

    /// Starts a node that has ended, with these flags.
    pub fn restart(&mut self, index: u16, flags: &[&str]) -> eyre::Result<()> {
        let fresh = Node::spawn(&self.layout, index, flags, &[])?;
        *self.node(index)? = fresh;
        Ok(())
    }

    /// Likewise, by another program that becomes the node.
    pub fn restart_under(&mut self, index: u16, under: &[String]) -> eyre::Result<()> {
        let fresh = Node::spawn(&self.layout, index, &[], under)?;
        *self.node(index)? = fresh;
        Ok(())
    }

    /// Removes what a node that has ended has on disk. Its share of the key was in there.
    pub fn wipe(&self, index: u16) -> eyre::Result<()> {
        let data = self.layout.data(index);
        std::fs::remove_dir_all(&data).wrap_err_with(|| format!("cannot remove {}", data.display()))
    }

    fn node(&mut self, index: u16) -> eyre::Result<&mut Node> {
        self.nodes.get_mut(usize::from(index)).ok_or_else(|| eyre!("there is no node {index}"))
    }

    /// The last lines of a node's log, indented.
    pub fn log_tail(&self, index: u16) -> String {
        log_tail(&self.layout.log(index))
    }

    pub fn view(&self) -> eyre::Result<DevnetView> {
        let genesis = self.layout.genesis();
        let nodes = self
            .nodes
            .iter()
            .map(|node| {
                let rpc = self.layout.rpc_url(node.index);
                Ok(DevnetNode {
                    index: node.index.into(),
                    pid: node.pid().ok_or_else(|| eyre!("node {} has ended", node.index))?,
                    ws: rpc.replacen("http://", "ws://", 1),
                    rpc,
                    ops: self.layout.ops_url(node.index),
                })
            })
            .collect::<eyre::Result<_>>()?;
        let accounts = match genesis.rollups.iter().any(|rollup| rollup.evm.is_some()) {
            true => ACCOUNTS
                .map(|(address, key)| DevnetAccount { address: address.into(), key: key.into() })
                .to_vec(),
            false => Vec::new(),
        };
        Ok(DevnetView {
            chain: baton_types::hex::encode(&genesis.digest()),
            group_key: genesis.key_generation.group_key.clone(),
            nodes,
            rollups: genesis.rollups.clone(),
            accounts,
        })
    }

    /// Asks every node to stop, waits, and ends those that do not.
    pub async fn stop(mut self) {
        join_all(self.nodes.iter_mut().map(|node| node.stop(STOP_TIMEOUT))).await;
    }
}

/// Resolves when the user or the system wants this program to end.
pub async fn shutdown() -> eyre::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).wrap_err("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).wrap_err("cannot listen for SIGHUP")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.wrap_err("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// Starts a cluster in a temporary directory on free ports and waits until it finalizes. `ground` starts what it stands on.
pub async fn temporary<G>(
    options: layout::Options,
    ground: impl AsyncFnOnce(&Layout) -> eyre::Result<G>,
) -> eyre::Result<(Cluster, G)> {
    let dir =
        tempfile::Builder::new().prefix("baton-").tempdir().wrap_err("cannot make a temporary directory")?;
    let base_port = Some(layout::free_base_port(options.nodes.unwrap_or(layout::NODES_MAX))?);
    let options = layout::Options { base_port, ..options };
    let layout = Layout::prepare(dir.path(), options)?;
    let ground = ground(&layout).await?;
    let mut cluster = Cluster::start(layout, Some(dir))?;
    match cluster.ready().await {
        Ok(()) => Ok((cluster, ground)),
        Err(error) => {
            cluster.stop().await;
            Err(error)
        }
    }
}

fn log_tail(path: &Path) -> String {
    const LINES: usize = 12;
    const COLUMNS: usize = 300;
    let text =
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !is_backtrace(line)).collect();
    let last: Vec<_> = lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| format!("  | {line:.COLUMNS$}"))
        .collect();
    format!("last lines of {}:\n{}", path.display(), last.join("\n"))
}

/// Frames would push out what was said before the panic.
fn is_backtrace(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u16>().is_ok());
    numbered || line.starts_with("at ") || line.starts_with("note: ") || line == "stack backtrace:"
}

/// Says that a node ended by itself.
pub fn report_exit(cluster: &Cluster, index: u16, status: ExitStatus) {
    let running = cluster.running();
    note(format!("node {index} ended ({status}); {running} go on\n{}", cluster.log_tail(index)));
}

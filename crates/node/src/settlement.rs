//! L1 beside the node: who watches it, and who posts batches to it. Or the directory that stands in for it.

use crate::{config::L1Config, health::Unready};
use alloy_primitives::U256;
use baton_consensus::settlement::Board;
use baton_l1::{
    Client, Watcher, WatcherConfig,
    da::{Backend, Blobs, Calldata, Directory},
    key,
    local::{Keeper, KeeperConfig},
    poster::{self, Poster, PosterConfig, State},
    watcher::{self, Depth},
};
use baton_settlement::{L1View, Terms};
use baton_types::{
    Genesis,
    genesis::settlement::{Confirmation, Settlement},
    settlement::DataKind,
};
use eyre::{Result, WrapErr as _, eyre};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

const GWEI: u64 = 1_000_000_000;
/// Rounds of the watcher that may fail before the node says so.
const FAILURES_MAX: u32 = 10;
/// An endpoint without a new block for so long stands still: ten of Ethereum's slots.
const STILL_AFTER: Duration = Duration::from_secs(120);

/// In `data_dir`: the newest final block of L1 that this node has seen.
const FINAL_FILE: &str = "l1-final.json";

/// What the node does about batches.
pub enum Settling {
    L1(L1),
    Directory(Shelves),
}

/// Batches of a cluster without L1.
pub struct Shelves {
    keeper: Option<Keeper>,
    view: watcher::Board,
    posting: watch::Receiver<poster::Status>,
    task: Option<JoinHandle<()>>,
}

/// What the node does about L1.
pub struct L1 {
    client: Arc<Client>,
    config: L1Config,
    terms: Vec<Terms>,
    data: DataKind,
    view: watcher::Board,
    watching: watch::Receiver<watcher::Status>,
    posting: Option<watch::Receiver<poster::Status>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Numbers for metrics, by labels.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    pub blocks: Vec<(String, u64)>,
    pub reorgs: u64,
    pub failures: u64,
    pub batches: Vec<(String, u64)>,
    pub heights: Vec<(String, u64)>,
    /// Of a node that posts.
    pub spent_gwei: Option<u64>,
    pub degraded: Vec<(String, u64)>,
}

impl Drop for L1 {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Shelves {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

impl Settling {
    /// Begins to watch; none where nothing settles or no endpoint is named.
    pub fn begin(config: &L1Config, genesis: &Genesis, data_dir: &Path) -> Result<Option<Self>> {
        if genesis.batches.is_some() {
            return Shelves::open(config, genesis).map(|shelves| Some(Self::Directory(shelves)));
        }
        Ok(L1::watch(config, genesis, data_dir)?.map(Self::L1))
    }

    /// For consensus.
    pub fn view(&self) -> Arc<dyn L1View> {
        Arc::new(match self {
            Self::L1(l1) => l1.view.clone(),
            Self::Directory(shelves) => shelves.view.clone(),
        })
    }

    /// Begins to post what the cluster signs.
    pub fn post(&mut self, batches: Arc<Board>) -> Result<()> {
        match self {
            Self::L1(l1) => l1.post(batches)?,
            Self::Directory(shelves) => {
                shelves.task = shelves.keeper.take().map(|keeper| keeper.start(batches));
            }
        }
        Ok(())
    }

    pub fn gauges(&self) -> Gauges {
        match self {
            Self::L1(l1) => l1.gauges(),
            Self::Directory(shelves) => {
                let mut gauges = Gauges::default();
                gauges.inboxes(&shelves.view, &["latest"]);
                gauges.posting(&shelves.posting.borrow());
                gauges
            }
        }
    }

    /// Why settlement does not do its work, if it does not.
    pub fn trouble(&self) -> Option<Unready> {
        match self {
            Self::L1(l1) => l1.trouble(),
            Self::Directory(shelves) => not_posting(&shelves.posting.borrow()),
        }
    }
}

impl Shelves {
    fn open(config: &L1Config, genesis: &Genesis) -> Result<Self> {
        let keeper_config = KeeperConfig {
            poll: Duration::from_millis(config.poll_ms),
            patience: Duration::from_millis(config.post_after_ms),
        };
        let group_key = genesis.group_key().map_err(|error| eyre!(error))?;
        let keeper = Keeper::open(&config.directory, Terms::all(genesis), group_key, keeper_config);
        let keeper = keeper.wrap_err("l1.directory")?;
        info!(directory = %config.directory.display(), "putting batches into a directory");
        let (view, posting) = (keeper.board(), keeper.status());
        Ok(Self { keeper: Some(keeper), view, posting, task: None })
    }
}

impl Gauges {
    fn inboxes(&mut self, view: &watcher::Board, tags: &[&str]) {
        for (rollup, seen) in &view.snapshot().rollups {
            for (tag, inbox) in tags.iter().zip([seen.latest, seen.finalized]) {
                let labels = format!("{{rollup=\"{rollup}\",tag=\"{tag}\"}}");
                self.batches.push((labels.clone(), inbox.next_index));
                self.heights.push((labels, inbox.next_height.saturating_sub(1)));
            }
        }
    }

    fn posting(&mut self, posting: &poster::Status) {
        let gwei = posting.spent / U256::from(GWEI);
        self.spent_gwei = Some(u64::try_from(gwei).unwrap_or(u64::MAX));
        for (rollup, status) in &posting.rollups {
            let degraded = matches!(status.state, State::Degraded(_));
            self.degraded.push((format!("{{rollup=\"{rollup}\"}}"), u64::from(degraded)));
        }
    }
}

fn not_posting(posting: &poster::Status) -> Option<Unready> {
    posting.rollups.iter().find_map(|(rollup, status)| match &status.state {
        State::Degraded(reason) => {
            let reason = format!("batches of rollup {rollup} are not posted: {reason}");
            Some(Unready { name: "not_posting", reason })
        }
        _ => None,
    })
}

impl L1 {
    /// None where nothing settles or no endpoint is named.
    fn watch(config: &L1Config, genesis: &Genesis, data_dir: &Path) -> Result<Option<Self>> {
        let Some(section) = &genesis.l1 else { return Ok(None) };
        if config.endpoints.is_empty() {
            warn!(
                "l1.endpoints is empty: this node sees nothing of L1, proposes no origin and posts nothing"
            );
            return Ok(None);
        }
        let client = Client::new(&config.endpoints, section.chain_id)
            .map_err(|error| eyre!("l1.endpoints: {error}"))?;
        let (client, terms) = (Arc::new(client), Terms::all(genesis));
        let watcher = Watcher::new(client.clone(), watcher_config(config, section, terms.clone()))
            .remembering(data_dir.join(FINAL_FILE));
        let (view, watching) = (watcher.board(), watcher.status());
        let tasks = vec![watcher.start()];
        let (config, data) = (config.clone(), section.data);
        Ok(Some(Self { client, config, terms, data, view, watching, posting: None, tasks }))
    }

    /// Where there is a key to pay with.
    fn post(&mut self, batches: Arc<Board>) -> Result<()> {
        let Some(path) = &self.config.key_file else { return Ok(()) };
        let signer = key::load(path, self.config.password_file.as_deref()).wrap_err("l1.key_file")?;
        let backend: Arc<dyn Backend> = match self.data {
            DataKind::Blobs => Arc::new(Blobs::new(self.client.clone(), Vec::new())),
            DataKind::Calldata => Arc::new(Calldata::new(self.client.clone())),
            DataKind::Directory => {
                Arc::new(Directory::open(&self.config.directory).wrap_err("l1.directory")?)
            }
        };
        info!(account = %signer.address(), data = ?self.data, "posting batches to L1");
        let rollups = self.terms.iter().map(|terms| (terms.clone(), backend.clone())).collect();
        let config = poster_config(&self.config);
        let poster = Poster::new(self.client.clone(), signer, batches, rollups, config);
        self.posting = Some(poster.status());
        self.tasks.push(poster.start());
        Ok(())
    }

    /// Where L1 and the inboxes stand, as labels and value of each gauge.
    fn gauges(&self) -> Gauges {
        let watching = self.watching.borrow();
        let tagged =
            [("latest", watching.latest), ("safe", watching.safe), ("finalized", watching.finalized)];
        let mut gauges = Gauges {
            blocks: tagged.map(|(tag, number)| (format!("{{tag=\"{tag}\"}}"), number)).into(),
            reorgs: watching.reorgs,
            failures: u64::from(watching.failures),
            ..Gauges::default()
        };
        gauges.inboxes(&self.view, &["latest", "finalized"]);
        if let Some(posting) = &self.posting {
            gauges.posting(&posting.borrow());
        }
        gauges
    }

    fn trouble(&self) -> Option<Unready> {
        let watching = self.watching.borrow();
        let unready = |name, reason: String| Some(Unready { name, reason });
        if let Some(what) = &watching.beyond_finality {
            return unready("l1_reorganised", format!("L1 went back on its finality: {what}"));
        }
        if let Some(what) = &watching.disagreement {
            return unready("l1_disagrees", format!("endpoints of L1 do not agree: {what}"));
        }
        if watching.failures >= FAILURES_MAX {
            let why = watching.trouble.as_deref().unwrap_or_default();
            return unready("l1_unreachable", format!("L1 cannot be followed: {why}"));
        }
        not_posting(&self.posting.as_ref()?.borrow())
    }
}

fn watcher_config(config: &L1Config, section: &Settlement, rollups: Vec<Terms>) -> WatcherConfig {
    WatcherConfig {
        rollups,
        start_block: section.start_block,
        depth: match section.confirmation {
            Confirmation::Depth(blocks) => Depth::Blocks(blocks),
            Confirmation::Finalized => Depth::Finalized,
        },
        propose_after: Duration::from_millis(section.origin_wait_ms),
        poll: Duration::from_millis(config.poll_ms),
        still_after: STILL_AFTER,
    }
}

fn poster_config(config: &L1Config) -> PosterConfig {
    PosterConfig {
        poll: Duration::from_millis(config.poll_ms),
        patience: Duration::from_millis(config.post_after_ms),
        gas_fee_max: u128::from(config.gas_fee_max_gwei * GWEI),
        blob_fee_max: u128::from(config.blob_fee_max_gwei * GWEI),
        batch_cost_max: U256::from(config.batch_cost_max_gwei) * U256::from(GWEI),
        day_cost_max: U256::from(config.day_cost_max_gwei) * U256::from(GWEI),
        ..PosterConfig::default()
    }
}

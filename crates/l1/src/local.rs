//! Settling without L1: a directory is the inbox.
//!
//! ```text
//! DIR/ROLLUP/0000000000.batch  0000000001.batch …   batch, certificate and data
//!
//! Keeper ── the next file is there ─► checked ─► Snapshot ─► consensus: posted
//!    └───── it is not ─► certified by the cluster? ─► written whole, synced
//! ```
//! - Every node may write: a batch has one file, whoever writes it, so nodes can share a directory or have one each.
//! - Nothing of L1 is in its snapshots: no blocks, no origin, no forced entries. What is in the directory stays there, so
//!   consensus takes it for final; *settled* is a word of L1 and is not said.
//! - A file that is missing below others is written again where the node still has the batch.

mod folder;

pub use folder::{Folder, LocalError};

use crate::{
    poster::{RollupStatus, State, Status},
    watcher::Board,
};
use baton_settlement::{BatchSource, InboxState, RollupView, Snapshot, Terms};
use baton_types::GroupKey;
use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{debug, warn};

/// Batches of one rollup in one round.
const ROUND_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
pub struct KeeperConfig {
    /// How often the directory and the cluster are asked.
    pub poll: Duration,
    /// How long another node may write first.
    pub patience: Duration,
}

/// Writes what the cluster certifies, and tells consensus what is there.
pub struct Keeper {
    shelves: Vec<Shelf>,
    group_key: GroupKey,
    config: KeeperConfig,
    board: Board,
    report: watch::Sender<Status>,
}

/// One rollup.
struct Shelf {
    terms: Terms,
    folder: Folder,
    /// After the files without a gap; none before the directory could be read.
    state: Option<InboxState>,
    /// The last file there was at the start.
    last: Option<u64>,
    /// When the batch at this index was first there to be written.
    since: Option<(u64, Instant)>,
    status: State,
}

impl Keeper {
    /// Makes the directory where it is not there. What is in it is read at once.
    pub fn open(
        directory: &Path,
        rollups: Vec<Terms>,
        group_key: GroupKey,
        config: KeeperConfig,
    ) -> Result<Self, LocalError> {
        let mut shelves = Vec::new();
        for terms in rollups {
            let folder = Folder::new(directory, terms.rollup);
            folder.make()?;
            shelves.push(Shelf { terms, folder, state: None, last: None, since: None, status: State::Idle });
        }
        let report = watch::channel(Status::default()).0;
        let mut keeper = Self { shelves, group_key, config, board: Board::default(), report };
        for shelf in &mut keeper.shelves {
            if let Err(error) = shelf.begin(&keeper.group_key) {
                shelf.fails(&error);
            }
        }
        keeper.publish();
        Ok(keeper)
    }

    /// For consensus.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.report.subscribe()
    }

    /// Runs until it is aborted.
    pub fn start(mut self, source: Arc<dyn BatchSource>) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.round(&*source).await;
                tokio::time::sleep(self.config.poll).await;
            }
        })
    }

    /// Takes what is there and writes what is not.
    pub async fn round(&mut self, source: &dyn BatchSource) {
        for shelf in &mut self.shelves {
            match shelf.round(source, &self.group_key, self.config.patience).await {
                Ok(status) => shelf.status = status,
                Err(error) => shelf.fails(&error),
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let (mut snapshot, mut status) = (Snapshot::default(), Status::default());
        for Shelf { terms, state, status: of_rollup, .. } in &self.shelves {
            let next_index = state.map_or(0, |state| state.next_index);
            status.rollups.insert(terms.rollup, RollupStatus { next_index, state: of_rollup.clone() });
            let Some(state) = *state else { continue };
            let view = RollupView {
                latest: state,
                finalized: state,
                forced: Arc::default(),
                postings: Arc::default(),
            };
            snapshot.rollups.insert(terms.rollup, view);
        }
        *self.board.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.report.send_if_modified(|before| {
            let differs = *before != status;
            *before = status;
            differs
        });
    }
}

impl Shelf {
    fn fails(&mut self, error: &LocalError) {
        let reason = error.to_string();
        if self.status != State::Degraded(reason.clone()) {
            warn!(rollup = %self.terms.rollup, "batches are not put into the directory: {reason}");
        }
        self.status = State::Degraded(reason);
    }

    /// Finds where the files end.
    fn begin(&mut self, group_key: &GroupKey) -> Result<InboxState, LocalError> {
        let (run, last) = self.folder.ends()?;
        self.last = last;
        let state = match run.checked_sub(1) {
            None => InboxState::start(self.terms.first_height),
            // It commits to all before it.
            Some(last) => self.folder.read(last, &self.terms, group_key)?.after(),
        };
        self.state = Some(state);
        Ok(state)
    }

    async fn round(
        &mut self,
        source: &dyn BatchSource,
        group_key: &GroupKey,
        patience: Duration,
    ) -> Result<State, LocalError> {
        let mut state = match self.state {
            Some(state) => state,
            None => self.begin(group_key)?,
        };
        for _ in 0..ROUND_MAX {
            let index = state.next_index;
            let certified = if self.folder.has(index)? {
                let certified = self.folder.read(index, &self.terms, group_key)?;
                certified.follows(&state).map_err(|error| self.folder.wrong(index, error))?;
                certified
            } else {
                let Some(certified) = source.certified(self.terms.rollup, state.place()).await else {
                    return self.folder.no_gap(index, self.last).map(|()| State::Idle);
                };
                if let Some(rest) = self.others_first(index, patience) {
                    let rest = rest.as_millis();
                    return Ok(State::Waiting(format!("another node may write first for {rest} ms")));
                }
                let (folder, file) = (self.folder.clone(), certified.clone());
                let written = tokio::task::spawn_blocking(move || folder.write(&file));
                written.await.map_err(|error| self.folder.lost(index, &error))??;
                debug!(rollup = %self.terms.rollup, index, "batch put into the directory");
                (*certified).clone()
            };
            state = certified.after();
            self.state = Some(state);
        }
        Ok(State::Posting)
    }

    /// How long others may still write this batch.
    fn others_first(&mut self, index: u64, patience: Duration) -> Option<Duration> {
        let since = match self.since {
            Some((known, since)) if known == index => since,
            _ => {
                let now = Instant::now();
                self.since = Some((index, now));
                now
            }
        };
        patience.checked_sub(since.elapsed()).filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests;

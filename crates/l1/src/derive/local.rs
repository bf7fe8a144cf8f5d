//! Derivation from a directory alone.

use super::{
    Config, DeriveError, check,
    executor::{Executor, Head},
    state::State,
};
use crate::local::Folder;
use baton_settlement::{Certified, Contents, InboxState, decode};
use baton_types::{Digest, merkle::EMPTY};
use std::path::Path;

/// Batches of one call.
const STEP_BATCHES: usize = 64;

/// A batch that was checked and, for an EVM rollup, executed.
#[derive(Clone, Debug)]
pub struct Filed {
    pub certified: Certified,
    pub contents: Contents,
    /// Newest block of an EVM rollup.
    pub block: Option<Head>,
}

pub struct LocalDeriver {
    config: Config,
    folder: Folder,
    /// After the batches that are done.
    state: InboxState,
    order_root: Digest,
    executor: Option<Executor>,
}

impl LocalDeriver {
    /// At the beginning, or where the state says.
    pub fn open(directory: &Path, config: Config) -> Result<Self, DeriveError> {
        let saved = match &config.directory {
            Some(directory) => State::read(directory, &config.chain, config.rollup.id)?,
            None => None,
        };
        let executor = Executor::open(&config, saved.as_ref().map(|state| state.next_height))?;
        let folder = Folder::new(directory, config.rollup.id());
        let start = InboxState::start(config.terms.first_height);
        let (state, order_root) = saved.map_or((start, EMPTY), |state| (state.inbox(), state.order_root()));
        Ok(Self { config, folder, state, order_root, executor })
    }

    /// Index of the next batch.
    pub const fn next_index(&self) -> u64 {
        self.state.next_index
    }

    /// Reads on, for some batches at most. True when there may be more.
    pub fn advance(&mut self, mut told: impl FnMut(&Filed)) -> Result<bool, DeriveError> {
        let mut more = true;
        for _ in 0..STEP_BATCHES {
            let index = self.state.next_index;
            more = self.folder.has(index)?;
            if !more {
                let (_, last) = self.folder.ends()?;
                self.folder.no_gap(index, last)?;
                break;
            }
            told(&self.batch(index)?);
        }
        self.save()?;
        Ok(more)
    }

    fn batch(&mut self, index: u64) -> Result<Filed, DeriveError> {
        let certified = self.folder.read(index, &self.config.terms, &self.config.group_key)?;
        certified.follows(&self.state).map_err(|error| self.folder.wrong(index, error))?;
        let path = self.folder.file(index).display().to_string();
        let wrong = |what: String| DeriveError::File { path: path.clone(), what };
        let contents =
            decode(&certified.data, &self.config.limits).map_err(|error| wrong(error.to_string()))?;
        let before = (self.order_root, self.state.forced_cursor);
        check(&certified.batch, before.1, &contents, before, self.executor.is_some()).map_err(wrong)?;
        if let Some(executor) = &mut self.executor {
            executor.apply(&contents).map_err(wrong)?;
        }
        (self.state, self.order_root) = (certified.after(), certified.batch.order_root);
        Ok(Filed { certified, contents, block: self.executor.as_ref().map(Executor::head) })
    }

    /// Unless a block of the rollup is open: then the next start repeats from before that.
    fn save(&mut self) -> Result<(), DeriveError> {
        let Some(directory) = &self.config.directory else { return Ok(()) };
        if self.executor.as_ref().is_some_and(Executor::is_open) {
            return Ok(());
        }
        if let Some(executor) = &mut self.executor {
            executor.sync()?;
        }
        State::new(&self.config, (0, EMPTY), self.state, (0, EMPTY), self.order_root).write(directory)
    }
}

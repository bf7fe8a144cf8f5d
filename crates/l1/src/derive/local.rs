//! Derivation from a directory alone.

use super::{
    Config, DeriveError, check,
    executor::{Executor, Head},
    state::{Base, Place, State},
};
use crate::local::Folder;
use baton_settlement::{Certified, Contents, InboxState, decode};
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
    done: Place,
    executor: Option<Executor>,
    /// Where the next start goes on.
    kept: (InboxState, Place),
}

impl LocalDeriver {
    /// At the beginning, or where the state says.
    pub fn open(directory: &Path, config: Config) -> Result<Self, DeriveError> {
        let saved = match &config.directory {
            Some(directory) => State::read(directory, &config.chain, config.rollup.id)?,
            None => None,
        };
        let kept = saved.map_or_else(
            || (Base::start(&config.terms).inbox, Place::START),
            |state| (state.base().inbox, state.place()),
        );
        let executor = Executor::open(&config, kept.1.height)?;
        let folder = Folder::new(directory, config.rollup.id());
        Ok(Self { config, folder, state: kept.0, done: kept.1, executor, kept })
    }

    /// Index of the next batch.
    pub const fn next_index(&self) -> u64 {
        self.state.next_index
    }

    /// The highest index of a file, now.
    pub fn last_index(&self) -> Result<u64, DeriveError> {
        Ok(self.folder.ends()?.1.unwrap_or(0))
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
        let (batch, cursor) = (&certified.batch, self.state.forced_cursor);
        let behind = (self.done.order_root, cursor);
        check(batch, cursor, &contents, behind, self.executor.is_some()).map_err(wrong)?;
        let standing = self.executor.as_ref().map(Executor::standing);
        if let Some(executor) = &mut self.executor {
            executor.apply(&contents).map_err(wrong)?;
        }
        let before = (self.state, self.done);
        self.state = certified.after();
        self.done = Place::behind(batch, &contents);
        self.kept =
            match before.1.resumed(self.done, standing, self.executor.as_ref().map(Executor::standing)) {
                None => self.kept,
                Some(place) if place.index == self.done.index => (self.state, place),
                Some(place) => (before.0, place),
            };
        Ok(Filed { certified, contents, block: self.executor.as_ref().map(Executor::head) })
    }

    fn save(&mut self) -> Result<(), DeriveError> {
        let Some(directory) = &self.config.directory else { return Ok(()) };
        if let Some(executor) = &mut self.executor {
            executor.sync()?;
        }
        let (inbox, place) = self.kept;
        let base = Base { inbox, ..Base::start(&self.config.terms) };
        State::new(&self.config, &base, &place).write(directory)
    }
}

//! The files of one rollup.

use crate::da::write_whole;
use baton_settlement::{Certified, FileError, Terms};
use baton_types::{GroupKey, RollupId};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use thiserror::Error;

const EXTENSION: &str = "batch";
/// More than the data of any batch and what stands before them.
const FILE_BYTES_MAX: u64 = 80 * 1_024 * 1_024;

#[derive(Debug, Error)]
pub enum LocalError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{}: {error}. Take the file from another copy, or remove it: a node that still has the batch writes it again",
        path.display()
    )]
    File { path: PathBuf, error: FileError },
    #[error("{}: another batch is there than the cluster certified. Remove it, or name another directory", path.display())]
    Taken { path: PathBuf },
    #[error("{}: missing, and batch {above} is there. Take the file from another copy of the directory", path.display())]
    Gap { path: PathBuf, above: u64 },
}

#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(directory: &Path, rollup: RollupId) -> Self {
        Self { path: directory.join(rollup.0.to_string()) }
    }

    pub fn make(&self) -> Result<(), LocalError> {
        fs::create_dir_all(&self.path).map_err(|error| self.io(error))
    }

    pub fn file(&self, index: u64) -> PathBuf {
        self.path.join(format!("{index:010}.{EXTENSION}"))
    }

    fn io(&self, error: io::Error) -> LocalError {
        LocalError::Io { path: self.path.clone(), error }
    }

    pub fn wrong(&self, index: u64, error: FileError) -> LocalError {
        LocalError::File { path: self.file(index), error }
    }

    /// A write that did not come to its end.
    pub(super) fn lost(&self, index: u64, error: &impl ToString) -> LocalError {
        LocalError::Io { path: self.file(index), error: io::Error::other(error.to_string()) }
    }

    pub fn has(&self, index: u64) -> Result<bool, LocalError> {
        let path = self.file(index);
        path.try_exists().map_err(|error| LocalError::Io { path, error })
    }

    /// The batch with this index, of these terms and signed by the group. Whether it follows is for the caller.
    pub fn read(&self, index: u64, terms: &Terms, group_key: &GroupKey) -> Result<Certified, LocalError> {
        let path = self.file(index);
        let io = |error| LocalError::Io { path: path.clone(), error };
        let length = fs::metadata(&path).map_err(io)?.len();
        if length > FILE_BYTES_MAX {
            return Err(LocalError::File { path, error: FileError::TooLong(length) });
        }
        let bytes = fs::read(&path).map_err(io)?;
        let read = || {
            let certified = Certified::from_file(&bytes)?;
            let found = certified.batch.index;
            if found != index {
                return Err(FileError::Index { found, expected: index });
            }
            certified.verify(terms, group_key).map(|()| certified)
        };
        read().map_err(|error| LocalError::File { path, error })
    }

    /// Whole or not at all. One that is there already has to be the same.
    pub fn write(&self, certified: &Certified) -> Result<(), LocalError> {
        let (path, bytes) = (self.file(certified.batch.index), certified.to_file());
        match fs::read(&path) {
            Ok(there) if there == bytes => return Ok(()),
            Ok(_) => return Err(LocalError::Taken { path }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(LocalError::Io { path, error }),
        }
        self.make()?;
        write_whole(&path, &bytes).map_err(|error| LocalError::Io { path, error })
    }

    /// Of all files, ascending. Other names are nobody's business.
    fn indices(&self) -> Result<Vec<u64>, LocalError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        let mut indices = Vec::new();
        for entry in entries {
            let name = PathBuf::from(entry.map_err(|error| self.io(error))?.file_name());
            let index = name.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            indices.extend(index.filter(|index| self.file(*index).file_name() == Some(name.as_os_str())));
        }
        indices.sort_unstable();
        Ok(indices)
    }

    /// How many there are from 0 on without a gap, and the last one.
    pub fn ends(&self) -> Result<(u64, Option<u64>), LocalError> {
        let indices = self.indices()?;
        let last = indices.last().copied();
        let run = (0..).zip(indices).take_while(|(expected, index)| expected == index).count();
        Ok((run as u64, last))
    }

    /// An error where `last` is above a file that is missing.
    pub fn no_gap(&self, index: u64, last: Option<u64>) -> Result<(), LocalError> {
        match last {
            // It may have come in the meantime.
            Some(above) if above > index && !self.has(index)? => {
                Err(LocalError::Gap { path: self.file(index), above })
            }
            _ => Ok(()),
        }
    }
}

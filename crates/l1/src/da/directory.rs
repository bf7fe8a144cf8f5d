//! A directory that all nodes and readers share, or copy to each other: one file per batch, named by what it holds.

use super::{Backend, Carried, DaError, checked};
use crate::events::Posted;
use baton_settlement::data_commitment;
use baton_types::{Digest, hex, settlement::DataKind};
use futures::future::BoxFuture;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory when it is not there.
    pub fn open(path: &Path) -> Result<Self, DaError> {
        fs::create_dir_all(path).map_err(|error| DaError::Io { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned() })
    }

    fn file(&self, commitment: &Digest) -> PathBuf {
        self.path.join(format!("{}.batch", hex::encode(commitment)))
    }

    /// Written whole, or not at all.
    fn write(&self, data: &[u8]) -> Result<(), DaError> {
        let path = self.file(&data_commitment(DataKind::Directory, data));
        if path.exists() {
            return Ok(());
        }
        write_whole(&path, data).map_err(|error| DaError::Io { path, error })
    }
}

/// Puts a file where readers see all of it or nothing, even after a crash. Several nodes may share the directory.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let partial = path.with_extension(format!("partial-{}-{now}", std::process::id()));
    let written = File::create_new(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written?;
    let Some(directory) = path.parent() else { return Ok(()) };
    File::open(directory)?.sync_all()
}

impl Backend for Directory {
    fn kind(&self) -> DataKind {
        DataKind::Directory
    }

    fn store<'a>(&'a self, data: &'a [u8]) -> BoxFuture<'a, Result<Carried, DaError>> {
        Box::pin(async move { self.write(data).map(|()| Carried::default()) })
    }

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>> {
        Box::pin(async move {
            let commitment = &posted.batch.data_commitment;
            let path = self.file(commitment);
            let data = fs::read(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => DaError::Missing {
                    commitment: hex::encode(commitment),
                    tried: path.display().to_string(),
                },
                _ => DaError::Io { path, error },
            })?;
            checked(DataKind::Directory, commitment, data)
        })
    }
}

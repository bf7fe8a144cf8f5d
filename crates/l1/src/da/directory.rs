//! A directory that all nodes and readers share, or copy to each other: one file per batch, named by what it holds.

use super::{Backend, Carried, DaError, checked};
use crate::events::Posted;
use baton_settlement::data_commitment;
use baton_types::{Digest, hex, settlement::DataKind};
use futures::future::BoxFuture;
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
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
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| DaError::Io { path, error }
        };
        // Several nodes may share the directory.
        let partial = path.with_extension(format!("partial-{}", std::process::id()));
        let mut file = File::create(&partial).map_err(io(&partial))?;
        file.write_all(data).and_then(|()| file.sync_all()).map_err(io(&partial))?;
        fs::rename(&partial, &path).map_err(io(&path))?;
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(io(&self.path))
    }
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

//! Where the data of batches are: one trait, three backends.
//!
//! [`Backend::store`] puts data where others find them, or says what the posting transaction has to carry.
//! [`Backend::fetch`] gives back what the batch commits to, or an error; never anything else.

pub(crate) mod beacon;
mod calldata;
mod directory;

pub use beacon::{BlobSource, Blobs, BlockId};
pub use calldata::{CALLDATA_BYTES_MAX, Calldata};
pub use directory::Directory;
pub(crate) use directory::write_whole;

use crate::events::Posted;
use alloy_eips::eip7594::BlobTransactionSidecarEip7594;
use alloy_primitives::Bytes;
use baton_settlement::data_commitment;
use baton_types::{Digest, hex, settlement::DataKind};
use futures::future::BoxFuture;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum DaError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error("the data {commitment} are not there: {tried}")]
    Missing { commitment: String, tried: String },
    #[error("what is there is not the data {commitment}, but {found}")]
    Other { commitment: String, found: String },
    #[error("{bytes} bytes do not fit into one transaction of L1, which takes {max}")]
    TooLong { bytes: usize, max: usize },
    #[error(transparent)]
    L1(#[from] crate::L1Error),
    #[error("blobs: {0}")]
    Blobs(String),
}

/// What the posting transaction has beside the batch.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub calldata: Bytes,
    pub sidecar: Option<Box<BlobTransactionSidecarEip7594>>,
}

pub trait Backend: Send + Sync {
    fn kind(&self) -> DataKind;

    fn store<'a>(&'a self, data: &'a [u8]) -> BoxFuture<'a, Result<Carried, DaError>>;

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>>;
}

/// The data, when they are what `expected` commits to.
fn checked(kind: DataKind, expected: &Digest, data: Vec<u8>) -> Result<Vec<u8>, DaError> {
    let found = data_commitment(kind, &data);
    if found == *expected {
        return Ok(data);
    }
    Err(DaError::Other { commitment: hex::encode(expected), found: hex::encode(&found) })
}

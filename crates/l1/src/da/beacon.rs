//! Blobs of L1: they go with the posting transaction, and are read from nodes of L1's consensus layer, which keep them for
//! some weeks. Tried against anvil; how a beacon node names the block is in [`BlobSource`].

use super::{Backend, Carried, DaError};
use crate::events::Posted;
use alloy_eips::{eip4844::Blob, eip7594::BlobTransactionSidecarEip7594};
use alloy_primitives::B256;
use baton_settlement::blobs;
use baton_types::{Digest, hex, settlement::DataKind};
use futures::future::BoxFuture;
use serde::Deserialize;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// A block's blobs in hex, with room.
const ANSWER_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Blobs are handed around by value in the library: more than a thread usually has, without optimisation.
const STACK_BYTES: usize = 64 * 1_024 * 1_024;

/// A server of `/eth/v1/beacon/blobs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobSource {
    pub url: String,
    pub block_id: BlockId,
}

/// How a source names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockId {
    /// By its slot, as beacon nodes do.
    Slot { genesis_time: u64, seconds: u64 },
    /// By its number on the execution layer, as anvil does.
    Number,
}

#[derive(Clone, Debug)]
pub struct Blobs {
    sources: Vec<BlobSource>,
    http: reqwest::Client,
    /// Time in seconds of a block of L1, for slots.
    client: std::sync::Arc<crate::Client>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<String>,
}

#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

/// Numbers are strings in this API.
#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "SECONDS_PER_SLOT")]
    seconds_per_slot: String,
}

impl BlobSource {
    /// A beacon node, which is asked when its slots began and how long they are.
    pub async fn beacon(url: &str) -> Result<Self, String> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap_or_default();
        let base = url.trim_end_matches('/');
        let genesis: Wrapped<Genesis> = get(&http, &format!("{base}/eth/v1/beacon/genesis")).await?;
        let spec: Wrapped<Spec> = get(&http, &format!("{base}/eth/v1/config/spec")).await?;
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        let genesis_time = number(&genesis.data.genesis_time)?;
        let seconds = number(&spec.data.seconds_per_slot)?;
        Ok(Self { url: url.to_owned(), block_id: BlockId::Slot { genesis_time, seconds } })
    }
}

async fn get<T: serde::de::DeserializeOwned>(http: &reqwest::Client, url: &str) -> Result<T, String> {
    let text = |error: reqwest::Error| error.without_url().to_string();
    let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(text)?;
    let body = answer.bytes().await.map_err(text)?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

impl Blobs {
    pub fn new(client: std::sync::Arc<crate::Client>, sources: Vec<BlobSource>) -> Self {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap_or_default();
        Self { sources, http, client }
    }

    /// The blobs of a block that a source has, of those asked for.
    async fn ask(&self, source: &BlobSource, posted: &Posted) -> Result<Vec<Vec<u8>>, String> {
        let id = match source.block_id {
            BlockId::Number => posted.l1_number,
            BlockId::Slot { genesis_time, seconds } => {
                let header =
                    self.client.header_by_hash(posted.l1_hash).await.map_err(|error| error.to_string())?;
                header.inner.timestamp.saturating_sub(genesis_time) / seconds.max(1)
            }
        };
        let hashes: Vec<_> = posted.blobs.iter().map(B256::to_string).collect();
        let base = source.url.trim_end_matches('/');
        let url = format!("{base}/eth/v1/beacon/blobs/{id}?versioned_hashes={}", hashes.join(","));
        let mut answer = self.http.get(url).send().await.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("HTTP {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        answer.data.iter().map(|blob| hex::decode(blob)).collect()
    }

    async fn fetch_from(&self, source: &BlobSource, posted: &Posted) -> Result<Vec<u8>, String> {
        let found = self.ask(source, posted).await?;
        let found: Vec<_> = found.into_iter().filter(|blob| blob.len() == blobs::BLOB_BYTES).collect();
        let wanted: Vec<_> = posted.blobs.iter().map(|hash| Digest::from(hash.0)).collect();
        let (order, data) = tokio::task::spawn_blocking(move || select(&wanted, &found))
            .await
            .map_err(|error| error.to_string())??;
        if blobs::commitment(&order) != posted.batch.data_commitment {
            return Err("the batch commits to other blobs than its transaction has".to_owned());
        }
        Ok(data)
    }
}

/// Of the blobs found, those wanted, unpacked.
fn select(wanted: &[Digest], found: &[Vec<u8>]) -> Result<(Vec<Digest>, Vec<u8>), String> {
    let hashes = blobs::hashes_of_any(found);
    let blob = |hash: &Digest| {
        let at = hashes.iter().position(|found| found.as_ref() == Some(hash));
        at.map(|at| &found[at])
            .ok_or_else(|| format!("blob {} is not among {}", hex::encode(hash), found.len()))
    };
    let blobs = wanted.iter().map(blob).collect::<Result<Vec<_>, _>>()?;
    let data = blobs::unpack(&blobs).map_err(|error| error.to_string())?;
    Ok((wanted.to_vec(), data))
}

/// Blobs with what a transaction shows of them.
async fn sidecar(packed: &[blobs::Blob]) -> Result<BlobTransactionSidecarEip7594, DaError> {
    let packed = packed.to_vec();
    let (done, result) = tokio::sync::oneshot::channel();
    let work = move || {
        let packed = packed.iter().map(|blob| Blob::try_from(&blob[..]).expect("a packed blob has its size"));
        let made =
            BlobTransactionSidecarEip7594::try_from_blobs_with_settings(packed.collect(), &blobs::SETTINGS);
        let _ = done.send(made.map_err(|error| DaError::Blobs(error.to_string())));
    };
    let thread = std::thread::Builder::new().name("blobs".to_owned()).stack_size(STACK_BYTES).spawn(work);
    thread.map_err(|error| DaError::Blobs(format!("cannot start a thread: {error}")))?;
    result.await.map_err(|_| DaError::Blobs("the thread that proves them ended".to_owned()))?
}

impl Backend for Blobs {
    fn kind(&self) -> DataKind {
        DataKind::Blobs
    }

    fn store<'a>(&'a self, data: &'a [u8]) -> BoxFuture<'a, Result<Carried, DaError>> {
        Box::pin(async move {
            if data.len() > blobs::DATA_BYTES_MAX {
                return Err(DaError::TooLong { bytes: data.len(), max: blobs::DATA_BYTES_MAX });
            }
            let sidecar = sidecar(&blobs::pack(data)).await?;
            Ok(Carried { sidecar: Some(Box::new(sidecar)), ..Carried::default() })
        })
    }

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>> {
        Box::pin(async move {
            let mut tried = Vec::new();
            for source in &self.sources {
                match self.fetch_from(source, posted).await {
                    Ok(data) => return Ok(data),
                    Err(reason) => tried.push(format!("{}: {reason}", crate::client::name(&source.url))),
                }
            }
            let commitment = hex::encode(&posted.batch.data_commitment);
            let tried = if tried.is_empty() {
                "no source of blobs is configured".to_owned()
            } else {
                tried.join("; ")
            };
            Err(DaError::Missing { commitment, tried })
        })
    }
}

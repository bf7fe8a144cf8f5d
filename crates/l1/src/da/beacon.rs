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
const BLOBS_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What a beacon node says of its chain: some hundred settings.
const SPEC_BYTES_MAX: usize = 1_024 * 1_024;
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
        let genesis = get(&http, &format!("{base}/eth/v1/beacon/genesis"), SPEC_BYTES_MAX).await?;
        let spec = get(&http, &format!("{base}/eth/v1/config/spec"), SPEC_BYTES_MAX).await?;
        Ok(Self { url: url.to_owned(), block_id: slots(&genesis, &spec)? })
    }
}

/// The body of what is there, which may not be longer than `bytes_max`.
async fn get(http: &reqwest::Client, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let text = |error: reqwest::Error| error.without_url().to_string();
    let mut answer = http.get(url).send().await.map_err(text)?;
    if !answer.status().is_success() {
        return Err(format!("HTTP {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(text)? {
        if body.len() + chunk.len() > bytes_max {
            let (name, path) = (crate::client::name(url), answer.url().path());
            return Err(format!("{name}{path} answers more than {bytes_max} bytes; name another source"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// When slots began and how long they are, from the answers to both questions.
pub fn slots(genesis: &[u8], spec: &[u8]) -> Result<BlockId, String> {
    let json = |error: serde_json::Error| error.to_string();
    let genesis: Wrapped<Genesis> = serde_json::from_slice(genesis).map_err(json)?;
    let spec: Wrapped<Spec> = serde_json::from_slice(spec).map_err(json)?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    let genesis_time = number(&genesis.data.genesis_time)?;
    Ok(BlockId::Slot { genesis_time, seconds: number(&spec.data.seconds_per_slot)? })
}

/// The blobs of an answer, of any length.
pub fn blobs_in(answer: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    answer.data.iter().map(|blob| hex::decode(blob)).collect()
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
        blobs_in(&get(&self.http, &url, BLOBS_BYTES_MAX).await?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// Answers whatever it is asked with `body`, without saying how long that is. Its URL.
    async fn serve(body: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(socket.read_u8().await.unwrap());
                }
                socket.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
                // Who has enough closes the connection.
                drop(socket.write_all(&body).await);
            }
        });
        url
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        let url = serve(vec![b' '; SPEC_BYTES_MAX + 1]).await;
        let error = BlobSource::beacon(&url).await.unwrap_err();
        let expected = format!("{url}/eth/v1/beacon/genesis answers more than {SPEC_BYTES_MAX} bytes");
        assert!(error.contains(&expected), "{error}");
        let http = reqwest::Client::new();
        assert!(
            get(&http, &format!("{url}/?key=secret"), 1_000)
                .await
                .is_err_and(|error| !error.contains("secret"))
        );
        let whole = get(&http, &url, SPEC_BYTES_MAX + 1).await.unwrap();
        assert_eq!(whole.len(), SPEC_BYTES_MAX + 1);
    }

    #[tokio::test]
    async fn a_beacon_node_is_asked_for_its_slots() {
        let both = br#"{"data": {"genesis_time": "1606824023", "SECONDS_PER_SLOT": "12", "MORE": "1"}}"#;
        let source = BlobSource::beacon(&serve(both.to_vec()).await).await.unwrap();
        assert_eq!(source.block_id, BlockId::Slot { genesis_time: 1_606_824_023, seconds: 12 });
        let error = slots(both, br#"{"data": {"SECONDS_PER_SLOT": "twelve"}}"#).unwrap_err();
        assert!(error.contains("twelve"), "{error}");
    }
}

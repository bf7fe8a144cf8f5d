//! JSON-RPC to L1 over several endpoints, HTTP or WebSocket.
//!
//! A call goes to the endpoint that answered last, and to the next ones when it fails. One that fails rests, longer
//! each time, or as long as it asks for when it limits the rate. An endpoint of another chain is never used.
//! What a node of L1 says of a transaction (a revert, a nonce) is an answer, not a failure.

use alloy_eips::BlockId;
use alloy_json_rpc::{Response, ResponsePayload};
use alloy_network::Ethereum;
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, Header, Log, TransactionReceipt, TransactionRequest};
use alloy_sol_types::SolCall;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

/// How long an endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
const REST_MIN: Duration = Duration::from_millis(200);
const REST_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Error)]
pub enum L1Error {
    #[error("no endpoint of L1 answered {method}: {tried}")]
    Unreachable { method: &'static str, tried: String },
    #[error("L1 refuses {method}: {message}")]
    Refused { method: &'static str, message: String, data: Option<Bytes> },
    #[error("{endpoint} contradicts itself or the contracts: {what}")]
    Dishonest { endpoint: String, what: String },
    #[error("the endpoints of L1 do not know {0} (yet)")]
    Missing(String),
}

impl L1Error {
    /// What a revert carries.
    pub fn revert(&self) -> Option<&Bytes> {
        match self {
            Self::Refused { data, .. } => data.as_ref(),
            _ => None,
        }
    }
}

/// A call that only reads, or that sends: its errors are answers.
const ANSWERS: [&str; 3] = ["eth_call", "eth_estimateGas", "eth_sendRawTransaction"];

struct Endpoint {
    url: String,
    /// Without what may be a secret.
    name: String,
    provider: tokio::sync::Mutex<Option<RootProvider<Ethereum>>>,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

/// Why an endpoint did not answer.
enum Failure {
    /// Ask another one.
    Endpoint(String, Option<Duration>),
    /// Any would say so.
    Answer(L1Error),
}

pub struct Client {
    endpoints: Vec<Endpoint>,
    chain_id: u64,
    preferred: AtomicUsize,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.iter().map(|endpoint| &endpoint.name)).finish()
    }
}

/// Scheme, host and port: the rest of a URL is often a key.
pub(crate) fn name(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(
        |_| "an endpoint".to_owned(),
        |url| {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        },
    )
}

impl Client {
    /// Does not connect yet.
    pub fn new(urls: &[String], chain_id: u64) -> Result<Self, String> {
        if urls.is_empty() {
            return Err("no endpoint of L1; name at least one URL".to_owned());
        }
        let endpoint = |url: &String| {
            let scheme = reqwest::Url::parse(url).map(|url| url.scheme().to_owned());
            if !scheme.is_ok_and(|scheme| ["http", "https", "ws", "wss"].contains(&&scheme[..])) {
                return Err(format!(
                    "{url:?} is no URL of L1; it begins with http://, https://, ws:// or wss://"
                ));
            }
            Ok(Endpoint {
                url: url.clone(),
                name: name(url),
                provider: tokio::sync::Mutex::new(None),
                rest: Mutex::default(),
            })
        };
        let endpoints = urls.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { endpoints, chain_id, preferred: AtomicUsize::new(0) })
    }

    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The endpoint that is asked first.
    pub fn endpoint(&self) -> &str {
        &self.endpoints[self.preferred.load(Ordering::Relaxed) % self.endpoints.len()].name
    }

    pub fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// Lets the preferred endpoint rest, because what it says is of no use.
    pub fn distrust(&self, what: impl Into<String>) -> L1Error {
        let index = self.preferred.load(Ordering::Relaxed) % self.endpoints.len();
        let endpoint = &self.endpoints[index];
        endpoint.failed(None);
        self.preferred.store((index + 1) % self.endpoints.len(), Ordering::Relaxed);
        L1Error::Dishonest { endpoint: endpoint.name.clone(), what: what.into() }
    }

    /// Asks the endpoints one after the other.
    pub async fn ask<P, R>(&self, method: &'static str, params: P) -> Result<R, L1Error>
    where
        P: Serialize,
        R: DeserializeOwned,
    {
        let params = serde_json::to_value(params).expect("parameters are JSON");
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for index in (0..self.endpoints.len()).map(|offset| (first + offset) % self.endpoints.len()) {
            let endpoint = &self.endpoints[index];
            if let Some(rest) = endpoint.rests() {
                tried.push(format!("{}: rests for {} ms", endpoint.name, rest.as_millis()));
                continue;
            }
            match endpoint.ask(self.chain_id, method, &params).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Failure::Answer(error)) => return Err(error),
                Err(Failure::Endpoint(reason, rest)) => {
                    endpoint.failed(rest);
                    tried.push(format!("{}: {reason}", endpoint.name));
                }
            }
        }
        Err(L1Error::Unreachable { method, tried: tried.join("; ") })
    }

    /// Endpoints that have another block at this height. Those that do not answer say nothing.
    pub async fn disagreeing(&self, number: u64, hash: B256) -> Vec<String> {
        let params = json!([BlockNumberOrTag::Number(number), false]);
        let awake = self.endpoints.iter().filter(|endpoint| endpoint.rests().is_none());
        let asked = awake.map(async |endpoint| {
            let header = endpoint.ask::<Option<Header>>(self.chain_id, "eth_getBlockByNumber", &params).await;
            let other = header.ok()?.filter(|header| header.hash != hash)?;
            Some(format!("{} has {}", endpoint.name, other.hash))
        });
        let answers = futures::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Tells of new heads, where an endpoint can; asking from time to time is needed all the same.
    pub fn listen(self: &Arc<Self>, news: Arc<Notify>) -> Vec<JoinHandle<()>> {
        let sockets = (0..self.endpoints.len()).filter(|index| self.endpoints[*index].url.starts_with("ws"));
        let task = |index: usize| {
            let (client, news) = (self.clone(), news.clone());
            tokio::spawn(async move {
                loop {
                    let endpoint = &client.endpoints[index];
                    if let Ok(provider) = endpoint.connected(client.chain_id).await
                        && let Ok(mut heads) = provider.subscribe_blocks().await
                    {
                        while heads.recv().await.is_ok() {
                            news.notify_one();
                        }
                    }
                    tokio::time::sleep(REST_MAX / 10).await;
                }
            })
        };
        sockets.map(task).collect()
    }

    // ---- Blocks and logs ----

    pub async fn header(&self, tag: BlockNumberOrTag) -> Result<Header, L1Error> {
        let header: Option<Header> = self.ask("eth_getBlockByNumber", (tag, false)).await?;
        header.ok_or_else(|| L1Error::Missing(format!("block {tag}")))
    }

    pub async fn header_by_hash(&self, hash: B256) -> Result<Header, L1Error> {
        let header: Option<Header> = self.ask("eth_getBlockByHash", (hash, false)).await?;
        let header = header.ok_or_else(|| L1Error::Missing(format!("block {hash}")))?;
        if header.hash == hash {
            Ok(header)
        } else {
            Err(self.distrust(format!("asked for {hash}, got another")))
        }
    }

    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, L1Error> {
        self.ask("eth_getLogs", (filter,)).await
    }

    // ---- Contracts and transactions ----

    /// Calls a function that only reads, at this block.
    pub async fn read<C: SolCall>(&self, to: Address, call: &C, at: BlockId) -> Result<C::Return, L1Error> {
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        let answer: Bytes = self.ask("eth_call", (request, at)).await?;
        C::abi_decode_returns(&answer)
            .map_err(|error| self.distrust(format!("{} of {to} returns {answer}: {error}", C::SIGNATURE)))
    }

    pub async fn nonce(&self, account: Address) -> Result<u64, L1Error> {
        let nonce: U64 = self.ask("eth_getTransactionCount", (account, BlockNumberOrTag::Latest)).await?;
        Ok(nonce.to())
    }

    pub async fn balance(&self, account: Address) -> Result<U256, L1Error> {
        self.ask("eth_getBalance", (account, BlockNumberOrTag::Latest)).await
    }

    pub async fn tip(&self) -> Result<u128, L1Error> {
        let tip: U128 = self.ask("eth_maxPriorityFeePerGas", ()).await?;
        Ok(tip.to())
    }

    pub async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        let fee: U128 = self.ask("eth_blobBaseFee", ()).await?;
        Ok(fee.to())
    }

    pub async fn estimate(&self, request: &TransactionRequest) -> Result<u64, L1Error> {
        let gas: U64 = self.ask("eth_estimateGas", (request, BlockNumberOrTag::Latest)).await?;
        Ok(gas.to())
    }

    pub async fn send(&self, raw: &[u8]) -> Result<B256, L1Error> {
        self.ask("eth_sendRawTransaction", (Bytes::copy_from_slice(raw),)).await
    }

    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, L1Error> {
        self.ask("eth_getTransactionReceipt", (hash,)).await
    }

    pub async fn transaction(&self, hash: B256) -> Result<Sent, L1Error> {
        let sent: Option<Sent> = self.ask("eth_getTransactionByHash", (hash,)).await?;
        sent.ok_or_else(|| L1Error::Missing(format!("transaction {hash}")))
    }
}

/// What is needed of a transaction on L1, whatever its type.
#[derive(Clone, Debug, Deserialize)]
pub struct Sent {
    pub to: Option<Address>,
    pub input: Bytes,
}

impl Endpoint {
    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self) -> Option<Duration> {
        self.rest().until?.checked_duration_since(Instant::now())
    }

    fn failed(&self, asked_for: Option<Duration>) {
        let mut rest = self.rest();
        rest.failures = rest.failures.saturating_add(1);
        let usual = REST_MIN.saturating_mul(1 << rest.failures.min(10)).min(REST_MAX);
        rest.until =
            Some(Instant::now() + asked_for.map_or(usual, |asked| asked.max(usual).min(10 * REST_MAX)));
    }

    async fn connected(&self, chain_id: u64) -> Result<RootProvider<Ethereum>, String> {
        let mut slot = self.provider.lock().await;
        if let Some(provider) = &*slot {
            return Ok(provider.clone());
        }
        let provider = RootProvider::<Ethereum>::connect(&self.url).await.map_err(|error| brief(&error))?;
        let found: U64 =
            provider.raw_request("eth_chainId".into(), ()).await.map_err(|error| brief(&error))?;
        if found.to::<u64>() != chain_id {
            return Err(format!("is of chain {found}, not {chain_id}; name an endpoint of the right chain"));
        }
        *slot = Some(provider.clone());
        Ok(provider)
    }

    async fn ask<R: DeserializeOwned>(
        &self,
        chain_id: u64,
        method: &'static str,
        params: &Value,
    ) -> Result<R, Failure> {
        let call = async {
            let provider = self.connected(chain_id).await.map_err(|error| Failure::Endpoint(error, None))?;
            let answer = provider.raw_request::<_, Value>(method.into(), params).await;
            answer.map_err(|error| failure(method, &error))
        };
        let answer = match timeout(TIMEOUT, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Endpoint(..)) {
                    // A socket that broke does not mend by itself.
                    *self.provider.lock().await = None;
                }
                return Err(failure);
            }
            Err(_) => return Err(Failure::Endpoint(format!("silent for {} s", TIMEOUT.as_secs()), None)),
        };
        *self.rest() = Rest::default();
        decoded(answer)
    }
}

fn decoded<R: DeserializeOwned>(answer: Value) -> Result<R, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::Endpoint(format!("its answer does not decode: {error}"), None))
}

/// An answer as it comes from an endpoint, read as [`Client::ask`] reads it; for whoever throws bytes at it.
#[doc(hidden)]
pub fn read_answer<R: DeserializeOwned>(method: &'static str, answer: &str) -> Result<R, String> {
    let response: Response = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let read = match response.payload {
        ResponsePayload::Success(result) => {
            decoded(serde_json::from_str(result.get()).map_err(|error| error.to_string())?)
        }
        ResponsePayload::Failure(error) => Err(failure(method, &TransportError::ErrorResp(error))),
    };
    read.map_err(|failure| match failure {
        Failure::Endpoint(why, _) => why,
        Failure::Answer(error) => error.to_string(),
    })
}

type TransportError = alloy_provider::transport::TransportError;

fn failure(method: &'static str, error: &TransportError) -> Failure {
    use alloy_provider::transport::TransportErrorKind;
    match error {
        TransportError::ErrorResp(payload) => {
            let message = payload.message.to_string();
            // -32005 is what most providers say when too much is asked.
            let limited = payload.code == -32_005 || payload.code == 429 || message.contains("rate limit");
            if ANSWERS.contains(&method) && !limited {
                let data = payload.as_revert_data();
                return Failure::Answer(L1Error::Refused { method, message, data });
            }
            Failure::Endpoint(format!("{} ({})", message, payload.code), None)
        }
        TransportError::Transport(TransportErrorKind::HttpErrorWithRetryAfter { error, retry_after }) => {
            Failure::Endpoint(format!("HTTP {}", error.status), Some(*retry_after))
        }
        other => Failure::Endpoint(brief(other), None),
    }
}

/// In one short line, without what a body or a URL may contain.
fn brief(error: &TransportError) -> String {
    use alloy_provider::transport::TransportErrorKind;
    match error {
        TransportError::ErrorResp(payload) => format!("{} ({})", payload.message, payload.code),
        TransportError::Transport(TransportErrorKind::HttpError(error)) => format!("HTTP {}", error.status),
        TransportError::Transport(TransportErrorKind::Custom(_)) => "no connection".to_owned(),
        TransportError::DeserError { .. } => "its answer does not decode".to_owned(),
        other => {
            let text = other.to_string();
            text.lines().next().unwrap_or_default().chars().take(120).collect()
        }
    }
}

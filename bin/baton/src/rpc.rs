//! Client of a node's API: JSON-RPC over HTTP, and subscriptions over WebSocket.

use baton_types::{
    api::{ErrorData, Topic},
    receipt::{Reason, Refusal},
};
use bytes::Bytes;
use eyre::{WrapErr as _, bail, eyre};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{fmt, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, Utf8Bytes},
};

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Endpoint {
    /// API of a node.
    #[arg(long, env = "BATON_URL", default_value = "http://127.0.0.1:8545", hide_env_values = true)]
    pub url: String,
    /// File with an API token, for nodes that ask for one.
    #[arg(long, env = "BATON_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    pub token_file: Option<std::path::PathBuf>,
}

#[derive(Debug)]
pub enum CallError {
    /// The node answered, and said no.
    Refused(ErrorData),
    /// The node did not answer in time; it may still have done what was asked.
    TimedOut(String),
    /// No answer, or none that makes sense.
    Failed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(ErrorData { reason, detail, retry_after_ms }) => {
                let refusal =
                    Refusal { reason: *reason, detail: detail.clone(), retry_after_ms: *retry_after_ms };
                refusal.fmt(f)?;
                match retry_after_ms {
                    Some(ms) => write!(f, " (retry after {ms} ms)"),
                    None => Ok(()),
                }
            }
            Self::TimedOut(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CallError {}

impl CallError {
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(data) => Some(data.reason),
            Self::TimedOut(_) | Self::Failed(_) => None,
        }
    }
}

/// One node's API.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    url: String,
}

/// How long a node may take for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u32,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
    data: Option<serde_json::Value>,
}

impl From<ErrorObject> for CallError {
    fn from(error: ErrorObject) -> Self {
        match error.data.and_then(|data| serde_json::from_value(data).ok()) {
            Some(data) => Self::Refused(data),
            None => Self::Failed(format!("the node answered with error {}: {}", error.code, error.message)),
        }
    }
}

/// No parameters.
pub const NONE: Option<()> = None;

impl Endpoint {
    pub fn connect(&self) -> eyre::Result<Api> {
        let mut headers = HeaderMap::new();
        if let Some(path) = &self.token_file {
            let token = baton_node::keys::read_private(path)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| eyre!("{}: a token is one line of plain text", path.display()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Api::with_headers(&self.url, headers)
    }
}

impl Api {
    pub fn new(url: &str) -> eyre::Result<Self> {
        Self::with_headers(url, HeaderMap::new())
    }

    fn with_headers(url: &str, headers: HeaderMap) -> eyre::Result<Self> {
        if !url.starts_with("http://") {
            bail!("--url {url}: expected http://HOST:PORT; for TLS put a proxy in front");
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .no_proxy()
            .pool_max_idle_per_host(1)
            .build()
            .wrap_err("cannot set up an HTTP client")?;
        Ok(Self { http, url: url.to_owned() })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Option<impl Serialize>,
    ) -> Result<T, CallError> {
        let request = Request { jsonrpc: "2.0", id: 1, method, params };
        let body = serde_json::to_vec(&request).expect("API types have only string keys");
        let bytes = self.post(body.into()).await?;
        let response: Response<'_> = serde_json::from_slice(bytes.as_ref())
            .map_err(|error| CallError::Failed(format!("{}: not a JSON-RPC answer: {error}", self.url)))?;
        if let Some(error) = response.error {
            return Err(error.into());
        }
        let result = response.result.map_or("null", RawValue::get);
        serde_json::from_str(result)
            .map_err(|error| CallError::Failed(format!("{}: {method}: unexpected result: {error}", self.url)))
    }

    /// Posts a whole JSON-RPC request and returns the body of the answer.
    pub async fn post(&self, body: Bytes) -> Result<impl AsRef<[u8]> + use<>, CallError> {
        let response = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(CALL_TIMEOUT)
            .body(body)
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        // JSON-RPC errors come with their own body; only a foreign server answers otherwise.
        if !status.is_success() && bytes.first() != Some(&b'{') {
            let text = String::from_utf8_lossy(&bytes);
            return Err(CallError::Failed(format!("{} answered {status}: {}", self.url, text.trim())));
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        if error.is_timeout() {
            return CallError::TimedOut(format!("{} did not answer in time", self.url));
        }
        if error.is_connect() {
            return CallError::Failed(format!(
                "no node at {}: `baton devnet` starts a cluster there, --url or BATON_URL names another node",
                self.url
            ));
        }
        CallError::Failed(format!("{}: {}", self.url, innermost(error)))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Status of an ops endpoint and what it says.
pub async fn ops(url: &str, path: &str) -> Result<(bool, String), CallError> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .map_err(|error| CallError::Failed(error.to_string()))?;
    let failed = |error: reqwest::Error| CallError::Failed(innermost(&error));
    let response = http.get(format!("{url}{path}")).send().await.map_err(failed)?;
    let ready = response.status().is_success();
    Ok((ready, response.text().await.map_err(failed)?))
}

/// An open WebSocket with one subscription.
pub struct Subscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// `{"method":"baton_subscription","params":{"subscription":1,"result":…}}`
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    params: Option<NotificationParams<'a>>,
}

#[derive(Deserialize)]
struct NotificationParams<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

impl Subscription {
    pub async fn open(url: &str, topic: &Topic) -> eyre::Result<Self> {
        let url = url.replacen("http://", "ws://", 1);
        let (mut socket, _) = connect_async_with_config(url.as_str(), None, true)
            .await
            .wrap_err_with(|| format!("cannot open a WebSocket to {url}"))?;
        let request = Request { jsonrpc: "2.0", id: 1, method: "baton_subscribe", params: Some(topic) };
        let request = serde_json::to_string(&request).expect("API types have only string keys");
        socket.send(Message::text(request)).await.wrap_err("cannot subscribe")?;
        let mut subscription = Self { socket };
        let answer = subscription.text().await?.ok_or_else(|| eyre!("{url} closed before it subscribed"))?;
        let answer: Response<'_> = serde_json::from_str(&answer).wrap_err("not a JSON-RPC answer")?;
        match answer.error {
            Some(error) => Err(CallError::from(error).into()),
            None => Ok(subscription),
        }
    }

    async fn text(&mut self) -> eyre::Result<Option<Utf8Bytes>> {
        while let Some(message) = self.socket.next().await {
            match message {
                Ok(Message::Text(text)) => return Ok(Some(text)),
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error).wrap_err("the WebSocket failed"),
            }
        }
        Ok(None)
    }

    /// The next event as its JSON text; none when the node closed the connection.
    pub async fn next(&mut self) -> eyre::Result<Option<Event>> {
        while let Some(text) = self.text().await? {
            let notification: Notification<'_> =
                serde_json::from_str(&text).wrap_err("not a JSON-RPC notification")?;
            let Some(params) = notification.params else { continue };
            // The slice lies inside `text`; remember where, so that the text is not copied.
            let result = params.result.get();
            let start = result.as_ptr().addr() - text.as_str().as_ptr().addr();
            let end = start + result.len();
            return Ok(Some(Event { text, range: start..end }));
        }
        Ok(None)
    }
}

/// One event of a subscription, parsed where it lies.
pub struct Event {
    text: Utf8Bytes,
    range: std::ops::Range<usize>,
}

impl Event {
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> eyre::Result<T> {
        let json = &self.text.as_str()[self.range.clone()];
        serde_json::from_str(json).wrap_err("unexpected event")
    }
}

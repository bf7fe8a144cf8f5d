//! The HTTP server of the API. One port: POST for JSON-RPC, GET with an upgrade for WebSocket.
//!
//! Rules by request:
//! - *Too many connections* → 503 in plain text, before anything is read.
//! - *Too many requests at once, or too many bytes in them* → 503 and a JSON-RPC error `busy`; if it is
//!   this client's share that is used up, `client_limit`.
//! - *Head, body or WebSocket message too slow* → closed. A body is answered with 408 first.
//! - *Body too large* → 413 and a JSON-RPC error `too_large`.
//! - `/rollup/<name>` of no rollup → 404 and a JSON-RPC error `unknown_rollup`.
//! - *JSON-RPC errors* → 200, as usual for JSON-RPC.
//! - *A browser* → the explorer.
//!
//! The cluster's methods are the same on every path. Those of Ethereum are about the rollup of the path, on
//! `/` about the first EVM rollup.

mod access;
mod explorer;
mod gate;
mod intake;
pub mod ops;
mod ws;

#[cfg(test)]
mod tests;

use crate::{
    api::{Api, Caller},
    config::ServerConfig,
    dispatch::{self, Dispatcher, Failure},
    methods,
    metrics::Metrics,
    session::{Budget, Places},
    shares::{Share, Shares},
};
use access::Access;
use axum::{
    Router,
    body::Body,
    extract::{
        ConnectInfo, FromRequestParts as _, Path, Request, State, connect_info::Connected,
        ws::WebSocketUpgrade,
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{any, get},
    serve::IncomingStream,
};
use baton_types::receipt::{Reason, Refusal};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use gate::Gate;
use intake::Intake;
use std::{
    future::{Future, IntoFuture as _},
    io,
    net::SocketAddr,
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

const ABOUT: &str = "Baton node. JSON-RPC 2.0 by POST or over a WebSocket on this address; the method \
    rpc.discover lists all methods. A browser shows the cluster here.\n";

/// Of each WebSocket and direction, used or not.
const WEBSOCKET_BUFFER_BYTES: usize = 8 * 1024;
/// What a client is told to wait when the server is full.
const RETRY_MS: u64 = 200;

/// Everything requests share. Over any state, so that the server is tested without a cluster.
pub(crate) struct Server<S> {
    pub(crate) state: S,
    pub(crate) dispatcher: Dispatcher<S>,
    /// The state behind the path of a rollup.
    pub(crate) at: fn(&S, &str) -> Result<S, Refusal>,
    pub(crate) config: ServerConfig,
    access: Access,
    requests: Arc<Semaphore>,
    requests_shares: Arc<Shares>,
    requests_bytes: Budget,
    requests_bytes_shares: Arc<Shares>,
    subscriptions: Arc<Semaphore>,
    subscriptions_shares: Arc<Shares>,
    queue: Budget,
    stopped: watch::Receiver<bool>,
}

/// Serves the API until `shutdown` resolves; then no connection is accepted, and requests in progress
/// get a moment to end.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let metrics = api.metrics.clone();
    let dispatcher = Dispatcher::new(methods::table().clone(), config.limits.clone(), metrics);
    serve_over(listener, api, dispatcher, Api::at, config, shutdown).await
}

pub(crate) async fn serve_over<S: Clone + Send + Sync + 'static>(
    listener: TcpListener,
    state: S,
    dispatcher: Dispatcher<S>,
    at: fn(&S, &str) -> Result<S, Refusal>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let limits = config.limits.clone();
    limits.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (stop, stopped) = watch::channel(false);
    let requests_bytes = Budget::new(limits.requests_bytes_max);
    let gate = Gate::new(listener, &limits, requests_bytes.clone(), dispatcher.metrics().clone());
    let shares = |all| Shares::new(all, limits.client_share_percent);
    let connections = gate.connections();
    let server = Arc::new(Server {
        state,
        at,
        access: Access::new(&config),
        requests: Arc::new(Semaphore::new(limits.requests_max)),
        requests_shares: shares(limits.requests_max),
        requests_bytes,
        requests_bytes_shares: shares(limits.requests_bytes_max),
        subscriptions: Arc::new(Semaphore::new(limits.subscriptions_max)),
        subscriptions_shares: shares(limits.subscriptions_max),
        queue: Budget::new(limits.queue_bytes_max),
        stopped: stopped.clone(),
        dispatcher,
        config,
    });
    let router = Router::new()
        .route("/", any(root::<S>))
        .route("/rollup/{name}", any(rollup::<S>))
        .route("/explorer/{file}", get(explorer_file))
        .fallback(|| async { (StatusCode::NOT_FOUND, ABOUT) })
        .with_state(server);
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let service = router.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(gate, service).with_graceful_shutdown(signal).into_future();
    let ended = async {
        let served = serving.await;
        // Upgraded connections outlive their HTTP request; each holds a permit until it is closed.
        drop(connections.all().await);
        served
    };
    let deadline = async move {
        let mut stopped = stopped;
        // An error means that the sender is gone, which is as good as stopped.
        stopped.wait_for(|stopped| *stopped).await.ok();
        tokio::time::sleep(limits.shutdown_timeout()).await;
    };
    tokio::select! {
        served = ended => served,
        () = deadline => Ok(()),
    }
}

/// The other end of a connection.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    intake: Arc<Intake>,
}

impl Connected<IncomingStream<'_, Gate>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        Self { address: *stream.remote_addr(), intake: stream.io().intake().clone() }
    }
}

async fn root<S: Clone + Send + Sync + 'static>(
    State(server): State<Arc<Server<S>>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let state = server.state.clone();
    server.respond(state, peer, request).await
}

async fn explorer_file(
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    peer.intake.request_begins();
    let response = explorer::file(&name, &headers);
    peer.intake.request_ends();
    response
}

async fn rollup<S: Clone + Send + Sync + 'static>(
    State(server): State<Arc<Server<S>>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    match (server.at)(&server.state, &name) {
        Ok(state) => server.respond(state, peer, request).await,
        Err(refusal) => {
            let mut response = refused(StatusCode::NOT_FOUND, refusal);
            server.access.allow(request.headers(), response.headers_mut());
            response
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Server<S> {
    async fn respond(self: Arc<Self>, state: S, peer: Peer, request: Request) -> Response {
        peer.intake.request_begins();
        let intake = peer.intake.clone();
        let response = self.route(state, peer, request).await;
        intake.request_ends();
        response
    }

    async fn route(self: Arc<Self>, state: S, peer: Peer, request: Request) -> Response {
        let key = self.access.client_key(peer.address, request.headers());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = match *request.method() {
            Method::POST => self.post(&state, key, request).await,
            Method::GET if request.headers().contains_key(header::UPGRADE) => {
                return self.upgrade(state, key, peer.intake, request).await;
            }
            Method::GET if explorer::wanted(request.headers()) => explorer::page(request.headers()),
            Method::GET => ABOUT.into_response(),
            Method::OPTIONS => self.access.preflight(),
            _ => {
                let allow = [(header::ALLOW, "GET, POST, OPTIONS")];
                (StatusCode::METHOD_NOT_ALLOWED, allow, ABOUT).into_response()
            }
        };
        self.access.allow_origin(origin.as_ref(), response.headers_mut());
        response
    }

    async fn post(&self, state: &S, key: Arc<str>, request: Request) -> Response {
        let Ok(_permit) = self.requests.try_acquire() else {
            return busy(&format!("{} requests are in progress", self.config.limits.requests_max));
        };
        let Some(_share) = self.requests_shares.take(&key, 1) else {
            return over_share(&format!(
                "{} requests of this client are in progress",
                self.requests_shares.max()
            ));
        };
        let max = self.config.limits.request_bytes_max;
        let declared = declared_length(&request);
        if declared.is_some_and(|length| length > max) {
            return too_large(max);
        }
        let (_budget, _bytes_share) = match self.set_aside(&key, declared.unwrap_or(max)) {
            Ok(held) => held,
            Err(response) => return *response,
        };
        let timeout = self.config.limits.request_timeout();
        let body = match tokio::time::timeout(timeout, read(request.into_body(), declared, max)).await {
            Ok(Ok(body)) => body,
            Ok(Err(Unread::TooLarge)) => return too_large(max),
            Ok(Err(Unread::Broken)) => {
                let refusal = Refusal::new(Reason::BadRequest, "the body did not arrive whole");
                return refused(StatusCode::BAD_REQUEST, refusal);
            }
            Err(_) => {
                let detail = format!("the body took over {} ms to arrive", timeout.as_millis());
                return refused(StatusCode::REQUEST_TIMEOUT, Refusal::new(Reason::BadRequest, detail));
            }
        };
        let Ok(text) = std::str::from_utf8(&body) else {
            let refusal = Refusal::new(Reason::BadRequest, "not JSON: the body is not UTF-8");
            return json(
                StatusCode::OK,
                dispatch::error_reply("null", &Failure::Refused { code: dispatch::PARSE_ERROR, refusal }),
            );
        };
        match self.dispatcher.answer(state, &Caller::new(key), text).await {
            Some(reply) => json(StatusCode::OK, reply),
            None => StatusCode::NO_CONTENT.into_response(),
        }
    }

    /// Memory for the body of a request.
    fn set_aside(
        &self,
        key: &Arc<str>,
        bytes: usize,
    ) -> Result<(OwnedSemaphorePermit, Share), Box<Response>> {
        let budget = self.requests_bytes.try_take(bytes).ok_or_else(|| {
            Box::new(busy("the requests in progress take all the memory set aside for them"))
        })?;
        let share = self.requests_bytes_shares.take(key, bytes).ok_or_else(|| {
            let max = self.requests_bytes_shares.max();
            Box::new(over_share(&format!("requests of this client in progress take {max} bytes")))
        })?;
        Ok((budget, share))
    }

    async fn upgrade(
        self: Arc<Self>,
        state: S,
        key: Arc<str>,
        intake: Arc<Intake>,
        request: Request,
    ) -> Response {
        // Browsers let any page open a WebSocket, so CORS is enforced here.
        if !self.access.admits(request.headers()) {
            let detail =
                "web pages of this origin may not use this node; its operator lists them in rpc.cors\n";
            return (StatusCode::FORBIDDEN, detail).into_response();
        }
        let (mut parts, _) = request.into_parts();
        let max = self.config.limits.request_bytes_max;
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade
                .max_message_size(max)
                .max_frame_size(max)
                .read_buffer_size(WEBSOCKET_BUFFER_BYTES)
                .write_buffer_size(WEBSOCKET_BUFFER_BYTES)
                .on_upgrade(move |socket| {
                    intake.upgraded();
                    ws::run(self, state, key, intake, socket)
                }),
            Err(rejection) => rejection.into_response(),
        }
    }
}

fn declared_length(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

enum Unread {
    TooLarge,
    Broken,
}

/// Bodies in one piece, which is most of them, are not copied.
async fn read(body: Body, declared: Option<usize>, max: usize) -> Result<Bytes, Unread> {
    let mut stream = body.into_data_stream();
    let first = match stream.next().await {
        None => return Ok(Bytes::new()),
        Some(first) => first.map_err(|_| Unread::Broken)?,
    };
    if declared == Some(first.len()) {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(declared.unwrap_or(0).max(first.len()));
    let mut next = Some(first);
    while let Some(piece) = next {
        if all.len() + piece.len() > max {
            return Err(Unread::TooLarge);
        }
        all.extend_from_slice(&piece);
        next = stream.next().await.transpose().map_err(|_| Unread::Broken)?;
    }
    Ok(all.freeze())
}

fn json(status: StatusCode, text: String) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

fn refused(status: StatusCode, refusal: Refusal) -> Response {
    let retry_after = refusal.retry_after_ms.map(|ms| HeaderValue::from(ms.div_ceil(1_000)));
    let mut response = json(status, dispatch::error_reply("null", &refusal.into()));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn busy(detail: &str) -> Response {
    let refusal = Refusal::new(Reason::Busy, format!("{detail}; retry in a moment"));
    refused(StatusCode::SERVICE_UNAVAILABLE, refusal.retry_after(RETRY_MS))
}

fn over_share(detail: &str) -> Response {
    let refusal = Refusal::new(Reason::ClientLimit, format!("{detail}; wait for their answers"));
    refused(StatusCode::TOO_MANY_REQUESTS, refusal.retry_after(RETRY_MS))
}

fn too_large(max: usize) -> Response {
    let detail = format!("a request may have {max} bytes; send several smaller ones");
    refused(StatusCode::PAYLOAD_TOO_LARGE, Refusal::new(Reason::TooLarge, detail))
}

impl<S: Sync> Server<S> {
    pub(crate) fn places(&self) -> Places {
        Places { all: self.subscriptions.clone(), shares: self.subscriptions_shares.clone() }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        self.dispatcher.metrics()
    }
}

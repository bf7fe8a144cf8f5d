//! The operator's HTTP endpoints, on a port of their own.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process serves requests |
//! | `/readyz` | 200, or 503 and why the node does not do its work |
//! | `/metrics` | Prometheus text |

use super::gate::Gate;
use crate::{api::HealthSource, config::Limits, metrics::Metrics, session::Budget};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use std::{
    future::{Future, IntoFuture as _},
    io,
    sync::Arc,
};
use tokio::net::TcpListener;

/// Monitoring needs a handful.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// What the endpoints show.
#[derive(Clone)]
pub struct Ops {
    pub health: HealthSource,
    /// All metrics of the node as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves the endpoints until `shutdown` resolves.
pub async fn serve_ops(
    listener: TcpListener,
    ops: Ops,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // One collector may be all there is.
    let limits = Limits { connections_max: CONNECTIONS_MAX, client_share_percent: 100, ..Limits::default() };
    // Its connections do not count among those of the API.
    let budget = Budget::new(limits.requests_bytes_max);
    let counts = Arc::new(Metrics::new(std::iter::empty()));
    let gate = Gate::new(listener, &limits, budget, counts.clone());
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "paths: /livez /readyz /metrics\n") })
        .with_state((ops, counts));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let signal = async move {
        shutdown.await;
        // The receiver goes only when the server has ended.
        stop.send(()).ok();
    };
    let serving = axum::serve(gate, router).with_graceful_shutdown(signal).into_future();
    let deadline = async {
        stopped.await.ok();
        tokio::time::sleep(limits.shutdown_timeout()).await;
    };
    tokio::select! {
        served = serving => served,
        () = deadline => Ok(()),
    }
}

type Shown = State<(Ops, Arc<Metrics>)>;

async fn ready(State((ops, _)): Shown) -> Response {
    let health = ops.health.borrow().clone();
    if health.ready {
        return "ready\n".into_response();
    }
    let reason = health.reason.unwrap_or_else(|| "not ready".to_owned());
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// Those of this port are added.
async fn metrics(State((ops, counts)): Shown) -> Response {
    let text = (ops.metrics)() + &counts.connections_text("baton_ops");
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

//! The API of a node: JSON-RPC 2.0 over HTTP and WebSocket, and the operator's HTTP endpoints.
//!
//! ```text
//!  TCP ─► Gate ─► axum ─┬─ POST ────────► Dispatcher ─► Table ─► method(Api, Caller, params) ─► Client
//!       (connections,   ├─ GET ─► explorer    ▲                        │
//!        idle, stalled) └─ WebSocket ─────────┘                        ▼ baton_subscribe
//!                             ▲                                      Session
//!                             └── writer ◄── Outbox (bounded) ◄── pump per subscription ◄── events, blocks
//! ```
//!
//! - One table ([`methods::table`]) names every method with its parameters and result. Dispatch,
//!   `rpc.discover` and the committed document are made from it.
//! - A method is an async function of [`Api`], [`Caller`] and its parameters; the simulator calls it
//!   without HTTP.
//! - Every queue, request and connection has a limit in [`Limits`]. A subscriber that does not read
//!   makes its pump wait, and nobody else: the events it misses are counted (`blocks`) or read again by
//!   height (`rollup`).
//!
//! Deliberately absent: state of its own. Whatever a method answers it asks of the node at that moment.

pub mod api;
mod blocks;
pub mod config;
pub mod dispatch;
pub mod eth;
pub mod methods;
pub mod metrics;
pub mod openrpc;
mod pumps;
pub mod server;
pub mod session;
mod shares;

pub use api::{Api, Caller, Facts, Health, HealthSource, PeersSource};
pub use config::{Cors, Limits, ServerConfig, Token};
pub use server::{
    ops::{Ops, serve_ops},
    serve,
};

#[cfg(test)]
mod testing;

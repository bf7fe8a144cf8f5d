//! Limits and settings of the server.

use crate::eth::EthLimits;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use thiserror::Error;

/// What bounds the API. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Body of one HTTP request, or one WebSocket message.
    pub request_bytes_max: usize,
    /// Bodies and messages of all requests in progress.
    pub requests_bytes_max: usize,
    /// Calls in one JSON-RPC batch.
    pub batch_calls_max: usize,
    /// Once the replies of a batch are larger, its remaining calls are refused.
    pub response_bytes_max: usize,
    /// Transactions in one `baton_submitBatch`.
    pub submit_transactions_max: usize,
    /// Blocks that one `baton_rollupBlocks` looks at.
    pub rollup_blocks_max: u64,
    pub connections_max: usize,
    /// What one client may have of all connections, requests, bytes in them and subscriptions.
    pub client_share_percent: usize,
    /// HTTP requests and WebSocket messages in progress.
    pub requests_max: usize,
    /// WebSocket messages in progress on one connection; further ones are not read yet.
    pub connection_requests_max: usize,
    pub subscriptions_max: usize,
    pub connection_subscriptions_max: usize,
    /// Waiting to be written to all WebSocket connections.
    pub queue_bytes_max: usize,
    /// Waiting to be written to one WebSocket connection.
    pub connection_queue_bytes_max: usize,
    /// A connection on which nothing moves for so long is closed.
    pub idle_timeout_ms: u64,
    /// A peer that takes nothing of what is written to it for so long is dropped.
    pub stall_timeout_ms: u64,
    /// How long a request may take to arrive, and again to be answered.
    pub request_timeout_ms: u64,
    /// How long requests in progress may take to end when the node stops.
    pub shutdown_timeout_ms: u64,
    /// Of the methods of EVM rollups.
    pub eth: EthLimits,
}

/// What one connection takes at most, besides what `requests_bytes_max` and `queue_bytes_max` count.
pub const CONNECTION_BYTES_MAX: usize = 40 * 1024;

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 8 * MIB,
            requests_bytes_max: 128 * MIB,
            batch_calls_max: 100,
            response_bytes_max: 64 * MIB,
            submit_transactions_max: 10_000,
            rollup_blocks_max: 1_000,
            connections_max: 1_024,
            client_share_percent: 50,
            requests_max: 512,
            connection_requests_max: 32,
            subscriptions_max: 1_024,
            connection_subscriptions_max: 16,
            queue_bytes_max: 128 * MIB,
            connection_queue_bytes_max: 4 * MIB,
            idle_timeout_ms: 120_000,
            stall_timeout_ms: 30_000,
            request_timeout_ms: 30_000,
            shutdown_timeout_ms: 5_000,
            eth: EthLimits::default(),
        }
    }
}

/// A limit that cannot stand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key} = {value}: {allowed}")]
pub struct InvalidLimit {
    pub key: &'static str,
    pub value: u64,
    pub allowed: String,
}

impl Limits {
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let gib = count(1024 * MIB);
        let cases = [
            ("request_bytes_max", count(self.request_bytes_max), 1_024, gib),
            ("requests_bytes_max", count(self.requests_bytes_max), count(self.request_bytes_max), 64 * gib),
            ("batch_calls_max", count(self.batch_calls_max), 1, 10_000),
            ("response_bytes_max", count(self.response_bytes_max), 1_024, gib),
            ("submit_transactions_max", count(self.submit_transactions_max), 1, 1_000_000),
            ("rollup_blocks_max", self.rollup_blocks_max, 1, 100_000),
            ("connections_max", count(self.connections_max), 1, 1_000_000),
            ("client_share_percent", count(self.client_share_percent), 1, 100),
            ("requests_max", count(self.requests_max), 1, 1_000_000),
            ("connection_requests_max", count(self.connection_requests_max), 1, 10_000),
            ("subscriptions_max", count(self.subscriptions_max), 1, 1_000_000),
            ("connection_subscriptions_max", count(self.connection_subscriptions_max), 1, 1_000_000),
            ("queue_bytes_max", count(self.queue_bytes_max), 1_024, 64 * gib),
            ("connection_queue_bytes_max", count(self.connection_queue_bytes_max), 1_024, gib),
            ("idle_timeout_ms", self.idle_timeout_ms, 100, 86_400_000),
            ("stall_timeout_ms", self.stall_timeout_ms, 100, 86_400_000),
            ("request_timeout_ms", self.request_timeout_ms, 100, 86_400_000),
            ("shutdown_timeout_ms", self.shutdown_timeout_ms, 1, 600_000),
        ];
        let mut all = cases.into_iter().chain(self.eth.ranges());
        match all.find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            None => Ok(()),
            Some((key, value, min, max)) => {
                Err(InvalidLimit { key, value, allowed: format!("{min} to {max}") })
            }
        }
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) const fn stall_timeout(&self) -> Duration {
        Duration::from_millis(self.stall_timeout_ms)
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) const fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }
}

/// Which web pages may use the API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// Only those this node serves itself.
    #[default]
    Own,
    /// All.
    Any,
    /// Those of these origins, as `https://host[:port]`.
    Origins(Vec<String>),
}

impl Cors {
    /// `"*"` in the list opens the API to every page.
    pub fn from_list(origins: Vec<String>) -> Self {
        if origins.iter().any(|origin| origin == "*") {
            Self::Any
        } else if origins.is_empty() {
            Self::Own
        } else {
            Self::Origins(origins)
        }
    }
}

/// A client that has limits of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub secret: String,
}

impl fmt::Debug for Token {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.name)
    }
}

#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    pub limits: Limits,
    pub cors: Cors,
    pub tokens: Vec<Token>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_key_value_and_range() {
        fn check(change: impl FnOnce(&mut Limits), expect: Result<(), &str>) {
            let mut limits = Limits::default();
            change(&mut limits);
            assert_eq!(limits.check().map_err(|error| error.to_string()), expect.map_err(str::to_owned));
        }
        check(|_| (), Ok(()));
        check(|limits| limits.batch_calls_max = 0, Err("batch_calls_max = 0: 1 to 10000"));
        check(|limits| limits.idle_timeout_ms = 99, Err("idle_timeout_ms = 99: 100 to 86400000"));
        check(
            |limits| limits.requests_bytes_max = 1_024,
            Err("requests_bytes_max = 1024: 8388608 to 68719476736"),
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = Token { name: "bench".to_owned(), secret: "hush".to_owned() };
        assert_eq!(format!("{token:?}"), "Token(bench)");
    }

    #[test]
    fn cors_from_a_list() {
        assert_eq!(Cors::from_list(vec![]), Cors::Own);
        assert_eq!(Cors::from_list(vec!["https://a".to_owned(), "*".to_owned()]), Cors::Any);
        assert_eq!(
            Cors::from_list(vec!["https://a".to_owned()]),
            Cors::Origins(vec!["https://a".to_owned()])
        );
    }
}

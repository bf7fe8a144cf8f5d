//! What bounds the methods of EVM rollups.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EthLimits {
    /// Gas of one call or of one step of an estimate.
    pub call_gas_max: u64,
    /// Calls, estimates, proofs and traces of one rollup that run at the same time.
    pub calls_max: usize,
    /// Blocks that one query of logs looks at.
    pub logs_blocks_max: u64,
    /// Logs in one answer.
    pub logs_max: usize,
    pub filters_max: usize,
    /// A filter that is not asked for so long is gone.
    pub filter_idle_ms: u64,
    /// What one trace may record.
    pub trace_bytes_max: usize,
}

impl Default for EthLimits {
    fn default() -> Self {
        Self {
            call_gas_max: 50_000_000,
            calls_max: 4,
            logs_blocks_max: 10_000,
            logs_max: 20_000,
            filters_max: 1_024,
            filter_idle_ms: 300_000,
            trace_bytes_max: 32 * 1024 * 1024,
        }
    }
}

impl EthLimits {
    /// Key, value, least and most.
    pub(crate) fn ranges(&self) -> [(&'static str, u64, u64, u64); 7] {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        [
            ("eth.call_gas_max", self.call_gas_max, 21_000, 1_000_000_000_000),
            ("eth.calls_max", count(self.calls_max), 1, 1_024),
            ("eth.logs_blocks_max", self.logs_blocks_max, 1, 10_000_000),
            ("eth.logs_max", count(self.logs_max), 1, 10_000_000),
            ("eth.filters_max", count(self.filters_max), 1, 1_000_000),
            ("eth.filter_idle_ms", self.filter_idle_ms, 100, 86_400_000),
            ("eth.trace_bytes_max", count(self.trace_bytes_max), 1_024, 1024 * 1024 * 1024),
        ]
    }

    pub(crate) const fn filter_idle(&self) -> Duration {
        Duration::from_millis(self.filter_idle_ms)
    }
}

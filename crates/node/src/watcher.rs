//! Looks at the node and its machine all the time: what `/readyz` says, and the gauges that say the same.

use crate::{
    config::NodeConfig,
    disk,
    health::{NAMES, Sight, Unready},
    run::now_ms,
};
use ::tokio::{
    sync::watch,
    time::{Duration, interval},
};
use baton_consensus::Client;
use baton_rpc::Health;
use baton_types::{Genesis, PublicKey};
use commonware_runtime::{Metrics as _, tokio};
use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{info, warn};

const INTERVAL: Duration = Duration::from_millis(250);
/// Every so many looks, those that cost more are taken.
const COSTLY_EVERY: u32 = 4;
/// The transport's gauge with one entry per connected member.
const CONNECTED: &str = "network_tracker_directory_connected{";

/// The last look, for metrics.
#[derive(Debug, Default)]
pub struct Gauges(Mutex<Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Name of the reason; none when ready.
    unready: Option<&'static str>,
    finalized_age_ms: u64,
    disk_free_bytes: Option<u64>,
}

impl Gauges {
    /// As Prometheus text.
    pub fn text(&self) -> String {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let plain = |value: u64| vec![(String::new(), value)];
        gauge("baton_ready", "Whether the node does its work.", &plain(u64::from(seen.unready.is_none())));
        let reasons: Vec<_> = NAMES
            .iter()
            .map(|name| (format!("{{reason=\"{name}\"}}"), u64::from(seen.unready == Some(*name))))
            .collect();
        gauge("baton_not_ready", "Why it does not, as /readyz says it.", &reasons);
        gauge(
            "baton_finalized_age_ms",
            "Since the last finalization that this node saw, or since it started.",
            &plain(seen.finalized_age_ms),
        );
        if let Some(free) = seen.disk_free_bytes {
            gauge("baton_disk_free_bytes", "Free on the disk of data_dir.", &plain(free));
        }
        out
    }
}

pub struct Watcher {
    pub gauges: Arc<Gauges>,
    client: Client,
    me: PublicKey,
    members: u32,
    leader_timeout_ms: u64,
    disk_free_bytes_min: u64,
    data_dir: PathBuf,
    metrics: tokio::Context,
    started_ms: u64,
    sender: watch::Sender<Health>,
}

impl Watcher {
    pub fn new(
        config: &NodeConfig,
        genesis: &Genesis,
        me: PublicKey,
        client: Client,
        metrics: tokio::Context,
    ) -> (Self, watch::Receiver<Health>) {
        let (sender, health) = watch::channel(Health::not_ready("starting"));
        let gauges = Arc::new(Gauges::default());
        gauges.0.lock().unwrap_or_else(PoisonError::into_inner).unready = Some("starting");
        let watcher = Self {
            gauges,
            client,
            me,
            members: u32::try_from(genesis.members.len()).unwrap_or(u32::MAX),
            leader_timeout_ms: genesis.timing.leader_timeout_ms,
            disk_free_bytes_min: config.storage.free_bytes_min,
            data_dir: config.data_dir.clone(),
            metrics,
            started_ms: now_ms(),
            sender,
        };
        (watcher, health)
    }

    pub async fn run(self) {
        let mut ticks = interval(INTERVAL);
        let (mut connected, mut disk_free_bytes) = (None, None);
        for look in (0..COSTLY_EVERY).cycle() {
            ticks.tick().await;
            let live = self.client.live();
            let mut sight = Sight {
                live: &live,
                me: &self.me,
                now_ms: now_ms(),
                members: self.members,
                leader_timeout_ms: self.leader_timeout_ms,
                connected,
                disk_free_bytes,
                disk_free_bytes_min: self.disk_free_bytes_min,
            };
            if look == 0 {
                disk_free_bytes = disk::free_bytes(&self.data_dir).ok();
                // The whole text for a few lines of it, so only when they matter.
                connected = sight.pauses().then(|| connections(&self.metrics.encode()));
                (sight.connected, sight.disk_free_bytes) = (connected, disk_free_bytes);
            }
            self.note(&sight, sight.judge());
        }
    }

    fn note(&self, sight: &Sight<'_>, judged: Result<(), Unready>) {
        let since =
            if sight.live.finalized_time_ms == 0 { self.started_ms } else { sight.live.finalized_time_ms };
        *self.gauges.0.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
            unready: judged.as_ref().err().map(|unready| unready.name),
            finalized_age_ms: sight.now_ms.saturating_sub(since),
            disk_free_bytes: sight.disk_free_bytes,
        };
        let now = judged.map_or_else(|unready| Health::not_ready(unready.reason), |()| Health::ready());
        self.sender.send_if_modified(|before| {
            let changed = before.ready != now.ready;
            if changed && !now.ready {
                warn!(reason = now.reason, "not ready");
            } else if changed {
                info!("ready: finalizing");
            }
            std::mem::replace(before, now.clone()) != now
        });
    }
}

fn connections(metrics: &str) -> u32 {
    u32::try_from(metrics.lines().filter(|line| line.starts_with(CONNECTED)).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_name_the_one_reason() {
        let gauges = Gauges::default();
        *gauges.0.lock().unwrap() =
            Seen { unready: Some("disk"), finalized_age_ms: 7, disk_free_bytes: Some(9) };
        let text = gauges.text();
        for line in [
            "baton_ready 0\n",
            "baton_not_ready{reason=\"disk\"} 1\n",
            "baton_not_ready{reason=\"no_share\"} 0\n",
            "baton_finalized_age_ms 7\n",
            "baton_disk_free_bytes 9\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}

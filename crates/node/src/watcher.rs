//! Looks at the node and its machine all the time: what `/readyz` says, and the gauges that say the same.

use crate::{
    auditor::{Audit, Board, Standing},
    config::NodeConfig,
    disk,
    health::{NAMES, Sight, Unready},
    run::now_ms,
    settlement::{self, Settling},
};
use ::tokio::{
    sync::watch,
    time::{Duration, interval},
};
use baton_consensus::Client;
use baton_rpc::{Health, HealthSource, PeersSource};
use baton_types::{Genesis, PublicKey};
use commonware_runtime::{Metrics as _, tokio};
use std::{
    collections::BTreeSet,
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

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Name of the reason; none when ready.
    unready: Option<&'static str>,
    finalized_age_ms: u64,
    disk_free_bytes: Option<u64>,
    audit: Option<Audit>,
    l1: Option<settlement::Gauges>,
}

impl Gauges {
    /// As Prometheus text.
    pub fn text(&self) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        if let Some(audit) = &seen.audit {
            let of = |value: u64| vec![(format!("{{rollup=\"{}\"}}", audit.rollup), value)];
            let agrees = u64::from(audit.standing == Standing::Agrees);
            let differs = u64::from(matches!(audit.standing, Standing::Differs(_)));
            gauge(
                "baton_audit_block",
                "Last block that the auditing client found the same.",
                &of(audit.number),
            );
            gauge("baton_audit_agrees", "Whether it can be asked, and has found nothing else.", &of(agrees));
            gauge("baton_audit_differs", "Whether it has found another result.", &of(differs));
        }
        if let Some(l1) = &seen.l1 {
            gauge("baton_l1_block", "Newest block of L1 that this node has seen.", &l1.blocks);
            gauge("baton_l1_reorgs", "Reorgs of L1 since the node started.", &plain(l1.reorgs));
            gauge("baton_l1_failures", "Times in a row that L1 could not be followed.", &plain(l1.failures));
            gauge("baton_l1_batches", "Batches that the rollup's inbox has.", &l1.batches);
            gauge("baton_l1_posted_height", "Last block that is in a batch there.", &l1.heights);
            if let Some(spent) = l1.spent_gwei {
                gauge("baton_l1_spent_gwei", "Spent on posting in the last 24 hours.", &plain(spent));
                gauge("baton_l1_degraded", "Whether this node has stopped posting.", &l1.degraded);
            }
        }
        out
    }
}

pub struct Watcher {
    pub gauges: Arc<Gauges>,
    client: Client,
    l1: Option<Settling>,
    me: PublicKey,
    members: u32,
    leader_timeout_ms: u64,
    disk_free_bytes_min: u64,
    data_dir: PathBuf,
    audit: Option<Arc<Board>>,
    metrics: tokio::Context,
    started_ms: u64,
    sender: watch::Sender<Health>,
    peers: watch::Sender<Option<BTreeSet<PublicKey>>>,
    identities: Vec<PublicKey>,
}

impl Watcher {
    pub fn new(
        config: &NodeConfig,
        genesis: &Genesis,
        me: PublicKey,
        client: Client,
        l1: Option<Settling>,
        audit: Option<Arc<Board>>,
        metrics: tokio::Context,
    ) -> (Self, HealthSource, PeersSource) {
        let (sender, health) = watch::channel(Health::not_ready("starting"));
        let (peers, peers_source) = watch::channel(None);
        let gauges = Arc::new(Gauges::default());
        gauges.0.lock().unwrap_or_else(PoisonError::into_inner).unready = Some("starting");
        let watcher = Self {
            gauges,
            client,
            l1,
            me,
            members: u32::try_from(genesis.members.len()).unwrap_or(u32::MAX),
            leader_timeout_ms: genesis.timing.leader_timeout_ms,
            disk_free_bytes_min: config.storage.free_bytes_min,
            data_dir: config.data_dir.clone(),
            audit,
            metrics,
            started_ms: now_ms(),
            sender,
            peers,
            identities: genesis.members.iter().filter_map(|member| member.identity().ok()).collect(),
        };
        (watcher, health, peers_source)
    }

    pub async fn run(self) {
        let mut ticks = interval(INTERVAL);
        let (mut connected, mut disk_free_bytes) = (None, None);
        for look in (0..COSTLY_EVERY).cycle() {
            ticks.tick().await;
            let live = self.client.live();
            let executions: Vec<_> = self.client.executions().map(|execution| execution.status()).collect();
            let settlement = self.l1.as_ref().and_then(Settling::trouble).or_else(|| missing(&self.client));
            let audit = self.audit.as_ref().map(|board| board.audit());
            let mut sight = Sight {
                live: &live,
                executions: &executions,
                settlement: settlement.as_ref(),
                audit: audit.as_ref(),
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
                // The whole text for a few lines of it, so only when they matter, or somebody looks.
                let watched = self.peers.receiver_count() > 1;
                let peers = (watched || sight.pauses())
                    .then(|| connections(&self.metrics.encode(), &self.identities));
                connected = peers.as_ref().map(|peers| u32::try_from(peers.len()).unwrap_or(u32::MAX));
                self.peers.send_replace(peers);
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
            audit: sight.audit.cloned(),
            l1: self.l1.as_ref().map(Settling::gauges),
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

/// Why this node can do nothing for the batches of a rollup.
fn missing(client: &Client) -> Option<Unready> {
    let (rollup, trouble) = client.batches()?.trouble()?;
    Some(Unready { name: "batches_missing", reason: format!("batches of rollup {rollup}: {trouble}") })
}

/// The members that the transport's gauge names.
fn connections(metrics: &str, members: &[PublicKey]) -> BTreeSet<PublicKey> {
    let named: BTreeSet<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(CONNECTED)?.strip_prefix("peer=\"")?.split('"').next())
        .collect();
    members.iter().filter(|member| named.contains(member.to_string().as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_types::PrivateKey;
    use commonware_cryptography::Signer as _;

    #[test]
    fn connections_are_those_that_the_gauge_names() {
        let members: Vec<_> = (0..3).map(|seed| PrivateKey::from_seed(seed).public_key()).collect();
        let line = |member: &PublicKey| format!("{CONNECTED}peer=\"{member}\"}} 1700000000000\n");
        let text = format!("{}other{{peer=\"{}\"}} 1\n{}", line(&members[2]), members[1], line(&members[0]));
        let expect = [members[0].clone(), members[2].clone()].into();
        assert_eq!(connections(&text, &members), expect);
    }

    #[test]
    fn gauges_name_the_one_reason() {
        let gauges = Gauges::default();
        let audit = Audit { rollup: "evm".to_owned(), number: 5, standing: Standing::Agrees };
        let of = |value| vec![("{rollup=\"2\",tag=\"latest\"}".to_owned(), value)];
        let l1 = settlement::Gauges {
            batches: of(4),
            heights: of(70),
            spent_gwei: Some(8),
            ..settlement::Gauges::default()
        };
        *gauges.0.lock().unwrap() = Seen {
            unready: Some("disk"),
            finalized_age_ms: 7,
            disk_free_bytes: Some(9),
            audit: Some(audit),
            l1: Some(l1),
        };
        let text = gauges.text();
        for line in [
            "baton_ready 0\n",
            "baton_not_ready{reason=\"disk\"} 1\n",
            "baton_not_ready{reason=\"no_share\"} 0\n",
            "baton_finalized_age_ms 7\n",
            "baton_disk_free_bytes 9\n",
            "baton_audit_block{rollup=\"evm\"} 5\n",
            "baton_audit_differs{rollup=\"evm\"} 0\n",
            "baton_l1_batches{rollup=\"2\",tag=\"latest\"} 4\n",
            "baton_l1_posted_height{rollup=\"2\",tag=\"latest\"} 70\n",
            "baton_l1_spent_gwei 8\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}

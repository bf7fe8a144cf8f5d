//! Whether a node does its work. Ready means finalizing; otherwise there is a reason.

use baton_consensus::client::Live;
use baton_types::{PublicKey, quorum};

/// A node this many blocks behind what it knows to be final is catching up.
const LAG_BLOCKS: u64 = 32;
/// Finality may pause for a few view timeouts; longer, the node is not ready.
const PAUSE_TIMEOUTS: u64 = 6;

/// Why a node is not ready: a name for metrics, and words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    pub name: &'static str,
    pub reason: String,
}

fn unready(name: &'static str, reason: impl Into<String>) -> Result<(), Unready> {
    Err(Unready { name, reason: reason.into() })
}

/// All names, for metrics.
pub const NAMES: &[&str] = &[
    "starting",
    "stuck",
    "joining",
    "no_quorum",
    "no_finality",
    "catching_up",
    "not_judging",
    "clock",
    "not_member",
    "no_share",
    "disk",
];

/// What the node sees of the cluster and of its machine.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub live: &'a Live,
    pub me: &'a PublicKey,
    pub now_ms: u64,
    pub members: u32,
    pub leader_timeout_ms: u64,
    /// Other members with a connection to this one; none when nobody has looked.
    pub connected: Option<u32>,
    pub disk_free_bytes: Option<u64>,
    pub disk_free_bytes_min: u64,
}

impl Sight<'_> {
    /// Whether the last finalization is longer ago than a few views take.
    pub fn pauses(&self) -> bool {
        self.live.finalized_time_ms == 0 || self.age_ms() > self.allowed_ms()
    }

    pub const fn age_ms(&self) -> u64 {
        self.now_ms.saturating_sub(self.live.finalized_time_ms)
    }

    const fn allowed_ms(&self) -> u64 {
        PAUSE_TIMEOUTS * self.leader_timeout_ms
    }

    /// Whether the node is ready; if not, the first reason. Later ones may follow from it.
    pub fn judge(&self) -> Result<(), Unready> {
        self.check_history()?;
        self.check_finality()?;
        self.check_lag()?;
        self.check_clock()?;
        self.check_vote()?;
        self.check_disk()
    }

    fn check_history(&self) -> Result<(), Unready> {
        let live = self.live;
        if let Some(lowest) = live.unavailable_below {
            let reason = format!(
                "stuck at height {}: the peers that answered have blocks from {lowest} on only, and this node is \
                 to keep the whole chain (storage.history)",
                live.finalized_height
            );
            return unready("stuck", reason);
        }
        if live.lowest_height > live.finalized_height {
            return unready(
                "joining",
                format!("joining at height {}: fetching that block", live.lowest_height),
            );
        }
        Ok(())
    }

    fn check_finality(&self) -> Result<(), Unready> {
        if !self.pauses() {
            return Ok(());
        }
        let live = self.live;
        let since = if live.finalized_time_ms == 0 {
            "no block finalized since this node started".to_owned()
        } else {
            format!(
                "nothing finalized for {} ms (allowed {}); last height {}, epoch {}, view {}",
                self.age_ms(),
                self.allowed_ms(),
                live.finalized_height,
                live.epoch.get(),
                live.view
            )
        };
        let wanted = quorum(self.members).saturating_sub(1);
        match self.connected {
            Some(connected) if connected < wanted => unready(
                "no_quorum",
                format!(
                    "{since}: connected to {connected} other members, and {wanted} are needed for a certificate"
                ),
            ),
            _ => unready("no_finality", format!("{since}: waiting for the votes of 2f+1 members")),
        }
    }

    fn check_lag(&self) -> Result<(), Unready> {
        let live = self.live;
        let behind = live.tip_height.saturating_sub(live.finalized_height);
        if behind > LAG_BLOCKS {
            let reason = format!(
                "catching up: {behind} blocks behind, at height {} of {}",
                live.finalized_height, live.tip_height
            );
            return unready("catching_up", reason);
        }
        if live.judges_from > live.finalized_height + 1 {
            let reason = format!(
                "joined at height {}: following, not voting, until height {}; now at {}",
                live.lowest_height,
                live.judges_from - 1,
                live.finalized_height
            );
            return unready("not_judging", reason);
        }
        Ok(())
    }

    /// More members than may be faulty agree that it is this node's clock.
    fn check_clock(&self) -> Result<(), Unready> {
        let live = self.live;
        if live.authors_ahead.len() <= live.holders.len().saturating_sub(1) / 3 {
            return Ok(());
        }
        let (count, most) =
            (live.authors_ahead.len(), live.authors_ahead.values().max().copied().unwrap_or_default());
        let reason = format!(
            "this node's clock is behind: blocks of {count} members are up to {most} ms ahead of it; \
             check its time synchronisation"
        );
        unready("clock", reason)
    }

    fn check_vote(&self) -> Result<(), Unready> {
        let epoch = self.live.epoch.get();
        if !self.live.holders.contains(self.me) {
            return unready("not_member", format!("not a member of epoch {epoch}: following only"));
        }
        if !self.live.voting {
            let reason = format!(
                "no share of the key in epoch {epoch}: following, not voting, until a reshare gives it one"
            );
            return unready("no_share", reason);
        }
        Ok(())
    }

    fn check_disk(&self) -> Result<(), Unready> {
        match self.disk_free_bytes {
            Some(free) if free < self.disk_free_bytes_min => unready(
                "disk",
                format!(
                    "the disk is nearly full: {free} bytes free in data_dir, below storage.free_bytes_min ({}); \
                     make room before it is full, because then the node stops",
                    self.disk_free_bytes_min
                ),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_types::{Epoch, PrivateKey, merkle::EMPTY};
    use commonware_cryptography::Signer as _;
    use std::collections::BTreeMap;

    fn live(holders: Vec<PublicKey>, finalized_time_ms: u64) -> Live {
        Live {
            epoch: Epoch::new(3),
            view: 7,
            finalized_height: 9,
            finalized_digest: EMPTY,
            finalized_time_ms,
            tip_height: 9,
            lowest_height: 0,
            judges_from: 1,
            unavailable_below: None,
            voting: true,
            last_vote_view: vec![None; holders.len()],
            holders,
            authors_ahead: BTreeMap::new(),
            blocks_authored: BTreeMap::new(),
        }
    }

    #[test]
    fn ready_means_finalizing() {
        let me = PrivateKey::from_seed(1).public_key();
        let check_with = |live: Live, connected: u32, disk_free_bytes: u64, expect: Option<&str>| {
            let sight = Sight {
                live: &live,
                me: &me,
                now_ms: 100_000,
                members: 4,
                leader_timeout_ms: 700,
                connected: Some(connected),
                disk_free_bytes: Some(disk_free_bytes),
                disk_free_bytes_min: 1_000,
            };
            let judged = sight.judge().map_err(|unready| {
                assert!(NAMES.contains(&unready.name), "{unready:?}");
                unready.reason
            });
            match (judged, expect) {
                (Ok(()), None) => {}
                (Err(reason), Some(expect)) => assert!(reason.contains(expect), "{reason}"),
                (judged, expect) => panic!("{judged:?} instead of {expect:?}"),
            }
        };
        let check = |live: Live, expect: Option<&str>| check_with(live, 3, 1_000, expect);
        let fine = || live(vec![me.clone()], 99_000);
        check_with(fine(), 0, 999, Some("999 bytes free in data_dir, below storage.free_bytes_min (1000)"));
        check_with(fine(), 0, 1_000, None);
        check_with(live(vec![me.clone()], 0), 1, 0, Some("connected to 1 other members, and 2 are needed"));
        check_with(live(vec![me.clone()], 90_000), 2, 0, Some("waiting for the votes"));
        check(live(vec![me.clone()], 99_000), None);
        check(
            live(vec![me.clone()], 0),
            Some("no block finalized since this node started: waiting for the votes of 2f+1"),
        );
        check(live(vec![me.clone()], 90_000), Some("nothing finalized for 10000 ms"));
        check(live(vec![], 99_000), Some("not a member of epoch 3"));
        check(Live { lowest_height: 9, ..live(vec![me.clone()], 99_000) }, None);
        check(Live { lowest_height: 10, ..live(vec![me.clone()], 0) }, Some("joining at height 10"));
        check(
            Live { lowest_height: 9, judges_from: 30, ..live(vec![me.clone()], 99_000) },
            Some("not voting, until height 29; now at 9"),
        );
        check(
            Live { unavailable_below: Some(40), ..live(vec![me.clone()], 0) },
            Some("stuck at height 9: the peers that answered have blocks from 40 on"),
        );
        check(
            Live { voting: false, ..live(vec![me.clone()], 99_000) },
            Some("no share of the key in epoch 3"),
        );
        let four: Vec<_> = (1..=4).map(|seed| PrivateKey::from_seed(seed).public_key()).collect();
        let ahead = |count: usize| four.iter().take(count).map(|author| (author.clone(), 2_000)).collect();
        check(Live { authors_ahead: ahead(1), ..live(four.clone(), 99_000) }, None);
        check(
            Live { authors_ahead: ahead(2), ..live(four.clone(), 99_000) },
            Some("2 members are up to 2000 ms"),
        );
        check(Live { tip_height: 50, ..live(vec![me.clone()], 99_000) }, Some("41 blocks behind"));
    }
}

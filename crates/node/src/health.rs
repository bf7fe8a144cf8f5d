//! Whether a node does its work. Ready means finalizing; otherwise there is a reason.

use crate::auditor::{Audit, Difference, Standing};
use baton_consensus::{
    client::{Live, Silence},
    evm::{Status, Stopped},
};
use baton_types::{PublicKey, quorum};

/// A node this many blocks behind what it knows to be final is catching up.
const LAG_BLOCKS: u64 = 32;
/// An executor so many blocks behind finality is catching up.
const EXECUTION_LAG_BLOCKS: u64 = 64;
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
    "asking_peers",
    "votes_lost",
    "disk",
    "execution_differs",
    "not_executing",
    "execution_behind",
    "l1_reorganised",
    "l1_disagrees",
    "l1_unreachable",
    "not_posting",
    "batches_missing",
    "audit_differs",
];

/// What the node sees of the cluster and of its machine.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub live: &'a Live,
    pub executions: &'a [Status],
    /// Why nothing settles, in a cluster that should.
    pub settlement: Option<&'a Unready>,
    pub audit: Option<&'a Audit>,
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
        self.check_executions()?;
        self.settlement.map_or(Ok(()), |trouble| Err(trouble.clone()))?;
        self.check_audit()?;
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
        if live.silence == Some(Silence::AskingPeers) && self.connected.is_none_or(|others| others >= wanted)
        {
            let reason = format!(
                "{since}: asking the other members which votes of this node they have seen; {wanted} must answer \
                 before it votes again"
            );
            return unready("asking_peers", reason);
        }
        match self.connected {
            Some(connected) if connected < wanted => unready(
                "no_quorum",
                format!(
                    "{since}: connected to {connected} other members, and {wanted} are needed for a certificate"
                ),
            ),
            _ => {
                // One of those that are waited for may be this node. It has no part before its first epoch.
                if live.holders.contains(self.me) {
                    self.check_vote()?;
                }
                unready("no_finality", format!("{since}: waiting for the votes of 2f+1 members"))
            }
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
        if self.live.silence == Some(Silence::VotesLost) {
            let reason = format!(
                "votes of this node in epoch {epoch} are not on its vote journal: following, not voting, until the \
                 next epoch; find out what damaged or replaced files in data_dir"
            );
            return unready("votes_lost", reason);
        }
        if !self.live.voting {
            let reason = format!(
                "no share of the key in epoch {epoch}: following, not voting, until a reshare gives it one"
            );
            return unready("no_share", reason);
        }
        Ok(())
    }

    fn check_executions(&self) -> Result<(), Unready> {
        for Status { name, executed_to, stopped, fetching, .. } in self.executions {
            match stopped {
                Some(Stopped::Differs { height, attested, own }) => {
                    let reason = format!(
                        "this node's execution of rollup {name} differs from what the cluster attested at height \
                         {height}: block {} has hash {}, here {}; it orders as before and executes this rollup no \
                         more. Start it again; if that does not help, look for damaged memory, disk or program",
                        attested.number, attested.hash, own.hash
                    );
                    return unready("execution_differs", reason);
                }
                Some(Stopped::Unavailable(why)) => return unready("not_executing", why.clone()),
                None => {}
            }
            if *fetching {
                let reason = format!(
                    "the state of rollup {name} is on its way from other members; it orders and follows meanwhile"
                );
                return unready("execution_behind", reason);
            }
            let behind = self.live.finalized_height.saturating_sub(*executed_to);
            if behind > EXECUTION_LAG_BLOCKS {
                let reason = format!(
                    "execution of rollup {name} is {behind} blocks behind, at height {executed_to} of {}",
                    self.live.finalized_height
                );
                return unready("execution_behind", reason);
            }
        }
        Ok(())
    }

    fn check_audit(&self) -> Result<(), Unready> {
        let Some(Audit { rollup, standing: Standing::Differs(difference), .. }) = self.audit else {
            return Ok(());
        };
        let Difference { number, own_root, client_root, why } = difference;
        let client_root = client_root.map_or_else(|| "another".to_owned(), |root| root.to_string());
        let reason = format!(
            "the auditing client found another result of block {number} of rollup {rollup}: state root {client_root} \
             instead of {own_root} ({why}); one of the two executes wrongly. Keep both as they are and report it; \
             without the keys of [auditor] the node is ready again"
        );
        unready("audit_differs", reason)
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
    use baton_types::{Epoch, ExecutionResult, PrivateKey, RollupId, merkle::EMPTY};
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
            silence: None,
            last_vote_view: vec![None; holders.len()],
            holders,
            authors_ahead: BTreeMap::new(),
        }
    }

    #[test]
    fn ready_means_finalizing() {
        let me = PrivateKey::from_seed(1).public_key();
        let check_with = |live: Live, connected: u32, disk_free_bytes: u64, expect: Option<&str>| {
            let sight = Sight {
                live: &live,
                executions: &[],
                settlement: None,
                audit: None,
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
        // Also where nothing is final for lack of its vote.
        for finalized_time_ms in [99_000, 90_000] {
            let live = live(vec![me.clone()], finalized_time_ms);
            let lost = Live { voting: false, silence: Some(Silence::VotesLost), ..live };
            check(lost, Some("votes of this node in epoch 3 are not on its vote journal"));
        }
        let asking = |finalized_time_ms| Live {
            silence: Some(Silence::AskingPeers),
            ..live(vec![me.clone()], finalized_time_ms)
        };
        check(asking(0), Some("2 must answer before it votes again"));
        check_with(asking(0), 1, 0, Some("connected to 1 other members, and 2 are needed"));
        let four: Vec<_> = (1..=4).map(|seed| PrivateKey::from_seed(seed).public_key()).collect();
        let ahead = |count: usize| four.iter().take(count).map(|author| (author.clone(), 2_000)).collect();
        check(Live { authors_ahead: ahead(1), ..live(four.clone(), 99_000) }, None);
        check(
            Live { authors_ahead: ahead(2), ..live(four.clone(), 99_000) },
            Some("2 members are up to 2000 ms"),
        );
        check(Live { tip_height: 50, ..live(vec![me.clone()], 99_000) }, Some("41 blocks behind"));
    }

    #[test]
    fn executors_that_stop_are_named() {
        let me = PrivateKey::from_seed(1).public_key();
        let live = live(vec![me.clone()], 99_000);
        let check = |executed_to: u64, stopped: Option<Stopped>, expect: Option<(&str, &str)>| {
            let status = Status {
                rollup: RollupId(2),
                name: "evm".to_owned(),
                executed_to,
                number: 1,
                stopped,
                fetching: false,
            };
            let sight = Sight {
                live: &Live { finalized_height: 100, tip_height: 100, ..live.clone() },
                executions: &[status],
                settlement: None,
                audit: None,
                me: &me,
                now_ms: 100_000,
                members: 4,
                leader_timeout_ms: 700,
                connected: None,
                disk_free_bytes: None,
                disk_free_bytes_min: 0,
            };
            match (sight.judge(), expect) {
                (Ok(()), None) => {}
                (Err(unready), Some((name, words))) => {
                    assert!(unready.name == name && NAMES.contains(&name), "{unready:?}");
                    assert!(
                        unready.reason.contains("rollup evm") && unready.reason.contains(words),
                        "{unready:?}"
                    );
                }
                (judged, expect) => panic!("{judged:?} instead of {expect:?}"),
            }
        };
        let (attested, own) =
            (ExecutionResult { number: 7, ..ExecutionResult::default() }, Default::default());
        check(36, None, None);
        check(35, None, Some(("execution_behind", "65 blocks behind, at height 35 of 100")));
        let differs = Stopped::Differs { height: 9, attested, own };
        check(36, Some(differs), Some(("execution_differs", "attested at height 9: block 7")));
        let unavailable = Stopped::Unavailable("no state of rollup evm here".to_owned());
        check(36, Some(unavailable), Some(("not_executing", "no state")));
    }

    #[test]
    fn an_auditor_that_differs_is_heard() {
        let me = PrivateKey::from_seed(1).public_key();
        let live = live(vec![me.clone()], 99_000);
        let judge = |standing: Standing| {
            let audit = Audit { rollup: "evm".to_owned(), number: 4, standing };
            let sight = Sight {
                live: &live,
                executions: &[],
                settlement: None,
                audit: Some(&audit),
                me: &me,
                now_ms: 100_000,
                members: 4,
                leader_timeout_ms: 700,
                connected: None,
                disk_free_bytes: None,
                disk_free_bytes_min: 0,
            };
            sight.judge()
        };
        for fine in [
            Standing::Agrees,
            Standing::Waits("no answer".to_owned()),
            Standing::Stopped("another chain".to_owned()),
        ] {
            assert_eq!(judge(fine), Ok(()));
        }
        let difference = Difference {
            number: 5,
            own_root: [1; 32].into(),
            client_root: Some([2; 32].into()),
            why: "invalid root".to_owned(),
        };
        let unready = judge(Standing::Differs(difference)).unwrap_err();
        assert_eq!(unready.name, "audit_differs");
        for words in ["block 5 of rollup evm", &"01".repeat(32), &"02".repeat(32), "invalid root"] {
            assert!(unready.reason.contains(words), "{}", unready.reason);
        }
    }
}

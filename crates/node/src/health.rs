//! Whether a node does its work. Ready means finalizing; otherwise there is a reason.

use baton_consensus::client::Live;
use baton_rpc::Health;
use baton_types::PublicKey;

/// A node this many blocks behind what it knows to be final is catching up.
const LAG_BLOCKS: u64 = 32;
/// Finality may pause for a few view timeouts; longer, the node is not ready.
const PAUSE_TIMEOUTS: u64 = 6;

/// Judges what the node sees of the cluster at `now_ms`.
pub fn judge(live: &Live, me: &PublicKey, now_ms: u64, leader_timeout_ms: u64) -> Health {
    if live.finalized_time_ms == 0 {
        return Health::not_ready("no block finalized since this node started: waiting for 2f+1 members");
    }
    let age = now_ms.saturating_sub(live.finalized_time_ms);
    let allowed = PAUSE_TIMEOUTS * leader_timeout_ms;
    if age > allowed {
        return Health::not_ready(format!(
            "nothing finalized for {age} ms (allowed {allowed}); last height {}, epoch {}, view {}",
            live.finalized_height,
            live.epoch.get(),
            live.view
        ));
    }
    let behind = live.tip_height.saturating_sub(live.finalized_height);
    if behind > LAG_BLOCKS {
        return Health::not_ready(format!(
            "catching up: {behind} blocks behind, at height {} of {}",
            live.finalized_height, live.tip_height
        ));
    }
    if !live.holders.contains(me) {
        return Health::not_ready(format!("not a member of epoch {}: following only", live.epoch.get()));
    }
    if !live.voting {
        return Health::not_ready(format!(
            "no share of the key in epoch {}: following, not voting, until a reshare gives it one",
            live.epoch.get()
        ));
    }
    Health::ready()
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
            voting: true,
            last_vote_view: vec![None; holders.len()],
            holders,
            blocks_authored: BTreeMap::new(),
        }
    }

    #[test]
    fn ready_means_finalizing() {
        let me = PrivateKey::from_seed(1).public_key();
        let check = |live: Live, expect: Option<&str>| {
            let health = judge(&live, &me, 100_000, 700);
            assert_eq!(health.ready, expect.is_none(), "{health:?}");
            if let Some(expect) = expect {
                assert!(health.reason.as_ref().is_some_and(|reason| reason.contains(expect)), "{health:?}");
            }
        };
        check(live(vec![me.clone()], 99_000), None);
        check(live(vec![me.clone()], 0), Some("waiting for 2f+1"));
        check(live(vec![me.clone()], 90_000), Some("nothing finalized for 10000 ms"));
        check(live(vec![], 99_000), Some("not a member of epoch 3"));
        check(
            Live { voting: false, ..live(vec![me.clone()], 99_000) },
            Some("no share of the key in epoch 3"),
        );
        check(Live { tip_height: 50, ..live(vec![me.clone()], 99_000) }, Some("41 blocks behind"));
    }
}

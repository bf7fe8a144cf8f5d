use super::*;
use crate::testing::{self, chain};
use baton_consensus::tally::Counts;
use baton_types::{PublicKey, receipt::Rung};

fn live(holders: Vec<PublicKey>, votes: Vec<Option<u64>>) -> Live {
    Live { holders, last_vote_view: votes, ..testing::live() }
}

#[test]
fn members_vote_or_are_silent() {
    let chain = chain();
    let identities: Vec<_> = chain.genesis.members.iter().map(|member| member.identity().unwrap()).collect();
    // The third member holds no share; the committee's order is its own.
    let holders = vec![identities[3].clone(), identities[0].clone(), identities[1].clone()];
    let mut tally = Tally::default();
    (tally.since_start.from_height, tally.epoch.from_height) = (Some(340), Some(300));
    tally.since_start.counts = vec![Counts::default(); 4];
    tally.since_start.counts[3] = Counts { authored: 9, designated: 6, ..Counts::default() };
    tally.epoch.counts = vec![Counts::default(); 4];
    tally.epoch.counts[0] = Counts { turns_missed: 4, single_proofs: 2, ..Counts::default() };
    tally.suspended.insert(0);
    tally.benched.insert(1);
    let views = validators(&chain, &live(holders, vec![Some(84), Some(83), None]), &tally);
    let left_out: Vec<_> = views.iter().map(|view| (view.benched, view.suspended)).collect();
    assert_eq!(left_out, [(false, true), (true, false), (false, false), (false, false)]);
    assert_eq!((views[3].since_start.designations, views[3].since_start.from_height), (6, Some(340)));
    let missed = (views[0].epoch.turns_missed, views[0].epoch.single_proofs, views[0].epoch.from_height);
    assert_eq!(missed, (4, 2, Some(300)));
    let got: Vec<_> = views
        .iter()
        .map(|view| (view.index, view.voting, view.last_vote_view, view.blocks_authored, view.this_node))
        .collect();
    assert_eq!(
        got,
        [
            (0, false, Some(83), 0, false),
            (1, false, None, 0, false),
            (2, false, None, 0, true),
            (3, true, Some(84), 9, false),
        ]
    );
}

#[test]
fn members_are_seen_as_they_are_now() {
    let chain = chain();
    let identities: Vec<_> = chain.genesis.members.iter().map(|member| member.identity().unwrap()).collect();
    let mut tally = Tally::default();
    tally.benched.insert(1);
    let mut now = live(identities.clone(), vec![Some(100), Some(84), Some(83), None]);
    now.authors_ahead.insert(identities[0].clone(), 250);
    // This node is member 2 and not connected to itself.
    let peers = [identities[0].clone()].into();
    let seen = sights(&chain, &now, &tally, Some(&peers));
    let connected: Vec<_> = seen.iter().map(|member| member.connected).collect();
    assert_eq!(connected, [Some(true), Some(false), Some(true), Some(false)]);
    assert_eq!(seen.iter().map(|member| member.voting).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(seen.iter().map(|member| member.benched).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!((seen[0].clock_ahead_ms, seen[0].last_vote_view), (Some(250), Some(100)));
    assert!(
        sights(&chain, &now, &tally, None).iter().all(|member| member.connected.is_none()),
        "not looked yet"
    );
}

#[test]
fn epochs_are_counted_in_blocks() {
    let chain = chain();
    let view = epoch(&chain, &live(Vec::new(), Vec::new()));
    assert_eq!((view.epoch, view.first_height, view.last_height), (3, 300, 399));
    assert_eq!((view.holders, view.quorum, view.faults), (4, 3, 1));
    assert_eq!(view.election, "threshold-lottery");
}

#[test]
fn the_status_says_why_a_node_is_not_ready() {
    let chain = chain();
    let health = Health::not_ready("no peers: check p2p.listen");
    let view = status(&chain, &live(Vec::new(), Vec::new()), &health, 12, 34);
    assert!(!view.ready);
    assert_eq!(view.reason.as_deref(), Some("no peers: check p2p.listen"));
    assert_eq!((view.index, view.members, view.mempool_transactions), (2, 4, 34));
    assert_eq!(view.chain, hex::encode(&chain.genesis.digest()));
}

#[test]
fn blocks_show_payloads_when_asked() {
    let found = BlockFound {
        block: testing::block(5, &[(1, &["a", "b"]), (2, &["c"])]),
        rung: Rung::Notarized,
        certificate: None,
    };
    let view = block(&chain(), &found, true);
    assert_eq!((view.height, view.view, view.transactions), (5, 8, 3));
    assert_eq!(view.hash, hex::encode(&found.block.digest()));
    let [first, second] = &view.segments[..] else { panic!("two segments") };
    assert_eq!(first.ids[0], testing::transaction("a").id(RollupId(1)).to_string());
    assert_eq!(first.payloads.as_deref(), Some(&[hex::Hex(b"a".to_vec()), hex::Hex(b"b".to_vec())][..]));
    let details = testing::transaction("a");
    assert_eq!(first.valid_until.as_ref().unwrap()[0], details.valid_until, "enough to compute the id again");
    assert_eq!(first.bundles.as_deref(), Some(&[None, None][..]));
    assert_eq!(second.head, hex::encode(&EMPTY), "a rollup without history");
    assert!(block(&chain(), &found, false).segments.iter().all(|segment| segment.payloads.is_none()));
    assert_eq!(rollup_block(RollupId(2), &found.block).unwrap().payloads, [hex::Hex(b"c".to_vec())]);
    assert_eq!(rollup_block(RollupId(3), &found.block), None);
}

#[test]
fn requests_look_at_a_bounded_number_of_blocks() {
    let limits = Limits { rollup_blocks_max: 500, ..Limits::default() };
    for (asked, expect) in [(None, 100), (Some(0), 1), (Some(7), 7), (Some(501), 500)] {
        assert_eq!(blocks_limit(asked, &limits), expect, "{asked:?}");
    }
}

#[test]
fn a_second_shows_its_median() {
    let check = |finality_ms: &[u64], expect| {
        let seen = Second { at: 7, blocks: 3, transactions: 9, finality_ms: finality_ms.to_vec() };
        let view = second(&seen);
        assert_eq!((view.time_ms, view.blocks, view.transactions, view.finality_ms), (7_000, 3, 9, expect));
    };
    check(&[], None);
    check(&[90, 10, 50], Some(50));
}

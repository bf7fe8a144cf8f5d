use super::*;
use crate::testing::{self, chain};
use baton_types::{Epoch, PublicKey, receipt::Rung};

fn live(holders: Vec<PublicKey>, votes: Vec<Option<u64>>) -> Live {
    Live {
        epoch: Epoch::new(3),
        view: 100,
        finalized_height: 350,
        finalized_digest: EMPTY,
        finalized_time_ms: 5,
        tip_height: 9,
        lowest_height: 0,
        judges_from: 1,
        unavailable_below: None,
        voting: true,
        authors_ahead: Default::default(),
        blocks_authored: holders.first().map(|holder| (holder.clone(), 9)).into_iter().collect(),
        holders,
        last_vote_view: votes,
    }
}

#[test]
fn members_vote_or_are_silent() {
    let chain = chain();
    let identities: Vec<_> = chain.genesis.members.iter().map(|member| member.identity().unwrap()).collect();
    // The third member holds no share; the committee's order is its own.
    let holders = vec![identities[3].clone(), identities[0].clone(), identities[1].clone()];
    let views = validators(&chain, &live(holders, vec![Some(84), Some(83), None]));
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

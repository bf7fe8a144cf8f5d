use super::*;
use crate::hex;
use commonware_codec::Encode as _;
use std::collections::BTreeSet;

fn transaction(valid_until: u64, payload: &'static [u8]) -> Transaction {
    Transaction { valid_until, bundle: None, payload: Bytes::from_static(payload) }
}

/// Whatever differs between two transactions, their ids do.
#[test]
fn ids_differ() {
    let leg = |id| Transaction { bundle: Some(TxId([id; 32])), ..transaction(5, b"ab") };
    let ids = [
        transaction(5, b"ab").id(RollupId(1)),
        transaction(5, b"ab").id(RollupId(2)),
        transaction(6, b"ab").id(RollupId(1)),
        transaction(5, b"a").id(RollupId(1)),
        transaction(5, b"").id(RollupId(1)),
        leg(0).id(RollupId(1)),
        leg(1).id(RollupId(1)),
        leg(1).id(RollupId(2)),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// A payload that spells the fields of a leg does not get the leg's id.
#[test]
fn a_leg_is_not_a_transaction() {
    let leg = Transaction { bundle: Some(TxId([7; 32])), ..transaction(5, b"ab") };
    let fields = [&[7; 32][..], &1u32.to_be_bytes(), &5u64.to_be_bytes(), b"ab"].concat();
    let spelled = Transaction { payload: fields.into(), ..transaction(5, b"") };
    assert_ne!(leg.id(RollupId(1)), spelled.id(RollupId(1)));
}

#[test]
fn a_bundle_commits_to_every_leg() {
    let legs = || vec![(RollupId(1), Bytes::from_static(b"a")), (RollupId(2), Bytes::from_static(b"b"))];
    let bundle = Bundle::new(9, legs());
    assert!(bundle.legs.iter().all(|(_, leg)| leg.bundle == Some(bundle.id) && leg.valid_until == 9));
    let again = bundle.legs.iter().map(|(rollup, leg)| (*rollup, &leg.payload[..]));
    assert_eq!(bundle_id(9, again), bundle.id);
    // Legs of different rollups may be given in any order.
    assert_eq!(Bundle::new(9, legs().into_iter().rev().collect()), bundle);
    let mut others = vec![Bundle::new(10, legs()), Bundle::new(9, legs()[..1].to_vec())];
    for leg in 0..2 {
        let mut changed = legs();
        changed[leg].1 = Bytes::from_static(b"c");
        others.push(Bundle::new(9, changed));
        let mut moved = legs();
        moved[leg].0 = RollupId(3);
        others.push(Bundle::new(9, moved));
    }
    let ids: BTreeSet<_> = others.iter().map(|other| other.id).chain([bundle.id]).collect();
    assert_eq!(ids.len(), others.len() + 1);
}

#[test]
fn encoding() {
    for tx in [
        transaction(0, b""),
        transaction(u64::MAX, b"payload"),
        Transaction { bundle: Some(TxId([7; 32])), ..transaction(300, b"x") },
    ] {
        let bytes = tx.encode();
        assert_eq!(bytes.len(), tx.encode_size());
        let len = tx.payload.len();
        assert_eq!(hex::from_bytes::<Transaction>(&bytes, &len).unwrap(), tx);
        assert_eq!(hex::from_bytes::<Transaction>(&bytes, &len.saturating_sub(1)).is_ok(), len == 0);
    }
}

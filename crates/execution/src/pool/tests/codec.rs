use crate::{
    pool::Unit,
    testing::{bundle, genesis, hinted, payload, rollups},
};
use baton_types::{BlockLimits, Bundle, EvmRollups};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _, EncodeSize as _};

fn limits() -> BlockLimits {
    genesis(rollups(), 8_192).limits()
}

#[test]
fn units_survive_the_journey() {
    let units = [
        hinted(1, 7, payload("x"), 0),
        hinted(u32::MAX, u64::MAX, vec![3; 1_000].into(), u64::MAX),
        hinted(1, 0, Bytes::new(), 1),
        Unit::Bundle(bundle(9, &[(2, "b"), (1, "a"), (2, "c")])),
        Unit::Bundle(bundle(u64::MAX, &[(1, "a"); Bundle::LEGS_MAX])),
    ];
    for unit in units {
        let encoded = unit.encode();
        assert_eq!(encoded.len(), unit.encode_size());
        let decoded = Unit::decode_cfg(encoded, &limits()).unwrap();
        assert_eq!(decoded, unit);
        assert_eq!(decoded.ids(&EvmRollups::default()), unit.ids(&EvmRollups::default()));
    }
}

#[test]
fn a_bundles_claimed_id_does_not_travel() {
    let mut forged = bundle(9, &[(1, "a"), (2, "b")]);
    let honest = forged.clone();
    forged.id.0 = [1; 32];
    for (_, leg) in &mut forged.legs {
        leg.bundle = Some(forged.id);
    }
    let decoded = Unit::decode_cfg(Unit::Bundle(forged).encode(), &limits()).unwrap();
    assert_eq!(decoded, Unit::Bundle(honest));
}

#[test]
fn refuses_what_no_node_would_send() {
    let too_many: Vec<_> = (0..=Bundle::LEGS_MAX).map(|_| (1, "a")).collect();
    let cases = [
        ("payload", hinted(1, 7, vec![3; 1_001].into(), 0).encode()),
        ("legs", Unit::Bundle(bundle(9, &too_many)).encode()),
        ("no legs", Unit::Bundle(bundle(9, &[])).encode()),
        ("tag", Bytes::from_static(&[2, 0, 0, 0, 1, 7, 1, 1, 0])),
        ("empty", Bytes::new()),
    ];
    for (name, bytes) in cases {
        assert!(Unit::decode_cfg(bytes, &limits()).is_err(), "{name}");
    }
}

/// The constructor sorts; the decoder does not, so that a bundle has one encoding.
#[test]
fn legs_out_of_order_are_refused() {
    let sorted = bundle(9, &[(1, "a"), (2, "b"), (2, "c"), (3, "d")]);
    assert_eq!(bundle(9, &[(3, "d"), (2, "b"), (1, "a"), (2, "c")]), sorted);
    for swapped in [(0, 1), (1, 3), (0, 3), (2, 3)] {
        let mut other = sorted.clone();
        other.legs.swap(swapped.0, swapped.1);
        let error = Unit::decode_cfg(Unit::Bundle(other).encode(), &limits()).unwrap_err();
        assert!(error.to_string().contains("not in ascending order of rollup"), "{swapped:?}: {error}");
    }
    // Legs of one rollup keep the order they were given in: it is another bundle, not another encoding.
    let mut other = sorted.clone();
    other.legs.swap(1, 2);
    let decoded = Unit::decode_cfg(Unit::Bundle(other).encode(), &limits()).unwrap();
    assert_ne!(decoded, Unit::Bundle(sorted));
}

#[test]
fn every_cut_is_refused() {
    for unit in [hinted(1, 300, payload("xyz"), 300), Unit::Bundle(bundle(300, &[(1, "a"), (2, "b")]))] {
        let encoded = unit.encode();
        for end in 0..encoded.len() {
            assert!(Unit::decode_cfg(encoded.slice(..end), &limits()).is_err(), "cut at {end}");
        }
    }
}

/// Otherwise a small payload would keep alive the message it came in.
#[test]
fn payloads_are_copied_out_of_the_message() {
    let encoded = hinted(1, 7, payload("payload"), 0).encode();
    let message = encoded.as_ptr_range();
    let decoded = Unit::decode_cfg(encoded.clone(), &limits()).unwrap();
    let (_, transaction) = decoded.legs().next().unwrap();
    assert!(!message.contains(&transaction.payload.as_ptr()));
}

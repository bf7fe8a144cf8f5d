use super::*;
use crate::testing::{Rng, some_id};
use std::collections::BTreeMap;

#[test]
fn behaves_like_an_ordered_map() {
    let mut rng = Rng::new(1);
    let mut map = IdMap::new(7);
    let mut model = BTreeMap::new();
    for step in 0..20_000_u64 {
        let id = some_id(rng.next() % 500);
        match rng.below(3) {
            0 => assert_eq!(map.insert(id, step), model.insert(id, step)),
            1 => assert_eq!(map.remove(&id), model.remove(&id)),
            _ => assert_eq!((map.get(&id), map.contains(&id)), (model.get(&id), model.contains_key(&id))),
        }
        assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    }
}

#[test]
fn fingerprints_tell_ids_and_nodes_apart() {
    let (one, other) = (Fingerprinter::new(1), Fingerprinter::new(2));
    let mut known = Fingerprints::with_capacity(0);
    for number in 0..10_000 {
        assert_eq!(known.get(&one.of(&some_id(number))), None, "id {number} looks like an earlier one");
        known.insert(one.of(&some_id(number)), number);
        assert_ne!(one.of(&some_id(number)), other.of(&some_id(number)));
    }
    known.remove(&one.of(&some_id(7)));
    assert_eq!((known.get(&one.of(&some_id(7))), known.get(&one.of(&some_id(8)))), (None, Some(8)));
    assert_eq!(size_of::<(Fingerprint, u32)>(), 16);
}

fn hash(key: u64, id: &TxId) -> u64 {
    IdHash::new(key).hash_one(id)
}

/// Tables take the bucket from the low bits and a tag from the high ones.
#[test]
fn related_ids_spread_over_low_and_high_bits() {
    for varied in [0, 7, 8, 15, 16, 24, 31] {
        let mut low = [0_u32; 256];
        let mut high = [0_u32; 128];
        for byte in 0..=255_u8 {
            for other in 0..16_u8 {
                let mut id = TxId([0; 32]);
                id.0[varied] = byte;
                id.0[(varied + 1) % 32] = other;
                let hash = hash(3, &id);
                low[usize::try_from(hash % 256).unwrap()] += 1;
                high[usize::try_from(hash >> 57).unwrap()] += 1;
            }
        }
        assert!(low.iter().all(|count| *count < 64), "byte {varied}: {low:?}");
        assert!(high.iter().all(|count| *count < 128), "byte {varied}: {high:?}");
    }
}

#[test]
fn the_secret_moves_ids_and_stays_hidden() {
    let same = (0..1_000).filter(|number| hash(1, &some_id(*number)) % 64 == hash(2, &some_id(*number)) % 64);
    assert!(same.count() < 64);
    assert_eq!(format!("{:?}", IdHash::new(1)), "IdHash");
}

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
fn a_set_tells_new_from_known() {
    let mut set = IdSet::new(7);
    assert!(set.insert(some_id(1)));
    assert!(!set.insert(some_id(1)));
    set.extend([some_id(1), some_id(2)]);
    assert_eq!(set.len(), 2);
    assert!(set.remove(&some_id(1)) && !set.remove(&some_id(1)));
    assert!(set.contains(&some_id(2)) && !set.contains(&some_id(1)));
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

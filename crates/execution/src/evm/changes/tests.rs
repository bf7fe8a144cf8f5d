use super::*;
use crate::testing::Rng;
use commonware_codec::Encode as _;

fn decode(bytes: &[u8]) -> Result<Changes, Error> {
    baton_types::hex::from_bytes(bytes, &())
}

fn random(rng: &mut Rng) -> Changes {
    let mut changes = Changes::default();
    for _ in 0..rng.below(6) {
        let address = Address::repeat_byte(u8::try_from(rng.below(9)).unwrap());
        let slots: BTreeMap<_, _> = (0..rng.below(4))
            .map(|_| (U256::from(rng.next() % 5), U256::from(rng.below(3)) << 200))
            .collect();
        let code = rng.chance(50).then(|| Bytes::from(vec![1; rng.below(50)]));
        let (nonce, balance) = (rng.next(), U256::from(rng.next()) << rng.below(190));
        changes.put(address, nonce, balance, code, slots);
        let change = changes.accounts.get_mut(&address).unwrap();
        change.wiped = rng.chance(50);
        if rng.chance(20) {
            *change = AccountChange { wiped: true, ..AccountChange::default() };
        }
    }
    changes
}

#[test]
fn one_encoding_each() {
    let mut rng = Rng::new(3);
    for _ in 0..300 {
        let changes = random(&mut rng);
        let bytes = changes.encode();
        assert_eq!(bytes.len(), changes.encode_size());
        assert_eq!(decode(&bytes).unwrap(), changes);
        let mut mutant = bytes.to_vec();
        let at = rng.below(mutant.len());
        mutant[at] ^= 1 << rng.below(8);
        if let Ok(other) = decode(&mutant) {
            assert_eq!(other.encode(), mutant, "two encodings of one value");
        }
        assert!(bytes.is_empty() || decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn encodings_that_are_refused() {
    let account = |flags: u8, rest: &[u8]| [&[1][..], &[7; 20], &[flags], rest].concat();
    let empty_hash = KECCAK256_EMPTY.0;
    let rows = [
        // Balance with a leading zero, and one of 33 bytes.
        account(FACTS, &[0, 1, 0, 0, 0]),
        account(FACTS, &[&[0, 33][..], &[1; 33], &[0, 0]].concat()),
        account(CODE, &[0, 0]),
        account(8, &[0, 0]),
        // Code that is none, spelled out.
        account(FACTS | CODE, &[&[0, 0][..], &empty_hash, &[0, 0]].concat()),
        // One slot twice, and two accounts out of order.
        account(FACTS, &[0, 0, 2, 1, 5, 1, 1, 1, 5, 1, 1, 0]),
        [&[2][..], &[7; 20], &[0, 0], &[6; 20], &[0, 0, 0]].concat(),
        // More entries than bytes could hold, and more than allowed.
        vec![0xff, 0xff, 0xff, 0x01],
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
    ];
    for (number, row) in rows.iter().enumerate() {
        assert!(decode(row).is_err(), "row {number}");
    }
    decode(&account(FACTS, &[0, 1, 9, 1, 1, 5, 1, 1, 0])).unwrap();
}

/// Merged changes do what the two do one after the other.
#[test]
fn merging_is_applying_both() {
    let mut rng = Rng::new(4);
    for round in 0..300 {
        let (first, second) = (random(&mut rng), random(&mut rng));
        let mut apart = super::super::State::default();
        apart.apply(&first).unwrap();
        apart.apply(&second).unwrap();
        let mut merged = first.clone();
        merged.merge(second);
        let mut together = super::super::State::default();
        together.apply(&merged).unwrap();
        assert_eq!(together.root(), apart.root(), "round {round}");
        assert_eq!(together.count(), apart.count(), "round {round}");
    }
}

use super::*;
use rand::{SeedableRng as _, rngs::StdRng};

fn words(integers: [u32; WORDS]) -> Words {
    Words(integers.map(F::from_u32))
}

/// Bit 31·j + t of the integer of 248 bits is bit t of word j.
fn encode_bit_by_bit(integers: [u32; WORDS]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    for (word, integer) in integers.into_iter().enumerate() {
        for bit in (0..31).filter(|bit| integer >> bit & 1 == 1) {
            let place = 31 * word + bit;
            bytes[1 + place / 8] |= 1 << (place % 8);
        }
    }
    bytes
}

#[test]
fn one_encoding() {
    let largest = F::ORDER_U32 - 1;
    let mut cases = vec![
        [0; WORDS],
        [1; WORDS],
        [largest; WORDS],
        [1, 2, 3, 4, 5, 6, 7, 8],
        [largest, 0, 1, 0, 0, 0, 0, largest],
    ];
    cases.extend((0..WORDS).map(|i| core::array::from_fn(|j| if i == j { largest } else { 0 })));
    let mut rng = StdRng::from_seed([1; 32]);
    cases.extend((0..500).map(|_| Words::random(&mut rng).0.map(|word| word.as_canonical_u32())));
    for integers in cases {
        let bytes = words(integers).to_bytes();
        assert_eq!(bytes, encode_bit_by_bit(integers), "{integers:?}");
        assert!(Words::from_bytes("x", &bytes) == Ok(words(integers)), "{integers:?}");
    }
}

#[test]
fn elements_not_below_the_order_are_refused() {
    for word in 0..WORDS {
        for over in [F::ORDER_U32, F::ORDER_U32 + 1, WORD_MASK - 1, WORD_MASK] {
            let bytes = encode_bit_by_bit(core::array::from_fn(|i| if i == word { over } else { 7 }));
            assert!(
                Words::from_bytes("x", &bytes) == Err(Malformed::OutOfField { what: "x" }),
                "{word} {over}"
            );
        }
    }
}

#[test]
fn other_suites_and_lengths_are_refused() {
    let good = Words::default().to_bytes();
    for suite in (0..=u8::MAX).filter(|suite| *suite != 1) {
        let mut bytes = good;
        bytes[0] = suite;
        assert!(Words::from_bytes("x", &bytes) == Err(Malformed::Suite(suite)));
    }
    for len in (0..100).filter(|len| *len != 32) {
        let bytes: Vec<_> = good.iter().copied().cycle().take(len).collect();
        let error = Words::from_bytes("x", &bytes).err();
        assert!(matches!(error, Some(Malformed::Length { found, .. }) if found == len), "{len}");
    }
}

#[test]
fn samples_skip_what_is_not_below_the_order() {
    let stream = [F::ORDER_U32, u32::MAX, 5, F::ORDER_U32 - 1, 1 << 31, WORD_MASK, 0, 1, 2, 3, 4];
    let mut stream = stream.into_iter();
    let sampled = sample(|bytes| bytes.copy_from_slice(&stream.next().unwrap().to_le_bytes()));
    assert_eq!(sampled.map(|word| word.as_canonical_u32()), [5, F::ORDER_U32 - 1, 0, 0, 1, 2, 3, 4]);
}

#[test]
fn hashes_differ_by_domain_and_parts() {
    let all = [
        Words::hash(b"a", &[]),
        Words::hash(b"b", &[]),
        Words::hash(b"a", &[b"1"]),
        Words::hash(b"a", &[b"2"]),
        Words::hash(b"a", &[b"1", b"2"]),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{i}");
    }
}

//! Inputs that are almost right.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// Longest mutant.
pub const BYTES_MAX: usize = 64 * 1024;

/// Words that mean something to JSON, TOML and hex.
const WORDS: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e-999",
    "0.1",
    "255",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e3",
    "\"\"",
    "\"0x\"",
    "\"0\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\\"\"",
    "\u{fffd}",
    "é",
    "0x",
    "0X",
    "[]",
    "{}",
    "[[",
    "{\"",
    "]",
    "}",
    ",",
    ":",
    "=",
    "#",
    "'''",
    "\"\"\"",
    "\n",
    "1979-05-27T07:32:00Z",
];

/// Changes `input` in one to six places, with parts of `other` among what it is changed to.
pub fn mutate(rng: &mut StdRng, input: &mut Vec<u8>, other: &[u8], text: bool) {
    for _ in 0..1 << rng.random_range(0..3) {
        if text && rng.random_ratio(1, 2) {
            change_text(rng, input);
        } else {
            change_bytes(rng, input, other);
        }
    }
    input.truncate(BYTES_MAX);
}

fn change_bytes(rng: &mut StdRng, input: &mut Vec<u8>, other: &[u8]) {
    let at = rng.random_range(0..=input.len());
    let Some(byte) = input.get_mut(at) else {
        return input.extend((0..rng.random_range(1..40)).map(|_| rng.random::<u8>()));
    };
    match rng.random_range(0..12) {
        0 => *byte = rng.random(),
        1 => *byte ^= 1 << rng.random_range(0..8),
        2 => *byte = byte.wrapping_add(rng.random_range(0..5)).wrapping_sub(2),
        3 => *byte = *[0, 1, 0x7f, 0x80, 0xff].choose(rng).unwrap_or(&0),
        4 => input.truncate(at),
        5 => drop(input.drain(range(rng, at, input.len()))),
        6 => {
            let part = input[range(rng, at, input.len())].to_vec();
            insert(input, rng.random_range(0..=input.len()), &part);
        }
        7 => {
            let start = rng.random_range(0..=other.len());
            insert(input, at, &other[range(rng, start, other.len())]);
        }
        8 => {
            let start = rng.random_range(0..=other.len());
            overwrite(input, at, &other[range(rng, start, other.len())]);
        }
        9 => overwrite(input, at, &varint(rng)),
        10 => insert(input, at, &varint(rng)),
        _ => overwrite(input, at, &number(rng).to_be_bytes()[*[0, 4].choose(rng).unwrap_or(&0)..]),
    }
}

/// Short ranges more often than long ones.
fn range(rng: &mut StdRng, start: usize, len: usize) -> std::ops::Range<usize> {
    let longest = (len - start).min(1 << rng.random_range(0..12));
    start..start + rng.random_range(0..=longest)
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}

fn overwrite(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    let end = input.len().min(at + part.len());
    input.splice(at..end, part.iter().copied());
}

/// Near a power of two, where limits and overflows are.
fn number(rng: &mut StdRng) -> u64 {
    (1u64 << rng.random_range(0..64)).wrapping_add(rng.random_range(0..3)).wrapping_sub(1)
}

/// A length that is only claimed.
fn varint(rng: &mut StdRng) -> Vec<u8> {
    let mut left = number(rng);
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or(0);
        left >>= 7;
        if left == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Replaces a word, repeats it often, or puts another before it.
fn change_text(rng: &mut StdRng, input: &mut Vec<u8>) {
    let word = WORDS.choose(rng).map_or(&b""[..], |word| word.as_bytes());
    let at = rng.random_range(0..=input.len());
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_\"-.".contains(byte);
    let start = at - input[..at].iter().rev().take_while(|byte| is_word(byte)).count();
    let end = at + input[at..].iter().take_while(|byte| is_word(byte)).count();
    match rng.random_range(0..4) {
        0 => insert(input, at, word),
        1 => insert(input, at, &word.repeat(1 << rng.random_range(0..10))),
        2 => {
            let digits = number(rng).to_string();
            input.splice(start..end, digits.into_bytes());
        }
        _ => drop(input.splice(start..end, word.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    #[test]
    fn mutants_differ_stay_short_and_can_be_made_again() {
        let many = |text| {
            let mut rng = StdRng::seed_from_u64(7);
            let mutant = |_| {
                let mut input = b"{\"height\": 17, \"data\": \"0x00\"}".to_vec();
                mutate(&mut rng, &mut input, b"something else", text);
                input
            };
            (0..2_000).map(mutant).collect::<Vec<_>>()
        };
        for text in [false, true] {
            let mutants = many(text);
            assert_eq!(mutants, many(text));
            assert!(mutants.iter().all(|mutant| mutant.len() <= BYTES_MAX));
            assert!(BTreeSet::from_iter(&mutants).len() > 1_500, "most are new");
        }
    }

    #[test]
    fn nothing_is_too_short_to_mutate() {
        let mut rng = StdRng::seed_from_u64(8);
        for _ in 0..2_000 {
            mutate(&mut rng, &mut Vec::new(), &[], true);
            mutate(&mut rng, &mut vec![1], &[2], false);
        }
    }
}

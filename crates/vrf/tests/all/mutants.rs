//! Proofs with bytes changed, lost, repeated or moved: none panics, none is accepted.
//!
//! `BATON_VRF_MUTANTS` sets how many of each kind; a sweep sets it high.

use crate::fixtures::{CONTEXT, EPOCH, LATER, SINGLE, VIEW, rng, secret};
use baton_vrf::{EpochProof, Malformed, Refused, Reveal, Rounds, SingleProof};
use rand::{RngExt as _, rngs::StdRng};

fn count(default: usize) -> usize {
    std::env::var("BATON_VRF_MUTANTS").ok().map_or(default, |text| text.parse().unwrap())
}

fn spoil(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(rng.random());
    }
    let at = rng.random_range(0..bytes.len());
    // Most changes keep the length, so that what is checked after it gets its share.
    match rng.random_range(0..24) {
        0 => bytes[at] = rng.random(),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        3 => bytes.truncate(at),
        4 => bytes.insert(at, rng.random()),
        5 => drop(bytes.remove(at)),
        6 => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(0xff);
        }
        7 => {
            let end = (at + rng.random_range(0..40)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            let to = rng.random_range(0..bytes.len());
            bytes.splice(to..to, part);
        }
        1 | 8 | 9 => {
            let other = rng.random_range(0..bytes.len());
            bytes.swap(at, other);
        }
        _ => bytes[at] ^= 1 << rng.random_range(0..8),
    }
}

/// How mutants fared.
#[derive(Debug, Default)]
struct Tally {
    unchanged: usize,
    malformed: usize,
    refused: usize,
}

/// Feeds `rounds` mutants of `sample` to `verify`. Every other one is changed within the first thousand
/// bytes, where lengths and commitments are.
fn pelt(seed: u8, sample: &[u8], rounds: usize, verify: impl Fn(&[u8]) -> Result<(), Refused>) -> Tally {
    assert_eq!(verify(sample), Ok(()), "the sample itself must hold");
    let mut rng = rng(seed);
    let mut tally = Tally::default();
    for round in 0..rounds {
        let mut bytes =
            if round % 2 == 0 { sample.to_vec() } else { sample[..1_000.min(sample.len())].to_vec() };
        let kept = bytes.len();
        for _ in 0..rng.random_range(1..3) {
            spoil(&mut rng, &mut bytes);
        }
        bytes.extend(&sample[kept..]);
        match verify(&bytes) {
            _ if bytes == sample => tally.unchanged += 1,
            Err(Refused::Malformed(_)) => tally.malformed += 1,
            Err(Refused::Panicked) => panic!("mutant {round} made the verifier panic"),
            Err(_) => tally.refused += 1,
            Ok(()) => panic!("mutant {round} was accepted"),
        }
    }
    println!("{rounds} mutants: {tally:?}");
    assert!(tally.unchanged < rounds / 10, "most mutants change something");
    assert!(tally.refused > rounds / 4 && tally.malformed > rounds / 10, "mutants get to every check");
    tally
}

#[test]
fn of_epoch_proofs() {
    pelt(11, &EPOCH.proof.to_bytes(), count(8_000), |bytes| {
        EpochProof::from_bytes(bytes)?.verify(&EPOCH.key, &CONTEXT, Rounds::MIN).map(drop)
    });
}

#[test]
fn of_single_proofs() {
    let key = secret(1).public_key();
    pelt(12, &SINGLE.to_bytes(), count(20_000), |bytes| {
        SingleProof::from_bytes(bytes)?.verify(&key, &CONTEXT, VIEW, &LATER).map(drop)
    });
}

#[test]
fn of_reveals() {
    let reveal = EPOCH.secrets.reveal(33).unwrap();
    pelt(13, &reveal.to_bytes(), count(100_000), |bytes| {
        let reveal = Reveal::from_bytes(bytes)?;
        assert_eq!(reveal.to_bytes(), bytes, "two encodings of one reveal");
        reveal.verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER).map(drop)
    });
}

/// Every byte of a whole argument, one bit in each.
#[test]
fn every_byte_of_an_argument_counts() {
    let key = secret(1).public_key();
    let good = SINGLE.to_bytes();
    let step = good.len().div_ceil(count(8_000));
    for at in (0..good.len()).step_by(step) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let verdict = SingleProof::from_bytes(&bytes)
            .map_err(Refused::from)
            .and_then(|proof| proof.verify(&key, &CONTEXT, VIEW, &LATER));
        assert!(!matches!(verdict, Ok(_) | Err(Refused::Panicked)), "byte {at}: {verdict:?}");
    }
}

#[test]
fn truncated_proofs_are_malformed() {
    let good = EPOCH.proof.to_bytes();
    for len in (0..good.len()).step_by(7) {
        let verdict = EpochProof::from_bytes(&good[..len])
            .map_err(Refused::from)
            .and_then(|proof| proof.verify(&EPOCH.key, &CONTEXT, Rounds::MIN));
        assert!(matches!(verdict, Err(Refused::Malformed(_))), "{len} bytes: {verdict:?}");
    }
    let good = SINGLE.to_bytes();
    let key = secret(1).public_key();
    for len in (32..good.len()).step_by(3) {
        let verdict = SingleProof::from_bytes(&good[..len]).unwrap().verify(&key, &CONTEXT, VIEW, &LATER);
        assert_eq!(verdict, Err(Malformed::Argument.into()), "{len} bytes");
    }
}

#[test]
fn noise_is_no_proof() {
    let mut rng = rng(14);
    for round in 0..count(20_000) {
        let mut bytes = vec![0; rng.random_range(0..6_000)];
        rng.fill(&mut bytes[..]);
        for (byte, good) in bytes.iter_mut().zip([1, 6]) {
            *byte = good;
        }
        // Behind good leaves, so that the argument is looked at.
        if round % 2 == 0 {
            bytes = [&EPOCH.proof.to_bytes()[..2 + 63 * 32], &bytes].concat();
        }
        let verdict = EpochProof::from_bytes(&bytes)
            .map_err(Refused::from)
            .and_then(|proof| proof.verify(&EPOCH.key, &CONTEXT, Rounds::MIN));
        assert!(!matches!(verdict, Ok(_) | Err(Refused::Panicked)), "round {round}: {verdict:?}");
    }
}

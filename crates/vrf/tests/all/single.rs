//! Proofs of one view by itself: what holds, and that nothing else does.

use crate::fixtures::{CONTEXT, EPOCH, LATER, SINGLE, VIEW, other_contexts, other_keys, rng, secret};
use baton_vrf::{Beacon, Malformed, PROOF_BYTES_MAX, Refused, Rounds, SingleProof};
use std::collections::BTreeSet;

#[test]
fn proofs_hold_and_their_outputs_are_unique() {
    let key = secret(1).public_key();
    let output = SINGLE.verify(&key, &CONTEXT, VIEW, &LATER).unwrap();
    let bytes = SINGLE.to_bytes();
    assert!(bytes.len() < 40_000, "{}", bytes.len());
    assert_eq!(SingleProof::from_bytes(&bytes).unwrap(), *SINGLE);
    let again = SingleProof::new(&secret(1), &CONTEXT, VIEW, &mut rng(9)).unwrap();
    assert_ne!(again, *SINGLE, "masks are fresh");
    assert_eq!(again.verify(&key, &CONTEXT, VIEW, &LATER), Ok(output));
    assert_ne!(again.verify(&key, &CONTEXT, VIEW, &Beacon([0; 32])), Ok(output));
}

#[test]
fn views_and_turns_have_nothing_in_common() {
    let mut openings: BTreeSet<_> =
        (0..63).map(|turn| EPOCH.secrets.reveal(turn).unwrap().opening.to_bytes()).collect();
    for view in 0..5 {
        let proof = SingleProof::new(&secret(1), &CONTEXT, view, &mut rng(9)).unwrap();
        openings.insert(proof.opening().to_bytes());
    }
    assert_eq!(openings.len(), 68);
}

#[test]
fn proofs_hold_for_their_own_context_only() {
    let key = secret(1).public_key();
    for context in other_contexts() {
        let verdict = SINGLE.verify(&key, &context, VIEW, &LATER);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "{context:?}: {verdict:?}");
    }
    for view in (0..64).map(|bit| VIEW ^ 1 << bit) {
        let verdict = SINGLE.verify(&key, &CONTEXT, view, &LATER);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "view {view}: {verdict:?}");
    }
}

#[test]
fn proofs_hold_for_their_own_key_only() {
    for key in other_keys(&secret(1).public_key()).into_iter().chain([secret(2).public_key()]) {
        let verdict = SINGLE.verify(&key, &CONTEXT, VIEW, &LATER);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "{key:?}: {verdict:?}");
    }
}

#[test]
fn every_bit_of_the_opening_counts() {
    let key = secret(1).public_key();
    let good = SINGLE.to_bytes();
    for bit in 0..256 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = SingleProof::from_bytes(&bytes) {
            let verdict = other.verify(&key, &CONTEXT, VIEW, &LATER);
            assert!(matches!(verdict, Err(Refused::Proof(_))), "bit {bit}: {verdict:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_proof_are_refused_with_the_reason() {
    let good = SINGLE.to_bytes();
    for len in [0, 1, 31] {
        let error = SingleProof::from_bytes(&good[..len]).unwrap_err();
        assert!(matches!(error, Malformed::Length { found, .. } if found == len), "{len}");
    }
    let long = vec![1; PROOF_BYTES_MAX + 1];
    assert!(matches!(SingleProof::from_bytes(&long), Err(Malformed::Length { .. })));
    let other_suite = [&[2], &good[1..]].concat();
    assert_eq!(SingleProof::from_bytes(&other_suite), Err(Malformed::Suite(2)));
    let key = secret(1).public_key();
    for bytes in [&good[..32], &good[..good.len() - 1], &[&good[..], &[0]].concat()] {
        let verdict = SingleProof::from_bytes(bytes).unwrap().verify(&key, &CONTEXT, VIEW, &LATER);
        assert_eq!(verdict, Err(Malformed::Argument.into()), "{} bytes", bytes.len());
    }
    // An epoch's argument is none for a view, and the other way round.
    let epoch = EPOCH.proof.to_bytes();
    let swapped = [&good[..32], &epoch[2 + 63 * 32..]].concat();
    let verdict = SingleProof::from_bytes(&swapped).unwrap().verify(&key, &CONTEXT, VIEW, &LATER);
    assert!(verdict.is_err());
    let swapped = [&epoch[..2 + 63 * 32], &good[32..]].concat();
    let swapped = baton_vrf::EpochProof::from_bytes(&swapped).unwrap();
    assert!(swapped.verify(&EPOCH.key, &CONTEXT, Rounds::MIN).is_err());
}

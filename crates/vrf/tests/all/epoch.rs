//! Epoch proofs and reveals: what holds, and that nothing else does.

use crate::fixtures::{CONTEXT, EPOCH, LATER, other_contexts, other_keys, rng, secret};
use baton_vrf::{
    Beacon, EpochProof, EpochSecrets, Leaf, Malformed, Opening, PROOF_BYTES_MAX, Refused, Reveal, Rounds,
    Suite,
};
use std::collections::BTreeSet;

const HEAD: usize = 2;

#[test]
fn proofs_of_every_length_hold() {
    for rounds in [63, 127, 255].map(|count| Rounds::new(count).unwrap()) {
        let secrets = EpochSecrets::new(&secret(1), CONTEXT, rounds);
        let proof = secrets.prove(&mut rng(3)).unwrap();
        let bytes = proof.to_bytes();
        assert!(bytes.len() < PROOF_BYTES_MAX / 2);
        let again = EpochProof::from_bytes(&bytes).unwrap();
        assert_eq!(again, proof);
        let commitment = again.verify(&secret(1).public_key(), &CONTEXT, rounds).unwrap();
        assert_eq!((commitment.root, commitment.proof_hash), (secrets.root(), proof.hash()));
        assert_eq!((proof.rounds(), proof.leaves().len()), (rounds, rounds.count().try_into().unwrap()));
    }
}

/// The largest proof that the parameters make fits the limit.
#[test]
fn the_longest_epoch_fits() {
    let proof = EpochSecrets::new(&secret(1), CONTEXT, Rounds::MAX).prove(&mut rng(3)).unwrap();
    let bytes = proof.to_bytes();
    assert!(bytes.len() < PROOF_BYTES_MAX * 9 / 10, "{}", bytes.len());
    let again = EpochProof::from_bytes(&bytes).unwrap();
    again.verify(&secret(1).public_key(), &CONTEXT, Rounds::MAX).unwrap();
}

#[test]
fn every_turn_reveals_what_was_proven() {
    let mut outputs = BTreeSet::new();
    for (turn, leaf) in (0..).zip(EPOCH.proof.leaves()) {
        let reveal = EPOCH.secrets.reveal(turn).unwrap();
        assert_eq!(reveal.opening.leaf(), *leaf);
        let bytes = reveal.to_bytes();
        assert_eq!(bytes.len(), 4 + 32 + 6 * 32);
        let again = Reveal::from_bytes(&bytes).unwrap();
        assert_eq!(again, reveal);
        outputs.insert(again.verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER).unwrap().0);
    }
    assert_eq!(outputs.len(), 63, "outputs differ");
    assert!(EPOCH.secrets.reveal(63).is_none());
    assert!(EPOCH.secrets.reveal(u32::MAX).is_none());
}

/// Openings follow from key, context and turn alone: not from the number of rounds, nor from randomness.
#[test]
fn openings_are_unique() {
    let longer = EpochSecrets::new(&secret(1), CONTEXT, Rounds::new(127).unwrap());
    for turn in 0..63 {
        assert_eq!(longer.reveal(turn).unwrap().opening, EPOCH.secrets.reveal(turn).unwrap().opening);
    }
    let mut seen = BTreeSet::new();
    for number in 1..4 {
        for context in other_contexts().step_by(40).chain([CONTEXT]) {
            let secrets = EpochSecrets::new(&secret(number), context, Rounds::MIN);
            seen.extend((0..63).map(|turn| secrets.reveal(turn).unwrap().opening.to_bytes()));
        }
    }
    assert_eq!(seen.len(), 3 * 16 * 63);
}

#[test]
fn two_proofs_of_one_statement_differ_and_commit_to_one_root() {
    let again = EPOCH.secrets.prove(&mut rng(102)).unwrap();
    assert_ne!(again, EPOCH.proof);
    assert_eq!(again.leaves(), EPOCH.proof.leaves());
    let commitment = again.verify(&EPOCH.key, &CONTEXT, Rounds::MIN).unwrap();
    assert_eq!(commitment.root, EPOCH.commitment.root);
    assert_ne!(commitment.proof_hash, EPOCH.commitment.proof_hash);
}

/// The same generator twice: the statement and the secret still keep the masks apart.
#[test]
fn a_generator_that_repeats_makes_other_masks_for_another_statement() {
    let argument = |context| {
        let proof = EpochSecrets::new(&secret(1), context, Rounds::MIN).prove(&mut rng(102)).unwrap();
        proof.to_bytes()[HEAD + 63 * 32..].to_vec()
    };
    let other = other_contexts().next().unwrap();
    assert_eq!(argument(CONTEXT), argument(CONTEXT), "nothing else is random");
    let (one, two) = (argument(CONTEXT), argument(other));
    let shared = one.windows(16).step_by(16).filter(|part| two.windows(16).any(|other| other == *part));
    assert_eq!(shared.count(), 0);
}

#[test]
fn proofs_hold_for_their_own_context_only() {
    for context in other_contexts() {
        let verdict = EPOCH.proof.verify(&EPOCH.key, &context, Rounds::MIN);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "{context:?}: {verdict:?}");
    }
}

#[test]
fn proofs_hold_for_their_own_key_only() {
    for key in other_keys(&EPOCH.key).into_iter().chain([secret(2).public_key()]) {
        let verdict = EPOCH.proof.verify(&key, &CONTEXT, Rounds::MIN);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "{key:?}: {verdict:?}");
    }
}

#[test]
fn proofs_hold_for_their_own_rounds_only() {
    for rounds in Rounds::all().skip(1) {
        let verdict = EPOCH.proof.verify(&EPOCH.key, &CONTEXT, rounds);
        assert_eq!(verdict, Err(Refused::Rounds { found: 63, expected: rounds.count() }));
    }
}

/// The proof's bytes with the leaf of `turn` replaced.
fn with_leaf(turn: usize, leaf: &Leaf) -> EpochProof {
    let mut bytes = EPOCH.proof.to_bytes();
    bytes[HEAD + 32 * turn..][..32].copy_from_slice(&leaf.to_bytes());
    EpochProof::from_bytes(&bytes).unwrap()
}

#[test]
fn proofs_hold_for_their_own_leaves_only() {
    let foreign = EpochSecrets::new(&secret(2), CONTEXT, Rounds::MIN);
    let leaves = EPOCH.proof.leaves();
    let mut cases = Vec::new();
    for turn in 0..63 {
        cases.push(with_leaf(turn, &foreign.reveal(turn.try_into().unwrap()).unwrap().opening.leaf()));
        cases.push(with_leaf(turn, &leaves[(turn + 1) % 63]));
        let mut bytes = leaves[turn].to_bytes();
        bytes[1 + turn % 31] ^= 1;
        cases.push(with_leaf(turn, &Leaf::from_bytes(&bytes).unwrap()));
    }
    // All leaves moved by one turn, and two of them exchanged.
    for (from, to) in [(0, 1), (61, 62)] {
        let mut bytes = EPOCH.proof.to_bytes();
        let (one, two) = (leaves[from].to_bytes(), leaves[to].to_bytes());
        bytes[HEAD + 32 * from..][..32].copy_from_slice(&two);
        bytes[HEAD + 32 * to..][..32].copy_from_slice(&one);
        cases.push(EpochProof::from_bytes(&bytes).unwrap());
    }
    let mut bytes = EPOCH.proof.to_bytes();
    bytes[HEAD..HEAD + 32 * 63].rotate_left(32);
    cases.push(EpochProof::from_bytes(&bytes).unwrap());
    for (number, case) in cases.iter().enumerate() {
        let verdict = case.verify(&EPOCH.key, &CONTEXT, Rounds::MIN);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "case {number}: {verdict:?}");
    }
}

#[test]
fn arguments_belong_to_their_statement() {
    let other = EpochSecrets::new(&secret(2), CONTEXT, Rounds::MIN).prove(&mut rng(4)).unwrap().to_bytes();
    let own = EPOCH.proof.to_bytes();
    let end = HEAD + 32 * 63;
    let spliced = EpochProof::from_bytes(&[&own[..end], &other[end..]].concat()).unwrap();
    assert!(spliced.verify(&EPOCH.key, &CONTEXT, Rounds::MIN).is_err());
    assert!(spliced.verify(&secret(2).public_key(), &CONTEXT, Rounds::MIN).is_err());
}

fn reveal() -> Reveal {
    EPOCH.secrets.reveal(20).unwrap()
}

#[test]
fn reveals_hold_for_their_own_key_context_and_root_only() {
    let root = EPOCH.commitment.root;
    assert!(reveal().verify(&root, &EPOCH.key, &CONTEXT, &LATER).is_ok());
    for context in other_contexts() {
        assert_eq!(reveal().verify(&root, &EPOCH.key, &context, &LATER), Err(Refused::Root), "{context:?}");
    }
    for key in other_keys(&EPOCH.key) {
        assert_eq!(reveal().verify(&root, &key, &CONTEXT, &LATER), Err(Refused::Root), "{key:?}");
    }
    for bit in 0..256 {
        let mut root = root;
        root[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(reveal().verify(&root, &EPOCH.key, &CONTEXT, &LATER), Err(Refused::Root), "bit {bit}");
    }
}

/// Every bit of a reveal: its bytes are refused, or do not lead to the root.
#[test]
fn every_bit_of_a_reveal_counts() {
    let good = reveal().to_bytes();
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Reveal::from_bytes(&bytes) {
            assert_eq!(other.to_bytes(), bytes);
            let verdict = other.verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER);
            assert!(matches!(verdict, Err(Refused::Root | Refused::Turn { .. })), "bit {bit}: {verdict:?}");
        }
    }
    for len in 0..=good.len() + 40 {
        let bytes: Vec<_> = good.iter().copied().chain([0; 40]).take(len).collect();
        let leads = Reveal::from_bytes(&bytes)
            .is_ok_and(|reveal| reveal.verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER).is_ok());
        assert_eq!(leads, len == good.len(), "{len} bytes");
    }
}

#[test]
fn a_reveal_holds_in_its_turn_only() {
    for turn in (0..70).chain([127, 128, u32::MAX]).filter(|turn| *turn != 20) {
        let verdict =
            Reveal { turn, ..reveal() }.verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER);
        let expect = if turn < 63 { Refused::Root } else { Refused::Turn { turn, rounds: 63 } };
        assert_eq!(verdict, Err(expect));
    }
    let longer = EpochSecrets::new(&secret(1), CONTEXT, Rounds::new(127).unwrap());
    let verdict = longer.reveal(20).unwrap().verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &LATER);
    assert_eq!(verdict, Err(Refused::Root), "the root of another number of rounds");
}

/// The key stands in the last place of the tree; it is no leaf.
#[test]
fn the_place_of_the_key_is_no_turn() {
    for opening in [EPOCH.key.to_bytes(), *secret(1).to_bytes(), reveal().opening.to_bytes()] {
        let opening = Opening::from_bytes(&opening).unwrap();
        let verdict = Reveal { turn: 63, opening, ..reveal() }.verify(
            &EPOCH.commitment.root,
            &EPOCH.key,
            &CONTEXT,
            &LATER,
        );
        assert_eq!(verdict, Err(Refused::Turn { turn: 63, rounds: 63 }));
    }
}

#[test]
fn outputs_depend_on_the_later_beacon() {
    let output = |later| reveal().verify(&EPOCH.commitment.root, &EPOCH.key, &CONTEXT, &later).unwrap().0;
    let base = output(LATER);
    assert_eq!(output(LATER), base);
    for bit in 0..256 {
        let mut later = LATER;
        later.0[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(output(later), base, "bit {bit}");
    }
    assert_ne!(Beacon::of(b"a"), Beacon::of(b"b"));
}

#[test]
fn bytes_that_are_no_proof_are_refused_with_the_reason() {
    let good = EPOCH.proof.to_bytes();
    let decode = |bytes: &[u8]| EpochProof::from_bytes(bytes).unwrap_err();
    for suite in (0..=u8::MAX).filter(|suite| *suite != Suite::CURRENT.number()) {
        assert_eq!(decode(&[&[suite], &good[1..]].concat()), Malformed::Suite(suite));
    }
    for depth in (0..=u8::MAX).filter(|depth| !(6..=11).contains(depth)) {
        let bytes = [&good[..1], &[depth], &good[2..]].concat();
        assert!(matches!(decode(&bytes), Malformed::Rounds(_)), "{depth}");
    }
    for len in [0, 1, 2, 33, HEAD + 63 * 32 - 1] {
        assert!(matches!(decode(&good[..len]), Malformed::Length { found, .. } if found == len), "{len}");
    }
    let long = [&good[..], &vec![0; PROOF_BYTES_MAX]].concat();
    assert!(matches!(decode(&long), Malformed::Length { found, .. } if found == long.len()));
    for turn in [0, 62] {
        let mut bytes = good.clone();
        bytes[HEAD + 32 * turn + 1..][..4].fill(0xff);
        assert_eq!(decode(&bytes), Malformed::OutOfField { what: "leaf" });
        bytes[HEAD + 32 * turn] = 2;
        assert_eq!(decode(&bytes), Malformed::Suite(2));
    }
    let verify = |bytes: &[u8]| {
        EpochProof::from_bytes(bytes).unwrap().verify(&EPOCH.key, &CONTEXT, Rounds::MIN).unwrap_err()
    };
    assert_eq!(verify(&good[..HEAD + 63 * 32]), Malformed::Argument.into());
    assert_eq!(verify(&good[..good.len() - 1]), Malformed::Argument.into());
    assert_eq!(verify(&[&good[..], &[0]].concat()), Malformed::Argument.into());
}

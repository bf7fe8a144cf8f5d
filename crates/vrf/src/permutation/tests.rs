use super::*;
use rand::{SeedableRng as _, rngs::StdRng};

/// What circuits step through is the library's permutation.
#[test]
fn steps_make_the_permutation() {
    let mut rng = StdRng::from_seed([1; 32]);
    for _ in 0..20 {
        let start = join(Words::random(&mut rng), Words::random(&mut rng));
        let mut state = start;
        first_layer(&mut state);
        for round in Round::all() {
            round.substitute(&mut state);
            round.mix(&mut state);
        }
        assert_eq!(state, POSEIDON2.permute(start));
    }
    assert_eq!(Round::all().count(), ROUNDS);
    let boxes: usize = Round::all().map(|round| round.constants().len()).sum();
    assert_eq!(boxes, FULL_ROUNDS * WIDTH + PARTIAL_ROUNDS);
    assert_eq!((FULL_ROUNDS, PARTIAL_ROUNDS), (8, 20), "the suite's name says so");
}

/// No function of the construction gives what another does.
#[test]
fn functions_of_one_input_differ() {
    let input = Words::hash(b"test", &[]);
    let (key, link) = key_and_link(input);
    let all = [input, key, link, leaf(input), opening(input, link), key_iv(), leaf_iv()];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{i}");
    }
    assert!(split(&join(key, link)) == (key, link));
}

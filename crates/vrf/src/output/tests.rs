use super::*;

const N: fn(u32) -> NonZeroU32 = |n| NonZeroU32::new(n).unwrap();

fn output(number: u8) -> Output {
    Output([number; 32])
}

/// Digit by digit in base 256, with plain remainders.
fn reduce_slowly(hash: &[u8; 32], modulus: u32) -> u32 {
    let rest = hash.iter().fold(0u64, |rest, byte| (rest * 256 + u64::from(*byte)) % u64::from(modulus));
    rest.try_into().unwrap()
}

#[test]
fn candidates_are_all_256_bits_modulo_the_members() {
    for members in [1, 2, 3, 4, 7, 100, 65_537, u32::MAX] {
        for counter in 0..50 {
            let hash = domain::hash(domain::DRAW, &[&output(9).0, &u32::to_be_bytes(counter)]);
            let candidate = output(9).candidate(counter, N(members));
            assert_eq!(candidate, reduce_slowly(&hash, members), "{counter} of {members}");
        }
    }
}

#[test]
fn the_first_that_is_not_benched_is_drawn() {
    for members in [4, 7, 100] {
        for number in 0..100 {
            let candidates: Vec<_> =
                (0..20).map(|counter| output(number).candidate(counter, N(members))).collect();
            let draw = |benched: &[u32]| output(number).draw(N(members), |member| benched.contains(&member));
            assert_eq!(draw(&[]), Some(candidates[0]));
            let benched = &candidates[..2];
            let expect = candidates.iter().copied().find(|candidate| !benched.contains(candidate));
            assert_eq!(draw(benched), expect);
            let others: Vec<_> = (0..members).filter(|member| *member != candidates[0]).collect();
            assert_eq!(draw(&others), Some(candidates[0]), "benching others changes nothing");
        }
    }
}

/// Among a thousand members of which one is left, candidates run out.
#[test]
fn a_draw_ends() {
    let members = 1_000;
    let mut walked = 0;
    for number in 0..20 {
        for left in [0, 1, 500, 999] {
            let drawn = output(number).draw(N(members), |member| member != left);
            assert_eq!(drawn, Some(left));
            let hit =
                (0..CANDIDATES_MAX).any(|counter| output(number).candidate(counter, N(members)) == left);
            walked += u32::from(!hit);
        }
        let last = output(number).candidate(CANDIDATES_MAX - 1, N(members));
        let pair = [(last + 1) % members, (last + members - 1) % members];
        let hit =
            (0..CANDIDATES_MAX).any(|counter| pair.contains(&output(number).candidate(counter, N(members))));
        if !hit {
            let drawn = output(number).draw(N(members), |member| !pair.contains(&member));
            assert_eq!(drawn, Some(pair[0]), "the walk goes up");
        }
        assert_eq!(output(number).draw(N(members), |_| true), None);
    }
    assert!(walked > 0, "no case left the candidates");
    assert_eq!(output(1).draw(N(1), |_| false), Some(0));
}

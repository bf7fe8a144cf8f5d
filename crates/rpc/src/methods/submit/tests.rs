use super::*;
use crate::testing::chain;
use baton_types::{api::RollupRef, hex::Hex};

fn submission(rollup: RollupRef, fee_hint: Option<&str>) -> Submission {
    Submission { rollup, data: Hex(vec![1, 2]), valid_until: None, fee_hint: fee_hint.map(str::to_owned) }
}

fn named(name: &str) -> RollupRef {
    RollupRef::Name(name.to_owned())
}

#[test]
fn submissions_become_units() {
    fn check(submission: Submission, expect: Result<(u32, u64, u64), &str>) {
        let got = unit(&chain(), submission, 1_000).map_err(|refusal| refusal.to_string());
        let got = got.map(|unit| match unit {
            Unit::Single { rollup, transaction, fee_hint } => {
                assert_eq!(transaction.payload, [1, 2].as_slice());
                (rollup.0, transaction.valid_until, fee_hint)
            }
            Unit::Bundle(_) => panic!("a bundle"),
        });
        assert_eq!(got, expect.map_err(str::to_owned));
    }
    check(submission(named("demo"), None), Ok((1, 1_000, 0)));
    check(submission(named("2"), None), Ok((2, 1_000, 0)));
    check(submission(RollupRef::Id(2), Some("18446744073709551615")), Ok((2, 1_000, u64::MAX)));
    check(Submission { valid_until: Some(3), ..submission(named("demo"), None) }, Ok((1, 3, 0)));
    check(
        submission(named("dmeo"), None),
        Err("unknown_rollup: no rollup \"dmeo\"; this cluster has demo (id 1), notes (id 2)"),
    );
    check(
        submission(RollupRef::Id(9), None),
        Err("unknown_rollup: no rollup \"9\"; this cluster has demo (id 1), notes (id 2)"),
    );
    for hint in ["", "-1", "+1", "0x1", "18446744073709551616"] {
        let error = format!(
            "bad_request: fee_hint {hint:?}; expected a decimal string from 0 to 18446744073709551615"
        );
        check(submission(named("demo"), Some(hint)), Err(&error));
    }
}

#[test]
fn legs_are_ordered_for_the_block_and_reported_as_sent() {
    let leg = |rollup: u32, byte| LegSubmission { rollup: RollupRef::Id(rollup), data: Hex(vec![byte]) };
    let (bundle, order) = bundle(&chain(), vec![leg(2, 1), leg(1, 2), leg(2, 3), leg(1, 4)], 50).unwrap();
    let legs: Vec<_> = bundle.legs.iter().map(|(rollup, leg)| (rollup.0, leg.payload[0])).collect();
    assert_eq!(legs, [(1, 2), (1, 4), (2, 1), (2, 3)]);
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn bundles_have_a_bounded_number_of_legs() {
    let leg = LegSubmission { rollup: RollupRef::Id(1), data: Hex(vec![1]) };
    for legs in [vec![], vec![leg; Bundle::LEGS_MAX + 1]] {
        assert_eq!(bundle(&chain(), legs, 50).unwrap_err().reason, Reason::BadBundle);
    }
}

#[test]
fn outcomes_go_back_to_their_places() {
    let refusal = |reason| Refusal::new(reason, "");
    let malformed = vec![None, Some(refusal(Reason::UnknownRollup)), None, None];
    let results = vec![Ok(vec![TxId([1; 32])]), Err(refusal(Reason::Duplicate))];
    let reasons: Vec<_> = entries(malformed, results)
        .into_iter()
        .map(|entry| entry.error.map(|error| error.reason).ok_or(entry.id.unwrap_or_default()))
        .collect();
    let id = TxId([1; 32]).to_string();
    assert_eq!(reasons, [Err(id), Ok(Reason::UnknownRollup), Ok(Reason::Duplicate), Ok(Reason::Internal)]);
}

use super::*;
use crate::merkle::EMPTY;

#[test]
fn the_ladder_goes_up() {
    assert!(Rung::ALL.is_sorted());
    for (below, above) in Rung::ALL.iter().zip(&Rung::ALL[1..]) {
        assert!(below < above, "{below} is below {above}");
    }
    let ends = [
        Rung::Expired,
        Rung::Rejected,
        Rung::Executed,
        Rung::Skipped,
        Rung::Superseded,
        Rung::Posted,
        Rung::Settled,
    ];
    for rung in Rung::ALL {
        assert_eq!(rung.is_end(true, false), ends.contains(&rung), "{rung}");
        assert_eq!(rung.is_end(false, false), ends.contains(&rung) || rung == Rung::Finalized, "{rung}");
        for executed in [false, true] {
            let to_l1 = ends.contains(&rung) && !matches!(rung, Rung::Executed | Rung::Posted);
            assert_eq!(rung.is_end(executed, true), to_l1, "{rung}");
        }
        assert!(!rung.is_failure() || rung.is_end(true, true), "{rung}");
    }
}

#[test]
fn rungs_have_one_name() {
    for rung in Rung::ALL {
        assert_eq!(rung.name().parse(), Ok(rung));
        assert_eq!(rung.to_string(), rung.name());
        assert_eq!(serde_json::to_value(rung).unwrap(), rung.name());
        assert_eq!(serde_json::from_value::<Rung>(rung.name().into()).unwrap(), rung);
    }
    let error = "final".parse::<Rung>().unwrap_err();
    assert!(
        error.contains("\"final\"") && error.contains("pending") && error.contains("finalized"),
        "{error}"
    );
}

#[test]
fn reasons_have_one_name() {
    for reason in Reason::ALL {
        assert_eq!(reason.to_string(), reason.name());
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
    }
    assert!(Reason::ALL.is_sorted());
}

#[test]
fn refusals_say_what_and_when_to_retry() {
    let refusal = Refusal::new(Reason::Busy, "mempool is full").retry_after(250);
    assert_eq!(refusal.to_string(), "busy: mempool is full");
    assert_eq!(refusal.retry_after_ms, Some(250));
}

fn receipt() -> Receipt {
    let ids = vec![TxId([1; 32]), TxId([2; 32])];
    Receipt::sign(&PrivateKey::from_seed(1), EMPTY, Rung::Pending, 5, ids)
}

#[test]
fn a_receipt_holds_for_what_it_says() {
    assert!(receipt().verify());
    assert!(Receipt::sign(&PrivateKey::from_seed(1), EMPTY, Rung::Pending, 5, Vec::new()).verify());
    type Change = fn(&mut Receipt);
    let changes: [(&str, Change); 9] = [
        ("chain", |receipt| receipt.chain.0[0] ^= 1),
        ("node", |receipt| receipt.node = PrivateKey::from_seed(2).public_key()),
        ("rung", |receipt| receipt.rung = Rung::Replicated),
        ("time", |receipt| receipt.time_ms += 1),
        ("an id", |receipt| receipt.ids[1].0[31] ^= 1),
        ("order", |receipt| receipt.ids.swap(0, 1)),
        ("one less", |receipt| receipt.ids.truncate(1)),
        ("one more", |receipt| receipt.ids.push(TxId([3; 32]))),
        ("signature", |receipt| {
            let other = Receipt::sign(&PrivateKey::from_seed(1), EMPTY, Rung::Pending, 6, Vec::new());
            receipt.signature = other.signature;
        }),
    ];
    for (what, change) in changes {
        let mut bad = receipt();
        change(&mut bad);
        assert!(!bad.verify(), "verifies with another {what}");
    }
}

//! Keys and small values.

use crate::fixtures::{CONTEXT, EPOCH, rng, secret};
use baton_vrf::{
    EpochProof, EpochSecrets, Malformed, Opening, PublicKey, Reveal, Rounds, SecretKey, SingleProof, Suite,
};

#[test]
fn keys_survive_their_encoding() {
    for number in 0..50 {
        let secret = secret(number);
        let again = SecretKey::from_bytes(&*secret.to_bytes()).unwrap();
        assert_eq!(again.public_key(), secret.public_key());
        let key = secret.public_key();
        assert_eq!(PublicKey::from_bytes(&key.to_bytes()), Ok(key));
        assert_eq!(key.to_bytes()[0], 1, "the suite comes first");
        assert_ne!(*secret.to_bytes(), key.to_bytes());
    }
    assert_ne!(secret(1).public_key(), secret(2).public_key());
}

#[test]
fn bytes_that_are_no_key_are_refused_with_the_reason() {
    let good = secret(1).public_key().to_bytes();
    assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(Malformed::Suite(0)), "where a key is missing");
    assert_eq!(
        PublicKey::from_bytes(&good[..31]),
        Err(Malformed::Length { what: "public key", found: 31, expected: "32".to_owned() })
    );
    let mut over = [0xff; 32];
    over[0] = 1;
    assert_eq!(PublicKey::from_bytes(&over), Err(Malformed::OutOfField { what: "public key" }));
    let error = SecretKey::from_bytes(&over).unwrap_err();
    assert_eq!(error, Malformed::OutOfField { what: "secret key" });
    assert!(Suite::try_from(2).unwrap_err().to_string().contains("knows suite 1"));
}

#[test]
fn secrets_do_not_show() {
    let secret = secret(5);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secrets = EpochSecrets::new(&secret, CONTEXT, Rounds::MIN);
    let reveal = secrets.reveal(0).unwrap();
    for text in [
        format!("{secret:?}"),
        format!("{secrets:?}"),
        format!("{reveal:?}"),
        format!("{:#?}", reveal.opening),
    ] {
        assert!(!text.contains(&hex(&secret.to_bytes()[1..9])), "{text}");
        assert!(!text.contains(&hex(&reveal.opening.to_bytes()[1..9])), "{text}");
    }
    assert_eq!(format!("{secret:?}"), "SecretKey(…)");
    let key = secret.public_key();
    assert_eq!(format!("{key:?}"), format!("PublicKey({})", hex(&key.to_bytes())));
}

#[test]
fn rounds_are_one_less_than_a_power_of_two() {
    let valid: Vec<_> = (0..5_000).filter(|count| Rounds::new(*count).is_ok()).collect();
    assert_eq!(valid, [63, 127, 255, 511, 1023, 2047]);
    assert_eq!(Rounds::new(64), Err(Malformed::Rounds(64)));
    assert_eq!(Rounds::all().map(Rounds::count).collect::<Vec<_>>(), valid);
    assert_eq!((Rounds::MIN.to_string(), Rounds::MAX.to_string()), ("63".to_owned(), "2047".to_owned()));
}

/// Proving takes long enough to be moved to another thread, and the result comes back.
#[test]
fn everything_can_go_to_another_thread() {
    fn check<T: Send + Sync + 'static>() {}
    check::<SecretKey>();
    check::<EpochSecrets>();
    check::<EpochProof>();
    check::<Reveal>();
    check::<SingleProof>();
    check::<Opening>();
    let proof = std::thread::spawn(|| {
        EpochSecrets::new(&secret(1), CONTEXT, Rounds::MIN).prove(&mut rng(100)).unwrap()
    });
    assert_eq!(proof.join().unwrap(), EPOCH.proof);
}

//! Golden vectors: every encoding and hash, byte for byte.
//!
//! `cargo xtask vectors` writes them anew. A difference is a break of the protocol.
//!
//! A proof is masked at random, so its file is not made anew while it verifies: what must never change is
//! that it does.

use crate::fixtures::{rng, secret};
use baton_vrf::{
    Beacon, Context, EpochProof, EpochSecrets, Output, PublicKey, Reveal, Rounds, SecretKey, SingleProof,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, num::NonZeroU32, path::PathBuf};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors").join(name)
}

fn bless() -> bool {
    std::env::var_os("BATON_BLESS").is_some()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// With its keys in order, whatever map serde_json is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn text(value: Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n"
}

fn context(number: u8) -> Context {
    Context { chain: [number; 32], epoch: 3, beacon: Beacon::of(&[number]) }
}

const LATER: Beacon = Beacon([0x55; 32]);

fn context_json(context: &Context) -> Value {
    json!({"chain": hex(&context.chain), "epoch": context.epoch, "beacon": hex(&context.beacon.0)})
}

fn draws(output: &Output) -> Value {
    let draw = |members: u32, benched: &[u32]| {
        let drawn = output.draw(NonZeroU32::new(members).unwrap(), |member| benched.contains(&member));
        json!({"members": members, "benched": benched, "drawn": drawn})
    };
    json!([
        draw(1, &[]),
        draw(4, &[]),
        draw(4, &[0, 1, 2]),
        draw(7, &[]),
        draw(7, &[1, 5]),
        draw(100, &[]),
        draw(u32::MAX, &[]),
        draw(2, &[0, 1]),
    ])
}

/// Everything that follows from one secret in one epoch.
fn epoch(number: u8, secret: &SecretKey, rounds: u32, turns: &[u32]) -> Value {
    let context = context(number);
    let secrets = EpochSecrets::new(secret, context, Rounds::new(rounds).unwrap());
    let key = secret.public_key();
    let turns: Vec<_> = turns
        .iter()
        .map(|turn| {
            let reveal = secrets.reveal(*turn).unwrap();
            let output = reveal.verify(&secrets.root(), &key, &context, &LATER).unwrap();
            json!({
                "turn": turn,
                "opening": hex(&reveal.opening.to_bytes()),
                "leaf": hex(&reveal.opening.leaf().to_bytes()),
                "reveal": hex(&reveal.to_bytes()),
                "output": hex(&output.0),
                "draws": draws(&output),
            })
        })
        .collect();
    json!({
        "secret_key": hex(&*secret.to_bytes()),
        "public_key": hex(&key.to_bytes()),
        "context": context_json(&context),
        "rounds": rounds,
        "root": hex(&secrets.root()),
        "later_beacon": hex(&LATER.0),
        "turns": turns,
    })
}

/// The secret with the largest element in every place.
fn largest_secret() -> SecretKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    for place in (0..8).flat_map(|word| (24..31).map(move |bit| 31 * word + bit)) {
        bytes[1 + place / 8] |= 1 << (place % 8);
    }
    SecretKey::from_bytes(&bytes).unwrap()
}

#[test]
fn golden() {
    let mut zero = [0; 32];
    zero[0] = 1;
    let expected = text(json!([
        epoch(1, &SecretKey::from_bytes(&zero).unwrap(), 63, &[0, 1, 62]),
        epoch(2, &largest_secret(), 127, &[0, 126]),
        epoch(3, &secret(3), 2047, &[0, 1_000, 2_046]),
    ]));
    let path = path("vrf.json");
    if bless() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "specs/vectors/vrf.json differs; if that is meant: cargo xtask vectors");
}

#[test]
fn beacons() {
    assert_eq!(
        hex(&Beacon::of(b"").0),
        hex(blake3::hash(b"_BATON_VRF_BEACON").as_bytes()),
        "the domain and nothing else"
    );
}

/// The file, made anew only where it does not `hold`.
fn proof_file(name: &str, make: impl Fn() -> Value, holds: impl Fn(&Value) -> bool) {
    let path = path(name);
    let read = || {
        let text = fs::read_to_string(&path).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    if bless() && !read().is_some_and(|value| holds(&value)) {
        fs::write(&path, text(make())).unwrap();
    }
    let found = read().unwrap_or_else(|| panic!("no specs/vectors/{name}; cargo xtask vectors writes it"));
    assert!(holds(&found), "specs/vectors/{name} does not verify; if that is meant: cargo xtask vectors");
}

#[test]
fn epoch_proof() {
    let (secret, context) = (secret(4), context(4));
    let secrets = EpochSecrets::new(&secret, context, Rounds::MIN);
    let make = || {
        let proof = secrets.prove(&mut rng(50)).unwrap();
        json!({
            "public_key": hex(&secret.public_key().to_bytes()),
            "context": context_json(&context),
            "rounds": Rounds::MIN.count(),
            "proof": hex(&proof.to_bytes()),
            "root": hex(&secrets.root()),
            "proof_hash": hex(&proof.hash()),
            "reveal": hex(&secrets.reveal(5).unwrap().to_bytes()),
        })
    };
    proof_file("vrf-epoch-proof.json", make, |value| {
        let key = PublicKey::from_bytes(&unhex(&value["public_key"])).unwrap();
        let proof = EpochProof::from_bytes(&unhex(&value["proof"])).unwrap();
        let commitment = proof.verify(&key, &context, Rounds::MIN);
        let reveal = Reveal::from_bytes(&unhex(&value["reveal"])).unwrap();
        value["context"] == context_json(&context)
            && key == secret.public_key()
            && commitment.is_ok_and(|commitment| {
                value["root"] == hex(&commitment.root)
                    && value["proof_hash"] == hex(&commitment.proof_hash)
                    && reveal.verify(&commitment.root, &key, &context, &LATER).is_ok()
            })
    });
}

#[test]
fn single_proof() {
    let (secret, context, view) = (secret(5), context(5), 77);
    let make = || {
        let proof = SingleProof::new(&secret, &context, view, &mut rng(51)).unwrap();
        let output = proof.verify(&secret.public_key(), &context, view, &LATER).unwrap();
        json!({
            "public_key": hex(&secret.public_key().to_bytes()),
            "context": context_json(&context),
            "view": view,
            "opening": hex(&proof.opening().to_bytes()),
            "proof": hex(&proof.to_bytes()),
            "later_beacon": hex(&LATER.0),
            "output": hex(&output.0),
        })
    };
    proof_file("vrf-single-proof.json", make, |value| {
        let key = PublicKey::from_bytes(&unhex(&value["public_key"])).unwrap();
        let proof = SingleProof::from_bytes(&unhex(&value["proof"])).unwrap();
        let output = proof.verify(&key, &context, view, &LATER);
        value["context"] == context_json(&context)
            && key == secret.public_key()
            && value["opening"] == hex(&proof.opening().to_bytes())
            && output.is_ok_and(|output| value["output"] == hex(&output.0))
    });
}

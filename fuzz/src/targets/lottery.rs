//! The zero-knowledge lottery: what members say to each other, what blocks carry, and the encodings of the
//! random function, which nobody but the key's owner can change and still be believed.

use super::{codec, text};
use crate::{
    run::{MEMORY_MIN, Outcome, Target},
    seeds::{self, Cluster, Vectors},
};
use baton_consensus::fuzzing::{JoiningMessage, LotteryMessage};
use baton_node::election::{Extras, verify};
use baton_types::{
    election::{ElectionFile, ElectionProof},
    lottery::{Held, Lottery, LotteryPart},
};
use baton_vrf::{
    Beacon, Commitment, Context, EpochProof, EpochSecrets, Malformed, PublicKey, Refused, Reveal, Rounds,
    SecretKey, SingleProof,
};
use rand::{SeedableRng as _, rngs::StdRng};

pub fn targets(vectors: &Vectors, cluster: &Cluster) -> Vec<Target> {
    let limits = vectors.genesis().limits();
    let parts = seeds::lottery_parts();
    let of_parts = |encode: fn(&LotteryPart) -> Vec<Vec<u8>>| parts.iter().flat_map(encode).collect();
    vec![
        Target {
            cost: 20,
            ..codec::<LotteryMessage>("lottery-message", (), seeds::lottery_messages(vectors, cluster))
        },
        codec::<LotteryPart>("lottery-part", (), of_parts(|part| seeds::encoded([part.clone()]))),
        codec::<Lottery>("lottery-state", (), of_parts(|part| seeds::encoded([part.state.clone()]))),
        codec::<Held>("lottery-held", (), of_parts(|part| seeds::encoded(part.held.clone()))),
        Target {
            cost: 20,
            ..codec::<JoiningMessage>("joining-message", limits, seeds::joining_messages(vectors))
        },
        Target { cost: 40, ..election_file(vectors) },
        vrf_key(),
        vrf_reveal(),
        Target { cost: 100, ..vrf_epoch_proof() },
        Target { cost: 40, ..vrf_single_proof() },
    ]
}

/// Whatever holds says what a vector says.
fn election_file(vectors: &Vectors) -> Target {
    #[derive(serde::Deserialize)]
    struct Case {
        file: ElectionFile,
    }
    let cases: Vec<Case> =
        serde_json::from_str(vectors.text("election.json")).expect("the vectors are elections");
    let seeds = cases.iter().map(|case| serde_json::to_vec(&case.file).unwrap_or_default()).collect();
    let known: Vec<_> = cases
        .iter()
        .map(|case| ElectionProof::try_from(&case.file).expect("the vectors are elections"))
        .collect();
    let group_key = known[0].genesis.group_key().expect("the genesis of the vectors is valid");
    text("election-file", seeds, move |text| {
        let file: ElectionFile = match serde_json::from_str(text) {
            Ok(file) => file,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match ElectionProof::try_from(&file) {
            Ok(proof) => {
                assert_eq!(ElectionProof::try_from(&ElectionFile::from(&proof)), Ok(proof.clone()));
                let verdict =
                    verify(&mut StdRng::seed_from_u64(1), &proof, &group_key, Extras::default()).map(drop);
                // The genesis has several texts, such as one with capitals in its hex.
                let says_the_same = known.iter().any(|known| {
                    proof.genesis.digest() == known.genesis.digest()
                        && proof == ElectionProof { genesis: proof.genesis.clone(), ..known.clone() }
                });
                assert!(verdict.is_err() || says_the_same, "a changed election verifies");
                verdict.into()
            }
            Err(error) => Outcome::Refused(error),
        }
    })
}

const CONTEXT: Context = Context { chain: [1; 32], epoch: 3, beacon: Beacon([2; 32]) };
const LATER: Beacon = Beacon([3; 32]);
const VIEW: u64 = 77;

fn secret() -> SecretKey {
    SecretKey::random(&mut StdRng::seed_from_u64(1))
}

fn secrets() -> EpochSecrets {
    EpochSecrets::new(&secret(), CONTEXT, Rounds::MIN)
}

/// A format of the random function: bytes that decode are the only ones of their value, and hold only if they
/// are the seed.
fn believed<T: 'static>(
    name: &'static str,
    seed: Vec<u8>,
    decode: fn(&[u8]) -> Result<T, Malformed>,
    encode: fn(&T) -> Vec<u8>,
    verify: impl Fn(&T) -> Result<(), Refused> + 'static,
) -> Target {
    let good = seed.clone();
    let check = move |input: &[u8]| match decode(input) {
        Ok(value) => {
            assert_eq!(encode(&value), input, "two encodings of one value");
            let verdict = verify(&value);
            assert!(verdict.is_err() || input == good, "something else than the seed holds");
            assert_ne!(verdict, Err(Refused::Panicked), "the verifier panicked");
            verdict.into()
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    Target {
        name,
        seeds: vec![seed],
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte: 64,
        cost: 1,
        check: Box::new(check),
    }
}

fn vrf_key() -> Target {
    let key = secret().public_key();
    let verify = move |found: &PublicKey| if *found == key { Ok(()) } else { Err(Refused::Root) };
    let decode = |bytes: &[u8]| PublicKey::from_bytes(bytes);
    believed("vrf-key", key.to_bytes().to_vec(), decode, |key| key.to_bytes().to_vec(), verify)
}

fn vrf_reveal() -> Target {
    let (secrets, key) = (secrets(), secret().public_key());
    let root = secrets.root();
    let seed = secrets.reveal(20).expect("it is one of the turns").to_bytes();
    let verify = move |reveal: &Reveal| reveal.verify(&root, &key, &CONTEXT, &LATER).map(drop);
    believed("vrf-reveal", seed, Reveal::from_bytes, Reveal::to_bytes, verify)
}

fn vrf_epoch_proof() -> Target {
    let key = secret().public_key();
    let proof = secrets().prove(&mut StdRng::seed_from_u64(2)).expect("the parameters fit");
    let verify = move |proof: &EpochProof| {
        let Commitment { proof_hash, .. } = proof.verify(&key, &CONTEXT, Rounds::MIN)?;
        assert_eq!(proof_hash, proof.hash());
        Ok(())
    };
    believed("vrf-epoch-proof", proof.to_bytes(), EpochProof::from_bytes, EpochProof::to_bytes, verify)
}

fn vrf_single_proof() -> Target {
    let key = secret().public_key();
    let proof = SingleProof::new(&secret(), &CONTEXT, VIEW, &mut StdRng::seed_from_u64(3));
    let proof = proof.expect("the parameters fit");
    let verify = move |proof: &SingleProof| proof.verify(&key, &CONTEXT, VIEW, &LATER).map(drop);
    believed("vrf-single-proof", proof.to_bytes(), SingleProof::from_bytes, SingleProof::to_bytes, verify)
}

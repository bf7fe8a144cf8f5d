//! One key, one context, and one proof of each kind, made once.

use baton_vrf::{
    Beacon, Commitment, Context, EpochProof, EpochSecrets, PublicKey, Rounds, SecretKey, SingleProof,
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::sync::LazyLock;

pub const CONTEXT: Context = Context { chain: [0xc4; 32], epoch: 7, beacon: Beacon([0xbe; 32]) };
pub const LATER: Beacon = Beacon([0x1a; 32]);
pub const VIEW: u64 = 41;

pub fn rng(seed: u8) -> StdRng {
    StdRng::from_seed([seed; 32])
}

pub fn secret(number: u8) -> SecretKey {
    SecretKey::random(&mut rng(number))
}

pub struct Proven {
    pub key: PublicKey,
    pub secrets: EpochSecrets,
    pub proof: EpochProof,
    pub commitment: Commitment,
}

/// Secret 1, fewest rounds.
pub static EPOCH: LazyLock<Proven> = LazyLock::new(|| {
    let key = secret(1).public_key();
    let secrets = EpochSecrets::new(&secret(1), CONTEXT, Rounds::MIN);
    let proof = secrets.prove(&mut rng(100)).unwrap();
    let commitment = proof.verify(&key, &CONTEXT, Rounds::MIN).unwrap();
    Proven { key, secrets, proof, commitment }
});

/// Secret 1.
pub static SINGLE: LazyLock<SingleProof> =
    LazyLock::new(|| SingleProof::new(&secret(1), &CONTEXT, VIEW, &mut rng(101)).unwrap());

/// Every context that differs from [`CONTEXT`] in one bit.
pub fn other_contexts() -> impl Iterator<Item = Context> {
    let flip = |bytes: [u8; 32], bit: usize| {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let chains = (0..256).map(move |bit| Context { chain: flip(CONTEXT.chain, bit), ..CONTEXT });
    let epochs = (0..64).map(|bit| Context { epoch: CONTEXT.epoch ^ 1 << bit, ..CONTEXT });
    let beacons = (0..256).map(move |bit| Context { beacon: Beacon(flip(CONTEXT.beacon.0, bit)), ..CONTEXT });
    chains.chain(epochs).chain(beacons)
}

/// Every key that differs from `key` in one bit.
pub fn other_keys(key: &PublicKey) -> Vec<PublicKey> {
    let bytes = key.to_bytes();
    let keys: Vec<_> = (0..256)
        .filter_map(|bit| {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            PublicKey::from_bytes(&bytes).ok()
        })
        .collect();
    assert!(keys.len() > 200, "few bits leave an element in the field");
    keys
}

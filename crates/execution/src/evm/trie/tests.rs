//! Against alloy's builder of whole tries, and against a plain map.

use super::*;
use crate::testing::Rng;
use alloy_primitives::U256;
use alloy_trie::{proof::verify_proof, root::storage_root};
use std::collections::BTreeMap;

fn oracle(model: &BTreeMap<B256, U256>) -> B256 {
    if model.is_empty() { EMPTY_ROOT_HASH } else { storage_root(model.iter().map(|(k, v)| (*k, *v))) }
}

/// Keys that share long prefixes, so that extensions and inlined nodes appear.
fn key(rng: &mut Rng) -> B256 {
    let mut key = [0; 32];
    for _ in 0..rng.below(4) {
        key[rng.below(32)] = u8::try_from(rng.below(3)).unwrap() * 0x11;
    }
    key.into()
}

#[test]
fn random_writes_have_the_roots_of_whole_tries() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let (mut trie, mut model) = (Trie::default(), BTreeMap::new());
        let mut snapshots: Vec<(Trie<U256>, BTreeMap<B256, U256>)> = Vec::new();
        for step in 0..200 {
            let key =
                if seed % 2 == 0 { key(&mut rng) } else { keccak256([u8::try_from(rng.below(90)).unwrap()]) };
            if rng.chance(40) {
                trie.remove(&key);
                model.remove(&key);
            } else {
                // Short and long values: some leaves are inlined in their parents.
                let value = U256::from(rng.next() >> rng.below(60)) << (rng.below(2) * 150);
                trie.insert(key, value);
                model.insert(key, value);
            }
            assert_eq!(trie.get(&key), model.get(&key));
            if rng.chance(10) {
                snapshots.push((trie.clone(), model.clone()));
            }
            // Roots at some steps only: dirty nodes pile up between them.
            if rng.chance(30) {
                assert_eq!(trie.root(), oracle(&model), "seed {seed}, step {step}");
            }
        }
        for (trie, model) in snapshots {
            assert_eq!(trie.root(), oracle(&model), "a snapshot of seed {seed}");
            assert!(trie.iter().map(|(key, value)| (*key, *value)).eq(model));
        }
    }
}

#[test]
fn an_emptied_trie_is_like_a_new_one() {
    let mut trie = Trie::default();
    assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    trie.insert(B256::ZERO, U256::ONE);
    trie.insert(B256::with_last_byte(1), U256::ONE);
    trie.remove(&B256::ZERO);
    trie.remove(&B256::with_last_byte(2));
    assert!(!trie.is_empty());
    trie.remove(&B256::with_last_byte(1));
    assert!(trie.is_empty());
    assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    assert!(trie.prove(&B256::ZERO).is_empty());
}

#[test]
fn proofs_of_presence_and_absence_verify() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut trie = Trie::default();
        for _ in 0..rng.below(60) {
            trie.insert(key(&mut rng), U256::from(1 + rng.next()));
        }
        for _ in 0..60 {
            let key = key(&mut rng);
            let expected = trie.get(&key).map(alloy_rlp::encode);
            let proof = trie.prove(&key);
            let path = Nibbles::unpack(key);
            verify_proof(trie.root(), path, expected.clone(), &proof).unwrap();
            let wrong = if expected.is_some() { None } else { Some(vec![5]) };
            verify_proof(trie.root(), path, wrong, &proof).expect_err("the opposite is not proven");
        }
    }
}

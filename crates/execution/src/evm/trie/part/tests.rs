use super::*;
use crate::testing::Rng;
use alloy_primitives::U256;

fn random(rng: &mut Rng) -> Trie<U256> {
    let mut trie = Trie::default();
    let clustered = rng.chance(50);
    for _ in 0..rng.below(80) {
        let mut key = keccak256(rng.next().to_be_bytes());
        if clustered {
            key = B256::ZERO;
            (0..rng.below(4)).for_each(|_| key[rng.below(4)] = 0x11 * u8::try_from(rng.below(3)).unwrap());
        }
        trie.insert(key, U256::from(1 + (rng.next() >> rng.below(60))));
    }
    trie
}

/// Cuts a trie into parts of at most `leaves_max`, down from `prefix`.
fn cut(trie: &Trie<U256>, prefix: Prefix, leaves_max: usize, parts: &mut Vec<Part<U256>>) {
    match trie.part(prefix, leaves_max) {
        Some(part) => parts.push(part),
        None => prefix.split().into_iter().for_each(|longer| cut(trie, longer, leaves_max, parts)),
    }
}

#[test]
fn parts_verify_and_make_the_whole() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let trie = random(&mut rng);
        let mut parts = Vec::new();
        cut(&trie, Prefix::ALL, 1 + rng.below(20), &mut parts);
        let mut again = Trie::default();
        for part in &parts {
            assert_eq!(part.verify(&trie.root()), Ok(()), "seed {seed}, {:?}", part.prefix);
            part.leaves.iter().for_each(|(key, value)| again.insert(*key, *value));
        }
        assert_eq!(again.root(), trie.root());
    }
}

#[test]
fn parts_with_lies_are_refused() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let trie = random(&mut rng);
        let (root, mut parts) = (trie.root(), Vec::new());
        cut(&trie, Prefix::ALL, 1 + rng.below(20), &mut parts);
        for part in parts {
            let check = |what: &str, change: &dyn Fn(&mut Part<U256>)| {
                let mut lie = part.clone();
                change(&mut lie);
                assert!(lie == part || lie.verify(&root).is_err(), "seed {seed}: {what} in {part:?}");
            };
            check("a leaf left out", &|lie| lie.leaves.truncate(lie.leaves.len().saturating_sub(1)));
            check("another value", &|lie| lie.leaves.iter_mut().take(1).for_each(|leaf| leaf.1 += U256::ONE));
            check("a leaf of its own", &|lie| {
                let mut key = *lie.prefix.key();
                key[31] |= 5;
                let at = lie.leaves.partition_point(|(other, _)| *other < key);
                if lie.leaves.get(at).is_none_or(|(other, _)| *other != key) {
                    lie.leaves.insert(at, (key, U256::ONE));
                }
            });
            check("a leaf twice", &|lie| lie.leaves.extend(lie.leaves.last().copied()));
            check("a node left out", &|lie| drop(lie.nodes.pop()));
            check("a damaged node", &|lie| {
                if let Some(node) = lie.nodes.last_mut() {
                    let mut bytes = node.to_vec();
                    bytes[0] ^= 1;
                    *node = bytes.into();
                }
            });
            check("a node too many", &|lie| lie.nodes.extend(lie.nodes.last().cloned()));
            check("no leaves", &|lie| lie.leaves.clear());
        }
    }
}

#[test]
fn prefixes() {
    assert_eq!(Prefix::ALL.split().len(), 16);
    let key = B256::repeat_byte(0xab);
    let prefix = Prefix::new(key, 3).unwrap();
    assert_eq!(prefix.key()[..3], [0xab, 0xa0, 0]);
    assert!(prefix.covers(&key) && !prefix.covers(&B256::repeat_byte(0xaa)));
    assert!(prefix.split()[0xb].covers(&key));
    assert!(Prefix::new(key, 64).unwrap().split().is_empty());
    assert_eq!(Prefix::new(key, 65), None);
}

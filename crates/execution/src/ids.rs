//! Tables keyed by transaction id.
//!
//! Ids are hashes already, so a few multiplications spread them well enough. The multiplications
//! are keyed with a secret of the node: a submitter who grinds ids cannot aim at one bucket.
//!
//! Where millions of ids are remembered ([`Fingerprints`]) a keyed fingerprint of 12 bytes stands for
//! the 32 of the id: a table entry of 16 bytes instead of 40, which is most of the memory of a busy
//! node and most of its cache misses. Without the secret nobody can aim at a collision of the 64 keyed
//! bits; with five million ids one lookup in 10^12 is wrong, on one node, which then takes a new
//! transaction for an old one.
//!
//! Deliberately absent: iteration. Its order would differ between nodes, so the types rule it out.

use baton_types::TxId;
use std::hash::{BuildHasher, Hash, Hasher};

#[allow(clippy::disallowed_types, reason = "never iterated: the wrapper has no way to")]
type Table<V> = std::collections::HashMap<TxId, V, IdHash>;

/// Values by transaction id.
#[derive(Clone, Debug)]
pub struct IdMap<V>(Table<V>);

impl<V> IdMap<V> {
    /// An empty map whose hashes are keyed with the node's secret `hash_key`.
    pub fn new(hash_key: u64) -> Self {
        Self(Table::with_hasher(IdHash::new(hash_key)))
    }

    pub fn with_capacity(hash_key: u64, capacity: usize) -> Self {
        Self(Table::with_capacity_and_hasher(capacity, IdHash::new(hash_key)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value that was there before.
    pub fn insert(&mut self, id: TxId, value: V) -> Option<V> {
        self.0.insert(id, value)
    }

    pub fn get(&self, id: &TxId) -> Option<&V> {
        self.0.get(id)
    }

    pub fn get_mut(&mut self, id: &TxId) -> Option<&mut V> {
        self.0.get_mut(id)
    }

    pub fn contains(&self, id: &TxId) -> bool {
        self.0.contains_key(id)
    }

    pub fn remove(&mut self, id: &TxId) -> Option<V> {
        self.0.remove(id)
    }
}

/// Stands for an id on the node that made it: 64 bits of keyed hash and 32 bits of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u32; 3]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high, _] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

/// Makes fingerprints, keyed with the node's secret.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprinter(IdHash);

impl Fingerprinter {
    pub fn new(hash_key: u64) -> Self {
        Self(IdHash::new(hash_key))
    }

    pub fn of(&self, id: &TxId) -> Fingerprint {
        let hash = self.0.hash_one(id).to_le_bytes();
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        Fingerprint([word(&hash[..4]), word(&hash[4..]), word(&id.0[..4])])
    }
}

#[allow(clippy::disallowed_types, reason = "never iterated: the wrapper has no way to")]
type FingerprintTable<V> = std::collections::HashMap<Fingerprint, V, Hashed>;

/// Values by fingerprint.
#[derive(Clone, Debug)]
pub struct Fingerprints<V>(FingerprintTable<V>);

impl<V: Copy> Fingerprints<V> {
    pub fn with_capacity(capacity: usize) -> Self {
        Self(FingerprintTable::with_capacity_and_hasher(capacity, Hashed))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, fingerprint: Fingerprint, value: V) {
        self.0.insert(fingerprint, value);
    }

    pub fn get(&self, fingerprint: &Fingerprint) -> Option<V> {
        self.0.get(fingerprint).copied()
    }

    pub fn remove(&mut self, fingerprint: &Fingerprint) {
        self.0.remove(fingerprint);
    }
}

/// Takes a fingerprint's own hash.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = HashedHasher;

    fn build_hasher(&self) -> HashedHasher {
        HashedHasher(0)
    }
}

struct HashedHasher(u64);

impl Hasher for HashedHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint writes one word");
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Starts an [`IdHasher`] per id.
#[derive(Clone, Copy)]
struct IdHash {
    keys: [u64; 2],
}

impl std::fmt::Debug for IdHash {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdHash")
    }
}

impl IdHash {
    fn new(key: u64) -> Self {
        // Odd constants with many ones, from the fractional part of the golden ratio and of the root of 3.
        let first = mix(key ^ 0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b);
        Self { keys: [first, mix(first ^ key, 0x9e37_79b9_7f4a_7c15)] }
    }
}

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher { state: self.keys[0], key: self.keys[1] }
    }
}

struct IdHasher {
    state: u64,
    key: u64,
}

impl Hasher for IdHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<16>();
        debug_assert!(rest.is_empty(), "ids are whole pairs of words");
        for pair in pairs {
            let (low, high) = pair.split_at(8);
            let [low, high] =
                [low, high].map(|half| u64::from_le_bytes(half.try_into().expect("half of sixteen bytes")));
            self.state = mix(self.state ^ low, self.key ^ high);
        }
    }

    /// All ids have one length, so the prefix that arrays hash adds nothing.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Both halves of the product, folded.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let (low, high) = a.carrying_mul(b, 0);
    low ^ high
}

#[cfg(test)]
mod tests;

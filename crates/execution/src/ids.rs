//! Tables keyed by transaction id.
//!
//! Ids are hashes already, so a few multiplications spread them well enough. The multiplications
//! are keyed with a secret of the node: a submitter who grinds ids cannot aim at one bucket.
//!
//! Deliberately absent: iteration. Its order would differ between nodes, so the type rules it out.

use baton_types::TxId;
use std::hash::{BuildHasher, Hasher};

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

/// A set of transaction ids.
#[derive(Clone, Debug)]
pub struct IdSet(IdMap<()>);

impl IdSet {
    /// An empty set whose hashes are keyed with the node's secret `hash_key`.
    pub fn new(hash_key: u64) -> Self {
        Self(IdMap::new(hash_key))
    }

    pub fn with_capacity(hash_key: u64, capacity: usize) -> Self {
        Self(IdMap::with_capacity(hash_key, capacity))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the id was not there before.
    pub fn insert(&mut self, id: TxId) -> bool {
        self.0.insert(id, ()).is_none()
    }

    pub fn contains(&self, id: &TxId) -> bool {
        self.0.contains(id)
    }

    /// Whether the id was there.
    pub fn remove(&mut self, id: &TxId) -> bool {
        self.0.remove(id).is_some()
    }
}

impl Extend<TxId> for IdSet {
    fn extend<I: IntoIterator<Item = TxId>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
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
    fn write(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(16) {
            let mut words = [0; 16];
            words[..pair.len()].copy_from_slice(pair);
            let [low, high] = halves(words);
            self.state = mix(self.state ^ low, self.key ^ high);
        }
    }

    /// All ids have one length, so the prefix that arrays hash adds nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

fn halves(words: [u8; 16]) -> [u64; 2] {
    let (low, high) = words.split_at(8);
    [low, high].map(|half| u64::from_le_bytes(half.try_into().expect("half of sixteen bytes")))
}

/// Both halves of the product, folded.
fn mix(a: u64, b: u64) -> u64 {
    let (low, high) = a.carrying_mul(b, 0);
    low ^ high
}

#[cfg(test)]
mod tests;

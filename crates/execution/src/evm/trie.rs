//! Ethereum's Merkle-Patricia trie over hashed keys, in memory, copy-on-write.
//!
//! ```text
//! Branch { depth: 2, key: 0xab…, children: {3, 9} }      its path 0xab is read off any key below
//!   ├─3─ Leaf { key: 0xab3…, value }
//!   └─9─ Branch { depth: 5, key: 0xab9cd… , … }          skips two nibbles: an extension in the encoding
//! ```
//!
//! A clone shares every node, so a snapshot costs nothing and a write copies one path at most. A node
//! remembers its reference (hash, or encoding when that is shorter), so a root costs only what changed.
//!
//! Invariants: a branch has two children or more; all keys below a branch agree with its `key` in the
//! first `depth` nibbles and differ in the next; a remembered reference is dropped when anything below
//! changes and when the node's place moves, because the encoding holds the path from the parent on.
//!
//! Absent: extension nodes (they exist in the encoding only), values in branches (all keys have one
//! length), storage on disk.

pub mod part;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use std::{
    mem,
    sync::{Arc, OnceLock},
};

/// Nibbles of a key.
const NIBBLES: usize = 64;

/// What a leaf holds.
pub trait Value: Clone {
    fn rlp(&self, out: &mut Vec<u8>);
}

#[derive(Clone, Debug)]
pub struct Trie<V> {
    root: Option<Node<V>>,
}

#[derive(Debug)]
enum Node<V> {
    Leaf(Arc<Leaf<V>>),
    Branch(Arc<Branch<V>>),
}

#[derive(Clone, Debug)]
struct Leaf<V> {
    key: B256,
    value: V,
    reference: OnceLock<RlpNode>,
}

#[derive(Clone, Debug)]
struct Branch<V> {
    /// Any key below.
    key: B256,
    /// Nibbles that all keys below share.
    depth: usize,
    /// One bit per child, the lowest for nibble 0; the children stand in this order.
    mask: u16,
    children: Vec<Node<V>>,
    reference: OnceLock<RlpNode>,
}

impl<V> Clone for Node<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(Arc::clone(leaf)),
            Self::Branch(branch) => Self::Branch(Arc::clone(branch)),
        }
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

fn nibble(key: &B256, at: usize) -> usize {
    let byte = key[at / 2];
    usize::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

/// Nibbles that both begin with.
fn common(a: &B256, b: &B256) -> usize {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(byte) => 2 * byte + usize::from((a[byte] ^ b[byte]) < 16),
        None => NIBBLES,
    }
}

impl<V> Branch<V> {
    fn index(&self, nibble: usize) -> Result<usize, usize> {
        let bit = 1_u16 << nibble;
        let index = (self.mask & (bit - 1)).count_ones() as usize;
        if self.mask & bit == 0 { Err(index) } else { Ok(index) }
    }
}

impl<V: Clone> Node<V> {
    fn leaf(key: B256, value: V) -> Self {
        Self::Leaf(Arc::new(Leaf { key, value, reference: OnceLock::new() }))
    }

    fn key(&self) -> &B256 {
        match self {
            Self::Leaf(leaf) => &leaf.key,
            Self::Branch(branch) => &branch.key,
        }
    }

    /// A branch of two at the first nibble in which their keys differ.
    fn fork(depth: usize, a: Self, b: Self) -> Self {
        let key = *a.key();
        let (at_a, at_b) = (nibble(&key, depth), nibble(b.key(), depth));
        let children = if at_a < at_b { vec![a, b] } else { vec![b, a] };
        let mask = 1 << at_a | 1 << at_b;
        Self::Branch(Arc::new(Branch { key, depth, mask, children, reference: OnceLock::new() }))
    }

    /// Its place or something below it changes.
    fn forget(&mut self) {
        match self {
            Self::Leaf(leaf) => Arc::make_mut(leaf).reference = OnceLock::new(),
            Self::Branch(branch) => Arc::make_mut(branch).reference = OnceLock::new(),
        }
    }

    fn insert(&mut self, key: B256, value: V) {
        let shared = common(&key, self.key());
        match self {
            Self::Leaf(leaf) if shared == NIBBLES => {
                let leaf = Arc::make_mut(leaf);
                leaf.value = value;
                leaf.reference = OnceLock::new();
            }
            Self::Branch(branch) if shared >= branch.depth => {
                let branch = Arc::make_mut(branch);
                branch.reference = OnceLock::new();
                let at = nibble(&key, branch.depth);
                match branch.index(at) {
                    Ok(index) => branch.children[index].insert(key, value),
                    Err(index) => {
                        branch.children.insert(index, Self::leaf(key, value));
                        branch.mask |= 1 << at;
                    }
                }
            }
            _ => {
                let mut old = mem::replace(self, Self::leaf(key, value));
                old.forget();
                let new = self.clone();
                *self = Self::fork(shared, old, new);
            }
        }
    }

    /// Removes a key that is there; true when nothing is left.
    fn remove(&mut self, key: &B256) -> bool {
        let Self::Branch(branch) = self else { return true };
        let branch = Arc::make_mut(branch);
        branch.reference = OnceLock::new();
        let at = nibble(key, branch.depth);
        let Ok(index) = branch.index(at) else { return false };
        if branch.children[index].remove(key) {
            branch.children.remove(index);
            branch.mask &= !(1 << at);
            if let (1, Some(mut only)) = (branch.children.len(), branch.children.first().cloned()) {
                // Free of the branch first, so that it is not copied for being shared with it.
                branch.children.clear();
                only.forget();
                *self = only;
            }
        }
        false
    }
}

impl<V: Clone> Trie<V> {
    pub fn get(&self, key: &B256) -> Option<&V> {
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf.key == *key).then_some(&leaf.value),
                // What a branch skips is compared at the leaf.
                Node::Branch(branch) => {
                    node = &branch.children[branch.index(nibble(key, branch.depth)).ok()?];
                }
            }
        }
    }

    pub fn insert(&mut self, key: B256, value: V) {
        match &mut self.root {
            Some(root) => root.insert(key, value),
            None => self.root = Some(Node::leaf(key, value)),
        }
    }

    pub fn remove(&mut self, key: &B256) {
        if self.get(key).is_some() && self.root.as_mut().is_some_and(|root| root.remove(key)) {
            self.root = None;
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// In ascending order of key.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { next: self.root.iter().collect() }
    }
}

pub struct Iter<'a, V> {
    /// What is still to be visited, the last first.
    next: Vec<&'a Node<V>>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a B256, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next.pop()? {
                Node::Leaf(leaf) => return Some((&leaf.key, &leaf.value)),
                Node::Branch(branch) => self.next.extend(branch.children.iter().rev()),
            }
        }
    }
}

impl<V: Value> Leaf<V> {
    fn encode(&self, start: usize) -> Vec<u8> {
        let (mut value, mut out) = (Vec::with_capacity(112), Vec::with_capacity(160));
        self.value.rlp(&mut value);
        let path = path(&self.key, start, NIBBLES);
        alloy_rlp::Encodable::encode(&LeafNodeRef::new(&path, &value), &mut out);
        out
    }
}

impl<V: Value> Branch<V> {
    /// The branch itself, without an extension before it.
    fn encode(&self) -> Vec<u8> {
        let children: Vec<RlpNode> =
            self.children.iter().map(|child| child.reference(self.depth + 1).clone()).collect();
        let mut out = Vec::with_capacity(33 * children.len() + 24);
        alloy_rlp::Encodable::encode(&BranchNodeRef::new(&children, TrieMask::new(self.mask)), &mut out);
        out
    }

    fn encode_extension(&self, start: usize, branch: &RlpNode) -> Option<Vec<u8>> {
        (start < self.depth).then(|| {
            let mut out = Vec::with_capacity(80);
            let path = path(&self.key, start, self.depth);
            alloy_rlp::Encodable::encode(&ExtensionNodeRef::new(&path, branch), &mut out);
            out
        })
    }
}

fn path(key: &B256, start: usize, end: usize) -> Nibbles {
    Nibbles::unpack_array(&key.0).slice(start..end)
}

impl<V: Value> Node<V> {
    /// How a parent whose children's paths begin at `start` names this node.
    fn reference(&self, start: usize) -> &RlpNode {
        match self {
            Self::Leaf(leaf) => leaf.reference.get_or_init(|| RlpNode::from_rlp(&leaf.encode(start))),
            Self::Branch(branch) => branch.reference.get_or_init(|| {
                let reference = RlpNode::from_rlp(&branch.encode());
                match branch.encode_extension(start, &reference) {
                    Some(extension) => RlpNode::from_rlp(&extension),
                    None => reference,
                }
            }),
        }
    }
}

impl<V: Value> Trie<V> {
    pub fn root(&self) -> B256 {
        self.root.as_ref().map_or(EMPTY_ROOT_HASH, |root| {
            let reference = root.reference(0);
            reference.as_hash().unwrap_or_else(|| keccak256(reference))
        })
    }

    /// The nodes on the way to `key`, or to where it would be; what is shorter than a hash stands inside
    /// its parent (EIP-1186).
    pub fn prove(&self, key: &B256) -> Vec<Bytes> {
        let mut proof: Vec<Bytes> = Vec::new();
        let mut push = |encoded: Vec<u8>| {
            if proof.is_empty() || encoded.len() >= 32 {
                proof.push(encoded.into());
            }
        };
        let (mut next, mut start) = (self.root.as_ref(), 0);
        while let Some(node) = next {
            match node {
                Node::Leaf(leaf) => {
                    push(leaf.encode(start));
                    break;
                }
                Node::Branch(branch) => {
                    let encoded = branch.encode();
                    if let Some(extension) = branch.encode_extension(start, &RlpNode::from_rlp(&encoded)) {
                        push(extension);
                    }
                    if common(key, &branch.key) < branch.depth {
                        break;
                    }
                    push(encoded);
                    start = branch.depth + 1;
                    let child = branch.index(nibble(key, branch.depth)).ok();
                    next = child.map(|index| &branch.children[index]);
                }
            }
        }
        proof
    }
}

#[cfg(test)]
mod tests;

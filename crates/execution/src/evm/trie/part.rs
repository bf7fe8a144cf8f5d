//! A part of a trie: all leaves under a prefix of the keys, with the nodes that tie them to the root.
//!
//! ```text
//! root ── node ── node ──┬─ leaves under the prefix: their own root must be what the last node names
//!          nodes         └─ or nothing: the last node shows that nothing is there
//! ```

use super::{Branch, NIBBLES, Node, Trie, Value, common, nibble};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable as _;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{RlpNode, TrieNode},
};
use thiserror::Error;

/// The first `depth` nibbles of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    key: B256,
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<V> {
    pub prefix: Prefix,
    /// Encodings from the root down, also of nodes that stand inside their parents.
    pub nodes: Vec<Bytes>,
    /// In ascending order of key.
    pub leaves: Vec<(B256, V)>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum PartError {
    #[error("leaf {key} is out of order or does not begin with the prefix")]
    Leaf { key: B256 },
    #[error("node {index} is not the one that the root or the node before names")]
    Node { index: usize },
    #[error("the leaves are not what the last node names")]
    Leaves,
}

impl Prefix {
    /// Everything.
    pub const ALL: Self = Self { key: B256::ZERO, depth: 0 };

    /// None when there are more nibbles than a key has.
    pub fn new(mut key: B256, depth: usize) -> Option<Self> {
        for at in depth..NIBBLES {
            key[at / 2] &= if at.is_multiple_of(2) { 0x0f } else { 0xf0 };
        }
        (depth <= NIBBLES).then_some(Self { key, depth })
    }

    pub const fn key(&self) -> &B256 {
        &self.key
    }

    pub const fn depth(&self) -> usize {
        self.depth
    }

    pub fn covers(&self, key: &B256) -> bool {
        common(&self.key, key) >= self.depth
    }

    /// The one that is a nibble shorter; none of everything.
    pub fn parent(&self) -> Option<Self> {
        Self::new(self.key, self.depth.checked_sub(1)?)
    }

    /// The sixteen that are one nibble longer; none of a whole key.
    pub fn split(&self) -> Vec<Self> {
        let longer = |nibble: u8| {
            let mut key = self.key;
            key[self.depth / 2] |= if self.depth.is_multiple_of(2) { nibble << 4 } else { nibble };
            Self { key, depth: self.depth + 1 }
        };
        if self.depth == NIBBLES { Vec::new() } else { (0..16).map(longer).collect() }
    }
}

impl<V: Value> Trie<V> {
    /// None when more than `leaves_max` leaves are there: ask for longer prefixes.
    pub fn part(&self, prefix: Prefix, leaves_max: usize) -> Option<Part<V>> {
        let (mut nodes, mut next, mut start) = (Vec::new(), self.root.as_ref(), 0);
        while let Some(Node::Branch(branch)) = next {
            if branch.depth >= prefix.depth || common(&prefix.key, &branch.key) < branch.depth {
                break;
            }
            nodes.extend(encodings(branch, start));
            start = branch.depth + 1;
            next = branch.index(nibble(&prefix.key, branch.depth)).ok().map(|index| &branch.children[index]);
        }
        let mut leaves = Vec::new();
        match next {
            Some(node) if prefix.covers(node.key()) => {
                let all = node.collect(leaves_max, &mut leaves);
                return all.then_some(Part { prefix, nodes, leaves });
            }
            // It shows that its path leads elsewhere.
            Some(Node::Leaf(leaf)) => nodes.push(leaf.encode(start).into()),
            Some(Node::Branch(branch)) => nodes.extend(encodings(branch, start).into_iter().take(1)),
            None => {}
        }
        Some(Part { prefix, nodes, leaves })
    }
}

/// The extension before a branch, if it has one, and the branch.
fn encodings<V: Value>(branch: &Branch<V>, start: usize) -> Vec<Bytes> {
    let encoded = branch.encode();
    let extension = branch.encode_extension(start, &RlpNode::from_rlp(&encoded));
    extension.into_iter().chain([encoded]).map(Bytes::from).collect()
}

impl<V: Value> Node<V> {
    fn collect(&self, leaves_max: usize, leaves: &mut Vec<(B256, V)>) -> bool {
        match self {
            Self::Leaf(leaf) => {
                leaves.push((leaf.key, leaf.value.clone()));
                leaves.len() <= leaves_max
            }
            Self::Branch(branch) => branch.children.iter().all(|child| child.collect(leaves_max, leaves)),
        }
    }
}

/// Where the nodes of a part lead.
enum Place {
    /// To a node whose path begins at this nibble.
    Node(RlpNode, usize),
    Nothing,
}

impl<V: Value> Part<V> {
    /// Whether these are all leaves under the prefix in the trie with this root.
    pub fn verify(&self, root: &B256) -> Result<(), PartError> {
        let mut trie = Trie::default();
        let mut last = None;
        for (key, value) in &self.leaves {
            if last >= Some(key) || !self.prefix.covers(key) {
                return Err(PartError::Leaf { key: *key });
            }
            trie.insert(*key, value.clone());
            last = Some(key);
        }
        let mut place = match *root {
            EMPTY_ROOT_HASH => Place::Nothing,
            root => Place::Node(RlpNode::word_rlp(&root), 0),
        };
        for (index, encoded) in self.nodes.iter().enumerate() {
            let wrong = PartError::Node { index };
            let Place::Node(reference, start) = place else { return Err(wrong) };
            let hashed = RlpNode::word_rlp(&keccak256(encoded));
            if reference != RlpNode::from_rlp(encoded) && (start > 0 || reference != hashed) {
                return Err(wrong);
            }
            place = self.step(encoded, start).ok_or(wrong)?;
        }
        let same = match (&place, &trie.root) {
            (Place::Nothing, None) => true,
            (Place::Node(_, 0), Some(_)) => trie.root() == *root,
            (Place::Node(reference, start), Some(node)) => node.reference(*start) == reference,
            _ => false,
        };
        if same { Ok(()) } else { Err(PartError::Leaves) }
    }

    /// Follows the prefix through one node; none where the node is not on the way.
    fn step(&self, encoded: &[u8], start: usize) -> Option<Place> {
        let mut rest = encoded;
        let node = TrieNode::decode(&mut rest).ok().filter(|_| rest.is_empty())?;
        let left = self.prefix.depth.checked_sub(start)?;
        let way = Nibbles::unpack_array(&self.prefix.key.0).slice(start..self.prefix.depth);
        match node {
            TrieNode::Branch(branch) if left > 0 => {
                let at = way.get(0)?;
                let before = branch.state_mask.get() & ((1 << at) - 1);
                Some(if branch.state_mask.is_bit_set(at) {
                    let child = branch.stack.get(before.count_ones() as usize)?;
                    Place::Node(child.clone(), start + 1)
                } else {
                    Place::Nothing
                })
            }
            TrieNode::Extension(extension) => {
                let shared = way.common_prefix_length(&extension.key);
                if shared == extension.key.len() && shared < left {
                    Some(Place::Node(extension.child, start + shared))
                } else {
                    (shared < left.min(extension.key.len())).then_some(Place::Nothing)
                }
            }
            TrieNode::Leaf(leaf) => {
                (way.common_prefix_length(&leaf.key) < left.min(leaf.key.len())).then_some(Place::Nothing)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

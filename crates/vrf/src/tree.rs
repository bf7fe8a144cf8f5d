//! A full binary Merkle tree over 2^m values of 32 bytes.

use crate::domain;

pub type Node = [u8; 32];

fn parent(left: &Node, right: &Node) -> Node {
    domain::hash(domain::NODE, &[left, right])
}

pub struct Tree {
    /// Bottom level first; the last holds the top alone.
    levels: Vec<Vec<Node>>,
}

impl Tree {
    pub fn new(bottom: Vec<Node>) -> Self {
        assert!(bottom.len().is_power_of_two(), "the tree is full");
        let mut levels = vec![bottom];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.as_chunks::<2>().0.iter().map(|[left, right]| parent(left, right)).collect();
            levels.push(above);
        }
        Self { levels }
    }

    pub fn top(&self) -> Node {
        self.levels.last().and_then(|level| level.first()).copied().expect("a tree has a top")
    }

    /// Siblings from the bottom up.
    pub fn path(&self, position: usize) -> Vec<Node> {
        let (_, below) = self.levels.split_last().expect("a tree has a top");
        below.iter().enumerate().map(|(height, level)| level[(position >> height) ^ 1]).collect()
    }
}

/// The top of the tree that has `bottom` at `position`.
pub fn climb(bottom: Node, position: u32, path: &[Node]) -> Node {
    let mut position = position;
    path.iter().fold(bottom, |node, sibling| {
        let right = position & 1 == 1;
        position >>= 1;
        if right { parent(sibling, &node) } else { parent(&node, sibling) }
    })
}

#[cfg(test)]
mod tests;

use super::*;

fn bottom(count: u8) -> Vec<Node> {
    (0..count).map(|number| [number; 32]).collect()
}

#[test]
fn paths_lead_to_the_top_from_their_own_place_only() {
    for depth in 0..6u32 {
        let count = 1u8 << depth;
        let tree = Tree::new(bottom(count));
        for (position, node) in (0u32..).zip(bottom(count)) {
            let path = tree.path(position.try_into().unwrap());
            assert_eq!(path.len(), depth.try_into().unwrap());
            assert_eq!(climb(node, position, &path), tree.top());
            for other in (0..u32::from(count)).filter(|other| *other != position) {
                assert_ne!(climb(node, other, &path), tree.top());
            }
            for sibling in 0..path.len() {
                let mut wrong = path.clone();
                wrong[sibling][31] ^= 1;
                assert_ne!(climb(node, position, &wrong), tree.top());
            }
            assert_ne!(climb([0xff; 32], position, &path), tree.top());
        }
    }
}

#[test]
fn the_top_depends_on_every_value_and_their_order() {
    let top = Tree::new(bottom(8)).top();
    for position in 0..8 {
        let mut other = bottom(8);
        other[position][0] ^= 0x80;
        assert_ne!(Tree::new(other).top(), top);
        let mut other = bottom(8);
        other.swap(position, (position + 1) % 8);
        assert_ne!(Tree::new(other).top(), top);
    }
}

//! How much is taken from clients while little is ordered.

use super::*;

const BYTES: usize = 32 * 1024;
/// More than the room.
const MANY: u64 = 100;

async fn offer(node: &Node, unit: Unit) -> Result<Submitted, Refusal> {
    node.mailbox.submit(Submit { client: "c".into(), units: vec![unit], ack: Ack::Pending }).await
}

#[test]
fn more_than_the_cluster_soon_orders_is_refused_and_the_rest_stays() {
    run(async |context| {
        let node = Node::start(&context).await;
        let (mut taken, mut refusals) = (0, Vec::new());
        for number in 0..MANY {
            match offer(&node, sized(number, 300, BYTES)).await {
                Ok(_) => taken += 1,
                Err(refusal) => refusals.push(refusal),
            }
        }
        assert!((25..40).contains(&taken), "{taken} taken");
        let busy = |refusal: &Refusal| refusal.reason == Reason::Busy && refusal.retry_after_ms.is_some();
        assert!(refusals.iter().all(busy), "{refusals:?}");
        assert!((0..taken).all(|number| node.waits(&sized(number, 300, BYTES))));
        // What another member took has a receipt, and is not refused here.
        node.gossip(1, 1, false, vec![unit(1_000)]);
        node.pause(100).await;
        assert!(node.waits(&unit(1_000)));
        // When the queue is gone there is room again.
        node.finalize(300);
        assert!(offer(&node, sized(MANY, 600, BYTES)).await.is_ok());
    });
}

//! When a submitter gets which receipt, and what a crash leaves of it.

use super::*;

#[test]
fn a_pending_unit_survives_the_loss_of_all_that_was_not_synced() {
    let (receipt, checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        node.submit(vec![unit(1), unit(2)], Ack::Pending).await.unwrap()
    });
    assert_eq!(receipt.rung, Rung::Pending);
    assert!(receipt.verify());
    after(checkpoint, async |context| {
        let node = Node::start(&context).await;
        assert!(node.waits(&unit(1)) && node.waits(&unit(2)) && !node.waits(&unit(3)));
        node.pause(2_500).await;
        let again = node.messages().into_iter().any(
            |(_, message)| matches!(message, Message::Units { ack: false, batch, .. } if batch.0.len() == 2),
        );
        assert!(again, "what was restored is gossiped");
    });
}

#[test]
fn replicated_needs_two_other_members() {
    run(async |context| {
        let node = Node::start(&context).await;
        let receipt = node.submit(vec![unit(1)], Ack::Replicated);
        node.pause(20).await;
        let [number] = node.asked()[..] else { panic!("one message asks: {:?}", node.asked()) };
        node.ack(1, number);
        // Saying it twice does not make two members of one; nor does a peer that is none, or this node.
        node.ack(1, number);
        node.say(PrivateKey::from_seed(99).public_key(), Message::Ack { number }.encode());
        node.ack(2, number + 1);
        node.pause(20).await;
        assert_eq!(node.rung(&unit(1)), Some(Rung::Pending));
        node.ack(3, number);
        assert_eq!(receipt.await.unwrap().rung, Rung::Replicated);
        assert_eq!(node.rung(&unit(1)), Some(Rung::Replicated));
        assert_eq!((node.metric("strangers"), node.metric("acks_unawaited")), (1, 1));
    });
}

#[test]
fn a_member_s_word_counts_when_it_has_all_parts() {
    run(async |context| {
        let node = Node::start(&context).await;
        let units = (0..6).map(|number| sized(number, 300, 100_000)).collect();
        let receipt = node.submit(units, Ack::Replicated);
        node.pause(20).await;
        let asked = node.asked();
        assert!(asked.len() == 2 && asked[0] == asked[1], "two messages under one number: {asked:?}");
        [1, 2, 3, 1].into_iter().for_each(|member| node.ack(member, asked[0]));
        node.pause(20).await;
        assert_eq!(node.rung(&sized(0, 300, 100_000)), Some(Rung::Pending));
        node.ack(2, asked[0]);
        assert_eq!(receipt.await.unwrap().rung, Rung::Replicated);
    });
}

#[test]
fn an_acknowledgement_of_an_earlier_run_counts_for_nothing() {
    let (number, checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        let _receipt = node.submit(vec![unit(1)], Ack::Replicated);
        node.pause(20).await;
        node.asked()[0]
    });
    after(checkpoint, async |context| {
        let node = Node::start(&context).await;
        let receipt = node.submit(vec![unit(2)], Ack::Replicated);
        node.pause(20).await;
        let now = node.asked()[0];
        [1, 2, 3].into_iter().for_each(|member| node.ack(member, number));
        node.pause(20).await;
        assert_eq!(node.rung(&unit(2)), Some(Rung::Pending));
        assert_eq!(node.metric("acks_unawaited"), 3);
        [1, 2].into_iter().for_each(|member| node.ack(member, now));
        assert_eq!(receipt.await.unwrap().rung, Rung::Replicated);
    });
}

#[test]
fn who_waits_too_long_gets_pending() {
    let (receipt, checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        let before = node.context.current();
        let receipt = node.submit(vec![unit(1)], Ack::Replicated);
        node.pause(20).await;
        let number = node.asked()[0];
        node.ack(1, number);
        let receipt = receipt.await.unwrap();
        let waited = node.context.current().duration_since(before).unwrap();
        assert!((5_000..5_500).contains(&waited.as_millis()), "{waited:?}");
        // Too late for the receipt.
        node.ack(2, number);
        node.pause(20).await;
        assert_eq!(node.rung(&unit(1)), Some(Rung::Pending));
        receipt
    });
    assert_eq!(receipt.rung, Rung::Pending);
    after(checkpoint, async |context| {
        assert!(Node::start(&context).await.waits(&unit(1)), "pending is a promise here too");
    });
}

#[test]
fn own_units_are_gossiped_again_while_they_wait() {
    run(async |context| {
        let node = Node::start(&context).await;
        node.submit(vec![unit(1)], Ack::Pending).await.unwrap();
        let gossiped = || {
            let messages = node.messages();
            messages.iter().filter(|(_, message)| matches!(message, Message::Units { .. })).count()
        };
        node.pause(1_500).await;
        assert_eq!(gossiped(), 1);
        node.pause(1_000).await;
        assert_eq!(gossiped(), 2);
        node.finalize(300);
        node.pause(5_000).await;
        assert_eq!(gossiped(), 2, "what has ended is not");
    });
}

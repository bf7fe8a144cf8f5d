//! What other members send, honest or not.

use super::*;

/// Heard of by plain gossip, a unit is in the pool but on no disk; the acknowledgement must be true.
#[test]
fn an_acknowledged_unit_is_on_this_node_s_disk() {
    let ((), checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        node.gossip(1, 1, false, vec![unit(1), unit(2)]);
        node.pause(20).await;
        assert!(node.waits(&unit(1)));
        assert_eq!(node.metric("journaled_total"), 0);
        node.gossip(1, 2, true, vec![unit(1), unit(3)]);
        while node.acks(1, 2) == 0 {
            node.pause(1).await;
        }
    });
    after(checkpoint, async |context| {
        let node = Node::start(&context).await;
        assert_eq!([1, 2, 3].map(|number| node.waits(&unit(number))), [true, false, true]);
    });
}

#[test]
fn what_is_on_the_journal_is_acknowledged_without_being_written_again() {
    let ((), checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        node.submit(vec![unit(1)], Ack::Pending).await.unwrap();
        // Own, already known, new: in one batch, from two members, again and again.
        for number in 0..500 {
            let from = 1 + usize::try_from(number % 2).unwrap();
            node.gossip(from, number, true, vec![unit(1), unit(2), unit(3)]);
            if number % 50 == 0 {
                node.pause(10).await;
            }
        }
        node.pause(50).await;
        let acks = |number: u64| node.acks(1 + usize::try_from(number % 2).unwrap(), number);
        assert!((0..500).all(|number| acks(number) == 1));
        assert_eq!(node.metric("journaled_total"), 3);
        assert_eq!(node.metric("journaled_already"), 1_498);
    });
    after(checkpoint, async |context| {
        let mut units = 0;
        journal::open(&context, |batch| units += batch.0.len()).await;
        assert_eq!(units, 3, "on disk");
    });
}

/// What the journal gave back is on the journal still.
#[test]
fn after_a_restart_nothing_is_written_twice() {
    let (_, checkpoint) = until_crash(async |context| {
        let node = Node::start(&context).await;
        node.submit(vec![unit(1)], Ack::Pending).await.unwrap()
    });
    after(checkpoint, async |context| {
        let node = Node::start(&context).await;
        node.gossip(1, 9, true, vec![unit(1)]);
        node.pause(20).await;
        assert_eq!((node.acks(1, 9), node.metric("journaled_total")), (1, 0));
    });
}

#[test]
fn a_batch_with_a_refused_unit_is_not_acknowledged() {
    run(async |context| {
        let node = Node::start(&context).await;
        node.finalize(200);
        let foreign = Unit::Single {
            rollup: RollupId(9),
            transaction: Transaction { valid_until: 300, bundle: None, payload: Bytes::from_static(b"x") },
            fee_hint: 0,
        };
        let cases = [
            (valid_until(1, 200), Reason::Expired),
            (valid_until(2, 1_000), Reason::ValidityTooLong),
            (foreign, Reason::UnknownRollup),
        ];
        for (number, (bad, reason)) in (10..).zip(cases) {
            node.gossip(1, number, true, vec![unit(number), bad]);
            node.pause(20).await;
            assert_eq!(node.acks(1, number), 0, "{reason}");
            assert_eq!(node.metric(&format!("refused_total{{reason=\"{reason}\"}}")), 1, "{reason}");
            assert!(node.waits(&unit(number)), "{reason}: the sound one is taken");
        }
        node.gossip(1, 20, true, vec![unit(20)]);
        node.pause(20).await;
        assert_eq!(node.acks(1, 20), 1);
        assert_eq!(node.metric("journaled_total"), 1);
    });
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    run(async |context| {
        let node = Node::start(&context).await;
        let whole =
            Message::Units { number: 1, ack: true, batch: Batch(vec![Arc::new(unit(1)), Arc::new(unit(2))]) };
        let whole = whole.encode();
        let mut sent = 0;
        // Every cut of a message, wrong tags, and what claims to be longer than it is.
        for cut in 0..whole.len() {
            node.say(node.member(1), whole.slice(..cut));
            sent += 1;
        }
        for tag in 3..=255u8 {
            let mut bytes = whole.to_vec();
            bytes[0] = tag;
            node.say(node.member(1), bytes);
            sent += 1;
        }
        for length in [&[0xff; 9][..], &[0xff, 0xff, 0x7f], &[0x81, 0x80, 0x01]] {
            let mut bytes = vec![0; 9];
            bytes.extend_from_slice(length);
            node.say(node.member(1), bytes);
            sent += 1;
        }
        node.say(node.member(1), [&whole[..], b"more"].concat());
        sent += 1;
        node.pause(50).await;
        assert_eq!(node.metric("bad_messages"), sent);
        assert_eq!(node.shared.pool_stats().transactions, 0);
        node.say(PrivateKey::from_seed(99).public_key(), whole.clone());
        node.pause(20).await;
        assert_eq!((node.metric("strangers"), node.waits(&unit(1))), (1, false));
        assert_eq!(node.submit(vec![unit(3)], Ack::Pending).await.unwrap().rung, Rung::Pending);
        node.say(node.member(1), whole);
        node.pause(20).await;
        assert!(node.waits(&unit(1)));
    });
}

/// Member 1 sends as many different units as it can.
#[test]
fn a_flood_takes_no_more_than_its_share() {
    run(async |context| {
        let node = Node::start_with(&context, |limits| limits.transactions_max = 1_000).await;
        for number in 0..20 {
            let units = (0..100).map(|unit| self::unit(1_000 + number * 100 + unit)).collect();
            node.gossip(1, number, true, units);
        }
        node.pause(200).await;
        // A quarter: half of what one of two rollups may have.
        assert_eq!(node.shared.pool_stats().transactions, 250);
        assert_eq!(node.metric("refused_total{reason=\"client_limit\"}"), 1_750);
        assert_eq!(node.metric("journaled_total"), 200, "what is not acknowledged is not written");
        node.gossip(2, 100, true, (0..100).map(unit).collect());
        node.pause(20).await;
        assert_eq!(node.acks(2, 100), 1, "an honest member finds room");
        let receipt = node.submit((200..300).map(unit).collect(), Ack::Pending).await.unwrap();
        assert_eq!((receipt.rung, receipt.ids.len()), (Rung::Pending, 100));
    });
}

use super::*;
use crate::testing::{Chain, ROLLUP, RULE, transaction};

/// Payload that encodes to `bytes` with what stands around it.
fn sized(height: u64, bytes: usize) -> Transaction {
    let around = transaction(height, &vec![7; bytes]).encode_size() - bytes;
    let transaction = transaction(height, &vec![7; bytes - around]);
    assert_eq!(transaction.encode_size(), bytes);
    transaction
}

#[test]
fn a_batch_ends_before_the_block_that_would_make_it_too_long() {
    let mut chain = Chain::new(false);
    assert_eq!(chain.push(0, &[sized(1, 400)]), None);
    let rest = usize::try_from(RULE.bytes_target).unwrap() - 400 - 2 * SLICE_BYTES;
    assert_eq!(chain.push(1, &[sized(2, rest)]), None, "exactly the limit still fits");
    assert_eq!(chain.push(2, &[]), None, "nothing always fits");
    let batch = chain.push(3, &[sized(4, 150)]).unwrap();
    assert_eq!((batch.first_height, batch.last_height, batch.last_timestamp_ms), (1, 3, 2));
    assert_eq!(batch.transactions(), 2);
    assert_eq!(chain.cutter.open_height(), 4);
}

#[test]
fn a_block_above_the_limit_is_a_batch_by_itself() {
    let mut chain = Chain::new(false);
    assert_eq!(chain.push(0, &[sized(1, 500)]), None);
    let before = chain.push(1, &[sized(2, 3_000)]).unwrap();
    assert_eq!((before.first_height, before.last_height), (1, 1));
    let large = chain.push(2, &[sized(3, 500)]).unwrap();
    assert_eq!((large.first_height, large.last_height, large.transactions()), (2, 2, 1));
}

#[test]
fn age_counts_from_the_first_block_with_anything_in_it() {
    let mut chain = Chain::new(false);
    for time in 0..100 {
        assert_eq!(chain.push(time * 1_000, &[]), None, "an idle rollup posts nothing");
    }
    assert_eq!(chain.push(100_000, &[sized(101, 200)]), None);
    assert_eq!(chain.push(100_000 + RULE.age_max_ms - 1, &[]), None);
    let batch = chain.push(100_000 + RULE.age_max_ms, &[]).unwrap();
    assert_eq!((batch.first_height, batch.last_height, batch.slices.len()), (1, 102, 1));
}

#[test]
fn a_forced_entry_that_brought_no_transaction_counts() {
    let mut chain = Chain::new(false);
    chain.push(0, &[]);
    chain.forced = 3;
    chain.push(1, &[]);
    let batch = chain.push(RULE.age_max_ms + 1, &[]).unwrap();
    assert_eq!((batch.forced_before, batch.forced_cursor(), batch.slices.len()), (0, 3, 1));
}

#[test]
fn batches_follow_each_other_and_lead_to_the_head_of_the_chain() {
    for executed in [false, true] {
        let mut chain = Chain::new(executed);
        let (mut height, mut head) = (1, EMPTY);
        for block in 0..200u64 {
            let transactions: Vec<_> = (0..block % 4)
                .map(|n| transaction(block, &[u8::try_from(block).unwrap(), u8::try_from(n).unwrap()]))
                .collect();
            let before = chain.head;
            if let Some(batch) = chain.push(block * 300, &transactions) {
                assert_eq!((batch.first_height, batch.head_before), (height, head));
                assert_eq!(batch.order_root(), before, "the head before the block that cut it");
                (height, head) = (batch.last_height + 1, before);
            }
        }
        assert!(height > 100);
    }
}

#[test]
fn one_that_goes_on_in_the_middle_cuts_the_same() {
    let mut whole = Chain::new(true);
    let mut resumed: Option<Chain> = None;
    let mut compared = 0;
    for block in 0..200u64 {
        let transactions = [transaction(block, &[1; 90])];
        if let Some(resumed) = &mut resumed {
            let before = (whole.head, whole.height);
            let expected = whole.push(block * 300, &transactions);
            assert_eq!(resumed.push(block * 300, &transactions), expected);
            compared += usize::from(expected.is_some());
            assert_ne!((whole.head, whole.height), before);
        } else if let Some(batch) = whole.push(block * 300, &transactions) {
            // Again from the first height of the open batch, which is the block just pushed.
            let cutter =
                Cutter::new(RULE, crate::testing::ROLLUP, batch.last_height + 1, batch.order_root(), 0);
            let mut again = Chain {
                cutter,
                executed: true,
                head: batch.order_root(),
                height: batch.last_height,
                forced: 0,
            };
            assert_eq!(again.push(block * 300, &transactions), None);
            resumed = Some(again);
        }
    }
    assert!(compared > 10);
}

#[test]
fn blocks_out_of_order_are_refused() {
    let mut chain = Chain::new(false);
    chain.push(0, &[]);
    chain.height = 5;
    let part = Part {
        height: 6,
        timestamp_ms: 0,
        parent: EMPTY,
        parent_seed: [0; 48],
        origin: L1Origin::NONE,
        forced_cursor: 0,
        transactions: &[],
        head: EMPTY,
        result: None,
    };
    assert_eq!(chain.cutter.push(&part), Err(NotNext { expected: 2, found: 6 }));
}

/// Blocks before the first with anything in it make no difference, so they need not be there.
#[test]
fn quiet_blocks_may_be_left_out() {
    for executed in [false, true] {
        let (mut whole, mut late) = (Chain::new(executed), Chain::new(executed));
        for block in 0..20 {
            whole.push(block * 1_000, &[]);
            late.push(block * 1_000, &[]);
        }
        assert_eq!(whole.cutter.needs_from(), 21);
        late.cutter = Cutter::new(RULE, ROLLUP, 1, EMPTY, 0).behind_quiet(15).behind_quiet(20);
        let first = [transaction(21, &[1; 90])];
        assert_eq!((whole.push(20_000, &first), late.push(20_000, &first)), (None, None));
        assert_eq!((whole.cutter.needs_from(), late.cutter.needs_from()), (21, 21));
        let time = 20_000 + RULE.age_max_ms;
        let (whole, late) = (whole.push(time, &[]).unwrap(), late.push(time, &[]).unwrap());
        assert_eq!((whole.first_height, whole.slices.len()), (1, 1));
        assert_eq!(whole, late);
    }
}

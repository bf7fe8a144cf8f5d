//! What is on disk, and what a crash or time does to it.

use super::{
    super::journal::{Journal, batches},
    *,
};
use commonware_runtime::{Blob as _, Storage as _};

pub async fn open(context: &Context, each: impl FnMut(Batch)) -> Journal<Context> {
    let limits = Dealt::new().genesis.limits();
    let cache = CacheRef::new(NZU16!(4_096), NZUsize!(64));
    Journal::open(context.child("journal"), PARTITION.to_owned(), limits, cache, each).await
}

/// Numbers of the units in the journal, ascending.
async fn content(context: &Context) -> Vec<u64> {
    let mut numbers = Vec::new();
    let each = |batch: Batch| {
        numbers.extend(batch.0.iter().map(|unit| {
            let (_, transaction) = unit.legs().next().unwrap();
            u64::from_be_bytes(transaction.payload[..8].try_into().unwrap())
        }));
    };
    open(context, each).await;
    numbers.sort_unstable();
    numbers
}

fn batch(units: impl IntoIterator<Item = Unit>) -> Vec<Batch> {
    batches(units.into_iter().map(Arc::new))
}

async fn sections(context: &Context) -> usize {
    context.scan(PARTITION).await.map_or(0, |names| names.len())
}

#[test]
fn what_was_appended_is_there_again() {
    let ((), checkpoint) = until_crash(async |context| {
        let mut journal = open(&context, |_| panic!("a new journal is empty")).await;
        journal.append(&batch([unit(1), unit(2)])).await;
        journal.append(&[]).await;
        journal.append(&[Batch(Vec::new())]).await;
        journal.append(&[batch([valid_until(3, 70)]), batch([valid_until(4, 500)])].concat()).await;
    });
    after(checkpoint, async |context| assert_eq!(content(&context).await, [1, 2, 3, 4]));
}

#[test]
fn sections_go_when_nothing_in_them_can_be_ordered_any_more() {
    let ((), checkpoint) = until_crash(async |context| {
        let mut journal = open(&context, |_| {}).await;
        for (number, valid_until) in [(1, 63), (2, 64), (3, 127), (4, 128), (5, 300)] {
            journal.append(&batch([self::valid_until(number, valid_until)])).await;
        }
        assert_eq!(sections(&context).await, 4);
        journal.prune(62).await;
        assert_eq!(sections(&context).await, 4, "a block at 63 may still carry the first");
        journal.prune(63).await;
        assert_eq!(sections(&context).await, 3);
        journal.prune(127).await;
        assert_eq!(sections(&context).await, 2);
        // Expired while it waited to be written: no error, and nothing kept.
        journal.append(&batch([valid_until(6, 100)])).await;
        assert_eq!(sections(&context).await, 2);
    });
    after(checkpoint, async |context| assert_eq!(content(&context).await, [4, 5]));
}

/// Blocks come and units expire: the actor prunes by itself.
#[test]
fn the_actor_s_journal_keeps_to_the_validity_window() {
    run(async |context| {
        let node = Node::start(&context).await;
        let mut most = 0;
        for height in 1..=20u64 {
            node.finalize(height * 64);
            node.submit(vec![valid_until(height, height * 64 + 600)], Ack::Pending).await.unwrap();
            node.pause(300).await;
            most = most.max(sections(&context).await);
        }
        assert!((9..=11).contains(&most), "{most} sections for a window of 600 blocks");
    });
}

#[test]
fn a_torn_tail_costs_only_what_was_torn() {
    let ((), checkpoint) = until_crash(async |context| {
        let mut journal = open(&context, |_| {}).await;
        journal.append(&batch((0..40).map(|number| sized(number, 300, 1_000)))).await;
        journal.append(&batch((40..60).map(|number| sized(number, 300, 1_000)))).await;
    });
    // What a crash may leave of a write that was not synced: less of it, or something else.
    let (whole, checkpoint) = Runner::from(checkpoint).start_and_recover(async |context| {
        let name = context.scan(PARTITION).await.unwrap().pop().unwrap();
        let (blob, len) = context.open(PARTITION, &name).await.unwrap();
        blob.resize(len - 10_000).await.unwrap();
        blob.sync().await.unwrap();
        drop(blob);
        len
    });
    let ((), checkpoint) = Runner::from(checkpoint).start_and_recover(async |context| {
        assert_eq!(content(&context).await, (0..40).collect::<Vec<_>>());
        let mut journal = open(&context, |_| {}).await;
        journal.append(&batch([unit(70)])).await;
    });
    after(checkpoint, async |context| {
        let mut expected: Vec<_> = (0..40).collect();
        expected.push(70);
        assert_eq!(content(&context).await, expected, "of {whole} bytes");
    });
}

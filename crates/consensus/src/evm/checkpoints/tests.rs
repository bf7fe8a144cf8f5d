use super::*;
use baton_execution::evm::{Chain, Past};
use baton_types::{Rollup, genesis::evm::Evm, merkle::EMPTY};
use commonware_runtime::{Runner as _, Storage as _, Supervisor as _, deterministic};

const FILES: &str = "node-evm-2-checkpoints";

fn run(test: impl AsyncFnOnce(deterministic::Context)) {
    deterministic::Runner::seeded(1).start(|context| test(context));
}

async fn open(context: &deterministic::Context) -> Checkpoints<deterministic::Context> {
    Checkpoints::open(context.child("states"), "node", 2).await
}

fn checkpoint(number: u64) -> Checkpoint {
    let rollup = Rollup::evm(2, "evm", Evm::new(2_211));
    let chain = Chain::new(&rollup, EMPTY, super::super::execution::LIMITS).expect("an evm rollup");
    let Past { state, mut header, .. } = (**chain.head()).clone();
    header.number = number;
    Checkpoint { state, header, through_height: number + 1, through_digest: EMPTY }
}

/// The newest good one, and the files that are left.
async fn newest(context: &deterministic::Context) -> (Option<u64>, Vec<u64>) {
    let mut checkpoints = open(context).await;
    let newest = checkpoints.newest().await;
    (newest.map(|checkpoint| checkpoint.header.number), checkpoints.numbers)
}

#[test]
fn the_newest_two_are_kept() {
    run(async |context| {
        assert_eq!(newest(&context).await, (None, vec![]));
        let mut checkpoints = open(&context).await;
        for number in [5, 9, 14] {
            assert!(checkpoints.write(&checkpoint(number)).await > 1_000);
        }
        assert_eq!(checkpoints.oldest(), Some(9));
        drop(checkpoints);
        assert_eq!(newest(&context).await, (Some(14), vec![9, 14]));
        // A node that was set back.
        open(&context).await.write(&checkpoint(9)).await;
        assert_eq!(newest(&context).await, (Some(9), vec![9]));
    });
}

/// Cut anywhere, or with a bit flipped anywhere: the one before is taken, and after the last none.
#[test]
fn what_is_damaged_is_passed_over_and_removed() {
    run(async |context| {
        let size = open(&context).await.write(&checkpoint(5)).await;
        for at in (0..size).step_by(97).chain([size - 1]) {
            for cut in [true, false] {
                let mut checkpoints = open(&context).await;
                checkpoints.write(&checkpoint(5)).await;
                checkpoints.write(&checkpoint(9)).await;
                drop(checkpoints);
                damage(&context, 9, at, cut).await;
                assert_eq!(newest(&context).await, (Some(5), vec![5]), "byte {at}, cut: {cut}");
            }
        }
        damage(&context, 5, 0, true).await;
        assert_eq!(newest(&context).await, (None, vec![]));
    });
}

async fn damage(context: &deterministic::Context, number: u64, at: u64, cut: bool) {
    let (blob, _) = context.open(FILES, &number.to_be_bytes()).await.expect("it is there");
    if cut {
        blob.resize(at).await.expect("it can be cut");
    } else {
        let byte = blob.read_at(at, 1, ReadOptions::default()).await.expect("readable").coalesce();
        let flipped = vec![byte.as_ref()[0] ^ 0x10];
        blob.write_at(at, flipped, WriteOptions::default()).await.expect("writable");
    }
    blob.sync().await.expect("it can be synced");
}

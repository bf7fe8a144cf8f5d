use super::*;
use crate::testing::{Dealt, block_at};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use commonware_utils::{NZU16, NZU64};

type Context = deterministic::Context;

fn config(dealt: &Dealt, history: History) -> Config {
    let page_cache = CacheRef::new(NZU16!(1_024), NZUsize!(64));
    Config { prefix: "node".to_owned(), history, limits: dealt.genesis.limits(), page_cache }
}

async fn open(context: &Context, dealt: &Dealt, history: History) -> Result<Archives<Context>, HistoryError> {
    Archives::open(context, &config(dealt, history)).await
}

/// Adds the blocks from `first` to `last`, durably.
async fn add(archives: Archives<Context>, dealt: &Dealt, first: u64, last: u64) {
    let mut blocks = archives.blocks;
    for height in first..=last {
        let block = block_at(dealt, height);
        blocks = blocks.insert(height, block.digest(), &block.inner_shared()).await.expect("it takes writes");
    }
    blocks.flush().await.expect("it takes writes");
}

async fn heights(archives: &Archives<Context>) -> Vec<(u64, u64)> {
    for (first, last) in archives.ranges() {
        for height in [first, last] {
            let block = archives.blocks.read(Identifier::Index(height)).await.expect("it is readable");
            assert_eq!(block.map(|block| block.header().height), Some(height));
        }
    }
    archives.ranges()
}

#[test]
fn a_window_is_long_enough_for_members_to_join() {
    let dealt = Dealt::new();
    let check = |history: History| history.check(&dealt.genesis).map_err(|error| error.to_string());
    assert_eq!(check(History::Full), Ok(()));
    // 600 blocks of validity, 40 per epoch.
    assert_eq!(check(History::Window { blocks: 1_280 }), Ok(()));
    let refused = check(History::Window { blocks: 1_279 }).unwrap_err();
    assert!(refused.contains("storage.history = { blocks = 1279 }: at least 1280"), "{refused}");
}

#[test]
fn sections_below_a_window_are_removed_and_their_size_stays() {
    use commonware_consensus::marshal::store::Blocks as _;
    deterministic::Runner::seeded(1).start(|context| async move {
        let dealt = Dealt::new();
        let archives = open(&context.child("first"), &dealt, History::Window { blocks: 512 }).await.unwrap();
        let section = archives.section.unwrap();
        assert_eq!(section.get(), 32);
        add(archives, &dealt, 1, 200).await;
        // A longer window keeps its sections.
        let archives =
            open(&context.child("second"), &dealt, History::Window { blocks: 5_120 }).await.unwrap();
        assert_eq!(archives.section, Some(section));
        let blocks = archives.blocks.prune(100).await.unwrap();
        drop(blocks.sync().await.unwrap());
        drop(archives.finalizations);
        let archives = open(&context.child("third"), &dealt, History::Window { blocks: 512 }).await.unwrap();
        assert_eq!(heights(&archives).await, [(96, 200)]);
    });
}

#[test]
fn a_directory_goes_from_everything_to_a_window_and_not_back() {
    deterministic::Runner::seeded(2).start(|context| async move {
        let dealt = Dealt::new();
        let archives = open(&context.child("first"), &dealt, History::Full).await.unwrap();
        assert_eq!(archives.section, None);
        add(archives, &dealt, 1, 100).await;
        // Above a gap, as a node that catches up has them.
        let archives = open(&context.child("second"), &dealt, History::Full).await.unwrap();
        add(archives, &dealt, 110, 120).await;
        let window = History::Window { blocks: 60 };
        let archives = open(&context.child("third"), &dealt, window).await.unwrap();
        assert_eq!(heights(&archives).await, [(61, 100), (110, 120)]);
        assert!(!exists(&context, "node-blocks-metadata").await, "what was copied is removed");
        drop(archives);
        let refused = open(&context.child("fourth"), &dealt, History::Full).await.err().unwrap();
        assert!(matches!(refused, HistoryError::Cut), "{refused}");
    });
}

#[test]
fn a_copy_that_was_cut_short_begins_anew_or_not_at_all() {
    deterministic::Runner::seeded(3).start(|context| async move {
        let dealt = Dealt::new();
        let archives = open(&context.child("first"), &dealt, History::Full).await.unwrap();
        add(archives, &dealt, 1, 50).await;
        // A part of a copy, with sections of another size.
        let part = config(&dealt, History::Window { blocks: 999 });
        let part = Archives::open_window(&context.child("part"), &part, NZU64!(16)).await;
        add(part, &dealt, 20, 30).await;
        drop(marker(&context, "node-window").await);
        let archives = open(&context.child("second"), &dealt, History::Full).await.unwrap();
        assert_eq!(heights(&archives).await, [(1, 50)]);
        drop(archives);
        let archives =
            open(&context.child("third"), &dealt, History::Window { blocks: 1_024 }).await.unwrap();
        assert_eq!(archives.section, Some(NZU64!(64)));
        assert_eq!(heights(&archives).await, [(1, 50)]);
    });
}

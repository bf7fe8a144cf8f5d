use super::*;
use commonware_runtime::{Runner as _, Storage as _, Supervisor as _, deterministic};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::collections::BTreeMap;

fn id(rng: &mut StdRng) -> TxId {
    let mut id = [0; 32];
    rng.fill_bytes(&mut id);
    TxId(id)
}

async fn check(index: &Index<deterministic::Context>, model: &BTreeMap<TxId, u64>, every: usize) {
    for (id, height) in model.iter().step_by(every) {
        assert!(index.find(&[*id]).await.contains(height), "{id} at {height}");
    }
}

#[test]
fn finds_what_was_inserted_over_merges_and_restarts() {
    deterministic::Runner::seeded(1).start(|context| async move {
        let mut rng = StdRng::seed_from_u64(7);
        let mut model = BTreeMap::new();
        let mut index = Index::open(context.child("first"), "index".to_owned(), u64::MAX).await;
        // Few transactions in many blocks: a run per 4,096 blocks, and a merge after eight of them.
        let blocks = RUN_BLOCKS_MAX * 9 + 100;
        for height in 0..blocks {
            let ids: Vec<TxId> = (0..height % 3).map(|_| id(&mut rng)).collect();
            index.insert(height, ids.iter().copied()).await;
            model.extend(ids.into_iter().map(|id| (id, height)));
        }
        assert_eq!(index.next_height(), blocks);
        assert_eq!(index.runs.iter().map(|run| run.name.tier).collect::<Vec<_>>(), [1, 0]);
        check(&index, &model, 97).await;
        for _ in 0..50 {
            assert_eq!(index.find(&[id(&mut rng)]).await, Vec::<u64>::new());
        }

        // What was only in memory is asked for again.
        drop(index);
        let mut index = Index::open(context.child("second"), "index".to_owned(), u64::MAX).await;
        let from = index.next_height();
        assert_eq!(from, RUN_BLOCKS_MAX * 9);
        for height in from..blocks {
            let ids: Vec<_> = model.iter().filter(|(_, at)| **at == height).map(|(id, _)| *id).collect();
            index.insert(height, ids.iter().copied()).await;
        }
        check(&index, &model, 101).await;
        // A block that is indexed already changes nothing, and none may be skipped.
        let stranger = id(&mut rng);
        index.insert(5, [stranger].into_iter()).await;
        index.insert(blocks + 5, [stranger].into_iter()).await;
        assert_eq!(index.find(&[stranger]).await, Vec::<u64>::new());
    });
}

#[test]
fn a_full_memory_is_one_run() {
    deterministic::Runner::seeded(2).start(|context| async move {
        let mut rng = StdRng::seed_from_u64(8);
        let mut index = Index::open(context.child("index"), "index".to_owned(), u64::MAX).await;
        let ids: Vec<TxId> = (0..RUN_ENTRIES_MAX).map(|_| id(&mut rng)).collect();
        index.insert(0, ids.iter().copied()).await;
        assert_eq!(index.runs.len(), 1);
        for id in ids.iter().step_by(1_009) {
            assert_eq!(index.find(&[*id]).await, [0]);
        }
    });
}

#[test]
fn runs_that_are_torn_or_covered_are_dropped() {
    deterministic::Runner::seeded(3).start(|context| async move {
        let mut rng = StdRng::seed_from_u64(9);
        let first = id(&mut rng);
        let mut index = Index::open(context.child("first"), "index".to_owned(), u64::MAX).await;
        index.insert(0, [first].into_iter()).await;
        for height in 1..RUN_BLOCKS_MAX {
            index.insert(height, [].into_iter()).await;
        }
        drop(index);
        // A run whose footer never came, and one whose heights a merged run covers.
        let torn = Name { tier: 0, from: RUN_BLOCKS_MAX, to: RUN_BLOCKS_MAX + 9 };
        let mut writer = Writer::<deterministic::Context>::create(&context, "index", torn).await;
        writer.write(&[(1, 2), (3, 4)]).await;
        drop(writer);
        let merged = Name { tier: 1, from: 0, to: RUN_BLOCKS_MAX - 1 };
        let mut writer = Writer::create(&context, "index", merged).await;
        writer.write(&[(prefix(&first), 0)]).await;
        drop(writer.finish().await);

        let index = Index::open(context.child("second"), "index".to_owned(), u64::MAX).await;
        assert_eq!(index.runs.iter().map(|run| run.name).collect::<Vec<_>>(), [merged]);
        assert_eq!(index.next_height(), RUN_BLOCKS_MAX);
        assert_eq!(index.find(&[first]).await, [0]);
        assert_eq!(context.scan("index").await.expect("readable").len(), 1);
    });
}

#[test]
fn ids_with_the_same_first_bytes_are_all_found() {
    deterministic::Runner::seeded(4).start(|context| async move {
        let mut index = Index::open(context.child("index"), "index".to_owned(), u64::MAX).await;
        let twin = |last: u8| TxId([&[9; 31][..], &[last]].concat().try_into().expect("32 bytes"));
        for height in 0..RUN_BLOCKS_MAX {
            let ids: Vec<TxId> =
                if height < 3 { vec![twin(u8::try_from(height).expect("small"))] } else { vec![] };
            index.insert(height, ids.iter().copied()).await;
        }
        let mut found = index.find(&[twin(1)]).await;
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2]);
    });
}

#[test]
fn a_window_drops_runs_below_it_and_merges_none_that_outgrow_it() {
    deterministic::Runner::seeded(5).start(|context| async move {
        let mut rng = StdRng::seed_from_u64(10);
        let mut index = Index::open(context.child("first"), "index".to_owned(), RUN_BLOCKS_MAX).await;
        let blocks = RUN_BLOCKS_MAX * 9 + 100;
        let mut ids = Vec::new();
        for height in 0..blocks {
            let id = id(&mut rng);
            index.insert(height, [id].into_iter()).await;
            ids.push(id);
        }
        assert!(index.runs.iter().all(|run| run.name.tier == 0), "a merged run would be too long");
        // Nothing that a restart would lose may be left in memory below the window.
        index.prune(blocks - 10).await;
        assert_eq!(index.next_height(), blocks);
        assert_eq!(index.first_height(), RUN_BLOCKS_MAX * 9);
        assert_eq!(context.scan("index").await.expect("readable").len(), 1);
        drop(index);
        let mut index = Index::open(context.child("second"), "index".to_owned(), RUN_BLOCKS_MAX).await;
        assert_eq!((index.first_height(), index.next_height()), (RUN_BLOCKS_MAX * 9, blocks));
        let last = ids.last().expect("many");
        assert_eq!(index.find(&[*last]).await, [blocks - 1]);
        assert_eq!(index.find(&[ids[0]]).await, Vec::<u64>::new());
        // A floor far above.
        index.restart(blocks + 500).await;
        index.insert(blocks, [ids[0]].into_iter()).await;
        index.insert(blocks + 500, [ids[1]].into_iter()).await;
        assert_eq!((index.find(&[ids[0]]).await, index.find(&[ids[1]]).await), (vec![], vec![blocks + 500]));
        assert!(context.scan("index").await.expect("readable").is_empty());
    });
}

/// A file that was renamed is no run: nothing could come behind it.
#[test]
fn names_behind_which_nothing_comes_say_nothing() {
    let name = |from, to| Name::decode(&Name { tier: 1, from, to }.encode());
    assert_eq!(name(7, u64::MAX - 1), Some(Name { tier: 1, from: 7, to: u64::MAX - 1 }));
    assert_eq!((name(7, u64::MAX), name(8, 7), Name::decode(&[1; 16])), (None, None, None));
}

use super::*;
use commonware_runtime::{Blob as _, Runner as _, WriteOptions, deterministic};

const VERSION: RangeInclusive<BlobVersion> = BlobVersion::new(0)..=BlobVersion::new(0);

fn run(test: impl AsyncFnOnce(Disk, Arc<Life>)) {
    deterministic::Runner::default().start(|context| async move {
        test(Disk::new(context.child("disk")), Arc::default()).await;
    });
}

fn open(disk: &Disk, life: &Arc<Life>) -> (Blob, u64) {
    let (blob, len, _) = disk.open(life, "partition", b"blob", VERSION).unwrap();
    (blob, len)
}

async fn content(disk: &Disk) -> Vec<u8> {
    let (blob, len) = open(disk, &Arc::default());
    let len = usize::try_from(len).unwrap();
    blob.read_at(0, len, ReadOptions::default()).await.unwrap().coalesce().as_ref().to_vec()
}

/// Writes and syncs, then a crash.
async fn after(disk: &Disk, life: &Arc<Life>, unsynced: Unsynced) -> Vec<u8> {
    let (blob, _) = open(disk, life);
    blob.write_at(0, b"synced".to_vec(), WriteOptions::default()).await.unwrap();
    blob.sync().await.unwrap();
    blob.write_at(0, b"SYNC".to_vec(), WriteOptions::default()).await.unwrap();
    blob.write_at(6, b"!!".to_vec(), WriteOptions::SYNC).await.unwrap();
    disk.crash(unsynced);
    content(disk).await
}

#[test]
fn a_crash_takes_what_was_not_synced() {
    run(async |disk, life| assert_eq!(after(&disk, &life, Unsynced::Lost).await, b"synced!!"));
    run(async |disk, life| assert_eq!(after(&disk, &life, Unsynced::Kept).await, b"SYNCed!!"));
    run(async |disk, life| {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            disk.wipe();
            seen.insert(after(&disk, &life, Unsynced::Torn).await);
        }
        let expect: [&[u8]; 5] = [b"SYNCed!!", b"SYNced!!", b"SYnced!!", b"Synced!!", b"synced!!"];
        assert_eq!(seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), expect);
    });
}

#[test]
fn a_resize_is_a_write() {
    for (unsynced, expect) in [(Unsynced::Lost, &b"long"[..]), (Unsynced::Kept, b"lo")] {
        run(async |disk, life| {
            let (blob, _) = open(&disk, &life);
            blob.write_at(0, b"long".to_vec(), WriteOptions::default()).await.unwrap();
            blob.sync().await.unwrap();
            blob.resize(2).await.unwrap();
            disk.crash(unsynced);
            assert_eq!(content(&disk).await, expect);
            let (blob, _) = open(&disk, &life);
            blob.resize(1).await.unwrap();
            blob.sync().await.unwrap();
            disk.crash(Unsynced::Lost);
            assert_eq!(content(&disk).await, b"l");
        });
    }
}

#[test]
fn handles_of_a_crashed_process_reach_nothing() {
    run(async |disk, life| {
        let (blob, _) = open(&disk, &life);
        assert!(matches!(disk.open(&life, "partition", b"blob", VERSION), Err(Error::BlobAlreadyOpen(..))));
        disk.crash(Unsynced::Lost);
        blob.write_at(0, b"late".to_vec(), WriteOptions::SYNC).await.unwrap();
        assert_eq!(content(&disk).await, b"");
    });
}

#[test]
fn a_full_disk_refuses_and_excuses() {
    run(async |disk, life| {
        let (blob, _) = open(&disk, &life);
        disk.set(|faults| faults.full = true);
        assert!(matches!(blob.write_at(0, b"x".to_vec(), WriteOptions::default()).await, Err(Error::Io(_))));
        assert!(life.excused());
        disk.set(|faults| faults.full = false);
        blob.write_at(0, b"x".to_vec(), WriteOptions::SYNC).await.unwrap();
    });
}

#[test]
fn a_liar_forgets_what_it_said_was_safe() {
    run(async |disk, life| {
        disk.set(|faults| faults.lies = true);
        assert_eq!(after(&disk, &life, Unsynced::Lost).await, b"");
    });
}

#[test]
fn the_process_dies_at_the_chosen_write() {
    run(async |disk, life| {
        let context = disk.0.context.child("test");
        let (blob, _) = open(&disk, &life);
        disk.set(|faults| faults.dies_after = Some(2));
        blob.write_at(0, b"a".to_vec(), WriteOptions::default()).await.unwrap();
        blob.sync().await.unwrap();
        assert!(!life.ended());
        let write = async move { blob.write_at(1, b"b".to_vec(), WriteOptions::SYNC).await };
        assert!(matches!(context.timeout(Duration::from_secs(1), write).await, Err(Error::Timeout)));
        assert!(life.ended() && life.excused());
        disk.crash(Unsynced::Lost);
        assert!(matches!(content(&disk).await.as_slice(), b"a" | b"ab"));
    });
}

#[test]
fn a_slow_disk_takes_its_time() {
    run(async |disk, life| {
        let context = disk.0.context.child("test");
        disk.set(|faults| faults.latency_ms = 50);
        let (blob, _) = open(&disk, &life);
        let start = context.current();
        blob.write_at(0, b"x".to_vec(), WriteOptions::default()).await.unwrap();
        assert!(context.current() < start + Duration::from_millis(50));
        // Done even if nobody waits for it.
        drop(blob.start_sync().await);
        context.sleep(Duration::from_millis(60)).await;
        disk.crash(Unsynced::Lost);
        drop(blob);
        assert_eq!(content(&disk).await, b"x");
    });
}

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
fn later_writes_may_be_there_without_earlier_ones() {
    run(async |disk, life| {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            disk.wipe();
            let (blob, _) = open(&disk, &life);
            blob.write_at(0, b"....".to_vec(), WriteOptions::SYNC).await.unwrap();
            for (at, byte) in [(0, b"a"), (1, b"b"), (2, b"c")] {
                blob.write_at(at, byte.to_vec(), WriteOptions::default()).await.unwrap();
            }
            blob.write_at(3, b"d".to_vec(), WriteOptions::SYNC).await.unwrap();
            disk.crash(Unsynced::Reordered);
            seen.insert(content(&disk).await);
        }
        let expect: [&[u8]; 4] = [b"...d", b"..cd", b".bcd", b"abcd"];
        assert_eq!(seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), expect);
    });
}

#[test]
fn a_disk_that_cannot_read_excuses_its_process() {
    run(async |disk, life| {
        let (blob, _) = open(&disk, &life);
        blob.write_at(0, b"x".to_vec(), WriteOptions::SYNC).await.unwrap();
        disk.set(|faults| faults.unreadable = true);
        assert!(matches!(blob.read_at(0, 1, ReadOptions::default()).await, Err(Error::Io(_))));
        assert!(life.excused());
        disk.set(|faults| faults.unreadable = false);
        blob.read_at(0, 1, ReadOptions::default()).await.unwrap();
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

/// One file per number, each with four bytes.
async fn numbered(disk: &Disk, files: u8) {
    let life = Arc::default();
    for number in 0..files {
        let (blob, ..) = disk.open(&life, "journal", &[number], VERSION).unwrap();
        blob.write_at(0, vec![number; 4], WriteOptions::SYNC).await.unwrap();
    }
}

async fn numbers(disk: &Disk) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    for name in disk.scan("journal").unwrap() {
        let (blob, len, _) = disk.open(&Arc::default(), "journal", &name, VERSION).unwrap();
        let len = usize::try_from(len).unwrap();
        let bytes = blob.read_at(0, len, ReadOptions::default()).await.unwrap().coalesce();
        found.push((name[0], bytes.as_ref().to_vec()));
    }
    found
}

#[test]
fn files_rot() {
    run(async |disk, _| {
        numbered(&disk, 5).await;
        disk.rot("other", Damage::Gone);
        disk.rot("journ", Damage::After(7));
        assert_eq!(numbers(&disk).await.len(), 5);
        disk.rot("journ", Damage::Cut);
        assert_eq!(numbers(&disk).await, [(0, vec![0; 4]), (1, vec![1; 4]), (2, vec![2; 2])]);
        disk.rot("journ", Damage::Flip);
        let bits = |(name, bytes): &(u8, Vec<u8>)| bytes.iter().map(|byte| (byte ^ name).count_ones()).sum();
        let flipped: Vec<u32> = numbers(&disk).await.iter().map(bits).collect();
        assert!(flipped.iter().all(|bits| *bits <= 1) && flipped[2] == 1, "{flipped:?}");
        disk.rot("journ", Damage::After(2));
        assert_eq!(numbers(&disk).await.len(), 2);
        disk.rot("journ", Damage::Gone);
        assert_eq!(numbers(&disk).await, []);
        assert!(disk.faults().rotten);
    });
}

#[test]
fn a_copy_is_what_was_durable() {
    run(async |disk, life| {
        disk.restore();
        assert!(!disk.has_copy());
        let (blob, _) = open(&disk, &life);
        blob.write_at(0, b"old".to_vec(), WriteOptions::SYNC).await.unwrap();
        blob.write_at(0, b"new".to_vec(), WriteOptions::default()).await.unwrap();
        disk.copy();
        blob.sync().await.unwrap();
        numbered(&disk, 1).await;
        drop(blob);
        disk.crash(Unsynced::Lost);
        assert_eq!(content(&disk).await, b"new");
        disk.restore();
        assert_eq!(content(&disk).await, b"old");
        assert!(disk.scan("journal").is_err(), "it was not there yet");
        disk.wipe();
        assert!(!disk.has_copy());
    });
}

use super::*;
use baton_consensus::broken::Access;

fn broken(partition: &str) -> Ended {
    let partition = partition.to_owned();
    Ended::Broken(Broken { partition, access: Access::Reading, cause: "checksum mismatch".to_owned() })
}

fn library(source: &str, text: &str) -> Ended {
    Ended::Library { text: text.to_owned(), source: source.to_owned() }
}

fn failed(place: &str, trouble: Trouble) -> Option<Failed> {
    Some(Failed { place: place.to_owned(), trouble, text: "said the disk".to_owned() })
}

fn check(ended: &Ended, scene: &Scene, expect: &[&str]) {
    let text = scene.explain(ended, Path::new("/data"));
    for part in expect {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn what_the_disk_says_comes_first() {
    let library = library("commonware-x/y.rs", "unable to sync journal");
    for (trouble, expect) in [
        (Trouble::Full, "the disk of /data is full. Make room"),
        (Trouble::TooLarge, "/data/storage/baton-index/00 may not become larger. Raise the limit"),
        (Trouble::ReadOnly, "/data cannot be written: its file system is read-only"),
        (Trouble::Denied, "this user may not use /data/storage/baton-index/00"),
        (Trouble::TooManyFiles, "LimitNOFILE="),
        (Trouble::Failing, "the disk of /data is failing"),
        (Trouble::Damaged, "/data/storage/baton-index/00 is damaged: said the disk. To mend it: `rm -rf"),
    ] {
        let used = Some("baton-index/00".to_owned());
        let scene = Scene { failed: failed("baton-index/00", trouble), used, ..Scene::default() };
        for ended in [&library, &broken("baton-index")] {
            check(ended, &scene, &[expect, "said the disk"]);
        }
    }
    // One that the node has gone on without.
    let scene = Scene { failed: failed("baton-proofs/00", Trouble::Damaged), ..Scene::default() };
    check(&broken("baton-index"), &scene, &["/data/storage/baton-index is damaged: reading baton-index"]);
    let scene = Scene { free_bytes: Some(4_096), ..Scene::default() };
    check(&library, &scene, &["the disk of /data is full", "unable to sync journal"]);
}

#[test]
fn the_remedy_fits_the_file() {
    let scene = Scene { used: Some("baton-history-pins/00".to_owned()), ..Scene::default() };
    // The file itself where it is known, else all that belong together.
    check(
        &broken("baton-history"),
        &scene,
        &[
            "/data/storage/baton-history-pins/00 is damaged: reading baton-history: checksum mismatch",
            "`rm -rf /data/storage/baton-history* /data/storage/baton-index`",
        ],
    );
    check(&broken("baton-mempool"), &scene, &["/data/storage/baton-mempool is damaged", "accepted"]);
    for (partition, expect) in [
        ("baton-blocks-value", "/data/storage/baton-marshal* "),
        ("baton-finalizations", "/data/storage/baton-blocks* "),
        ("baton-window", "fetches the chain again"),
        ("baton_dkg_state_sync", "/data/storage/baton_dkg* "),
        ("baton-marshal-application-metadata", "/data/storage/baton-blocks* "),
        ("baton-marshal-cache-cache-3-verified-key", "`rm -rf /data/storage/baton-marshal-cache*`"),
        ("baton-reshare_events", "`rm -rf /data/storage/baton-reshare*`"),
        ("baton-batches-1", "`rm -rf /data/storage/baton-batches*`"),
        ("baton-evm-9-blocks-value", "`rm -rf /data/storage/baton-evm*`"),
        ("baton-silent", "while the other members run"),
        ("baton-secrets", "`rm -rf /data/storage/baton-secrets /data/storage/baton-orchestrator*`"),
        (
            "baton-orchestrator-marker",
            "`rm -rf /data/storage/baton-secrets /data/storage/baton-orchestrator*`",
        ),
        ("baton-unheard-of", "Move /data away"),
    ] {
        check(&broken(partition), &Scene::default(), &[expect]);
    }
    assert_eq!(quoted("/my data/it's"), r"'/my data/it'\''s'");
}

#[test]
fn the_library_ends_for_its_files_and_the_program_for_its_faults() {
    let used = |place: &str| Scene { used: Some(place.to_owned()), ..Scene::default() };
    let library = library("commonware-x/y.rs", "replay");
    check(
        &library,
        &used("baton-marshal-cache-metadata/6c"),
        &[
            "Start it again. If it ends like this again, /data/storage/baton-marshal-cache-metadata/6c is damaged",
        ],
    );
    check(&library, &Scene::default(), &["fault of the program"]);
    let marshal = self::library("commonware-consensus-1/src/marshal/core/actor.rs", "missing");
    // It remembers what it has processed, and may read nothing to see that the block is gone.
    for scene in [used("baton-marshal-cache-metadata/6c"), Scene::default()] {
        check(&marshal, &scene, &["/data/storage/baton-blocks is damaged", "/data/storage/baton-blocks* "]);
    }
    let program = Ended::Program("index out of bounds".to_owned());
    let scene = Scene { failed: failed("baton-proofs", Trouble::Damaged), ..used("baton-index/00") };
    check(&program, &scene, &["index out of bounds", "fault of the program"]);
}

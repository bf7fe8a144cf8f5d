//! What a node says when it cannot go on: one message that names the file and what to do.
//!
//! The parts of a node end by panicking when their disk fails them, so this is a panic hook. It ends the
//! process: a node without one of its parts is of no use, and must not vote.

use crate::{disk, machine};
use std::{
    io::Write as _,
    panic::PanicHookInfo,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// A disk with less room than this is full: files grow by whole pages and blocks.
const FULL_BYTES: u64 = 256 * 1024;

/// What the storage's errors and the words around them have in common.
const DISK_SIGNS: &[&str] = &[
    "Runtime(",
    "Journal(",
    "Freezer(",
    "Ordinal(",
    "Metadata(",
    "orrupt",
    "checksum",
    "journal",
    "archive",
    "metadata",
    "record",
    "readable",
    "disk takes writes",
    "runtime error",
    "storage",
];

/// From now on, whatever panics says so in one message and ends the process with 1.
pub fn install(data_dir: PathBuf) {
    let said = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |info| {
        if said.swap(true, Ordering::SeqCst) {
            // Another thread is about to end the process; its words are enough.
            loop {
                thread::park();
            }
        }
        let last = machine::last_used().map(|place| place.to_string());
        let text = explain(&message(info), last.as_deref(), &data_dir, disk::free_bytes(&data_dir).ok());
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "error: {text}");
        process::exit(1);
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload_as_str().unwrap_or("a part of the node failed");
    match info.location() {
        // The folder of a dependency says which version; the folders above it only where it was built.
        Some(location) => {
            let file = location.file();
            let file = file.split_once("/registry/src/").map_or(file, |(_, rest)| rest);
            let file = file
                .split_once('/')
                .filter(|(top, _)| top.starts_with("index."))
                .map_or(file, |(_, rest)| rest);
            format!("{text} [{file}:{}]", location.line())
        }
        None => text.to_owned(),
    }
}

fn explain(message: &str, last_used: Option<&str>, data_dir: &Path, free_bytes: Option<u64>) -> String {
    let data = data_dir.display();
    let full =
        ["No space left", "StorageFull", "Disk quota exceeded"].iter().any(|sign| message.contains(sign));
    if full || free_bytes.is_some_and(|free| free < FULL_BYTES) {
        let free = free_bytes.map_or_else(String::new, |free| format!(" ({free} bytes free)"));
        return format!(
            "the disk of {data} is full{free}: {message}. Make room and start the node again; nothing is lost \
             and nothing needs repair"
        );
    }
    let last = last_used.map_or_else(String::new, |last| format!("; last file used: {data}/storage/{last}"));
    let of_disk = DISK_SIGNS.iter().any(|sign| message.contains(sign));
    match named(message).or(last_used).filter(|_| of_disk) {
        Some(place) => format!(
            "this node cannot go on: {message}{last}. Start it again. If it stops there again, a file of \
             {data}/storage/{} is damaged: {}",
            partition(place),
            remedy(place, data_dir)
        ),
        None => format!(
            "this node cannot go on: {message}{last}. Start it again; this looks like a fault of the program: \
             report it with the log"
        ),
    }
}

fn partition(place: &str) -> &str {
    place.split_once('/').map_or(place, |(partition, _)| partition)
}

/// A partition that the message itself names.
fn named(message: &str) -> Option<&str> {
    let start = message.find("baton-")?;
    let rest = &message[start..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_/".contains(c))).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// What helps against a damaged file.
fn remedy(place: &str, data_dir: &Path) -> String {
    let data = data_dir.display();
    if place.starts_with("baton-history") || place.starts_with("baton-index") {
        return format!(
            "it is derived from the blocks, so delete {data}/storage/baton-history-* and {data}/storage/baton-index"
        );
    }
    if place.starts_with("baton-mempool") {
        return format!(
            "delete {data}/storage/baton-mempool; what this node had accepted alone and nobody had ordered is lost"
        );
    }
    format!(
        "move {data} away, all of it, and start with an empty data directory and without share.key; the node \
         reads the chain from its peers and follows without voting until a reshare gives it a share"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, last_used: Option<&str>, free_bytes: u64, expect: &[&str]) {
        let text = explain(message, last_used, Path::new("/data"), Some(free_bytes));
        for part in expect {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn messages_name_the_file_and_what_to_do() {
        let plenty = 1 << 30;
        check(
            "unable to sync journal: No space left on device",
            None,
            plenty,
            &["disk of /data is full", "Make room"],
        );
        check("write failed", Some("baton-index/00"), 4_096, &["is full (4096 bytes free)"]);
        check(
            "BlobCorrupt(\"baton-blocks-key\", \"00\", \"magic\")",
            Some("baton-index/00"),
            plenty,
            &["/data/storage/baton-blocks-key is damaged", "move /data away", "without share.key"],
        );
        check(
            "invalid record: 7",
            Some("baton-history-pins/00"),
            plenty,
            &["last file used: /data/storage/baton-history-pins/00", "delete /data/storage/baton-history-*"],
        );
        check("not readable", Some("baton-mempool/07"), plenty, &["delete /data/storage/baton-mempool;"]);
        check(
            "index out of bounds",
            Some("baton-index/00"),
            plenty,
            &["fault of the program", "baton-index/00"],
        );
        check("index out of bounds", None, plenty, &["fault of the program"]);
    }
}

//! What a node says when it cannot go on: one message that names the file and what to do.
//!
//! The parts of a node end by panicking when their disk fails them, so this is a panic hook. It ends the
//! process: a node without one of its parts is of no use, and must not vote.
//!
//! What failed is never read out of a text:
//!
//! | known | from | the message |
//! |---|---|---|
//! | an error of the disk, a moment ago | [`machine::failed`] | what the operating system says, the file, what helps |
//! | what the node was about | a panic with [`Broken`] | the file is damaged, what helps |
//! | the task had just used a file, and the library ended it | [`machine::used`], the place of the panic | the same, if it happens again |
//! | none of these | | a fault of the program |

use crate::{
    disk::{self, Trouble},
    machine,
};
use baton_consensus::Broken;
use std::{
    io::Write as _,
    panic::{Location, PanicHookInfo},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// A disk with less room than this is full: files grow by whole pages and blocks.
const FULL_BYTES: u64 = 256 * 1024;

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
        let scene = Scene {
            used: machine::used().map(|place| place.to_string()),
            failed: failed(&data_dir),
            free_bytes: disk::free_bytes(&data_dir).ok(),
        };
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "error: {}", scene.explain(&Ended::of(info), &data_dir));
        process::exit(1);
    }));
}

/// How a part of the node ended.
enum Ended {
    /// It said what failed it.
    Broken(Broken),
    /// In the library, which goes on whatever peers and users do, but not without its files.
    Library {
        text: String,
        source: String,
    },
    Program(String),
}

impl Ended {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        if let Some(broken) = info.payload().downcast_ref::<Broken>() {
            return Self::Broken(broken.clone());
        }
        let text = info.payload_as_str().unwrap_or("a part of the node failed");
        let Some(location) = info.location() else { return Self::Program(text.to_owned()) };
        let source = source(location).to_owned();
        let text = format!("{text} [{source}:{}]", location.line());
        if source.starts_with("commonware-") { Self::Library { text, source } } else { Self::Program(text) }
    }
}

/// A dependency's folder says which version it is; the folders above it only where it was built.
fn source<'a>(location: &Location<'a>) -> &'a str {
    let file = location.file();
    let Some((_, rest)) = file.split_once("/registry/src/") else { return file };
    rest.split_once('/').map_or(rest, |(_, file)| file)
}

/// The last error of the disk: where, why, and in whose words.
struct Failed {
    place: String,
    trouble: Trouble,
    text: String,
}

fn failed(data_dir: &Path) -> Option<Failed> {
    let machine::Failed { place, trouble, text, .. } = machine::failed()?;
    let failed = Failed { place: place.to_string(), trouble, text };
    // Some errors of the library leave out why.
    if trouble == Trouble::Failing
        && let Err(error) = disk::probe(data_dir)
    {
        let text = format!("{}: {error}", failed.text);
        return Some(Failed { trouble: Trouble::of_io(&error), text, ..failed });
    }
    Some(failed)
}

/// What is known of the disk when a part of the node ends.
#[derive(Default)]
struct Scene {
    used: Option<String>,
    failed: Option<Failed>,
    free_bytes: Option<u64>,
}

impl Scene {
    /// Whether an error of the disk is why a part ended. From a damaged file of another kind the node may have
    /// recovered.
    fn ended_for(&self, failed: &Failed, ended: &Ended) -> bool {
        match ended {
            Ended::Program(_) => false,
            _ if failed.trouble != Trouble::Damaged => true,
            Ended::Broken(broken) => failed.place.starts_with(&broken.partition),
            Ended::Library { .. } => self.used.as_ref() == Some(&failed.place),
        }
    }

    fn explain(&self, ended: &Ended, data_dir: &Path) -> String {
        let storage = data_dir.join("storage");
        let text = match ended {
            Ended::Broken(broken) => broken.to_string(),
            Ended::Library { text, .. } | Ended::Program(text) => text.clone(),
        };
        if let Some(failed) = &self.failed
            && self.ended_for(failed, ended)
        {
            let Failed { place, trouble, text: said } = failed;
            let file = storage.join(place).display().to_string();
            return match trouble.advice(&file, data_dir) {
                Some(advice) => format!("{advice} ({file}: {said})"),
                None => format!("{file} is damaged: {said}. {}", remedy(place, data_dir)),
            };
        }
        if self.free_bytes.is_some_and(|free| free < FULL_BYTES) {
            let advice = Trouble::Full.advice("", data_dir).unwrap_or_default();
            return format!("{advice} ({text})");
        }
        let (place, sure) = match (ended, &self.used) {
            (Ended::Broken(broken), Some(used)) if used.starts_with(&broken.partition) => (&**used, true),
            (Ended::Broken(broken), _) => (&*broken.partition, true),
            (Ended::Library { source, .. }, used) if let Some(place) = fitting(source, used.as_deref()) => {
                (place, false)
            }
            _ => {
                return format!(
                    "this node cannot go on: {text}. Start it again; this looks like a fault of the program: report \
                     it with the log"
                );
            }
        };
        let file = storage.join(place).display().to_string();
        let remedy = remedy(place, data_dir);
        if sure {
            format!("{file} is damaged: {text}. {remedy}")
        } else {
            format!(
                "this node cannot go on: {text}. Start it again. If it ends like this again, {file} is damaged. {remedy}"
            )
        }
    }
}

/// What the library found wrong. Marshal compares its record with the archives, which it need not read for that.
fn fitting<'a>(source: &str, used: Option<&'a str>) -> Option<&'a str> {
    let compares = source.contains("/marshal/core/") && !source.ends_with("/cache.rs");
    let read = used.is_some_and(|used| !used.starts_with("baton-marshal-cache"));
    if compares && !read { Some("baton-blocks") } else { used }
}

/// What helps against a damaged file.
struct Remedy {
    /// What the names of the partitions begin with.
    of: &'static [&'static str],
    remove: &'static [&'static str],
    then: &'static str,
}

const REMEDIES: &[Remedy] = &[
    Remedy {
        of: &["baton-history", "baton-index"],
        remove: &["baton-history*", "baton-index"],
        then: "The node makes it again from its blocks",
    },
    Remedy {
        of: &["baton-evm"],
        remove: &["baton-evm*"],
        then: "The node executes its EVM rollups again from their first block",
    },
    Remedy {
        of: &["baton-mempool"],
        remove: &["baton-mempool"],
        then: "Transactions that only this node had accepted, and that nobody had ordered, are lost",
    },
    Remedy {
        of: &["baton-marshal-cache"],
        remove: &["baton-marshal-cache*"],
        then: "The node fetches what it still needs",
    },
    Remedy {
        of: &[
            "baton-blocks",
            "baton-finalizations",
            "baton-marshal",
            "baton-window",
            "baton-joined",
            "baton_dkg",
        ],
        remove: &[
            "baton-blocks*",
            "baton-finalizations*",
            "baton-marshal*",
            "baton-window*",
            "baton-joined*",
            "baton_dkg*",
            "baton-history*",
            "baton-index",
        ],
        then: "The node fetches the chain again from the other members; its share and its votes stay. A cluster of \
               one member has no other copy",
    },
    Remedy {
        of: &["baton-reshare"],
        remove: &["baton-reshare*"],
        then: "The running ceremony goes on without what was in it",
    },
    // A batch follows from its place, the blocks and L1 alone, so what is signed again is what was signed before.
    Remedy {
        of: &["baton-batches"],
        remove: &["baton-batches*"],
        then: "The node makes its batches for L1 again from its blocks, the very same, or goes on where the inbox on L1 \
               is",
    },
    Remedy {
        of: &["baton-silent"],
        remove: &["baton-silent"],
        then: "Do it while the other members run: they tell this node which of its votes it has lost",
    },
    Remedy {
        of: &["baton-secrets", "baton-orchestrator"],
        remove: &["baton-secrets", "baton-orchestrator*"],
        then: "The node follows without voting until a reshare gives it a share",
    },
];

fn remedy(place: &str, data_dir: &Path) -> String {
    let storage = data_dir.join("storage");
    let known = REMEDIES.iter().find(|remedy| remedy.of.iter().any(|name| place.starts_with(name)));
    let Some(Remedy { remove, then, .. }) = known else {
        return format!("Move {} away and treat this member as one with a lost disk", data_dir.display());
    };
    let storage = quoted(&storage.display().to_string());
    let files: Vec<_> = remove.iter().map(|name| format!("{storage}/{name}")).collect();
    format!("To mend it: `rm -rf {}`, then start the node again. {then}", files.join(" "))
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;

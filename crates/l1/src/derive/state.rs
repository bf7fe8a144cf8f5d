//! Where a derivation stopped.

use super::{Config, DeriveError};
use baton_settlement::{Contents, InboxState, Terms};
use baton_types::{Digest, hex::HexArray, merkle::EMPTY, settlement::Batch};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

const VERSION: u32 = 2;
const FILE: &str = "state.json";

/// A block of L1 up to which everything is read, and how the contracts stood there.
#[derive(Clone, Copy, Debug)]
pub struct Base {
    pub l1_number: u64,
    pub l1_hash: Digest,
    pub inbox: InboxState,
    /// Length and hash.
    pub queue: (u64, Digest),
}

impl Base {
    /// Nothing is read.
    pub const fn start(terms: &Terms) -> Self {
        let inbox =
            InboxState { next_index: 0, head: EMPTY, next_height: terms.first_height, forced_cursor: 0 };
        Self { l1_number: 0, l1_hash: EMPTY, inbox, queue: (0, EMPTY) }
    }
}

/// Of an executor: whether a block is open, and the last block of the cluster in one before it.
type Standing = Option<(bool, u64)>;

/// Where the batches go on: before this one.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub index: u64,
    pub order_root: Digest,
    /// Forced entries that the cluster's blocks have taken.
    pub cursor: u64,
    /// What is before this block of the cluster is executed, also in the batch.
    pub height: u64,
}

impl Place {
    pub const START: Self = Self { index: 0, order_root: EMPTY, cursor: 0, height: 0 };

    /// Behind a batch.
    pub fn behind(batch: &Batch, contents: &Contents) -> Self {
        Self {
            index: batch.index + 1,
            order_root: batch.order_root,
            cursor: contents.forced_cursor(),
            height: batch.last_height.saturating_add(1),
        }
    }

    /// Where to go on once the batch at this place is done and the executor stands as `now`: a block of the rollup that is
    /// open has to be begun again. None: where it was before.
    pub fn resumed(self, done: Self, before: Standing, now: Standing) -> Option<Self> {
        match now {
            Some((true, _)) if now == before => None,
            Some((true, sealed)) => Some(Self { height: sealed + 1, ..self }),
            _ => Some(done),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    chain: HexArray<32>,
    rollup: u32,
    base: SavedBase,
    place: SavedPlace,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBase {
    l1_number: u64,
    l1_hash: HexArray<32>,
    next_index: u64,
    head: HexArray<32>,
    next_height: u64,
    forced_cursor: u64,
    queue_length: u64,
    queue_hash: HexArray<32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPlace {
    index: u64,
    order_root: HexArray<32>,
    forced_cursor: u64,
    height: u64,
}

/// The directory, for messages.
pub fn path(config: &Config) -> String {
    config.directory.as_ref().map_or_else(String::new, |directory| directory.display().to_string())
}

fn error(path: &Path, what: impl ToString) -> DeriveError {
    DeriveError::State { path: path.display().to_string(), what: what.to_string() }
}

impl State {
    pub fn new(config: &Config, base: &Base, place: &Place) -> Self {
        Self {
            version: VERSION,
            chain: HexArray(config.chain.0),
            rollup: config.rollup.id,
            base: SavedBase {
                l1_number: base.l1_number,
                l1_hash: HexArray(base.l1_hash.0),
                next_index: base.inbox.next_index,
                head: HexArray(base.inbox.head.0),
                next_height: base.inbox.next_height,
                forced_cursor: base.inbox.forced_cursor,
                queue_length: base.queue.0,
                queue_hash: HexArray(base.queue.1.0),
            },
            place: SavedPlace {
                index: place.index,
                order_root: HexArray(place.order_root.0),
                forced_cursor: place.cursor,
                height: place.height,
            },
        }
    }

    pub fn base(&self) -> Base {
        let SavedBase { l1_number, next_index, next_height, forced_cursor, queue_length, .. } = self.base;
        let head = Digest::from(self.base.head.0);
        Base {
            l1_number,
            l1_hash: Digest::from(self.base.l1_hash.0),
            inbox: InboxState { next_index, head, next_height, forced_cursor },
            queue: (queue_length, Digest::from(self.base.queue_hash.0)),
        }
    }

    pub fn place(&self) -> Place {
        let SavedPlace { index, order_root, forced_cursor, height } = &self.place;
        Place {
            index: *index,
            order_root: Digest::from(order_root.0),
            cursor: *forced_cursor,
            height: *height,
        }
    }

    /// None in a directory without one.
    pub fn read(directory: &Path, chain: &Digest, rollup: u32) -> Result<Option<Self>, DeriveError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
            Err(failed) => return Err(error(&path, failed)),
        };
        Self::parse(&text, chain, rollup).map(Some).map_err(|what| error(&path, what))
    }

    pub fn parse(text: &str, chain: &Digest, rollup: u32) -> Result<Self, String> {
        let Version { version } = serde_json::from_str(text).map_err(|failed| failed.to_string())?;
        if version != VERSION {
            return Err(format!(
                "version {version}; this program reads {VERSION}: remove the directory to begin anew"
            ));
        }
        let state: Self = serde_json::from_str(text).map_err(|failed| failed.to_string())?;
        if state.chain.0 != chain.0 || state.rollup != rollup {
            return Err(format!(
                "is of rollup {} of chain {}; name another directory",
                state.rollup, state.chain
            ));
        }
        Ok(state)
    }

    /// Whole, or not at all.
    pub fn write(&self, directory: &Path) -> Result<(), DeriveError> {
        let (path, partial) = (directory.join(FILE), directory.join("state.partial"));
        let text = serde_json::to_string_pretty(self).map_err(|failed| error(&path, failed))?;
        let written = fs::create_dir_all(directory)
            .and_then(|()| File::create(&partial))
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&partial, &path))
            .and_then(|()| File::open(directory)?.sync_all());
        written.map_err(|failed| error(&path, failed))
    }
}

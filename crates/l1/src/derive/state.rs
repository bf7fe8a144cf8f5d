//! Where a derivation stopped.

use super::{Config, DeriveError};
use baton_settlement::InboxState;
use baton_types::{Digest, hex::HexArray};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

const VERSION: u32 = 1;
const FILE: &str = "state.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    chain: HexArray<32>,
    rollup: u32,
    pub l1_number: u64,
    pub l1_hash: HexArray<32>,
    pub next_index: u64,
    head: HexArray<32>,
    pub next_height: u64,
    pub forced_cursor: u64,
    pub queue_length: u64,
    queue_hash: HexArray<32>,
    order_root: HexArray<32>,
}

/// The directory, for messages.
pub fn path(config: &Config) -> String {
    config.directory.as_ref().map_or_else(String::new, |directory| directory.display().to_string())
}

fn error(path: &Path, what: impl ToString) -> DeriveError {
    DeriveError::State { path: path.display().to_string(), what: what.to_string() }
}

impl State {
    pub fn new(
        config: &Config,
        (l1_number, l1_hash): (u64, Digest),
        inbox: InboxState,
        (queue_length, queue_hash): (u64, Digest),
        order_root: Digest,
    ) -> Self {
        Self {
            version: VERSION,
            chain: HexArray(config.chain.0),
            rollup: config.rollup.id,
            l1_number,
            l1_hash: HexArray(l1_hash.0),
            next_index: inbox.next_index,
            head: HexArray(inbox.head.0),
            next_height: inbox.next_height,
            forced_cursor: inbox.forced_cursor,
            queue_length,
            queue_hash: HexArray(queue_hash.0),
            order_root: HexArray(order_root.0),
        }
    }

    /// Where it goes on.
    pub fn inbox(&self) -> InboxState {
        InboxState {
            next_index: self.next_index,
            head: Digest::from(self.head.0),
            next_height: self.next_height,
            forced_cursor: self.forced_cursor,
        }
    }

    pub fn queue_hash(&self) -> Digest {
        Digest::from(self.queue_hash.0)
    }

    pub fn order_root(&self) -> Digest {
        Digest::from(self.order_root.0)
    }

    /// None in a directory without one.
    pub fn read(directory: &Path, chain: &Digest, rollup: u32) -> Result<Option<Self>, DeriveError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
            Err(failed) => return Err(error(&path, failed)),
        };
        let state: Self = serde_json::from_str(&text).map_err(|failed| error(&path, failed))?;
        if state.version != VERSION {
            return Err(error(&path, format!("version {}; this program reads {VERSION}", state.version)));
        }
        if state.chain.0 != chain.0 || state.rollup != rollup {
            let what =
                format!("is of rollup {} of chain {}; name another directory", state.rollup, state.chain);
            return Err(error(&path, what));
        }
        Ok(Some(state))
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

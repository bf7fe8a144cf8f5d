//! The newest final block that this node has seen, also across a restart and a gap: what L1 may not go back on.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tracing::warn;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Final {
    pub number: u64,
    pub hash: B256,
}

#[derive(Debug, Default)]
pub struct Memory {
    path: Option<PathBuf>,
    newest: Option<Final>,
    /// From before, and not looked for yet on the chain that is followed now.
    unseen: Option<Final>,
}

fn read(path: &Path) -> Option<Final> {
    let known = match fs::read(path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
    };
    known
        .inspect_err(|error| {
            warn!(%error, "{} is of no use: whether L1 kept what was final is not known", path.display());
        })
        .ok()
}

/// Whole, or not at all.
fn write(path: &Path, block: &Final) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(block)?)?;
    fs::rename(&partial, path)
}

impl Memory {
    pub fn open(path: PathBuf) -> Self {
        let unseen = read(&path);
        Self { path: Some(path), newest: unseen, unseen }
    }

    /// What has to be looked for.
    pub const fn unseen(&self) -> Option<Final> {
        self.unseen
    }

    /// It was looked for.
    pub const fn seen(&mut self) {
        self.unseen = None;
    }

    /// Another chain may be followed from here on.
    pub const fn start_over(&mut self) {
        self.unseen = self.newest;
    }

    /// Takes the newest final block, unless one from before has to be looked for.
    pub fn keep(&mut self, newest: Final) {
        if self.unseen.is_some() || self.newest == Some(newest) {
            return;
        }
        self.newest = Some(newest);
        if let Some(path) = &self.path
            && let Err(error) = write(path, &newest)
        {
            warn!(%error, "cannot write {}: a restart does not know what was final", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64) -> Final {
        Final { number, hash: B256::with_last_byte(u8::try_from(number).unwrap()) }
    }

    #[test]
    fn what_was_final_is_looked_for_before_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("final.json");
        let mut memory = Memory::open(path.clone());
        assert_eq!(memory.unseen(), None);
        memory.keep(block(7));
        memory.keep(block(9));
        memory.start_over();
        assert_eq!(memory.unseen(), Some(block(9)));
        memory.keep(block(12));
        drop(memory);
        let mut memory = Memory::open(path.clone());
        assert_eq!(memory.unseen(), Some(block(9)), "as it was before the restart");
        memory.seen();
        memory.keep(block(12));
        assert_eq!(Memory::open(path).unseen(), Some(block(12)));
    }

    #[test]
    fn a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("final.json");
        for text in ["", "{}", "{\"number\":1,\"hash\":\"0x12\"}", "{\"number\":-1}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Memory::open(path.clone()).unseen(), None, "{text}");
        }
        let mut memory = Memory::open(path.clone());
        memory.keep(block(3));
        assert_eq!(Memory::open(path).unseen(), Some(block(3)));
    }
}

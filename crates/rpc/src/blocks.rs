//! Facts about recent blocks that many subscribers ask for, computed once per block.

use baton_types::{Block, Digest, TxId};
use commonware_codec::EncodeSize as _;
use commonware_cryptography::{Digested, Digestible as _};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Blocks remembered. A block passes all its rungs within a few views.
const BLOCKS_MAX: usize = 16;
/// Hex digits.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The last blocks that subscribers were told of.
#[derive(Default)]
pub(crate) struct Blocks(Mutex<VecDeque<Arc<Facts>>>);

pub(crate) struct Facts {
    pub(crate) block: Digested<Block>,
    bytes: OnceLock<u64>,
    ids_json: OnceLock<String>,
    ids: OnceLock<HashSet<TxId>>,
}

impl Blocks {
    pub(crate) fn facts(&self, block: &Digested<Block>) -> Arc<Facts> {
        let digest = block.digest();
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = blocks.iter().rev().find(|facts| facts.digest() == digest) {
            return known.clone();
        }
        if blocks.len() == BLOCKS_MAX {
            blocks.pop_front();
        }
        let facts = Arc::new(Facts {
            block: block.clone(),
            bytes: OnceLock::new(),
            ids_json: OnceLock::new(),
            ids: OnceLock::new(),
        });
        blocks.push_back(facts.clone());
        facts
    }
}

impl Facts {
    pub(crate) fn digest(&self) -> Digest {
        self.block.digest()
    }

    /// Encoded size.
    pub(crate) fn bytes(&self) -> u64 {
        *self.bytes.get_or_init(|| u64::try_from(self.block.encode_size()).unwrap_or(u64::MAX))
    }

    /// All ids in block order, as a JSON array.
    pub(crate) fn ids_json(&self) -> &str {
        self.ids_json.get_or_init(|| {
            let block = self.block.inner();
            let mut out = String::with_capacity(2 + 69 * block.transactions());
            out.push('[');
            for id in block.ids() {
                out.push_str(if out.len() == 1 { "\"0x" } else { ",\"0x" });
                let mut digits = [0; 64];
                for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(id.0) {
                    *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                }
                out.push_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"));
                out.push('"');
            }
            out.push(']');
            out
        })
    }

    pub(crate) fn contains(&self, id: &TxId) -> bool {
        self.ids.get_or_init(|| self.block.inner().ids().copied().collect()).contains(id)
    }
}

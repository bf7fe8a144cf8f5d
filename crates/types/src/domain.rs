//! Signing and hashing domains. Globally unique, so that nothing signed or hashed for one purpose
//! can be passed off as another, and none the beginning of another, because what follows a domain is
//! not set off from it.

use crate::Digest;
use commonware_cryptography::{Hasher as _, Sha256};

pub const GENESIS: &[u8] = b"_BATON_GENESIS";
pub const TRANSACTION: &[u8] = b"_BATON_TRANSACTION";
pub const LEG: &[u8] = b"_BATON_LEG";
pub const BUNDLE: &[u8] = b"_BATON_BUNDLE";
pub const LEAF: &[u8] = b"_BATON_LEAF";
pub const SEGMENT: &[u8] = b"_BATON_SEGMENT";
pub const HEAD: &[u8] = b"_BATON_CHAIN_HEAD";
pub const RESULTS: &[u8] = b"_BATON_EXECUTION_RESULTS";
pub const HEADS: &[u8] = b"_BATON_ROLLUP_HEADS";
pub const HEADER: &[u8] = b"_BATON_HEADER";
pub const PAYLOAD: &[u8] = b"_BATON_PAYLOAD";
pub const EVIDENCE: &[u8] = b"_BATON_REVEAL_EVIDENCE";
pub const MEMBERS: &[u8] = b"_BATON_MEMBERS";
pub const BEACON: &[u8] = b"_BATON_BEACON";
pub const STAKE_DRAW: &[u8] = b"_BATON_STAKE_DRAW";
pub const BATCH_IDS: &[u8] = b"_BATON_BATCH_IDS";
const EVM_RECORD: &[u8] = b"_BATON_EVM_RECORD";
const EVM_CHECKPOINT: &[u8] = b"_BATON_EVM_CHECKPOINT";
/// Namespace of batch certificates; the contracts spell it too.
pub const L1_BATCH: &[u8] = b"_BATON_L1_BATCH";
pub const L1_HEAD: &[u8] = b"_BATON_L1_HEAD";
pub const L1_POSSESSION: &[u8] = b"_BATON_L1_POSSESSION";
pub(crate) const L1_FORCED: &[u8] = b"_BATON_L1_FORCED";
pub(crate) const L1_ESCAPE: &[u8] = b"_BATON_L1_ESCAPE";
pub(crate) const L1_PART: &[u8] = b"_BATON_L1_PART";

/// Threshold votes and certificates; the genesis digest follows.
const CONSENSUS: &[u8] = b"_BATON_CONSENSUS";
/// An author's signature on its block; the genesis digest follows.
const AUTHOR: &[u8] = b"_BATON_AUTHOR";
/// A node's signature on a receipt; the genesis digest follows.
const RECEIPT: &[u8] = b"_BATON_RECEIPT";
/// A member's word that it holds the proof behind a commitment; the genesis digest follows.
const HELD: &[u8] = b"_BATON_HELD";
/// The p2p handshake; the genesis digest follows, so that nodes of two networks never connect.
const P2P: &[u8] = b"_BATON_P2P";
/// Key ceremonies; the network id follows, because a first ceremony has no genesis yet.
const CEREMONY: &[u8] = b"_BATON_CEREMONY";

fn with(domain: &[u8], suffix: &[u8]) -> Vec<u8> {
    [domain, suffix].concat()
}

pub fn consensus(chain: &Digest) -> Vec<u8> {
    with(CONSENSUS, chain)
}

pub fn author(chain: &Digest) -> Vec<u8> {
    with(AUTHOR, chain)
}

pub fn receipt(chain: &Digest) -> Vec<u8> {
    with(RECEIPT, chain)
}

pub fn held(chain: &Digest) -> Vec<u8> {
    with(HELD, chain)
}

pub fn p2p(chain: &Digest) -> Vec<u8> {
    with(P2P, chain)
}

pub fn ceremony(network_id: u64) -> Vec<u8> {
    with(CEREMONY, &network_id.to_be_bytes())
}

/// The checksum of what a node keeps of an executed block.
pub fn evm_record(bytes: &[u8]) -> Digest {
    hash(EVM_RECORD, &[bytes])
}

/// The checksum of a piece of a checkpoint.
pub fn evm_checkpoint(index: u32, bytes: &[u8]) -> Digest {
    hash(EVM_CHECKPOINT, &[&index.to_be_bytes(), bytes])
}

/// Hashes `parts` behind `domain`.
pub(crate) fn hash(domain: &[u8], parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::default();
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().1
}

//! Domains of every hash in this crate. All begin differently, and none the beginning of another,
//! because what follows a domain is not set off from it.

pub const KEY_IV: &[u8] = b"_BATON_VRF_KEY_IV";
pub const LEAF_IV: &[u8] = b"_BATON_VRF_LEAF_IV";
pub const EPOCH_INPUT: &[u8] = b"_BATON_VRF_EPOCH_INPUT";
pub const VIEW_INPUT: &[u8] = b"_BATON_VRF_VIEW_INPUT";
pub const BEACON: &[u8] = b"_BATON_VRF_BEACON";
pub const NODE: &[u8] = b"_BATON_VRF_NODE";
pub const ROOT: &[u8] = b"_BATON_VRF_ROOT";
pub const EPOCH_TRANSCRIPT: &[u8] = b"_BATON_VRF_EPOCH_TRANSCRIPT";
pub const VIEW_TRANSCRIPT: &[u8] = b"_BATON_VRF_VIEW_TRANSCRIPT";
pub const EPOCH_PROOF: &[u8] = b"_BATON_VRF_EPOCH_PROOF";
pub const TURN_OUTPUT: &[u8] = b"_BATON_VRF_TURN_OUTPUT";
pub const VIEW_OUTPUT: &[u8] = b"_BATON_VRF_VIEW_OUTPUT";
pub const DRAW: &[u8] = b"_BATON_VRF_DRAW";
pub const MASKS: &[u8] = b"_BATON_VRF_MASKS";

/// BLAKE3 of `parts` behind `domain`.
pub fn hash(domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    *hasher(domain, parts).finalize().as_bytes()
}

/// The same as a stream of any length.
pub fn stream(domain: &[u8], parts: &[&[u8]]) -> blake3::OutputReader {
    hasher(domain, parts).finalize_xof()
}

fn hasher(domain: &[u8], parts: &[&[u8]]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher
}

//! Points as the contracts take them. Commonware writes them compressed; what EIP-2537 wants is whole.

use alloy_primitives::Bytes;
use baton_types::{GroupKey, SeedPoint, hex};
use blst::min_sig;
use commonware_codec::Encode as _;

const ELEMENT_BYTES: usize = 48;

/// 256 bytes: the four elements, padded to 64 bytes each, those of a coordinate as c0 ‖ c1.
pub fn key(group_key: &GroupKey) -> Bytes {
    let whole =
        min_sig::PublicKey::from_bytes(&group_key.encode()).expect("a decoded key is a point").serialize();
    // The library writes c1 before c0.
    let padded = [1, 0, 3, 2].into_iter().flat_map(|element: usize| {
        let from = element * ELEMENT_BYTES;
        [&[0; 16], &whole[from..from + ELEMENT_BYTES]].concat()
    });
    padded.collect::<Vec<_>>().into()
}

/// 96 bytes: x ‖ y.
pub fn signature(signature: &SeedPoint) -> Bytes {
    let whole = min_sig::Signature::from_bytes(&signature.encode()).expect("a decoded signature is a point");
    whole.serialize().to_vec().into()
}

/// A signature that the contracts were given.
pub fn read_signature(bytes: &[u8]) -> Result<SeedPoint, String> {
    let point = min_sig::Signature::deserialize(bytes).map_err(|error| format!("{error:?}"))?;
    hex::from_bytes(&point.compress(), &()).map_err(|error| error.to_string())
}

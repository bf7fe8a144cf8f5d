//! What a transaction takes of a block.

use baton_types::{RollupId, Transaction};
use commonware_codec::{EncodeSize as _, FixedSize as _};

/// Largest encoding of a length: 32 bits, seven per byte.
const LENGTH: usize = 5;
/// Length of the list of segments.
pub(crate) const BLOCK_OVERHEAD: usize = LENGTH;
/// Rollup and length of one segment.
pub(crate) const SEGMENT_OVERHEAD: usize = RollupId::SIZE + LENGTH;

pub(crate) fn leg(transaction: &Transaction) -> usize {
    transaction.encode_size()
}

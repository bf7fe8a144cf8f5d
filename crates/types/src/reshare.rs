//! What headers say of reshares, in the two highest bits of their `protocol_signal`.

use crate::Header;

/// A member without a share of the key asked for a reshare in this epoch, up to this block.
pub const WANTED: u32 = 1 << 31;
/// A member asked in the epoch before: in this one the key is dealt again.
pub const DUE: u32 = 1 << 30;

impl Header {
    /// What the signal of a child in `epoch` says of reshares if its author wants none: a wish stands until
    /// its epoch ends, and makes a reshare due in the next one.
    pub const fn reshare_after(&self, epoch: u64) -> u32 {
        if self.epoch == epoch {
            self.protocol_signal & (WANTED | DUE)
        } else if self.protocol_signal & WANTED != 0 {
            DUE
        } else {
            0
        }
    }
}

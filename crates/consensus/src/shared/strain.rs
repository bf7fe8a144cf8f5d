//! How large a block may be, judged by what became of the last views.
//!
//! A block that takes longer to reach the others, or to be checked by them, than a view lasts is never
//! notarized; and as what waits does not grow less, nor are the ones after it. So while views fail, blocks get smaller.
//! *f* silent leaders in a row say nothing about size.

use baton_types::Round;

/// No smaller than this.
const BYTES_MIN: usize = 8_192;
/// Views that have to succeed before blocks of twice the size are tried.
const CALM_VIEWS: u64 = 32;

#[derive(Debug)]
pub struct Strain {
    /// Views that may fail in a row for other reasons.
    faults: u64,
    last: Option<Round>,
    failed: u64,
    calm: u64,
    halvings: u32,
}

impl Strain {
    pub const fn new(faults: u64) -> Self {
        Self { faults, last: None, failed: 0, calm: 0, halvings: 0 }
    }

    /// A view is over, with a notarized block or without. Whether the size changes.
    pub fn passed(&mut self, round: Round, notarized: bool) -> bool {
        // Certificates come twice, and late.
        if self.last.is_some_and(|last| round <= last) {
            return false;
        }
        self.last = Some(round);
        let before = self.halvings;
        if notarized {
            self.failed = 0;
            self.calm += 1;
            if self.calm == CALM_VIEWS {
                self.calm = 0;
                self.halvings = self.halvings.saturating_sub(1);
            }
        } else {
            self.failed += 1;
            if self.failed > self.faults {
                self.calm = 0;
                self.halvings = (self.halvings + 1).min(usize::BITS - 1);
            }
        }
        self.halvings != before
    }

    pub fn bytes(&self, max: usize) -> usize {
        (max >> self.halvings).max(BYTES_MIN)
    }
}

#[cfg(test)]
mod tests;

//! Which functions and parameters a key belongs to.

use crate::Malformed;

/// Every key, secret, leaf and proof begins with its suite's number, so that the functions can be
/// replaced without a value of one suite being taken for one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Suite {
    /// Poseidon2 of width 16 over KoalaBear (8 full and 20 partial rounds); BLAKE3 for everything else.
    Poseidon2KoalaBear16 = 1,
}

impl Suite {
    /// What this version of the crate makes.
    pub const CURRENT: Self = Self::Poseidon2KoalaBear16;

    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for Suite {
    type Error = Malformed;

    fn try_from(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::Poseidon2KoalaBear16),
            other => Err(Malformed::Suite(other)),
        }
    }
}

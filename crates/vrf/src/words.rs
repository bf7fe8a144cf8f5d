//! Eight elements of the field: the unit of keys, secrets and leaves, and its one encoding.
//!
//! ```text
//! byte 0      1 … 31
//! suite       eight integers below p, 31 bits each, as one little-endian integer of 248 bits
//! ```

use crate::{Malformed, Suite, domain};
use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use p3_koala_bear::KoalaBear;
use rand::CryptoRng;
use zeroize::DefaultIsZeroes;

/// Integers modulo p = 2^31 − 2^24 + 1.
pub type F = KoalaBear;

pub const WORDS: usize = 8;
const WORD_BITS: u32 = 31;
const WORD_MASK: u32 = (1 << WORD_BITS) - 1;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Words(pub [F; WORDS]);

impl DefaultIsZeroes for Words {}

impl Words {
    pub const SIZE: usize = 32;

    /// Uniform elements.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(sample(|bytes| rng.fill_bytes(bytes)))
    }

    /// Elements that nobody chose.
    pub fn hash(domain: &[u8], parts: &[&[u8]]) -> Self {
        let mut stream = domain::stream(domain, parts);
        Self(sample(|bytes| stream.fill(bytes)))
    }

    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [Suite::CURRENT.number(); Self::SIZE];
        let mut rest = bytes[1..].iter_mut();
        let (mut bits, mut held) = (0u64, 0);
        for word in self.0 {
            bits |= u64::from(word.as_canonical_u32()) << held;
            held += WORD_BITS;
            while let Some(byte) = (held >= 8).then(|| rest.next()).flatten() {
                [*byte, ..] = bits.to_le_bytes();
                bits >>= 8;
                held -= 8;
            }
        }
        bytes
    }

    /// `what` names the value in errors.
    pub fn from_bytes(what: &'static str, bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().map_err(|_| Malformed::Length {
            what,
            found: bytes.len(),
            expected: Self::SIZE.to_string(),
        })?;
        Suite::try_from(bytes[0])?;
        let mut rest = bytes[1..].iter();
        let (mut bits, mut held) = (0u64, 0);
        let mut words = [F::ZERO; WORDS];
        for word in &mut words {
            while let Some(byte) = (held < WORD_BITS).then(|| rest.next()).flatten() {
                bits |= u64::from(*byte) << held;
                held += 8;
            }
            let low = u32::try_from(bits & u64::from(WORD_MASK)).expect("masked to 31 bits");
            *word = element(low).ok_or(Malformed::OutOfField { what })?;
            bits >>= WORD_BITS;
            held -= WORD_BITS;
        }
        Ok(Self(words))
    }
}

/// The element, or none for an integer that is not below p.
fn element(integer: u32) -> Option<F> {
    (integer < F::ORDER_U32).then(|| F::from_u32(integer))
}

/// Uniform elements from uniform bytes: 31 bits at a time, those not below p dropped.
fn sample(mut fill: impl FnMut(&mut [u8])) -> [F; WORDS] {
    core::array::from_fn(|_| {
        loop {
            let mut bytes = [0; 4];
            fill(&mut bytes);
            if let Some(element) = element(u32::from_le_bytes(bytes) & WORD_MASK) {
                return element;
            }
        }
    })
}

#[cfg(test)]
mod tests;

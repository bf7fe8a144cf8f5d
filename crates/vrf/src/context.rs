//! Where and when a key is used.

use crate::{
    Suite, domain,
    words::{WORDS, Words},
};
use p3_field::PrimeCharacteristicRing as _;

/// Randomness that nobody could know before it appeared on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon(pub [u8; 32]);

impl Beacon {
    /// The beacon that a signature, a digest or anything else makes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(domain::hash(domain::BEACON, &[bytes]))
    }
}

/// The epoch of a chain. Its beacon must have appeared after the key was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Digest of the genesis.
    pub chain: [u8; 32],
    pub epoch: u64,
    pub beacon: Beacon,
}

impl Context {
    pub(crate) const SIZE: usize = 32 + 8 + 32;

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..32].copy_from_slice(&self.chain);
        bytes[32..40].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[40..].copy_from_slice(&self.beacon.0);
        bytes
    }

    /// What all openings of the epoch are computed from; the last element is the turn's.
    pub(crate) fn epoch_input(&self) -> Words {
        self.input(domain::EPOCH_INPUT, &[])
    }

    /// What the opening of a single view is computed from. No turn has 0 for its last element.
    pub(crate) fn view_input(&self, view: u64) -> Words {
        self.input(domain::VIEW_INPUT, &view.to_be_bytes())
    }

    fn input(&self, domain: &[u8], rest: &[u8]) -> Words {
        let mut words = Words::hash(domain, &[&[Suite::CURRENT.number()], &self.to_bytes(), rest]);
        words.0[WORDS - 1] = p3_koala_bear::KoalaBear::ZERO;
        words
    }
}

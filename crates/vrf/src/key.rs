//! Keys, and what is revealed and checked in their name.

use crate::{Malformed, permutation, words::Words};
use rand::CryptoRng;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What a member keeps: 248 bits.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(pub(crate) Words);

impl SecretKey {
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Words::random(rng))
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(permutation::key_and_link(self.0).0)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Words::from_bytes("secret key", bytes).map(Self)
    }

    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// What a member registers. It must be fixed before the beacons of the epochs it is used in, or its
/// owner could try keys until one suits it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub(crate) Words);

impl PublicKey {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Words::from_bytes("public key", bytes).map(Self)
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

/// What one turn's secret is checked against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Leaf(pub(crate) Words);

impl Leaf {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Words::from_bytes("leaf", bytes).map(Self)
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

/// One turn's secret: it opens the turn's [`Leaf`], and no other value does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Opening(pub(crate) Words);

impl zeroize::DefaultIsZeroes for Opening {}

impl Opening {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Words::from_bytes("opening", bytes).map(Self)
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// One permutation.
    pub fn leaf(&self) -> Leaf {
        Leaf(permutation::leaf(self.0))
    }
}

fn debug(f: &mut fmt::Formatter<'_>, name: &str, words: Words) -> fmt::Result {
    write!(f, "{name}(")?;
    words.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_str(")")
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "PublicKey", self.0)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Leaf", self.0)
    }
}

/// Hidden until it is revealed on purpose.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(…)")
    }
}

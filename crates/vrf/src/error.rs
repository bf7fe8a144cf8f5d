//! What can be wrong with bytes, with a claim, and with making one.

use thiserror::Error;

/// Bytes that encode nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("suite {0} is unknown; this program knows suite 1")]
    Suite(u8),
    #[error("{what}: {found} bytes; expected {expected}")]
    Length { what: &'static str, found: usize, expected: String },
    #[error("{what}: a field element is not below the field's order; encodings are canonical")]
    OutOfField { what: &'static str },
    #[error("{0} rounds; a proof covers 63, 127, 255, 511, 1023 or 2047")]
    Rounds(u32),
    #[error("the argument is not the canonical encoding of one")]
    Argument,
}

/// Why a claim does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the proof covers {found} rounds; this chain asks for {expected}")]
    Rounds { found: u32, expected: u32 },
    #[error("turn {turn} is beyond the {rounds} that the commitment covers; prove the view by itself")]
    Turn { turn: u32, rounds: u32 },
    #[error("the secret and its path do not lead to the root in force")]
    Root,
    #[error("the proof is for a trace of 2^{found} rows; expected 2^{expected}")]
    Degree { found: usize, expected: usize },
    #[error("the proof does not hold: {0}")]
    Proof(String),
    #[error("the proof made the verifier fail; report it")]
    Panicked,
}

/// Why no proof could be made. Never a matter of the statement: every key has a proof for every context.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProveError {
    #[error("the proof system refused its parameters: {0}")]
    Parameters(String),
    #[error("a fresh proof does not verify ({0}); nothing was published, check this machine's memory")]
    SelfCheck(#[from] Refused),
}

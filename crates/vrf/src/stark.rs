//! Making and checking proofs about a [`Circuit`].
//!
//! What the library leaves to its user is done here, for both kinds of proof:
//! - the transcript begins with a hash of the whole statement, periodic columns included;
//! - the number of rows is compared with the circuit's, not taken from the proof;
//! - masks are seeded from the caller's randomness, the secret and the statement together;
//! - a fresh proof is verified before anyone sees it, because a release build proves a false witness
//!   without complaint;
//! - a proof has one encoding, of bounded length, and nothing that decodes badly reaches the verifier.

use crate::{
    Malformed, ProveError, Refused,
    circuit::Circuit,
    config::Proof,
    domain,
    words::{F, Words},
};
use p3_matrix::dense::RowMajorMatrix;
use rand::{CryptoRng, SeedableRng as _, rngs::StdRng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use zeroize::Zeroizing;

/// Extra rows, as a power of two, that hiding adds to a table.
const LOG_HIDING: usize = 1;

/// Hash of a statement.
#[derive(Clone, Copy)]
pub struct Transcript(pub [u8; 32]);

/// The source of all masks of one proof. Were they known or used for two proofs, the secret would be
/// known too, so a caller's generator that repeats or is guessed must not be enough for that.
pub fn masks(rng: &mut impl CryptoRng, secret: Words, transcript: Transcript) -> StdRng {
    let mut fresh = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *fresh);
    let secret = Zeroizing::new(secret.to_bytes());
    let seed = Zeroizing::new(domain::hash(domain::MASKS, &[&*fresh, &*secret, &transcript.0]));
    StdRng::from_seed(*seed)
}

pub fn prove<C: Circuit>(
    circuit: &C,
    witness: RowMajorMatrix<F>,
    public_values: &[F],
    transcript: Transcript,
    masks: StdRng,
) -> Result<Vec<u8>, ProveError> {
    let config = C::PARAMETERS.config::<C::Challenge>(transcript.0, masks);
    let proof = p3_uni_stark::prove(&config, &circuit.stated(), witness, public_values)
        .map_err(|error| ProveError::Parameters(error.to_string()))?;
    let bytes = encode::<C>(&proof);
    verify(circuit, public_values, transcript, &bytes)?;
    Ok(bytes)
}

pub fn verify<C: Circuit>(
    circuit: &C,
    public_values: &[F],
    transcript: Transcript,
    bytes: &[u8],
) -> Result<(), Refused> {
    let proof = decode::<C>(bytes)?;
    let expected = circuit.log_rows() + LOG_HIDING;
    if proof.degree_bits != expected {
        return Err(Refused::Degree { found: proof.degree_bits, expected });
    }
    // A verifier draws nothing, so its seed does not matter.
    let config = C::PARAMETERS.config::<C::Challenge>(transcript.0, StdRng::from_seed([0; 32]));
    let verify = || p3_uni_stark::verify(&config, &circuit.stated(), &proof, public_values);
    // The library answers every malformed proof with an error, as far as tests can tell. This is for the
    // rest, in programs that unwind.
    catch_unwind(AssertUnwindSafe(verify))
        .map_err(|_| Refused::Panicked)?
        .map_err(|error| Refused::Proof(error.to_string()))
}

fn encode<C: Circuit>(proof: &Proof<C::Challenge>) -> Vec<u8> {
    postcard::to_allocvec(proof).expect("memory does not refuse a write")
}

/// The proof that `bytes` are the only encoding of.
fn decode<C: Circuit>(bytes: &[u8]) -> Result<Proof<C::Challenge>, Malformed> {
    let (proof, rest) =
        postcard::take_from_bytes::<Proof<C::Challenge>>(bytes).map_err(|_| Malformed::Argument)?;
    // Lengths within it have several spellings, of which only the shortest is good.
    if !rest.is_empty() || encode::<C>(&proof) != bytes {
        return Err(Malformed::Argument);
    }
    Ok(proof)
}

#[cfg(test)]
mod tests;

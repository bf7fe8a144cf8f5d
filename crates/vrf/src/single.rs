//! One view by itself: for a member that has no commitment in force, or has used up its turns.
//!
//! The opening travels with an argument of its own, some thirty kilobytes. It is not that of any turn. A
//! verifier accepts it only where no turn could be revealed, or its owner would have two outputs to choose
//! from; that rule is the caller's.

use crate::{
    Beacon, Context, Malformed, Opening, Output, ProveError, PublicKey, Refused, SecretKey, Suite,
    circuit::SingleCircuit,
    domain,
    epoch::PROOF_BYTES_MAX,
    permutation,
    stark::{self, Transcript},
    words::Words,
};
use rand::{CryptoRng, rngs::StdRng};

/// That an opening comes from the secret behind one key. As bytes: the opening, and the argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleProof {
    opening: Opening,
    argument: Vec<u8>,
}

fn transcript(context: &Context, view: u64, key: &PublicKey, opening: &Opening) -> Transcript {
    Transcript(domain::hash(
        domain::VIEW_TRANSCRIPT,
        &[
            &[Suite::CURRENT.number()],
            &context.to_bytes(),
            &view.to_be_bytes(),
            &key.to_bytes(),
            &opening.to_bytes(),
        ],
    ))
}

/// Compiled here whatever the caller's generator is, so that it is optimised in every build.
fn argument(
    secret: &SecretKey,
    key: Words,
    input: Words,
    opening: Opening,
    transcript: Transcript,
    masks: StdRng,
) -> Result<Vec<u8>, ProveError> {
    stark::prove(
        &SingleCircuit::new(),
        SingleCircuit::witness(secret.0, input),
        &SingleCircuit::public_values(key, input, opening.0),
        transcript,
        masks,
    )
}

impl SingleProof {
    /// Takes a few milliseconds of one core.
    pub fn new(
        secret: &SecretKey,
        context: &Context,
        view: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ProveError> {
        let (key, link) = permutation::key_and_link(secret.0);
        let input = context.view_input(view);
        let opening = Opening(permutation::opening(input, link));
        let transcript = transcript(context, view, &PublicKey(key), &opening);
        let masks = stark::masks(rng, secret.0, transcript);
        let argument = argument(secret, key, input, opening, transcript, masks)?;
        Ok(Self { opening, argument })
    }

    /// The view's output, if the proof holds.
    pub fn verify(
        &self,
        key: &PublicKey,
        context: &Context,
        view: u64,
        later: &Beacon,
    ) -> Result<Output, Refused> {
        let public_values = SingleCircuit::public_values(key.0, context.view_input(view), self.opening.0);
        let transcript = transcript(context, view, key, &self.opening);
        stark::verify(&SingleCircuit::new(), &public_values, transcript, &self.argument)?;
        Ok(Output::new(domain::VIEW_OUTPUT, context, view, key, &self.opening, later))
    }

    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.opening.to_bytes()[..], &self.argument].concat()
    }

    /// Whether the argument is one, only [`Self::verify`] tells.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad_length =
            |expected: String| Malformed::Length { what: "single proof", found: bytes.len(), expected };
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(bad_length(format!("at most {PROOF_BYTES_MAX}")));
        }
        let (opening, argument) = bytes
            .split_first_chunk::<32>()
            .ok_or_else(|| bad_length("an opening of 32 and an argument".to_owned()))?;
        Ok(Self { opening: Opening::from_bytes(opening)?, argument: argument.to_vec() })
    }
}

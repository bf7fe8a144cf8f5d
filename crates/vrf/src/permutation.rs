//! The permutation P: Poseidon2 of width 16 over KoalaBear with the library's constants, used as a
//! sponge of rate 8 and capacity 8; and the three functions built from it.
//!
//! ```text
//! (key, link) = P(secret ‖ IV_key)          the link never leaves the prover
//! opening     = P(input  ‖ link)  [0..8]
//! leaf        = P(opening ‖ IV_leaf)[0..8]
//! ```

use crate::{
    Suite, domain,
    words::{F, WORDS, Words},
};
use p3_field::{Algebra, PrimeCharacteristicRing};
use p3_koala_bear::{
    GenericPoseidon2LinearLayersKoalaBear as LinearLayers, KOALABEAR_POSEIDON2_HALF_FULL_ROUNDS,
    KOALABEAR_POSEIDON2_PARTIAL_ROUNDS_16, KOALABEAR_POSEIDON2_RC_16_EXTERNAL_FINAL,
    KOALABEAR_POSEIDON2_RC_16_EXTERNAL_INITIAL, KOALABEAR_POSEIDON2_RC_16_INTERNAL, Poseidon2KoalaBear,
    default_koalabear_poseidon2_16,
};
use p3_poseidon2::GenericPoseidon2LinearLayers as _;
use p3_symmetric::Permutation as _;
use std::sync::LazyLock;

pub const WIDTH: usize = 2 * WORDS;
pub const FULL_ROUNDS: usize = 2 * KOALABEAR_POSEIDON2_HALF_FULL_ROUNDS;
pub const PARTIAL_ROUNDS: usize = KOALABEAR_POSEIDON2_PARTIAL_ROUNDS_16;
pub const ROUNDS: usize = FULL_ROUNDS + PARTIAL_ROUNDS;

pub type State = [F; WIDTH];

static POSEIDON2: LazyLock<Poseidon2KoalaBear<WIDTH>> = LazyLock::new(default_koalabear_poseidon2_16);
static KEY_IV: LazyLock<Words> = LazyLock::new(|| Words::hash(domain::KEY_IV, &[&[Suite::CURRENT.number()]]));
static LEAF_IV: LazyLock<Words> =
    LazyLock::new(|| Words::hash(domain::LEAF_IV, &[&[Suite::CURRENT.number()]]));

pub fn key_iv() -> Words {
    *KEY_IV
}

pub fn leaf_iv() -> Words {
    *LEAF_IV
}

/// The state with `rate` in front of `capacity`.
pub fn join(rate: Words, capacity: Words) -> State {
    core::array::from_fn(|i| if i < WORDS { rate.0[i] } else { capacity.0[i - WORDS] })
}

/// Rate and capacity of a state.
pub fn split(state: &State) -> (Words, Words) {
    let (rate, capacity) = state.split_at(WORDS);
    (Words(core::array::from_fn(|i| rate[i])), Words(core::array::from_fn(|i| capacity[i])))
}

/// The registered key and the link that all its secrets hang on.
pub fn key_and_link(secret: Words) -> (Words, Words) {
    split(&POSEIDON2.permute(join(secret, key_iv())))
}

pub fn opening(input: Words, link: Words) -> Words {
    split(&POSEIDON2.permute(join(input, link))).0
}

pub fn leaf(opening: Words) -> Words {
    split(&POSEIDON2.permute(join(opening, leaf_iv()))).0
}

/// What follows is P again, step by step: circuits commit to what lies between the steps.
pub fn first_layer<R: PrimeCharacteristicRing>(state: &mut [R; WIDTH]) {
    LinearLayers::external_linear_layer(state);
}

/// One round after the first linear layer: S-boxes, then a linear layer.
pub enum Round {
    /// With the constants of all S-boxes.
    Full(State),
    /// With the constant of the only S-box.
    Partial(F),
}

impl Round {
    /// All rounds, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        let first = KOALABEAR_POSEIDON2_RC_16_EXTERNAL_INITIAL.into_iter().map(Self::Full);
        let middle = KOALABEAR_POSEIDON2_RC_16_INTERNAL.into_iter().map(Self::Partial);
        let last = KOALABEAR_POSEIDON2_RC_16_EXTERNAL_FINAL.into_iter().map(Self::Full);
        first.chain(middle).chain(last)
    }

    /// Constants of the S-boxes, which stand on the first elements of the state.
    pub fn constants(&self) -> &[F] {
        match self {
            Self::Full(constants) => constants,
            Self::Partial(constant) => std::slice::from_ref(constant),
        }
    }

    pub fn substitute<R: Algebra<F>>(&self, state: &mut [R; WIDTH]) {
        for (element, constant) in state.iter_mut().zip(self.constants()) {
            *element = (element.clone() + *constant).cube();
        }
    }

    pub fn mix<R: PrimeCharacteristicRing>(&self, state: &mut [R; WIDTH]) {
        match self {
            Self::Full(_) => LinearLayers::external_linear_layer(state),
            Self::Partial(_) => LinearLayers::internal_linear_layer(state),
        }
    }
}

#[cfg(test)]
mod tests;

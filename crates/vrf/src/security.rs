//! How hard a false proof is to make, by the proof system's own estimator.

use crate::{
    Rounds,
    circuit::{Circuit, EpochCircuit, SingleCircuit},
    words::{F, Words},
};
use p3_air::symbolic::AirLayout;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing as _, coset::TwoAdicMultiplicativeCoset};
use p3_uni_stark::{ConjecturedSecurity, OpeningShape, ProvenSecurity, StarkSecurityParams};

/// Bits of BLAKE3 collisions, which bound every commitment.
const COLLISION_BITS: usize = 128;
/// Rows that a constraint sees.
const ROWS_SEEN: usize = 2;

/// Binary logarithms of the work that a false proof takes. Keys, openings and leaves have about 124 bits
/// of their own against collisions, whatever stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// By theorems about the proof system, with hashes as random oracles.
    pub proven_bits: usize,
    /// If random words are the worst case of the code it rests on, as nobody has refuted.
    pub conjectured_bits: usize,
}

impl Security {
    pub fn of_epoch_proof(rounds: Rounds) -> Self {
        let leaves = (0..rounds.count()).map(|_| Words::default());
        Self::of(&EpochCircuit::new(Words::default(), leaves.collect::<Vec<_>>().into_iter()))
    }

    pub fn of_single_proof() -> Self {
        Self::of(&SingleCircuit::new())
    }

    fn of<C: Circuit>(circuit: &C) -> Self {
        let degree = <C::Challenge as BasedVectorSpace<F>>::DIMENSION;
        // A little below the truth: p is a little below 2^31.
        let challenge_bits = 31 * degree - 1;
        let fri = C::PARAMETERS.fri(());
        let domain = TwoAdicMultiplicativeCoset::new(F::ONE, circuit.log_rows()).expect("a table that fits");
        let parameters = StarkSecurityParams::from_air::<F, C::Challenge, _>(
            fri.security_regime(),
            &circuit.exact(),
            AirLayout::from_air::<F>(&circuit.exact()),
            domain,
            challenge_bits,
            COLLISION_BITS,
            ROWS_SEEN,
            OpeningShape::hiding(degree),
            fri.grinding_sites(),
        );
        let log_rows_hiding = circuit.log_rows() + 1;
        Self {
            proven_bits: ProvenSecurity::compute_from_proof(log_rows_hiding, &parameters).security_bits(),
            conjectured_bits: ConjecturedSecurity::compute_from_params(&parameters, log_rows_hiding)
                .security_bits,
        }
    }
}

#[cfg(test)]
mod tests;

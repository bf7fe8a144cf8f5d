//! What the two kinds of proof prove, and how the proof system is shown it.
//!
//! The proof system would derive the shape of the constraints by evaluating them symbolically in
//! each verification, which takes several times longer than all the rest of it. All it reads from
//! that pass is how many constraints there are and their largest degree. So it gets [`Stated`], which
//! shows it stand-ins of the stated number and degree; [`Exact`] shows the constraints themselves, for
//! the estimate of security and for the test that compares the two.

mod epoch;
mod single;

pub use epoch::{EpochCircuit, indexed};
pub use single::SingleCircuit;

use crate::{
    config::{Challenge, Config, Parameters},
    words::F,
};
use p3_air::{
    Air, AirBuilder, BaseAir, DebugConstraintBuilder, WindowAccess as _,
    symbolic::{SymbolicAirBuilder, SymbolicExpression},
};
use p3_uni_stark::{ProverConstraintFolder, VerifierConstraintFolder};
use std::borrow::Cow;

/// Constraints over a table of `1 << LOG_ROWS` rows, of which each sees itself and the next.
pub trait Circuit: Sync + Sized {
    type Challenge: Challenge;
    const PARAMETERS: Parameters;
    const WIDTH: usize;
    const PUBLIC_VALUES: usize;
    const PERIODIC_COLUMNS: usize;
    /// Number of constraints, and the largest degree among them; a test compares both.
    const CONSTRAINTS: usize;
    const DEGREE: usize;

    fn log_rows(&self) -> usize;
    /// Public columns. The proof system does not bind their values: the transcript must begin with them.
    fn periodic(&self) -> &[Vec<F>];
    fn constrain<B: AirBuilder<F = F>>(&self, builder: &mut B);

    fn stated(&self) -> Stated<'_, Self> {
        Shown(self)
    }

    fn exact(&self) -> Exact<'_, Self> {
        Shown(self)
    }
}

/// A circuit as the proof system sees it.
pub struct Shown<'a, C, const EXACT: bool>(&'a C);

/// With stand-ins in the symbolic pass.
pub type Stated<'a, C> = Shown<'a, C, false>;

/// With its own constraints in every pass.
pub type Exact<'a, C> = Shown<'a, C, true>;

impl<C: Circuit, const EXACT: bool> BaseAir<F> for Shown<'_, C, EXACT> {
    fn width(&self) -> usize {
        C::WIDTH
    }

    fn num_public_values(&self) -> usize {
        C::PUBLIC_VALUES
    }

    fn num_periodic_columns(&self) -> usize {
        C::PERIODIC_COLUMNS
    }

    fn periodic_columns(&self) -> Cow<'_, [Vec<F>]> {
        Cow::Borrowed(self.0.periodic())
    }
}

impl<C: Circuit, B: AirBuilder<F = F>> Air<B> for Exact<'_, C> {
    fn eval(&self, builder: &mut B) {
        self.0.constrain(builder);
    }
}

impl<C: Circuit> Air<SymbolicAirBuilder<F>> for Stated<'_, C> {
    fn eval(&self, builder: &mut SymbolicAirBuilder<F>) {
        let cell = builder.main().current_slice()[0];
        let stand_in = (1..C::DEGREE).fold(cell.into(), |product: SymbolicExpression<F>, _| product * cell);
        for _ in 0..C::CONSTRAINTS {
            builder.assert_zero(stand_in.clone());
        }
    }
}

impl<'a, C: Circuit> Air<ProverConstraintFolder<'a, Config<C::Challenge>>> for Stated<'_, C> {
    fn eval(&self, builder: &mut ProverConstraintFolder<'a, Config<C::Challenge>>) {
        self.0.constrain(builder);
    }
}

impl<'a, C: Circuit> Air<VerifierConstraintFolder<'a, Config<C::Challenge>>> for Stated<'_, C> {
    fn eval(&self, builder: &mut VerifierConstraintFolder<'a, Config<C::Challenge>>) {
        self.0.constrain(builder);
    }
}

/// Asked for by a proof system that was built with debug assertions.
impl<'a, C: Circuit> Air<DebugConstraintBuilder<'a, F>> for Stated<'_, C> {
    fn eval(&self, builder: &mut DebugConstraintBuilder<'a, F>) {
        self.0.constrain(builder);
    }
}

/// Asked for where two vectors are evaluated in lockstep.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
impl<'a, C: Circuit> Air<Lockstep<'a, C>> for Stated<'_, C> {
    fn eval(&self, builder: &mut Lockstep<'a, C>) {
        self.0.constrain(builder);
    }
}

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
type Lockstep<'a, C> = p3_uni_stark::VectorizedConstraintFolder<
    'a,
    Config<<C as Circuit>::Challenge>,
    { p3_uni_stark::QUOTIENT_ILP },
>;

#[cfg(test)]
mod tests;

//! All leaves of an epoch come from the secret behind one key.
//!
//! One permutation per row, with what its S-boxes give in columns of their own, so that no constraint
//! is of a degree above three. The link of the key stands in eight columns of every row.
//!
//! ```text
//! row      input                    output, first half     second half
//! 0        secret  ‖ IV_key         the key                the link
//! 1        key     ‖ IV_leaf        leaf(key)
//! 2t + 2   (context, t+1) ‖ link    opening of turn t
//! 2t + 3   opening ‖ IV_leaf        leaf of turn t
//! ```
//! Row 1 only keeps the pattern. The first half of each even row's output is that of the next row's
//! input. The index counts from 1; 0 marks a view that is proven by itself.

use super::Circuit;
use crate::{
    config::{Parameters, Quintic},
    permutation::{
        FULL_ROUNDS, PARTIAL_ROUNDS, Round, State, WIDTH as STATE, first_layer, join, key_and_link, key_iv,
        leaf, leaf_iv, split,
    },
    words::{F, WORDS, Words},
};
use p3_air::{AirBuilder, WindowAccess as _};
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;

// Columns: input, S-boxes, link.
const SUBSTITUTED: usize = STATE;
const LINK: usize = SUBSTITUTED + FULL_ROUNDS * STATE + PARTIAL_ROUNDS;
const COLUMNS: usize = LINK + WORDS;

// Periodic columns.
const IS_KEY: usize = 0;
const IS_OPENING: usize = 1;
const IS_LEAF: usize = 2;
const INDEX: usize = 3;
const LEAF: usize = 4;

pub struct EpochCircuit {
    log_rows: usize,
    periodic: Vec<Vec<F>>,
}

impl EpochCircuit {
    /// One leaf less than a power of two.
    pub fn new(key: Words, leaves: impl ExactSizeIterator<Item = Words>) -> Self {
        let pairs = leaves.len() + 1;
        assert!(pairs.is_power_of_two(), "rounds are one less than a power of two");
        let mut periodic = vec![vec![F::ZERO; 2 * pairs]; Self::PERIODIC_COLUMNS];
        periodic[IS_KEY][0] = F::ONE;
        for (pair, value) in std::iter::once(leaf(key)).chain(leaves).enumerate() {
            periodic[IS_LEAF][2 * pair + 1] = F::ONE;
            for (column, element) in periodic[LEAF..].iter_mut().zip(value.0) {
                column[2 * pair + 1] = element;
            }
            if pair > 0 {
                periodic[IS_OPENING][2 * pair] = F::ONE;
                periodic[INDEX][2 * pair] = F::from_usize(pair);
            }
        }
        let log_rows = usize::try_from((2 * pairs).trailing_zeros()).expect("at most 64");
        Self { log_rows, periodic }
    }

    pub fn public_values(key: Words, input: Words) -> Vec<F> {
        [&key.0[..], &input.0[..WORDS - 1]].concat()
    }

    /// The table that satisfies the constraints; `input` is the epoch's.
    pub fn witness(&self, secret: Words, input: Words) -> RowMajorMatrix<F> {
        let rows = 1 << self.log_rows;
        let (_, link) = key_and_link(secret);
        // Hiding triples the table; that much room now spares a copy of it.
        let mut cells = Vec::with_capacity(3 * rows * COLUMNS);
        for pair in 0..rows / 2 {
            let first = match pair {
                0 => join(secret, key_iv()),
                _ => join(indexed(input, pair), link),
            };
            let output = push_row(&mut cells, first, link);
            let _ = push_row(&mut cells, join(split(&output).0, leaf_iv()), link);
        }
        RowMajorMatrix::new(cells, COLUMNS)
    }
}

/// What the opening of a turn is computed from: the epoch's input with the last element set to the
/// turn's index.
pub fn indexed(mut input: Words, index: usize) -> Words {
    input.0[WORDS - 1] = F::from_usize(index);
    input
}

fn push_row(cells: &mut Vec<F>, mut state: State, link: Words) -> State {
    cells.extend(state);
    first_layer(&mut state);
    for round in Round::all() {
        round.substitute(&mut state);
        cells.extend(&state[..round.constants().len()]);
        round.mix(&mut state);
    }
    cells.extend(link.0);
    state
}

impl Circuit for EpochCircuit {
    type Challenge = Quintic;
    const PARAMETERS: Parameters = Parameters {
        log_blowup: 4,
        queries: 44,
        query_grinding_bits: 16,
        log_final_polynomial: 7,
        log_arity_max: 3,
        cap_height: 3,
    };
    const WIDTH: usize = COLUMNS;
    const PUBLIC_VALUES: usize = 2 * WORDS - 1;
    const PERIODIC_COLUMNS: usize = LEAF + WORDS;
    const CONSTRAINTS: usize = FULL_ROUNDS * STATE + PARTIAL_ROUNDS + 6 * WORDS;
    const DEGREE: usize = 3;

    fn log_rows(&self) -> usize {
        self.log_rows
    }

    fn periodic(&self) -> &[Vec<F>] {
        &self.periodic
    }

    fn constrain<B: AirBuilder<F = F>>(&self, builder: &mut B) {
        let main = builder.main();
        let (row, next) = (main.current_slice(), main.next_slice());
        let periodic: [B::Expr; Self::PERIODIC_COLUMNS] =
            core::array::from_fn(|i| builder.periodic_values()[i].into());
        let public: [B::Expr; Self::PUBLIC_VALUES] =
            core::array::from_fn(|i| builder.public_values()[i].into());

        let mut output: [B::Expr; STATE] = core::array::from_fn(|i| row[i].into());
        first_layer(&mut output);
        let mut cells = row[SUBSTITUTED..LINK].iter();
        for round in Round::all() {
            round.substitute(&mut output);
            for (element, cell) in output.iter_mut().zip(cells.by_ref().take(round.constants().len())) {
                builder.assert_eq(element.clone(), *cell);
                *element = (*cell).into();
            }
            round.mix(&mut output);
        }

        let [is_key, is_opening, is_leaf] =
            [IS_KEY, IS_OPENING, IS_LEAF].map(|column| periodic[column].clone());
        for i in 0..WORDS {
            let rate: B::Expr = row[i].into();
            let capacity: B::Expr = row[WORDS + i].into();
            let link: B::Expr = row[LINK + i].into();
            let given = if i < WORDS - 1 { public[WORDS + i].clone() } else { periodic[INDEX].clone() };
            builder.assert_zero(
                is_key.clone() * (capacity.clone() - key_iv().0[i])
                    + is_opening.clone() * (capacity.clone() - link.clone())
                    + is_leaf.clone() * (capacity - leaf_iv().0[i]),
            );
            builder.assert_zero(is_opening.clone() * (rate - given));
            builder.assert_zero(
                is_key.clone() * (output[i].clone() - public[i].clone())
                    + is_leaf.clone() * (output[i].clone() - periodic[LEAF + i].clone()),
            );
            builder.assert_zero(is_key.clone() * (output[WORDS + i].clone() - link.clone()));
            builder.assert_zero((is_key.clone() + is_opening.clone()) * (output[i].clone() - next[i]));
            builder.when_transition().assert_eq(next[LINK + i], link);
        }
    }
}

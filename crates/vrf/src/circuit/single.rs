//! One opening comes from the secret behind one key.
//!
//! The table must have 64 rows to hide its contents, so it holds one round per row and sixteen columns,
//! which takes less room than one permutation per row.
//!
//! ```text
//! row       state                              to the next row
//! 0         secret ‖ IV_key                    linear layer
//! 1 … 28    within the first permutation       a round
//! 29        key ‖ link                         first half replaced by the input; linear layer
//! 30 … 57   within the second permutation      a round
//! 58        opening ‖ rest                     the same again, to row 63
//! ```

use super::Circuit;
use crate::{
    config::{Parameters, Quartic},
    permutation::{ROUNDS, Round, State, WIDTH as STATE, first_layer, join, key_iv, split},
    words::{F, WORDS, Words},
};
use p3_air::{AirBuilder, WindowAccess as _};
use p3_field::PrimeCharacteristicRing as _;
use p3_koala_bear::GenericPoseidon2LinearLayersKoalaBear as LinearLayers;
use p3_matrix::dense::RowMajorMatrix;
use p3_poseidon2::GenericPoseidon2LinearLayers as _;

const LOG_ROWS: usize = 6;
const ROWS: usize = 1 << LOG_ROWS;
const KEY_ROW: usize = 1 + ROUNDS;
const OPENING_ROW: usize = KEY_ROW + 1 + ROUNDS;

// Periodic columns: constants of the S-boxes, then what the row is.
const IS_FIRST: usize = STATE;
const IS_FULL: usize = STATE + 1;
const IS_PARTIAL: usize = STATE + 2;
const IS_KEY: usize = STATE + 3;
const IS_OPENING: usize = STATE + 4;
const IS_HELD: usize = STATE + 5;

pub struct SingleCircuit {
    periodic: Vec<Vec<F>>,
}

impl SingleCircuit {
    pub fn new() -> Self {
        let mut periodic = vec![vec![F::ZERO; ROWS]; Self::PERIODIC_COLUMNS];
        periodic[IS_FIRST][0] = F::ONE;
        periodic[IS_KEY][KEY_ROW] = F::ONE;
        periodic[IS_OPENING][OPENING_ROW] = F::ONE;
        periodic[IS_HELD][OPENING_ROW..ROWS - 1].fill(F::ONE);
        for start in [1, KEY_ROW + 1] {
            for (row, round) in (start..).zip(Round::all()) {
                let kind = match round {
                    Round::Full(_) => IS_FULL,
                    Round::Partial(_) => IS_PARTIAL,
                };
                periodic[kind][row] = F::ONE;
                for (column, constant) in periodic.iter_mut().zip(round.constants()) {
                    column[row] = *constant;
                }
            }
        }
        Self { periodic }
    }

    pub fn public_values(key: Words, input: Words, opening: Words) -> Vec<F> {
        [key.0, input.0, opening.0].concat()
    }

    /// The table that satisfies the constraints.
    pub fn witness(secret: Words, input: Words) -> RowMajorMatrix<F> {
        let mut cells = Vec::with_capacity(3 * ROWS * STATE);
        let start = join(secret, key_iv());
        cells.extend(start);
        let (_, link) = split(&push_permutation(&mut cells, start));
        let end = push_permutation(&mut cells, join(input, link));
        for _ in OPENING_ROW + 1..ROWS {
            cells.extend(end);
        }
        RowMajorMatrix::new(cells, STATE)
    }
}

fn push_permutation(cells: &mut Vec<F>, mut state: State) -> State {
    first_layer(&mut state);
    cells.extend(state);
    for round in Round::all() {
        round.substitute(&mut state);
        round.mix(&mut state);
        cells.extend(state);
    }
    state
}

impl Circuit for SingleCircuit {
    type Challenge = Quartic;
    const PARAMETERS: Parameters = Parameters {
        log_blowup: 4,
        queries: 23,
        query_grinding_bits: 12,
        log_final_polynomial: 5,
        log_arity_max: 2,
        cap_height: 1,
    };
    const WIDTH: usize = STATE;
    const PUBLIC_VALUES: usize = 3 * WORDS;
    const PERIODIC_COLUMNS: usize = STATE + 6;
    const CONSTRAINTS: usize = STATE + 2 * WORDS;
    const DEGREE: usize = 4;

    fn log_rows(&self) -> usize {
        LOG_ROWS
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
        let (key, input, opening) = (&public[..WORDS], &public[WORDS..2 * WORDS], &public[2 * WORDS..]);

        let state: [B::Expr; STATE] = core::array::from_fn(|i| row[i].into());
        let mut first = state.clone();
        first_layer(&mut first);
        let mut full: [B::Expr; STATE] =
            core::array::from_fn(|i| (state[i].clone() + periodic[i].clone()).cube());
        let mut partial = state.clone();
        partial[0] = full[0].clone();
        LinearLayers::external_linear_layer(&mut full);
        LinearLayers::internal_linear_layer(&mut partial);
        let mut absorbed: [B::Expr; STATE] =
            core::array::from_fn(|i| if i < WORDS { input[i].clone() } else { state[i].clone() });
        first_layer(&mut absorbed);

        let steps = [
            (IS_FIRST, &first),
            (IS_FULL, &full),
            (IS_PARTIAL, &partial),
            (IS_KEY, &absorbed),
            (IS_HELD, &state),
        ];
        for i in 0..STATE {
            let off = steps.iter().map(|(is, step)| periodic[*is].clone() * (step[i].clone() - next[i]));
            builder.assert_zero(off.sum::<B::Expr>());
        }
        for i in 0..WORDS {
            builder.assert_zero(periodic[IS_FIRST].clone() * (state[WORDS + i].clone() - key_iv().0[i]));
            builder.assert_zero(
                periodic[IS_KEY].clone() * (state[i].clone() - key[i].clone())
                    + periodic[IS_OPENING].clone() * (state[i].clone() - opening[i].clone()),
            );
        }
    }
}

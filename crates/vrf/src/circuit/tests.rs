use super::*;
use crate::{
    permutation::{key_and_link, leaf, opening},
    words::{WORDS, Words},
};
use p3_air::{
    check_all_constraints,
    symbolic::{AirLayout, get_all_symbolic_constraints, get_max_constraint_degree_extension},
};
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;

/// A circuit with a table that satisfies it.
struct Case<C> {
    circuit: C,
    witness: RowMajorMatrix<F>,
    public_values: Vec<F>,
}

fn secret() -> Words {
    Words::hash(b"test secret", &[])
}

fn input() -> Words {
    let mut input = Words::hash(b"test input", &[]);
    input.0[WORDS - 1] = F::ZERO;
    input
}

fn leaves(secret: Words, count: usize) -> Vec<Words> {
    let (_, link) = key_and_link(secret);
    (1..=count).map(|index| leaf(opening(indexed(input(), index), link))).collect()
}

/// Three turns have every kind of row, in eight of them.
fn epoch() -> Case<EpochCircuit> {
    let (key, _) = key_and_link(secret());
    let circuit = EpochCircuit::new(key, leaves(secret(), 3).into_iter());
    let witness = circuit.witness(secret(), input());
    Case { circuit, witness, public_values: EpochCircuit::public_values(key, input()) }
}

fn single() -> Case<SingleCircuit> {
    let (key, link) = key_and_link(secret());
    let public_values = SingleCircuit::public_values(key, input(), opening(input(), link));
    Case { circuit: SingleCircuit::new(), witness: SingleCircuit::witness(secret(), input()), public_values }
}

impl<C: Circuit> Case<C> {
    fn holds(&self) -> bool {
        check_all_constraints(&self.circuit.exact(), &self.witness, &self.public_values, Some(1)).is_ok()
    }

    /// Places of cells that can change without breaking a constraint.
    fn free_cells(mut self) -> Vec<(usize, usize)> {
        assert!(self.holds());
        let mut free = Vec::new();
        for at in 0..self.witness.values.len() {
            for change in [F::ONE, F::NEG_ONE, F::from_u32(0x1234_5678)] {
                self.witness.values[at] += change;
                if self.holds() {
                    free.push((at / C::WIDTH, at % C::WIDTH));
                }
                self.witness.values[at] -= change;
            }
        }
        assert!(self.holds());
        free
    }

    fn free_public_values(mut self) -> Vec<usize> {
        let mut free = Vec::new();
        for at in 0..self.public_values.len() {
            self.public_values[at] += F::ONE;
            if self.holds() {
                free.push(at);
            }
            self.public_values[at] -= F::ONE;
        }
        assert!(self.holds());
        free
    }
}

#[test]
fn every_cell_is_constrained() {
    assert_eq!(epoch().free_cells(), []);
    assert_eq!(single().free_cells(), []);
}

#[test]
fn every_public_value_is_constrained() {
    assert_eq!(epoch().free_public_values(), [] as [usize; 0]);
    assert_eq!(single().free_public_values(), [] as [usize; 0]);
}

/// One column at a time, all of its rows changed alike or shuffled.
#[test]
fn no_column_can_change_as_a_whole() {
    fn check<C: Circuit>(mut case: Case<C>) {
        let rows = 1 << case.circuit.log_rows();
        let honest = case.witness.values.clone();
        for column in 0..C::WIDTH {
            for row in 0..rows {
                case.witness.values[row * C::WIDTH + column] += F::TWO;
            }
            assert!(!case.holds(), "column {column} shifted");
            for row in 0..rows {
                case.witness.values[row * C::WIDTH + column] = honest[(rows - 1 - row) * C::WIDTH + column];
            }
            let constant = (0..rows).all(|row| honest[row * C::WIDTH + column] == honest[column]);
            assert_eq!(case.holds(), constant, "column {column} turned round");
            case.witness.values.clone_from(&honest);
        }
    }
    check(epoch());
    check(single());
}

#[test]
fn every_leaf_is_constrained() {
    let (key, _) = key_and_link(secret());
    let good = leaves(secret(), 3);
    for turn in 0..3 {
        for word in 0..WORDS {
            let mut bad = good.clone();
            bad[turn].0[word] += F::ONE;
            let case = Case { circuit: EpochCircuit::new(key, bad.into_iter()), ..epoch() };
            assert!(!case.holds(), "turn {turn}, word {word}");
        }
    }
    let other_key = key_and_link(input()).0;
    let case = Case { circuit: EpochCircuit::new(other_key, good.into_iter()), ..epoch() };
    assert!(!case.holds());
}

/// Tables that are consistent almost everywhere: the ways a cheat would try.
#[test]
fn tables_of_two_secrets_are_refused() {
    let other = Words::hash(b"other secret", &[]);
    let honest = epoch();
    let width = EpochCircuit::WIDTH;
    // From some row on, the table belongs to another secret, and so do the leaves.
    for turn in 0..3 {
        let mut mixed = leaves(secret(), 3);
        mixed[turn..].copy_from_slice(&leaves(other, 3)[turn..]);
        let circuit = EpochCircuit::new(key_and_link(secret()).0, mixed.into_iter());
        let from = (2 * turn + 2) * width;
        let mut witness = honest.witness.clone();
        witness.values[from..].copy_from_slice(&circuit.witness(other, input()).values[from..]);
        let mut case = Case { circuit, witness, public_values: honest.public_values.clone() };
        assert!(!case.holds(), "from turn {turn} on");
        // The column of the link made good again, the row's input no longer fits it.
        let link = key_and_link(secret()).1;
        for row in case.witness.values[from..].chunks_mut(width) {
            row[width - WORDS..].copy_from_slice(&link.0);
        }
        assert!(!case.holds(), "from turn {turn} on, with the link of the first");
    }
    // The second permutation of a single proof under the link of another secret.
    let mut case = single();
    let from = 30 * SingleCircuit::WIDTH;
    let foreign = SingleCircuit::witness(other, input());
    case.witness.values[from..].copy_from_slice(&foreign.values[from..]);
    let (_, link) = key_and_link(other);
    case.public_values[2 * WORDS..].copy_from_slice(&opening(input(), link).0);
    assert!(!case.holds());
}

/// What the library is told of the constraints is what they are.
#[test]
fn stated_shapes_are_exact() {
    fn check<C: Circuit>(circuit: &C) {
        let layout = AirLayout::from_air::<F>(&circuit.exact());
        let rows = 1 << circuit.log_rows();
        let (base, extension) = get_all_symbolic_constraints::<F, F, _>(&circuit.exact(), layout);
        assert_eq!((base.len(), extension.len()), (C::CONSTRAINTS, 0));
        let degree = get_max_constraint_degree_extension::<F, F, _>(&circuit.exact(), layout, rows);
        assert_eq!(degree, C::DEGREE);
        let (base, extension) = get_all_symbolic_constraints::<F, F, _>(&circuit.stated(), layout);
        assert_eq!((base.len(), extension.len()), (C::CONSTRAINTS, 0));
        let degree = get_max_constraint_degree_extension::<F, F, _>(&circuit.stated(), layout, rows);
        assert_eq!(degree, C::DEGREE);
        assert_eq!(circuit.periodic().len(), C::PERIODIC_COLUMNS);
        assert!(circuit.periodic().iter().all(|column| column.len() == rows));
        assert!(BaseAir::<F>::preprocessed_trace(&circuit.stated()).is_none());
    }
    check(&epoch().circuit);
    check(&single().circuit);
}

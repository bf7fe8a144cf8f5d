use super::*;
use crate::{
    circuit::{EpochCircuit, SingleCircuit, indexed},
    config::{Config, Parameters},
    permutation::{key_and_link, leaf, opening},
    words::WORDS,
};
use p3_air::{Air, AirBuilder as _, BaseAir, DebugConstraintBuilder, symbolic::SymbolicAirBuilder};
use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use p3_matrix::Matrix as _;
use p3_symmetric::MerkleCap;
use p3_uni_stark::{ProverConstraintFolder, StarkGenericConfig as _};
use rand::Rng as _;
use std::{borrow::Cow, sync::LazyLock};

type Table = RowMajorMatrix<F>;
type SingleStark = Proof<<SingleCircuit as Circuit>::Challenge>;

const TRANSCRIPT: Transcript = Transcript([9; 32]);

fn rng(number: u8) -> StdRng {
    StdRng::from_seed([number; 32])
}

fn secret() -> Words {
    Words::hash(b"test secret", &[])
}

fn input() -> Words {
    let mut input = Words::hash(b"test input", &[]);
    input.0[WORDS - 1] = F::ZERO;
    input
}

fn single_public_values(secret: Words) -> Vec<F> {
    let (key, link) = key_and_link(secret);
    SingleCircuit::public_values(key, input(), opening(input(), link))
}

fn prove_single(seed: u8) -> Vec<u8> {
    let witness = SingleCircuit::witness(secret(), input());
    prove(&SingleCircuit::new(), witness, &single_public_values(secret()), TRANSCRIPT, rng(seed)).unwrap()
}

/// A proof that all tests of verification start from.
static SINGLE: LazyLock<Vec<u8>> = LazyLock::new(|| prove_single(1));

fn verify_single(bytes: &[u8]) -> Result<(), Refused> {
    verify(&SingleCircuit::new(), &single_public_values(secret()), TRANSCRIPT, bytes)
}

fn decoded() -> SingleStark {
    decode::<SingleCircuit>(&SINGLE).unwrap()
}

/// A circuit whose tables nobody looks at: a release build proves whatever it is given, and this lets a
/// debug build do so too.
struct Unchecked<'a, C>(&'a C);

impl<C: Circuit> BaseAir<F> for Unchecked<'_, C> {
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

impl<C: Circuit> Air<SymbolicAirBuilder<F>> for Unchecked<'_, C> {
    fn eval(&self, builder: &mut SymbolicAirBuilder<F>) {
        self.0.constrain(builder);
    }
}

impl<'a, C: Circuit> Air<ProverConstraintFolder<'a, Config<C::Challenge>>> for Unchecked<'_, C> {
    fn eval(&self, builder: &mut ProverConstraintFolder<'a, Config<C::Challenge>>) {
        self.0.constrain(builder);
    }
}

impl<'a, C: Circuit> Air<DebugConstraintBuilder<'a, F>> for Unchecked<'_, C> {
    fn eval(&self, builder: &mut DebugConstraintBuilder<'a, F>) {
        builder.assert_zero(F::ZERO);
    }
}

/// What a prover that does not care gets for `witness`.
fn cheat<C: Circuit>(circuit: &C, witness: Table, public_values: &[F]) -> Vec<u8> {
    let config = C::PARAMETERS.config::<C::Challenge>(TRANSCRIPT.0, rng(3));
    let proof = p3_uni_stark::prove(&config, &Unchecked(circuit), witness, public_values).unwrap();
    encode::<C>(&proof)
}

#[test]
fn an_honest_table_passes_this_way_too() {
    let witness = SingleCircuit::witness(secret(), input());
    verify_single(&cheat(&SingleCircuit::new(), witness, &single_public_values(secret()))).unwrap();
}

/// Pitfall: a release build proves a false table without complaint.
#[test]
fn false_tables_make_no_proof() {
    let circuit = SingleCircuit::new();
    let public_values = single_public_values(secret());
    let honest = SingleCircuit::witness(secret(), input());
    let other = Words::hash(b"other secret", &[]);
    let mut spliced = honest.clone();
    spliced.values[30 * 16..].copy_from_slice(&SingleCircuit::witness(other, input()).values[30 * 16..]);
    let mut cases = vec![SingleCircuit::witness(other, input()), spliced];
    for cell in [0, 8, 17, 16 * 29 + 3, 16 * 58, 16 * 63 + 15] {
        let mut wrong = honest.clone();
        wrong.values[cell] += F::ONE;
        cases.push(wrong);
    }
    for (number, witness) in cases.into_iter().enumerate() {
        let bytes = cheat(&circuit, witness.clone(), &public_values);
        assert!(matches!(verify_single(&bytes), Err(Refused::Proof(_))), "case {number}");
        let own = catch_unwind(|| prove(&circuit, witness, &public_values, TRANSCRIPT, rng(4)));
        assert!(matches!(own, Err(_) | Ok(Err(ProveError::SelfCheck(_)))), "case {number}");
    }
    for at in 0..public_values.len() {
        let mut claim = public_values.clone();
        claim[at] += F::ONE;
        let bytes = cheat(&circuit, honest.clone(), &claim);
        assert!(verify(&circuit, &claim, TRANSCRIPT, &bytes).is_err(), "public value {at}");
    }
}

struct Epoch {
    key: Words,
    leaves: Vec<Words>,
}

fn epoch(secret: Words) -> Epoch {
    let (key, link) = key_and_link(secret);
    Epoch { key, leaves: (1..=63).map(|index| leaf(opening(indexed(input(), index), link))).collect() }
}

impl Epoch {
    fn circuit(&self) -> EpochCircuit {
        EpochCircuit::new(self.key, self.leaves.iter().copied())
    }

    fn public_values(&self) -> Vec<F> {
        EpochCircuit::public_values(self.key, input())
    }
}

#[test]
fn leaves_of_another_secret_make_no_proof() {
    let honest = epoch(secret());
    let witness = honest.circuit().witness(secret(), input());
    let good = cheat(&honest.circuit(), witness.clone(), &honest.public_values());
    verify(&honest.circuit(), &honest.public_values(), TRANSCRIPT, &good).unwrap();

    let other = Words::hash(b"other secret", &[]);
    let foreign = epoch(other);
    let width = EpochCircuit::WIDTH;
    for turn in [0, 31, 62] {
        let mut claim = epoch(secret());
        claim.leaves[turn] = foreign.leaves[turn];
        let row = (2 * turn + 2) * width;
        let mut witness = witness.clone();
        let rows = &foreign.circuit().witness(other, input()).values[row..row + 2 * width];
        witness.values[row..row + 2 * width].copy_from_slice(rows);
        let bytes = cheat(&claim.circuit(), witness, &claim.public_values());
        let verdict = verify(&claim.circuit(), &claim.public_values(), TRANSCRIPT, &bytes);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "turn {turn}");
        // Nor does a good proof pass for a list with another leaf, even were the transcript the same.
        let verdict = verify(&claim.circuit(), &claim.public_values(), TRANSCRIPT, &good);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "turn {turn}");
    }
}

/// Pitfall: what only the transcript binds. The library does not bind periodic columns, where the leaves are.
#[test]
fn every_bit_of_the_transcript_counts() {
    for bit in 0..256 {
        let mut other = TRANSCRIPT;
        other.0[bit / 8] ^= 1 << (bit % 8);
        let verdict = verify(&SingleCircuit::new(), &single_public_values(secret()), other, &SINGLE);
        assert!(matches!(verdict, Err(Refused::Proof(_))), "bit {bit}");
    }
}

/// Pitfall: the library takes the number of rows from the proof.
#[test]
fn the_number_of_rows_is_the_circuits() {
    let circuit = SingleCircuit::new();
    let public_values = single_public_values(secret());
    let once = SingleCircuit::witness(secret(), input());
    for log_copies in 1..3 {
        let table = Table::new(once.values.repeat(1 << log_copies), once.width());
        let bytes = cheat(&circuit, table, &public_values);
        let proof = decode::<SingleCircuit>(&bytes).unwrap();
        let config = SingleCircuit::PARAMETERS.config(TRANSCRIPT.0, rng(5));
        p3_uni_stark::verify(&config, &circuit.stated(), &proof, &public_values)
            .expect("the library accepts a taller table");
        let found = 7 + log_copies;
        assert_eq!(verify_single(&bytes), Err(Refused::Degree { found, expected: 7 }));
    }
    for degree_bits in [0, 1, 2, 6, 8, 20, 24, 25, 31, 32, 63, 64, 1_000, usize::MAX] {
        let proof = SingleStark { degree_bits, ..decoded() };
        let verdict = verify_single(&encode::<SingleCircuit>(&proof));
        assert_eq!(verdict, Err(Refused::Degree { found: degree_bits, expected: 7 }));
    }
}

#[test]
fn proofs_are_randomized() {
    let first = decoded();
    let second = decode::<SingleCircuit>(&prove_single(2)).unwrap();
    assert_ne!(first.commitments.trace, second.commitments.trace);
    assert_ne!(first.commitments.quotient_chunks, second.commitments.quotient_chunks);
    assert_ne!(first.commitments.random, second.commitments.random);
    assert_ne!(first.opened_values.trace_local, second.opened_values.trace_local);
    assert_ne!(first.opened_values.trace_next, second.opened_values.trace_next);
    assert_eq!(prove_single(1), *SINGLE, "nothing but the masks is random");
}

#[test]
fn hiding_is_on() {
    let config = SingleCircuit::PARAMETERS.config::<<SingleCircuit as Circuit>::Challenge>([0; 32], rng(1));
    assert_eq!(config.is_zk(), 1);
    let proof = decoded();
    assert!(proof.commitments.random.is_some() && proof.opened_values.random.is_some());
    let (random_columns, fri) = &proof.opening_proof;
    assert!(random_columns.iter().flatten().flatten().all(|columns| columns.len() == 4));
    let salts = fri.input_openings.iter().map(|opening| &opening.opening_proof.0);
    let fold_salts = fri.commit_phase_openings.iter().map(|opening| &opening.opening_proof.0);
    let mut counted = 0;
    for salt in salts.chain(fold_salts).flatten().flatten() {
        assert!(salt.len() == 4 && salt.iter().any(|element| *element != F::ZERO));
        counted += 1;
    }
    assert!(counted > 100, "{counted}");
    // What is opened of the table is no row of it.
    let witness = SingleCircuit::witness(secret(), input());
    for row in fri.input_openings[1].opened_values.iter().flatten() {
        assert!(witness.rows().all(|known| known.collect::<Vec<_>>() != row[..16]));
    }
}

/// A table too short for the queries is refused by prover and verifier.
#[test]
fn the_budget_of_disclosures_is_enforced() {
    let circuit = SingleCircuit::new();
    let public_values = single_public_values(secret());
    for (queries, fits) in [(24, true), (25, false), (60, false)] {
        let parameters = Parameters { queries, ..SingleCircuit::PARAMETERS };
        let config = parameters.config::<<SingleCircuit as Circuit>::Challenge>(TRANSCRIPT.0, rng(6));
        let witness = SingleCircuit::witness(secret(), input());
        let proof = p3_uni_stark::prove(&config, &circuit.stated(), witness, &public_values);
        assert_eq!(proof.is_ok(), fits, "{queries} queries");
    }
}

/// Pitfall: whoever knows the masks knows the secret.
#[test]
fn masks_depend_on_secret_statement_and_randomness() {
    let draw = |seed, secret, transcript| {
        let mut bytes = [0; 32];
        masks(&mut rng(seed), secret, Transcript(transcript)).fill_bytes(&mut bytes);
        bytes
    };
    let base = draw(1, secret(), [1; 32]);
    assert_eq!(draw(1, secret(), [1; 32]), base);
    assert_ne!(draw(2, secret(), [1; 32]), base, "fresh randomness");
    assert_ne!(draw(1, input(), [1; 32]), base, "a generator that repeats, for another secret");
    assert_ne!(draw(1, secret(), [2; 32]), base, "a generator that repeats, for another statement");
}

#[test]
fn an_argument_has_one_encoding() {
    let good = &*SINGLE;
    verify_single(good).unwrap();
    // The first byte is the length of the first commitment: one digest for each of two roots.
    assert_eq!(good[0], 2);
    let overlong = [&[0x82, 0x00], &good[1..]].concat();
    assert!(postcard::take_from_bytes::<SingleStark>(&overlong).is_ok(), "the library would take it");
    assert_eq!(verify_single(&overlong), Err(Malformed::Argument.into()));
    let trailing = [&good[..], &[0]].concat();
    assert_eq!(verify_single(&trailing), Err(Malformed::Argument.into()));
    for length in [0, 1, 65, 66, good.len() / 2, good.len() - 1] {
        assert_eq!(verify_single(&good[..length]), Err(Malformed::Argument.into()), "{length} bytes");
    }
    for at in [0, 1, 65, 66, 130, 131, 132, 133, 134] {
        let huge = [&good[..at], &[0xff; 8], &[0x3f], &good[at..]].concat();
        assert!(verify_single(&huge).is_err(), "at {at}");
    }
}

/// The order of the field is no field element.
#[test]
fn elements_of_an_argument_are_canonical() {
    let element = |integer: u32| postcard::take_from_bytes::<F>(&integer.to_le_bytes()).is_ok();
    assert!(element(F::ORDER_U32 - 1));
    for integer in [F::ORDER_U32, F::ORDER_U32 + 1, u32::MAX >> 1, u32::MAX] {
        assert!(!element(integer), "{integer}");
    }
}

/// Well-encoded proofs of every wrong shape: none panics, none passes.
#[test]
fn misshapen_proofs_are_refused() {
    type Change = fn(&mut SingleStark);
    let changes: [(&str, Change); 35] = [
        ("low cap", |p| p.commitments.trace = MerkleCap::new(vec![[1; 32]])),
        ("high cap", |p| p.commitments.quotient_chunks = MerkleCap::new(vec![[1; 32]; 4])),
        ("cap above the leaves", |p| p.commitments.random = Some(MerkleCap::new(vec![[1; 32]; 4_096]))),
        ("low fold cap", |p| {
            p.opening_proof.1.commit_phase_commits[0] = MerkleCap::new(vec![[1; 32]]);
        }),
        ("no random commitment", |p| p.commitments.random = None),
        ("no random values", |p| p.opened_values.random = None),
        ("short random values", |p| p.opened_values.random.iter_mut().for_each(Vec::clear)),
        ("no next row", |p| p.opened_values.trace_next = None),
        ("short next row", |p| p.opened_values.trace_next.iter_mut().for_each(Vec::clear)),
        ("short row", |p| p.opened_values.trace_local.truncate(3)),
        ("no row", |p| p.opened_values.trace_local.clear()),
        ("no quotient", |p| p.opened_values.quotient_chunks.clear()),
        ("fewer chunks", |p| drop(p.opened_values.quotient_chunks.pop())),
        ("short chunk", |p| p.opened_values.quotient_chunks[0].truncate(3)),
        ("grinding at a free site", |p| p.ood_pow_witness = F::ONE),
        ("no random columns", |p| p.opening_proof.0.clear()),
        ("fewer random columns", |p| p.opening_proof.0[0].clear()),
        ("no random points", |p| p.opening_proof.0[0][0].clear()),
        ("short random column", |p| p.opening_proof.0[0][0][0].clear()),
        ("no folds", |p| p.opening_proof.1.commit_phase_commits.clear()),
        ("no fold openings", |p| p.opening_proof.1.commit_phase_openings.clear()),
        ("no fold witnesses", |p| p.opening_proof.1.commit_pow_witnesses.clear()),
        ("other fold witness", |p| p.opening_proof.1.commit_pow_witnesses[0] = F::ONE),
        ("other batch witness", |p| p.opening_proof.1.batch_pow_witness = F::ONE),
        ("other query witness", |p| p.opening_proof.1.query_pow_witness += F::ONE),
        ("no final polynomial", |p| p.opening_proof.1.final_poly.clear()),
        ("short final polynomial", |p| p.opening_proof.1.final_poly.truncate(3)),
        ("long final polynomial", |p| {
            let last = p.opening_proof.1.final_poly[0];
            p.opening_proof.1.final_poly.push(last);
        }),
        ("no openings", |p| p.opening_proof.1.input_openings.clear()),
        ("fewer openings", |p| drop(p.opening_proof.1.input_openings.pop())),
        ("openings exchanged", |p| p.opening_proof.1.input_openings.swap(0, 1)),
        ("no siblings", |p| p.opening_proof.1.commit_phase_openings[0].sibling_values.clear()),
        ("short siblings", |p| p.opening_proof.1.commit_phase_openings[0].sibling_values[0].clear()),
        ("no fold salts", |p| p.opening_proof.1.commit_phase_openings[0].opening_proof.0.clear()),
        ("no fold path", |p| {
            p.opening_proof.1.commit_phase_openings[0].opening_proof.1.sibling_hashes.clear();
        }),
    ];
    for (name, change) in changes {
        let mut proof = decoded();
        change(&mut proof);
        let verdict = verify_single(&encode::<SingleCircuit>(&proof));
        assert!(matches!(verdict, Err(Refused::Proof(_))), "{name}: {verdict:?}");
    }
}

#[test]
fn misshapen_openings_are_refused() {
    type Change = fn(&mut SingleStark, usize);
    let changes: [(&str, Change); 9] = [
        ("no values", |p, i| p.opening_proof.1.input_openings[i].opened_values.clear()),
        ("no values of a query", |p, i| p.opening_proof.1.input_openings[i].opened_values[0].clear()),
        ("empty row", |p, i| p.opening_proof.1.input_openings[i].opened_values[0][0].clear()),
        ("no salts", |p, i| p.opening_proof.1.input_openings[i].opening_proof.0.clear()),
        ("no salts of a query", |p, i| p.opening_proof.1.input_openings[i].opening_proof.0[3].clear()),
        ("empty salt", |p, i| p.opening_proof.1.input_openings[i].opening_proof.0[3][0].clear()),
        ("salt moved to the row", |p, i| {
            let opening = &mut p.opening_proof.1.input_openings[i];
            let element = opening.opening_proof.0[3][0].remove(0);
            opening.opened_values[3][0].push(element);
        }),
        ("no path", |p, i| p.opening_proof.1.input_openings[i].opening_proof.1.sibling_hashes.clear()),
        ("long path", |p, i| {
            p.opening_proof.1.input_openings[i].opening_proof.1.sibling_hashes.push([0; 32]);
        }),
    ];
    for (name, change) in changes {
        for opening in 0..decoded().opening_proof.1.input_openings.len() {
            let mut proof = decoded();
            change(&mut proof, opening);
            let verdict = verify_single(&encode::<SingleCircuit>(&proof));
            assert!(matches!(verdict, Err(Refused::Proof(_))), "{name}, {opening}: {verdict:?}");
        }
    }
}

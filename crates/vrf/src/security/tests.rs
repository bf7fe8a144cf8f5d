use super::*;
use crate::config::Parameters;

/// The numbers that the chapter states.
#[test]
fn a_false_proof_is_this_hard() {
    for rounds in Rounds::all() {
        let security = Security::of_epoch_proof(rounds);
        println!("epoch proof of {rounds}: {security:?}");
        assert_eq!(security, Security { proven_bits: 103, conjectured_bits: 128 }, "{rounds}");
    }
    let security = Security::of_single_proof();
    println!("single proof: {security:?}");
    assert_eq!(security, Security { proven_bits: 57, conjectured_bits: 102 });
}

/// A table hides its contents only if it is longer than what a proof discloses:
/// N ≥ 2·(queries + D·points). The library enforces it; this shows how far the parameters are from it.
#[test]
fn tables_are_longer_than_what_proofs_disclose() {
    fn check<C: Circuit>(circuit: &C, spare: usize) {
        let degree = <C::Challenge as BasedVectorSpace<F>>::DIMENSION;
        let disclosed = 2 * (C::PARAMETERS.queries + degree * ROWS_SEEN);
        assert_eq!((1 << circuit.log_rows()) - disclosed, spare);
    }
    let smallest = vec![Words::default(); Rounds::MIN.count().try_into().unwrap()];
    check(&EpochCircuit::new(Words::default(), smallest.into_iter()), 20);
    check(&SingleCircuit::new(), 2);
}

#[test]
fn the_chapter_states_these_parameters() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/6-vrf.md");
    let chapter = std::fs::read_to_string(path).unwrap();
    let (epoch, single) = (EpochCircuit::PARAMETERS, SingleCircuit::PARAMETERS);
    let proof =
        |p: Parameters| format!("{}, {}, {} bits", 1 << p.log_blowup, p.queries, p.query_grinding_bits);
    let folding = |p: Parameters| {
        let [last, fold, roots] = [p.log_final_polynomial, p.log_arity_max, p.cap_height].map(|log| 1 << log);
        format!("{last} coefficients, {fold} at a time, {roots} roots")
    };
    let (long, short) = (Security::of_epoch_proof(Rounds::MAX), Security::of_single_proof());
    for row in [
        format!("| table | 2(K + 1) rows of {} columns", EpochCircuit::WIDTH),
        format!("| 64 rows of {} columns", SingleCircuit::WIDTH),
        format!("| constraints | {} of degree {} |", EpochCircuit::CONSTRAINTS, EpochCircuit::DEGREE),
        format!("| {} of degree {} |", SingleCircuit::CONSTRAINTS, SingleCircuit::DEGREE),
        format!("| periodic columns | {}, leaves among them", EpochCircuit::PERIODIC_COLUMNS),
        format!("| {} |", SingleCircuit::PERIODIC_COLUMNS),
        format!("| blowup, queries, grinding | {} | {} |", proof(epoch), proof(single)),
        format!("| final polynomial, folding, cap | {} | {} |", folding(epoch), folding(single)),
        format!("| bits proven | {} | {} |", long.proven_bits, short.proven_bits),
        format!("| bits conjectured | {} | {} |", long.conjectured_bits, short.conjectured_bits),
    ] {
        assert!(chapter.contains(&row), "the chapter lacks {row}");
    }
}

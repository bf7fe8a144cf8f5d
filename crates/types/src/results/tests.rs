use super::*;
use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _};

#[test]
fn an_evm_transaction_has_the_hash_that_wallets_know() {
    let evm = EvmRollups::new([RollupId(7), RollupId(2)]);
    assert_eq!(evm.iter().collect::<Vec<_>>(), [RollupId(2), RollupId(7)]);
    let plain = |valid_until| Transaction { valid_until, bundle: None, payload: Bytes::from_static(b"abc") };
    // The well-known Keccak-256 of "abc".
    let hash = "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45";
    assert_eq!(evm.id(RollupId(2), &plain(1)).to_string(), hash);
    assert_eq!(evm.id(RollupId(7), &plain(9)).to_string(), hash, "whatever rollup and validity");
    assert_eq!(evm.id(RollupId(3), &plain(1)), plain(1).id(RollupId(3)));
    let leg = Transaction { bundle: Some(TxId([1; 32])), ..plain(1) };
    assert_eq!(evm.id(RollupId(2), &leg), leg.id(RollupId(2)), "a leg commits to its bundle");
    assert!(!EvmRollups::default().contains(RollupId(0)));
}

#[test]
fn results_are_read_for_exactly_the_rollups_that_are_executed() {
    let result = ExecutionResult {
        executed_to: 9,
        number: 4,
        hash: HexArray([1; 32]),
        state_root: HexArray([2; 32]),
        base_fee: 7,
    };
    assert_eq!(ExecutionResult::decode(result.encode()).unwrap(), result);
    let results = Results::from([(RollupId(2), result), (RollupId(5), ExecutionResult::genesis(3))]);
    let mut bytes = Vec::new();
    write_results(&results, &mut bytes);
    let read = |ids: &[u32]| {
        EvmRollups::new(ids.iter().map(|id| RollupId(*id))).read_results(&mut Copying(&bytes[..]))
    };
    assert_eq!(read(&[2, 5]).unwrap(), results);
    for other in [&[2, 6][..], &[5, 6], &[2, 5, 6]] {
        assert!(read(other).is_err(), "{other:?}");
    }
    assert_eq!(results_root(&Results::new()), EMPTY);
    let moved = Results::from([(RollupId(2), result), (RollupId(6), ExecutionResult::genesis(3))]);
    assert_ne!(results_root(&results), results_root(&moved));
}

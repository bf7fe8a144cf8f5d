use super::{
    super::testing::{contract, rollup},
    *,
};
use crate::testing::Rng;
use alloy_primitives::Address;

/// Many accounts, one with many slots, and code that is shared.
pub fn state() -> State {
    let mut state = State::genesis(rollup(8).evm.as_ref().unwrap());
    let mut changes = Changes::default();
    for index in 0..5_000_u64 {
        let address = Address::from_word(keccak256(index.to_be_bytes()));
        let code = (index % 1_000 == 0).then(|| vec![0x5b; 30].into());
        changes.put(address, index, U256::from(index + 1), code, BTreeMap::new());
    }
    let slots = (0..9_000_u64).map(|slot| (U256::from(slot), U256::from(slot + 1) << (slot % 200)));
    changes.put(contract(0), 1, U256::ZERO, Some(vec![0x5b; 30].into()), slots.collect());
    changes.put(contract(1), 1, U256::ZERO, None, [(U256::ONE, U256::ONE)].into());
    state.apply(&changes).unwrap();
    state
}

fn all<V>(prefix: Prefix, ask: &dyn Fn(Prefix) -> Option<Part<V>>) -> Vec<Part<V>> {
    match ask(prefix) {
        Some(part) => vec![part],
        None => prefix.split().into_iter().flat_map(|longer| all(longer, ask)).collect(),
    }
}

#[test]
fn a_state_moves_in_parts() {
    let state = state();
    let mut download = Download::new(state.root());
    assert_eq!(download.finish().unwrap_err(), DownloadError::AccountsMissing);
    assert!(state.accounts_part(Prefix::ALL).is_none(), "more than one part");
    let (mut storages, mut codes) = (Vec::new(), Vec::new());
    for part in all(Prefix::ALL, &|prefix| state.accounts_part(prefix)) {
        let part = Part::<AccountSummary>::from_bytes(&part.to_bytes()).unwrap();
        let (more_storages, more_codes) = download.accounts(&part).unwrap();
        storages.extend(more_storages);
        codes.extend(more_codes);
    }
    assert_eq!(storages.len(), 2);
    assert!(matches!(
        download.finish(),
        Err(DownloadError::SlotsMissing { .. } | DownloadError::CodeMissing { .. })
    ));
    for key in storages {
        for part in all(Prefix::ALL, &|prefix| state.slots_part(&key, prefix)) {
            download.slots(key, &Part::<U256>::from_bytes(&part.to_bytes()).unwrap()).unwrap();
        }
    }
    assert!(matches!(download.finish(), Err(DownloadError::CodeMissing { .. })));
    codes.iter().for_each(|hash| download.code(state.code(hash).unwrap().original_bytes()).unwrap());
    let moved = download.finish().unwrap();
    assert_eq!((moved.root(), moved.count()), (state.root(), state.count()));
    // It goes on like the original: the count of a shared code is right, too.
    let mut removal = Changes::default();
    removal.put(contract(0), 1, U256::ONE, None, BTreeMap::new());
    let (mut state, mut moved) = (state, moved);
    state.apply(&removal).unwrap();
    moved.apply(&removal).unwrap();
    assert_eq!((moved.root(), moved.count()), (state.root(), state.count()));
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let state = state();
    let mut download = Download::new(B256::repeat_byte(1));
    let part = state.accounts_part(Prefix::ALL.split()[0]).unwrap();
    assert!(matches!(download.accounts(&part), Err(DownloadError::Part(_))));
    let mut download = Download::new(state.root());
    let key = keccak256(contract(1));
    let slots = state.slots_part(&key, Prefix::ALL).unwrap();
    assert_eq!(download.slots(key, &slots), Err(DownloadError::UnknownAccount { key }));
    let code_hash = keccak256([1]);
    assert_eq!(download.code(vec![1].into()), Err(DownloadError::UnwantedCode { code_hash }));
    assert!(state.slots_part(&B256::ZERO, Prefix::ALL).is_none());
}

/// Mutants neither panic nor verify, unless they are the same.
#[test]
fn damaged_parts_never_verify() {
    let state = state();
    let prefix = Prefix::new(keccak256(contract(0)), 2).unwrap();
    let part = state.accounts_part(prefix).unwrap();
    let bytes = part.to_bytes();
    let mut rng = Rng::new(1);
    for _ in 0..4_000 {
        let mut mutant = bytes.clone();
        let at = rng.below(mutant.len());
        match rng.below(3) {
            0 => mutant[at] ^= 1 << rng.below(8),
            1 => mutant.truncate(at),
            _ => mutant.insert(at, rng.next().to_be_bytes()[0]),
        }
        if let Ok(other) = Part::<AccountSummary>::from_bytes(&mutant) {
            assert_eq!(other.to_bytes(), mutant);
            assert!(other.verify(&state.root()).is_err(), "byte {at}");
        }
    }
}

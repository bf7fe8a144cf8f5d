use super::{
    super::testing::{Oracle, STORE, contract, rollup},
    *,
};
use alloy_trie::{Nibbles, proof::verify_proof};

fn code() -> Bytes {
    Bytes::from_static(STORE)
}

fn with(address: Address, code: Option<Bytes>, slots: &[(u64, u64)]) -> Changes {
    let mut changes = Changes::default();
    let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
    changes.put(address, 1, U256::from(9), code, slots.collect());
    changes
}

fn gone(address: Address) -> Changes {
    let change = super::super::AccountChange { wiped: true, ..Default::default() };
    Changes { accounts: [(address, change)].into(), ..Changes::default() }
}

#[test]
fn system_contracts_are_where_the_genesis_forbids_others() {
    let named = baton_types::genesis::evm::SYSTEM_CONTRACTS.map(|address| Address::from(address.0));
    assert_eq!(system_contracts().map(|(address, _)| address), named);
}

#[test]
fn block_0_has_the_root_of_its_accounts() {
    let rollup = rollup(5);
    let state = State::genesis(rollup.evm.as_ref().unwrap());
    assert_eq!(state.root(), Oracle::genesis(&rollup).root());
    assert_eq!(state.count(), (5 + 6 + 4, 0, 6 + 4));
    assert_eq!(State::default().root(), EMPTY_ROOT_HASH);
}

#[test]
fn snapshots_do_not_see_each_other() {
    let mut state = State::default();
    state.apply(&with(contract(0), Some(code()), &[(1, 5)])).unwrap();
    let (before, root) = (state.snapshot(), state.root());
    state.apply(&with(contract(0), None, &[(1, 6)])).unwrap();
    assert_eq!(before.storage(&contract(0), U256::ONE), U256::from(5));
    assert_eq!(state.storage(&contract(0), U256::ONE), U256::from(6));
    assert_eq!(before.root(), root);
    assert_ne!(state.root(), root);
}

/// Code goes with the last account that has it, and what is left is as if it had never been.
#[test]
fn code_is_counted() {
    let mut state = State::default();
    let hash = keccak256(STORE);
    state.apply(&with(contract(0), Some(code()), &[])).unwrap();
    let one = state.root();
    state.apply(&with(contract(1), Some(code()), &[])).unwrap();
    state.apply(&with(contract(1), Some(code()), &[])).unwrap();
    assert_eq!(state.count(), (2, 0, 1));
    state.apply(&gone(contract(1))).unwrap();
    assert_eq!((state.count(), state.root()), ((1, 0, 1), one));
    assert!(state.code(&hash).is_some());
    state.apply(&with(contract(0), None, &[])).unwrap();
    assert!(state.code(&hash).is_none());
    state.apply(&gone(contract(0))).unwrap();
    state.apply(&gone(contract(0))).unwrap();
    assert_eq!((state.count(), state.root()), ((0, 0, 0), EMPTY_ROOT_HASH));
}

/// The last account with a code loses it in the very changes in which another one gets it.
#[test]
fn code_moves_between_accounts() {
    let mut state = State::default();
    state.apply(&with(contract(0), Some(code()), &[])).unwrap();
    let mut changes = gone(contract(0));
    changes.accounts.extend(with(contract(1), Some(code()), &[]).accounts);
    assert!(changes.codes.is_empty());
    state.apply(&changes).unwrap();
    assert_eq!(state.count(), (1, 0, 1));
}

#[test]
fn changes_that_do_not_fit_change_nothing() {
    let mut state = State::default();
    state.apply(&with(contract(0), Some(code()), &[(1, 5)])).unwrap();
    let root = state.root();
    let mut unknown = with(contract(1), Some(Bytes::from_static(&[1])), &[]);
    let code_hash = keccak256([1]);
    unknown.codes.clear();
    let mut wrong = with(contract(1), Some(code()), &[]);
    wrong.codes.insert(B256::ZERO, code());
    let delegation = Bytes::from_static(&[0xef, 0x01, 0x00, 0x05]);
    let bad = with(contract(1), Some(delegation.clone()), &[]);
    let mut nobody = gone(contract(0));
    nobody.accounts.get_mut(&contract(0)).unwrap().slots.insert(U256::ONE, U256::ONE);
    let rows = [
        (unknown, Misfit::UnknownCode { address: contract(1), code_hash }),
        (wrong, Misfit::WrongCode { named: B256::ZERO, actual: keccak256(STORE) }),
        (bad, Misfit::BadCode { code_hash: keccak256(delegation) }),
        (nobody, Misfit::StorageOfNobody { address: contract(0) }),
    ];
    for (mut changes, misfit) in rows {
        // Something good before it, which must not stay either.
        changes
            .accounts
            .insert(Address::ZERO, with(Address::ZERO, None, &[]).accounts[&Address::ZERO].clone());
        assert_eq!(state.apply(&changes), Err(misfit));
        assert_eq!(state.root(), root);
    }
}

#[test]
fn proofs_verify_with_another_library() {
    let mut state = State::genesis(rollup(20).evm.as_ref().unwrap());
    let slots: Vec<_> = (1..40).map(|slot| (slot, slot * slot)).collect();
    state.apply(&with(contract(0), Some(code()), &slots)).unwrap();
    for address in [contract(0), contract(1), Address::repeat_byte(0x99)] {
        let proof = state.prove(address, &[U256::from(3), U256::from(77)]);
        let account = state.account(&address).map(|facts| {
            let AccountFacts { nonce, balance, code_hash } = *facts;
            let storage_root = proof.storage_root;
            alloy_rlp::encode(TrieAccount { nonce, balance, storage_root, code_hash })
        });
        let path = Nibbles::unpack(keccak256(address));
        verify_proof(state.root(), path, account, &proof.nodes).unwrap();
        for slot in &proof.slots {
            assert_eq!(slot.value, state.storage(&address, slot.slot));
            let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
            let path = Nibbles::unpack(slot_key(slot.slot));
            verify_proof(proof.storage_root, path, value, &slot.nodes).unwrap();
        }
    }
    assert_eq!(state.prove(contract(0), &[U256::from(3)]).slots[0].value, U256::from(9));
}

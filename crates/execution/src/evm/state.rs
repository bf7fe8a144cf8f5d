//! The accounts of an EVM rollup: balances, nonces, code and storage under one root.
//!
//! A [`State`] is a value. Its clone is a snapshot that shares everything and costs nothing; applying
//! [`Changes`] to one leaves the others as they were.
//!
//! Code is held once per hash with the number of accounts that have it, so that code which nobody has
//! any more is gone. What a state holds therefore follows from its accounts alone, however it came about.

use super::{
    changes::{AccountFacts, Changes},
    trie::{Trie, Value},
};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable as _;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use baton_types::genesis::evm::Evm;
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;
use thiserror::Error;

#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) accounts: Trie<Account>,
    codes: Trie<Code>,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub facts: AccountFacts,
    pub storage: Trie<U256>,
}

#[derive(Clone, Debug)]
struct Code {
    bytecode: Bytecode,
    accounts: u64,
}

impl Value for U256 {
    fn rlp(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

impl Value for Account {
    fn rlp(&self, out: &mut Vec<u8>) {
        let AccountFacts { nonce, balance, code_hash } = self.facts;
        TrieAccount { nonce, balance, storage_root: self.storage.root(), code_hash }.encode(out);
    }
}

/// Changes that do not fit the state. Blocks never make such; bytes from a disk or a peer may.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Misfit {
    #[error("account {address} has code {code_hash}, which neither the state nor the changes hold")]
    UnknownCode { address: Address, code_hash: B256 },
    #[error("code under {named} hashes to {actual}")]
    WrongCode { named: B256, actual: B256 },
    #[error("code {code_hash} begins like a delegation (EIP-7702) and is none")]
    BadCode { code_hash: B256 },
    #[error("account {address} is removed and yet given storage")]
    StorageOfNobody { address: Address },
}

/// An account with proofs of it and of some of its slots (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    pub address: Address,
    /// As if empty when there is no such account; the proof then shows its absence.
    pub facts: AccountFacts,
    pub storage_root: B256,
    pub nodes: Vec<Bytes>,
    pub slots: Vec<SlotProof>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    pub slot: U256,
    pub value: U256,
    pub nodes: Vec<Bytes>,
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

impl State {
    /// Block 0: the genesis' accounts and the system contracts.
    pub fn genesis(evm: &Evm) -> Self {
        let mut changes = Changes::default();
        for (address, account) in &evm.alloc {
            let code = account.code.as_ref().map(|code| Bytes::copy_from_slice(&code.0));
            let storage = account
                .storage
                .iter()
                .map(|(slot, value)| (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0)));
            let balance = U256::from(account.balance);
            changes.put(Address::from(address.0), account.nonce, balance, code, storage.collect());
        }
        for (address, code) in system_contracts() {
            changes.put(address, 1, U256::ZERO, Some(code), BTreeMap::new());
        }
        let mut state = Self::default();
        state.apply(&changes).expect("every code is in the changes");
        state
    }

    /// Shares everything with `self`; neither sees what happens to the other.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    pub fn account(&self, address: &Address) -> Option<&AccountFacts> {
        self.accounts.get(&keccak256(address)).map(|account| &account.facts)
    }

    /// Whether it has code of its own, so that it cannot sign (EIP-3607); who delegates to code can.
    pub fn is_contract(&self, address: &Address) -> bool {
        let code = self.account(address).and_then(|facts| self.code(&facts.code_hash));
        code.is_some_and(|code| !code.is_empty() && !code.is_eip7702())
    }

    pub fn storage(&self, address: &Address, slot: U256) -> U256 {
        let Some(account) = self.accounts.get(&keccak256(address)) else { return U256::ZERO };
        if account.storage.is_empty() {
            return U256::ZERO;
        }
        account.storage.get(&slot_key(slot)).copied().unwrap_or_default()
    }

    pub fn code(&self, code_hash: &B256) -> Option<&Bytecode> {
        self.codes.get(code_hash).map(|code| &code.bytecode)
    }

    /// All code, each once.
    pub(super) fn codes(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.codes.iter().map(|(_, code)| code.bytecode.original_bytes())
    }

    pub fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// Applies all changes or, with an error, none.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Misfit> {
        let mut next = self.clone();
        for (named, code) in &changes.codes {
            let actual = keccak256(code);
            if actual != *named {
                return Err(Misfit::WrongCode { named: *named, actual });
            }
        }
        // Released at the end only: another account may take the same code over.
        let mut released = Vec::new();
        for (address, change) in &changes.accounts {
            let key = keccak256(address);
            let before = next.accounts.get(&key);
            let old_code = before.map_or(KECCAK256_EMPTY, |account| account.facts.code_hash);
            let Some(facts) = change.facts else {
                if !change.slots.is_empty() {
                    return Err(Misfit::StorageOfNobody { address: *address });
                }
                next.accounts.remove(&key);
                released.push(old_code);
                continue;
            };
            let mut storage = match before {
                Some(account) if !change.wiped => account.storage.clone(),
                _ => Trie::default(),
            };
            for (slot, value) in &change.slots {
                if value.is_zero() {
                    storage.remove(&slot_key(*slot));
                } else {
                    storage.insert(slot_key(*slot), *value);
                }
            }
            next.accounts.insert(key, Account { facts, storage });
            if facts.code_hash != old_code {
                next.retain(*address, facts.code_hash, changes)?;
                released.push(old_code);
            }
        }
        released.iter().for_each(|code_hash| next.release(code_hash));
        *self = next;
        Ok(())
    }

    fn retain(&mut self, address: Address, code_hash: B256, changes: &Changes) -> Result<(), Misfit> {
        let bytes = changes.codes.get(&code_hash);
        self.retain_code(code_hash, bytes).map_err(|()| match bytes {
            None => Misfit::UnknownCode { address, code_hash },
            Some(_) => Misfit::BadCode { code_hash },
        })
    }

    /// One more account has this code. Fails when the state has no such code and `bytes` are none.
    pub(super) fn retain_code(&mut self, code_hash: B256, bytes: Option<&Bytes>) -> Result<(), ()> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(());
        }
        let code = match self.codes.get(&code_hash) {
            Some(code) => Code { accounts: code.accounts + 1, ..code.clone() },
            None => {
                let bytecode = Bytecode::new_raw_checked(bytes.ok_or(())?.clone()).map_err(|_| ())?;
                Code { bytecode, accounts: 1 }
            }
        };
        self.codes.insert(code_hash, code);
        Ok(())
    }

    fn release(&mut self, code_hash: &B256) {
        match self.codes.get(code_hash) {
            Some(code) if code.accounts > 1 => {
                let code = Code { accounts: code.accounts - 1, ..code.clone() };
                self.codes.insert(*code_hash, code);
            }
            Some(_) => self.codes.remove(code_hash),
            None => {}
        }
    }

    pub fn prove(&self, address: Address, slots: &[U256]) -> AccountProof {
        let key = keccak256(address);
        let account = self.accounts.get(&key);
        let slots = slots.iter().map(|slot| {
            let key = slot_key(*slot);
            let storage = account.map(|account| &account.storage);
            SlotProof {
                slot: *slot,
                value: storage.and_then(|storage| storage.get(&key)).copied().unwrap_or_default(),
                nodes: storage.map(|storage| storage.prove(&key)).unwrap_or_default(),
            }
        });
        AccountProof {
            address,
            facts: account.map_or_else(AccountFacts::default, |account| account.facts),
            storage_root: account.map_or(EMPTY_ROOT_HASH, |account| account.storage.root()),
            nodes: self.accounts.prove(&key),
            slots: slots.collect(),
        }
    }

    /// Accounts, storage slots and different codes; walks everything.
    pub fn count(&self) -> (u64, u64, u64) {
        let (mut accounts, mut slots) = (0, 0);
        for (_, account) in self.accounts.iter() {
            accounts += 1;
            slots += account.storage.iter().count() as u64;
        }
        let codes = self.codes.iter().count() as u64;
        (accounts, slots, codes)
    }
}

/// Address and code of the contracts that Prague calls around every block.
pub fn system_contracts() -> [(Address, Bytes); 4] {
    [
        (eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()),
        (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
        (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
        ),
    ]
}

#[cfg(test)]
mod tests;

//! A state with changes on top, as the virtual machine reads and writes it while a block is executed.

use super::{
    changes::{AccountChange, AccountFacts, Changes},
    hashes::{self, RecentHashes},
    state::State,
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, map::AddressMap};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    state::{Account, AccountInfo},
};
use std::{collections::BTreeMap, convert::Infallible};

#[derive(Debug)]
pub struct Overlay {
    base: State,
    /// None: as the state itself has them.
    hashes: Option<RecentHashes>,
    entries: BTreeMap<Address, Entry>,
    codes: BTreeMap<B256, Bytecode>,
    /// What a bundle has done so far, oldest first.
    undo: Option<Vec<Undo>>,
}

/// How an account was before one commit.
#[derive(Debug)]
struct Undo {
    address: Address,
    now: Option<AccountFacts>,
    wiped: bool,
    /// All slots, where the commit wiped them.
    slots: Option<BTreeMap<U256, Slot>>,
    /// Otherwise those it wrote.
    written: Vec<(U256, U256)>,
}

/// An account that was read or written.
#[derive(Clone, Debug)]
struct Entry {
    before: Option<AccountFacts>,
    now: Option<AccountFacts>,
    /// Slots that are not listed are zero, whatever the base says.
    wiped: bool,
    slots: BTreeMap<U256, Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    before: U256,
    now: U256,
}

impl Entry {
    fn load(base: &State, address: &Address) -> Self {
        let facts = base.account(address).copied();
        Self { before: facts, now: facts, wiped: false, slots: BTreeMap::new() }
    }

    /// Returns what was known of the slots.
    fn wipe(&mut self) -> BTreeMap<U256, Slot> {
        self.wiped = true;
        std::mem::take(&mut self.slots)
    }

    fn slot<'a>(&'a mut self, base: &State, address: &Address, slot: U256) -> &'a mut Slot {
        let empty = self.wiped || self.before.is_none();
        self.slots.entry(slot).or_insert_with(|| {
            let before = if empty { U256::ZERO } else { base.storage(address, slot) };
            Slot { before, now: before }
        })
    }

    /// None when nothing is different.
    fn change(&self) -> Option<AccountChange> {
        let Some(facts) = self.now else {
            return self.before.map(|_| AccountChange { wiped: true, ..AccountChange::default() });
        };
        let wiped = self.wiped && self.before.is_some();
        let changed = self.slots.iter().filter(|(_, slot)| slot.now != slot.before);
        let slots: BTreeMap<_, _> = changed.map(|(key, slot)| (*key, slot.now)).collect();
        let same = self.before == Some(facts) && !wiped && slots.is_empty();
        (!same).then_some(AccountChange { facts: Some(facts), wiped, slots })
    }
}

impl Overlay {
    pub const fn new(base: State, hashes: Option<RecentHashes>) -> Self {
        Self { base, hashes, entries: BTreeMap::new(), codes: BTreeMap::new(), undo: None }
    }

    fn entry(&mut self, address: Address) -> &mut Entry {
        self.entries.entry(address).or_insert_with(|| Entry::load(&self.base, &address))
    }

    /// From here on everything can be taken back.
    pub fn begin(&mut self) {
        self.undo = Some(Vec::new());
    }

    pub fn keep(&mut self) {
        self.undo = None;
    }

    /// What was read in between stays known, and is what it was.
    pub fn take_back(&mut self) {
        for Undo { address, now, wiped, slots, written } in self.undo.take().into_iter().flatten().rev() {
            let Self { base, entries, .. } = self;
            let entry = entries.entry(address).or_insert_with(|| Entry::load(base, &address));
            (entry.now, entry.wiped) = (now, wiped);
            match slots {
                Some(slots) => entry.slots = slots,
                None => written.iter().for_each(|(slot, now)| entry.slot(base, &address, *slot).now = *now),
            }
        }
    }

    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (address, entry) in &self.entries {
            let Some(change) = entry.change() else { continue };
            if let Some(facts) = &change.facts
                && self.base.code(&facts.code_hash).is_none()
                && let Some(code) = self.codes.get(&facts.code_hash)
            {
                changes.codes.insert(facts.code_hash, code.original_bytes());
            }
            changes.accounts.insert(*address, change);
        }
        changes
    }
}

/// As the virtual machine has it; its code, where it has any, is asked for by its hash.
pub(super) fn account_info(AccountFacts { nonce, balance, code_hash }: AccountFacts) -> AccountInfo {
    AccountInfo {
        nonce,
        balance,
        code_hash,
        code: (code_hash == KECCAK256_EMPTY).then(Bytecode::default),
        ..AccountInfo::default()
    }
}

impl Database for Overlay {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.entry(address).now.map(account_info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Infallible> {
        let code = self.codes.get(&code_hash).or_else(|| self.base.code(&code_hash));
        Ok(code.expect("a state holds the code of all its accounts").clone())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let Self { base, entries, .. } = self;
        let entry = entries.entry(address).or_insert_with(|| Entry::load(base, &address));
        Ok(entry.slot(base, &address, slot).now)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        Ok(match &self.hashes {
            Some(hashes) => hashes.get(number).unwrap_or_default(),
            None => hashes::in_state(&self.base, number),
        })
    }
}

impl DatabaseCommit for Overlay {
    /// The order does not matter: each account is written by itself.
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            if account.is_touched() {
                self.commit_account(address, &account);
            }
        }
    }
}

impl Overlay {
    fn commit_account(&mut self, address: Address, account: &Account) {
        let Self { base, entries, codes, undo, .. } = self;
        let entry = entries.entry(address).or_insert_with(|| Entry::load(base, &address));
        let (now, wiped) = (entry.now, entry.wiped);
        let gone = account.is_selfdestructed() || account.is_empty();
        let slots = (gone || account.is_created()).then(|| entry.wipe());
        let mut written = Vec::new();
        if gone {
            entry.now = None;
        } else {
            let AccountInfo { nonce, balance, code_hash, code, .. } = &account.info;
            if *code_hash != KECCAK256_EMPTY
                && now.is_none_or(|facts| facts.code_hash != *code_hash)
                && let Some(code) = code
            {
                codes.insert(*code_hash, code.clone());
            }
            entry.now = Some(AccountFacts { nonce: *nonce, balance: *balance, code_hash: *code_hash });
            for (key, value) in account.changed_storage_slots() {
                let slot = entry.slot(base, &address, *key);
                if undo.is_some() {
                    written.push((*key, slot.now));
                }
                slot.now = value.present_value();
            }
        }
        if let Some(undo) = undo {
            undo.push(Undo { address, now, wiped, slots, written });
        }
    }
}

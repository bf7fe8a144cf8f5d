//! What a block changes in the state, as a value with one encoding (specs/10-evm.md §6).

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use bytes::{BufMut, Bytes as RawBytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write, varint::UInt};
use std::collections::BTreeMap;

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
}

impl Default for AccountFacts {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// None: the account is gone.
    pub facts: Option<AccountFacts>,
    /// All storage it had before is gone.
    pub wiped: bool,
    /// New values; zero removes.
    pub slots: BTreeMap<U256, U256>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub accounts: BTreeMap<Address, AccountChange>,
    /// By hash; may hold code that the state has already.
    pub codes: BTreeMap<B256, Bytes>,
}

impl Changes {
    /// Most accounts of one encoding, most slots of one account and most codes.
    pub const ENTRIES_MAX: usize = 1 << 22;
    /// Longest code; the init code limit is above what can be deployed.
    pub const CODE_BYTES_MAX: usize = 49_152;

    /// An account as a whole.
    pub fn put(
        &mut self,
        address: Address,
        nonce: u64,
        balance: U256,
        code: Option<Bytes>,
        slots: BTreeMap<U256, U256>,
    ) {
        let code_hash = code.as_ref().map_or(KECCAK256_EMPTY, keccak256);
        self.codes.extend(code.map(|code| (code_hash, code)));
        let facts = Some(AccountFacts { nonce, balance, code_hash });
        self.accounts.insert(address, AccountChange { facts, wiped: true, slots });
    }

    /// `later` happens after `self`.
    pub fn merge(&mut self, later: Self) {
        for (address, change) in later.accounts {
            let entry = self.accounts.entry(address).or_default();
            entry.facts = change.facts;
            if change.wiped || change.facts.is_none() {
                entry.wiped = true;
                entry.slots = change.slots;
            } else {
                entry.slots.extend(change.slots);
            }
        }
        self.codes.extend(later.codes);
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

/// Big-endian without leading zeros, behind its length in one byte.
pub(super) struct Number(pub U256);

impl Number {
    fn size(&self) -> usize {
        self.0.byte_len()
    }
}

impl Write for Number {
    fn write(&self, buf: &mut impl BufMut) {
        let bytes = self.0.to_be_bytes::<32>();
        let size = self.size();
        u8::try_from(size).expect("at most 32").write(buf);
        buf.put_slice(&bytes[32 - size..]);
    }
}

impl EncodeSize for Number {
    fn encode_size(&self) -> usize {
        1 + self.size()
    }
}

impl Read for Number {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let size = usize::from(u8::read(buf)?);
        if size > 32 {
            return Err(Error::Invalid("Number", "longer than 32 bytes"));
        }
        if buf.remaining() < size {
            return Err(Error::EndOfBuffer);
        }
        let mut bytes = [0; 32];
        buf.copy_to_slice(&mut bytes[32 - size..]);
        if size > 0 && bytes[32 - size] == 0 {
            return Err(Error::Invalid("Number", "begins with zero"));
        }
        Ok(Self(U256::from_be_bytes(bytes)))
    }
}

/// A map in ascending order of key.
fn read_map<K: Ord, V, B: Buf>(
    buf: &mut B,
    mut entry: impl FnMut(&mut B) -> Result<(K, V), Error>,
) -> Result<BTreeMap<K, V>, Error> {
    let count: u64 = UInt::read(buf)?.into();
    if count > Changes::ENTRIES_MAX as u64 {
        return Err(Error::Invalid("Changes", "too many entries"));
    }
    let mut map = BTreeMap::new();
    for _ in 0..count {
        let (key, value) = entry(buf)?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Error::Invalid("Changes", "keys out of order"));
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn write_count(count: usize, buf: &mut impl BufMut) {
    UInt(count as u64).write(buf);
}

fn count_size(count: usize) -> usize {
    UInt(count as u64).encode_size()
}

const GONE: u8 = 0;
const FACTS: u8 = 1;
const CODE: u8 = 2;
const WIPED: u8 = 4;

impl AccountChange {
    /// What follows the address.
    fn flags(&self) -> u8 {
        let wiped = if self.wiped { WIPED } else { 0 };
        match &self.facts {
            None => GONE | wiped,
            Some(facts) if facts.code_hash == KECCAK256_EMPTY => FACTS | wiped,
            Some(_) => FACTS | CODE | wiped,
        }
    }
}

impl Write for AccountChange {
    fn write(&self, buf: &mut impl BufMut) {
        let flags = self.flags();
        flags.write(buf);
        if let Some(facts) = &self.facts {
            UInt(facts.nonce).write(buf);
            Number(facts.balance).write(buf);
            if flags & CODE != 0 {
                facts.code_hash.0.write(buf);
            }
        }
        write_count(self.slots.len(), buf);
        for (slot, value) in &self.slots {
            Number(*slot).write(buf);
            Number(*value).write(buf);
        }
    }
}

impl EncodeSize for AccountChange {
    fn encode_size(&self) -> usize {
        let facts = self.facts.as_ref().map_or(0, |facts| {
            let code = if self.flags() & CODE == 0 { 0 } else { 32 };
            UInt(facts.nonce).encode_size() + Number(facts.balance).encode_size() + code
        });
        let slots = self.slots.iter();
        let slots: usize = slots.map(|(slot, value)| 2 + slot.byte_len() + value.byte_len()).sum();
        1 + facts + count_size(self.slots.len()) + slots
    }
}

impl Read for AccountChange {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let flags = u8::read(buf)?;
        let facts = match flags & !WIPED {
            GONE => None,
            kind @ (FACTS | 3) => {
                let nonce = UInt::read(buf)?.into();
                let balance = Number::read(buf)?.0;
                let code_hash =
                    if kind == FACTS { KECCAK256_EMPTY } else { B256::from(<[u8; 32]>::read(buf)?) };
                if kind != FACTS && code_hash == KECCAK256_EMPTY {
                    return Err(Error::Invalid("AccountChange", "the hash of no code is left out"));
                }
                Some(AccountFacts { nonce, balance, code_hash })
            }
            _ => return Err(Error::Invalid("AccountChange", "unknown flags")),
        };
        let slots = read_map(buf, |buf| Ok((Number::read(buf)?.0, Number::read(buf)?.0)))?;
        Ok(Self { facts, wiped: flags & WIPED != 0, slots })
    }
}

impl Write for Changes {
    fn write(&self, buf: &mut impl BufMut) {
        write_count(self.accounts.len(), buf);
        for (address, change) in &self.accounts {
            address.0.0.write(buf);
            change.write(buf);
        }
        write_count(self.codes.len(), buf);
        for (hash, code) in &self.codes {
            hash.0.write(buf);
            code.0.write(buf);
        }
    }
}

impl EncodeSize for Changes {
    fn encode_size(&self) -> usize {
        let accounts: usize = self.accounts.values().map(|change| 20 + change.encode_size()).sum();
        let codes: usize = self.codes.values().map(|code| 32 + code.0.encode_size()).sum();
        count_size(self.accounts.len()) + accounts + count_size(self.codes.len()) + codes
    }
}

impl Read for Changes {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let accounts =
            read_map(buf, |buf| Ok((Address::from(<[u8; 20]>::read(buf)?), AccountChange::read(buf)?)))?;
        let codes = read_map(buf, |buf| {
            let hash = B256::from(<[u8; 32]>::read(buf)?);
            let code = RawBytes::read_cfg(buf, &RangeCfg::new(0..=Self::CODE_BYTES_MAX))?;
            Ok((hash, Bytes(code)))
        })?;
        Ok(Self { accounts, codes })
    }
}

#[cfg(test)]
mod tests;

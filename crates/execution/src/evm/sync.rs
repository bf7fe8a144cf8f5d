//! Moving a whole state to another node, in parts that each verify by themselves.
//!
//! ```text
//!  Wish ─► Past::piece ─► Piece ─► Fetch: which wishes are open, who was asked for what
//!                                    └─► Download: accounts   every part against the state root
//!                                                  slots      every part against the account's storage root
//!                                                  code       by its hash
//!                                                  finish ──► State, or what is still missing
//! ```
//!
//! Whoever serves answers from any state it keeps. When a part would be too large it says so, and the other side
//! asks for the sixteen longer prefixes. Parts of several servers mix; one that lies is found at its first part.

mod fetch;

pub use fetch::{Fetch, Lie, Wish};

use super::{
    chain::Past,
    changes::{AccountFacts, Changes, Number},
    state::{Account, State},
    trie::{
        Trie, Value,
        part::{Part, PartError, Prefix},
    },
};
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable as _;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use bytes::{Buf as _, BufMut, Bytes as RawBytes};
use commonware_codec::{Copying, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write, varint::UInt};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Most leaves of one part.
pub const PART_LEAVES_MAX: usize = 4_096;
/// An extension and a branch per nibble at most.
const NODES_MAX: usize = 128;
/// A branch of sixteen hashes has 532.
const NODE_BYTES_MAX: usize = 600;

/// An account as the state's trie holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    pub facts: AccountFacts,
    pub storage_root: B256,
}

impl Value for AccountSummary {
    fn rlp(&self, out: &mut Vec<u8>) {
        let AccountFacts { nonce, balance, code_hash } = self.facts;
        TrieAccount { nonce, balance, storage_root: self.storage_root, code_hash }.encode(out);
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum DownloadError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("no account under {key} was downloaded yet")]
    UnknownAccount { key: B256 },
    #[error("no account has code {code_hash}, or it is no code")]
    UnwantedCode { code_hash: B256 },
    #[error("parts of the accounts are missing")]
    AccountsMissing,
    #[error("parts of the storage of account {key} are missing")]
    SlotsMissing { key: B256 },
    #[error("code {code_hash} is missing")]
    CodeMissing { code_hash: B256 },
    #[error("the header of the state's block is missing")]
    HeaderMissing,
}

/// Longest piece.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// What answers a [`Wish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A header in RLP, a part, or code.
    Whole(RawBytes),
    /// There is more than a part holds: ask for the sixteen longer prefixes.
    Split,
}

impl Past {
    /// None when there is no such account or code.
    pub fn piece(&self, wish: &Wish) -> Option<Piece> {
        let whole = |part: Option<Vec<u8>>| part.map_or(Piece::Split, |bytes| Piece::Whole(bytes.into()));
        Some(match wish {
            Wish::Header => Piece::Whole(alloy_rlp::encode(&self.header).into()),
            Wish::Accounts(prefix) => whole(self.state.accounts_part(*prefix).map(|part| part.to_bytes())),
            Wish::Slots(key, prefix) => {
                let storage = &self.state.accounts.get(key)?.storage;
                whole(storage.part(*prefix, PART_LEAVES_MAX).map(|part| part.to_bytes()))
            }
            Wish::Code(hash) => Piece::Whole(self.state.code(hash)?.original_bytes().0),
        })
    }
}

impl State {
    /// None when it would be larger than [`PART_LEAVES_MAX`].
    pub fn accounts_part(&self, prefix: Prefix) -> Option<Part<AccountSummary>> {
        let Part { prefix, nodes, leaves } = self.accounts.part(prefix, PART_LEAVES_MAX)?;
        let summary =
            |account: &Account| AccountSummary { facts: account.facts, storage_root: account.storage.root() };
        let leaves = leaves.iter().map(|(key, account)| (*key, summary(account))).collect();
        Some(Part { prefix, nodes, leaves })
    }

    /// Of the account whose address hashes to `key`; none also when there is no such account.
    pub fn slots_part(&self, key: &B256, prefix: Prefix) -> Option<Part<U256>> {
        self.accounts.get(key)?.storage.part(prefix, PART_LEAVES_MAX)
    }
}

/// A state that is being put together.
#[derive(Debug)]
pub struct Download {
    root: B256,
    accounts: Trie<AccountSummary>,
    slots: BTreeMap<B256, Trie<U256>>,
    /// Hashes of the code that accounts have.
    wanted: BTreeSet<B256>,
    codes: BTreeMap<B256, Bytes>,
}

impl Download {
    pub fn new(root: B256) -> Self {
        Self {
            root,
            accounts: Trie::default(),
            slots: BTreeMap::new(),
            wanted: BTreeSet::new(),
            codes: BTreeMap::new(),
        }
    }

    /// Returns what is to be asked for now, too: accounts with storage, and hashes of code.
    pub fn accounts(&mut self, part: &Part<AccountSummary>) -> Result<(Vec<B256>, Vec<B256>), DownloadError> {
        part.verify(&self.root)?;
        let (mut storages, mut codes) = (Vec::new(), Vec::new());
        for (key, summary) in &part.leaves {
            if summary.storage_root != EMPTY_ROOT_HASH {
                storages.push(*key);
            }
            let code_hash = summary.facts.code_hash;
            if code_hash != KECCAK256_EMPTY && self.wanted.insert(code_hash) {
                codes.push(code_hash);
            }
            self.accounts.insert(*key, *summary);
        }
        Ok((storages, codes))
    }

    pub fn slots(&mut self, key: B256, part: &Part<U256>) -> Result<(), DownloadError> {
        let summary = self.accounts.get(&key).ok_or(DownloadError::UnknownAccount { key })?;
        part.verify(&summary.storage_root)?;
        let slots = self.slots.entry(key).or_default();
        part.leaves.iter().for_each(|(slot, value)| slots.insert(*slot, *value));
        Ok(())
    }

    /// Keeps code of at most [`Changes::CODE_BYTES_MAX`].
    pub fn code(&mut self, code: Bytes) -> Result<(), DownloadError> {
        let code_hash = keccak256(&code);
        if !self.wanted.contains(&code_hash) || code.len() > Changes::CODE_BYTES_MAX {
            return Err(DownloadError::UnwantedCode { code_hash });
        }
        self.codes.insert(code_hash, code);
        Ok(())
    }

    pub fn finish(&self) -> Result<State, DownloadError> {
        if self.accounts.root() != self.root {
            return Err(DownloadError::AccountsMissing);
        }
        let mut state = State::default();
        for (key, summary) in self.accounts.iter() {
            self.finish_account(*key, summary, &mut state)?;
        }
        Ok(state)
    }

    fn finish_account(
        &self,
        key: B256,
        summary: &AccountSummary,
        state: &mut State,
    ) -> Result<(), DownloadError> {
        let storage = self.slots.get(&key).cloned().unwrap_or_default();
        if storage.root() != summary.storage_root {
            return Err(DownloadError::SlotsMissing { key });
        }
        let code_hash = summary.facts.code_hash;
        let code = self.codes.get(&code_hash);
        state.retain_code(code_hash, code).map_err(|_| match code {
            None => DownloadError::CodeMissing { code_hash },
            Some(_) => DownloadError::UnwantedCode { code_hash },
        })?;
        state.accounts.insert(key, Account { facts: summary.facts, storage });
        Ok(())
    }
}

impl Write for Piece {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Whole(bytes) => {
                buf.put_u8(0);
                bytes.write(buf);
            }
            Self::Split => buf.put_u8(1),
        }
    }
}

impl EncodeSize for Piece {
    fn encode_size(&self) -> usize {
        match self {
            Self::Whole(bytes) => 1 + bytes.encode_size(),
            Self::Split => 1,
        }
    }
}

impl Read for Piece {
    type Cfg = ();

    fn read_cfg(buf: &mut impl commonware_codec::Buf, (): &()) -> Result<Self, Error> {
        Ok(match u8::read(buf)? {
            0 => Self::Whole(RawBytes::read_cfg(buf, &RangeCfg::new(0..=PIECE_BYTES_MAX))?),
            1 => Self::Split,
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

/// What leaves are made of, in bytes.
trait Payload: Sized {
    fn write(&self, buf: &mut Vec<u8>);
    fn read(buf: &mut impl commonware_codec::Buf) -> Result<Self, Error>;
}

impl Payload for U256 {
    fn write(&self, buf: &mut Vec<u8>) {
        Number(*self).write(buf);
    }

    fn read(buf: &mut impl commonware_codec::Buf) -> Result<Self, Error> {
        Number::read(buf).map(|number| number.0)
    }
}

impl Payload for AccountSummary {
    fn write(&self, buf: &mut Vec<u8>) {
        UInt(self.facts.nonce).write(buf);
        Number(self.facts.balance).write(buf);
        self.facts.code_hash.0.write(buf);
        self.storage_root.0.write(buf);
    }

    fn read(buf: &mut impl commonware_codec::Buf) -> Result<Self, Error> {
        let facts = AccountFacts {
            nonce: UInt::read(buf)?.into(),
            balance: Number::read(buf)?.0,
            code_hash: <[u8; 32]>::read(buf)?.into(),
        };
        Ok(Self { facts, storage_root: <[u8; 32]>::read(buf)?.into() })
    }
}

fn write_prefix(prefix: &Prefix, out: &mut impl BufMut) {
    let depth = prefix.depth();
    out.put_u8(u8::try_from(depth).expect("at most 64 nibbles"));
    out.put_slice(&prefix.key()[..depth.div_ceil(2)]);
}

fn read_prefix(buf: &mut impl commonware_codec::Buf) -> Result<Prefix, Error> {
    let depth = usize::from(u8::read(buf)?);
    let (mut key, size) = ([0; 32], depth.div_ceil(2));
    if size > key.len() || buf.remaining() < size {
        return Err(Error::Invalid("Part", "no such prefix"));
    }
    buf.copy_to_slice(&mut key[..size]);
    Prefix::new(key.into(), depth)
        .filter(|prefix| prefix.key().0 == key)
        .ok_or(Error::Invalid("Part", "bits beyond the prefix"))
}

fn write_part<V: Payload>(part: &Part<V>) -> Vec<u8> {
    let mut out = Vec::new();
    write_prefix(&part.prefix, &mut out);
    UInt(part.nodes.len() as u64).write(&mut out);
    part.nodes.iter().for_each(|node| node.0.write(&mut out));
    UInt(part.leaves.len() as u64).write(&mut out);
    for (key, value) in &part.leaves {
        key.0.write(&mut out);
        value.write(&mut out);
    }
    out
}

fn read_count(buf: &mut impl commonware_codec::Buf, max: usize) -> Result<usize, Error> {
    let count: u64 = UInt::read(buf)?.into();
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(Error::Invalid("Part", "too many"))
}

fn read_part<V: Payload>(bytes: &[u8]) -> Result<Part<V>, Error> {
    let mut buf = Copying(bytes);
    let prefix = read_prefix(&mut buf)?;
    let mut nodes = Vec::new();
    for _ in 0..read_count(&mut buf, NODES_MAX)? {
        nodes.push(Bytes(RawBytes::read_cfg(&mut buf, &RangeCfg::new(0..=NODE_BYTES_MAX))?));
    }
    let mut leaves = Vec::new();
    for _ in 0..read_count(&mut buf, PART_LEAVES_MAX)? {
        leaves.push((<[u8; 32]>::read(&mut buf)?.into(), V::read(&mut buf)?));
    }
    if buf.has_remaining() {
        return Err(Error::ExtraData(buf.remaining()));
    }
    Ok(Part { prefix, nodes, leaves })
}

impl Part<AccountSummary> {
    pub fn to_bytes(&self) -> Vec<u8> {
        write_part(self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        read_part(bytes)
    }
}

impl Part<U256> {
    pub fn to_bytes(&self) -> Vec<u8> {
        write_part(self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        read_part(bytes)
    }
}

#[cfg(test)]
mod tests;

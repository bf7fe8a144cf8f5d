//! A whole state on disk, in pieces (§10.6).
//!
//! ```text
//! piece 0 = u8 1 ‖ header (RLP) ‖ through height ‖ through digest        each ‖ checksum
//! others  = items: all code, then each account with its slots behind it, then the end
//! ```
//!
//! Accounts and slots stand under their hashed keys, as in the trie: nobody needs to know addresses to go on.
//! A checkpoint is good when every piece has its checksum, the end is there, and the state has the root that
//! the header names. So one that was cut, damaged or put together of two is never taken for good.

use super::{
    chain::check_root,
    changes::{AccountFacts, Changes, Number},
    record::{RecordError, checked, read_header, write_header},
    state::{Account, State},
    trie::Trie,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use baton_types::{Digest, domain};
use bytes::{Buf as _, Bytes as RawBytes};
use commonware_codec::{Buf, Copying, Error, RangeCfg, Read as _, ReadExt as _, Write as _, varint::UInt};
use std::{collections::BTreeMap, iter};

/// What a chain starts from instead of block 0.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub state: State,
    pub header: Header,
    /// The last block of the cluster that is part of it.
    pub through_height: u64,
    pub through_digest: Digest,
}

const VERSION: u8 = 1;
/// A piece is closed once it has so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// The longest that [`Checkpoint::pieces`] makes: an item may begin where a piece is nearly full.
pub const PIECE_BYTES_MAX: usize = PIECE_BYTES + Changes::CODE_BYTES_MAX + 128;

const END: u8 = 0;
const CODE: u8 = 1;
const ACCOUNT: u8 = 2;
const ACCOUNT_WITH_CODE: u8 = 3;
const SLOT: u8 = 4;

enum Item<'a> {
    Code(Bytes),
    Account(&'a B256, &'a AccountFacts),
    /// Of the account before.
    Slot(&'a B256, &'a U256),
    End,
}

fn items(state: &State) -> impl Iterator<Item = Item<'_>> {
    let accounts = state.accounts.iter().flat_map(|(key, Account { facts, storage })| {
        let slots = storage.iter().map(|(key, value)| Item::Slot(key, value));
        iter::once(Item::Account(key, facts)).chain(slots)
    });
    state.codes().map(Item::Code).chain(accounts).chain(iter::once(Item::End))
}

impl Item<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::End => END.write(out),
            Self::Code(code) => {
                CODE.write(out);
                code.0.write(out);
            }
            Self::Account(key, AccountFacts { nonce, balance, code_hash }) => {
                let plain = *code_hash == KECCAK256_EMPTY;
                let kind = if plain { ACCOUNT } else { ACCOUNT_WITH_CODE };
                kind.write(out);
                key.0.write(out);
                UInt(*nonce).write(out);
                Number(*balance).write(out);
                if !plain {
                    code_hash.0.write(out);
                }
            }
            Self::Slot(key, value) => {
                SLOT.write(out);
                key.0.write(out);
                Number(**value).write(out);
            }
        }
    }
}

impl Checkpoint {
    /// In order, each with its checksum.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut head = vec![VERSION];
        write_header(&self.header, &mut head);
        self.through_height.write(&mut head);
        self.through_digest.write(&mut head);
        let mut items = items(&self.state);
        let others = iter::from_fn(move || {
            let mut piece = Vec::new();
            for item in items.by_ref() {
                item.write(&mut piece);
                if piece.len() >= PIECE_BYTES {
                    break;
                }
            }
            (!piece.is_empty()).then_some(piece)
        });
        iter::once(head).chain(others).zip(0..).map(|(mut piece, index)| {
            let checksum = domain::evm_checkpoint(index, &piece);
            piece.extend_from_slice(&checksum);
            piece
        })
    }
}

/// A checkpoint that is being read.
#[derive(Debug, Default)]
pub struct Restoring {
    pieces: u32,
    head: Option<(Header, u64, Digest)>,
    codes: BTreeMap<B256, Bytes>,
    state: State,
    /// The last account, whose slots may go on.
    account: Option<(B256, Account)>,
    ended: bool,
}

impl Restoring {
    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), RecordError> {
        let mut rest = Copying(checked(piece, |content| domain::evm_checkpoint(self.pieces, content))?);
        self.pieces += 1;
        if self.head.is_none() {
            let version = u8::read(&mut rest)?;
            if version != VERSION {
                return Err(RecordError::Version { version });
            }
            self.head = Some((read_header(&mut rest)?, u64::read(&mut rest)?, Digest::read(&mut rest)?));
        }
        while rest.has_remaining() {
            if self.ended {
                return Err(RecordError::BeyondEnd);
            }
            self.item(&mut rest)?;
        }
        Ok(())
    }

    fn item(&mut self, buf: &mut impl Buf) -> Result<(), RecordError> {
        let kind = u8::read(buf)?;
        match kind {
            END => {
                self.close()?;
                self.ended = true;
            }
            CODE => {
                let code = Bytes(RawBytes::read_cfg(buf, &RangeCfg::new(0..=Changes::CODE_BYTES_MAX))?);
                self.codes.insert(keccak256(&code), code);
            }
            ACCOUNT | ACCOUNT_WITH_CODE => {
                self.close()?;
                let key = <[u8; 32]>::read(buf)?.into();
                let (nonce, balance) = (UInt::read(buf)?.into(), Number::read(buf)?.0);
                let code_hash = match kind {
                    ACCOUNT => KECCAK256_EMPTY,
                    _ => <[u8; 32]>::read(buf)?.into(),
                };
                let facts = AccountFacts { nonce, balance, code_hash };
                self.account = Some((key, Account { facts, storage: Trie::default() }));
            }
            SLOT => {
                let (key, value) = (<[u8; 32]>::read(buf)?.into(), Number::read(buf)?.0);
                let (_, account) =
                    self.account.as_mut().ok_or(Error::Invalid("Checkpoint", "a slot of nobody"))?;
                account.storage.insert(key, value);
            }
            _ => return Err(Error::Invalid("Checkpoint", "no such item").into()),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), RecordError> {
        let Some((key, account)) = self.account.take() else { return Ok(()) };
        let code_hash = account.facts.code_hash;
        self.state
            .retain_code(code_hash, self.codes.get(&code_hash))
            .map_err(|()| Error::Invalid("Checkpoint", "code is missing, or none"))?;
        self.state.accounts.insert(key, account);
        Ok(())
    }

    pub fn finish(self) -> Result<Checkpoint, RecordError> {
        let (header, through_height, through_digest) = self.head.ok_or(RecordError::Cut)?;
        if !self.ended {
            return Err(RecordError::Cut);
        }
        check_root(&header, &self.state)?;
        Ok(Checkpoint { state: self.state, header, through_height, through_digest })
    }
}

#[cfg(test)]
mod tests;

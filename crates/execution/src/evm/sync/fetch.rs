//! Who was asked for which piece of a state, and what is still to be asked for.
//!
//! Wishes are worked off from the end, so that what a piece brings up comes before what was there already:
//! however large the state is, only a few thousand wishes are open. A peer that says that a part is too large
//! is believed until all sixteen smaller ones are there, and then known to have lied or not.

use super::{
    super::record::decode_header, AccountSummary, Download, DownloadError, PART_LEAVES_MAX, Piece,
    read_prefix, write_prefix,
};
use crate::evm::{Part, Prefix, State};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, Read, ReadExt as _, Write};
use std::collections::BTreeMap;
use thiserror::Error;

/// Something of a state, or of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Header,
    Accounts(Prefix),
    /// Of the account whose address hashes to this.
    Slots(B256, Prefix),
    /// By its hash.
    Code(B256),
}

impl Wish {
    /// Most of one ask.
    pub const MAX: usize = 64;

    /// How much of an ask it takes up.
    const fn weight(self) -> usize {
        match self {
            Self::Accounts(_) => Self::MAX / 2,
            _ => 1,
        }
    }

    /// Of the same trie, under another prefix; none where there is no trie.
    const fn under(self, prefix: Prefix) -> Option<Self> {
        match self {
            Self::Accounts(_) => Some(Self::Accounts(prefix)),
            Self::Slots(key, _) => Some(Self::Slots(key, prefix)),
            Self::Header | Self::Code(_) => None,
        }
    }
}

/// How a peer was found out.
#[derive(Debug, Error)]
pub enum Lie {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("a piece does not decode: {0}")]
    Codec(#[from] Error),
    #[error("it is not what was asked for")]
    Other,
    #[error("more pieces than were asked for")]
    Count,
    #[error("it said that a part is too large, which is not")]
    Split,
}

#[derive(Debug)]
struct Split<P> {
    said_by: P,
    /// Of the sixteen smaller parts.
    missing: usize,
    leaves: usize,
}

/// The trie, by the account's key where it is a storage, and the prefix.
type Place = (Option<B256>, Prefix);

/// A state on its way, in pieces from several peers.
#[derive(Debug)]
pub struct Fetch<P> {
    hash: B256,
    header: Option<Header>,
    download: Download,
    /// The next is the last.
    wishes: Vec<Wish>,
    asked: BTreeMap<P, Vec<Wish>>,
    splits: BTreeMap<Place, Split<P>>,
}

impl<P: Clone + Ord> Fetch<P> {
    /// After the block with this hash, whose header names this root.
    pub fn new(hash: B256, state_root: B256) -> Self {
        Self {
            hash,
            header: None,
            download: Download::new(state_root),
            wishes: vec![Wish::Accounts(Prefix::ALL), Wish::Header],
            asked: BTreeMap::new(),
            splits: BTreeMap::new(),
        }
    }

    /// What to ask of a peer; none when there is nothing now, or it has not answered yet.
    pub fn ask(&mut self, peer: &P) -> Option<Vec<Wish>> {
        if self.asked.contains_key(peer) {
            return None;
        }
        let (mut asked, mut weight) = (Vec::new(), 0);
        while let Some(wish) = self.wishes.pop_if(|wish| weight + wish.weight() <= Wish::MAX) {
            weight += wish.weight();
            asked.push(wish);
        }
        if asked.is_empty() {
            return None;
        }
        self.asked.insert(peer.clone(), asked.clone());
        Some(asked)
    }

    /// A peer does not answer: others are to be asked.
    pub fn give_up(&mut self, peer: &P) {
        let asked = self.asked.remove(peer).unwrap_or_default();
        self.wishes.extend(asked.into_iter().rev());
    }

    /// Takes the answer of a peer: pieces for what it was asked for first; the rest is asked for again. Returns
    /// who lied, this peer or one before.
    pub fn answer(&mut self, peer: &P, pieces: &[Piece]) -> Vec<(P, Lie)> {
        let Some(asked) = self.asked.remove(peer) else { return Vec::new() };
        if pieces.len() > asked.len() {
            self.wishes.extend(asked.into_iter().rev());
            return vec![(peer.clone(), Lie::Count)];
        }
        self.wishes.extend(asked[pieces.len()..].iter().rev());
        let mut liars = Vec::new();
        for (at, (wish, piece)) in asked.iter().zip(pieces).enumerate() {
            match self.take(peer, *wish, piece) {
                Ok(found_out) => liars.extend(found_out.into_iter().map(|liar| (liar, Lie::Split))),
                Err(lie) => {
                    self.wishes.extend(asked[at..pieces.len()].iter().rev());
                    liars.push((peer.clone(), lie));
                    break;
                }
            }
        }
        liars
    }

    /// Returns who is now known to have said that a part is too large, falsely.
    fn take(&mut self, peer: &P, wish: Wish, piece: &Piece) -> Result<Vec<P>, Lie> {
        let Piece::Whole(bytes) = piece else { return self.split(peer, wish) };
        match wish {
            Wish::Header => {
                let header = decode_header(bytes).ok().filter(|header| header.hash_slow() == self.hash);
                self.header = Some(header.ok_or(Lie::Other)?);
                Ok(Vec::new())
            }
            Wish::Accounts(prefix) => {
                let part = Part::<AccountSummary>::from_bytes(bytes)?;
                if part.prefix != prefix {
                    return Err(Lie::Other);
                }
                let (storages, codes) = self.download.accounts(&part)?;
                self.wishes.extend(codes.into_iter().map(Wish::Code));
                self.wishes.extend(storages.into_iter().map(|key| Wish::Slots(key, Prefix::ALL)));
                Ok(self.arrived(None, prefix, part.leaves.len()))
            }
            Wish::Slots(key, prefix) => {
                let part = Part::<U256>::from_bytes(bytes)?;
                if part.prefix != prefix {
                    return Err(Lie::Other);
                }
                self.download.slots(key, &part)?;
                Ok(self.arrived(Some(key), prefix, part.leaves.len()))
            }
            Wish::Code(hash) => {
                if keccak256(bytes) != hash {
                    return Err(Lie::Other);
                }
                self.download.code(Bytes(bytes.clone()))?;
                Ok(Vec::new())
            }
        }
    }

    fn split(&mut self, peer: &P, wish: Wish) -> Result<Vec<P>, Lie> {
        let place = match wish {
            Wish::Accounts(prefix) => (None, prefix),
            Wish::Slots(key, prefix) => (Some(key), prefix),
            Wish::Header | Wish::Code(_) => return Err(Lie::Split),
        };
        let longer = place.1.split();
        if longer.is_empty() {
            return Err(Lie::Split);
        }
        self.splits.insert(place, Split { said_by: peer.clone(), missing: longer.len(), leaves: 0 });
        self.wishes.extend(longer.into_iter().filter_map(|prefix| wish.under(prefix)));
        Ok(Vec::new())
    }

    /// All leaves under a prefix are here.
    fn arrived(&mut self, account: Option<B256>, mut prefix: Prefix, mut leaves: usize) -> Vec<P> {
        let mut liars = Vec::new();
        while let Some(parent) = prefix.parent() {
            let place = (account, parent);
            let Some(split) = self.splits.get_mut(&place) else { break };
            split.leaves += leaves;
            split.missing -= 1;
            if split.missing > 0 {
                break;
            }
            let Some(split) = self.splits.remove(&place) else { break };
            (prefix, leaves) = (parent, split.leaves);
            if leaves <= PART_LEAVES_MAX {
                liars.push(split.said_by);
            }
        }
        liars
    }

    /// Whether everything is here.
    pub fn is_complete(&self) -> bool {
        self.wishes.is_empty() && self.asked.is_empty()
    }

    /// Wishes that are open, whether a peer was asked or not.
    #[cfg(test)]
    fn open(&self) -> usize {
        self.wishes.len() + self.asked.values().map(Vec::len).sum::<usize>()
    }

    /// Takes as long as to build the whole state.
    pub fn finish(self) -> Result<(Header, State), DownloadError> {
        let header = self.header.ok_or(DownloadError::HeaderMissing)?;
        Ok((header, self.download.finish()?))
    }
}

impl Write for Wish {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Header => buf.put_u8(0),
            Self::Accounts(prefix) => {
                buf.put_u8(1);
                write_prefix(prefix, buf);
            }
            Self::Slots(key, prefix) => {
                buf.put_u8(2);
                buf.put_slice(&key.0);
                write_prefix(prefix, buf);
            }
            Self::Code(hash) => {
                buf.put_u8(3);
                buf.put_slice(&hash.0);
            }
        }
    }
}

impl EncodeSize for Wish {
    fn encode_size(&self) -> usize {
        let prefix = |prefix: &Prefix| 1 + prefix.depth().div_ceil(2);
        1 + match self {
            Self::Header => 0,
            Self::Accounts(at) => prefix(at),
            Self::Slots(_, at) => 32 + prefix(at),
            Self::Code(_) => 32,
        }
    }
}

impl Read for Wish {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(match u8::read(buf)? {
            0 => Self::Header,
            1 => Self::Accounts(read_prefix(buf)?),
            2 => Self::Slots(<[u8; 32]>::read(buf)?.into(), read_prefix(buf)?),
            3 => Self::Code(<[u8; 32]>::read(buf)?.into()),
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

#[cfg(test)]
mod tests;

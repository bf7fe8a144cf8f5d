//! What members tell each other about where to join.

use crate::votes::{Testimony, VOTE_BYTES_MAX, VOTES_MAX};
use baton_types::{Block, BlockLimits, Digest, Epoch, EpochInfo, Finalization, Header, Payload, Scheme};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::{
    BoundedBlock as _,
    types::{Epocher as _, FixedEpocher, Height},
};
use commonware_parallel::Sequential;
use rand_core::CryptoRng;
use std::sync::Arc;
use thiserror::Error as ThisError;

#[derive(Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a few in the life of a node")]
pub enum Message {
    /// Where could I join?
    Ask,
    Offer(Offer),
    /// Who holds the key in this epoch?
    AskEpoch(Epoch),
    /// The block before the first of the epoch, which says so, and its certificate.
    EpochStart(Box<EpochStart>),
    /// Which votes of mine have you seen?
    AskVotes,
    Votes(Testimony),
    /// I hold no share of the key in this epoch.
    NoShare(Epoch),
}

/// A member's answer: the lowest block it has, and a certified one that a newcomer can begin at.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub lowest: u64,
    pub floor: Option<Floor>,
}

/// A certified block.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    pub certificate: Finalization,
    pub header: Header,
}

#[derive(Clone, PartialEq)]
pub struct EpochStart {
    pub certificate: Finalization,
    pub block: Arc<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum Forged {
    #[error("it belongs to another chain")]
    Chain,
    #[error("its height is not in its epoch")]
    Height,
    #[error("its certificate is for another block")]
    OtherBlock,
    #[error("its certificate does not verify under the group key of the genesis")]
    Certificate,
    #[error("it offers a block that it says it does not have")]
    Missing,
    #[error("it does not say who holds the key in the epoch")]
    Epoch,
}

/// What certified blocks are checked against; all of it follows from the genesis.
#[derive(Clone)]
pub struct Checks {
    pub chain: Digest,
    /// For certificates of any epoch: the group key does not change.
    pub verifier: Scheme,
    pub epocher: FixedEpocher,
}

impl Checks {
    fn certified(
        &self,
        rng: &mut impl CryptoRng,
        header: &Header,
        certificate: &Finalization,
    ) -> Result<(), Forged> {
        if header.chain != self.chain {
            return Err(Forged::Chain);
        }
        let height = Height::new(header.height);
        let epoch = Epoch::new(header.epoch);
        if self.epocher.containing(height).is_none_or(|bounds| bounds.epoch() != epoch) {
            return Err(Forged::Height);
        }
        let proposal = &certificate.proposal;
        if proposal.payload != header.digest() || proposal.round.epoch() != epoch {
            return Err(Forged::OtherBlock);
        }
        if certificate.verify(rng, &self.verifier, &Sequential) { Ok(()) } else { Err(Forged::Certificate) }
    }

    pub fn offer(&self, rng: &mut impl CryptoRng, offer: &Offer) -> Result<(), Forged> {
        let Some(floor) = &offer.floor else { return Ok(()) };
        if floor.header.height < offer.lowest || floor.header.height == 0 {
            return Err(Forged::Missing);
        }
        self.certified(rng, &floor.header, &floor.certificate)
    }

    /// The epoch that `start` describes, if it is `epoch`.
    pub fn epoch_start(
        &self,
        rng: &mut impl CryptoRng,
        epoch: Epoch,
        start: &EpochStart,
    ) -> Result<EpochInfo, Forged> {
        let header = start.block.header();
        let last = epoch.previous().and_then(|previous| self.epocher.last(previous));
        if last != Some(Height::new(header.height)) {
            return Err(Forged::Height);
        }
        self.certified(rng, header, &start.certificate)?;
        match &start.block.body().payload {
            Some(Payload::EpochInfo(info)) if info.epoch == epoch => Ok(info.clone()),
            _ => Err(Forged::Epoch),
        }
    }
}

/// Largest message of this channel.
pub fn message_bytes_max(members: u32, limits: &BlockLimits) -> usize {
    let block = Finalization::max_encode_size(members) + Block::max_encode_size(limits);
    // Epoch, count and lengths take less than 16 bytes, and 2 for each vote.
    let votes = 16 + VOTES_MAX * (2 + VOTE_BYTES_MAX);
    1 + block.max(votes)
}

impl Write for Floor {
    fn write(&self, buf: &mut impl BufMut) {
        self.certificate.write(buf);
        self.header.write(buf);
    }
}

impl EncodeSize for Floor {
    fn encode_size(&self) -> usize {
        self.certificate.encode_size() + Header::SIZE
    }
}

impl Read for Floor {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { certificate: Finalization::read_cfg(buf, &())?, header: Header::read(buf)? })
    }
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Ask => 0u8.write(buf),
            Self::Offer(offer) => {
                1u8.write(buf);
                offer.lowest.write(buf);
                offer.floor.write(buf);
            }
            Self::AskEpoch(epoch) => {
                2u8.write(buf);
                epoch.write(buf);
            }
            Self::EpochStart(start) => {
                3u8.write(buf);
                start.certificate.write(buf);
                start.block.write(buf);
            }
            Self::AskVotes => 4u8.write(buf),
            Self::Votes(testimony) => {
                5u8.write(buf);
                testimony.epoch.write(buf);
                testimony.votes.write(buf);
            }
            Self::NoShare(epoch) => {
                6u8.write(buf);
                epoch.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Ask | Self::AskVotes => 0,
            Self::Offer(offer) => u64::SIZE + offer.floor.encode_size(),
            Self::AskEpoch(epoch) | Self::NoShare(epoch) => epoch.encode_size(),
            Self::EpochStart(start) => start.certificate.encode_size() + start.block.encode_size(),
            Self::Votes(testimony) => testimony.epoch.encode_size() + testimony.votes.encode_size(),
        }
    }
}

impl Read for Message {
    type Cfg = BlockLimits;

    fn read_cfg(buf: &mut impl Buf, limits: &BlockLimits) -> Result<Self, Error> {
        Ok(match u8::read(buf)? {
            0 => Self::Ask,
            1 => Self::Offer(Offer { lowest: u64::read(buf)?, floor: Option::<Floor>::read(buf)? }),
            2 => Self::AskEpoch(Epoch::read(buf)?),
            3 => Self::EpochStart(Box::new(EpochStart {
                certificate: Finalization::read_cfg(buf, &())?,
                block: Arc::new(Block::read_cfg(buf, limits)?),
            })),
            4 => Self::AskVotes,
            5 => Self::Votes(Testimony {
                epoch: Epoch::read(buf)?,
                votes: Vec::read_cfg(
                    buf,
                    &(RangeCfg::new(0..=VOTES_MAX), RangeCfg::new(0..=VOTE_BYTES_MAX)),
                )?,
            }),
            6 => Self::NoShare(Epoch::read(buf)?),
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

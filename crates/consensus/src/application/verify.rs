//! The checks of `verify` that need nothing but the block, its parent and the epoch's members.

use super::Application;
use crate::{epochs::LogRefused, lottery::Unelected};
use baton_execution::chain::{Violation, check_accumulators, check_body};
use baton_types::{Block, Context, Header, Round, Seed, TxId, View, lottery::Unsound};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::CertifiableBlock as _;
use commonware_cryptography::Digested;
use commonware_runtime::telemetry::metrics::{CounterFamily, EncodeLabelSet};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Refused {
    #[error("it belongs to another chain")]
    Chain,
    #[error("its context is not the one consensus proposes it at")]
    Context,
    #[error("its author is not the leader of the view")]
    Author,
    #[error("its election kind is not the genesis's")]
    Election,
    #[error("header field {0} is not in use yet and must be zero")]
    Reserved(&'static str),
    #[error("its height {0} does not follow its parent's {1}")]
    Height(u64, u64),
    #[error("its timestamp {0} is before its parent's {1}")]
    Time(u64, u64),
    #[error("its parent seed is not the group's signature for the parent's view")]
    Seed,
    #[error(transparent)]
    Body(#[from] Violation),
    #[error("the epoch's members are not known here")]
    UnknownEpoch,
    #[error(transparent)]
    Log(#[from] LogRefused),
    #[error("its election does not stand: {0}")]
    Unelected(#[from] Unelected),
    #[error(transparent)]
    Lottery(#[from] Unsound),
    #[error("transaction {0} is in its ancestry already")]
    Repeated(TxId),
}

/// Blocks that this node would not vote for, by reason.
pub type Refusals = CounterFamily<Reason>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

impl Refused {
    pub const fn reason(&self) -> Reason {
        let reason = match self {
            Self::Chain => "chain",
            Self::Context => "context",
            Self::Author => "author",
            Self::Election => "election",
            Self::Reserved(_) => "reserved",
            Self::Height(..) => "height",
            Self::Time(..) => "time",
            Self::Seed => "seed",
            Self::Body(violation) => violation.name(),
            Self::UnknownEpoch => "unknown_epoch",
            Self::Log(_) => "log",
            Self::Unelected(_) => "unelected",
            Self::Lottery(_) => "lottery",
            Self::Repeated(_) => "repeated",
        };
        Reason { reason }
    }
}

impl Application {
    pub(super) async fn check(
        &self,
        context: &Context,
        block: &Digested<Block>,
        parent: &Digested<Block>,
    ) -> Result<(), Refused> {
        let (block, parent) = (block.inner(), parent.inner());
        self.check_header(context, block, parent.header())?;
        self.check_seed(block.header())?;
        self.check_election(block, parent)?;
        check_body(&self.shared.rules, block)?;
        check_accumulators(parent, block)?;
        if let Some(payload) = &block.body().payload {
            let info = self.info(context.round.epoch()).await.ok_or(Refused::UnknownEpoch)?;
            self.logs.check(&info, payload)?;
        }
        Ok(())
    }

    fn check_header(&self, context: &Context, block: &Block, parent: &Header) -> Result<(), Refused> {
        let header = block.header();
        if header.chain != self.chain {
            return Err(Refused::Chain);
        }
        // `Inline` leaves this comparison to the application.
        if &block.context() != context {
            return Err(Refused::Context);
        }
        if self.lottery.is_none() && header.author != context.leader {
            return Err(Refused::Author);
        }
        if header.election != self.election {
            return Err(Refused::Election);
        }
        if let Some(field) = header.reserved_in_use() {
            return Err(Refused::Reserved(field));
        }
        if header.height != parent.height + 1 {
            return Err(Refused::Height(header.height, parent.height));
        }
        if header.timestamp_ms < parent.timestamp_ms {
            return Err(Refused::Time(header.timestamp_ms, parent.timestamp_ms));
        }
        Ok(())
    }

    /// Under the zero-knowledge lottery: reveal, draw, author, and the state that follows.
    fn check_election(&self, block: &Block, parent: &Block) -> Result<(), Refused> {
        let Some(play) = &self.lottery else {
            return if block.body().lottery.is_none() { Ok(()) } else { Err(Refused::Reserved("lottery")) };
        };
        let header = block.header();
        let part = block.body().lottery.as_ref().ok_or(Unelected::Absent)?;
        let before = play.lottery.before(parent, header.epoch).ok_or(Unelected::Absent)?;
        play.lottery.check(&before, block)?;
        let after = before.after(play.lottery.rules(), header, &part.held)?;
        if after == part.state { Ok(()) } else { Err(Unsound::State.into()) }
    }

    fn check_seed(&self, header: &Header) -> Result<(), Refused> {
        if header.parent_view == 0 {
            return if header.parent_seed == [0; 48] { Ok(()) } else { Err(Refused::Seed) };
        }
        let round = Round::new(header.round().epoch(), View::new(header.parent_view));
        // Unique signature: equal bytes are proof enough where the certificate was seen.
        if let Some(known) = self.shared.seed(round) {
            return if known == header.parent_seed { Ok(()) } else { Err(Refused::Seed) };
        }
        let mut encoded = round.encode().to_vec();
        encoded.extend_from_slice(&header.parent_seed);
        let seed = Seed::decode(Copying(&encoded)).map_err(|_| Refused::Seed)?;
        if seed.verify(&self.verifier) { Ok(()) } else { Err(Refused::Seed) }
    }
}

#[cfg(test)]
mod tests;

//! The checks of `verify` that need nothing but the block, its parent and the epoch's members.

use super::Application;
use crate::{
    aliases::Runtime,
    epochs::LogRefused,
    lottery::Unelected,
    settlement::{Differs, Sight},
    shared::lags,
};
use baton_execution::{
    chain::{Violation, check_accumulators, check_body},
    evm::{Params, Signed, Skip, order::misplaced},
};
use baton_types::{
    Block, Context, Header, RollupId, Round, Seed, Segment, TxId, View, forced, genesis::Ordering,
    hex::HexArray, lottery::Unsound, reshare,
};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::{CertifiableBlock as _, Heightable as _};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_runtime::telemetry::metrics::{CounterFamily, EncodeLabelSet};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// A voter whose view of L1 is behind looks again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
    #[error("its signal {0:#x} of reshares does not follow its parent's {1:#x}")]
    Reshare(u32, u32),
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
    #[error(transparent)]
    Forced(#[from] forced::Unsound),
    #[error(transparent)]
    Differs(#[from] Differs),
    #[error("transaction {0} is in its ancestry already")]
    Repeated(TxId),
    #[error("what it says of rollup {0} cannot follow what its parent says")]
    Claim(RollupId),
    #[error("of rollup {rollup} it claims block {claimed} at height {height}; here it is {own}")]
    Result { rollup: RollupId, height: u64, claimed: HexArray<32>, own: HexArray<32> },
    #[error("rollup {0} has a segment though its results are too far behind")]
    Lag(RollupId),
    #[error("transaction {0} is out of the order of tips, or of its sender's nonces")]
    Order(TxId),
    #[error("transaction {0} is none of an EVM rollup: {1}")]
    Unsigned(TxId, Skip),
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
            Self::Reshare(..) => "reshare",
            Self::Height(..) => "height",
            Self::Time(..) => "time",
            Self::Seed => "seed",
            Self::Body(violation) => violation.name(),
            Self::UnknownEpoch => "unknown_epoch",
            Self::Log(_) => "log",
            Self::Unelected(_) => "unelected",
            Self::Lottery(_) => "lottery",
            Self::Forced(_) => "forced",
            Self::Differs(_) => "l1",
            Self::Repeated(_) => "repeated",
            Self::Claim(_) => "claim",
            Self::Result { .. } => "result",
            Self::Lag(_) => "lag",
            Self::Order(_) => "order",
            Self::Unsigned(..) => "unsigned",
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
        if let Some(l1) = &self.l1 {
            l1.check(parent, block)?;
        }
        self.check_claims(block, parent)?;
        if let Some(payload) = &block.body().payload {
            let info = self.info(context.round.epoch()).await.ok_or(Refused::UnknownEpoch)?;
            self.logs.check(&info, block.header().protocol_signal, payload)?;
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
        if let Some(field) = header.reserved_in_use(self.l1.is_some()) {
            return Err(Refused::Reserved(field));
        }
        let least = parent.reshare_after(header.epoch);
        if ![least, least | reshare::WANTED].contains(&header.protocol_signal) {
            return Err(Refused::Reshare(header.protocol_signal, parent.protocol_signal));
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

    /// What needs no execution: claims that can follow the parent's, no segment of a rollup that lags, and the
    /// order that its genesis asks for.
    fn check_claims(&self, block: &Block, parent: &Block) -> Result<(), Refused> {
        let height = block.header().height;
        for (rollup, known) in &parent.body().results {
            let claim = block.body().results.get(rollup).ok_or(Refused::Claim(*rollup))?;
            let advances = claim.executed_to > known.executed_to
                && claim.executed_to < height
                && claim.number >= known.number;
            if claim != known && !advances {
                return Err(Refused::Claim(*rollup));
            }
            let segments = || block.body().segments.iter().zip(block.segment_ids());
            let Some((segment, (_, ids))) = segments().find(|(segment, _)| segment.rollup == *rollup) else {
                continue;
            };
            if lags(known, height) {
                return Err(Refused::Lag(*rollup));
            }
            match self.shared.rules.evm(*rollup) {
                Some(params) if params.ordering == Ordering::PriorityFee => {
                    self.check_order(params, segment, ids, known.base_fee)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Bundles are exempt, and forced entries.
    fn check_order(
        &self,
        params: &Params,
        segment: &Segment,
        ids: &[TxId],
        base_fee: u64,
    ) -> Result<(), Refused> {
        let known = self.shared.signed(segment.rollup, ids);
        let all = segment.transactions.iter().zip(ids).zip(known);
        let singles: Vec<_> = all
            .filter(|((transaction, _), _)| transaction.bundle.is_none() && transaction.forced().is_none())
            .collect();
        let unknown: Vec<_> = singles.iter().filter(|(_, known)| known.is_none()).collect();
        let raw: Vec<_> = unknown.iter().map(|((transaction, _), _)| &transaction.payload[..]).collect();
        let mut decoded = Vec::new();
        for (result, ((_, id), _)) in Signed::decode_all(&raw, params).into_iter().zip(unknown) {
            decoded.push(result.map_err(|skip| Refused::Unsigned(**id, skip))?);
        }
        let mut decoded = decoded.into_iter();
        let signed: Vec<Arc<Signed>> =
            singles.into_iter().filter_map(|(_, known)| known.or_else(|| decoded.next())).collect();
        let signed: Vec<&Signed> = signed.iter().map(|signed| &**signed).collect();
        match misplaced(&signed, base_fee) {
            None => Ok(()),
            Some(signed) => Err(Refused::Order(TxId(signed.hash().0))),
        }
    }

    /// What follows from the ancestors of a block; none where they are not known.
    pub(super) fn check_ancestry(
        &self,
        block: &Digested<Block>,
        parent: &Digested<Block>,
    ) -> Option<Result<(), Refused>> {
        let (digest, height) = (parent.digest(), parent.height());
        if let Some(id) = self.shared.repeated(&digest, height, block.inner())? {
            return Some(Err(Refused::Repeated(id)));
        }
        Some(self.shared.check_forced(&digest, height, block.inner())?.map_err(Refused::from))
    }

    /// What this node has to see for itself; waits until it does.
    pub(super) async fn check_sights<E: Runtime>(
        &self,
        rt: &E,
        block: &Digested<Block>,
        parent: &Digested<Block>,
    ) -> Result<(), Refused> {
        self.check_results(block, parent).await?;
        let Some(l1) = &self.l1 else { return Ok(()) };
        let results = &parent.inner().body().results;
        let height = block.height().get();
        let paused = |rollup| results.get(&rollup).is_some_and(|known| lags(known, height));
        loop {
            match l1.look(&self.shared.rules, parent.inner(), block.inner(), paused) {
                Sight::Fits => return Ok(()),
                Sight::Differs(differs) => return Err(differs.into()),
                Sight::Unseen => rt.sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Compares the results that a block claims newly with those of this node's executors, once they are there.
    async fn check_results(&self, block: &Digested<Block>, parent: &Digested<Block>) -> Result<(), Refused> {
        let known = &parent.inner().body().results;
        for (rollup, claim) in &block.inner().body().results {
            if known.get(rollup) == Some(claim) {
                continue;
            }
            let Some(execution) = self.shared.executions().get(rollup) else { continue };
            let own = match self.shared.ancestor(&parent.digest(), claim.executed_to) {
                Some(digest) => execution.result(claim.executed_to, digest.as_ref()).await,
                None => std::future::pending().await,
            };
            if own != *claim {
                let height = claim.executed_to;
                return Err(Refused::Result { rollup: *rollup, height, claimed: claim.hash, own: own.hash });
            }
        }
        Ok(())
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

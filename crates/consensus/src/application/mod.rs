//! Building and judging blocks.
//!
//! ```text
//!  propose: parent ─► wait for work (pace) ─► fill (pool) ─► seal, sign
//!  verify:  header against context ─► seed of the parent's view ─► body ─► accumulators
//!           ─► no id of an ancestor ─► dealer-log rules ─► not ahead of this node's clock
//! ```
//!
//! Rules by event:
//! - *Pace.* Something waiting: at once, but at most one block per `block_interval_min_ms`. Nothing
//!   waiting: one empty block per `idle_ms`. The block that ends an epoch and those that carry a
//!   dealer log wait for nothing.
//! - *Time.* Timestamps never go back. A voter waits while a block is ahead of its clock.
//! - *Seed.* A block whose parent has a view in its own epoch carries the group's seed signature of
//!   that view. The signature is unique, so voters that saw the certificate compare bytes, and only
//!   the others compute a pairing.
//! - *Results.* A proposer claims what final blocks gave on its own executor; a voter whose executor found
//!   another result refuses, and one that is behind waits.
//! - *L1.* A block may move the origin forward and takes forced entries first; only a move needs a voter's view
//!   of L1, and one that is behind waits (`settlement`).
//! - *No repetition.* (rollup, id) stands at most once in an ancestry within its validity.
//!
//! Invariant: `verify` answers `false` only for what can never become valid; where this node merely
//! lacks something it keeps waiting, and the view's timeout decides.
//!
//! The library re-proposes an epoch's last block without asking the application.

mod verify;

use crate::{
    aliases::{Marshal, Runtime},
    epochs::LogRules,
    lottery::{Bodies, Lottery, Shown},
    observer::seed_bytes,
    settlement::{L1, Plan},
    shared::{Selection, Shared},
};
use baton_types::{
    Block, Body, Context, Digest, Epoch, EpochInfo, Header, Height, Payload, PrivateKey, Round, Scheme,
    Segment, View,
    block::{ElectionKind, ParentSeed},
    forced::L1Part,
    genesis::{Reshare, Timing},
    lottery::{Lottery as State, LotteryPart},
    merkle::{self, EMPTY, Heads},
    reshare,
};
use bytes::Bytes;
use commonware_consensus::{
    Heightable as _,
    marshal::{Identifier, ancestry::Ancestry, core::DigestFallback},
    simplex::scheme::bls12381_threshold::vrf::Seedable as _,
    types::{Epocher as _, FixedEpocher},
};
use commonware_cryptography::{
    Digested, Digestible as _, Signer as _, bls12381::primitives::variant::MinSig,
};
use commonware_glue::dkg::reshare::Input;
use commonware_macros::select;
use commonware_runtime::telemetry::metrics::{CounterFamily, histogram::Timed};
use commonware_utils::sync::Mutex;
use futures::StreamExt as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tracing::{debug, error, warn};
use verify::Refused;

pub use verify::{Reason, Refusals};

/// Unfinalized ancestors a block may have for this node to build on it or to judge it.
const ANCESTORS_MAX: u64 = 256;
/// Epoch descriptions kept in memory.
const INFOS_MAX: usize = 4;

#[derive(Clone)]
pub struct Application {
    pub key: PrivateKey,
    pub chain: Digest,
    pub election: ElectionKind,
    pub timing: Timing,
    pub logs: LogRules,
    /// Verifies seeds of any epoch: the group key does not change.
    pub verifier: Scheme,
    pub epocher: FixedEpocher,
    pub marshal: Marshal,
    pub shared: Arc<Shared>,
    pub infos: Arc<Mutex<BTreeMap<Epoch, EpochInfo>>>,
    pub refusals: Refusals,
    /// Under election zk-lottery.
    pub lottery: Option<Play>,
    /// Where the genesis has a section l1.
    pub l1: Option<L1>,
}

/// What an application needs for the zero-knowledge lottery.
#[derive(Clone)]
pub struct Play {
    pub lottery: Lottery,
    pub bodies: Bodies,
    /// Views that this node let pass as their committer, by reason.
    pub declined: Declined,
    /// How long a drawn member waited for ancestors of its block.
    pub fetches: Timed,
}

pub type Declined = CounterFamily<Reason>;

impl Play {
    /// The block of member `drawn` for `context`. One that it foresaw may be for another parent, or lack
    /// ceremony material: then it is asked once more. What comes then is judged, whatever it is.
    async fn ask(
        &self,
        context: &Context,
        drawn: usize,
        evidence: &Bytes,
        payload: Option<&Payload>,
    ) -> Option<Digested<Block>> {
        let mut asked_again = false;
        loop {
            let (context, evidence) = (context.clone(), evidence.clone());
            let parent = context.parent;
            let answer = self.lottery.designate(context, drawn, evidence, payload.cloned())?;
            let block = self.bodies.subscribe(answer.await.ok()?).await.ok()?;
            let (header, body) = (block.inner().header(), block.inner().body());
            let fits =
                (View::new(header.parent_view), header.parent) == parent && body.payload.as_ref() == payload;
            if fits || asked_again {
                return Some(block);
            }
            asked_again = true;
        }
    }
}

/// The part of a block that an election adds.
struct Elected {
    reveal: [u8; 32],
    evidence: Bytes,
    /// The state that the block builds on.
    before: State,
}

impl Application {
    /// Who holds the key in `epoch`, from the block before it.
    async fn info(&self, epoch: Epoch) -> Option<EpochInfo> {
        if let Some(info) = self.infos.lock().get(&epoch) {
            return Some(info.clone());
        }
        let height = match epoch.previous() {
            None => Height::zero(),
            Some(previous) => self.epocher.last(previous)?,
        };
        let block = self.marshal.get_block(Identifier::Height(height)).await?;
        let Some(Payload::EpochInfo(info)) = block.inner().body().payload.clone() else { return None };
        let mut infos = self.infos.lock();
        infos.insert(epoch, info.clone());
        while infos.len() > INFOS_MAX {
            infos.pop_first();
        }
        Some(info)
    }

    /// Learns the ids of `block` and its ancestors, down to what is finalized. None when this node is too
    /// far behind to judge: backfill brings it up faster than walking the chain backwards would.
    async fn connect(&self, block: &Digested<Block>, ancestry: &mut impl Ancestry<Block>) -> Option<()> {
        if block.height().get() > self.shared.finalized_height() + ANCESTORS_MAX {
            return None;
        }
        let mut next = block.clone();
        while !self.shared.connected(&block.digest(), block.height()) {
            self.shared.connect(&next);
            if self.shared.connected(&block.digest(), block.height()) {
                break;
            }
            next = match self.shared.unfinalized_parent(&next) {
                Some(parent) => parent,
                None => missing_ancestor(ancestry, &next).await?,
            };
        }
        Some(())
    }

    /// The seed that a child of `parent` carries. The certificate that lets this node propose on the
    /// parent contains it; after a restart the archive may.
    async fn parent_seed(&self, context: &Context) -> Option<ParentSeed> {
        let (view, _) = context.parent;
        if view.is_zero() {
            return Some([0; 48]);
        }
        let round = Round::new(context.round.epoch(), view);
        if let Some(seed) = self.shared.seed(round) {
            return Some(seed);
        }
        let (height, _) = self.marshal.get_info(Identifier::Digest(context.parent.1)).await?;
        let finalization = self.marshal.get_finalization(height).await?;
        (finalization.proposal.round == round).then(|| seed_bytes(&finalization.seed()))
    }

    /// Waits until there is a reason to make a block on `parent`.
    async fn pace<E: Runtime>(&self, rt: &E, parent: &Digested<Block>, urgent: bool) {
        let parent_ms = parent.inner().header().timestamp_ms;
        let started = self.shared.now_ms();
        let earliest =
            parent_ms.saturating_add(self.timing.block_interval_min_ms).min(started + self.timing.idle_ms);
        sleep_until(rt, &self.shared, earliest).await;
        let latest = parent_ms.saturating_add(self.timing.idle_ms).min(started + self.timing.idle_ms);
        while !urgent && self.shared.now_ms() < latest {
            // Registered before looking, so that nothing between the two is missed.
            let work = self.shared.work.notified();
            let forced = self.l1.as_ref().is_some_and(|l1| l1.has_work(parent.inner()));
            if forced || self.shared.has_work(parent) {
                return;
            }
            let left = latest.saturating_sub(self.shared.now_ms());
            select! {
                _ = work => {},
                _ = rt.sleep(Duration::from_millis(left)) => return,
            }
        }
    }

    /// Waits until this node's clock has reached the block's time, and remembers whose clocks differ.
    async fn await_time<E: Runtime>(&self, rt: &E, header: &Header) {
        let ahead = header.timestamp_ms.saturating_sub(self.shared.now_ms());
        let drifts = ahead > self.timing.drift_max_ms;
        if drifts {
            warn!(ahead_ms = ahead, author = %header.author, "a block is further ahead of this node's clock than drift allows");
        }
        self.shared.clock_seen(&header.author, drifts.then_some(ahead));
        sleep_until(rt, &self.shared, header.timestamp_ms).await;
    }

    fn refuse(&self, header: &Header, refused: &Refused) {
        let (height, view) = (header.height, header.view);
        warn!(height, view, author = %header.author, %refused, "refusing to vote for a block");
        self.refusals.get_or_create(&refused.reason()).inc();
    }

    /// The transactions of a block on `parent`, and what it says of L1.
    fn fill(
        &self,
        parent: &Digested<Block>,
        header: &mut Header,
    ) -> Option<(Vec<Segment>, Option<Box<L1Part>>)> {
        let Some(l1) = &self.l1 else {
            return Some((self.shared.select(parent, BTreeMap::new()).segments, None));
        };
        let Some(Plan { origin, mut news, offers }) = l1.plan(parent.inner(), header) else {
            warn!(
                height = header.height,
                "declining to propose: this node sees too little of L1; check its L1 endpoints"
            );
            return None;
        };
        let Selection { segments, taken } = self.shared.select(parent, offers);
        news.taken = taken;
        (header.l1_number, header.l1_hash) = (origin.number, origin.hash);
        let known = &parent.inner().body().l1.as_ref()?.state;
        match l1.rules.after(known, parent.inner().header(), header, &news, &segments) {
            Ok(state) => Some((segments, Some(Box::new(L1Part { news, state })))),
            Err(unsound) => {
                error!(height = header.height, %unsound, "declining to propose: own block breaks a rule");
                None
            }
        }
    }

    /// What a block on `parent` says of reshares. Where one is due, who lacks a share gets it by that.
    fn signal(&self, parent: &Header, epoch: Epoch) -> u32 {
        let before = parent.reshare_after(epoch.get());
        let wants = self.logs.reshare == Reshare::OnChange
            && before & reshare::DUE == 0
            && self.shared.wants_reshare(epoch);
        before | if wants { reshare::WANTED } else { 0 }
    }

    fn build(
        &self,
        context: Context,
        parent: &Digested<Block>,
        seed: ParentSeed,
        payload: Option<Payload>,
        elected: Option<Elected>,
    ) -> Option<Block> {
        let before = parent.inner().header();
        let height = before.height + 1;
        let mut header = Header {
            chain: self.chain,
            epoch: context.round.epoch().get(),
            view: context.round.view().get(),
            parent_view: context.parent.0.get(),
            height,
            parent: parent.digest(),
            timestamp_ms: self.shared.now_ms().max(before.timestamp_ms),
            committer: context.leader,
            author: self.key.public_key(),
            election: self.election,
            reveal: [0; 32],
            reveal_evidence: EMPTY,
            parent_seed: seed,
            body_root: EMPTY,
            heads_root: EMPTY,
            history_root: EMPTY,
            results_root: EMPTY,
            l1_number: 0,
            l1_hash: EMPTY,
            forced_root: EMPTY,
            members_root: EMPTY,
            bench_report: [0; 32],
            payload_root: EMPTY,
            protocol_signal: self.signal(before, context.round.epoch()),
        };
        let (segments, l1) = self.fill(parent, &mut header)?;
        let results = self.shared.claims(parent.inner(), context.round);
        let peaks = parent.inner().history_after()?.peaks;
        let mut body = Body { segments, heads: Heads::new(), peaks, payload, lottery: None, results, l1 };
        let ids = body.ids();
        let mut heads = parent.inner().body().heads.clone();
        merkle::advance_heads(&mut heads, height, body.segment_ids(&ids));
        body.heads = heads;
        if let (Some(elected), Some(play)) = (elected, &self.lottery) {
            let live = self.shared.live();
            header.reveal = elected.reveal;
            if live.epoch == context.round.epoch() {
                header.bench_report = play.lottery.silent(&live.last_vote_view, header.view);
            }
            let held = play.lottery.held(&elected.before, header.epoch, height);
            let state = elected.before.after(play.lottery.rules(), &header, &held).ok()?;
            body.lottery = Some(Box::new(LotteryPart { evidence: elected.evidence, held, state }));
        }
        Some(Block::seal_with(header, body, ids, Some(&self.key)))
    }

    /// Builds on `parent` when it is time to.
    async fn compose<E: Runtime>(
        &self,
        rt: &E,
        context: Context,
        parent: &Digested<Block>,
        payload: Option<Payload>,
        elected: Option<Elected>,
    ) -> Option<Digested<Block>> {
        self.pace(rt, parent, payload.is_some()).await;
        let Some(seed) = self.parent_seed(&context).await else {
            warn!(view = context.round.view().get(), "declining to propose: no seed for the parent's view");
            return None;
        };
        let block = self.build(context, parent, seed, payload, elected)?.digested();
        self.shared.proposed(&block);
        Some(block)
    }

    /// As the member that `shown` draws: the block for `context`. None when another is drawn, or this node
    /// cannot judge the parent.
    pub async fn author<E: Runtime>(
        &self,
        rt: &E,
        context: Context,
        shown: Shown,
        payload: Option<Payload>,
    ) -> Option<Digested<Block>> {
        let play = self.lottery.as_ref()?;
        let epoch = context.round.epoch();
        // Its certificate often comes before this node has judged the parent, or even has it.
        let (view, digest) = context.parent;
        let parent_round = Round::new(epoch, view);
        let start = (DigestFallback::FetchByRound { round: parent_round }, digest);
        let clock = Arc::new(rt.child("ancestry"));
        let mut ancestry = self.marshal.ancestry(clock, start, play.fetches.clone()).await?;
        let parent = ancestry.next().await?;
        if self.epocher.containing(parent.height().next())?.epoch() != epoch {
            return None;
        }
        self.connect(&parent, &mut ancestry).await?;
        let before = play.lottery.before(parent.inner(), epoch.get())?;
        let drawn = play.lottery.author(&before, &shown.output);
        if play.lottery.member(drawn) != Some(&self.key.public_key()) {
            return None;
        }
        if self.parent_seed(&context).await.is_none() {
            self.shared.seed_seen(parent_round).await;
        }
        let elected = Elected { reveal: shown.opening, evidence: shown.evidence, before };
        self.compose(rt, context, &parent, payload, Some(elected)).await
    }

    /// As the committer: the block of the drawn member, judged as a voter does; or none, and the view ends.
    async fn commit<E: Runtime>(
        &self,
        mut rt: E,
        context: Context,
        parent: Digested<Block>,
        payload: Option<Payload>,
    ) -> Option<Digested<Block>> {
        let play = self.lottery.as_ref()?;
        let before = play.lottery.before(parent.inner(), context.round.epoch().get())?;
        let shown = play.lottery.show(context.round, &mut rt)?;
        let drawn = play.lottery.author(&before, &shown.output);
        if play.lottery.member(drawn) == Some(&self.key.public_key()) {
            let elected = Elected { reveal: shown.opening, evidence: shown.evidence, before };
            return self.compose(&rt, context, &parent, payload, Some(elected)).await;
        }
        let built = play.ask(&context, drawn, &shown.evidence, payload.as_ref());
        let patience = async {
            self.pace(&rt, &parent, payload.is_some()).await;
            rt.sleep(self.author_timeout()).await;
        };
        let block = select! {
            block = built => block,
            _ = patience => None,
        };
        let verdict = match &block {
            None => Err("author_silent"),
            Some(block) if block.inner().body().payload != payload => Err("payload"),
            Some(block) => self.judge(&rt, &context, block, &parent).await,
        };
        match (verdict, block) {
            (Ok(()), Some(block)) => {
                self.await_time(&rt, block.inner().header()).await;
                play.lottery.proposed(context.round, block.clone());
                self.shared.proposed(&block);
                Some(block)
            }
            (verdict, _) => {
                let reason = verdict.err().unwrap_or("author_silent");
                debug!(view = context.round.view().get(), drawn, reason, "declining the view");
                play.declined.get_or_create(&Reason { reason }).inc();
                None
            }
        }
    }

    /// How long a committer waits for the drawn member once a block is due: what the leader timeout leaves.
    fn author_timeout(&self) -> Duration {
        Duration::from_millis((self.timing.leader_timeout_ms - self.timing.idle_ms) * 3 / 4)
    }

    /// A voter's checks, by a committer: its own proposal is not verified again.
    async fn judge<E: Runtime>(
        &self,
        rt: &E,
        context: &Context,
        block: &Digested<Block>,
        parent: &Digested<Block>,
    ) -> Result<(), &'static str> {
        if let Err(refused) = self.check(context, block, parent).await {
            self.refuse(block.inner().header(), &refused);
            return Err("invalid");
        }
        match self.check_ancestry(block, parent) {
            Some(Ok(())) => {}
            Some(Err(refused)) => {
                self.refuse(block.inner().header(), &refused);
                return Err("invalid");
            }
            None => return Err("parent_unknown"),
        }
        select! {
            checked = self.check_sights(rt, block, parent) => checked.map_err(|refused| {
                self.refuse(block.inner().header(), &refused);
                "invalid"
            }),
            // This node's executor is behind, or its view of L1; whoever commits next may know.
            _ = rt.sleep(self.author_timeout()) => Err("results_unknown"),
        }
    }
}

/// The parent of `child`, from a stream of ancestors that may start above it.
async fn missing_ancestor(
    ancestry: &mut impl Ancestry<Block>,
    child: &Digested<Block>,
) -> Option<Digested<Block>> {
    loop {
        let block = ancestry.next().await?;
        if block.height() < child.height() {
            return Some(block);
        }
    }
}

/// Sleeps until this node's clock shows `ms`.
async fn sleep_until<E: Runtime>(rt: &E, shared: &Shared, ms: u64) {
    let ahead = ms.saturating_sub(shared.now_ms());
    if ahead > 0 {
        rt.sleep(Duration::from_millis(ahead)).await;
    }
}

impl<E: Runtime> commonware_consensus::Application<E> for Application {
    type SigningScheme = Scheme;
    type Context = Context;
    type Block = Block;
    type Input = Input<(), MinSig, PrivateKey, baton_types::Directory>;

    async fn propose(
        &mut self,
        (rt, context): (E, Context),
        ancestry: impl Ancestry<Block>,
        input: Self::Input,
    ) -> Option<Digested<Block>> {
        let mut ancestry = ancestry;
        let parent = ancestry.next().await?;
        self.connect(&parent, &mut ancestry).await?;
        let payload = match input.payload {
            Some(payload) => {
                let info = self.info(context.round.epoch()).await?;
                let signal = self.signal(parent.inner().header(), context.round.epoch());
                match self.logs.check(&info, signal, &payload) {
                    Ok(()) => Some(payload),
                    Err(refused) => {
                        debug!(%refused, "dealer log withheld");
                        None
                    }
                }
            }
            None => None,
        };
        if self.lottery.is_some() {
            return self.commit(rt, context, parent, payload).await;
        }
        self.compose(&rt, context, &parent, payload, None).await
    }

    async fn verify(&mut self, (rt, context): (E, Context), ancestry: impl Ancestry<Block>) -> bool {
        let mut ancestry = ancestry;
        let (Some(block), Some(parent)) = (ancestry.next().await, ancestry.next().await) else {
            return abstain().await;
        };
        if let Some(play) = &self.lottery {
            play.lottery.have(&block);
        }
        match self.check(&context, &block, &parent).await {
            Ok(()) => {}
            // A boundary block this node lacks: not the proposer's fault.
            Err(Refused::UnknownEpoch) => return abstain().await,
            Err(refused) => {
                self.refuse(block.inner().header(), &refused);
                return false;
            }
        }
        if self.connect(&parent, &mut ancestry).await.is_none() {
            return abstain().await;
        }
        match self.check_ancestry(&block, &parent) {
            None => return abstain().await,
            Some(Err(refused)) => {
                self.refuse(block.inner().header(), &refused);
                return false;
            }
            Some(Ok(())) => {}
        }
        if let Err(refused) = self.check_sights(&rt, &block, &parent).await {
            self.refuse(block.inner().header(), &refused);
            return false;
        }
        self.await_time(&rt, block.inner().header()).await;
        self.shared.proposed(&block);
        true
    }
}

/// No verdict: what this node lacks may still come, and the view's timeout decides.
async fn abstain() -> bool {
    std::future::pending().await
}

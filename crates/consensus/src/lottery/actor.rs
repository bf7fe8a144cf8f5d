use super::{
    Lottery, Shown,
    buffer::Bodies,
    wire::{Message, Order},
};
use crate::{aliases::Runtime, application::Application};
use baton_types::{
    Block, Context, Digest, Payload, PublicKey, Round, Signature, View, domain,
    lottery::{Commitment, Held, held_message},
    quorum,
};
use baton_vrf::{EpochProof, EpochSecrets};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::{Digested, Signer as _, Verifier as _};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{
    Handle, IoBuf,
    telemetry::metrics::{Counter, MetricsExt as _},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

/// Views ahead of this node's for which messages are kept.
const VIEWS_AHEAD: u64 = 16;
/// A body that fewer than 2f peers have by then is sent by the committer.
const RELAY_AFTER: Duration = Duration::from_millis(100);
/// A proof that is not on chain, or not with everybody, is offered again after this long, then twice that,
/// up to 32 times.
const OFFER_AGAIN: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(500);

pub struct Config {
    pub lottery: Lottery,
    pub application: Application,
    pub bodies: Bodies,
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>> {
    context: E,
    lottery: Lottery,
    application: Application,
    bodies: Bodies,
    /// Reveals, designations and answers, which views wait for.
    fast: S,
    /// Proofs.
    bulk: S,
    /// The view this node is in.
    entered: Round,
    /// The last notarized block.
    tip: Option<(Round, Digest)>,
    revealed: BTreeSet<Round>,
    reveals: BTreeMap<Round, Shown>,
    work: Option<Work>,
    designations: BTreeMap<Round, Designation>,
    built: BTreeMap<(Round, PublicKey), Digest>,
    watches: BTreeMap<Round, Watch>,
    mine: Option<Mine>,
    counters: Counters,
}

/// A block that this node builds as the drawn member, or has built.
struct Work {
    context: Context,
    payload: bool,
    digest: Option<Digest>,
    task: Handle<()>,
}

/// A block that this node waits for as the committer.
struct Designation {
    author: PublicKey,
    reply: oneshot::Sender<Digest>,
}

/// A body that this node proposed for its author.
struct Watch {
    block: Digested<Block>,
    have: BTreeSet<PublicKey>,
    deadline: SystemTime,
}

/// This node's commitment for the next epoch on its way to the chain.
struct Mine {
    epoch: u64,
    beacon: Digest,
    proof: Option<(Commitment, Bytes)>,
    holders: BTreeMap<u8, Signature>,
    offered: SystemTime,
    offers: u32,
    /// Whether the chain still lacked it lately.
    wanted: bool,
}

struct Counters {
    bad_messages: Counter,
    designations: Counter,
    built: Counter,
    relays: Counter,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    pub fn new(context: E, config: Config, fast: S, bulk: S) -> Self {
        let counters = Counters {
            bad_messages: context.counter("bad_messages", "messages that did not decode or did not hold"),
            designations: context.counter("designations", "blocks asked of drawn members"),
            built: context.counter("built", "blocks built as the drawn member of another's view"),
            relays: context.counter("relays", "bodies sent for authors that too few had them from"),
        };
        Self {
            lottery: config.lottery,
            application: config.application,
            bodies: config.bodies,
            fast,
            bulk,
            entered: Round::zero(),
            tip: None,
            revealed: BTreeSet::new(),
            reveals: BTreeMap::new(),
            work: None,
            designations: BTreeMap::new(),
            built: BTreeMap::new(),
            watches: BTreeMap::new(),
            mine: None,
            counters,
            context,
        }
    }

    pub fn start<R: Receiver<PublicKey = PublicKey>>(
        mut self,
        orders: mpsc::Receiver<Order>,
        fast: R,
        bulk: R,
    ) -> Handle<()> {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(orders, fast, bulk).await })
    }

    async fn run<R: Receiver<PublicKey = PublicKey>>(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        mut fast: R,
        mut bulk: R,
    ) {
        let mut tick = self.context.current() + TICK;
        loop {
            let now = self.context.current();
            if now >= tick {
                self.offer(now);
                tick = now + TICK;
            }
            self.relay(now);
            let due =
                self.watches.values().map(|watch| watch.deadline).min().map_or(tick, |due| due.min(tick));
            let wake = self.context.sleep_until(due);
            select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.obey(order);
                },
                message = fast.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message);
                },
                message = bulk.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message);
                },
                _ = wake => {},
            }
        }
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        let bulky = matches!(message, Message::Proof { .. } | Message::Holds { .. } | Message::Held { .. });
        // Where a message is lost its view fails, and proofs are offered again.
        let _ = if bulky {
            self.bulk.send(to, message.encode(), false)
        } else {
            self.fast.send(to, message.encode(), true)
        };
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Passed { round, digest } => self.passed(round, digest),
            Order::Designate { context, author, evidence, payload, reply } => {
                self.designate(context, author, evidence, payload, reply);
            }
            Order::Proposed { round, block } => {
                let deadline = self.context.current() + RELAY_AFTER;
                self.watches.insert(round, Watch { block, have: BTreeSet::new(), deadline });
            }
            Order::Have { committer, round, digest } => {
                self.send(Recipients::One(committer), &Message::Have { round, digest });
            }
            Order::Prepare { epoch, beacon } => self.prepare(epoch, beacon),
            Order::Proved { epoch, commitment, proof } => self.proved(epoch, commitment, proof),
            Order::BuiltHere { context, digest } => self.built_here(&context, digest),
        }
    }

    fn hear(&mut self, peer: PublicKey, message: IoBuf) {
        let sound = match Message::decode(message) {
            Ok(Message::Reveal { round, evidence }) => self.revealed(&peer, round, evidence),
            Ok(Message::Designate { context, evidence, payload }) => {
                self.designated(&peer, context, evidence, payload)
            }
            Ok(Message::Built { round, digest }) => {
                self.built(peer.clone(), round, digest);
                true
            }
            Ok(Message::Have { round, digest }) => {
                if let Some(watch) = self.watches.get_mut(&round)
                    && commonware_cryptography::Digestible::digest(&watch.block) == digest
                {
                    watch.have.insert(peer.clone());
                }
                true
            }
            Ok(Message::Proof { epoch, proof }) => self.take_proof(&peer, epoch, &proof),
            Ok(Message::Holds { epoch, commitment, signature }) => {
                self.holds(&peer, epoch, &commitment, signature)
            }
            Ok(Message::Held { epoch, held }) => self.take_held(epoch, held),
            Err(error) => {
                debug!(%peer, %error, "undecodable lottery message");
                false
            }
        };
        if !sound {
            self.counters.bad_messages.inc();
        }
    }

    // ---- Views ----

    fn near(&self, round: Round) -> bool {
        let (now, then) = (self.entered, round);
        if then.epoch() == now.epoch() {
            return then.view().get() + 1 >= now.view().get()
                && then.view().get() <= now.view().get() + VIEWS_AHEAD;
        }
        then.epoch() == now.epoch().next() && then.view().get() <= VIEWS_AHEAD
    }

    fn passed(&mut self, round: Round, digest: Option<Digest>) {
        let next = Round::new(round.epoch(), round.view().next());
        if let Some(digest) = digest
            && self.tip.is_none_or(|(tip, _)| tip < round)
        {
            self.tip = Some((round, digest));
        }
        if next <= self.entered {
            return;
        }
        self.entered = next;
        // One view is kept behind: its committer may still wait for an answer.
        let keep = Round::new(next.epoch(), next.view().previous().unwrap_or(View::zero()));
        self.reveals.retain(|round, _| *round >= keep);
        self.designations.retain(|round, _| *round >= keep);
        self.built.retain(|(round, _), _| *round >= keep);
        self.watches.retain(|round, _| *round >= keep);
        self.revealed.retain(|round| *round >= keep);
        for round in [next, Round::new(next.epoch(), next.view().next())] {
            self.reveal(round);
        }
        self.foresee();
    }

    /// Shows what this node draws with, where `round` is its turn.
    fn reveal(&mut self, round: Round) {
        if self.revealed.contains(&round) {
            return;
        }
        if let Some(shown) = self.lottery.show(round, &mut self.context) {
            self.revealed.insert(round);
            self.send(Recipients::All, &Message::Reveal { round, evidence: shown.evidence });
        }
    }

    fn revealed(&mut self, peer: &PublicKey, round: Round, evidence: Bytes) -> bool {
        if !self.near(round) || self.reveals.contains_key(&round) {
            return true;
        }
        let Some(shown) = self.lottery.shown(peer, round, evidence) else { return false };
        self.reveals.insert(round, shown);
        self.foresee();
        true
    }

    /// Begins the next view's block if this node is the one drawn, ahead of being asked.
    fn foresee(&mut self) {
        let Some((tip, digest)) = self.tip else { return };
        let next = Round::new(tip.epoch(), tip.view().next());
        let Some(shown) = self.reveals.get(&next).cloned() else { return };
        let Some(leader) = self.lottery.committer(next) else { return };
        if next == self.entered {
            let context = Context { round: next, leader, parent: (tip.view(), digest) };
            self.author(context, shown, None);
        }
    }

    // ---- The drawn member ----

    fn designated(
        &mut self,
        peer: &PublicKey,
        context: Context,
        evidence: Bytes,
        payload: Option<Payload>,
    ) -> bool {
        if !self.near(context.round) || context.leader != *peer {
            return context.leader == *peer;
        }
        let Some(shown) = self.lottery.shown(peer, context.round, evidence) else { return false };
        self.reveals.entry(context.round).or_insert_with(|| shown.clone());
        self.author(context, shown, payload);
        true
    }

    /// Builds the block for `context`, unless it is built or on its way. Whether this node is the one drawn
    /// depends on the parent's state, and is decided there.
    fn author(&mut self, context: Context, shown: Shown, payload: Option<Payload>) {
        if let Some(work) = &self.work {
            if work.context == context && work.payload == payload.is_some() {
                if let Some(digest) = work.digest {
                    self.built_here(&context, digest);
                }
                return;
            }
            if work.context.round > context.round {
                return;
            }
            work.task.abort();
        }
        let (application, bodies, lottery) =
            (self.application.clone(), self.bodies.clone(), self.lottery.clone());
        let (wanted, has_payload) = (context.clone(), payload.is_some());
        let task = self.context.child("author").spawn(move |rt| async move {
            if let Some(block) = application.author(&rt, wanted.clone(), shown, payload).await {
                let digest = commonware_cryptography::Digestible::digest(&block);
                bodies.broadcast(block);
                lottery.order(Order::BuiltHere { context: wanted, digest });
            }
        });
        self.work = Some(Work { context, payload: has_payload, digest: None, task });
    }

    fn built_here(&mut self, context: &Context, digest: Digest) {
        if let Some(work) = self.work.as_mut().filter(|work| work.context == *context) {
            if work.digest.is_none() {
                self.counters.built.inc();
            }
            work.digest = Some(digest);
        }
        let message = Message::Built { round: context.round, digest };
        self.send(Recipients::One(context.leader.clone()), &message);
    }

    // ---- The committer ----

    fn designate(
        &mut self,
        context: Context,
        author: PublicKey,
        evidence: Bytes,
        payload: Option<Payload>,
        reply: oneshot::Sender<Digest>,
    ) {
        self.counters.designations.inc();
        let round = context.round;
        self.revealed.insert(round);
        if payload.is_none()
            && let Some(digest) = self.built.get(&(round, author.clone()))
        {
            // It may be for another parent; the application then asks again.
            let _ = reply.send(*digest);
            return;
        }
        let message = Message::Designate { context, evidence, payload };
        self.send(Recipients::One(author.clone()), &message);
        self.designations.insert(round, Designation { author, reply });
    }

    fn built(&mut self, peer: PublicKey, round: Round, digest: Digest) {
        if !self.near(round) {
            return;
        }
        if self.designations.get(&round).is_some_and(|designation| designation.author == peer)
            && let Some(designation) = self.designations.remove(&round)
        {
            let _ = designation.reply.send(digest);
        }
        self.built.insert((round, peer), digest);
    }

    /// Sends bodies that too few members have acknowledged.
    fn relay(&mut self, now: SystemTime) {
        let n = u32::try_from(self.lottery.rules().members.len()).expect("clusters are small");
        let enough = quorum(n).saturating_sub(1) as usize;
        let due: Vec<_> =
            self.watches.iter().filter(|(_, watch)| watch.deadline <= now).map(|(round, _)| *round).collect();
        for round in due {
            let Some(watch) = self.watches.remove(&round) else { continue };
            if watch.have.len() < enough {
                debug!(view = round.view().get(), have = watch.have.len(), "sending a body for its author");
                self.counters.relays.inc();
                self.bodies.broadcast(watch.block);
            }
        }
    }

    // ---- Commitments for the next epoch ----

    fn prepare(&mut self, epoch: u64, beacon: Digest) {
        if let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch && mine.beacon == beacon) {
            mine.wanted = true;
            return;
        }
        let offered = SystemTime::UNIX_EPOCH;
        self.mine = Some(Mine {
            epoch,
            beacon,
            proof: None,
            holders: BTreeMap::new(),
            offered,
            offers: 0,
            wanted: true,
        });
        let (lottery, context) = (self.lottery.clone(), self.lottery.context(epoch, &beacon));
        // Hundreds of milliseconds of one core.
        self.context.child("prover").shared(true).spawn(move |mut rt| async move {
            let secrets: std::sync::Arc<EpochSecrets> = lottery.secrets(context);
            match secrets.prove(&mut rt) {
                Ok(proof) => {
                    let root = commonware_cryptography::sha256::Digest(secrets.root());
                    let hash = commonware_cryptography::sha256::Digest(proof.hash());
                    let commitment = Commitment { root, proof: hash };
                    lottery.order(Order::Proved { epoch, commitment, proof: proof.to_bytes().into() });
                }
                Err(error) => {
                    warn!(epoch, %error, "no commitment for the next epoch: its views are proven one by one")
                }
            }
        });
    }

    fn proved(&mut self, epoch: u64, commitment: Commitment, proof: Bytes) {
        let me = self.lottery.index();
        let signature = self.sign(epoch, me, &commitment);
        let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch) else { return };
        mine.proof = Some((commitment, proof.clone()));
        mine.holders.insert(me, signature);
        self.lottery.keep_proof(epoch, me, proof);
        self.count_holders();
        self.offer(self.context.current());
    }

    fn sign(&self, epoch: u64, member: u8, commitment: &Commitment) -> Signature {
        let message = held_message(epoch, member, commitment);
        self.application.key.sign(&domain::held(&self.lottery.rules().chain), &message)
    }

    /// Offers this node's proof to the others, as long as the chain lacks it.
    fn offer(&mut self, now: SystemTime) {
        let all = self.lottery.rules().members.len();
        let Some(mine) = &mut self.mine else { return };
        let Some((_, proof)) = mine.proof.clone() else { return };
        let pause = OFFER_AGAIN * (1 << mine.offers.min(5));
        if (!mine.wanted && mine.holders.len() == all) || now < mine.offered + pause {
            return;
        }
        (mine.offered, mine.wanted) = (now, false);
        mine.offers += 1;
        let epoch = mine.epoch;
        self.send(Recipients::All, &Message::Proof { epoch, proof });
        self.count_holders();
    }

    fn take_proof(&mut self, peer: &PublicKey, epoch: u64, proof: &Bytes) -> bool {
        // Its context is known once this node prepares the same epoch.
        let Some(mine) = self.mine.as_ref().filter(|mine| mine.epoch == epoch) else { return true };
        let context = self.lottery.context(epoch, &mine.beacon);
        let Some((member, key)) = self.lottery.key_of(peer) else { return false };
        let checked = EpochProof::from_bytes(proof).map_err(baton_vrf::Refused::from);
        match checked.and_then(|proof| proof.verify(&key, &context, self.lottery.rounds())) {
            Ok(found) if !self.lottery.agrees(epoch, member, &found.root) => {
                warn!(%peer, epoch, "a member's proof is for another root than the one in force");
                false
            }
            Ok(found) => {
                let commitment = Commitment {
                    root: commonware_cryptography::sha256::Digest(found.root),
                    proof: commonware_cryptography::sha256::Digest(found.proof_hash),
                };
                self.lottery.keep_proof(epoch, member, proof.clone());
                let signature = self.sign(epoch, member, &commitment);
                let message = Message::Holds { epoch, commitment, signature };
                self.send(Recipients::One(peer.clone()), &message);
                true
            }
            Err(error) => {
                warn!(%peer, epoch, %error, "a member's proof for the next epoch does not hold");
                false
            }
        }
    }

    fn holds(&mut self, peer: &PublicKey, epoch: u64, commitment: &Commitment, signature: Signature) -> bool {
        let me = self.lottery.index();
        let Some((holder, _)) = self.lottery.key_of(peer) else { return false };
        let domain = domain::held(&self.lottery.rules().chain);
        if !peer.verify(&domain, &held_message(epoch, me, commitment), &signature) {
            return false;
        }
        if let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch)
            && mine.proof.as_ref().is_some_and(|(own, _)| own == commitment)
        {
            mine.holders.insert(holder, signature);
            self.count_holders();
        }
        true
    }

    /// Tells everybody once enough members hold this node's proof.
    fn count_holders(&mut self) {
        let n = u32::try_from(self.lottery.rules().members.len()).expect("clusters are small");
        let Some(mine) = &self.mine else { return };
        let Some((commitment, _)) = &mine.proof else { return };
        let needed = quorum(n) as usize;
        if mine.holders.len() < needed {
            return;
        }
        let holders =
            mine.holders.iter().take(needed).map(|(holder, signature)| (*holder, signature.clone()));
        let held = Held { member: self.lottery.index(), commitment: *commitment, holders: holders.collect() };
        let epoch = mine.epoch;
        info!(epoch, "enough members hold this node's commitment");
        self.lottery.keep_held(epoch, held.clone());
        self.send(Recipients::All, &Message::Held { epoch, held });
    }

    fn take_held(&mut self, epoch: u64, held: Held) -> bool {
        if self.mine.as_ref().is_none_or(|mine| mine.epoch != epoch) {
            return true;
        }
        if self.lottery.rules().check_holders(epoch, &held).is_err() {
            return false;
        }
        self.lottery.keep_held(epoch, held);
        true
    }
}

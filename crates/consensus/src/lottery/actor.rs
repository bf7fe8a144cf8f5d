use super::{
    Lottery, Shown,
    buffer::Bodies,
    wire::{Message, Order},
};
use crate::{aliases::Runtime, application::Application};
use baton_types::{Block, Context, Digest, Payload, PublicKey, Round, View, quorum};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::Digested;
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
use tracing::debug;

/// Views ahead of this node's for which messages are kept.
const VIEWS_AHEAD: u64 = 16;
/// A body that fewer than 2f peers have by then is sent by the committer.
const RELAY_AFTER: Duration = Duration::from_millis(100);
/// With nothing to watch the actor looks again after so long.
const IDLE: Duration = Duration::from_secs(1);
/// Blocks that one view's committer may have of the drawn member: one foreseen, one with another parent, one with
/// ceremony material, and one more.
const BUILDS_MAX: u32 = 4;

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
    sender: S,
    /// The view this node is in.
    entered: Round,
    /// The last notarized block.
    tip: Option<(Round, Digest)>,
    revealed: BTreeSet<Round>,
    reveals: BTreeMap<Round, Shown>,
    work: Option<Work>,
    /// Designations for views that this node is not in yet: one for each of those whose messages are kept.
    asked: BTreeMap<Round, Asked>,
    designations: BTreeMap<Round, Designation>,
    built: BTreeMap<(Round, PublicKey), Digest>,
    watches: BTreeMap<Round, Watch>,
    counters: Counters,
}

/// A block that this node builds as the drawn member, or has built.
struct Work {
    context: Context,
    payload: bool,
    digest: Option<Digest>,
    /// Blocks begun for this view so far.
    builds: u32,
    task: Handle<()>,
}

/// What a committer wants of this node.
struct Asked {
    context: Context,
    shown: Shown,
    payload: Option<Payload>,
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

struct Counters {
    bad_messages: Counter,
    designations: Counter,
    built: Counter,
    builds_refused: Counter,
    relays: Counter,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    pub fn new(context: E, config: Config, sender: S) -> Self {
        let counters = Counters {
            bad_messages: context.counter("bad_messages", "messages that did not decode or did not hold"),
            designations: context.counter("designations", "blocks asked of drawn members"),
            built: context.counter("built", "blocks built as the drawn member of another's view"),
            builds_refused: context
                .counter("builds_refused", "designations beyond the blocks that a view may have"),
            relays: context.counter("relays", "bodies sent for authors that too few had them from"),
        };
        Self {
            lottery: config.lottery,
            application: config.application,
            bodies: config.bodies,
            sender,
            entered: Round::zero(),
            tip: None,
            revealed: BTreeSet::new(),
            reveals: BTreeMap::new(),
            work: None,
            asked: BTreeMap::new(),
            designations: BTreeMap::new(),
            built: BTreeMap::new(),
            watches: BTreeMap::new(),
            counters,
            context,
        }
    }

    pub fn start<R: Receiver<PublicKey = PublicKey>>(
        mut self,
        orders: mpsc::Receiver<Order>,
        receiver: R,
    ) -> Handle<()> {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(orders, receiver).await })
    }

    async fn run<R: Receiver<PublicKey = PublicKey>>(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        mut receiver: R,
    ) {
        loop {
            let now = self.context.current();
            self.relay(now);
            let due = self.watches.values().map(|watch| watch.deadline).min();
            let wake = self.context.sleep_until(due.unwrap_or(now + IDLE));
            select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.obey(order);
                },
                message = receiver.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message);
                },
                _ = wake => {},
            }
        }
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        // Where a message is lost its view fails.
        let _ = self.sender.send(to, message.encode(), true);
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
            // Proofs have a channel of their own.
            Ok(_) => false,
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

    /// Whether this node is in the view of `round`, as far as it knows: nothing tells it of an epoch's first.
    fn present(&self, round: Round) -> bool {
        let (now, first) = (self.entered, round.view().get() == 1);
        round == now || (first && (now.epoch() < round.epoch() || now.view().is_zero()))
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
        self.asked.retain(|round, _| *round >= next);
        for round in [next, Round::new(next.epoch(), next.view().next())] {
            self.reveal(round);
        }
        match self.asked.remove(&next) {
            Some(Asked { context, shown, payload }) => self.author(context, shown, payload),
            None => self.foresee(),
        }
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
        let round = context.round;
        self.reveals.entry(round).or_insert_with(|| shown.clone());
        if round <= self.entered || self.present(round) {
            self.author(context, shown, payload);
        } else {
            // Begun now, it would stand before the blocks of the views until then.
            self.asked.insert(round, Asked { context, shown, payload });
        }
        true
    }

    /// Builds the block for `context`, unless it is built or on its way. Whether this node is the one drawn
    /// depends on the parent's state, and is decided there.
    fn author(&mut self, context: Context, shown: Shown, payload: Option<Payload>) {
        let mut builds = 1;
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
            if work.context.round == context.round {
                builds = work.builds + 1;
            }
            // Each is signed and sent to everybody: a committer must not have them at will.
            if builds > BUILDS_MAX {
                self.counters.builds_refused.inc();
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
        self.work = Some(Work { context, payload: has_payload, digest: None, builds, task });
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
            && let Some(digest) = self.built.remove(&(round, author.clone()))
        {
            // It may be for another parent; the application then asks again.
            let _ = reply.send(digest);
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
            return;
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
}

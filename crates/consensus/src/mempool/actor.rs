use super::{
    Accepted, Waits,
    journal::{Journal, batches},
    metrics::Metrics,
    wire::{Batch, Message},
};
use crate::{aliases::Runtime, shared::Shared};
use baton_execution::pool::{MemberIndex, Pool, Source, Unit};
use baton_types::{
    BlockLimits, PublicKey, TxId,
    api::Ack,
    receipt::{Reason, Rung},
};
use commonware_codec::{Decode as _, Encode as _};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Handle, IoBuf, buffer::paged::CacheRef};
use commonware_utils::ordered::Set;
use futures::FutureExt as _;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

/// Requests taken into one group.
const GROUP_MAX: usize = 1_024;
/// Messages of other members taken into one group.
const HEARD_MAX: usize = 64;
/// New units go to the other members at most this often, unless there are many.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(5);
/// So many bytes do not wait.
const GOSSIP_BYTES: usize = 64 * 1024;
/// Own units are gossiped again after this long in the pool.
const REPEAT_MS: u64 = 2_000;
/// Payload gossiped again per tick.
const REPEAT_BYTES_MAX: usize = 512 * 1024;
/// How long a submitter waits for 2f+1 journals before it gets a `pending` receipt.
const ACK_MS: u64 = 5_000;
/// Groups of submitters waiting for acknowledgements.
const WAITING_MAX: usize = 4_096;
const TICK: Duration = Duration::from_millis(250);

pub struct Config {
    pub partition: String,
    pub page_cache: CacheRef,
    pub limits: BlockLimits,
    /// Members besides this node whose journals make a unit `replicated`: 2f.
    pub acks_needed: usize,
    /// As in the genesis. What others say is not listened to.
    pub members: Set<PublicKey>,
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>> {
    context: E,
    shared: Arc<Shared>,
    limits: BlockLimits,
    acks_needed: usize,
    members: Set<PublicKey>,
    network: S,
    journal: Journal<E>,
    next_number: u64,
    outbox: Outbox,
    last_gossip: SystemTime,
    waiting: BTreeMap<u64, Waiting>,
    /// Own units since their last gossip, oldest first.
    repeats: VecDeque<(u64, Waits)>,
    metrics: Metrics,
}

/// What is to be gossiped next.
#[derive(Default)]
struct Outbox {
    plain: Vec<Arc<Unit>>,
    /// From submitters that want acknowledgements.
    wanted: Vec<Arc<Unit>>,
    wanting: Vec<Wanting>,
    bytes: usize,
}

/// A submitter that wants more than this node's journal.
struct Wanting {
    ids: Vec<TxId>,
    reply: oneshot::Sender<Rung>,
}

/// Submitters whose units went out together.
struct Waiting {
    deadline_ms: u64,
    /// Messages they were cut into; a member's word counts when it has acknowledged all.
    messages: usize,
    from: BTreeMap<PublicKey, usize>,
    submitters: Vec<Wanting>,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    /// Opens the journal and puts what it holds back into the pool.
    pub async fn open(context: E, config: Config, shared: Arc<Shared>, network: S) -> Self {
        let mut repeats = VecDeque::new();
        let mut restored = 0;
        let restore = |batch: Batch| {
            let back = restore(&shared, &batch);
            restored += back.len();
            repeats.extend(back.into_iter().map(|waits| (0, waits)));
        };
        let journal = Journal::open(
            context.child("journal"),
            config.partition,
            config.limits,
            config.page_cache,
            restore,
        )
        .await;
        if restored > 0 {
            info!(units = restored, "transactions restored from the mempool journal");
        }
        Self {
            metrics: Metrics::new(&context),
            limits: config.limits,
            acks_needed: config.acks_needed,
            members: config.members,
            network,
            journal,
            // Numbers of an earlier run must not match acknowledgements of this one.
            next_number: shared.now_ms() << 20,
            outbox: Outbox::default(),
            last_gossip: SystemTime::UNIX_EPOCH,
            waiting: BTreeMap::new(),
            repeats,
            shared,
            context,
        }
    }

    pub fn start<R>(mut self, requests: mpsc::Receiver<Accepted>, network: R) -> Handle<()>
    where
        R: Receiver<PublicKey = PublicKey>,
    {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(requests, network).await })
    }

    async fn run(
        &mut self,
        mut requests: mpsc::Receiver<Accepted>,
        mut network: impl Receiver<PublicKey = PublicKey>,
    ) {
        let mut due = self.context.current() + TICK;
        let mut group = Vec::new();
        let mut own_first = false;
        loop {
            let now = self.context.current();
            if now >= due {
                self.tick().await;
                due = now + TICK;
            }
            if self.gossip_due(now) {
                self.flush();
            }
            let wake = if self.outbox.is_empty() { due } else { due.min(self.last_gossip + GOSSIP_INTERVAL) };
            let wake = self.context.sleep_until(wake);
            // `select!` takes the first arm that is ready: each side goes first in turn, so that neither
            // can starve the other.
            own_first = !own_first;
            let heard = if own_first {
                select! {
                    _ = requests.recv_many(&mut group, GROUP_MAX) => None,
                    message = network.recv() => Some(message),
                    _ = wake => continue,
                }
            } else {
                select! {
                    message = network.recv() => Some(message),
                    _ = requests.recv_many(&mut group, GROUP_MAX) => None,
                    _ = wake => continue,
                }
            };
            match heard {
                Some(Ok(first)) => {
                    let mut messages = vec![first];
                    while messages.len() < HEARD_MAX
                        && let Some(Ok(message)) = network.recv().now_or_never()
                    {
                        messages.push(message);
                    }
                    self.hear(messages).await;
                }
                Some(Err(_)) => return,
                None if group.is_empty() => return,
                None => self.accept(std::mem::take(&mut group)).await,
            }
        }
    }

    /// Journals a group of requests and answers those that want no more; their units go to the outbox.
    async fn accept(&mut self, group: Vec<Accepted>) {
        let now = self.shared.now_ms();
        let units: Vec<Waits> = group.iter().flat_map(|request| request.units.iter().cloned()).collect();
        let mut answers = Vec::new();
        for request in group {
            self.repeats.extend(request.units.iter().map(|waits| (now, waits.clone())));
            self.outbox.bytes += request.units.iter().map(|(unit, _)| unit.bytes()).sum::<usize>();
            let units = request.units.into_iter().map(|(unit, _)| unit);
            let wanting = Wanting { ids: request.ids, reply: request.reply };
            if request.ack == Ack::Replicated && self.acks_needed > 0 {
                self.outbox.wanted.extend(units);
                self.outbox.wanting.push(wanting);
            } else {
                self.outbox.plain.extend(units);
                answers.push(wanting);
            }
        }
        if self.gossip_due(self.context.current()) {
            self.flush();
        }
        self.write(units).await;
        for Wanting { ids, reply } in answers {
            let rung = if self.acks_needed == 0 { self.replicated(&ids) } else { Rung::Pending };
            let _ = reply.send(rung);
        }
    }

    /// Journals units, durably, and remembers that they are.
    async fn write(&mut self, units: Vec<Waits>) {
        if units.is_empty() {
            return;
        }
        self.journal.append(&batches(units.iter().map(|(unit, _)| unit.clone()))).await;
        self.shared.set_journaled(units.iter().flat_map(|(_, ids)| ids.iter()));
        self.metrics.journaled.inc_by(units.len() as u64);
    }

    fn replicated(&self, ids: &[TxId]) -> Rung {
        self.shared.set_replicated(ids);
        Rung::Replicated
    }

    fn gossip_due(&self, now: SystemTime) -> bool {
        !self.outbox.is_empty()
            && (self.outbox.bytes >= GOSSIP_BYTES || now >= self.last_gossip + GOSSIP_INTERVAL)
    }

    fn flush(&mut self) {
        let outbox = std::mem::take(&mut self.outbox);
        self.last_gossip = self.context.current();
        self.gossip(batches(outbox.plain), false);
        if outbox.wanting.is_empty() {
            return;
        }
        let messages = batches(outbox.wanted);
        let waiting = Waiting {
            deadline_ms: self.shared.now_ms() + ACK_MS,
            messages: messages.len(),
            from: BTreeMap::new(),
            submitters: outbox.wanting,
        };
        let number = self.gossip(messages, true);
        self.waiting.insert(number, waiting);
        if self.waiting.len() > WAITING_MAX
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            oldest.answer(Rung::Pending);
        }
    }

    /// Sends batches under one number.
    fn gossip(&mut self, batches: Vec<Batch>, ack: bool) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        for batch in batches {
            let message = Message::Units { number, ack, batch };
            self.send(Recipients::All, &message);
        }
        number
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        if self.network.send(to, message.encode(), false).is_empty() {
            self.metrics.unsent.inc();
        }
    }

    /// Takes messages of other members; one sync covers all that asked for an acknowledgement.
    async fn hear(&mut self, messages: Vec<(PublicKey, IoBuf)>) {
        let mut to_journal = Vec::new();
        let mut to_ack = Vec::new();
        for (peer, message) in messages {
            let Some(member) = self.members.position(&peer) else {
                self.metrics.strangers.inc();
                continue;
            };
            match Message::decode_cfg(message, &self.limits) {
                Ok(Message::Ack { number }) => self.acknowledged(peer, number),
                Ok(Message::Units { number, ack, batch }) => {
                    if let Some(units) = self.take(&Source::Peer(MemberIndex(member)), &batch)
                        && ack
                        // A duplicate may be of a unit that waits with other legs.
                        && units.iter().all(|(_, ids)| self.shared.all_known(ids))
                    {
                        to_journal.extend(units);
                        to_ack.push((peer, number));
                    }
                }
                Err(error) => {
                    self.metrics.bad_messages.inc();
                    debug!(%peer, %error, "undecodable mempool message");
                }
            }
        }
        let asked = to_journal.len();
        let mut seen = BTreeSet::new();
        to_journal.retain(|(_, ids): &Waits| !self.shared.all_safe(ids) && seen.insert(ids.clone()));
        self.metrics.journaled_already.inc_by((asked - to_journal.len()) as u64);
        self.write(to_journal).await;
        for (peer, number) in to_ack {
            self.send(Recipients::One(peer), &Message::Ack { number });
        }
    }

    /// Puts another member's units into the pool. Returns them unless one was refused, other than as known.
    fn take(&mut self, source: &Source, batch: &Batch) -> Option<Vec<Waits>> {
        let tip = self.shared.finalized_height();
        let mut sound = true;
        let mut refuse = |reason: Reason| {
            sound &= reason == Reason::Duplicate;
            self.metrics.refuse(reason);
        };
        let mut checked = Vec::with_capacity(batch.0.len());
        let units = batch.0.iter().map(|unit| Unit::clone(unit)).collect();
        for result in Pool::check_all(&self.shared.rules, units, tip) {
            match result {
                Ok(unit) => checked.push(unit),
                Err(refusal) => refuse(refusal.reason),
            }
        }
        let units: Vec<Waits> = checked.iter().map(|unit| (unit.unit(), unit.ids_shared())).collect();
        for refusal in self.shared.admit(checked, source).into_iter().filter_map(Result::err) {
            refuse(refusal.reason);
        }
        sound.then_some(units)
    }

    fn acknowledged(&mut self, peer: PublicKey, number: u64) {
        let Some(waiting) = self.waiting.get_mut(&number) else {
            self.metrics.acks_unawaited.inc();
            return;
        };
        *waiting.from.entry(peer).or_default() += 1;
        let full = waiting.from.values().filter(|acks| **acks >= waiting.messages).count();
        if full >= self.acks_needed
            && let Some(waiting) = self.waiting.remove(&number)
        {
            for submitter in &waiting.submitters {
                self.replicated(&submitter.ids);
            }
            waiting.answer(Rung::Replicated);
        }
    }

    async fn tick(&mut self) {
        let now = self.shared.now_ms();
        while let Some(entry) = self.waiting.first_entry()
            && entry.get().deadline_ms <= now
        {
            let waiting = entry.remove();
            debug!(acks = waiting.from.len(), "not replicated in time");
            waiting.answer(Rung::Pending);
        }
        self.repeat(now);
        self.journal.prune(self.shared.finalized_height()).await;
    }

    fn repeat(&mut self, now: u64) {
        let mut again = Vec::new();
        let mut bytes = 0;
        while let Some((since, _)) = self.repeats.front()
            && since + REPEAT_MS <= now
            && bytes < REPEAT_BYTES_MAX
        {
            let Some((_, waits)) = self.repeats.pop_front() else { break };
            if self.shared.any_waiting(&waits.1) {
                bytes += waits.0.bytes();
                again.push(waits);
            }
        }
        self.gossip(batches(again.iter().map(|(unit, _)| unit.clone())), false);
        self.repeats.extend(again.into_iter().map(|waits| (now, waits)));
    }
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.wanted.is_empty()
    }
}

impl Waiting {
    fn answer(self, rung: Rung) {
        for submitter in self.submitters {
            let _ = submitter.reply.send(rung);
        }
    }
}

/// Puts journaled units back into the pool, as far as they still can be ordered.
fn restore(shared: &Shared, batch: &Batch) -> Vec<Waits> {
    let tip = shared.finalized_height();
    let units = batch.0.iter().map(|unit| Unit::clone(unit)).collect();
    let checked: Vec<_> =
        Pool::check_all(&shared.rules, units, tip).into_iter().filter_map(Result::ok).collect();
    let units: Vec<_> = checked.iter().map(|unit| (unit.unit(), unit.ids_shared())).collect();
    let outcomes = shared.admit(checked, &Source::Journal);
    units.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(waits, _)| waits).collect()
}

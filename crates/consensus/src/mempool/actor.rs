use super::{
    Accepted, Waits,
    journal::{Journal, batches},
    wire::{Batch, Message},
};
use crate::{aliases::Runtime, shared::Shared};
use baton_execution::pool::{Pool, Source, Unit};
use baton_types::{BlockLimits, PublicKey, TxId, api::Ack, receipt::{Reason, Rung}};
use commonware_codec::{Decode as _, Encode as _};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Handle, buffer::paged::CacheRef, telemetry::metrics::{Counter, MetricsExt as _}};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

/// Requests taken into one group.
const GROUP_MAX: usize = 1_024;
/// Own units are gossiped again after this long in the pool.
const REPEAT_MS: u64 = 2_000;
/// Payload gossiped again per second.
const REPEAT_BYTES_MAX: usize = 1024 * 1024;
/// How long a submitter waits for 2f+1 journals before it gets a `pending` receipt.
const ACK_MS: u64 = 5_000;
/// Submitters waiting for acknowledgements.
const WAITING_MAX: usize = 16_384;
const TICK: Duration = Duration::from_millis(250);

pub struct Config {
    pub partition: String,
    pub page_cache: CacheRef,
    pub limits: BlockLimits,
    /// Members besides this node whose journals make a unit `replicated`: 2f.
    pub acks_needed: usize,
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>> {
    context: E,
    shared: Arc<Shared>,
    limits: BlockLimits,
    acks_needed: usize,
    network: S,
    journal: Journal<E>,
    next_number: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Own units since their last gossip, oldest first.
    repeats: VecDeque<(u64, Waits)>,
    bad_messages: Counter,
    refused: Counter,
}

/// A submitter that wants more than this node's journal.
struct Waiting {
    deadline_ms: u64,
    /// Messages the request was cut into; a member's word counts when it has acknowledged all.
    messages: usize,
    from: BTreeMap<PublicKey, usize>,
    ids: Vec<TxId>,
    reply: oneshot::Sender<Rung>,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    /// Opens the journal and puts what it holds back into the pool.
    pub async fn open(context: E, config: Config, shared: Arc<Shared>, network: S) -> Self {
        let (journal, records) =
            Journal::open(context.child("journal"), config.partition, config.limits, config.page_cache).await;
        let mut actor = Self {
            bad_messages: context.counter("bad_messages", "messages that did not decode"),
            refused: context.counter("refused", "units of other members that the pool refused"),
            context,
            shared,
            limits: config.limits,
            acks_needed: config.acks_needed,
            network,
            journal,
            // Numbers of an earlier run must not match acknowledgements of this one.
            next_number: 0,
            waiting: BTreeMap::new(),
            repeats: VecDeque::new(),
        };
        actor.next_number = actor.shared.now_ms() << 20;
        let restored: usize = records.into_iter().map(|batch| actor.restore(batch)).sum();
        if restored > 0 {
            info!(transactions = restored, "transactions restored from the mempool journal");
        }
        actor
    }

    /// Returns how many units are back in the pool.
    fn restore(&mut self, batch: Batch) -> usize {
        let tip = self.shared.finalized_height();
        let checked: Vec<_> = batch
            .0
            .iter()
            .filter_map(|unit| Pool::check(&self.shared.rules, Unit::clone(unit), tip).ok())
            .collect();
        let units: Vec<_> = checked.iter().map(|unit| (unit.unit(), unit.ids_shared())).collect();
        let outcomes = self.shared.admit(checked, &Source::Peer);
        let back: Vec<_> = units.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).collect();
        let count = back.len();
        self.repeats.extend(back.into_iter().map(|(waits, _)| (0, waits)));
        count
    }

    pub fn start<R>(mut self, requests: mpsc::Receiver<Accepted>, network: R) -> Handle<()>
    where
        R: Receiver<PublicKey = PublicKey>,
    {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(requests, network).await })
    }

    async fn run(&mut self, mut requests: mpsc::Receiver<Accepted>, mut network: impl Receiver<PublicKey = PublicKey>) {
        let mut group = Vec::new();
        loop {
            let tick = self.context.sleep(TICK);
            select! {
                taken = requests.recv_many(&mut group, GROUP_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.accept(std::mem::take(&mut group)).await;
                },
                message = network.recv() => {
                    let Ok((peer, message)) = message else { return };
                    match Message::decode_cfg(message, &self.limits) {
                        Ok(message) => self.hear(peer, message).await,
                        Err(error) => {
                            self.bad_messages.inc();
                            debug!(%peer, %error, "undecodable mempool message");
                        }
                    }
                },
                _ = tick => self.tick().await,
            }
        }
    }

    /// Gossips and journals a group of requests, then answers them.
    async fn accept(&mut self, group: Vec<Accepted>) {
        let now = self.shared.now_ms();
        let (wanting, plain): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|request| request.ack == Ack::Replicated && self.acks_needed > 0);
        let mut records = batches(plain.iter().flat_map(units));
        for batch in &records {
            let number = self.number();
            self.gossip(number, batch.clone(), false);
        }
        for request in plain.iter().chain(&wanting) {
            self.repeats.extend(request.units.iter().map(|waits| (now, waits.clone())));
        }
        let mut numbered = Vec::new();
        for request in wanting {
            let own = batches(units(&request));
            let number = self.number();
            for batch in &own {
                self.gossip(number, batch.clone(), true);
            }
            numbered.push((number, own.len(), request));
            records.extend(own);
        }
        self.journal.append(&records).await;
        for request in plain {
            let rung = if self.acks_needed == 0 { self.replicated(&request.ids) } else { Rung::Pending };
            let _ = request.reply.send(rung);
        }
        for (number, messages, request) in numbered {
            if self.waiting.len() >= WAITING_MAX {
                let _ = request.reply.send(Rung::Pending);
                continue;
            }
            let waiting = Waiting {
                deadline_ms: now + ACK_MS,
                messages,
                from: BTreeMap::new(),
                ids: request.ids,
                reply: request.reply,
            };
            self.waiting.insert(number, waiting);
        }
    }

    fn replicated(&self, ids: &[TxId]) -> Rung {
        self.shared.set_replicated(ids);
        Rung::Replicated
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn gossip(&mut self, number: u64, batch: Batch, ack: bool) {
        let message = Message::Units { number, ack, batch };
        self.network.send(Recipients::All, message.encode(), false);
    }

    async fn hear(&mut self, peer: PublicKey, message: Message) {
        match message {
            Message::Units { number, ack, batch } => self.take(peer, number, ack, batch).await,
            Message::Ack { number } => self.acknowledged(peer, number),
        }
    }

    /// Another member's units. Only an honest batch is journaled: one that is all admitted or known.
    async fn take(&mut self, peer: PublicKey, number: u64, ack: bool, batch: Batch) {
        let tip = self.shared.finalized_height();
        let checked: Vec<_> = batch
            .0
            .iter()
            .filter_map(|unit| Pool::check(&self.shared.rules, Unit::clone(unit), tip).ok())
            .collect();
        let sound = checked.len() == batch.0.len();
        let ids: Vec<TxId> = checked.iter().flat_map(|unit| unit.ids().iter().copied()).collect();
        let outcomes = self.shared.admit(checked, &Source::Peer);
        let refused = outcomes
            .iter()
            .filter(|outcome| outcome.as_ref().is_err_and(|refusal| refusal.reason != Reason::Duplicate))
            .count();
        self.refused.inc_by(u64::try_from(refused).unwrap_or(u64::MAX));
        if ack && sound && refused == 0 && self.shared.all_known(&ids) {
            self.journal.append(&[batch]).await;
            self.network.send(Recipients::One(peer), Message::Ack { number }.encode(), false);
        }
    }

    fn acknowledged(&mut self, peer: PublicKey, number: u64) {
        let Some(waiting) = self.waiting.get_mut(&number) else { return };
        *waiting.from.entry(peer).or_default() += 1;
        let full = waiting.from.values().filter(|acks| **acks >= waiting.messages).count();
        if full >= self.acks_needed
            && let Some(waiting) = self.waiting.remove(&number)
        {
            let rung = self.replicated(&waiting.ids);
            let _ = waiting.reply.send(rung);
        }
    }

    async fn tick(&mut self) {
        let now = self.shared.now_ms();
        while let Some(entry) = self.waiting.first_entry()
            && entry.get().deadline_ms <= now
        {
            let waiting = entry.remove();
            debug!(acks = waiting.from.len(), "not replicated in time");
            let _ = waiting.reply.send(Rung::Pending);
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
        for batch in batches(again.iter().map(|(unit, _)| unit.clone())) {
            let number = self.number();
            self.gossip(number, batch, false);
        }
        self.repeats.extend(again.into_iter().map(|waits| (now, waits)));
    }
}

fn units(request: &Accepted) -> impl Iterator<Item = Arc<Unit>> {
    request.units.iter().map(|(unit, _)| unit.clone())
}

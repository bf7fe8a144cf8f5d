//! Answers other members, and asks them.

use super::{
    ANSWER, ASKED_MAX, PATIENCE, PIN, REST, TICK,
    wire::{ANSWER_BYTES, Message},
};
use crate::{aliases::Runtime, evm::Executions};
use alloy_primitives::B256;
use baton_execution::evm::{Fetch, Past, Piece, Wish};
use baton_types::{ExecutionResult, PublicKey, RollupId};
use commonware_codec::{Decode as _, Encode as _, EncodeSize as _};
use commonware_macros::select;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::{
    Handle, IoBuf,
    telemetry::metrics::{Counter, MetricsExt as _},
};
use rand::RngExt as _;
use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};
use tokio::sync::{mpsc, oneshot};

/// Requests of this node's executors that wait.
const REQUESTS_MAX: usize = 16;

pub struct Config<B> {
    /// All others.
    pub members: Vec<PublicKey>,
    pub executions: Executions,
    pub blocker: B,
}

pub(super) struct Request {
    rollup: RollupId,
    result: ExecutionResult,
    reply: oneshot::Sender<Option<Fetch<PublicKey>>>,
}

#[derive(Clone)]
pub struct Mailbox(mpsc::Sender<Request>);

impl Mailbox {
    /// The state that `result` names, complete; none when no member gives it.
    pub async fn fetch(&self, rollup: RollupId, result: ExecutionResult) -> Option<Fetch<PublicKey>> {
        let (reply, fetched) = oneshot::channel();
        self.0.send(Request { rollup, result, reply }).await.ok()?;
        fetched.await.ok()?
    }
}

/// A member, while its state is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Asked {
        until: SystemTime,
    },
    Resting {
        until: SystemTime,
    },
    /// It does not have the state, or lied.
    Useless,
}

struct Fetching {
    fetch: Fetch<PublicKey>,
    number: u64,
    /// Those that are not here may be asked.
    peers: BTreeMap<PublicKey, Peer>,
    /// The place of the member that is asked next, if it may be.
    turn: usize,
    /// When the last piece came.
    heard: SystemTime,
    reply: oneshot::Sender<Option<Fetch<PublicKey>>>,
}

struct Pin {
    past: Arc<Past>,
    until: SystemTime,
}

struct Metrics {
    asked: Counter,
    served: Counter,
    fetched: Counter,
    forged: Counter,
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> {
    context: E,
    config: Config<B>,
    network: S,
    fetching: BTreeMap<RollupId, Fetching>,
    pins: BTreeMap<(PublicKey, RollupId), Pin>,
    metrics: Metrics,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> Actor<E, S, B> {
    /// On a thread of its own: to cut out pieces and to verify them takes a while.
    pub fn start(
        context: E,
        config: Config<B>,
        (network, receiver): (S, impl Receiver<PublicKey = PublicKey>),
    ) -> (Handle<()>, Mailbox) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let metrics = Metrics {
            asked: context.counter("asked", "times that a member was asked for pieces of a state"),
            served: context.counter("served", "pieces of states given to members"),
            fetched: context.counter("fetched", "pieces of states got from members"),
            forged: context.counter("forged", "answers and asks of members that do not verify or decode"),
        };
        let kept = sender.clone();
        let handle = context.child("actor").dedicated().spawn(move |context| async move {
            // Where nobody executes, nobody fetches; it stays all the same.
            let _kept = kept;
            let (fetching, pins) = (BTreeMap::new(), BTreeMap::new());
            let mut actor = Self { context, config, network, fetching, pins, metrics };
            actor.run(requests, receiver).await;
        });
        (handle, Mailbox(sender))
    }

    async fn run(
        &mut self,
        mut requests: mpsc::Receiver<Request>,
        mut receiver: impl Receiver<PublicKey = PublicKey>,
    ) {
        let mut due = self.context.current() + TICK;
        loop {
            if self.context.current() >= due {
                self.tick();
                due = self.context.current() + TICK;
            }
            let tick = self.context.sleep_until(due);
            select! {
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    self.request(request);
                },
                message = receiver.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message);
                },
                _ = tick => {},
            }
        }
    }

    fn request(&mut self, Request { rollup, result, reply }: Request) {
        let fetch = Fetch::new(B256::from(result.hash.0), B256::from(result.state_root.0));
        let (number, heard) = (result.number, self.context.current());
        let (peers, turn) = (BTreeMap::new(), self.context.random_range(0..self.config.members.len().max(1)));
        self.fetching.insert(rollup, Fetching { fetch, number, peers, turn, heard, reply });
        self.ask(rollup);
    }

    fn tick(&mut self) {
        let now = self.context.current();
        self.pins.retain(|_, pin| pin.until > now);
        for rollup in self.fetching.keys().copied().collect::<Vec<_>>() {
            self.ask(rollup);
        }
    }

    /// Asks whoever may be asked, unless it is over.
    fn ask(&mut self, rollup: RollupId) {
        let now = self.context.current();
        let Some(fetching) = self.fetching.get_mut(&rollup) else { return };
        let Fetching { fetch, number, peers, turn, heard, reply } = fetching;
        for (peer, state) in peers.iter_mut() {
            if matches!(state, Peer::Asked { until } if *until <= now) {
                fetch.give_up(peer);
                *state = Peer::Resting { until: now + REST };
            }
        }
        peers.retain(|_, state| !matches!(state, Peer::Resting { until } if *until <= now));
        let useless = |member| peers.get(member) == Some(&Peer::Useless);
        let over = self.config.members.iter().all(useless) || now > *heard + PATIENCE;
        if fetch.is_complete() || over || reply.is_closed() {
            if let Some(Fetching { fetch, reply, .. }) = self.fetching.remove(&rollup) {
                let _ = reply.send(fetch.is_complete().then_some(fetch));
            }
            return;
        }
        let mut asked = peers.values().filter(|state| matches!(state, Peer::Asked { .. })).count();
        let members = &self.config.members;
        for member in members.iter().cycle().skip(*turn).take(members.len()) {
            if asked >= ASKED_MAX {
                break;
            }
            if peers.contains_key(member) {
                continue;
            }
            let Some(wishes) = fetch.ask(member) else { break };
            peers.insert(member.clone(), Peer::Asked { until: now + ANSWER });
            let message = Message::Ask { rollup, number: *number, wishes };
            self.network.send(Recipients::One(member.clone()), message.encode(), false);
            self.metrics.asked.inc();
            *turn = (*turn + 1) % members.len();
            asked += 1;
        }
    }

    fn hear(&mut self, peer: PublicKey, message: IoBuf) {
        if !self.config.members.contains(&peer) {
            return;
        }
        match Message::decode_cfg(message, &()) {
            Ok(Message::Ask { rollup, number, wishes }) => {
                let pieces = self.serve(&peer, rollup, number, &wishes);
                self.metrics.served.inc_by(pieces.len() as u64);
                let answer = Message::Answer { rollup, number, pieces };
                self.network.send(Recipients::One(peer), answer.encode(), false);
            }
            Ok(Message::Answer { rollup, number, pieces }) => self.answered(&peer, rollup, number, &pieces),
            Err(error) => self.refuse(peer, &error),
        }
    }

    fn refuse(&mut self, peer: PublicKey, why: &dyn fmt::Display) {
        self.metrics.forged.inc();
        commonware_p2p::block!(self.config.blocker, peer, %why, "false or undecodable piece of a state");
    }

    fn answered(&mut self, peer: &PublicKey, rollup: RollupId, number: u64, pieces: &[Piece]) {
        let now = self.context.current();
        let Some(fetching) = self.fetching.get_mut(&rollup).filter(|fetching| fetching.number == number)
        else {
            return;
        };
        // Too late, or never asked.
        if !matches!(fetching.peers.get(peer), Some(Peer::Asked { .. })) {
            return;
        }
        if pieces.is_empty() {
            fetching.fetch.give_up(peer);
            fetching.peers.insert(peer.clone(), Peer::Useless);
            return self.ask(rollup);
        }
        fetching.peers.remove(peer);
        let liars = fetching.fetch.answer(peer, pieces);
        for (liar, _) in &liars {
            fetching.fetch.give_up(liar);
            fetching.peers.insert(liar.clone(), Peer::Useless);
        }
        if liars.is_empty() {
            fetching.heard = now;
            self.metrics.fetched.inc_by(pieces.len() as u64);
        }
        for (liar, lie) in liars {
            self.refuse(liar, &lie);
        }
        self.ask(rollup);
    }

    /// Pieces for what was asked first, none when the state is not here.
    fn serve(&mut self, peer: &PublicKey, rollup: RollupId, number: u64, wishes: &[Wish]) -> Vec<Piece> {
        let key = (peer.clone(), rollup);
        let held = self.pins.get(&key).filter(|pin| pin.past.header.number == number);
        let past = match (held, self.config.executions.get(&rollup)) {
            (Some(pin), _) => pin.past.clone(),
            (None, Some(execution)) => match execution.to_serve(number) {
                Some(past) => past,
                None => return Vec::new(),
            },
            (None, None) => return Vec::new(),
        };
        let until = self.context.current() + PIN;
        self.pins.insert(key, Pin { past: past.clone(), until });
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        for piece in wishes.iter().map_while(|wish| past.piece(wish)) {
            bytes += piece.encode_size();
            pieces.push(piece);
            if bytes >= ANSWER_BYTES {
                break;
            }
        }
        pieces
    }
}

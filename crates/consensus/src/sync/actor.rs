//! Answers other members, and asks them.

use super::wire::{Checks, EpochStart, Floor, Forged, Message, Offer};
use crate::{
    aliases::{Marshal, Runtime},
    client::Silence,
    shared::Shared,
    votes::{Heard, Testimony},
};
use baton_types::{BlockLimits, Digest, Epoch, EpochInfo, PublicKey};
use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::{
    marshal::Identifier,
    types::{Epocher as _, Height},
};
use commonware_macros::select;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::{
    Handle, IoBuf,
    telemetry::metrics::{Counter, MetricsExt as _},
};
use futures::future::{self, Either};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

/// Requests of this node's own parts that wait.
const REQUESTS_MAX: usize = 4;
/// Time after which members are asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Time after which a member is asked again what it has seen of this node's votes.
const VOTES_RETRY: Duration = Duration::from_millis(250);
/// Time after which a member without a share of the key says so again.
const NO_SHARE_RETRY: Duration = Duration::from_secs(5);
/// Blocks without a certificate of their own that an offer walks over.
const UNCERTIFIED_MAX: u64 = 64;

pub struct Config<B> {
    pub checks: Checks,
    pub limits: BlockLimits,
    /// All others.
    pub members: Vec<PublicKey>,
    /// Members that may be faulty.
    pub faults: usize,
    pub validity_blocks_max: u64,
    pub blocker: B,
    /// Votes of the others.
    pub heard: Heard,
    pub shared: Arc<Shared>,
}

/// What this node answers from, once it has it.
pub struct Source {
    pub marshal: Marshal,
    pub shared: Arc<Shared>,
}

pub(super) enum Request {
    Attach(Source),
    Survey { next: u64, reply: oneshot::Sender<Vec<Offer>> },
    Epoch { epoch: Epoch, reply: oneshot::Sender<EpochInfo> },
    Votes { reply: oneshot::Sender<Vec<Testimony>> },
}

#[derive(Clone)]
pub struct Mailbox(pub(super) mpsc::Sender<Request>);

impl Mailbox {
    pub async fn attach(&self, source: Source) {
        // Closed when the node ends.
        let _ = self.0.send(Request::Attach(source)).await;
    }

    /// What f + 1 members offer a node that needs the block at `next`, each checked. None when the node ends.
    pub async fn survey(&self, next: u64) -> Option<Vec<Offer>> {
        let (reply, offers) = oneshot::channel();
        self.0.send(Request::Survey { next, reply }).await.ok()?;
        offers.await.ok()
    }

    /// Who holds the key in `epoch`. None when the node ends.
    pub async fn epoch(&self, epoch: Epoch) -> Option<EpochInfo> {
        let (reply, info) = oneshot::channel();
        self.0.send(Request::Epoch { epoch, reply }).await.ok()?;
        info.await.ok()
    }

    /// What n − 1 − f members have seen of this node's votes. None when the node ends.
    pub async fn votes(&self) -> Option<Vec<Testimony>> {
        let (reply, votes) = oneshot::channel();
        self.0.send(Request::Votes { reply }).await.ok()?;
        votes.await.ok()
    }
}

#[cfg(test)]
impl Mailbox {
    /// To a part that knows what the peers have seen, and nothing else.
    pub fn telling(context: impl commonware_runtime::Spawner, testimonies: Vec<Testimony>) -> Self {
        let (sender, mut requests) = mpsc::channel(REQUESTS_MAX);
        context.spawn(move |_| async move {
            while let Some(request) = requests.recv().await {
                if let Request::Votes { reply } = request {
                    let _ = reply.send(testimonies.clone());
                }
            }
        });
        Self(sender)
    }
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> {
    context: E,
    config: Config<B>,
    network: S,
    source: Option<Source>,
    asking: Asking,
    due: SystemTime,
    collecting: Option<Collecting>,
    forged: Counter,
}

/// Votes of this node, as others have seen them.
struct Collecting {
    testimonies: BTreeMap<PublicKey, Testimony>,
    due: SystemTime,
    reply: oneshot::Sender<Vec<Testimony>>,
}

enum Asking {
    Nothing,
    Offers {
        next: u64,
        offers: BTreeMap<PublicKey, Offer>,
        reply: oneshot::Sender<Vec<Offer>>,
    },
    /// One member after the other: the answer may be a large block.
    Epoch {
        epoch: Epoch,
        turn: usize,
        reply: oneshot::Sender<EpochInfo>,
    },
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> Actor<E, S, B> {
    pub fn start(
        context: E,
        config: Config<B>,
        (network, receiver): (S, impl Receiver<PublicKey = PublicKey>),
    ) -> (Handle<()>, Mailbox) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let forged = context.counter("forged", "answers of members that do not verify");
        let handle = context.child("actor").spawn(move |context| async move {
            let due = context.current();
            let asking = Asking::Nothing;
            let mut actor =
                Self { context, config, network, source: None, asking, due, collecting: None, forged };
            actor.run(requests, receiver).await;
        });
        (handle, Mailbox(sender))
    }

    async fn run(
        &mut self,
        mut requests: mpsc::Receiver<Request>,
        mut receiver: impl Receiver<PublicKey = PublicKey>,
    ) {
        let mut say = self.context.current() + NO_SHARE_RETRY;
        loop {
            let retry = match self.asking {
                Asking::Nothing => Either::Left(future::pending()),
                _ => Either::Right(self.context.sleep_until(self.due)),
            };
            let collect = match &self.collecting {
                None => Either::Left(future::pending()),
                Some(collecting) => Either::Right(self.context.sleep_until(collecting.due)),
            };
            select! {
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    self.request(request);
                },
                message = receiver.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message).await;
                },
                _ = retry => self.ask(),
                _ = collect => self.ask_votes(),
                _ = self.context.sleep_until(say) => {
                    say = self.context.current() + NO_SHARE_RETRY;
                    self.say_no_share();
                },
            }
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Attach(source) => self.source = Some(source),
            Request::Survey { next, reply } => {
                self.asking = Asking::Offers { next, offers: BTreeMap::new(), reply };
                self.ask();
            }
            Request::Epoch { epoch, reply } => {
                self.asking = Asking::Epoch { epoch, turn: 0, reply };
                self.ask();
            }
            Request::Votes { reply } => {
                let due = self.context.current();
                self.collecting = Some(Collecting { testimonies: BTreeMap::new(), due, reply });
                self.collected();
                self.ask_votes();
            }
        }
    }

    /// Asks, for the first time or again.
    fn ask(&mut self) {
        self.due = self.context.current() + RETRY;
        match &mut self.asking {
            Asking::Offers { reply, .. } if !reply.is_closed() => self.send(Recipients::All, &Message::Ask),
            Asking::Epoch { epoch, turn, reply } if !reply.is_closed() => {
                let Some(peer) = self.config.members.get(*turn % self.config.members.len().max(1)) else {
                    return;
                };
                *turn += 1;
                let (peer, message) = (peer.clone(), Message::AskEpoch(*epoch));
                self.send(Recipients::One(peer), &message);
            }
            _ => self.asking = Asking::Nothing,
        }
    }

    /// Asks those that have not answered yet.
    fn ask_votes(&mut self) {
        let Some(collecting) = &mut self.collecting else { return };
        if collecting.reply.is_closed() {
            self.collecting = None;
            return;
        }
        collecting.due = self.context.current() + VOTES_RETRY;
        let silent = |member: &&PublicKey| !collecting.testimonies.contains_key(*member);
        let silent = self.config.members.iter().filter(silent).cloned().collect();
        self.send(Recipients::Some(silent), &Message::AskVotes);
    }

    /// Ends the collection once enough members have answered.
    fn collected(&mut self) {
        let wanted = self.config.members.len().saturating_sub(self.config.faults);
        let done = |collecting: &mut Collecting| collecting.testimonies.len() >= wanted;
        if let Some(Collecting { testimonies, reply, .. }) = self.collecting.take_if(done) {
            let _ = reply.send(testimonies.into_values().collect());
        }
    }

    /// Answers a member. One that asks has just started, and may not have been there to be asked.
    fn testify(&mut self, peer: PublicKey) {
        let testimony =
            Testimony { epoch: self.config.shared.live().epoch, votes: self.config.heard.of(&peer) };
        self.send(Recipients::One(peer.clone()), &Message::Votes(testimony));
        let unanswered = |collecting: &Collecting| !collecting.testimonies.contains_key(&peer);
        if self.collecting.as_ref().is_some_and(unanswered) {
            self.send(Recipients::One(peer), &Message::AskVotes);
        }
    }

    /// So that they make a reshare due.
    fn say_no_share(&mut self) {
        let live = self.config.shared.live();
        if live.silence == Some(Silence::NoShare) {
            self.send(Recipients::All, &Message::NoShare(live.epoch));
        }
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        self.network.send(to, message.encode(), false);
    }

    async fn hear(&mut self, peer: PublicKey, message: IoBuf) {
        if !self.config.members.contains(&peer) {
            return;
        }
        match Message::decode_cfg(message, &self.config.limits) {
            Ok(Message::Ask) => {
                let offer = self.offer().await;
                self.send(Recipients::One(peer), &Message::Offer(offer));
            }
            Ok(Message::AskEpoch(epoch)) => {
                if let Some(start) = self.epoch_start(epoch).await {
                    self.send(Recipients::One(peer), &Message::EpochStart(Box::new(start)));
                }
            }
            Ok(Message::AskVotes) => self.testify(peer),
            Ok(Message::Votes(testimony)) => {
                if let Some(collecting) = &mut self.collecting {
                    collecting.testimonies.insert(peer, testimony);
                    self.collected();
                }
            }
            Ok(Message::NoShare(epoch)) => {
                if self.config.shared.lacks_share(peer.clone(), epoch) {
                    info!(%peer, epoch = epoch.get(), "a member holds no share of the key");
                }
            }
            Ok(Message::Offer(offer)) => self.offered(peer, offer),
            Ok(Message::EpochStart(start)) => self.started(peer, &start),
            Err(error) => {
                self.forged.inc();
                commonware_p2p::block!(self.config.blocker, peer, %error, "undecodable answer about where to join");
            }
        }
    }

    fn refuse(&mut self, peer: PublicKey, forged: Forged) {
        self.forged.inc();
        commonware_p2p::block!(self.config.blocker, peer, %forged, "false answer about where to join");
    }

    fn offered(&mut self, peer: PublicKey, offer: Offer) {
        let Asking::Offers { next, offers, .. } = &mut self.asking else { return };
        if let Err(forged) = self.config.checks.offer(&mut self.context, &offer) {
            return self.refuse(peer, forged);
        }
        // Of no help: it has neither what comes next nor a place to join. It may have joined itself just now.
        if offer.floor.is_none() && offer.lowest > *next {
            debug!(%peer, lowest = offer.lowest, "a member cannot help to join");
            return;
        }
        offers.insert(peer, offer);
        if offers.len() > self.config.faults
            && let Asking::Offers { offers, reply, .. } = std::mem::replace(&mut self.asking, Asking::Nothing)
        {
            let _ = reply.send(offers.into_values().collect());
        }
    }

    fn started(&mut self, peer: PublicKey, start: &EpochStart) {
        let Asking::Epoch { epoch, .. } = &self.asking else { return };
        match self.config.checks.epoch_start(&mut self.context, *epoch, start) {
            Err(forged) => {
                self.refuse(peer, forged);
                self.ask();
            }
            Ok(info) => {
                if let Asking::Epoch { reply, .. } = std::mem::replace(&mut self.asking, Asking::Nothing) {
                    let _ = reply.send(info);
                }
            }
        }
    }

    /// Where a newcomer could join, from what this node has.
    async fn offer(&mut self) -> Offer {
        let Some(Source { marshal, shared }) = &self.source else {
            return Offer { lowest: 0, floor: None };
        };
        let lowest = shared.lowest_height();
        let highest = shared.finalized_height().saturating_sub(self.config.validity_blocks_max);
        let floor = floor(&self.config.checks, marshal, lowest, highest).await;
        Offer { lowest, floor }
    }

    async fn epoch_start(&mut self, epoch: Epoch) -> Option<EpochStart> {
        let Source { marshal, shared } = self.source.as_ref()?;
        let height = self.config.checks.epocher.last(epoch.previous()?)?;
        if height.get() < shared.lowest_height() {
            return None;
        }
        let certificate = marshal.get_finalization(height).await?;
        let block = marshal.get_block(Identifier::<Digest>::Height(height)).await?;
        Some(EpochStart { certificate, block: block.inner_shared() })
    }
}

/// The highest block up to `highest` that has a certificate, if the end of the epoch before is here too.
async fn floor(checks: &Checks, marshal: &Marshal, lowest: u64, highest: u64) -> Option<Floor> {
    let first = lowest.max(highest.saturating_sub(UNCERTIFIED_MAX)).max(1);
    for height in (first..=highest).rev() {
        let Some(certificate) = marshal.get_finalization(Height::new(height)).await else { continue };
        let epoch = checks.epocher.containing(Height::new(height))?.epoch();
        let start = epoch.previous().and_then(|epoch| checks.epocher.last(epoch));
        if start.is_some_and(|start| start.get() < lowest) {
            return None;
        }
        let block = marshal.get_block(Identifier::<Digest>::Height(Height::new(height))).await?;
        return Some(Floor { certificate, header: block.inner().header().clone() });
    }
    None
}

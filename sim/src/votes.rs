//! Every vote that left a member, and every signature over a batch, over all its lives. An honest member never
//! contradicts itself, whatever happens to its process and its disk.

use crate::trace::{Entry, Trace};
use baton_consensus::{
    network::Channel,
    settlement::{Message, Position},
};
use baton_types::{Digest, Epoch, PublicKey, Scheme};
use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::{Epochable as _, Viewable as _, simplex::types::Vote};
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, Sender as _, simulated, utils::mux};
use commonware_runtime::{IoBuf, IoBufs, deterministic::Context};
use commonware_utils::sync::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Messages of one sender that may come again.
const PAST_MAX: usize = 256;

/// What one member said in one view.
#[derive(Clone, Copy, Default)]
struct Said {
    notarize: Option<Digest>,
    nullify: bool,
    finalize: Option<Digest>,
}

/// One member's votes.
#[derive(Default)]
pub struct Votes {
    said: BTreeMap<(u64, u64), Said>,
    /// Partial signatures, which are unique, by place and epoch.
    batches: BTreeMap<(Position, u64), Bytes>,
    /// Votes of epochs up to this one need a share that the member lost.
    shareless: Option<u64>,
    contradiction: Option<String>,
}

impl Votes {
    /// The member lost its disk in `epoch`: the next share it may sign with is one of a later epoch.
    pub fn lost_share(&mut self, epoch: Epoch) {
        self.shareless = Some(epoch.get());
    }

    /// The first vote that contradicted an earlier one.
    pub fn contradiction(&self) -> Option<&str> {
        self.contradiction.as_deref()
    }

    pub fn hear(&mut self, vote: &Vote<Scheme, Digest>) {
        let (epoch, view) = (vote.epoch().get(), vote.view().get());
        if self.shareless.is_some_and(|shareless| epoch <= shareless) {
            self.contradict(format!(
                "a vote in epoch {epoch}, view {view}, with a share whose disk was lost"
            ));
        }
        let before = self.said.get(&(epoch, view)).copied().unwrap_or_default();
        let mut said = before;
        let conflict = match vote {
            Vote::Notarize(vote) => {
                let digest = *said.notarize.get_or_insert(vote.proposal.payload);
                (digest != vote.proposal.payload).then_some("notarize votes for two blocks")
            }
            Vote::Nullify(_) => {
                said.nullify = true;
                said.finalize.is_some().then_some("a nullify vote after a finalize vote")
            }
            Vote::Finalize(vote) => {
                let digest = *said.finalize.get_or_insert(vote.proposal.payload);
                if digest == vote.proposal.payload {
                    said.nullify.then_some("a finalize vote after a nullify vote")
                } else {
                    Some("finalize votes for two blocks")
                }
            }
        };
        self.said.insert((epoch, view), said);
        if let Some(conflict) = conflict {
            self.contradict(format!("{conflict} in epoch {epoch}, view {view}"));
        }
    }

    /// Two signatures of one epoch for one place are over two batches.
    pub fn hear_batch(&mut self, message: &Message) {
        let Message::Partial { position, epoch, partial } = message else { return };
        let partial = partial.encode();
        let first = self.batches.entry((*position, *epoch)).or_insert_with(|| partial.clone());
        if *first != partial {
            let Position { rollup, index, .. } = position;
            self.contradict(format!("signatures over two batches {index} of rollup {rollup}"));
        }
    }

    fn contradict(&mut self, what: String) {
        self.contradiction.get_or_insert(what);
    }
}

/// A network that delivers messages again, at once and long after. All its senders share this.
#[derive(Clone, Debug, Default)]
pub struct Replays(Arc<[AtomicU64; 2]>);

impl Replays {
    /// From now on one message of so many brings two again: itself, and the oldest that is remembered. 0 for none.
    pub fn every(&self, messages: u64) {
        self.0[0].store(messages, Ordering::Relaxed);
    }

    /// How many came again.
    pub fn count(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// What went through a sender, and to whom.
#[derive(Clone, Debug, Default)]
struct Past {
    count: u64,
    messages: VecDeque<(Vec<PublicKey>, IoBuf)>,
}

/// A sender that remembers the votes which pass through it, and repeats messages when it is told to.
#[derive(Clone, Debug)]
pub struct Heard {
    inner: simulated::Sender<PublicKey, Context>,
    listener: Option<(Channel, Listener)>,
    replays: Replays,
    past: Past,
}

#[derive(Clone)]
pub struct Listener {
    pub member: usize,
    pub votes: Arc<Mutex<Votes>>,
    pub trace: Trace,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Listener {
    fn hear(&self, channel: Channel, message: IoBuf) {
        if channel == Channel::Batches {
            if let Ok(message) = Message::decode(message) {
                self.votes.lock().hear_batch(&message);
            }
            return;
        }
        let vote = mux::parse(message).and_then(|(_, vote)| Vote::<Scheme, Digest>::decode(vote));
        let Ok(vote) = vote else {
            self.votes.lock().contradict("an undecodable vote".to_owned());
            return;
        };
        if let Vote::Nullify(nullify) = &vote {
            let (epoch, view) = (nullify.round.epoch().get(), nullify.round.view().get());
            self.trace.record(Entry::Nullify { member: self.member, epoch, view });
        }
        self.votes.lock().hear(&vote);
    }
}

impl Heard {
    pub fn new(
        inner: simulated::Sender<PublicKey, Context>,
        listener: Option<(Channel, Listener)>,
        replays: Replays,
    ) -> Self {
        Self { inner, listener, replays, past: Past::default() }
    }
}

impl LimitedSender for Heard {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Checked<'_>, SystemTime> {
        let replaying = self.replays.0[0].load(Ordering::Relaxed) > 0;
        let again = if replaying { Some((self.inner.clone(), &self.replays, &mut self.past)) } else { None };
        let inner = self.inner.check(recipients)?;
        Ok(Checked { inner, listener: self.listener.as_ref(), again })
    }
}

pub struct Checked<'a> {
    inner: <simulated::Sender<PublicKey, Context> as LimitedSender>::Checked<'a>,
    listener: Option<&'a (Channel, Listener)>,
    again: Option<(simulated::Sender<PublicKey, Context>, &'a Replays, &'a mut Past)>,
}

impl CheckedSender for Checked<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message = message.into().coalesce();
        if let Some((channel, listener)) = self.listener {
            listener.hear(*channel, message.clone());
        }
        let Some((mut sender, Replays(replays), past)) = self.again else {
            return self.inner.send(message, priority);
        };
        past.count += 1;
        past.messages.push_back((self.inner.recipients(), message.clone()));
        let oldest = if past.messages.len() > PAST_MAX { past.messages.pop_front() } else { None };
        let feedback = self.inner.send(message, priority);
        let [every, count] = &**replays;
        if past.count.is_multiple_of(every.load(Ordering::Relaxed).max(1)) {
            let oldest = oldest.or_else(|| past.messages.front().cloned());
            for (to, message) in oldest.into_iter().chain(past.messages.back().cloned()) {
                let _ = sender.send(Recipients::Some(to), message, priority);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        feedback
    }
}

#[cfg(test)]
mod tests;

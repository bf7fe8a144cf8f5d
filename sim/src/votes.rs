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
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, simulated, utils::mux};
use commonware_runtime::{IoBuf, IoBufs, deterministic::Context};
use commonware_utils::sync::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

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

/// A sender that remembers the votes which pass through it.
#[derive(Clone, Debug)]
pub struct Heard {
    inner: simulated::Sender<PublicKey, Context>,
    listener: Option<(Channel, Listener)>,
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
    pub fn new(inner: simulated::Sender<PublicKey, Context>, listener: Option<(Channel, Listener)>) -> Self {
        Self { inner, listener }
    }
}

impl LimitedSender for Heard {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Checked<'_>, SystemTime> {
        let inner = self.inner.check(recipients)?;
        Ok(Checked { inner, listener: self.listener.as_ref() })
    }
}

pub struct Checked<'a> {
    inner: <simulated::Sender<PublicKey, Context> as LimitedSender>::Checked<'a>,
    listener: Option<&'a (Channel, Listener)>,
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
        self.inner.send(message, priority)
    }
}

#[cfg(test)]
mod tests;

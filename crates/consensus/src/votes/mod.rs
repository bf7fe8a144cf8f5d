//! No vote against an earlier one: a node asks its peers what it said before it speaks again.
//!
//! The vote journal is what keeps a member from contradicting itself. A journal that was lost, cut or
//! damaged at its end cannot be told from one whose last write was interrupted, and a data directory that
//! was restored from a copy has a journal that is whole but older than what the node has said. The
//! peers know better:
//!
//! ```text
//!  each node    keeps the last votes that it received from each member          (`Heard`)
//!  at a start   "which votes of mine have you seen?" ──► all members            (`sync`, channel Joining)
//!               ◄── those votes, and the epoch the member is in ── n − 1 − f of them
//!  each epoch   votes of this epoch that verify under this node's own share, against its journal
//!               none missing: it votes        one missing: it follows without voting
//! ```
//!
//! # Rules
//! - *Once per process.* Later epochs need no second question: what was not said before this process began
//!   can only be said by it, and the engine has that on its journal.
//! - *A vote counts* when it is signed with this node's own share, or anybody could silence it. Whatever
//!   else members send is counted (`votes_refused`) and ignored.
//! - *Covered* is a vote that stands on the journal, or lies below its oldest view and below a finalization
//!   on it: the engine prunes only what is that far behind, and never votes there again.
//! - *An epoch that f + 1 members have left* is over: nobody needs a vote in it, so none is cast. This
//!   keeps a restored copy silent in epochs whose votes the peers remember no more.
//! - *Silent* means: registered without its share until the next epoch. The share stays, and so do
//!   the duties in ceremonies. The decision is on disk before the journal is removed (a voter without a share
//!   refuses votes of its own on its journal), so it outlives restarts of this node and of its peers.
//! - A journal that cannot be read is no journal: silent as well, instead of a node that ends at each start.
//!
//! # Why waiting costs nothing
//! A certificate needs n − f votes, so at least n − 1 − f others must run before a vote of this node is of any
//! use, and each of those answers from its first moment on, also while it waits for answers itself. So after a cold start
//! of all members nobody waits for somebody who waits, also with f members down; with n = 1 nobody is asked,
//! with n = 2 and 3 (f = 0) all others are, and nothing can be finalized without them anyway. Members that do not answer,
//! or lie, are among the f.
//!
//! # What remains
//! Evidence lives in memory, and the first n − 1 − f answers decide. It is certain to be among them where at
//! least f + 1 correct peers that run since before the vote got it: fewer may all be among the f that were not waited for.
//! If every peer that got a vote has itself been started since, nobody can tell.
//! The operator's rule stays: never start from a copy of a data directory.

mod guard;
mod journal;

pub use guard::{Guard, Settings};

use crate::shared::Shared;
use baton_types::{Epoch, PublicKey};
use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_p2p::{CheckedSender, LimitedSender, Message, Receiver, Recipients};
use commonware_runtime::IoBufs;
use commonware_utils::{ordered::Set, sync::Mutex};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::SystemTime,
};

/// Votes kept of each member: those of about eight views.
pub const VOTES_MAX: usize = 16;
/// Longer messages are no votes: the largest takes about 220 bytes.
pub const VOTE_BYTES_MAX: usize = 512;

/// What one member knows of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// The epoch the member is in.
    pub epoch: Epoch,
    /// Messages of the votes channel as they came.
    pub votes: Vec<Bytes>,
}

/// The last votes received from each member.
#[derive(Clone, Debug)]
pub struct Heard(Arc<Mutex<BTreeMap<PublicKey, VecDeque<Bytes>>>>);

impl Heard {
    pub fn new(members: &Set<PublicKey>) -> Self {
        Self(Arc::new(Mutex::new(members.iter().map(|member| (member.clone(), VecDeque::new())).collect())))
    }

    fn hear(&self, from: &PublicKey, message: &[u8]) {
        if message.len() > VOTE_BYTES_MAX {
            return;
        }
        let mut heard = self.0.lock();
        let Some(votes) = heard.get_mut(from) else { return };
        // Of a view that does not end, the same vote comes again and again.
        if votes.iter().any(|vote| vote.as_ref() == message) {
            return;
        }
        if votes.len() >= VOTES_MAX {
            votes.pop_front();
        }
        // A copy: the message may be part of a larger buffer.
        votes.push_back(Bytes::copy_from_slice(message));
    }

    pub fn of(&self, member: &PublicKey) -> Vec<Bytes> {
        self.0.lock().get(member).map(|votes| votes.iter().cloned().collect()).unwrap_or_default()
    }
}

/// The receiver of the votes channel, listened to. Other channels of consensus must have the same type.
#[derive(Debug)]
pub struct Listening<R> {
    pub inner: R,
    pub heard: Option<Heard>,
}

impl<R: Receiver<PublicKey = PublicKey>> Receiver for Listening<R> {
    type Error = R::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, R::Error> {
        let (from, message) = self.inner.recv().await?;
        if let Some(heard) = &self.heard {
            heard.hear(&from, message.as_ref());
        }
        Ok((from, message))
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}

/// The sender of the channel of certificates. Whatever a member says in an epoch makes it count as alive, and then
/// each of its turns is waited for: one that has no vote to propose with says nothing. Other channels of consensus
/// must have the same type.
#[derive(Clone)]
pub struct Hushed<S> {
    pub inner: S,
    pub unless_voting: Option<Arc<Shared>>,
}

impl<S: fmt::Debug> fmt::Debug for Hushed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hushed").field(&self.inner).finish()
    }
}

impl<S: LimitedSender<PublicKey = PublicKey>> LimitedSender for Hushed<S> {
    type PublicKey = PublicKey;
    type Checked<'a>
        = Checked<S::Checked<'a>>
    where
        Self: 'a;

    fn check(&mut self, to: Recipients<PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let silent = self.unless_voting.as_ref().is_some_and(|shared| !shared.voting());
        Ok(Checked { inner: self.inner.check(to)?, silent })
    }
}

pub struct Checked<S> {
    inner: S,
    silent: bool,
}

impl<S: CheckedSender<PublicKey = PublicKey>> CheckedSender for Checked<S> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        if self.silent { Unreliable::new(Feedback::Ok) } else { self.inner.send(message, priority) }
    }
}

#[cfg(test)]
mod tests;

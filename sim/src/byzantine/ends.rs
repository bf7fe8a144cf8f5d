//! A member's end of the network. For an honest member everything goes straight through.

use crate::links::{Links, Peers};
use baton_consensus::network::{Channel, Network};
use baton_types::PublicKey;
use commonware_actor::{Feedback, Unreliable};
use commonware_p2p::{CheckedSender, LimitedSender, Message, Recipients, Sender as _, simulated::Error};
use commonware_runtime::{IoBuf, IoBufs};
use commonware_utils::{channel::mpsc, sync::Mutex};
use std::{collections::BTreeMap, fmt, num::NonZeroUsize, sync::Arc, time::SystemTime};

pub type RawSender = <Links as Network>::Sender;
pub type RawReceiver = <Links as Network>::Receiver;

/// A message on its way out.
#[derive(Clone)]
pub struct Mail {
    pub channel: Channel,
    pub to: Vec<PublicKey>,
    pub bytes: IoBuf,
}

/// What a hostile member makes of the messages of its engine. The default changes nothing.
pub trait Conduct: Send {
    /// What leaves in place of a message of the engine.
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        out.push(mail);
    }

    /// What the engine hears in place of a message, if anything.
    fn hear(&mut self, _channel: Channel, _from: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        Some(bytes)
    }

    /// What it sends of its own accord.
    fn tick(&mut self, _out: &mut Vec<Mail>) {}
}

/// Where a hostile member's messages pass through.
#[derive(Clone)]
pub struct Post(Arc<Mutex<Office>>);

struct Office {
    conduct: Box<dyn Conduct>,
    senders: BTreeMap<Channel, RawSender>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl Post {
    pub fn new(conduct: Box<dyn Conduct>) -> Self {
        Self(Arc::new(Mutex::new(Office { conduct, senders: BTreeMap::new() })))
    }

    fn send(&self, mail: Mail) {
        let mut office = self.0.lock();
        let mut out = Vec::new();
        office.conduct.send(mail, &mut out);
        office.deliver(out);
    }

    fn hear(&self, channel: Channel, from: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        self.0.lock().conduct.hear(channel, from, bytes)
    }

    pub fn tick(&self) {
        let mut office = self.0.lock();
        let mut out = Vec::new();
        office.conduct.tick(&mut out);
        office.deliver(out);
    }
}

impl Office {
    fn deliver(&mut self, mails: Vec<Mail>) {
        for Mail { channel, to, bytes } in mails {
            if let Some(sender) = self.senders.get_mut(&channel) {
                sender.send(Recipients::Some(to), bytes, false);
            }
        }
    }
}

pub struct Ends {
    links: Links,
    post: Option<Post>,
    /// Channels that are registered already.
    lines: BTreeMap<Channel, (RawSender, Inbox)>,
}

impl Ends {
    pub fn honest(links: Links) -> Self {
        Self { links, post: None, lines: BTreeMap::new() }
    }

    pub fn hostile(links: Links, post: Post, lines: BTreeMap<Channel, (RawSender, Inbox)>) -> Self {
        Self { links, post: Some(post), lines }
    }
}

impl Network for Ends {
    type Sender = Sender;
    type Receiver = Receiver;
    type Manager = Peers;
    type Blocker = <Links as Network>::Blocker;

    async fn register(&mut self, channel: Channel) -> (Sender, Receiver) {
        let (inner, inbox) = match self.lines.remove(&channel) {
            Some(line) => line,
            None => {
                let (sender, receiver) = self.links.register(channel).await;
                (sender, Inbox::Direct(receiver))
            }
        };
        if let Some(post) = &self.post {
            post.0.lock().senders.insert(channel, inner.clone());
        }
        let post = self.post.clone();
        (Sender { channel, inner, post: post.clone() }, Receiver { channel, inbox, post })
    }

    fn start(&mut self) {
        self.links.start();
    }

    fn manager(&self) -> Peers {
        self.links.manager()
    }

    fn blocker(&self) -> Self::Blocker {
        self.links.blocker()
    }
}

#[derive(Clone, Debug)]
pub struct Sender {
    channel: Channel,
    inner: RawSender,
    post: Option<Post>,
}

pub struct Checked<'a> {
    inner: <RawSender as LimitedSender>::Checked<'a>,
    channel: Channel,
    post: Option<&'a Post>,
}

impl LimitedSender for Sender {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, to: Recipients<PublicKey>) -> Result<Checked<'_>, SystemTime> {
        let inner = self.inner.check(to)?;
        Ok(Checked { inner, channel: self.channel, post: self.post.as_ref() })
    }
}

impl CheckedSender for Checked<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let Some(post) = self.post else { return self.inner.send(message, priority) };
        let to = self.inner.recipients();
        post.send(Mail { channel: self.channel, to, bytes: message.into().coalesce() });
        Unreliable::new(Feedback::Ok)
    }
}

#[derive(Debug)]
pub enum Inbox {
    Direct(RawReceiver),
    /// One half of a twin's.
    Half(mpsc::Receiver<Message<PublicKey>>),
}

#[derive(Debug)]
pub struct Receiver {
    channel: Channel,
    inbox: Inbox,
    post: Option<Post>,
}

impl commonware_p2p::Receiver for Receiver {
    type Error = Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Error> {
        loop {
            let (from, bytes) = match &mut self.inbox {
                Inbox::Direct(receiver) => receiver.recv().await?,
                Inbox::Half(receiver) => receiver.recv().await.ok_or(Error::NetworkClosed)?,
            };
            let Some(post) = &self.post else { return Ok((from, bytes)) };
            if let Some(bytes) = post.hear(self.channel, &from, bytes) {
                return Ok((from, bytes));
            }
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        match &self.inbox {
            Inbox::Direct(receiver) => receiver.capacity(),
            Inbox::Half(_) => NonZeroUsize::MIN.saturating_add(511),
        }
    }
}

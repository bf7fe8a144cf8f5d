mod journal;
mod members;
mod receipts;
mod room;

use super::{wire::Batch, *};
use crate::{
    shared::{Shared, Standing},
    testing::{Dealt, block_at},
};
use baton_execution::pool::Limits;
use baton_types::{EvmRollups, PublicKey, RollupId, Transaction};
use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::{Decode as _, Encode as _};
use commonware_cryptography::Signer as _;
use commonware_p2p::{CheckedSender, LimitedSender, Message as Received, Receiver, Recipients};
use commonware_runtime::{
    Clock as _, Handle, IoBuf, IoBufs, Metrics as _, Runner as _, Spawner as _, Supervisor as _,
    buffer::paged::CacheRef,
    deterministic::{Checkpoint, Config as Runtime, Context, Runner},
};
use commonware_utils::{NZU16, NZUsize, sync::Mutex};
use std::{
    convert::Infallible,
    num::NonZeroUsize,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use wire::Message;

const PARTITION: &str = "mempool";
/// The member whose mempool is tested; the others are played by the test.
const ME: usize = 0;
/// Messages that may wait for the mempool.
const LINE_MAX: usize = 1_024;

/// What a mempool sent, and to whom.
type Sent = Arc<Mutex<Vec<(Recipients<PublicKey>, IoBuf)>>>;

#[derive(Clone)]
struct Wire {
    sent: Sent,
    others: Vec<PublicKey>,
}

struct Checked<'a> {
    wire: &'a Wire,
    to: Recipients<PublicKey>,
}

impl LimitedSender for Wire {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, to: Recipients<PublicKey>) -> Result<Checked<'_>, SystemTime> {
        Ok(Checked { wire: self, to })
    }
}

impl CheckedSender for Checked<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        match &self.to {
            Recipients::All => self.wire.others.clone(),
            Recipients::Some(some) => some.clone(),
            Recipients::One(one) => vec![one.clone()],
        }
    }

    fn send(self, message: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        self.wire.sent.lock().push((self.to, message.into().coalesce()));
        Unreliable::new(Feedback::Ok)
    }
}

#[derive(Debug)]
struct Line(mpsc::Receiver<Received<PublicKey>>);

impl Receiver for Line {
    type Error = Infallible;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Received<PublicKey>, Infallible> {
        match self.0.recv().await {
            Some(message) => Ok(message),
            None => std::future::pending().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        NZUsize!(64)
    }
}

/// One member's mempool.
struct Node {
    context: Context,
    dealt: Dealt,
    shared: Arc<Shared>,
    mailbox: Mailbox,
    sent: Sent,
    line: mpsc::Sender<Received<PublicKey>>,
    _actor: Handle<()>,
}

impl Node {
    async fn start(context: &Context) -> Self {
        Self::start_with(context, |_| {}).await
    }

    async fn start_with(context: &Context, change: impl FnOnce(&mut Limits)) -> Self {
        let context = context.child("node");
        let dealt = Dealt::new();
        let mut limits = dealt.limits();
        change(&mut limits);
        let time = context.child("clock");
        let clock = move || {
            let since = time.current().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).expect("a run is short")
        };
        let executions = crate::evm::Executions::new();
        let shared =
            Arc::new(Shared::new(&dealt.genesis, dealt.rules(), limits, 7, Arc::new(clock), executions));
        let (mailbox, requests) = Mailbox::new(dealt.keys[ME].clone(), shared.clone());
        let sent = Sent::default();
        let config = Config {
            partition: PARTITION.to_owned(),
            page_cache: CacheRef::new(NZU16!(4_096), NZUsize!(64)),
            limits: dealt.genesis.limits(),
            acks_needed: 2,
            members: dealt.genesis.identities().expect("checked"),
        };
        let others = dealt.keys[ME + 1..].iter().map(|key| key.public_key()).collect();
        let wire = Wire { sent: sent.clone(), others };
        let actor = Actor::open(context.child("mempool"), config, shared.clone(), wire).await;
        let (line, receiver) = mpsc::channel(LINE_MAX);
        let actor = actor.start(requests, Line(receiver));
        Self { context, dealt, shared, mailbox, sent, line, _actor: actor }
    }

    fn member(&self, index: usize) -> PublicKey {
        self.dealt.keys[index].public_key()
    }

    /// Offers units to this node, without waiting for the receipt.
    fn submit(&self, units: Vec<Unit>, ack: Ack) -> Handle<Receipt> {
        let mailbox = self.mailbox.clone();
        let submit = Submit { client: "c".into(), units, ack };
        self.context.child("submit").spawn(move |_| async move {
            let submitted = mailbox.submit(submit).await.expect("the node takes requests");
            submitted.receipt.expect("something was accepted")
        })
    }

    fn say(&self, from: PublicKey, bytes: impl Into<IoBuf>) {
        self.line.try_send((from, bytes.into())).expect("the mempool listens and keeps up");
    }

    /// A member sends units.
    fn gossip(&self, from: usize, number: u64, ack: bool, units: Vec<Unit>) {
        let batch = Batch(units.into_iter().map(Arc::new).collect());
        self.say(self.member(from), Message::Units { number, ack, batch }.encode());
    }

    fn ack(&self, from: usize, number: u64) {
        self.say(self.member(from), Message::Ack { number }.encode());
    }

    async fn pause(&self, ms: u64) {
        self.context.sleep(Duration::from_millis(ms)).await;
    }

    /// What was sent so far, in order.
    fn messages(&self) -> Vec<(Recipients<PublicKey>, Message)> {
        let limits = self.dealt.genesis.limits();
        let sent = self.sent.lock();
        sent.iter()
            .map(|(to, bytes)| {
                (to.clone(), Message::decode_cfg(bytes.clone(), &limits).expect("well formed"))
            })
            .collect()
    }

    /// Numbers of the units that went out and ask to be acknowledged, one per message.
    fn asked(&self) -> Vec<u64> {
        let asked = |(_, message)| match message {
            Message::Units { number, ack: true, .. } => Some(number),
            _ => None,
        };
        self.messages().into_iter().filter_map(asked).collect()
    }

    /// How often this node acknowledged `number` to a member.
    fn acks(&self, to: usize, number: u64) -> usize {
        let to = self.member(to);
        let is_ack = |message: &(Recipients<PublicKey>, Message)| match message {
            (Recipients::One(peer), Message::Ack { number: acked }) => *peer == to && *acked == number,
            _ => false,
        };
        self.messages().iter().filter(|message| is_ack(message)).count()
    }

    /// Sum over all labels of a counter of the mempool.
    fn metric(&self, name: &str) -> u64 {
        let prefix = format!("node_mempool_{name}");
        let encoded = self.context.encode();
        let samples = encoded.lines().filter(|line| !line.starts_with('#') && line.starts_with(&prefix));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Where a unit stands that was not ordered.
    fn rung(&self, unit: &Unit) -> Option<Rung> {
        match self.shared.standing(&unit.ids(&EvmRollups::default())[0]) {
            Standing::Here(status) => Some(status.rung),
            _ => None,
        }
    }

    /// The chain is at `height` now; nothing was ordered on the way.
    fn finalize(&self, height: u64) {
        self.shared.restore(&block_at(&self.dealt, height - 1));
        self.shared.finalize(&block_at(&self.dealt, height));
    }

    fn waits(&self, unit: &Unit) -> bool {
        self.shared.any_waiting(&unit.ids(&EvmRollups::default()))
    }
}

/// A run on what another left on disk.
fn after(checkpoint: Checkpoint, run: impl AsyncFnOnce(Context)) {
    Runner::from(checkpoint).start(|context| run(context));
}

/// Runs to the end, and loses all writes that were not synced by then.
fn until_crash<T>(run: impl AsyncFnOnce(Context) -> T) -> (T, Checkpoint) {
    Runner::new(Runtime::new().with_seed(1)).start_and_recover(|context| run(context))
}

fn run(run: impl AsyncFnOnce(Context)) {
    until_crash(run);
}

fn unit(number: u64) -> Unit {
    valid_until(number, 300)
}

fn valid_until(number: u64, valid_until: u64) -> Unit {
    sized(number, valid_until, 32)
}

fn sized(number: u64, valid_until: u64, bytes: usize) -> Unit {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(bytes, 0);
    let transaction = Transaction { valid_until, bundle: None, payload: Bytes::from(payload) };
    Unit::Single { rollup: RollupId(1), transaction, fee_hint: 0 }
}

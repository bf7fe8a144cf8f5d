//! Subscriptions of one WebSocket connection, and the bounded queue to its writer.
//!
//! ```text
//!  pump ─► Feed ─┐
//!  pump ─► Feed ─┼─► Outbox ─► writer ─► socket
//!  replies ──────┘   (waits while the connection's or the server's budget is used up)
//! ```
//! Invariants: text that waits is counted in both budgets until it is written, so a peer that does not
//! read holds a bounded amount; the transport drops it when its writes stall, and sooner when others wait
//! for what it holds. A subscription's pump starts only after the reply that names it is queued.

use crate::{
    api::Caller,
    config::Limits,
    metrics::{Held, Metrics},
    shares::Shares,
};
use baton_types::receipt::{Reason, Refusal};
use futures::future::{AbortHandle, Abortable, BoxFuture};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages in the queue, whatever their size.
const QUEUE_MAX: usize = 1_024;
/// Budgets are counted in blocks of this many bytes.
const UNIT: usize = 1_024;

/// The connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection is closed")]
pub struct Closed;

/// Bytes that may wait; shared by whoever holds a clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    max: usize,
    /// How many wait for some of it.
    waiting: Arc<AtomicUsize>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let max = bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(max)), max, waiting: Arc::default() }
    }

    /// What `bytes` take; something larger than the whole budget takes all of it.
    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT).clamp(1, self.max)).unwrap_or(u32::MAX)
    }

    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.units.clone().try_acquire_many_owned(self.units(bytes)).ok()
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        if let Some(taken) = self.try_take(bytes) {
            return Ok(taken);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.units.clone().acquire_many_owned(self.units(bytes)).await.map_err(|_| Closed)
    }

    /// Whether somebody waits for some of it.
    pub(crate) fn wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}

/// Counted among those who wait for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Text to be written, with its part of the budgets.
pub(crate) struct Queued {
    pub(crate) text: String,
    pub(crate) hold: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The way to a connection's writer. Waits when the peer is slower than what is sent to it.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Queued>,
    own: Budget,
    all: Budget,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits, all: Budget) -> (Self, mpsc::Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { sender, own: Budget::new(limits.connection_queue_bytes_max), all }, receiver)
    }

    pub(crate) async fn push(&self, text: String) -> Result<(), Closed> {
        let own = self.own.take(text.len()).await?;
        let all = self.all.take(text.len()).await?;
        self.sender.send(Queued { text, hold: (own, all) }).await.map_err(|_| Closed)
    }
}

/// In which form subscriptions are named and told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `baton_subscription`, by number.
    Baton,
    /// `eth_subscription`, by hexadecimal string.
    Ethereum,
}

/// Where one subscription's notifications go.
pub struct Feed {
    subscription: u64,
    style: Style,
    outbox: Outbox,
    metrics: Arc<Metrics>,
}

impl Feed {
    /// Sends a notification; `result` is JSON text in pieces.
    pub(crate) async fn send(&self, result: &[&str]) -> Result<(), Closed> {
        let length = result.iter().map(|piece| piece.len()).sum::<usize>();
        let mut text = String::with_capacity(120 + length);
        let subscription = self.subscription;
        text.push_str(&match self.style {
            Style::Baton => format!(
                r#"{{"jsonrpc":"2.0","method":"baton_subscription","params":{{"subscription":{subscription}"#
            ),
            Style::Ethereum => format!(
                r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{subscription:#x}""#
            ),
        });
        text.push_str(r#","result":"#);
        for piece in result {
            text.push_str(piece);
        }
        text.push_str("}}");
        self.metrics.notifications.fetch_add(1, Relaxed);
        self.outbox.push(text).await
    }

    /// Sends a value.
    pub(crate) async fn send_value(&self, value: &impl serde::Serialize) -> Result<(), Closed> {
        let text = serde_json::to_string(value).expect("views of the API have a JSON form");
        self.send(&[&text]).await
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// Pumps to start once the reply that announces them is queued.
pub type Starts = Arc<Mutex<Vec<BoxFuture<'static, ()>>>>;

/// Subscriptions that the whole server, and each client, may have.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) all: Arc<Semaphore>,
    pub(crate) shares: Arc<Shares>,
}

/// The subscriptions of one connection.
pub struct Session {
    client: Arc<str>,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    places: Places,
    connection_subscriptions_max: usize,
    subscriptions_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    pumps: BTreeMap<u64, AbortHandle>,
}

/// The lock is never held where something can panic, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(
        client: Arc<str>,
        outbox: Outbox,
        limits: &Limits,
        places: Places,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            outbox,
            metrics,
            places,
            connection_subscriptions_max: limits.connection_subscriptions_max,
            subscriptions_max: limits.subscriptions_max,
            open: Mutex::default(),
        })
    }

    /// Registers a subscription whose pump is made by `pump` and started by [`start`].
    pub(crate) fn subscribe<F, Fut>(
        self: &Arc<Self>,
        starts: &Starts,
        style: Style,
        pump: F,
    ) -> Result<u64, Refusal>
    where
        F: FnOnce(Feed) -> Fut,
        Fut: Future<Output = Result<(), Closed>> + Send + 'static,
    {
        let permit = self.places.all.clone().try_acquire_owned().map_err(|_| {
            let max = self.subscriptions_max;
            let detail = format!("this node serves {max} subscriptions already; retry, or use another node");
            Refusal::new(Reason::Busy, detail).retry_after(1_000)
        })?;
        let share = self.places.shares.take(&self.client, 1).ok_or_else(|| {
            let max = self.places.shares.max();
            let detail = format!("{max} subscriptions of this client are open; end one first");
            Refusal::new(Reason::ClientLimit, detail)
        })?;
        let (handle, registration) = AbortHandle::new_pair();
        let mut open = lock(&self.open);
        let max = self.connection_subscriptions_max;
        if open.pumps.len() >= max {
            let detail = format!("{max} subscriptions are open on this connection; end one first");
            return Err(Refusal::new(Reason::ClientLimit, detail));
        }
        open.last += 1;
        let subscription = open.last;
        open.pumps.insert(subscription, handle);
        drop(open);
        let held = Held::new(&self.metrics, |metrics| &metrics.subscriptions);
        let (outbox, metrics) = (self.outbox.clone(), self.metrics.clone());
        let feed = Feed { subscription, style, outbox, metrics };
        let running = Abortable::new(pump(feed), registration);
        let session = Arc::downgrade(self);
        let pump = async move {
            let _held = (permit, share, held);
            // Aborted, closed or at its end: all the same, it is over.
            running.await.ok();
            if let Some(session) = Weak::upgrade(&session) {
                session.unsubscribe(subscription);
            }
        };
        lock(starts).push(Box::pin(pump));
        Ok(subscription)
    }

    /// Whether there was such a subscription.
    pub(crate) fn unsubscribe(&self, subscription: u64) -> bool {
        let handle = lock(&self.open).pumps.remove(&subscription);
        handle.inspect(AbortHandle::abort).is_some()
    }

    pub(crate) fn close(&self) {
        for handle in std::mem::take(&mut lock(&self.open).pumps).into_values() {
            handle.abort();
        }
    }
}

/// Starts the pumps that a message asked for.
pub(crate) fn start(starts: &Starts) {
    for pump in std::mem::take(&mut *lock(starts)) {
        tokio::spawn(pump);
    }
}

/// What subscribing needs of its caller.
pub(crate) fn of(caller: &Caller) -> Result<&(Arc<Session>, Starts), Refusal> {
    caller.session.as_ref().ok_or_else(|| {
        let detail = "subscriptions need a WebSocket; connect to the same address with ws://";
        Refusal::new(Reason::BadRequest, detail)
    })
}

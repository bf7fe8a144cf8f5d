//! One WebSocket connection: reads messages, answers several at a time, writes from the outbox.
//!
//! Rules by event:
//! - *Text or binary message* → answered like a POST. While as many are in progress as one connection
//!   may have, the next is not read.
//! - *Silence* → a ping; still silence, not even a pong → closed.
//! - *The peer does not read* → its writes stall, the transport fails them, the connection is dropped.
//! - *The node stops* → a close frame.

use super::{Server, intake::Intake};
use crate::{
    api::Caller,
    metrics::{Dropped, Held},
    session::{self, Budget, Outbox, Queued, Session, Starts},
};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{FuturesUnordered, SplitSink},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};

/// Messages written together before the socket is flushed.
const FLUSH_MESSAGES: usize = 64;
/// While others wait for memory, how often one write is looked at, and how often it may be found waiting.
const PRESSED_INTERVAL: Duration = Duration::from_millis(250);
const PRESSED_TIMES: u32 = 8;
/// How long the last words of a closing connection may take.
const CLOSING: Duration = Duration::from_secs(1);

pub(super) async fn run<S: Clone + Send + Sync + 'static>(
    server: Arc<Server<S>>,
    state: S,
    key: Arc<str>,
    intake: Arc<Intake>,
    socket: WebSocket,
) {
    let limits = &server.config.limits;
    let _held = Held::new(server.metrics(), |metrics| &metrics.websockets);
    let (outbox, queue) = Outbox::new(limits, server.queue.clone());
    let session =
        Session::new(key.clone(), outbox.clone(), limits, server.places(), server.metrics().clone());
    let (sink, stream) = socket.split();
    let (close, closing) = oneshot::channel();
    let mut writer = tokio::spawn({
        let (memory, metrics, ping_every) =
            (server.queue.clone(), server.metrics().clone(), limits.idle_timeout() / 4);
        async move {
            if write(sink, queue, closing, ping_every, &memory).await == Ended::Pressed {
                metrics.dropped(Dropped::Pressed);
            }
        }
    });
    let mut reader = Reader { server: &server, state, key, intake, session: &session, outbox };
    let socket_ended = tokio::select! {
        () = reader.read(stream) => false,
        _ = &mut writer => true,
    };
    session.close();
    if !socket_ended {
        // The writer may end at this very moment; then nobody is left to tell.
        close.send(()).ok();
        if tokio::time::timeout(CLOSING, &mut writer).await.is_err() {
            writer.abort();
        }
    }
}

struct Reader<'a, S> {
    server: &'a Arc<Server<S>>,
    state: S,
    key: Arc<str>,
    intake: Arc<Intake>,
    session: &'a Arc<Session>,
    outbox: Outbox,
}

impl<S: Clone + Send + Sync + 'static> Reader<'_, S> {
    /// Until the connection or the server ends.
    async fn read(&mut self, mut stream: impl futures::Stream<Item = Result<Message, axum::Error>> + Unpin) {
        let limits = &self.server.config.limits;
        let mut stopped = self.server.stopped.clone();
        let mut in_progress = FuturesUnordered::new();
        let mut heard = Instant::now();
        loop {
            let silent_until = heard + limits.idle_timeout();
            let full = in_progress.len() >= limits.connection_requests_max;
            tokio::select! {
                message = stream.next(), if !full => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => in_progress.push(self.answer(text)),
                        Some(Ok(Message::Binary(bytes))) => match Utf8Bytes::try_from(bytes) {
                            Ok(text) => in_progress.push(self.answer(text)),
                            // Not even text: whoever sends this does not speak JSON-RPC.
                            Err(_) => return,
                        },
                        Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                            self.intake.control_ends(payload.len());
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    }
                }
                Some(()) = in_progress.next(), if !in_progress.is_empty() => (),
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep_until(silent_until), if in_progress.is_empty() => return,
            }
        }
    }

    fn answer(&self, text: Utf8Bytes) -> impl Future<Output = ()> + Send + use<S> {
        let (server, state, outbox) = (self.server.clone(), self.state.clone(), self.outbox.clone());
        let memory = self.intake.message_ends();
        let starts = Starts::default();
        let caller = Caller { key: self.key.clone(), session: Some((self.session.clone(), starts.clone())) };
        async move {
            // Waits for its turn: the connection reads no further meanwhile. It is never closed.
            let permit = server.requests.acquire().await.ok();
            let reply = server.dispatcher.answer(&state, &caller, &text).await;
            drop((permit, text, memory));
            if let Some(reply) = reply {
                // A connection that is gone needs no reply; its reader ends by itself.
                outbox.push(reply).await.ok();
            }
            session::start(&starts);
        }
    }
}

/// How a writer ended.
#[derive(PartialEq, Eq)]
enum Ended {
    Closed,
    /// The peer did not read while others waited for the memory.
    Pressed,
}

/// Writes what is queued until told to close.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Queued>,
    mut closing: oneshot::Receiver<()>,
    ping_every: Duration,
    memory: &Budget,
) -> Ended {
    let mut pings = tokio::time::interval(ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    loop {
        let written = tokio::select! {
            Some(queued) = queue.recv() => {
                let progress = AtomicUsize::new(0);
                tokio::select! {
                    written = flush(&mut sink, &mut queue, queued, &progress) => written,
                    () = pressed(memory, &progress) => return Ended::Pressed,
                }
            },
            _ = pings.tick() => sink.send(Message::Ping(bytes::Bytes::new())).await,
            _ = &mut closing => break,
        };
        if written.is_err() {
            return Ended::Closed;
        }
    }
    let frame = CloseFrame { code: close_code::AWAY, reason: "the connection or the node is closing".into() };
    // A courtesy; the connection ends anyway.
    sink.send(Message::Close(Some(frame))).await.ok();
    Ended::Closed
}

/// Resolves when somebody has waited for memory, and the peer has read nothing, for as long as a write may
/// take then.
async fn pressed(memory: &Budget, progress: &AtomicUsize) {
    let (mut times, mut before) = (0, 0);
    while times < PRESSED_TIMES {
        tokio::time::sleep(PRESSED_INTERVAL).await;
        let now = progress.load(Relaxed);
        times = if memory.wanted() && now == before { times + 1 } else { 0 };
        before = now;
    }
}

/// What waits is written together; its part of the budgets is held until it is flushed.
async fn flush(
    sink: &mut SplitSink<WebSocket, Message>,
    queue: &mut mpsc::Receiver<Queued>,
    first: Queued,
    progress: &AtomicUsize,
) -> Result<(), axum::Error> {
    let mut held = Vec::new();
    let mut next = Some(first);
    while let Some(Queued { text, hold }) = next {
        sink.feed(Message::Text(text.into())).await?;
        progress.fetch_add(1, Relaxed);
        held.push(hold);
        next = if held.len() < FLUSH_MESSAGES { queue.try_recv().ok() } else { None };
    }
    sink.flush().await
}

//! Accepts connections, no more than allowed, and closes those on which nothing moves.

use super::{
    access::address_key,
    intake::{Intake, Refused},
};
use crate::{
    config::Limits,
    metrics::{Dropped, Held, Metrics},
    session::Budget,
    shares::{Share, Shares},
};
use axum::serve::Listener;
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

/// Refusals being written at once; beyond, a connection is closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long a refused client gets to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait when the system gives no connection, as when it is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);
/// So often it is said that the system gives none.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// A listener with a limit of connections, also for each client, and timeouts for each.
pub(super) struct Gate {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    connections_max: usize,
    shares: Arc<Shares>,
    refusals: Arc<Semaphore>,
    idle: Duration,
    stall: Duration,
    patience: Duration,
    requests_bytes: Budget,
    metrics: Arc<Metrics>,
    /// When it last said that the system gives no connections.
    complained: Option<Instant>,
}

/// Knows when all connections of a gate are closed.
pub(super) struct Connections {
    permits: Arc<Semaphore>,
    max: usize,
}

impl Connections {
    pub(super) async fn all(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.permits.clone().acquire_many_owned(u32::try_from(self.max).unwrap_or(u32::MAX)).await
    }
}

impl Gate {
    pub(super) fn new(
        listener: TcpListener,
        limits: &Limits,
        requests_bytes: Budget,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            listener,
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            connections_max: limits.connections_max,
            shares: Shares::new(limits.connections_max, limits.client_share_percent),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            idle: limits.idle_timeout(),
            stall: limits.stall_timeout(),
            patience: limits.request_timeout(),
            requests_bytes,
            metrics,
            complained: None,
        }
    }

    pub(super) fn connections(&self) -> Connections {
        Connections { permits: self.connections.clone(), max: self.connections_max }
    }

    /// The place of a new connection; if there is none, why.
    fn place(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Share), String> {
        let permit = self.connections.clone().try_acquire_owned().map_err(|_| {
            let max = self.connections_max;
            format!("this node serves {max} connections already; retry, or use another node\n")
        })?;
        let share = self.shares.take(&address_key(peer.ip()), 1).ok_or_else(|| {
            let max = self.shares.max();
            format!("{max} connections from this address are open; close one, or use another node\n")
        })?;
        Ok((permit, share))
    }

    fn admit(&self, stream: TcpStream, place: (OwnedSemaphorePermit, Share)) -> Connection {
        // Without it small replies wait for the peer's acknowledgement; with an error it is only slower.
        stream.set_nodelay(true).ok();
        let now = Instant::now();
        Connection {
            stream,
            moved: now,
            idle: self.idle,
            idle_sleep: Box::pin(tokio::time::sleep_until(now + self.idle)),
            stalled: false,
            stall: self.stall,
            stall_sleep: Box::pin(tokio::time::sleep_until(now + self.stall)),
            intake: Intake::new(self.requests_bytes.clone(), self.patience),
            metrics: self.metrics.clone(),
            _place: place,
            _held: Held::new(&self.metrics, |metrics| &metrics.connections),
        }
    }

    /// Counts every failure; a line for each would fill the log.
    fn complain(&mut self, error: &io::Error) {
        self.metrics.accepts_failed.fetch_add(1, Relaxed);
        let now = Instant::now();
        if self.complained.is_none_or(|last| now >= last + COMPLAINT_INTERVAL) {
            self.complained = Some(now);
            tracing::warn!(
                %error,
                "cannot accept connections; if too many files are open, raise the limit (ulimit -n, LimitNOFILE)"
            );
        }
    }

    fn refuse(&self, stream: TcpStream, why: String) {
        self.metrics.connections_refused.fetch_add(1, Relaxed);
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _permit = permit;
            // The peer may be gone already; then nobody is left to tell.
            tokio::time::timeout(REFUSAL_TIMEOUT, tell(stream, why)).await.ok();
        });
    }
}

/// Answers, then reads what the client sent: closing earlier would reset the connection, and the client
/// might never see the answer.
async fn tell(mut stream: TcpStream, text: String) -> io::Result<()> {
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 4_096];
    while stream.read(&mut scratch).await? != 0 {}
    Ok(())
}

impl Listener for Gate {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => match self.place(peer) {
                    Ok(place) => return (self.admit(stream, place), peer),
                    Err(why) => self.refuse(stream, why),
                },
                Err(error) if of_one_peer(&error) => (),
                Err(error) => {
                    self.complain(&error);
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whether the error concerns only the connection that was about to be accepted.
fn of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A TCP connection that fails when nothing moves for the idle time, or when the peer takes nothing of
/// what is being written for the stall time. Holds its place among the connections.
pub(super) struct Connection {
    stream: TcpStream,
    /// When bytes last went either way.
    moved: Instant,
    idle: Duration,
    idle_sleep: Pin<Box<Sleep>>,
    /// Whether a write is waiting; since when, the sleep knows.
    stalled: bool,
    stall: Duration,
    stall_sleep: Pin<Box<Sleep>>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    _place: (OwnedSemaphorePermit, Share),
    _held: Held,
}

impl Connection {
    pub(super) const fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    fn fail(&self, why: Dropped) -> io::Error {
        self.metrics.dropped(why);
        let what = match why {
            Dropped::Idle => "idle for too long",
            Dropped::Stalled | Dropped::Pressed => "the peer does not read",
            Dropped::Slow => "a request takes too long to arrive",
            Dropped::Memory => "the memory for requests in progress is used up",
        };
        io::Error::new(io::ErrorKind::TimedOut, what)
    }

    /// Called when a read has to wait.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.idle_sleep.as_mut().poll(cx).is_ready() {
            let due = self.moved + self.idle;
            if Instant::now() >= due {
                return Poll::Ready(self.fail(Dropped::Idle));
            }
            self.idle_sleep.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Called with the outcome of every write.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = false;
            self.moved = Instant::now();
            return outcome;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall_sleep.as_mut().reset(Instant::now() + self.stall);
        }
        self.stall_sleep.as_mut().poll(cx).map(|()| Err(self.fail(Dropped::Stalled)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.poll_idle(cx).map(Err),
            ready => {
                self.moved = Instant::now();
                match self.intake.received(buf.filled().len() - before) {
                    Ok(()) => ready,
                    Err(Refused::Slow) => Poll::Ready(Err(self.fail(Dropped::Slow))),
                    Err(Refused::Memory) => Poll::Ready(Err(self.fail(Dropped::Memory))),
                }
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

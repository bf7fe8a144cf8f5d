//! The machine a member runs on: the deterministic runtime, with a clock, a disk and a life of its own.

use crate::{
    disk::{Blob, Disk},
    life::{Life, Task},
};
use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, Metrics, Name, Network, SinkOf, Spawner, Storage, StreamOf,
    Supervisor,
    deterministic::Context,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
};
use rand::{TryCryptoRng, TryRng};
use std::{
    convert::Infallible,
    fmt::Display,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// How far a member's clock is ahead, in ms.
pub type Skew = Arc<AtomicI64>;

pub struct Machine {
    inner: Context,
    life: Arc<Life>,
    disk: Disk,
    skew: Skew,
}

impl Machine {
    pub fn new(inner: Context, life: Arc<Life>, disk: Disk, skew: Skew) -> Self {
        Self { inner, life, disk, skew }
    }

    fn with(&self, inner: Context) -> Self {
        Self::new(inner, self.life.clone(), self.disk.clone(), self.skew.clone())
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.with(self.inner.child(label))
    }

    fn with_attribute(mut self, key: &'static str, value: impl Display) -> Self {
        self.inner = self.inner.with_attribute(key, value);
        self
    }
}

impl Spawner for Machine {
    fn shared(mut self, blocking: bool) -> Self {
        self.inner = self.inner.shared(blocking);
        self
    }

    fn dedicated(mut self) -> Self {
        self.inner = self.inner.dedicated();
        self
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, life, disk, skew } = self;
        inner.spawn(move |inner| Task::new(life.clone(), f(Self::new(inner, life, disk, skew))))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.inner.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

/// As on a real machine, waiting until a time of day is waiting for as long as it is away now.
impl Clock for Machine {
    fn current(&self) -> SystemTime {
        let skew_ms = self.skew.load(Ordering::Relaxed);
        let skew = Duration::from_millis(skew_ms.unsigned_abs());
        let now = self.inner.current();
        if skew_ms < 0 { now - skew } else { now + skew }
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(deadline.duration_since(self.current()).unwrap_or_default())
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Machine {}

impl Storage for Machine {
    type Blob = Blob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Blob, u64, BlobVersion), Error> {
        self.disk.open(&self.life, partition, name, versions)
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.disk.remove(&self.life, partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.disk.scan(partition)
    }
}

impl Network for Machine {
    type Listener = <Context as Network>::Listener;

    async fn bind(&self, socket: SocketAddr) -> Result<Self::Listener, Error> {
        self.inner.bind(socket).await
    }

    async fn dial(&self, socket: SocketAddr) -> Result<(SinkOf<Self>, StreamOf<Self>), Error> {
        self.inner.dial(socket).await
    }
}

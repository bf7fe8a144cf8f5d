//! The machine a node runs on: the runtime on tokio, with a disk that remembers which file was used last.
//!
//! The library's errors mostly say what is wrong and not always where. Code that cannot go on without its
//! disk panics right after the access that failed, on the same thread; so the file used last on that
//! thread is the one to name. [`crate::failure`] does.

use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Name, Network, ReadOptions, SinkOf,
    Spawner, Storage, StreamOf, Supervisor, WriteOptions,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
    tokio::Context,
};
use futures::StreamExt as _;
use rand::{TryCryptoRng, TryRng};
use std::{
    cell::RefCell,
    convert::Infallible,
    fmt::{self, Display},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A file below the storage directory, or a whole partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: String,
    name: Option<Vec<u8>>,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.partition)?;
        let Some(name) = &self.name else { return Ok(()) };
        f.write_str("/")?;
        name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

thread_local! {
    static LAST: RefCell<Option<Arc<Place>>> = const { RefCell::new(None) };
}

/// The file this thread used last.
pub fn last_used() -> Option<Arc<Place>> {
    LAST.try_with(|last| last.try_borrow().ok()?.clone()).ok().flatten()
}

fn used<T>(place: &Arc<Place>, result: T) -> T {
    LAST.with(|last| last.replace(Some(place.clone())));
    result
}

fn place(partition: &str, name: Option<&[u8]>) -> Arc<Place> {
    Arc::new(Place { partition: partition.to_owned(), name: name.map(<[u8]>::to_vec) })
}

pub struct Machine(Context);

impl Machine {
    pub const fn new(inner: Context) -> Self {
        Self(inner)
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.0.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self(self.0.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        Self(self.0.with_attribute(key, value))
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        Self(self.0.shared(blocking))
    }

    fn dedicated(self) -> Self {
        Self(self.0.dedicated())
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn(move |inner| f(Self(inner)))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.0.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.0.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.0.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.0.encode()
    }
}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.0.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.0.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.0.sleep_until(deadline)
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.0.current()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Machine {}

impl Network for Machine {
    type Listener = <Context as Network>::Listener;

    async fn bind(&self, socket: SocketAddr) -> Result<Self::Listener, Error> {
        self.0.bind(socket).await
    }

    async fn dial(&self, socket: SocketAddr) -> Result<(SinkOf<Self>, StreamOf<Self>), Error> {
        self.0.dial(socket).await
    }
}

impl Storage for Machine {
    type Blob = Blob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Blob, u64, BlobVersion), Error> {
        let place = place(partition, Some(name));
        let opened = used(&place, self.0.open_versioned(partition, name, versions).await);
        opened.map(|(inner, len, version)| (Blob { inner, place }, len, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        used(&place(partition, name), self.0.remove(partition, name).await)
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        used(&place(partition, None), self.0.scan(partition).await)
    }
}

pub struct Blob {
    inner: <Context as Storage>::Blob,
    place: Arc<Place>,
}

impl commonware_runtime::Blob for Blob {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        used(&self.place, self.inner.read_at_buf(offset, len, bufs, options).await)
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        used(&self.place, self.inner.read_at(offset, len, options).await)
    }

    fn read_many(
        &self,
        ranges: &[(u64, usize)],
        options: ReadOptions,
    ) -> impl futures::Stream<Item = Result<(usize, IoBufsMut), Error>> + Send {
        let place = self.place.clone();
        self.inner.read_many(ranges, options).inspect(move |_| used(&place, ()))
    }

    async fn start_read_many(&self, ranges: &[(u64, usize)], options: ReadOptions) -> Handle<Vec<IoBufsMut>> {
        used(&self.place, self.inner.start_read_many(ranges, options).await)
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        used(&self.place, self.inner.write_at(offset, bufs, options).await)
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        used(&self.place, self.inner.resize(len).await)
    }

    async fn sync(&self) -> Result<(), Error> {
        used(&self.place, self.inner.sync().await)
    }

    async fn start_sync(&self) -> Handle<()> {
        used(&self.place, self.inner.start_sync().await)
    }
}

//! The machine a node runs on: the runtime on tokio, with a disk that remembers how it was used.
//!
//! The library's errors mostly say what is wrong and not always where, and what a panic says is only text. So
//! the machine keeps the last error of the disk as it was, and which file each task has used since it was
//! last woken: code that finds a file damaged panics before it waits for anything else. [`crate::failure`]
//! reads both.

use crate::disk::Trouble;
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
    future,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
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

/// An error of the disk.
#[derive(Clone, Debug)]
pub struct Failed {
    pub place: Arc<Place>,
    pub trouble: Trouble,
    pub text: String,
    at: Instant,
}

/// A panic that comes later has another cause: the node has gone on without that file.
const FAILED_FOR: Duration = Duration::from_secs(10);

thread_local! {
    static USED: RefCell<Option<Arc<Place>>> = const { RefCell::new(None) };
}

static FAILED: Mutex<Option<Failed>> = Mutex::new(None);

/// The last file that the running task used since it was woken.
pub fn used() -> Option<Arc<Place>> {
    USED.try_with(|used| used.try_borrow().ok()?.clone()).ok().flatten()
}

/// The last error of the disk, if the node ended for it or could not end yet.
pub fn failed() -> Option<Failed> {
    let failed = FAILED.try_lock().ok()?.clone()?;
    (failed.at.elapsed() < FAILED_FOR).then_some(failed)
}

fn note<T>(place: &Arc<Place>, result: Result<T, Error>) -> Result<T, Error> {
    USED.with(|used| used.replace(Some(place.clone())));
    if let Err(error) = &result
        && let Some(trouble) = Trouble::of(error)
    {
        let failed = Failed { place: place.clone(), trouble, text: error.to_string(), at: Instant::now() };
        *FAILED.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
    }
    result
}

/// What comes later, noted when it does.
fn noted<T: Send + 'static>(place: &Arc<Place>, handle: Handle<T>) -> Handle<T> {
    let place = place.clone();
    Handle::from_future(async move { note(&place, handle.await) })
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
        self.0.spawn(move |inner| {
            let mut task = Box::pin(f(Self(inner)));
            future::poll_fn(move |context| {
                USED.with(|used| used.replace(None));
                task.as_mut().poll(context)
            })
        })
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
        let opened = note(&place, self.0.open_versioned(partition, name, versions).await);
        opened.map(|(inner, len, version)| (Blob { inner, place }, len, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        note(&place(partition, name), self.0.remove(partition, name).await)
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        note(&place(partition, None), self.0.scan(partition).await)
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
        note(&self.place, self.inner.read_at_buf(offset, len, bufs, options).await)
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        note(&self.place, self.inner.read_at(offset, len, options).await)
    }

    fn read_many(
        &self,
        ranges: &[(u64, usize)],
        options: ReadOptions,
    ) -> impl futures::Stream<Item = Result<(usize, IoBufsMut), Error>> + Send {
        let place = self.place.clone();
        self.inner.read_many(ranges, options).map(move |read| note(&place, read))
    }

    async fn start_read_many(&self, ranges: &[(u64, usize)], options: ReadOptions) -> Handle<Vec<IoBufsMut>> {
        noted(&self.place, self.inner.start_read_many(ranges, options).await)
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        note(&self.place, self.inner.write_at(offset, bufs, options).await)
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        note(&self.place, self.inner.resize(len).await)
    }

    async fn sync(&self) -> Result<(), Error> {
        note(&self.place, self.inner.sync().await)
    }

    async fn start_sync(&self) -> Handle<()> {
        noted(&self.place, self.inner.start_sync().await)
    }
}

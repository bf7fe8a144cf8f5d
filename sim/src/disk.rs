//! A member's disk. It knows what was written and what was synced, so that a crash can take the difference.
//!
//! ```text
//!  write ─► live ─── sync ──► durable          crash ─► Lost:  durable
//!             └► unsynced ──────┘                       Kept:  live
//!                                                       Torn:  durable and, of each unsynced write,
//!                                                              everything, a first part or nothing
//!                                                       Reordered: durable and, of each file, the last
//!                                                              unsynced writes without those before them
//! ```
//!
//! What is at rest may rot (bits flip, files are cut or missing), and a disk may be replaced by an old copy of it.
//!
//! Further faults: every sync and read takes a while; the member dies at a chosen write; writes fail because the
//! disk is full; reads fail; syncs are acknowledged and not done. The last breaks what every node relies on: it is
//! there to show that the properties notice.

use crate::life::Life;
use commonware_runtime::{
    BlobVersion, Buf as _, Clock as _, Error, Handle, IoBuf, IoBufs, IoBufsMut, ReadOptions, Spawner as _,
    Supervisor as _, WriteOptions, deterministic::Context,
};
use commonware_utils::{channel::oneshot, sync::Mutex};
use rand::{Rng as _, RngExt as _};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How the cause of a death at a write begins; where it was follows.
pub const DIED_AT: &str = "died at a write to ";

/// What a crash leaves of writes that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing, as a power failure may.
    #[default]
    Lost,
    /// Any part of each, as a power failure may, too.
    Torn,
    /// The later ones without the earlier, as a disk with a cache of its own may.
    Reordered,
    /// Everything, as `kill -9` does: the operating system has it.
    Kept,
}

#[derive(Clone)]
pub struct Disk(Arc<Inner>);

/// What happens to files that nobody writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another in some of the files, at least in one.
    Flip,
    /// The later half is missing, and the end of the file in the middle.
    Cut,
    /// All but the first so many are missing.
    After(usize),
    /// All are missing.
    Gone,
    /// The first page of each file stands in place of its last: a write went to the wrong place.
    Misdirected,
}

/// A page as the node writes them, with its checksum, which does not say where it belongs.
const MISDIRECTED_BYTES: usize = 4_096 + 12;

/// Files by name.
type Partition = BTreeMap<Vec<u8>, Arc<File>>;

/// Content of files by name.
type AtRest = BTreeMap<Vec<u8>, (BlobVersion, Vec<u8>)>;

struct Inner {
    context: Context,
    files: Mutex<BTreeMap<String, Partition>>,
    /// As it was when it was copied.
    copy: Mutex<Option<BTreeMap<String, AtRest>>>,
    faults: Mutex<Faults>,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// How long a sync or a read takes.
    pub latency_ms: u64,
    /// The member dies at the write or sync after so many more.
    pub dies_after: Option<u64>,
    /// Writes fail.
    pub full: bool,
    /// Reads fail.
    pub unreadable: bool,
    /// Syncs do nothing.
    pub lies: bool,
    /// Files were damaged: what reads them may end.
    pub rotten: bool,
}

struct File {
    version: BlobVersion,
    content: Mutex<Content>,
    /// One handle at a time.
    open: AtomicBool,
}

impl File {
    fn at_rest(version: BlobVersion, bytes: Vec<u8>) -> Arc<Self> {
        let content = Content { live: bytes.clone(), durable: bytes, ..Content::default() };
        Arc::new(Self { version, content: Mutex::new(content), open: AtomicBool::new(false) })
    }
}

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write {
        at: usize,
        bytes: IoBuf,
    },
    /// A write that was synced by itself, after others that were not.
    Synced {
        at: usize,
        bytes: IoBuf,
    },
    Resize(usize),
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if end > content.len() {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl Content {
    fn write(&mut self, at: usize, bytes: IoBuf, sync: bool) {
        put(&mut self.live, at, bytes.as_ref());
        if sync {
            put(&mut self.durable, at, bytes.as_ref());
            if !self.unsynced.is_empty() {
                self.unsynced.push(Change::Synced { at, bytes });
            }
        } else {
            self.unsynced.push(Change::Write { at, bytes });
        }
    }

    fn sync(&mut self) {
        let changes = std::mem::take(&mut self.unsynced);
        if changes.iter().any(|change| matches!(change, Change::Resize(_))) {
            self.durable.clone_from(&self.live);
            return;
        }
        for change in changes {
            if let Change::Write { at, bytes } = change {
                put(&mut self.durable, at, &self.live[at..at + bytes.len()]);
            }
        }
    }

    /// What the next open finds.
    fn after_crash(&self, unsynced: Unsynced, rng: &mut Context) -> Vec<u8> {
        match unsynced {
            Unsynced::Lost => self.durable.clone(),
            Unsynced::Kept => self.live.clone(),
            Unsynced::Reordered => {
                let mut content = self.durable.clone();
                let lost = rng.random_range(0..=self.unsynced.len());
                for (number, change) in self.unsynced.iter().enumerate() {
                    match change {
                        Change::Synced { at, bytes } => put(&mut content, *at, bytes.as_ref()),
                        _ if number < lost => {}
                        Change::Write { at, bytes } => put(&mut content, *at, bytes.as_ref()),
                        Change::Resize(len) => content.resize(*len, 0),
                    }
                }
                content
            }
            Unsynced::Torn => {
                let mut content = self.durable.clone();
                for change in &self.unsynced {
                    match change {
                        Change::Synced { at, bytes } => put(&mut content, *at, bytes.as_ref()),
                        Change::Resize(len) if rng.next_u64().is_multiple_of(2) => content.resize(*len, 0),
                        Change::Resize(_) => {}
                        Change::Write { at, bytes } => {
                            let kept = match rng.next_u64() % 3 {
                                0 => 0,
                                1 => bytes.len(),
                                _ => rng.random_range(0..=bytes.len()),
                            };
                            if kept > 0 {
                                put(&mut content, *at, &bytes.as_ref()[..kept]);
                            }
                        }
                    }
                }
                content
            }
        }
    }
}

fn hex(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn offset(value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| Error::OffsetOverflow)
}

impl Disk {
    pub fn new(context: Context) -> Self {
        Self(Arc::new(Inner {
            context,
            files: Mutex::default(),
            copy: Mutex::default(),
            faults: Mutex::default(),
        }))
    }

    pub fn faults(&self) -> Faults {
        *self.0.faults.lock()
    }

    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.faults.lock());
    }

    /// The member is gone: decides what of its writes remains. Handles that it left reach nothing any more.
    pub fn crash(&self, unsynced: Unsynced) {
        let mut rng = self.0.context.child("crash");
        for files in self.0.files.lock().values_mut() {
            for file in files.values_mut() {
                let content = file.content.lock().after_crash(unsynced, &mut rng);
                *file = File::at_rest(file.version, content);
            }
        }
    }

    /// What is in the files of the partitions whose names contain `part`.
    pub fn bytes(&self, part: &str) -> u64 {
        let partitions = self.0.files.lock();
        let files =
            partitions.iter().filter(|(name, _)| name.contains(part)).flat_map(|(_, files)| files.values());
        files.map(|file| u64::try_from(file.content.lock().live.len()).unwrap_or(u64::MAX)).sum()
    }

    /// Everything on it is gone, and copies of it too.
    pub fn wipe(&self) {
        self.0.files.lock().clear();
        *self.0.copy.lock() = None;
    }

    /// Damages the partitions whose names contain `part`. The member is down.
    pub fn rot(&self, part: &str, damage: Damage) {
        let mut rng = self.0.context.child("rot");
        for (_, files) in self.0.files.lock().iter_mut().filter(|(name, _)| name.contains(part)) {
            let middle = files.len() / 2;
            match damage {
                Damage::Gone => files.clear(),
                Damage::After(count) => {
                    if let Some(first) = files.keys().nth(count).cloned() {
                        drop(files.split_off(&first));
                    }
                }
                Damage::Cut => {
                    if let Some(last) = files.keys().nth(middle).cloned() {
                        drop(files.split_off(&[last.as_slice(), &[0]].concat()));
                        let bytes = files[&last].content.lock().durable.clone();
                        let half = bytes[..bytes.len() / 2].to_vec();
                        files.insert(last.clone(), File::at_rest(files[&last].version, half));
                    }
                }
                Damage::Misdirected => {
                    for file in files.values_mut() {
                        let mut bytes = file.content.lock().durable.clone();
                        let page = MISDIRECTED_BYTES.min(bytes.len() / 2);
                        let last = bytes.len() - page;
                        bytes.copy_within(..page, last);
                        *file = File::at_rest(file.version, bytes);
                    }
                }
                Damage::Flip => {
                    let last = files.len().saturating_sub(1);
                    for (index, file) in files.values_mut().enumerate() {
                        let mut bytes = file.content.lock().durable.clone();
                        if !bytes.is_empty() && (index == last || rng.next_u64().is_multiple_of(4)) {
                            let at = rng.random_range(0..bytes.len());
                            bytes[at] ^= 1 << rng.random_range(0..8);
                            *file = File::at_rest(file.version, bytes);
                        }
                    }
                }
            }
        }
        self.set(|faults| faults.rotten = true);
    }

    /// Copies what is durable, to be put back later.
    pub fn copy(&self) {
        let files = self.0.files.lock();
        let files = files.iter().map(|(name, files)| {
            let content = |file: &File| (file.version, file.content.lock().durable.clone());
            (name.clone(), files.iter().map(|(name, file)| (name.clone(), content(file))).collect())
        });
        *self.0.copy.lock() = Some(files.collect());
    }

    pub fn has_copy(&self) -> bool {
        self.0.copy.lock().is_some()
    }

    /// Puts the copy back, over everything that is there. The member is down.
    pub fn restore(&self) {
        let Some(copy) = self.0.copy.lock().clone() else { return };
        let file = |(name, (version, bytes))| (name, File::at_rest(version, bytes));
        let files = copy.into_iter().map(|(name, files)| (name, files.into_iter().map(file).collect()));
        *self.0.files.lock() = files.collect();
    }

    pub async fn remove(&self, life: &Life, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.mutation(life, partition, || {}).await?;
        let mut partitions = self.0.files.lock();
        let files = partitions.get_mut(partition).ok_or_else(|| Error::PartitionMissing(partition.into()))?;
        match name {
            Some(name) => {
                files.remove(name).ok_or_else(|| Error::BlobMissing(partition.into(), hex(name)))?;
            }
            None => {
                partitions.remove(partition);
            }
        }
        Ok(())
    }

    pub fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        let partitions = self.0.files.lock();
        let files = partitions.get(partition).ok_or_else(|| Error::PartitionMissing(partition.into()))?;
        Ok(files.keys().cloned().collect())
    }

    pub fn open(
        &self,
        life: &Arc<Life>,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Blob, u64, BlobVersion), Error> {
        let mut partitions = self.0.files.lock();
        let files = partitions.entry(partition.to_owned()).or_default();
        let file = files.entry(name.to_vec()).or_insert_with(|| {
            Arc::new(File {
                version: *versions.end(),
                content: Mutex::default(),
                open: AtomicBool::new(false),
            })
        });
        if !versions.contains(&file.version) {
            return Err(Error::BlobVersionMismatch { expected: versions, found: file.version });
        }
        if file.open.swap(true, Ordering::Relaxed) {
            return Err(Error::BlobAlreadyOpen(partition.into(), hex(name)));
        }
        let len = {
            // What can be read after an open is durable.
            let mut content = file.content.lock();
            content.live = content.durable.clone();
            content.unsynced.clear();
            content.live.len() as u64
        };
        let version = file.version;
        let place = format!("{partition}/{}", hex(name)).into();
        Ok((Blob { place, file: file.clone(), disk: self.clone(), life: life.clone() }, len, version))
    }

    async fn latency(&self) {
        let latency_ms = self.faults().latency_ms;
        if latency_ms > 0 {
            self.0.context.sleep(Duration::from_millis(latency_ms)).await;
        }
    }

    /// Counts one write or sync. Where the member is to die, `apply` is done or not, and nothing returns.
    async fn mutation(&self, life: &Life, place: &str, apply: impl FnOnce()) -> Result<(), Error> {
        let dies = {
            let mut faults = self.0.faults.lock();
            if faults.full {
                life.excuse();
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            }
            match &mut faults.dies_after {
                None => false,
                Some(0) => {
                    faults.dies_after = None;
                    true
                }
                Some(left) => {
                    *left -= 1;
                    false
                }
            }
        };
        if dies {
            if self.0.context.child("crash").next_u64().is_multiple_of(2) {
                apply();
            }
            life.excuse();
            life.end(format!("{DIED_AT}{place}"));
        }
        if life.ended() {
            return std::future::pending().await;
        }
        Ok(())
    }
}

pub struct Blob {
    /// Partition and name.
    place: Arc<str>,
    file: Arc<File>,
    disk: Disk,
    life: Arc<Life>,
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.file.open.store(false, Ordering::Relaxed);
    }
}

impl Blob {
    fn sync_file(file: &File, disk: &Disk) {
        if !disk.faults().lies {
            file.content.lock().sync();
        }
    }
}

impl commonware_runtime::Blob for Blob {
    async fn read_at_buf(
        &self,
        at: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        let mut bufs = bufs.into();
        let read = self.read_at(at, len, options).await?.coalesce();
        if bufs.len() != len {
            return Ok(read.into());
        }
        bufs.copy_from_slice(read.as_ref());
        Ok(bufs)
    }

    async fn read_at(&self, at: u64, len: usize, _: ReadOptions) -> Result<IoBufsMut, Error> {
        self.disk.latency().await;
        if self.disk.faults().unreadable {
            self.life.excuse();
            return Err(io::Error::other("the disk cannot read").into());
        }
        let at = offset(at)?;
        let end = at.checked_add(len).ok_or(Error::OffsetOverflow)?;
        let content = self.file.content.lock();
        let bytes = content.live.get(at..end).ok_or(Error::BlobInsufficientLength)?;
        Ok(bytes.to_vec().into())
    }

    async fn write_at(
        &self,
        at: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        let bytes = bufs.into().coalesce();
        let at = offset(at)?;
        if !bytes.has_remaining() {
            return Ok(());
        }
        let asked = options.contains(WriteOptions::SYNC);
        if asked {
            self.disk.latency().await;
        }
        let sync = asked && !self.disk.faults().lies;
        self.disk
            .mutation(&self.life, &self.place, || self.file.content.lock().write(at, bytes.clone(), sync))
            .await?;
        self.file.content.lock().write(at, bytes, sync);
        Ok(())
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let len = offset(len)?;
        self.disk.mutation(&self.life, &self.place, || {}).await?;
        let mut content = self.file.content.lock();
        content.live.resize(len, 0);
        content.unsynced.push(Change::Resize(len));
        Ok(())
    }

    async fn sync(&self) -> Result<(), Error> {
        self.disk.latency().await;
        self.disk.mutation(&self.life, &self.place, || Self::sync_file(&self.file, &self.disk)).await?;
        Self::sync_file(&self.file, &self.disk);
        Ok(())
    }

    /// Goes on when the handle is dropped, as the contract has it.
    async fn start_sync(&self) -> Handle<()> {
        if self.disk.faults().latency_ms == 0 {
            return Handle::ready(self.sync().await);
        }
        let (sender, receiver) = oneshot::channel();
        let (place, file) = (self.place.clone(), self.file.clone());
        let (disk, life) = (self.disk.clone(), self.life.clone());
        self.disk.0.context.child("sync").spawn(move |_| async move {
            disk.latency().await;
            let counted = disk.mutation(&life, &place, || Self::sync_file(&file, &disk)).await;
            if counted.is_ok() {
                Self::sync_file(&file, &disk);
            }
            let _ = sender.send(counted);
        });
        Handle::from_receiver(receiver)
    }
}

#[cfg(test)]
mod tests;

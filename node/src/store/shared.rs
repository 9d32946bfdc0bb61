//! What the handles, the writer thread and the reader threads of a store share, and what reader threads do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::Block;

use super::command::Command;
use super::disk::Disk;
use super::entry::{Entry, Key, Location, Place};
use super::index::{Index, Row, Rows};
use super::leases::Leases;
use super::roots::{Root, RootKind, Roots};
use super::segments::{ReadError, Segments};
use super::spared::Spared;
use super::writer::Pending;
use super::{Stat, StoreError};
use crate::pool::queue::{Queue, Taken};

/// One store.
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) index: Index,
    pub(super) roots: Roots,
    pub(super) segments: Segments,
    pub(super) leases: Leases,
    pub(super) spared: Arc<Spared>,
    /// Looked up before the index; the writer thread empties it after the index has them.
    pub(super) pending: RwLock<Pending>,
    pub(super) writes: Queue<Command>,
    pub(super) reads: Queue<Job>,
    rows: Mutex<Rows>,
    generation: AtomicU32,
    /// Whether anything was put in this generation.
    generation_used: AtomicBool,
    bad_records: AtomicU64,
    /// Segments whose dead were given back, and how many blocks they had then.
    pub(super) tidied: Mutex<BTreeMap<u32, u64>>,
}

/// Something for a reader thread.
pub(super) type Job = Box<dyn FnOnce(&Shared) + Send>;

impl Shared {
    pub(super) fn new(
        folder: PathBuf,
        disk: Arc<dyn Disk>,
        index: Index,
        roots: Roots,
        rows: Rows,
        generation: u32,
    ) -> Shared {
        Shared {
            folder,
            index,
            roots,
            segments: Segments::new(disk),
            leases: Leases::default(),
            spared: Arc::default(),
            pending: RwLock::default(),
            writes: Queue::new(WRITES),
            reads: Queue::new(READS),
            rows: Mutex::new(rows),
            generation: AtomicU32::new(generation),
            generation_used: AtomicBool::new(false),
            bad_records: AtomicU64::new(0),
            tidied: Mutex::default(),
        }
    }

    pub(super) fn run_reader(&self) {
        while let Taken::Items(items) = self.reads.take(None, |_| 1) {
            items.into_iter().for_each(|item| (item.value)(self));
        }
    }

    /// Where blocks are.
    pub(super) fn find<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<Vec<Option<Entry>>, StoreError> {
        let keys: Vec<&Key> = keys.into_iter().collect();
        let mut found: Vec<Option<Entry>> = {
            let pending = self.pending();
            keys.iter().map(|key| pending.get(key).copied()).collect()
        };
        let missing: Vec<usize> = (0..keys.len()).filter(|at| found[*at].is_none()).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let indexed = self.index.find(missing.iter().map(|at| keys[*at]));
        for (at, entry) in missing.into_iter().zip(indexed.map_err(|error| self.index_error(error))?) {
            found[at] = entry;
        }
        Ok(found)
    }

    /// How long blocks are, for somebody who will build on those that are here.
    pub(super) fn locate(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let deleted = self.spared.touch(&keys);
        let mut lengths = self.glance(cids)?;
        let goes =
            lengths.iter_mut().zip(cids).zip(deleted).filter(|((_, cid), deleted)| *deleted && inherent(cid).is_none());
        goes.for_each(|((length, _), _)| *length = None);
        Ok(lengths)
    }

    /// How long blocks are.
    pub(super) fn glance(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let found = self.find(&keys)?;
        let length = |(cid, entry): (&Cid, Option<Entry>)| {
            let stored = entry.map(|entry| entry.place.length());
            stored.or_else(|| inherent(cid).map(|data| data.len() as u32))
        };
        Ok(cids.iter().zip(found).map(length).collect())
    }

    pub(super) fn load(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok(self.load_from(cid)?.map(|(data, _)| data))
    }

    pub(super) fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let Some((data, place)) = self.load_from(cid)? else { return Ok(None) };
        match Block::verify(*cid, data) {
            Ok(block) => Ok(Some(block)),
            Err(error) => {
                if let Some(Place::Record(location)) = place {
                    self.drop_bad(cid, location, &error.to_string());
                }
                Ok(None)
            }
        }
    }

    fn load_from(&self, cid: &Cid) -> Result<Option<(Bytes, Option<Place>)>, StoreError> {
        if let Some(data) = inherent(cid) {
            return Ok(Some((data, None)));
        }
        let key = Key::from(cid);
        let _guard = self.segments.guard();
        let Some(Entry { place, .. }) = self.find([&key])?[0] else { return Ok(None) };
        // Nothing is referred to yet: an entry that says so leads nowhere.
        let Place::Record(location) = place else { return Ok(None) };
        match self.segments.read(&key, location) {
            Ok(data) => Ok(Some((data, Some(place)))),
            Err(ReadError::Bad(why)) => {
                self.drop_bad(cid, location, why);
                Ok(None)
            }
            Err(ReadError::Io(error)) => Err(self.io_error(&super::record::segment_name(location.segment), error)),
        }
    }

    fn drop_bad(&self, cid: &Cid, location: Location, why: &str) {
        let Location { segment, offset, .. } = location;
        tracing::error!(%cid, folder = %self.folder.display(), segment, offset, why, "bad record, the block is gone");
        self.bad_records.fetch_add(1, Ordering::Relaxed);
        // Before the answer, so that whoever puts the block again after it finds it gone.
        let command = Command::Drop { key: Key::from(cid), place: Place::Record(location) };
        let _ = futures::executor::block_on(self.writes.push(command, super::PUT_OVERHEAD));
    }

    pub(super) fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        let after = after.map(|after| Key(after.to_bytes().into()));
        let listed = self.index.list(after.as_ref(), most).map_err(|error| self.index_error(error))?;
        let listed = listed
            .into_iter()
            .filter_map(|(key, entry)| Some((Multihash::from_bytes(&key.0).ok()?, entry.place.length())));
        Ok(listed.collect())
    }

    pub(super) fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, StoreError> {
        self.roots.root(kind, key).map_err(|error| self.roots_error(error))
    }

    pub(super) fn roots(&self, kind: RootKind) -> Result<Vec<Root>, StoreError> {
        let mut roots = self.roots.roots(kind).map_err(|error| self.roots_error(error))?;
        if kind == RootKind::Lease {
            // What is held may be younger than what is written.
            let held = self.leases.roots();
            roots.retain(|root| held.iter().all(|held| held.key != root.key));
            roots.extend(held);
            roots.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        let now = SystemTime::now();
        roots.retain(|root| !root.is_expired(now));
        Ok(roots)
    }

    pub(super) fn is_complete(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.roots.is_complete(cid).map_err(|error| self.roots_error(error))
    }

    pub(super) fn announcements(&self) -> Result<Vec<Cid>, StoreError> {
        self.roots.announcements().map_err(|error| self.roots_error(error))
    }

    pub(super) fn announcement_times(&self) -> Result<Vec<(Cid, SystemTime)>, StoreError> {
        self.roots.announced().map_err(|error| self.roots_error(error))
    }

    pub(super) fn stat(&self) -> Stat {
        let pending = self.pending().len() as u64;
        let bad_records = self.bad_records.load(Ordering::Relaxed);
        let rows = self.rows();
        let sum = |of: fn(&Row) -> u64| rows.segments.values().map(of).sum::<u64>();
        Stat {
            blocks: sum(|row| row.blocks) + rows.files.values().map(|file| file.blocks).sum::<u64>(),
            bytes: sum(|row| row.bytes) + rows.files.values().map(|file| file.bytes).sum::<u64>(),
            pending,
            segments: rows.segments.len() as u64,
            disk_bytes: sum(|row| row.length),
            bad_records,
        }
    }

    /// The generation that is put in, and it is used from here on.
    pub(super) fn generation(&self) -> u32 {
        let generation = self.generation.load(Ordering::SeqCst);
        self.generation_used.store(true, Ordering::SeqCst);
        generation
    }

    /// A generation in which nothing was put before; what is put from here on is put in it or a later one.
    pub(super) fn begin_generation(&self) -> u32 {
        match self.generation_used.swap(false, Ordering::SeqCst) {
            true => self.generation.fetch_add(1, Ordering::SeqCst) + 1,
            false => self.generation.load(Ordering::SeqCst),
        }
    }

    pub(super) fn pending(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the index knows of segments and files, as of the last commit.
    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take in what a commit changed.
    pub(super) fn rows_changed(&self, changed: Rows) {
        let mut rows = self.rows();
        rows.segments.extend(changed.segments);
        rows.files.extend(changed.files);
        rows.files.retain(|_, file| file.blocks > 0);
    }

    pub(super) fn io_error(&self, name: &str, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { folder: self.folder.clone() }
            }
            _ => StoreError::Io { path: self.folder.join(name), source: Arc::new(error) },
        }
    }

    pub(super) fn database_error(&self, name: &str, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(error) => self.io_error(name, error),
            error => StoreError::Database { path: self.folder.join(name), source: Arc::new(error) },
        }
    }

    fn index_error(&self, error: redb::Error) -> StoreError {
        self.database_error(self.index.name(), error)
    }

    fn roots_error(&self, error: redb::Error) -> StoreError {
        self.database_error(self.roots.name(), error)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The bytes of blocks that need not be stored: those of an identity CID, and none at all.
pub(super) fn inherent(cid: &Cid) -> Option<Bytes> {
    match (cid.hash().code(), cid.hash().digest()) {
        (IDENTITY, digest) => Some(Bytes::copy_from_slice(digest)),
        (SHA2_256, EMPTY) => Some(Bytes::new()),
        _ => None,
    }
}

const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
/// The digest of no bytes.
const EMPTY: &[u8] = &[
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Bytes queued for the writer thread; then whoever puts waits.
const WRITES: u32 = 32 * 1024 * 1024;
/// Reads queued; then whoever reads waits.
const READS: u32 = 1024;

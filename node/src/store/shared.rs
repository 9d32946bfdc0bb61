//! What the handles, the writer thread and the reader threads of a store share, and what reader threads do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use cid::Cid;
use cid::multihash::Multihash;

use super::command::Command;
use super::disk::Disk;
use super::entry::Key;
use super::index::{Index, Row, Rows};
use super::leases::Leases;
use super::referrals::PendingSources;
use super::roots::{Root, RootKind, Roots};
use super::segments::Segments;
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
    /// Looked up before the table of sources, in the same way.
    pub(super) pending_sources: RwLock<PendingSources>,
    pub(super) writes: Queue<Command>,
    pub(super) reads: Queue<Job>,
    rows: Mutex<Rows>,
    generation: AtomicU32,
    /// Whether anything was put in this generation.
    generation_used: AtomicBool,
    pub(super) bad_records: AtomicU64,
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
            pending_sources: RwLock::default(),
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

    pub(super) fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        let mut after = after.map(|after| Key(after.to_bytes().into()));
        // What leads nowhere is left out, so a page is read on until there is something in it.
        loop {
            let page = self.index.list(after.as_ref(), most).map_err(|error| self.index_error(error))?;
            let (keys, entries): (Vec<Key>, Vec<_>) = page.into_iter().map(|(key, entry)| (key, Some(entry))).unzip();
            let Some(last) = keys.last().cloned() else { return Ok(Vec::new()) };
            let placed = keys.into_iter().zip(self.with_sources(entries)?);
            let listed = placed.filter_map(|(key, placed)| {
                let (entry, _) = placed?;
                Some((Multihash::from_bytes(&key.0).ok()?, entry.place.length()))
            });
            let listed: Vec<_> = listed.collect();
            if !listed.is_empty() {
                return Ok(listed);
            }
            after = Some(last);
        }
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
            // Asks the disk, which this does not.
            used_bytes: 0,
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

    pub(super) fn pending_sources(&self) -> RwLockReadGuard<'_, PendingSources> {
        self.pending_sources.read().unwrap_or_else(PoisonError::into_inner)
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

    /// An error of a file that is not the store's.
    pub(super) fn file_error(&self, path: &Path, error: io::Error) -> StoreError {
        StoreError::Io { path: path.to_owned(), source: Arc::new(error) }
    }

    pub(super) fn database_error(&self, name: &str, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(error) => self.io_error(name, error),
            error => StoreError::Database { path: self.folder.join(name), source: Arc::new(error) },
        }
    }

    pub(super) fn index_error(&self, error: redb::Error) -> StoreError {
        self.database_error(self.index.name(), error)
    }

    pub(super) fn roots_error(&self, error: redb::Error) -> StoreError {
        self.database_error(self.roots.name(), error)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Bytes queued for the writer thread; then whoever puts waits.
const WRITES: u32 = 32 * 1024 * 1024;
/// Reads queued; then whoever reads waits.
const READS: u32 = 1024;

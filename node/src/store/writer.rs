//! The writer thread: the only one that appends, commits and deletes, one command after the other.
//!
//! Commits that wait together share one sync. The order is: records, fdatasync, (a new segment: the folder), index, roots,
//! answer. What is appended and not yet committed is found through `Shared::pending`.

mod removal;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::command::{Command, Reply};
use super::entry::{Entry, Key, Location, Place};
use super::index::{Insertion, Only};
use super::leases::RENEWAL;
use super::referrals::Referrals;
use super::reserve::Reserve;
use super::roots::{Change, RootKind, seconds};
use super::segments::{Appender, Guard};
use super::{Shared, StoreError};
use crate::pool::queue::Taken;
use removal::Retired;

/// State of the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) appender: Appender,
    pub(super) reserve: Reserve,
    /// Commits that wait for the next sync.
    group: Vec<(Vec<Change>, Reply<Vec<bool>>)>,
    /// Changes that nobody waits for.
    pub(super) lazy: Vec<Change>,
    pending_bytes: usize,
    pub(super) pending_since: Option<Instant>,
    renewed: Instant,
    /// What to do once nobody reads what was removed before, oldest first.
    retired: VecDeque<(Guard, Retired)>,
    pub(super) sources: Referrals,
    /// A sync failed: what is pending is to be written again.
    unsure: bool,
    /// Pending blocks are lost, and whoever put them was told that they are here.
    lost: Option<String>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, appender: Appender, reserve: Reserve, sources: Referrals) -> Writer {
        Writer {
            shared,
            appender,
            reserve,
            group: Vec::new(),
            lazy: Vec::new(),
            pending_bytes: 0,
            pending_since: None,
            renewed: Instant::now(),
            retired: VecDeque::new(),
            sources,
            unsure: false,
            lost: None,
        }
    }

    /// Work until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.shared.writes.take(Some(self.patience()), |queued| queued) {
                Taken::Items(items) => items.into_iter().for_each(|item| self.handle(item.value)),
                Taken::TimedOut => {}
                Taken::Closed => break,
            }
            self.finish_group();
            self.look_after(Instant::now());
        }
        if let Err(error) = self.commit_blocks().and_then(|()| self.change_roots_lazily()) {
            tracing::error!(%error, "blocks that nobody waited for could not be committed");
        }
        self.give_back();
    }

    fn handle(&mut self, command: Command) {
        // Whoever dropped its end of a reply does not want the answer.
        match command {
            Command::Put { blocks, reply } => {
                let done = self.put(blocks);
                let _ = reply.send(done);
            }
            Command::Commit { changes, reply } => self.group.push((changes, reply)),
            Command::Remove { keys, only, reply } => {
                let done = self.remove(&keys, only);
                let _ = reply.send(done);
            }
            Command::Drop { key, place } => {
                if let Err(error) = self.remove(&[key], Only::At(place)) {
                    tracing::error!(%error, "a bad record could not be taken out of the index");
                }
            }
            Command::Sweep { collection, keys, generation, reply } => {
                let done = self.sweep(collection, keys, generation);
                let _ = reply.send(done);
            }
            Command::Seal { reply } => {
                let done = self.seal();
                let _ = reply.send(done);
            }
            Command::Punch { segment, ranges, reply } => self.retire(Retired::Dead { segment, ranges, reply }),
            Command::Relocate { records, reply } => {
                let done = self.relocate(records);
                let _ = reply.send(done);
            }
            Command::Settle { reply } => self.settle(reply),
            Command::File(command) => self.handle_file(command),
            Command::Lease(root) => {
                self.lazy.push(Change::Set(vec![root]));
                self.pending_since.get_or_insert_with(Instant::now);
            }
            Command::EndLease(keys) => self.end_lease(keys),
        }
    }

    fn end_lease(&mut self, mut keys: Vec<Vec<u8>>) {
        // A root that was never written need not be taken away: a short read writes nothing.
        self.lazy.retain(|change| match change {
            Change::Set(roots) if roots.len() == 1 => match keys.iter().position(|key| *key == roots[0].key) {
                Some(at) => {
                    keys.swap_remove(at);
                    false
                }
                None => true,
            },
            _ => true,
        });
        if !keys.is_empty() {
            self.lazy.extend(keys.into_iter().map(|key| Change::Remove(RootKind::Lease, key)));
            self.pending_since.get_or_insert_with(Instant::now);
        }
    }

    fn put(&mut self, blocks: Vec<(Key, Bytes)>) -> Result<(), StoreError> {
        self.check_lost()?;
        if !self.reserve.is_held() && !self.reserve.restore() {
            return Err(StoreError::Full { folder: self.shared.folder.clone() });
        }
        let generation = self.shared.generation();
        let found = self.shared.find(blocks.iter().map(|(key, _)| key))?;
        let (mut fresh, mut touched, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for ((key, data), entry) in blocks.into_iter().zip(found) {
            // What is put must not depend on somebody's file.
            match entry.filter(|entry| matches!(entry.place, Place::Record(_))) {
                Some(entry) if entry.generation == generation => {}
                Some(entry) => touched.push((key, Entry { generation, ..entry })),
                None if !seen.insert(key.clone()) => {}
                None => fresh.push((key, data)),
            }
        }
        self.add_pending(touched);
        self.append(&fresh, generation)?;
        self.commit_when_many()
    }

    pub(super) fn commit_when_many(&mut self) -> Result<(), StoreError> {
        if self.pending_bytes > PENDING_BYTES || self.shared.pending().len() > PENDING_BLOCKS {
            self.commit_blocks()?;
        }
        Ok(())
    }

    fn append(&mut self, mut records: &[(Key, Bytes)], generation: u32) -> Result<(), StoreError> {
        while !records.is_empty() {
            let locations = self.appender.append(records).map_err(|error| self.shared.io_error("a segment", error))?;
            let (appended, left) = records.split_at(locations.len());
            records = left;
            self.pending_bytes += appended.iter().map(|(_, data)| data.len()).sum::<usize>();
            let entries = appended.iter().zip(locations);
            let entry = |location| Entry { place: Place::Record(location), generation };
            self.add_pending(entries.map(|((key, _), location)| (key.clone(), entry(location))));
        }
        Ok(())
    }

    pub(super) fn add_pending(&mut self, entries: impl IntoIterator<Item = (Key, Entry)>) {
        let mut pending = self.shared.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.extend(entries);
        if !pending.is_empty() {
            self.pending_since.get_or_insert_with(Instant::now);
        }
    }

    /// Commit for all who wait, and answer them.
    fn finish_group(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let (mut changes, mut waiting) = (Vec::new(), Vec::new());
        for (wanted, reply) in std::mem::take(&mut self.group) {
            waiting.push((wanted.len(), reply));
            changes.extend(wanted);
        }
        // Before they are there: a collection that hears of them in vain only spares too much.
        for change in &changes {
            match change {
                Change::Set(roots) => {
                    roots.iter().for_each(|root| self.shared.spared.protect(root.cid, root.recursive))
                }
                Change::Replace(_, root) => self.shared.spared.protect(root.cid, root.recursive),
                Change::Complete(cid) => self.shared.spared.protect(*cid, true),
                _ => {}
            }
        }
        let done = self.commit_blocks().and_then(|()| self.change_roots(changes));
        let mut done = done.map(Vec::into_iter);
        for (count, reply) in waiting {
            let answer = done.as_mut().map(|done| done.take(count).collect()).map_err(|error| error.clone());
            let _ = reply.send(answer);
        }
    }

    /// Make everything that was put durable.
    fn commit_blocks(&mut self) -> Result<(), StoreError> {
        self.check_lost()?;
        let changed = self.commit_sources()?;
        if self.shared.pending().is_empty() && self.appender.lengths().is_empty() {
            return Ok(());
        }
        self.sync()?;
        let mut entries: Vec<_> = self.shared.pending().iter().map(|(key, entry)| (key.clone(), *entry)).collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let insertion = Insertion {
            entries,
            lengths: self.appender.lengths().clone(),
            generation: self.shared.generation(),
            now: seconds(SystemTime::now()),
        };
        self.insert(insertion)?;
        self.shared.pending.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.appender.committed();
        (self.pending_bytes, self.pending_since) = (0, None);
        self.pending_since = (!self.lazy.is_empty()).then(Instant::now);
        self.forget_unused(changed);
        Ok(())
    }

    fn insert(&mut self, insertion: Insertion) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let error = match shared.index.insert(&insertion) {
            Ok(rows) => {
                shared.rows_changed(rows);
                return Ok(());
            }
            Err(error) => shared.database_error(shared.index.name(), error),
        };
        if !matches!(error, StoreError::Full { .. }) || !self.reserve.release() {
            return Err(error);
        }
        // In pieces, each of which needs little room.
        let Insertion { entries, lengths, generation, now } = insertion;
        let pieces = entries.chunks(PIECE).map(|piece| (piece.to_vec(), Default::default()));
        for (entries, lengths) in pieces.chain([(Vec::new(), lengths)]) {
            let piece = Insertion { entries, lengths, generation, now };
            let rows =
                shared.index.insert(&piece).map_err(|error| shared.database_error(shared.index.name(), error))?;
            shared.rows_changed(rows);
        }
        Ok(())
    }

    /// Put what is pending on the disk. After a failed sync nobody knows what of it is there, and the kernel may report the
    /// next sync as done all the same: so it is written again, to another segment.
    fn sync(&mut self) -> Result<(), StoreError> {
        if !self.unsure {
            let Err(error) = self.appender.sync() else { return Ok(()) };
            tracing::error!(%error, folder = %self.shared.folder.display(), "sync failed, writing again what is not committed");
            self.unsure = true;
        }
        self.appender.abandon();
        let pending: Vec<(Key, Location, u32)> = {
            let rows = self.shared.rows();
            let committed = |location: Location| rows.segments.get(&location.segment).map_or(0, |row| row.length);
            let pending = self.shared.pending();
            let records = pending.iter().filter_map(|(key, entry)| match entry.place {
                Place::Record(location) => Some((key.clone(), location, entry.generation)),
                Place::Reference(_) => None,
            });
            records.filter(|(_, location, _)| u64::from(location.offset) >= committed(*location)).collect()
        };
        for (key, location, generation) in pending {
            let data = match self.shared.segments.read(&key, location) {
                Ok(data) => data,
                Err(error) => {
                    self.lost = Some(error.to_string());
                    return self.check_lost();
                }
            };
            self.append(&[(key, data)], generation)?;
        }
        self.appender.sync().map_err(|error| self.shared.io_error("a segment", error))?;
        self.unsure = false;
        Ok(())
    }

    pub(super) fn check_lost(&self) -> Result<(), StoreError> {
        match &self.lost {
            None => Ok(()),
            Some(why) => Err(StoreError::Lost { folder: self.shared.folder.clone(), why: why.clone() }),
        }
    }

    pub(super) fn change_roots(&mut self, mut changes: Vec<Change>) -> Result<Vec<bool>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = changes.len();
        changes.extend(self.lazy.iter().cloned());
        let shared = self.shared.clone();
        let error = |error| shared.database_error(shared.roots.name(), error);
        let done = match shared.roots.change(&changes).map_err(error) {
            Err(StoreError::Full { .. }) if self.reserve.release() => shared.roots.change(&changes).map_err(error),
            done => done,
        };
        let mut done = done?;
        self.lazy.clear();
        done.truncate(wanted);
        Ok(done)
    }

    fn change_roots_lazily(&mut self) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut self.lazy);
        self.change_roots(changes.clone()).map(|_| ()).inspect_err(|_| self.lazy = changes)
    }

    /// How long to wait for commands before looking after what is due.
    fn patience(&self) -> Duration {
        if !self.retired.is_empty() || self.sources.is_sweeping() {
            return READERS;
        }
        if self.pending_since.is_some() { LAZY } else { RENEWAL }
    }

    fn look_after(&mut self, now: Instant) {
        if now.duration_since(self.renewed) >= RENEWAL {
            self.renewed = now;
            self.lazy.extend([Change::Set(self.shared.leases.roots()), Change::Expire(SystemTime::now())]);
            self.pending_since.get_or_insert(now);
        }
        if self.pending_since.is_some_and(|since| now.duration_since(since) >= LAZY) {
            let done = self.commit_blocks().and_then(|()| self.change_roots_lazily());
            // After an error: not at once again.
            self.pending_since = done.is_err().then_some(now);
            if let Err(error) = done {
                tracing::warn!(%error, "blocks could not be committed yet");
            }
        }
        if !self.retired.is_empty() {
            self.give_back();
        }
        self.sweep_lost();
    }
}

/// What nobody asks to commit is committed after this time.
const LAZY: Duration = Duration::from_secs(5);
/// How often to look whether the last reader of a dead segment is done.
const READERS: Duration = Duration::from_millis(50);
/// Bytes and blocks that are appended without a commit; then the one who puts waits for one. The blocks are held in memory
/// (their places, some 150 bytes each).
const PENDING_BYTES: usize = 256 * 1024 * 1024;
const PENDING_BLOCKS: usize = 16 * 1024;
/// Entries a transaction when the disk is full.
const PIECE: usize = 512;

/// Blocks that are appended and not yet in the index.
pub(super) type Pending = HashMap<Key, Entry>;

//! What the writer thread takes away, and how the space comes back once nobody reads it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;

use bytes::Bytes;

use super::super::StoreError;
use super::super::command::{Reply, Swept};
use super::super::entry::{Key, Location, Place};
use super::super::index::Only;
use super::super::record::{HEAD_FIXED, Head, Kind, segment_name};
use super::super::roots::Change;
use super::super::segments::ReadError;
use super::super::survey::whole_pages;
use super::Writer;

/// What is due once those are done who began to read before it was removed.
#[derive(Debug)]
pub(super) enum Retired {
    /// Segments that nothing is left in.
    Segments(Vec<u32>),
    /// Ranges of a segment, in which nothing is alive.
    Dead { segment: u32, ranges: Vec<Range<u32>>, reply: Reply<bool> },
    /// Somebody waits for all that came before.
    Settled(Reply<()>),
}

impl Writer {
    /// Take blocks away, whatever protects them; says which were there.
    pub(super) fn remove(&mut self, keys: &[Key], only: Only) -> Result<Vec<bool>, StoreError> {
        // What was asked before comes before.
        self.finish_group();
        self.commit_blocks()?;
        let found = self.shared.find(keys)?;
        if found.iter().all(Option::is_none) {
            return Ok(vec![false; keys.len()]);
        }
        // First, so that no crash leaves a DAG called complete that has lost a block.
        self.change_roots(vec![Change::Incomplete])?;
        self.take_out(keys, only)
    }

    /// Take away those of these blocks that nobody protects, for a collection that has marked, and has seen to it that no DAG
    /// is called complete which has one of them.
    pub(super) fn sweep(&mut self, collection: u64, keys: Vec<Key>, generation: u32) -> Result<Swept, StoreError> {
        self.finish_group();
        self.commit_blocks()?;
        let oldest = self.shared.leases.oldest().map_or(generation, |leased| leased.min(generation));
        let keys = match self.shared.spared.doom(collection, keys) {
            Ok(keys) => keys,
            Err(roots) => return Ok(Swept::Mark(roots)),
        };
        let removed = self.take_out(&keys, Only::Before(oldest));
        self.shared.spared.spare();
        let removed = keys.into_iter().zip(removed?);
        Ok(Swept::Removed(removed.filter_map(|(key, removed)| removed.then_some(key)).collect()))
    }

    fn take_out(&mut self, keys: &[Key], only: Only) -> Result<Vec<bool>, StoreError> {
        let shared = self.shared.clone();
        let remove = || {
            let removed = shared.index.remove(keys, only, self.appender.active());
            removed.map_err(|error| shared.database_error(shared.index.name(), error))
        };
        let (removed, rows) = match remove() {
            Err(StoreError::Full { .. }) if self.reserve.release() => remove()?,
            removed => removed?,
        };
        let files = rows.files.keys().copied().collect();
        shared.rows_changed(rows);
        self.retire_segments();
        self.forget_unused(files);
        Ok(removed)
    }

    /// Have segments deleted that nothing is left in. Nothing is pending, so no entry names them.
    fn retire_segments(&mut self) {
        let active = self.appender.active();
        let is_queued = |number| {
            self.retired.iter().any(|(_, retired)| match retired {
                Retired::Segments(segments) => segments.contains(number),
                Retired::Dead { .. } | Retired::Settled(_) => false,
            })
        };
        let rows = self.shared.rows();
        let empty = rows
            .segments
            .iter()
            .filter(|(number, row)| row.blocks == 0 && active != Some(**number) && !is_queued(number));
        let empty: Vec<u32> = empty.map(|(number, _)| *number).collect();
        drop(rows);
        if !empty.is_empty() {
            self.retire(Retired::Segments(empty));
        }
    }

    pub(super) fn retire(&mut self, what: Retired) {
        self.retired.push_back((self.shared.segments.older_guards(), what));
    }

    /// Answer once the space of all that was removed before is free.
    pub(super) fn settle(&mut self, reply: Reply<()>) {
        self.retire(Retired::Settled(reply));
        self.give_back();
    }

    /// Do what is due. In order: a reader from before an older removal may read what a later one took away.
    pub(super) fn give_back(&mut self) {
        while self.retired.front().is_some_and(|(guard, _)| guard.is_last()) {
            match self.retired.pop_front().expect("there is a first").1 {
                Retired::Segments(segments) => segments.into_iter().for_each(|number| self.delete_segment(number)),
                Retired::Dead { segment, ranges, reply } => {
                    let done = self.punch(segment, &ranges);
                    let _ = reply.send(done.map_err(|error| self.shared.io_error(&segment_name(segment), error)));
                }
                Retired::Settled(reply) => {
                    self.shrink_index();
                    // The next put would do it, too.
                    self.reserve.restore();
                    // Whoever does not wait any more need not know.
                    let _ = reply.send(Ok(()));
                }
            }
        }
    }

    /// Append to a new segment from here on where much is dead in the last one: nothing is given back of that.
    pub(super) fn seal(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.appender.active() else { return Ok(()) };
        if self.shared.rows().segments.get(&active).is_some_and(|row| row.is_wasteful()) {
            self.commit_blocks()?;
            self.appender.seal();
            self.retire_segments();
        }
        Ok(())
    }

    /// Copy records that are alive to the end, a commit for all of them.
    pub(super) fn relocate(&mut self, records: Vec<(Key, Location)>) -> Result<(), StoreError> {
        if !self.reserve.is_held() {
            return Err(StoreError::Full { folder: self.shared.folder.clone() });
        }
        let found = self.shared.find(records.iter().map(|(key, _)| key))?;
        let mut alive: BTreeMap<u32, Vec<(Key, Bytes)>> = BTreeMap::new();
        for ((key, location), entry) in records.into_iter().zip(found) {
            let Some(entry) = entry.filter(|entry| entry.place == Place::Record(location)) else { continue };
            match self.shared.segments.read(&key, location) {
                Ok(data) => alive.entry(entry.generation).or_default().push((key, data)),
                // Whoever reads it reports it. Its segment stays.
                Err(ReadError::Bad(_)) => {}
                Err(ReadError::Io(error)) => return Err(self.shared.io_error(&segment_name(location.segment), error)),
            }
        }
        for (generation, records) in alive {
            self.append(&records, generation)?;
        }
        self.commit_blocks()?;
        self.retire_segments();
        Ok(())
    }

    /// Turn ranges into holes. Their heads are on the disk before anything in them is zeroed, so that whoever walks the
    /// segment later finds either the records or the hole.
    fn punch(&self, segment: u32, ranges: &[Range<u32>]) -> io::Result<bool> {
        if self.appender.active() == Some(segment) || !self.shared.rows().segments.contains_key(&segment) {
            return Ok(true);
        }
        let file = self.shared.segments.file(segment)?;
        for range in ranges {
            let mut head = Vec::with_capacity(HEAD_FIXED);
            let length = range.end - range.start - HEAD_FIXED as u32;
            Head { kind: Kind::Hole, multihash: Vec::new(), length, data_crc: 0 }.encode(&mut head);
            file.write_at(range.start.into(), &mut [IoSlice::new(&head)])?;
        }
        file.sync_data()?;
        for range in ranges {
            let pages = whole_pages(range);
            if pages.is_empty() {
                continue;
            }
            match file.punch(pages.start.into(), (pages.end - pages.start).into()) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(false),
                done => done?,
            }
        }
        Ok(true)
    }

    /// The end of a collection is a good time: nothing of it is lost where this fails, or the process ends meanwhile.
    fn shrink_index(&self) {
        let blocks = self.shared.stat().blocks;
        if let Err(error) = self.shared.index.shrink(blocks) {
            tracing::warn!(%error, "the index could not be made smaller");
        }
    }

    fn delete_segment(&mut self, number: u32) {
        // What cannot be deleted is tried again when the store is opened: its row says that it is dead.
        let deleted = self.shared.segments.delete(number).map_err(|error| error.to_string());
        let deleted =
            deleted.and_then(|()| self.shared.index.forget_segment(number, false).map_err(|error| error.to_string()));
        match deleted {
            Ok(()) => drop(self.shared.rows().segments.remove(&number)),
            Err(error) => tracing::warn!(segment = number, error, "a dead segment could not be deleted yet"),
        }
    }
}

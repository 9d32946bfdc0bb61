//! The files of segments: reading records out of them, and appending to the last one.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::disk::{Disk, File};
use super::entry::{Key, Location};
use super::flusher::Flusher;
use super::record::{Head, Kind, SEGMENT_HEADER, segment_header, segment_name};

/// Reads records. Shared by all reader threads.
#[derive(Debug)]
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    /// Most recently used first.
    open: Mutex<VecDeque<(u32, Arc<dyn File>)>>,
    readers: Mutex<Guard>,
}

/// Held from before a place is looked up in the index until it was read: what the index no longer names stays where it
/// is until all older guards are gone.
#[derive(Clone, Debug)]
pub(super) struct Guard(Arc<()>);

impl Guard {
    /// Whether nobody but the one who asks holds it.
    pub(super) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Segments {
        Segments { disk, open: Mutex::default(), readers: Mutex::new(Guard(Arc::default())) }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn guard(&self) -> Guard {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all guards so far have in common: it is the last when they are gone.
    pub(super) fn older_guards(&self) -> Guard {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut readers, Guard(Arc::default()))
    }

    /// The data of the block `key`, whose record is at `location`.
    pub(super) fn read(&self, key: &Key, location: Location) -> Result<Bytes, ReadError> {
        let head_size = Head::size_for(&key.0);
        let bytes =
            self.file(location.segment)?.read_at(location.offset.into(), head_size + location.length as usize)?;
        let head = Head::decode(&bytes).ok_or(ReadError::Bad("its head is damaged"))?;
        if head.kind != Kind::Block || *head.multihash != *key.0 || head.length != location.length {
            return Err(ReadError::Bad("another record stands there"));
        }
        let data = Bytes::from(bytes).slice(head_size..);
        if !head.matches(&data) {
            return Err(ReadError::Bad("its data does not match its checksum"));
        }
        Ok(data)
    }

    pub(super) fn file(&self, number: u32) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(other, _)| *other == number) {
            let found = open.remove(at).expect("it was found at this position");
            let file = found.1.clone();
            open.push_front(found);
            return Ok(file);
        }
        let file = self.disk.open(&segment_name(number))?;
        open.push_front((number, file.clone()));
        open.truncate(OPEN_SEGMENTS);
        Ok(file)
    }

    /// Delete a segment that nobody reads.
    pub(super) fn delete(&self, number: u32) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
        match self.disk.remove(&segment_name(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// Files of segments kept open for reading. A terabyte has four thousand, a process often no more than 1,024 files.
const OPEN_SEGMENTS: usize = 64;

/// Appends records to the last segment. There is one.
#[derive(Debug)]
pub(super) struct Appender {
    disk: Arc<dyn Disk>,
    limit: u32,
    last: Option<Last>,
    next: u32,
    unsynced: Vec<Arc<dyn File>>,
    /// Of the segments that grew since the last commit.
    lengths: BTreeMap<u32, u64>,
    sync_folder: bool,
    flusher: Flusher,
}

#[derive(Debug)]
struct Last {
    number: u32,
    length: u32,
    file: Arc<dyn File>,
}

impl Appender {
    /// Append to the segment `last` of this length where there is room, to new ones of at most `limit` bytes after that.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        limit: u32,
        last: Option<(u32, u32)>,
        next: u32,
        flusher: Flusher,
    ) -> io::Result<Appender> {
        let last = match last {
            Some((number, length)) => Some(Last { number, length, file: disk.open(&segment_name(number))? }),
            None => None,
        };
        Ok(Appender {
            disk,
            limit,
            last,
            next,
            unsynced: Vec::new(),
            lengths: BTreeMap::new(),
            sync_folder: false,
            flusher,
        })
    }

    /// Append the first records, as many as go into one segment, and say where they are. On an error none of them is there.
    pub(super) fn append(&mut self, records: &[(Key, Bytes)]) -> io::Result<Vec<Location>> {
        let room = |last: &Last| u64::from(self.limit).saturating_sub(last.length.into());
        let size = |(key, data): &(Key, Bytes)| (Head::size_for(&key.0) + data.len()) as u64;
        let Some(first) = records.first() else { return Ok(Vec::new()) };
        // A segment takes one record whatever the limit is.
        if self.last.as_ref().is_none_or(|last| last.length > SEGMENT_HEADER && room(last) < size(first)) {
            self.begin()?;
        }
        let last = self.last.as_mut().expect("begun above");
        let mut left = u64::from(self.limit).saturating_sub(last.length.into()).max(size(first));
        let (mut heads, mut ends, mut locations) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = last.length;
        for record in records {
            let Some(rest) = left.checked_sub(size(record)) else { break };
            left = rest;
            let (key, data) = record;
            let head = Head::of(&key.0, data);
            head.encode(&mut heads);
            ends.push(heads.len());
            locations.push(Location { segment: last.number, offset: end, length: head.length });
            end += size(record) as u32;
        }
        write(&*last.file, last.length, &heads, &ends, records).inspect_err(|_| {
            // Half a record must not stay: the next one is written over it, and opening cuts it.
            let _ = last.file.set_len(last.length.into());
        })?;
        self.flusher.appended(&last.file, (end - last.length) as usize);
        last.length = end;
        self.lengths.insert(last.number, end.into());
        if !self.unsynced.iter().any(|file| Arc::ptr_eq(file, &last.file)) {
            self.unsynced.push(last.file.clone());
        }
        Ok(locations)
    }

    fn begin(&mut self) -> io::Result<()> {
        let (number, name) = (self.next, segment_name(self.next));
        let file = self.disk.create(&name)?;
        if let Err(error) = file.write_at(0, &mut [IoSlice::new(&segment_header(number))]) {
            // Without its header it is of no use, and its name is wanted.
            let _ = self.disk.remove(&name);
            return Err(error);
        }
        self.next += 1;
        self.sync_folder = true;
        self.last = Some(Last { number, length: SEGMENT_HEADER, file });
        Ok(())
    }

    /// Put everything appended on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flusher.sync(&self.unsynced)?;
        if self.sync_folder {
            self.disk.sync_folder()?;
            self.sync_folder = false;
        }
        self.unsynced.clear();
        Ok(())
    }

    /// Lengths of the segments that grew since they were taken the last time by `committed`.
    pub(super) fn lengths(&self) -> &BTreeMap<u32, u64> {
        &self.lengths
    }

    pub(super) fn committed(&mut self) {
        self.lengths.clear();
    }

    /// The segment that is appended to.
    pub(super) fn active(&self) -> Option<u32> {
        self.last.as_ref().map(|last| last.number)
    }

    /// Append to a new segment from here on.
    pub(super) fn seal(&mut self) {
        self.last = None;
    }

    /// Append to a new segment from here on, and forget what is not synced: a failed sync leaves nobody knowing what of it
    /// is on the disk.
    pub(super) fn abandon(&mut self) {
        self.last = None;
        self.unsynced.clear();
        self.lengths.clear();
    }
}

/// Write heads and data in turns, in calls of about `WRITE` bytes, without copying the data.
fn write(file: &dyn File, start: u32, heads: &[u8], ends: &[usize], records: &[(Key, Bytes)]) -> io::Result<()> {
    let mut at = u64::from(start);
    let (mut slices, mut size, mut begin) = (Vec::new(), 0, 0);
    for (end, (_, data)) in ends.iter().zip(records) {
        let head = &heads[begin..*end];
        begin = *end;
        for part in std::iter::once(head).chain(data.chunks(WRITE)) {
            slices.push(IoSlice::new(part));
            size += part.len();
            if size >= WRITE {
                file.write_at(at, &mut slices)?;
                at += size as u64;
                slices.clear();
                size = 0;
            }
        }
    }
    if !slices.is_empty() {
        file.write_at(at, &mut slices)?;
    }
    Ok(())
}

/// Bytes a write call, about: enough that calls cost nothing, few enough that the kernel takes warm pages.
pub(super) const WRITE: usize = 64 * 1024;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// What is on the disk is not the record.
    #[error("{0}")]
    Bad(&'static str),
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Bad("its segment is too short"),
            io::ErrorKind::NotFound => ReadError::Bad("its segment is missing"),
            _ => ReadError::Io(error),
        }
    }
}

//! Entries in the order of their hashes, as bytes: what there is of a large folder, some part of it or all.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use cid::Cid;

use super::super::hamt;
use super::DirectoryError;
use crate::dag_pb::Link;

/// Entries that are to be sorted.
#[derive(Debug, Default)]
pub(super) struct Unsorted {
    records: Vec<u8>,
    /// The hash of each name, and where its record begins.
    places: Vec<(u64, u32)>,
}

impl Unsorted {
    pub(super) fn add(&mut self, link: &Link) {
        let place = u32::try_from(self.records.len()).expect("a run is sorted when it has RUN_BYTES");
        self.places.push((hamt::murmur3(&link.name), place));
        self.records.put_u8(u8::try_from(link.name.len()).expect("names are no longer than MAX_NAME"));
        self.records.put_slice(&link.name);
        link.cid.write_bytes(&mut self.records).expect("memory takes it");
        self.records.put_u64_le(link.tsize);
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= RUN_BYTES
    }

    /// All of them, in the order of their hashes and else of their names.
    pub(super) fn sort(&mut self) -> Bytes {
        let Self { records, places } = std::mem::take(self);
        let name = |place: u32| {
            let (length, rest) = records[place as usize..].split_first().expect("a record has a length");
            &rest[..usize::from(*length)]
        };
        let mut ends: Vec<(u64, Range<u32>)> = Vec::with_capacity(places.len());
        for (hash, begin) in places.into_iter().rev() {
            let end = ends.last().map_or(records.len() as u32, |(_, next)| next.start);
            ends.push((hash, begin..end));
        }
        ends.sort_unstable_by(|(a, here), (b, there)| a.cmp(b).then_with(|| name(here.start).cmp(name(there.start))));
        let mut sorted = Vec::with_capacity(records.len());
        ends.iter().for_each(|(_, range)| sorted.put_slice(&records[range.start as usize..range.end as usize]));
        sorted.into()
    }
}

/// Bytes that are sorted at a time: some 20,000 entries.
const RUN_BYTES: usize = 1 << 20;

/// A sorted run, as far as it is here.
#[derive(Debug)]
pub(super) struct Run {
    here: Bytes,
    /// What of the run is elsewhere.
    rest: Range<u64>,
}

impl Run {
    pub(super) fn here(records: Bytes) -> Self {
        Self { here: records, rest: 0..0 }
    }

    /// What is here, which is then to be kept elsewhere.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let taken = std::mem::take(&mut self.here);
        self.rest = 0..taken.len() as u64;
        (!taken.is_empty()).then_some(taken)
    }

    /// The next entry.
    fn next(&mut self) -> Result<Next, DirectoryError> {
        if let Some(link) = self.parse() {
            return Ok(Next::Entry(link));
        }
        match (self.rest.is_empty(), self.here.is_empty()) {
            (false, _) => Ok(Next::Need(self.rest.start..self.rest.end.min(self.rest.start + PART))),
            (true, true) => Ok(Next::End),
            (true, false) => Err(DirectoryError::Run),
        }
    }

    fn parse(&mut self) -> Option<Link> {
        let mut record = self.here.clone();
        let length = usize::from(record.try_get_u8().ok()?);
        if record.len() < length {
            return None;
        }
        let name = record.split_to(length);
        let mut bytes = &record[..];
        let cid = Cid::read_bytes(&mut bytes).ok()?;
        let tsize = bytes.try_get_u64_le().ok()?;
        self.here.advance(self.here.len() - bytes.len());
        Some(Link { cid, name, tsize })
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), DirectoryError> {
        let length = part.len() as u64;
        if length == 0 || length > self.rest.end - self.rest.start {
            return Err(DirectoryError::Run);
        }
        self.rest.start += length;
        self.here = [&self.here[..], part].concat().into();
        Ok(())
    }
}

/// Bytes of a run that is elsewhere which are here at a time.
const PART: u64 = 32 << 10;

enum Next {
    Entry(Link),
    Need(Range<u64>),
    End,
}

/// The entries of several runs in the order of their hashes, and else of their names.
#[derive(Debug)]
pub(super) struct Merge {
    runs: Vec<Run>,
    /// The first entry of each run that has one.
    first: BinaryHeap<Reverse<First>>,
    /// Runs whose first entry is to be looked at.
    moved: Vec<usize>,
}

#[derive(Debug)]
struct First {
    hash: u64,
    link: Link,
    run: usize,
}

impl First {
    fn key(&self) -> (u64, &[u8], usize) {
        (self.hash, &self.link.name, self.run)
    }
}

impl PartialEq for First {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for First {}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for First {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What a merge gives.
pub(super) enum Merged {
    Entry(u64, Link),
    /// These bytes of a run that is elsewhere.
    Need(usize, Range<u64>),
    End,
}

impl Merge {
    pub(super) fn new(runs: Vec<Run>) -> Self {
        let moved = (0..runs.len()).collect();
        Self { runs, first: BinaryHeap::new(), moved }
    }

    pub(super) fn next(&mut self) -> Result<Merged, DirectoryError> {
        while let Some(run) = self.moved.last().copied() {
            match self.runs[run].next()? {
                Next::Need(range) => return Ok(Merged::Need(run, range)),
                Next::End => {}
                Next::Entry(link) => {
                    self.first.push(Reverse(First { hash: hamt::murmur3(&link.name), link, run }));
                }
            }
            self.moved.pop();
        }
        let Some(Reverse(First { hash, link, run })) = self.first.pop() else { return Ok(Merged::End) };
        self.moved.push(run);
        Ok(Merged::Entry(hash, link))
    }

    pub(super) fn extend(&mut self, run: usize, part: &[u8]) -> Result<(), DirectoryError> {
        self.runs[run].extend(part)
    }
}

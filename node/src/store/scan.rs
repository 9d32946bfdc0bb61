//! Walking a segment from record to record: the tail when the store is opened, everything when the index is made again.

use std::io;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::{Block, RAW};

use super::disk::File;
use super::entry::{Key, Location};
use super::record::{DATA_MAX, HEAD_FIXED, Head, Kind, MULTIHASH_MAX, SEGMENT_HEADER, find_magic, segment_header};

/// What was found in a segment.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<(Key, Location)>,
    /// Where the last whole record ends.
    pub(super) end: u64,
    /// Places whose bytes were damaged.
    pub(super) damaged: usize,
}

/// Whether the segment has the header of segment `number`.
pub(super) fn has_header(file: &dyn File, number: u32) -> io::Result<bool> {
    match file.read_at(0, SEGMENT_HEADER as usize) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        header => Ok(*header? == segment_header(number)),
    }
}

/// The records behind `from`, up to the first that is not whole: writing stopped there.
pub(super) fn tail(file: &dyn File, number: u32, from: u64) -> io::Result<Found> {
    let mut found = Found { end: from, ..Found::default() };
    let mut window = Window::new(file)?;
    while let Some((head, data)) = record(&mut window, found.end)? {
        if head.kind == Kind::Block && !head.matches(&data) {
            break;
        }
        found.take(number, &head);
    }
    Ok(found)
}

/// A record, without its data.
#[derive(Debug)]
pub(super) struct Piece {
    /// None: a hole.
    pub(super) key: Option<Key>,
    pub(super) location: Location,
    /// Where the next one begins.
    pub(super) end: u32,
}

/// At most `most` records that begin at `from` or behind it and end at `to` or before, up to the first that is not whole.
pub(super) fn pieces(file: &dyn File, number: u32, from: u32, to: u64, most: usize) -> io::Result<Vec<Piece>> {
    let mut window = Window { ahead: HEADS, ..Window::new(file)? };
    let (mut pieces, mut at) = (Vec::new(), from);
    while pieces.len() < most && u64::from(at) < to {
        let Some(head) = Head::decode(window.at(at.into(), HEAD_FIXED + MULTIHASH_MAX)?) else { break };
        let end = u64::from(at) + (head.size() + head.length as usize) as u64;
        let Some(end) = u32::try_from(end).ok().filter(|end| u64::from(*end) <= to) else { break };
        let location = Location { segment: number, offset: at, length: head.length };
        let key = (head.kind == Kind::Block).then(|| Key(head.multihash.as_slice().into()));
        pieces.push(Piece { key, location, end });
        at = end;
    }
    Ok(pieces)
}

/// All sound records of a segment. Damaged data is stepped over; behind a damaged head the next record is searched, and
/// from there on every record is hashed, because the search may come upon bytes inside a block that look like one.
pub(super) fn all(file: &dyn File, number: u32) -> io::Result<Found> {
    let mut found = Found { end: SEGMENT_HEADER.into(), ..Found::default() };
    let mut window = Window::new(file)?;
    let (mut at, mut searched) = (found.end, false);
    while at < window.length {
        let Some((head, data)) = record(&mut window, at)? else {
            found.damaged += usize::from(!searched || found.end == at);
            searched = true;
            let Some(next) = search(&mut window, at + 1)? else { break };
            at = next;
            continue;
        };
        let sound = head.kind == Kind::Hole || (head.matches(&data) && (!searched || is_hash(&head, data)));
        if !sound && searched {
            at += 1;
            continue;
        }
        found.end = at;
        if sound {
            found.take(number, &head);
        } else {
            found.damaged += 1;
            found.end += (head.size() + head.length as usize) as u64;
        }
        at = found.end;
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, number: u32, head: &Head) {
        let offset = u32::try_from(self.end).expect("segments are shorter than 4 GiB");
        if head.kind == Kind::Block {
            let location = Location { segment: number, offset, length: head.length };
            self.records.push((Key(head.multihash.as_slice().into()), location));
        }
        self.end += (head.size() + head.length as usize) as u64;
    }
}

/// The record at `offset`, when a whole one begins there; a hole's data is left out.
fn record(window: &mut Window<'_>, offset: u64) -> io::Result<Option<(Head, Bytes)>> {
    let Some(head) = Head::decode(window.at(offset, HEAD_FIXED + MULTIHASH_MAX)?) else { return Ok(None) };
    let end = offset + (head.size() + head.length as usize) as u64;
    if end > window.length || end > u64::from(u32::MAX) {
        return Ok(None);
    }
    if head.kind == Kind::Hole {
        return Ok(Some((head, Bytes::new())));
    }
    let bytes = window.at(offset, head.size() + head.length as usize)?;
    let data = Bytes::copy_from_slice(&bytes[head.size()..]);
    Ok(Some((head, data)))
}

/// Where the next head may begin, from `from` on.
fn search(window: &mut Window<'_>, from: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while at < window.length {
        let bytes = window.rest(at)?;
        if let Some(position) = find_magic(bytes, 0) {
            return Ok(Some(at + position as u64));
        }
        // The magic number may lie across the edge.
        at += bytes.len().saturating_sub(3).max(1) as u64;
    }
    Ok(None)
}

fn is_hash(head: &Head, data: Bytes) -> bool {
    let Ok(multihash) = Multihash::from_bytes(&head.multihash) else { return false };
    Block::verify(Cid::new_v1(RAW, multihash), data).is_ok()
}

/// A part of the file in memory, moved along as it is walked.
struct Window<'a> {
    file: &'a dyn File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Bytes read at once.
    ahead: usize,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File) -> io::Result<Window<'a>> {
        Ok(Window { file, length: file.len()?, start: 0, bytes: Vec::new(), ahead: WINDOW })
    }

    /// The bytes at `offset`: `length` of them, or what there is up to the end of the file.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let length = (length as u64).min(self.length.saturating_sub(offset)) as usize;
        let have = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + length as u64 > have {
            let more = (self.ahead as u64).min(self.length - offset) as usize;
            self.bytes = self.file.read_at(offset, more.max(length))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + length])
    }

    /// The bytes from `offset` on that are in memory, at least four of them while there are so many.
    fn rest(&mut self, offset: u64) -> io::Result<&[u8]> {
        self.at(offset, 4)?;
        Ok(&self.bytes[(offset - self.start) as usize..])
    }
}

/// Bytes read at once, at least a whole record.
const WINDOW: usize = 2 * DATA_MAX as usize;
/// Bytes read at once for heads alone: many small records, and little of the data of a large one.
const HEADS: usize = 64 * 1024;

//! Finding blocks and reading them, on the reader threads: what is pending, then the index, then a segment or somebody's file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{Block, BlockError};
use cidra_content::hash::{self, Expect};

use super::borrow::{self, BorrowError};
use super::command::Command;
use super::entry::{Entry, Key, Location, Place, Reference};
use super::record::segment_name;
use super::referrals::FileCommand;
use super::segments::ReadError;
use super::shared::Shared;
use super::source::{Claim, Source, State};
use super::{Located, StoreError};

/// Where a block is, and the file when it is in one.
pub(super) type Placed = (Entry, Option<Source>);

/// A block that was read.
struct Found {
    data: Bytes,
    /// `None`: it need not be stored.
    place: Option<Place>,
    /// Whether nothing but a broken disk can have changed it since it was hashed.
    is_sure: bool,
}

impl Shared {
    /// Where blocks are.
    pub(super) fn find<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<Vec<Option<Entry>>, StoreError> {
        let found = self.find_with_sources(keys)?;
        Ok(found.into_iter().map(|found| found.map(|(entry, _)| entry)).collect())
    }

    /// Where blocks are, and the files of those that are in one.
    pub(super) fn find_with_sources<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> Result<Vec<Option<Placed>>, StoreError> {
        let keys: Vec<&Key> = keys.into_iter().collect();
        let mut found: Vec<Option<Entry>> = {
            let pending = self.pending();
            keys.iter().map(|key| pending.get(key).copied()).collect()
        };
        let missing: Vec<usize> = (0..keys.len()).filter(|at| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let indexed = self.index.find(missing.iter().map(|at| keys[*at]));
            for (at, entry) in missing.into_iter().zip(indexed.map_err(|error| self.index_error(error))?) {
                found[at] = entry;
            }
        }
        self.with_sources(found)
    }

    /// An entry whose file is forgotten is none.
    pub(super) fn with_sources(&self, found: Vec<Option<Entry>>) -> Result<Vec<Option<Placed>>, StoreError> {
        let file = |entry: &Entry| match entry.place {
            Place::Reference(reference) => Some(reference.file),
            Place::Record(_) => None,
        };
        let mut numbers: Vec<u32> = found.iter().flatten().filter_map(file).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let sources: BTreeMap<u32, Option<Source>> = match numbers.is_empty() {
            true => BTreeMap::new(),
            false => numbers.iter().copied().zip(self.sources(&numbers)?).collect(),
        };
        let with_source = |entry: Entry| match file(&entry) {
            None => Some((entry, None)),
            Some(number) => Some((entry, Some(sources.get(&number).cloned().flatten()?))),
        };
        Ok(found.into_iter().map(|entry| entry.and_then(with_source)).collect())
    }

    pub(super) fn source(&self, number: u32) -> Result<Option<Source>, StoreError> {
        Ok(self.sources(&[number])?.pop().flatten())
    }

    fn sources(&self, numbers: &[u32]) -> Result<Vec<Option<Source>>, StoreError> {
        let pending: Vec<Option<Option<Source>>> = {
            let pending = self.pending_sources();
            numbers.iter().map(|number| pending.get(*number).cloned()).collect()
        };
        let written = self.roots.sources(numbers).map_err(|error| self.roots_error(error))?;
        Ok(pending.into_iter().zip(written).map(|(pending, written)| pending.unwrap_or(written)).collect())
    }

    /// The file that is known at this path.
    pub(super) fn source_at(&self, path: &Path) -> Result<Option<(u32, Source)>, StoreError> {
        if let Some(known) = self.pending_sources().at(path) {
            return Ok(Some(known));
        }
        let written = self.roots.source_at(path).map_err(|error| self.roots_error(error))?;
        // It may be forgotten or known elsewhere since.
        Ok(written.filter(|(number, _)| self.pending_sources().get(*number).is_none()))
    }

    /// What is known of blocks, for somebody who will build on those that are here.
    pub(super) fn locate(&self, cids: &[Cid]) -> Result<Vec<Option<Located>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let deleted = self.spared.touch(&keys);
        let mut located = self.glance(cids)?;
        let goes = located.iter_mut().zip(cids).zip(deleted);
        let goes = goes.filter(|((_, cid), deleted)| *deleted && inherent(cid).is_none());
        goes.for_each(|((located, _), _)| *located = None);
        Ok(located)
    }

    /// What is known of blocks.
    pub(super) fn glance(&self, cids: &[Cid]) -> Result<Vec<Option<Located>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let found = self.find_with_sources(&keys)?;
        let located = |(cid, found): (&Cid, Option<Placed>)| {
            let stored = found.map(|(entry, source)| {
                let is_borrowed = source.is_some_and(|source| source.claim == Claim::Borrowed);
                Located { length: entry.place.length(), is_borrowed }
            });
            let inherent = || inherent(cid).map(|data| Located { length: data.len() as u32, is_borrowed: false });
            stored.or_else(inherent)
        };
        Ok(cids.iter().zip(found).map(located).collect())
    }

    /// The files that blocks are read out of, of those that are.
    pub(super) fn sources_of(&self, cids: &[Cid]) -> Result<Vec<Option<Source>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let found = self.find_with_sources(&keys)?;
        Ok(found.into_iter().map(|found| found.and_then(|(_, source)| source)).collect())
    }

    pub(super) fn load(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        match self.load_from(cid)? {
            Some(found) if found.is_sure => Ok(Some(found.data)),
            Some(found) => Ok(self.prove(cid, found).map(Block::into_data)),
            None => Ok(None),
        }
    }

    pub(super) fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(self.load_from(cid)?.and_then(|found| self.prove(cid, found)))
    }

    /// As [`block`](Self::block), for many: looked up in one transaction, read as they lie on the disk, and hashed side by side,
    /// each once however often it is named.
    pub(super) fn blocks(&self, cids: &[Cid]) -> Result<Vec<Option<Block>>, StoreError> {
        let mut distinct = cids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let blocks = self.distinct_blocks(&distinct)?;
        let block = |cid| blocks[distinct.binary_search(cid).expect("all of them are in it")].clone();
        Ok(cids.iter().map(block).collect())
    }

    fn distinct_blocks(&self, cids: &[Cid]) -> Result<Vec<Option<Block>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let mut blocks: Vec<Option<Block>> = cids.iter().map(|_| None).collect();
        let mut places = Vec::with_capacity(cids.len());
        let mut unproven = Vec::with_capacity(cids.len());
        {
            let _guard = self.segments.guard();
            let mut placed: Vec<(usize, Option<Placed>)> =
                self.find_with_sources(&keys)?.into_iter().enumerate().collect();
            placed.sort_by_key(|(_, placed)| placed.as_ref().map(|(entry, _)| entry.place.position()));
            for (at, placed) in placed {
                let Some(found) = self.read_from(&cids[at], &keys[at], placed)? else { continue };
                places.push((at, found.place));
                unproven.push((Expect::Cid(cids[at]), found.data));
            }
        }
        for ((at, place), proven) in places.into_iter().zip(hash::verify_many(unproven)) {
            match proven {
                Ok(block) => blocks[at] = Some(block),
                Err(error) => self.drop_false(&cids[at], place, &error),
            }
        }
        Ok(blocks)
    }

    fn prove(&self, cid: &Cid, found: Found) -> Option<Block> {
        let proven = Block::verify(*cid, found.data);
        proven.map_err(|error| self.drop_false(cid, found.place, &error)).ok()
    }

    fn load_from(&self, cid: &Cid) -> Result<Option<Found>, StoreError> {
        let key = Key::from(cid);
        let _guard = self.segments.guard();
        let placed = match inherent(cid).is_some() {
            true => None,
            false => self.find_with_sources([&key])?.pop().flatten(),
        };
        self.read_from(cid, &key, placed)
    }

    /// The caller holds the segments where they are since it looked up `placed`.
    fn read_from(&self, cid: &Cid, key: &Key, placed: Option<Placed>) -> Result<Option<Found>, StoreError> {
        if let Some(data) = inherent(cid) {
            return Ok(Some(Found { data, place: None, is_sure: true }));
        }
        let Some((Entry { place, .. }, source)) = placed else { return Ok(None) };
        match (place, source) {
            (Place::Record(location), _) => match self.segments.read(key, location) {
                Ok(data) => Ok(Some(Found { data, place: Some(place), is_sure: true })),
                Err(ReadError::Bad(why)) => {
                    self.drop_bad(cid, location, why);
                    Ok(None)
                }
                Err(ReadError::Io(error)) => Err(self.io_error(&segment_name(location.segment), error)),
            },
            (Place::Reference(reference), Some(source)) => match borrow::read(&source, reference) {
                Ok(read) => Ok(Some(Found { data: read.data, place: Some(place), is_sure: read.is_sure })),
                Err(BorrowError::Changed(why)) => {
                    self.drop_lost(cid, reference, &why);
                    Ok(None)
                }
                Err(BorrowError::Io(error)) => Err(self.file_error(&source.path, error)),
            },
            (Place::Reference(_), None) => Ok(None),
        }
    }

    fn drop_false(&self, cid: &Cid, place: Option<Place>, error: &BlockError) {
        match place {
            Some(Place::Record(location)) => self.drop_bad(cid, location, &error.to_string()),
            Some(Place::Reference(reference)) => self.drop_lost(cid, reference, &error.to_string()),
            None => {}
        }
    }

    fn drop_bad(&self, cid: &Cid, location: Location, why: &str) {
        let Location { segment, offset, .. } = location;
        tracing::error!(%cid, folder = %self.folder.display(), segment, offset, why, "bad record, the block is gone");
        self.bad_records.fetch_add(1, Ordering::Relaxed);
        self.tell_writer(Command::Drop { key: Key::from(cid), place: Place::Record(location) });
    }

    /// A file that is not what it was loses all that was read out of it; one that is being written, this block.
    fn drop_lost(&self, cid: &Cid, reference: Reference, why: &str) {
        match self.source(reference.file) {
            Ok(Some(Source { state: State::Growing { .. }, path, .. })) => {
                tracing::info!(%cid, path = %path.display(), why, "a block that was fetched into this file is gone");
                self.tell_writer(Command::Drop { key: Key::from(cid), place: Place::Reference(reference) });
            }
            _ => self.tell_writer(Command::File(FileCommand::Forget { file: reference.file, why: why.to_owned() })),
        }
    }

    /// Before the answer, so that whoever puts the block again after it finds it gone.
    fn tell_writer(&self, command: Command) {
        // A closed store forgets nothing: whoever opens it finds out again.
        let _ = futures::executor::block_on(self.writes.push(command, super::PUT_OVERHEAD));
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

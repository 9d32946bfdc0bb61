//! Which record holds which multihash, and how much of each segment is alive. All of it can be made again from the segments.
//!
//! An entry carries the generation in which its block was put last. Whoever writes or relies on blocks holds a lease, each
//! lease begins a generation, and collection leaves alone what was put since the oldest lease or its own beginning.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use cid::Cid;
use redb::{ReadableTable, Table, TableDefinition};

use super::database::Database;
use super::disk::Disk;

/// The index, a database of its own.
#[derive(Debug)]
pub(super) struct Index {
    database: Database,
}

/// A multihash in bytes: what a block is kept under, whatever version or codec its CIDs have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) Box<[u8]>);

impl From<&Cid> for Key {
    fn from(cid: &Cid) -> Key {
        Key(cid.hash().to_bytes().into())
    }
}

/// A record: its segment, where its head begins there, and how many bytes of data it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// What the index says about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) location: Location,
    /// In which it was put last.
    pub(super) generation: u32,
}

impl Entry {
    fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[0] = KIND_RECORD;
        let numbers = [self.location.segment, self.location.offset, self.location.length, self.generation];
        for (place, number) in bytes[1..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: [u8; ENTRY]) -> Option<Entry> {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let location = Location { segment: number(1), offset: number(5), length: number(9) };
        (bytes[0] == KIND_RECORD).then(|| Entry { location, generation: number(13) })
    }
}

/// An entry is a kind, three numbers that the kind explains, and the generation.
const ENTRY: usize = 17;
/// The block is in a segment. Kind 2 is kept for a reference to a file, whose particulars stand beside the roots.
const KIND_RECORD: u8 = 1;

/// What the index knows of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Bytes of its file that are committed; what lies behind is looked at when the store is opened.
    pub(super) length: u64,
    pub(super) blocks: u64,
    /// Bytes of data of its blocks.
    pub(super) bytes: u64,
    /// When something was appended last, in seconds of Unix time.
    pub(super) written: u64,
    /// Nothing in it is alive: the file goes as soon as nobody reads it.
    pub(super) dead: bool,
}

impl Row {
    fn load(value: (u64, u64, u64, u64, bool)) -> Row {
        let (length, blocks, bytes, written, dead) = value;
        Row { length, blocks, bytes, written, dead }
    }

    fn store(self) -> (u64, u64, u64, u64, bool) {
        (self.length, self.blocks, self.bytes, self.written, self.dead)
    }
}

/// What the index says when it is opened.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) rows: BTreeMap<u32, Row>,
    pub(super) generation: u32,
}

/// Entries and what was appended, to be committed together.
#[derive(Clone, Debug, Default)]
pub(super) struct Insertion {
    pub(super) entries: Vec<(Key, Entry)>,
    /// How long the files of segments are now, for those that grew.
    pub(super) lengths: BTreeMap<u32, u64>,
    pub(super) generation: u32,
    /// In seconds of Unix time.
    pub(super) now: u64,
}

/// Which entries a removal spares.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only {
    Any,
    /// Those at this place: the record there is bad.
    At(Location),
    /// Those last put before this generation.
    Before(u32),
}

impl Index {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Index, redb::Error> {
        Ok(Index { database: Database::open(disk, NAME, CACHE)? })
    }

    /// What it holds, or `None` when it was never finished (or not even begun) and must be made from the segments.
    pub(super) fn summary(&self) -> Result<Option<Summary>, redb::Error> {
        self.database.read(|transaction| {
            let meta = match transaction.open_table(META) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                meta => meta?,
            };
            if meta.get(FINISHED)?.is_none() {
                return Ok(None);
            }
            let generation = meta.get(GENERATION)?.map_or(0, |value| value.value());
            let mut rows = BTreeMap::new();
            for row in transaction.open_table(SEGMENTS)?.iter()? {
                let (number, row) = row?;
                rows.insert(number.value(), Row::load(row.value()));
            }
            // Reading one entry shows whether the table can be read at all.
            transaction.open_table(BLOCKS)?.first()?;
            Ok(Some(Summary { rows, generation: u32::try_from(generation).unwrap_or(u32::MAX) }))
        })
    }

    /// Say that everything in the segments is in the index.
    pub(super) fn finish(&self) -> Result<(), redb::Error> {
        self.database.write(|transaction| {
            transaction.open_table(BLOCKS)?;
            transaction.open_table(SEGMENTS)?;
            transaction.open_table(META)?.insert(FINISHED, 1)?;
            Ok(())
        })
    }

    pub(super) fn find<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<Vec<Option<Entry>>, redb::Error> {
        self.database.read(|transaction| {
            let blocks = transaction.open_table(BLOCKS)?;
            let find = |key: &Key| Ok(blocks.get(&*key.0)?.and_then(|value| Entry::decode(value.value())));
            keys.into_iter().map(find).collect()
        })
    }

    /// At most `most` blocks in the order of their multihashes, from behind `after` on.
    pub(super) fn list(&self, after: Option<&Key>, most: usize) -> Result<Vec<(Key, Entry)>, redb::Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.database.read(|transaction| {
            let blocks = transaction.open_table(BLOCKS)?;
            let from = after.map_or(Unbounded, |key| Excluded(&*key.0));
            let mut listed = Vec::new();
            for block in blocks.range::<&[u8]>((from, Unbounded))? {
                if listed.len() == most {
                    break;
                }
                let (key, value) = block?;
                listed.extend(Entry::decode(value.value()).map(|entry| (Key(key.value().into()), entry)));
            }
            Ok(listed)
        })
    }

    /// Commit, and return the rows that changed. The same insertion can be tried again after an error.
    pub(super) fn insert(&self, insertion: &Insertion) -> Result<BTreeMap<u32, Row>, redb::Error> {
        self.database.write(|transaction| {
            let mut rows = Rows::default();
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut segments = transaction.open_table(SEGMENTS)?;
            for (key, entry) in &insertion.entries {
                let old = blocks.insert(&*key.0, entry.encode())?.and_then(|old| Entry::decode(old.value()));
                if let Some(old) = old {
                    let row = rows.get(&segments, old.location.segment)?;
                    row.blocks = row.blocks.saturating_sub(1);
                    row.bytes = row.bytes.saturating_sub(old.location.length.into());
                }
                let row = rows.get(&segments, entry.location.segment)?;
                row.blocks += 1;
                row.bytes += u64::from(entry.location.length);
            }
            for (number, length) in &insertion.lengths {
                let row = rows.get(&segments, *number)?;
                (row.length, row.written) = (*length, insertion.now);
            }
            transaction.open_table(META)?.insert(GENERATION, u64::from(insertion.generation))?;
            rows.save(&mut segments)
        })
    }

    /// Take entries out, and say which were there and taken. Segments of which nothing is left alive, `active` excepted,
    /// are marked dead in the same transaction.
    pub(super) fn remove(
        &self,
        keys: &[Key],
        only: Only,
        active: Option<u32>,
    ) -> Result<(Vec<bool>, BTreeMap<u32, Row>), redb::Error> {
        self.database.write(|transaction| {
            let mut rows = Rows::default();
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut segments = transaction.open_table(SEGMENTS)?;
            let mut removed = Vec::with_capacity(keys.len());
            for key in keys {
                let entry = blocks.get(&*key.0)?.and_then(|value| Entry::decode(value.value()));
                let entry = entry.filter(|entry| match only {
                    Only::Any => true,
                    Only::At(location) => entry.location == location,
                    Only::Before(generation) => entry.generation < generation,
                });
                removed.push(entry.is_some());
                let Some(entry) = entry else { continue };
                blocks.remove(&*key.0)?;
                let row = rows.get(&segments, entry.location.segment)?;
                row.blocks = row.blocks.saturating_sub(1);
                row.bytes = row.bytes.saturating_sub(entry.location.length.into());
                row.dead = row.blocks == 0 && active != Some(entry.location.segment);
            }
            Ok((removed, rows.save(&mut segments)?))
        })
    }

    /// Forget a segment whose file is gone, and every entry that says that its block is there.
    pub(super) fn forget_segment(&self, number: u32, alive: bool) -> Result<(), redb::Error> {
        self.database.write(|transaction| {
            transaction.open_table(SEGMENTS)?.remove(number)?;
            if alive {
                let is_elsewhere = |_: &[u8], value: [u8; ENTRY]| {
                    Entry::decode(value).is_none_or(|entry| entry.location.segment != number)
                };
                transaction.open_table(BLOCKS)?.retain(is_elsewhere)?;
            }
            Ok(())
        })
    }

    pub(super) fn close(&self) {
        self.database.close();
    }

    pub(super) fn name(&self) -> &'static str {
        self.database.name()
    }
}

/// The file of the index.
pub(super) const NAME: &str = "index.redb";
/// redb's default is a gibibyte. Upper levels of the tree and recent leaves are enough.
const CACHE: usize = 8 * 1024 * 1024;

const BLOCKS: TableDefinition<'_, &[u8], [u8; ENTRY]> = TableDefinition::new("blocks");
const SEGMENTS: TableDefinition<'_, u32, (u64, u64, u64, u64, bool)> = TableDefinition::new("segments");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FINISHED: &str = "finished";
const GENERATION: &str = "generation";

/// Rows that a transaction changes, each loaded once.
#[derive(Default)]
struct Rows(BTreeMap<u32, Row>);

impl Rows {
    fn get(
        &mut self,
        segments: &Table<'_, u32, (u64, u64, u64, u64, bool)>,
        number: u32,
    ) -> Result<&mut Row, redb::Error> {
        match self.0.entry(number) {
            btree_map::Entry::Occupied(row) => Ok(row.into_mut()),
            btree_map::Entry::Vacant(place) => {
                let row = segments.get(number)?.map_or(Row::default(), |row| Row::load(row.value()));
                Ok(place.insert(row))
            }
        }
    }

    fn save(
        self,
        segments: &mut Table<'_, u32, (u64, u64, u64, u64, bool)>,
    ) -> Result<BTreeMap<u32, Row>, redb::Error> {
        for (number, row) in &self.0 {
            segments.insert(number, row.store())?;
        }
        Ok(self.0)
    }
}

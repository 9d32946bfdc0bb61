//! Where the block of each multihash is, and how much of each segment and each file that is referred to is alive. What it says
//! of segments can be made again from them.
//!
//! An entry carries the generation in which its block was put last. Whoever writes or relies on blocks holds a lease, each
//! lease begins a generation, and collection leaves alone what was put since the oldest lease or its own beginning.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::database::Database;
use super::disk::Disk;
use super::entry::{ENTRY, Entry, Key, Place};

/// The index, a database of its own.
#[derive(Debug)]
pub(super) struct Index {
    database: Database,
}

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

/// How much of a file is referred to: blocks, and bytes of data of these blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

/// Segments and files and what is alive in each; files of which nothing is alive are among those that changed only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) segments: BTreeMap<u32, Row>,
    pub(super) files: BTreeMap<u32, Use>,
}

/// What the index says when it is opened.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) rows: Rows,
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
    /// Those at this place: what is there is not the block.
    At(Place),
    /// Those last put before this generation.
    Before(u32),
}

impl Index {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Index, redb::Error> {
        Ok(Index { database: Database::open(disk, NAME, CACHE)? })
    }

    /// The index of a new store; the name of its file is the caller's to sync.
    pub(super) fn make(disk: Arc<dyn Disk>) -> Result<Index, redb::Error> {
        let index = Index { database: Database::make(disk, NAME, CACHE)? };
        index.finish()?;
        index.database.finish()?;
        Ok(index)
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
            let mut rows = Rows::default();
            for row in transaction.open_table(SEGMENTS)?.iter()? {
                let (number, row) = row?;
                rows.segments.insert(number.value(), Row::load(row.value()));
            }
            for file in transaction.open_table(FILES)?.iter()? {
                let (number, file) = file?;
                let (blocks, bytes) = file.value();
                rows.files.insert(number.value(), Use { blocks, bytes });
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
            transaction.open_table(FILES)?;
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
    pub(super) fn insert(&self, insertion: &Insertion) -> Result<Rows, redb::Error> {
        self.database.write(|transaction| {
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut changed = Changed::begin(transaction)?;
            for (key, entry) in &insertion.entries {
                if let Some(old) = blocks.insert(&*key.0, entry.encode())?.and_then(|old| Entry::decode(old.value())) {
                    changed.take(old.place)?;
                }
                changed.add(entry.place)?;
            }
            for (number, length) in &insertion.lengths {
                let row = changed.segment(*number)?;
                (row.length, row.written) = (*length, insertion.now);
            }
            transaction.open_table(META)?.insert(GENERATION, u64::from(insertion.generation))?;
            changed.save()
        })
    }

    /// Take entries out, and say which were there and taken. Segments of which nothing is left alive, `active` excepted,
    /// are marked dead in the same transaction.
    pub(super) fn remove(
        &self,
        keys: &[Key],
        only: Only,
        active: Option<u32>,
    ) -> Result<(Vec<bool>, Rows), redb::Error> {
        self.database.write(|transaction| {
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut changed = Changed::begin(transaction)?;
            let mut removed = Vec::with_capacity(keys.len());
            for key in keys {
                let entry = blocks.get(&*key.0)?.and_then(|value| Entry::decode(value.value()));
                let entry = entry.filter(|entry| match only {
                    Only::Any => true,
                    Only::At(place) => entry.place == place,
                    Only::Before(generation) => entry.generation < generation,
                });
                removed.push(entry.is_some());
                let Some(entry) = entry else { continue };
                blocks.remove(&*key.0)?;
                changed.take(entry.place)?;
                if let Place::Record(location) = entry.place {
                    let row = changed.segment(location.segment)?;
                    row.dead = row.blocks == 0 && active != Some(location.segment);
                }
            }
            Ok((removed, changed.save()?))
        })
    }

    /// Forget a segment whose file is gone, and every entry that says that its block is there.
    pub(super) fn forget_segment(&self, number: u32, alive: bool) -> Result<(), redb::Error> {
        self.database.write(|transaction| {
            transaction.open_table(SEGMENTS)?.remove(number)?;
            if alive {
                let is_elsewhere = |_: &[u8], value: [u8; ENTRY]| match Entry::decode(value) {
                    Some(Entry { place: Place::Record(location), .. }) => location.segment != number,
                    _ => true,
                };
                transaction.open_table(BLOCKS)?.retain(is_elsewhere)?;
            }
            Ok(())
        })
    }

    /// Make the file smaller where most of it is free, now that it holds so many blocks.
    pub(super) fn shrink(&self, blocks: u64) -> Result<(), redb::Error> {
        let held = MADE.saturating_add(blocks.saturating_mul(ENTRY_ON_DISK));
        if blocks > MOVED || self.database.length()? / MOSTLY < held {
            return Ok(());
        }
        self.database.compact()?;
        self.database.write(|transaction| {
            // Something must change for a commit to be one.
            transaction.open_table(META)?.insert(FINISHED, 1)?;
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
/// Bytes of a file in which there is nothing.
const MADE: u64 = 1024 * 1024;
/// Bytes that an entry takes at most in a file that only grew: pages are half full at least.
const ENTRY_ON_DISK: u64 = 150;
/// A file that is so many times as long as it has to be is worth moving what it holds.
const MOSTLY: u64 = 3;
/// Blocks whose entries are moved at most: a second or two in which nobody reads.
const MOVED: u64 = 1_000_000;

/// redb's default is a gibibyte. Upper levels of the tree and recent leaves are enough.
const CACHE: usize = 8 * 1024 * 1024;

const BLOCKS: TableDefinition<'_, &[u8], [u8; ENTRY]> = TableDefinition::new("blocks");
const SEGMENTS: TableDefinition<'_, u32, SegmentRow> = TableDefinition::new("segments");
type SegmentRow = (u64, u64, u64, u64, bool);
/// Blocks and bytes of each file that is referred to.
const FILES: TableDefinition<'_, u32, (u64, u64)> = TableDefinition::new("files");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FINISHED: &str = "finished";
const GENERATION: &str = "generation";

/// Rows that a transaction changes, each loaded once.
struct Changed<'a> {
    segments: Table<'a, u32, SegmentRow>,
    files: Table<'a, u32, (u64, u64)>,
    rows: Rows,
}

impl Changed<'_> {
    fn begin(transaction: &WriteTransaction) -> Result<Changed<'_>, redb::Error> {
        let (segments, files) = (transaction.open_table(SEGMENTS)?, transaction.open_table(FILES)?);
        Ok(Changed { segments, files, rows: Rows::default() })
    }

    fn segment(&mut self, number: u32) -> Result<&mut Row, redb::Error> {
        match self.rows.segments.entry(number) {
            btree_map::Entry::Occupied(row) => Ok(row.into_mut()),
            btree_map::Entry::Vacant(place) => {
                let row = self.segments.get(number)?.map_or(Row::default(), |row| Row::load(row.value()));
                Ok(place.insert(row))
            }
        }
    }

    fn file(&mut self, number: u32) -> Result<&mut Use, redb::Error> {
        match self.rows.files.entry(number) {
            btree_map::Entry::Occupied(file) => Ok(file.into_mut()),
            btree_map::Entry::Vacant(place) => {
                let (blocks, bytes) = self.files.get(number)?.map_or((0, 0), |file| file.value());
                Ok(place.insert(Use { blocks, bytes }))
            }
        }
    }

    fn add(&mut self, place: Place) -> Result<(), redb::Error> {
        let (blocks, bytes) = self.counts(place)?;
        *blocks += 1;
        *bytes += u64::from(place.length());
        Ok(())
    }

    fn take(&mut self, place: Place) -> Result<(), redb::Error> {
        let (blocks, bytes) = self.counts(place)?;
        *blocks = blocks.saturating_sub(1);
        *bytes = bytes.saturating_sub(place.length().into());
        Ok(())
    }

    fn counts(&mut self, place: Place) -> Result<(&mut u64, &mut u64), redb::Error> {
        Ok(match place {
            Place::Record(location) => {
                let row = self.segment(location.segment)?;
                (&mut row.blocks, &mut row.bytes)
            }
            Place::Reference(reference) => {
                let file = self.file(reference.file)?;
                (&mut file.blocks, &mut file.bytes)
            }
        })
    }

    fn save(mut self) -> Result<Rows, redb::Error> {
        for (number, row) in &self.rows.segments {
            self.segments.insert(number, row.store())?;
        }
        for (number, file) in &self.rows.files {
            match file.blocks {
                0 => drop(self.files.remove(number)?),
                blocks => drop(self.files.insert(number, (blocks, file.bytes))?),
            }
        }
        Ok(self.rows)
    }
}

//! Opening a store: its version, its databases, and what a crash left behind the last commit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::disk::Disk;
use super::entry::{Entry, Place};
use super::flusher::{Flusher, Flushing};
use super::index::{self, Index, Insertion, Row, Use};
use super::record::{SEGMENT_HEADER, segment_name, segment_number};
use super::referrals::Referrals;
use super::reserve::Reserve;
use super::roots::{self, Change, Roots, seconds};
use super::scan;
use super::segments::{Appender, Segments};
use super::writer::Writer;
use super::{Options, Shared};

/// Open the store on `disk`; `folder` is its name for people.
pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path, options: &Options) -> Result<(Writer, Flushing), OpenError> {
    let opening = Opening { disk, folder, options };
    opening.open()
}

struct Opening<'a> {
    disk: Arc<dyn Disk>,
    folder: &'a Path,
    options: &'a Options,
}

impl Opening<'_> {
    fn open(self) -> Result<(Writer, Flushing), OpenError> {
        let names = self.disk.list().map_err(|error| self.error("", error))?;
        let has = |name: &str| names.iter().any(|other| other == name);
        let is_made = has(VERSION_FILE) && self.check_version()?;
        if is_made && !has(roots::NAME) {
            return Err(OpenError::RootsMissing { path: self.folder.join(roots::NAME) });
        }
        let segments: BTreeSet<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
        let (roots, index, summary) = match is_made || !segments.is_empty() {
            true => {
                let roots = self.roots()?;
                let (index, summary) = self.index(&segments, &roots)?;
                (roots, index, summary)
            }
            false => self.make(&names)?,
        };

        let index::Rows { segments: mut rows, files } = summary.rows;
        // Everything in it was put in a generation that is over, but for what the next lease or mark begins.
        let generation = summary.generation.saturating_add(1);
        self.bury(&index, &mut rows)?;
        self.tails(&index, &segments, summary.generation, &mut rows, &roots)?;
        self.empty(&index, &mut rows)?;
        if !is_made {
            self.write_version()?;
        }

        let expire = Change::Expire(SystemTime::now());
        if roots.roots(roots::RootKind::Lease).is_ok_and(|leases| !leases.is_empty()) {
            // Not worth refusing a full disk for: they protect nothing any more.
            let _ = roots.change(&[expire]);
        }
        let last = rows.iter().next_back().map(|(number, row)| (*number, row.length));
        let next = segments.iter().chain(rows.keys()).max().map_or(1, |number| number + 1);
        let last = last.filter(|(_, length)| *length < u64::from(self.options.segment_size));
        let last = last.and_then(|(number, length)| Some((number, u32::try_from(length).ok()?)));
        let (flusher, flushing) = Flusher::new();
        let appender = Appender::new(self.disk.clone(), self.options.segment_size, last, next, flusher)
            .map_err(|error| self.error("", error))?;
        let reserve = Reserve::hold(self.disk.clone(), self.options.reserve);
        let referrals = self.referrals(&roots, &files)?;
        let rows = index::Rows { segments: rows, files };
        let shared = Shared::new(self.folder.to_path_buf(), self.disk, index, roots, rows, generation);
        Ok((Writer::new(Arc::new(shared), appender, reserve, referrals), flushing))
    }

    /// A crash may leave a file that nothing refers to, or references to a file that was given up.
    fn referrals(&self, roots: &Roots, files: &BTreeMap<u32, Use>) -> Result<Referrals, OpenError> {
        let failed = |error| self.database_error(roots::NAME, error);
        let known = roots.source_numbers().map_err(failed)?;
        let unused: Vec<Change> = known
            .iter()
            .filter(|number| !files.contains_key(number))
            .map(|number| Change::Source(*number, None))
            .collect();
        if !unused.is_empty() {
            // Not worth refusing a full disk for.
            let _ = roots.change(&unused);
        }
        let gone = files.keys().copied().filter(|number| !known.contains(number)).collect();
        let last = known.iter().chain(files.keys()).max().copied();
        Ok(Referrals::new(last.map_or(1, |last| last.saturating_add(1)), gone))
    }

    fn roots(&self) -> Result<Roots, OpenError> {
        Roots::open(self.disk.clone()).map_err(|error| self.database_error(roots::NAME, error))
    }

    /// The databases of a new store. Those that are there were not made to the end, before anything could be in them.
    fn make(&self, names: &[String]) -> Result<(Roots, Index, index::Summary), OpenError> {
        for name in [roots::NAME, index::NAME] {
            if names.iter().any(|other| other == name) {
                self.disk.remove(name).map_err(|error| self.error(name, error))?;
            }
        }
        let roots = Roots::make(self.disk.clone()).map_err(|error| self.database_error(roots::NAME, error))?;
        let failed = |error| self.database_error(index::NAME, error);
        let index = Index::make(self.disk.clone()).map_err(failed)?;
        let summary = index.summary().map_err(failed)?;
        Ok((roots, index, summary.expect("it was finished when it was made")))
    }

    /// Whether the store was made to the end.
    fn check_version(&self) -> Result<bool, OpenError> {
        let read = || {
            let file = self.disk.open(VERSION_FILE)?;
            let length = file.len()?.min(VERSION_LENGTH_MAX);
            file.read_at(0, length as usize)
        };
        let text = read().map_err(|error| self.error(VERSION_FILE, error))?;
        if text.is_empty() {
            return Ok(false);
        }
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u32>().ok());
        match number {
            Some(VERSION) => Ok(true),
            Some(found) if found > VERSION => {
                Err(OpenError::Newer { folder: self.folder.to_path_buf(), found, supported: VERSION })
            }
            _ => Err(OpenError::VersionUnreadable { path: self.folder.join(VERSION_FILE) }),
        }
    }

    fn write_version(&self) -> Result<(), OpenError> {
        let write = || {
            let file = match self.disk.open(VERSION_FILE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(VERSION_FILE)?,
                opened => opened?,
            };
            // The name first: a version without the rest is a store that is not made yet, the rest without it too.
            self.disk.sync_folder()?;
            file.write_at(0, &mut [IoSlice::new(format!("{VERSION}\n").as_bytes())])?;
            file.sync_data()
        };
        write().map_err(|error| self.error(VERSION_FILE, error))
    }

    /// The index, made again from the segments when it is missing or cannot be read.
    fn index(&self, segments: &BTreeSet<u32>, roots: &Roots) -> Result<(Index, index::Summary), OpenError> {
        let failed = |error| self.database_error(index::NAME, error);
        let opened = Index::open(self.disk.clone()).and_then(|index| Ok((index.summary()?, index)));
        let why = match opened {
            Ok((Some(summary), index)) => return Ok((index, summary)),
            Ok((None, _)) => "it is missing or was not finished".to_owned(),
            // Trying again later may be enough, and the disk has no room for another.
            Err(redb::Error::Io(error)) if !is_damage(&error) => return Err(self.error(index::NAME, error)),
            Err(error) => error.to_string(),
        };
        tracing::warn!(folder = %self.folder.display(), why, segments = segments.len(), "making the index again");
        // Segments may be gone with it.
        roots.change(&[Change::Incomplete]).map_err(|error| self.database_error(roots::NAME, error))?;
        match self.disk.remove(index::NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.error(index::NAME, error)),
            _ => {}
        }
        let index = Index::open(self.disk.clone()).map_err(failed)?;
        // First, so that what is in a segment, too, is read there.
        self.add_references(&index, roots)?;
        for number in segments {
            self.add_segment(&index, *number)?;
        }
        index.finish().map_err(failed)?;
        let summary = index.summary().map_err(failed)?;
        Ok((index, summary.expect("it was finished above")))
    }

    /// Put everything that is read out of files which stand in for a copy in the index.
    fn add_references(&self, index: &Index, roots: &Roots) -> Result<(), OpenError> {
        let mut last = None;
        loop {
            let page = roots.references(last.as_ref(), REFERENCES);
            let page = page.map_err(|error| self.database_error(roots::NAME, error))?;
            last = page.last().cloned();
            if last.is_none() {
                return Ok(());
            }
            let entry = |reference| Entry { place: Place::Reference(reference), generation: 0 };
            let entries = page.into_iter().map(|(key, reference)| (key, entry(reference))).collect();
            let insertion = Insertion { entries, ..Insertion::default() };
            index.insert(&insertion).map_err(|error| self.database_error(index::NAME, error))?;
        }
    }

    /// Put everything that is sound in a segment in the index.
    fn add_segment(&self, index: &Index, number: u32) -> Result<(), OpenError> {
        let name = segment_name(number);
        let walk = || {
            let file = self.disk.open(&name)?;
            if file.len()? <= SEGMENT_HEADER.into() && !scan::has_header(&*file, number)? {
                return Ok(None);
            }
            Ok(Some(scan::all(&*file, number)?))
        };
        let Some(found) = walk().map_err(|error| self.error(&name, error))? else { return Ok(()) };
        if found.damaged > 0 {
            tracing::error!(segment = %self.folder.join(&name).display(), places = found.damaged, "damaged records left out");
        }
        self.insert(index, found, number, 0).map(|_| ())
    }

    fn insert(
        &self,
        index: &Index,
        found: scan::Found,
        number: u32,
        generation: u32,
    ) -> Result<BTreeMap<u32, Row>, OpenError> {
        let entry = |location| Entry { place: Place::Record(location), generation };
        let entries = found.records.into_iter().map(|(key, location)| (key, entry(location))).collect();
        let lengths = BTreeMap::from([(number, found.end)]);
        let insertion = Insertion { entries, lengths, generation, now: seconds(SystemTime::now()) };
        let rows = index.insert(&insertion).map_err(|error| self.database_error(index::NAME, error))?;
        Ok(rows.segments)
    }

    /// Delete segments that were dead at the last commit.
    fn bury(&self, index: &Index, rows: &mut BTreeMap<u32, Row>) -> Result<(), OpenError> {
        let segments = Segments::new(self.disk.clone());
        for (number, _) in rows.iter().filter(|(_, row)| row.dead) {
            segments.delete(*number).map_err(|error| self.error(&segment_name(*number), error))?;
            index.forget_segment(*number, false).map_err(|error| self.database_error(index::NAME, error))?;
        }
        rows.retain(|_, row| !row.dead);
        Ok(())
    }

    /// Delete segments that were emptied while they were the last.
    fn empty(&self, index: &Index, rows: &mut BTreeMap<u32, Row>) -> Result<(), OpenError> {
        let last = rows.keys().next_back().copied();
        for (number, row) in rows.iter_mut() {
            row.dead = row.blocks == 0 && last != Some(*number);
        }
        self.bury(index, rows)
    }

    /// Index what stands behind the last commit, and cut what is not whole.
    fn tails(
        &self,
        index: &Index,
        segments: &BTreeSet<u32>,
        generation: u32,
        rows: &mut BTreeMap<u32, Row>,
        roots: &Roots,
    ) -> Result<(), OpenError> {
        let gone: Vec<u32> = rows.keys().copied().filter(|number| !segments.contains(number)).collect();
        for &number in segments {
            let (name, row) = (segment_name(number), rows.get(&number).copied());
            let failed = |error| self.error(&name, error);
            let Ok(file) = self.disk.open(&name) else { continue };
            let length = file.len().map_err(failed)?;
            let committed = row.map_or(SEGMENT_HEADER.into(), |row| row.length);
            if length == committed && row.is_some() {
                continue;
            }
            if length < committed && row.is_some() {
                tracing::error!(segment = %self.folder.join(&name).display(), length, committed, "a segment is too short");
                roots.change(&[Change::Incomplete]).map_err(|error| self.database_error(roots::NAME, error))?;
                continue;
            }
            if row.is_none() && !scan::has_header(&*file, number).map_err(failed)? {
                // Made, and not a record written to it for sure.
                self.disk.remove(&name).map_err(failed)?;
                continue;
            }
            let found = scan::tail(&*file, number, committed).map_err(failed)?;
            if found.end < length {
                file.set_len(found.end).map_err(failed)?;
            }
            file.sync_data().map_err(failed)?;
            self.disk.sync_folder().map_err(failed)?;
            rows.extend(self.insert(index, found, number, generation)?);
        }
        for number in gone {
            // An empty one was deleted, and the process killed before it could say so.
            let alive = rows.remove(&number).is_some_and(|row| row.blocks > 0);
            if alive {
                tracing::error!(segment = %self.folder.join(segment_name(number)).display(), "a segment is missing");
                roots.change(&[Change::Incomplete]).map_err(|error| self.database_error(roots::NAME, error))?;
            }
            index.forget_segment(number, alive).map_err(|error| self.database_error(index::NAME, error))?;
        }
        Ok(())
    }

    fn error(&self, name: &str, source: io::Error) -> OpenError {
        OpenError::of(self.folder, name, source)
    }

    fn database_error(&self, name: &str, error: redb::Error) -> OpenError {
        match error {
            redb::Error::Io(source) if !is_damage(&source) => self.error(name, source),
            source => OpenError::Database { path: self.folder.join(name), source: Box::new(source) },
        }
    }
}

/// References that are put in the index at a time.
const REFERENCES: usize = 16 * 1024;

/// redb's words for a file that is none of its own, or cut off.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// The version of the layout described in this module and `record`.
const VERSION: u32 = 1;
const VERSION_FILE: &str = "version";
/// Bytes of it that are read.
const VERSION_LENGTH_MAX: u64 = 16;

impl OpenError {
    pub(super) fn of(folder: &Path, name: &str, source: io::Error) -> OpenError {
        let path = if name.is_empty() { folder.to_path_buf() } else { folder.join(name) };
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { path, source },
            _ => OpenError::Io { path, source },
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A database cannot be read.
    #[error("{path}: the database cannot be read; put it back from a backup")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What redb says.
        source: Box<redb::Error>,
    },
    /// No space is left.
    #[error("{path}: the disk is full; make room on it")]
    Full {
        /// What could not be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("{path}: cannot be opened")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It was made by a later version of Cidra.
    #[error(
        "{folder}: made by a newer version of cidra (layout {found}, this one knows {supported}); use that version"
    )]
    Newer {
        /// The store.
        folder: PathBuf,
        /// Its version of the layout.
        found: u32,
        /// The version that is spoken here.
        supported: u32,
    },
    /// The store may only be read.
    #[error("{path}: cannot be written; its folder must belong to whoever runs cidra, on a disk that is not read-only")]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of pins and other roots is gone.
    #[error("{path}: missing; it says what is pinned: put it back from a backup")]
    RootsMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file that says the version says something else.
    #[error("{path}: does not say a version of the store")]
    VersionUnreadable {
        /// The file.
        path: PathBuf,
    },
}

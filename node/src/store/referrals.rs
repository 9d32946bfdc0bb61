//! The writer thread's part in references: files become known when something is first read out of them, and are forgotten
//! when they changed or when nothing is read out of them any more. Then entries that name them lead nowhere at once, and are
//! swept out of the index by and by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use super::StoreError;
use super::borrow;
use super::command::Reply;
use super::entry::{Entry, Key, Place, Reference};
use super::index::Only;
use super::roots::Change;
use super::source::{Claim, Part, Source, State};
use super::writer::Writer;

/// What the writer thread is asked about files.
#[derive(Debug)]
pub(super) enum FileCommand {
    /// Nothing that is read out of it is a block any more.
    Forget { file: u32, why: String },
    /// Read these blocks where they stand.
    Refer { source: Source, parts: Vec<(Key, Part)>, reply: Reply<()> },
    /// The file that was known at this path is this one.
    Settle { was: PathBuf, now: Source, reply: Reply<bool> },
}

/// What of the files that are referred to is not on the disk yet. `None`: forgotten.
#[derive(Debug, Default)]
pub(super) struct PendingSources {
    rows: BTreeMap<u32, Option<Source>>,
    paths: BTreeMap<PathBuf, u32>,
}

impl PendingSources {
    pub(super) fn get(&self, number: u32) -> Option<&Option<Source>> {
        self.rows.get(&number)
    }

    pub(super) fn at(&self, path: &Path) -> Option<(u32, Source)> {
        let number = *self.paths.get(path)?;
        self.rows.get(&number)?.clone().map(|source| (number, source))
    }

    fn set(&mut self, number: u32, source: Option<Source>) {
        if let Some(Some(old)) = self.rows.remove(&number) {
            self.paths.remove(&old.path);
        }
        if let Some(source) = &source {
            self.paths.insert(source.path.clone(), number);
        }
        self.rows.insert(number, source);
    }
}

/// What the writer thread remembers of references.
#[derive(Debug)]
pub(super) struct Referrals {
    next: u32,
    /// Forgotten, and entries may still name them.
    gone: BTreeSet<u32>,
    swept: Option<Key>,
}

impl Referrals {
    pub(super) fn new(next: u32, gone: BTreeSet<u32>) -> Referrals {
        Referrals { next, gone, swept: None }
    }

    pub(super) fn is_sweeping(&self) -> bool {
        !self.gone.is_empty()
    }
}

impl Writer {
    pub(super) fn handle_file(&mut self, command: FileCommand) {
        // Whoever dropped its end of a reply does not want the answer.
        match command {
            FileCommand::Forget { file, why } => self.report_lost(file, &why),
            FileCommand::Refer { source, parts, reply } => {
                let done = self.refer(source, parts);
                let _ = reply.send(done);
            }
            FileCommand::Settle { was, now, reply } => {
                let done = self.settle_file(&was, now);
                let _ = reply.send(done);
            }
        }
    }

    /// Read blocks where they stand from here on, those excepted that are in a segment, or in a file with a better claim.
    fn refer(&mut self, source: Source, parts: Vec<(Key, Part)>) -> Result<(), StoreError> {
        self.check_lost()?;
        let generation = self.shared.generation();
        let found = self.shared.find_with_sources(parts.iter().map(|(key, _)| key))?;
        let mut entries = Vec::with_capacity(parts.len());
        let mut number = None;
        for ((key, part), found) in parts.into_iter().zip(found) {
            let better = found.filter(|(entry, source_there)| match entry.place {
                Place::Record(_) => true,
                Place::Reference(_) => {
                    source.claim == Claim::Borrowed
                        && source_there.as_ref().is_some_and(|source| source.claim == Claim::Kept)
                }
            });
            if let Some((entry, _)) = better {
                if entry.generation != generation {
                    entries.push((key, Entry { generation, ..entry }));
                }
                continue;
            }
            let file = match number {
                Some(number) => number,
                None => *number.insert(self.number_of(&source)?),
            };
            let Part { offset, length, wrapping, .. } = part;
            let place = Place::Reference(Reference { file, offset, length, wrapping });
            entries.push((key, Entry { place, generation }));
        }
        self.add_pending(entries);
        self.commit_when_many()
    }

    /// The file known at the path `was` is what `now` says. False when none is known there.
    fn settle_file(&mut self, was: &Path, now: Source) -> Result<bool, StoreError> {
        let Some((number, known)) = self.shared.source_at(was)? else { return Ok(false) };
        if known.path != now.path
            && let Some((other, _)) = self.shared.source_at(&now.path)?
            && other != number
        {
            self.forget(other);
        }
        self.set_source(number, Some(now));
        Ok(true)
    }

    /// The number of a file, a fresh one when it is another file than the one that was at its path.
    fn number_of(&mut self, source: &Source) -> Result<u32, StoreError> {
        if let Some((number, known)) = self.shared.source_at(&source.path)? {
            if known.is_same(source) {
                return Ok(number);
            }
            self.forget(number);
        }
        let number = self.sources.next;
        self.sources.next = number.saturating_add(1);
        self.set_source(number, Some(source.clone()));
        Ok(number)
    }

    /// Forget a file because it is not what it was.
    fn report_lost(&mut self, number: u32, why: &str) {
        let Ok(Some(source)) = self.shared.source(number) else { return };
        let path = source.path.display();
        match source.claim {
            Claim::Kept => tracing::error!(%path, why, "blocks were referred to in this file; they are gone"),
            Claim::Borrowed => tracing::info!(%path, why, "what was fetched into this file is not served any more"),
        }
        self.forget(number);
        if let Err(error) = self.commit_sources() {
            tracing::error!(%error, %path, "the file could not be forgotten yet");
        }
    }

    fn forget(&mut self, number: u32) {
        if let Ok(Some(Source { claim: Claim::Kept, .. })) = self.shared.source(number) {
            // In the same transaction, so that no crash leaves a DAG called complete that has lost a block.
            self.lazy.push(Change::Incomplete);
        }
        self.set_source(number, None);
        self.sources.gone.insert(number);
        self.sources.swept = None;
    }

    fn set_source(&mut self, number: u32, source: Option<Source>) {
        self.shared.pending_sources.write().unwrap_or_else(PoisonError::into_inner).set(number, source);
        self.pending_since.get_or_insert_with(Instant::now);
    }

    /// Put what is known of files on the disk, before any entry that names them, and before that the bytes of files that
    /// are being written. Gives the numbers of all of them.
    pub(super) fn commit_sources(&mut self) -> Result<BTreeSet<u32>, StoreError> {
        let mut references: Vec<(Key, Reference)> = {
            let pending = self.shared.pending();
            let reference = |(key, entry): (&Key, &Entry)| match entry.place {
                Place::Reference(reference) => Some((key.clone(), reference)),
                Place::Record(_) => None,
            };
            pending.iter().filter_map(reference).collect()
        };
        let mut files: BTreeSet<u32> = references.iter().map(|(_, reference)| reference.file).collect();
        let mut kept = BTreeSet::new();
        for number in &files {
            let Some(source) = self.shared.source(*number)? else { continue };
            if let State::Growing { .. } = source.state {
                borrow::sync(&source).map_err(|error| self.shared.file_error(&source.path, error))?;
            }
            if source.claim == Claim::Kept {
                kept.insert(*number);
            }
        }
        let rows = self.shared.pending_sources().rows.clone();
        files.extend(rows.keys());
        references.retain(|(_, reference)| kept.contains(&reference.file));
        let mut changes: Vec<Change> =
            rows.into_iter().map(|(number, source)| Change::Source(number, source)).collect();
        if !references.is_empty() {
            changes.push(Change::References(references));
        }
        if changes.is_empty() {
            return Ok(files);
        }
        self.change_roots(changes)?;
        *self.shared.pending_sources.write().unwrap_or_else(PoisonError::into_inner) = PendingSources::default();
        Ok(files)
    }

    /// Forget those of these files that nothing is read out of any more. Nothing is pending.
    pub(super) fn forget_unused(&mut self, files: BTreeSet<u32>) {
        let unused: Vec<u32> = {
            let rows = self.shared.rows();
            files.into_iter().filter(|number| !rows.files.contains_key(number)).collect()
        };
        for number in unused {
            if matches!(self.shared.source(number), Ok(Some(_))) {
                self.set_source(number, None);
            }
        }
    }

    /// Take a few entries out of the index that name forgotten files.
    pub(super) fn sweep_lost(&mut self) {
        if self.sources.gone.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let page = match shared.index.list(self.sources.swept.as_ref(), SWEEP) {
            Ok(page) => page,
            Err(error) => return tracing::warn!(%error, "the index could not be read"),
        };
        let Some((last, _)) = page.last() else {
            self.sources.gone.clear();
            return;
        };
        self.sources.swept = Some(last.clone());
        let is_gone = |entry: &Entry| match entry.place {
            Place::Reference(reference) => self.sources.gone.contains(&reference.file),
            Place::Record(_) => false,
        };
        let lost: Vec<Key> = page.into_iter().filter(|(_, entry)| is_gone(entry)).map(|(key, _)| key).collect();
        if lost.is_empty() {
            return;
        }
        match shared.index.remove(&lost, Only::Any, self.appender.active()) {
            Ok((_, rows)) => shared.rows_changed(rows),
            Err(error) => {
                self.sources.swept = None;
                tracing::warn!(%error, "references could not be taken out of the index yet");
            }
        }
    }
}

/// Entries looked at between two commands.
const SWEEP: usize = 4096;

//! What in a segment is alive and what is dead, and how the space of the dead comes back: by making holes of them or, where
//! that gives back little, by copying what is alive elsewhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};

use super::StoreError;
use super::command::Command;
use super::entry::{Key, Location, Place};
use super::index::Row;
use super::local::Local;
use super::record::{HEAD_FIXED, SEGMENT_HEADER, segment_name};
use super::scan;
use super::shared::Shared;

/// A part of a segment.
#[derive(Debug)]
struct Survey {
    alive: Vec<(Key, Location)>,
    /// Neighbours are one. Holes are dead.
    dead: Vec<Dead>,
    /// Where the next part begins; none at the end.
    next: Option<u32>,
}

#[derive(Clone, Debug)]
struct Dead {
    range: Range<u32>,
    /// Not only holes that were made before.
    is_fresh: bool,
}

/// A segment's length, the space that it takes, and the space that is free on the disk.
#[derive(Debug)]
struct Room {
    length: u64,
    allocated: u64,
    free: u64,
}

impl Row {
    /// Whether so much of it is dead that a walk over it is worth it.
    pub(super) fn is_wasteful(&self) -> bool {
        let alive = self.bytes + self.blocks * HEAD + u64::from(SEGMENT_HEADER);
        let dead = self.length.saturating_sub(alive);
        dead >= WASTE || dead > self.length / 2
    }
}

impl Local {
    /// Segments of which something is dead that was not given back yet, the one that is appended to not among them.
    pub(super) async fn wasteful(&self) -> Result<Vec<u32>, StoreError> {
        self.write(super::PUT_OVERHEAD, |reply| Command::Seal { reply }).await?;
        self.read(|shared| {
            let tidied = shared.tidied();
            let rows = shared.rows();
            let is_due = |(number, row): &(&u32, &Row)| row.is_wasteful() && tidied.get(number) != Some(&row.blocks);
            Ok(rows.segments.iter().filter(is_due).map(|(number, _)| *number).collect())
        })
        .await
    }

    /// Give the space of what is dead in a segment back.
    pub(super) async fn tidy(&self, segment: u32) -> Result<(), StoreError> {
        let (mut alive, mut dead) = (0, Vec::new());
        let mut next = Some(SEGMENT_HEADER);
        while let Some(from) = next {
            let survey = self.read(move |shared| shared.survey(segment, from)).await?;
            alive += survey.alive.iter().map(|(key, location)| size(key, *location)).sum::<u64>();
            survey.dead.into_iter().for_each(|range| join(&mut dead, range));
            next = survey.next;
        }
        let room = self.read(move |shared| Ok(shared.room(segment))).await?;
        let pages = |dead: &Dead| u64::from(whole_pages(&dead.range).len() as u32);
        let left = room.length.saturating_sub(dead.iter().map(pages).sum());
        // Half of what is left is dead, and to be had by no other means.
        let is_worth_a_copy = |left: u64| {
            alive <= left / 2 && left - alive >= WASTE.min(room.length / 2) && alive.saturating_mul(2) <= room.free
        };
        if !is_worth_a_copy(left) {
            let is_full = room.allocated > left + WASTE;
            let due = dead.into_iter().filter(|dead| (dead.is_fresh || is_full) && pages(dead) > 0);
            let ranges: Vec<Range<u32>> = due.map(|dead| dead.range).collect();
            let cost = super::PUT_OVERHEAD * (1 + ranges.len());
            let is_done =
                ranges.is_empty() || self.write(cost, |reply| Command::Punch { segment, ranges, reply }).await?;
            if is_done || !is_worth_a_copy(room.length) {
                let remember = move |shared: &Shared| {
                    shared.remember_tidied(segment);
                    Ok(())
                };
                return self.read(remember).await;
            }
        }
        self.copy(segment).await
    }

    async fn copy(&self, segment: u32) -> Result<(), StoreError> {
        let mut next = Some(SEGMENT_HEADER);
        while let Some(from) = next {
            let survey = self.read(move |shared| shared.survey(segment, from)).await?;
            next = survey.next;
            let mut batch = Vec::new();
            let mut bytes = 0;
            let last = survey.alive.len().saturating_sub(1);
            for (at, (key, location)) in survey.alive.into_iter().enumerate() {
                bytes += location.length as usize;
                batch.push((key, location));
                if bytes >= COPIED || at == last {
                    let records = std::mem::take(&mut batch);
                    bytes = 0;
                    self.write(COPIED, |reply| Command::Relocate { records, reply }).await?;
                }
            }
        }
        Ok(())
    }
}

impl Shared {
    fn survey(&self, segment: u32, from: u32) -> Result<Survey, StoreError> {
        let to = self.rows().segments.get(&segment).map_or(0, |row| row.length);
        let failed = |error| self.io_error(&segment_name(segment), error);
        let file = match self.segments.file(segment) {
            // Deleted meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Survey { alive: Vec::new(), dead: Vec::new(), next: None });
            }
            file => file.map_err(failed)?,
        };
        let pieces = scan::pieces(&*file, segment, from, to, PIECES).map_err(failed)?;
        let next = pieces.last().map(|piece| piece.end).filter(|end| u64::from(*end) < to);
        let found = self.find(pieces.iter().filter_map(|piece| piece.key.as_ref()))?;
        let (mut alive, mut dead, mut found) = (Vec::new(), Vec::<Dead>::new(), found.into_iter());
        for piece in pieces {
            let is_block = piece.key.is_some();
            if let Some(key) = piece.key
                && found.next().flatten().is_some_and(|entry| entry.place == Place::Record(piece.location))
            {
                alive.push((key, piece.location));
                continue;
            }
            let range = piece.location.offset..piece.end;
            join(&mut dead, Dead { range, is_fresh: is_block });
        }
        Ok(Survey { alive, dead, next })
    }

    fn room(&self, segment: u32) -> Room {
        let length = self.rows().segments.get(&segment).map_or(0, |row| row.length);
        let disk = self.segments.disk();
        // Where it cannot be told there is none to give away.
        Room { length, allocated: disk.allocated(&segment_name(segment)).unwrap_or(0), free: disk.free().unwrap_or(0) }
    }

    fn tidied(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.tidied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_tidied(&self, segment: u32) {
        let blocks = self.rows().segments.get(&segment).map(|row| row.blocks);
        if let Some(blocks) = blocks {
            self.tidied().insert(segment, blocks);
        }
    }
}

/// Bytes of a record.
fn size(key: &Key, location: Location) -> u64 {
    (HEAD_FIXED + key.0.len()) as u64 + u64::from(location.length)
}

/// Add a range to those before it; neighbours become one.
fn join(dead: &mut Vec<Dead>, next: Dead) {
    match dead.last_mut() {
        Some(last) if last.range.end == next.range.start => {
            last.range.end = next.range.end;
            last.is_fresh |= next.is_fresh;
        }
        _ => dead.push(next),
    }
}

/// The pages of a hole that can be given back: those behind its head.
pub(super) fn whole_pages(range: &Range<u32>) -> Range<u32> {
    let start = (u64::from(range.start) + HEAD_FIXED as u64).next_multiple_of(PAGE);
    let end = u64::from(range.end) / PAGE * PAGE;
    // What is rounded up beyond four gibibytes is no page of this range.
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    start..(end as u32).max(start)
}

/// What file systems give back.
const PAGE: u64 = 4096;
/// Bytes of a head with the multihash of a sha2-256.
const HEAD: u64 = HEAD_FIXED as u64 + 34;
/// Dead bytes in a segment that are worth a walk over it.
const WASTE: u64 = 64 * 1024;
/// Records that are looked at together.
const PIECES: usize = 4096;
/// Bytes that are copied in one commit.
const COPIED: usize = 4 * 1024 * 1024;

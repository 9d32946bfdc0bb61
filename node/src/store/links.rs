//! What a collection reads: what is here, what it leads to, what the store takes.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use cid::Cid;
use cidra_content::block::Links;

use super::entry::{Entry, Key, Place};
use super::roots::seconds;
use super::shared::Shared;
use super::{StoreError, reserve};

impl Shared {
    /// Those that are here, in the same order.
    pub(super) fn here(&self, cids: Vec<Cid>) -> Result<Vec<Cid>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let found = self.find(&keys)?;
        Ok(cids.into_iter().zip(found).filter_map(|(cid, entry)| entry.map(|_| cid)).collect())
    }

    /// What each of these blocks leads to, in any order; none where that cannot be told. A block that is no node is reported.
    pub(super) fn links(&self, cids: &[Cid]) -> Result<Vec<Option<Links>>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        let mut found: Vec<(Option<Entry>, &Cid)> = self.find(&keys)?.into_iter().zip(cids).collect();
        found.sort_by_key(|(entry, _)| {
            entry.map(|entry| match entry.place {
                Place::Record(location) => (location.segment, location.offset),
                Place::Reference(_) => (u32::MAX, u32::MAX),
            })
        });
        let links = found.into_iter().map(|(_, cid)| {
            // A bad record was reported where it was read.
            let Some(block) = self.block(cid)? else { return Ok(None) };
            Ok(block
                .links()
                .map_err(|error| tracing::warn!(%cid, %error, "what this block leads to is not known"))
                .ok())
        });
        links.collect()
    }

    /// At most `most` blocks in the order of their keys, from behind `after` on.
    pub(super) fn page(&self, after: Option<&Key>, most: usize) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.index.list(after, most).map_err(|error| self.database_error(self.index.name(), error))
    }

    /// DAGs that are known to be complete, as [`page`](Self::page).
    pub(super) fn complete(&self, after: Option<Cid>, most: usize) -> Result<Vec<Cid>, StoreError> {
        self.roots.complete(after, most).map_err(|error| self.database_error(self.roots.name(), error))
    }

    /// Segments to which something was written within this time; none when the disk is nearly full.
    pub(super) fn young(&self, within: Duration) -> BTreeSet<u32> {
        if self.segments.disk().free().is_ok_and(|free| free < NEARLY_FULL) {
            return BTreeSet::new();
        }
        let since = seconds(SystemTime::now()).saturating_sub(within.as_secs());
        let rows = self.rows();
        let young = rows.segments.iter().filter(|(_, row)| !within.is_zero() && row.written >= since);
        young.map(|(number, _)| *number).collect()
    }

    /// Bytes of disk space that the store takes, without what it holds in reserve.
    pub(super) fn used(&self) -> Result<u64, StoreError> {
        let disk = self.segments.disk();
        let names = disk.list().map_err(|error| self.io_error("", error))?;
        let mut used = 0;
        for name in names.iter().filter(|name| *name != reserve::NAME) {
            used += match disk.allocated(name) {
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                allocated => allocated.map_err(|error| self.io_error(name, error))?,
            };
        }
        Ok(used)
    }
}

/// A disk with fewer bytes left is nearly full.
const NEARLY_FULL: u64 = 1 << 30;

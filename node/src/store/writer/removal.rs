//! What the writer thread takes away, and how the space comes back once nobody reads it.

use super::super::StoreError;
use super::super::command::{Reply, Swept};
use super::super::entry::Key;
use super::super::index::Only;
use super::super::roots::Change;
use super::Writer;

/// What is due once those are done who began to read before it was removed.
#[derive(Debug)]
pub(super) enum Retired {
    /// Segments that nothing is left in.
    Segments(Vec<u32>),
    /// Somebody waits for all that came before.
    Settled(Reply<()>),
}

impl Writer {
    /// Take blocks away, whatever protects them; says which were there.
    pub(super) fn remove(&mut self, keys: &[Key], only: Only) -> Result<Vec<bool>, StoreError> {
        // What was asked before comes before.
        self.finish_group();
        self.commit_blocks()?;
        let found = self.shared.find(keys)?;
        if found.iter().all(Option::is_none) {
            return Ok(vec![false; keys.len()]);
        }
        // First, so that no crash leaves a DAG called complete that has lost a block.
        self.change_roots(vec![Change::Incomplete])?;
        self.take_out(keys, only)
    }

    /// Take away those of these blocks that nobody protects, for a collection that has marked, and has seen to it that no DAG
    /// is called complete which has one of them.
    pub(super) fn sweep(&mut self, keys: Vec<Key>, generation: u32) -> Result<Swept, StoreError> {
        self.finish_group();
        self.commit_blocks()?;
        let oldest = self.shared.leases.oldest().map_or(generation, |leased| leased.min(generation));
        let keys = match self.shared.spared.doom(keys) {
            Ok(keys) => keys,
            Err(roots) => return Ok(Swept::Mark(roots)),
        };
        let removed = self.take_out(&keys, Only::Before(oldest));
        self.shared.spared.spare();
        let removed = keys.into_iter().zip(removed?);
        Ok(Swept::Removed(removed.filter_map(|(key, removed)| removed.then_some(key)).collect()))
    }

    fn take_out(&mut self, keys: &[Key], only: Only) -> Result<Vec<bool>, StoreError> {
        let shared = self.shared.clone();
        let remove = || {
            let removed = shared.index.remove(keys, only, self.appender.active());
            removed.map_err(|error| shared.database_error(shared.index.name(), error))
        };
        let (removed, rows) = match remove() {
            Err(StoreError::Full { .. }) if self.reserve.release() => remove()?,
            removed => removed?,
        };
        shared.rows_changed(rows);
        self.retire_segments();
        Ok(removed)
    }

    /// Have segments deleted that nothing is left in. Nothing is pending, so no entry names them.
    fn retire_segments(&mut self) {
        let active = self.appender.active();
        let is_queued = |number| {
            self.retired.iter().any(|(_, retired)| match retired {
                Retired::Segments(segments) => segments.contains(number),
                Retired::Settled(_) => false,
            })
        };
        let rows = self.shared.rows();
        let empty = rows
            .segments
            .iter()
            .filter(|(number, row)| row.blocks == 0 && active != Some(**number) && !is_queued(number));
        let empty: Vec<u32> = empty.map(|(number, _)| *number).collect();
        drop(rows);
        if !empty.is_empty() {
            self.retire(Retired::Segments(empty));
        }
    }

    fn retire(&mut self, what: Retired) {
        self.retired.push_back((self.shared.segments.older_guards(), what));
    }

    /// Answer once the space of all that was removed before is free.
    pub(super) fn settle(&mut self, reply: Reply<()>) {
        self.retire(Retired::Settled(reply));
        self.give_back();
    }

    /// Do what is due. In order: a reader from before an older removal may read what a later one took away.
    pub(super) fn give_back(&mut self) {
        while self.retired.front().is_some_and(|(guard, _)| guard.is_last()) {
            match self.retired.pop_front().expect("there is a first").1 {
                Retired::Segments(segments) => segments.into_iter().for_each(|number| self.delete_segment(number)),
                Retired::Settled(reply) => {
                    // Whoever does not wait any more need not know.
                    let _ = reply.send(Ok(()));
                }
            }
        }
    }

    fn delete_segment(&mut self, number: u32) {
        // What cannot be deleted is tried again when the store is opened: its row says that it is dead.
        let deleted = self.shared.segments.delete(number).map_err(|error| error.to_string());
        let deleted =
            deleted.and_then(|()| self.shared.index.forget_segment(number, false).map_err(|error| error.to_string()));
        match deleted {
            Ok(()) => drop(self.shared.rows().segments.remove(&number)),
            Err(error) => tracing::warn!(segment = number, error, "a dead segment could not be deleted yet"),
        }
    }
}

//! What a collection that is under way must leave alone beside what it marked: what came to be protected since it began, and
//! what somebody looked for since, to build on it.
//!
//! Somebody who looks for a block that is being deleted in this moment is told that it is not here, which in the next it is not.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::garbage::digests::Digests;

use super::entry::Key;

/// Shared by those who build on blocks, the writer thread, and the collection.
#[derive(Debug, Default)]
pub(super) struct Spared(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    touched: Digests,
    /// Roots, and whether what is below them is protected too, that the collection has not heard of yet.
    protected: Vec<(Cid, bool)>,
    doomed: HashSet<Key>,
}

impl Spared {
    /// A collection begins. There is one at a time.
    pub(super) fn begin(&self) {
        let touched = Digests::new(rand::random());
        *self.lock() = Some(State { touched, protected: Vec::new(), doomed: HashSet::new() });
    }

    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// Somebody will build on those of these blocks that are here. Says which are being deleted.
    pub(super) fn touch(&self, keys: &[Key]) -> Vec<bool> {
        let mut state = self.lock();
        let Some(State { touched, doomed, .. }) = &mut *state else { return vec![false; keys.len()] };
        keys.iter()
            .map(|key| {
                if let (false, Ok(hash)) = (doomed.contains(key), Multihash::from_bytes(&key.0)) {
                    touched.insert(&hash, 0);
                    return false;
                }
                true
            })
            .collect()
    }

    /// From here on nothing of this is deleted that was not looked at before.
    pub(super) fn protect(&self, root: Cid, recursive: bool) {
        if let Some(state) = &mut *self.lock() {
            state.protected.push((root, recursive));
        }
    }

    /// What came to be protected since it was asked last.
    pub(super) fn take_protected(&self) -> Vec<(Cid, bool)> {
        self.lock().as_mut().map(|state| std::mem::take(&mut state.protected)).unwrap_or_default()
    }

    /// Those of these blocks that may be deleted now; they count as deleted until `spare`. None at all when the collection
    /// must mark something first.
    pub(super) fn doom(&self, keys: Vec<Key>) -> Result<Vec<Key>, Vec<(Cid, bool)>> {
        let mut state = self.lock();
        let Some(State { touched, protected, doomed }) = &mut *state else { return Ok(Vec::new()) };
        if !protected.is_empty() {
            return Err(std::mem::take(protected));
        }
        let is_touched = |key: &Key| Multihash::from_bytes(&key.0).is_ok_and(|hash| touched.get(&hash).is_some());
        let free: Vec<Key> = keys.into_iter().filter(|key| !is_touched(key)).collect();
        doomed.extend(free.iter().cloned());
        Ok(free)
    }

    /// Nothing is being deleted any more.
    pub(super) fn spare(&self) {
        if let Some(state) = &mut *self.lock() {
            state.doomed.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

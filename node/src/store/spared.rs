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
    /// Of the collection: what one that was given up asked for late is not done in the name of the next.
    number: u64,
    is_over: bool,
    touched: Digests,
    /// Roots, and whether what is below them is protected too, that the collection has not heard of yet.
    protected: Vec<(Cid, bool)>,
    doomed: HashSet<Key>,
}

impl Spared {
    /// A collection begins; gives its number. There is one at a time.
    pub(super) fn begin(&self) -> u64 {
        let (number, touched) = (rand::random(), Digests::new(rand::random()));
        let mut state = self.lock();
        // The one before may have been given up while the writer thread deletes for it.
        let doomed = state.take().map(|state| state.doomed).unwrap_or_default();
        *state = Some(State { number, is_over: false, touched, protected: Vec::new(), doomed });
        number
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        match &mut *state {
            Some(state) if !state.doomed.is_empty() => state.is_over = true,
            _ => *state = None,
        }
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

    /// Those of these blocks that this collection may delete now; they count as deleted until `spare`. None at all when it must
    /// mark something first, or was given up.
    pub(super) fn doom(&self, collection: u64, keys: Vec<Key>) -> Result<Vec<Key>, Vec<(Cid, bool)>> {
        let mut state = self.lock();
        let Some(State { touched, protected, doomed, .. }) =
            state.as_mut().filter(|state| state.number == collection && !state.is_over)
        else {
            return Ok(Vec::new());
        };
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
        let mut state = self.lock();
        match &mut *state {
            Some(state) if !state.is_over => state.doomed.clear(),
            _ => *state = None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cidra_content::block::{Block, RAW};

    use std::slice;

    use super::*;

    fn block(text: &'static str) -> (Cid, Key) {
        let cid = *Block::new(RAW, bytes::Bytes::from_static(text.as_bytes())).cid();
        (cid, Key::from(&cid))
    }

    #[test]
    fn nothing_goes_that_was_looked_for_or_before_what_came_to_be_protected_was_marked() {
        let spared = Spared::default();
        let ((_, a), (b_cid, b)) = (block("a"), block("b"));
        assert_eq!(spared.touch(slice::from_ref(&a)), [false], "nobody collects");
        let number = spared.begin();
        assert_eq!(spared.touch(slice::from_ref(&a)), [false]);
        spared.protect(b_cid, true);
        assert_eq!(spared.doom(number, vec![a.clone(), b.clone()]), Err(vec![(b_cid, true)]));
        assert_eq!(spared.doom(number, vec![a.clone(), b.clone()]), Ok(vec![b.clone()]));
        assert_eq!(spared.touch(&[a, b.clone()]), [false, true], "it is as good as gone");
        spared.spare();
        assert_eq!(spared.touch(&[b]), [false]);
    }

    #[test]
    fn what_a_collection_that_was_given_up_asked_for_is_not_done_for_the_next() {
        let spared = Spared::default();
        let ((_, a), (_, b)) = (block("a"), block("b"));
        let first = spared.begin();
        assert_eq!(spared.doom(first, vec![a.clone()]), Ok(vec![a.clone()]));
        spared.end();
        assert_eq!(spared.touch(slice::from_ref(&a)), [true], "the writer thread still deletes it");
        assert_eq!(spared.doom(first, vec![b.clone()]), Ok(vec![]));
        let second = spared.begin();
        assert_eq!(spared.touch(slice::from_ref(&a)), [true]);
        assert_eq!(spared.doom(first, vec![b.clone()]), Ok(vec![]));
        spared.spare();
        assert_eq!(spared.doom(second, vec![b.clone()]), Ok(vec![b]));
        assert_eq!(spared.touch(&[a]), [false]);
    }
}

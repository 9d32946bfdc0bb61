//! Limits of how fast bytes of blocks go and come: buckets that the tasks of many streams share.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cid::Cid;
use cidra_content::Multihash;
use cidra_content::exchange::SessionId;
use cidra_content::exchange::limit::Bucket;

/// A bucket out of which many take.
#[derive(Clone, Debug)]
pub(super) struct Throttle(Arc<Mutex<Bucket>>);

impl Throttle {
    pub(super) fn new(rate: NonZeroU64) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(rate))))
    }

    /// How many bytes to take at a time.
    pub(super) fn slice(&self) -> usize {
        held(&self.0).slice()
    }

    /// Takes so many; when they may go.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Instant {
        held(&self.0).take(bytes, now)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The limits of a node, and those of single transfers.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Of all that goes out.
    pub(super) up: Option<Throttle>,
    down: Option<Throttle>,
    wanted: Wanted,
    sessions: BTreeMap<SessionId, Throttle>,
    roots: BTreeMap<Multihash<64>, Throttle>,
}

/// Blocks that are wanted by downloads with a limit of their own.
type Wanted = Arc<Mutex<BTreeMap<Cid, Throttle>>>;

impl Limits {
    /// Limits of so many bytes a second, where there are any.
    pub(super) fn new(up: Option<NonZeroU64>, down: Option<NonZeroU64>) -> Self {
        Self { up: up.map(Throttle::new), down: down.map(Throttle::new), ..Self::default() }
    }

    /// For a task that reads blocks.
    pub(super) fn intake(&self) -> Intake {
        Intake { all: self.down.clone(), wanted: self.wanted.clone() }
    }

    /// A download is to get no more than this. Of what it wants already nothing changes.
    pub(super) fn limit_session(&mut self, session: SessionId, rate: NonZeroU64) {
        self.sessions.insert(session, Throttle::new(rate));
    }

    /// A download wants these. One that others want too counts for it.
    pub(super) fn wants(&mut self, session: SessionId, cids: impl Iterator<Item = Cid>) {
        if let Some(throttle) = self.sessions.get(&session) {
            held(&self.wanted).extend(cids.map(|cid| (cid, throttle.clone())));
        }
    }

    /// A download wants this one no longer.
    pub(super) fn wants_no_longer(&mut self, session: SessionId, cid: &Cid) {
        if self.sessions.contains_key(&session) {
            held(&self.wanted).remove(cid);
        }
    }

    /// A download has ended.
    pub(super) fn end_session(&mut self, session: SessionId) {
        if let Some(throttle) = self.sessions.remove(&session) {
            held(&self.wanted).retain(|_, other| !other.is(&throttle));
        }
    }

    /// What is asked for under this root is to go out no faster; `None` ends that.
    pub(super) fn limit_root(&mut self, root: &Cid, rate: Option<NonZeroU64>) {
        match rate {
            Some(rate) => self.roots.insert(*root.hash(), Throttle::new(rate)),
            None => self.roots.remove(root.hash()),
        };
    }

    /// The limit of a root.
    pub(super) fn of_root(&self, root: Option<&Cid>) -> Option<Throttle> {
        self.roots.get(root?.hash()).cloned()
    }
}

/// What a task that reads blocks has to keep to.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    /// For all that comes.
    pub(super) all: Option<Throttle>,
    wanted: Wanted,
}

impl Intake {
    /// The limit of the download that wants this block.
    pub(super) fn of(&self, cid: &Cid) -> Option<Throttle> {
        held(&self.wanted).get(cid).cloned()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_download_that_has_ended() {
        let mut limits = Limits::new(None, None);
        let rate = NonZeroU64::MIN;
        let cid = |byte: u8| *cidra_content::Block::new(0x55, vec![byte].into()).cid();
        limits.limit_session(SessionId(1), rate);
        limits.limit_session(SessionId(2), rate);
        limits.wants(SessionId(1), [cid(1), cid(2), cid(3)].into_iter());
        limits.wants(SessionId(2), [cid(4)].into_iter());
        limits.wants(SessionId(3), [cid(5)].into_iter());
        let intake = limits.intake();
        let limited = || [1, 2, 3, 4, 5].map(|byte| intake.of(&cid(byte)).is_some());
        assert_eq!(limited(), [true, true, true, true, false]);

        limits.wants_no_longer(SessionId(1), &cid(1));
        assert_eq!(limited(), [false, true, true, true, false]);
        limits.end_session(SessionId(1));

        assert_eq!(limited(), [false, false, false, true, false]);
        assert_eq!(limits.sessions.len(), 1);
    }
}

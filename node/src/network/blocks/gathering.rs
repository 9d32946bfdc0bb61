//! Payloads on their way to the hashing pool. Hashed side by side they cost half, so while large ones follow one another closely,
//! each waits a little for the next.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::reader::Payload;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    waiting: Vec<(PeerId, Payload)>,
    /// When the first of them came.
    since: Option<Instant>,
    /// When a payload came last, and how many came without a pause before it.
    last: Option<Instant>,
    in_a_row: usize,
}

/// Payloads that are hashed together.
const TOGETHER: usize = 4;
/// Payloads in a row after which others are waited for: small files do not wait.
const STREAM: usize = 8;
/// A longer time between two payloads is a pause, and none waits longer.
const PAUSE: Duration = Duration::from_millis(4);
/// Bytes of a payload that is worth waiting for.
const LARGE: usize = 64 * 1024;

impl Gathering {
    /// Takes one; returns what goes to the pool now.
    pub(super) fn push(&mut self, peer: PeerId, payload: Payload, now: Instant) -> Vec<(PeerId, Payload)> {
        let follows = self.last.replace(now).is_some_and(|last| now.saturating_duration_since(last) <= PAUSE);
        let waits = payload.data.len() >= LARGE && follows;
        self.in_a_row = if waits { self.in_a_row + 1 } else { 0 };
        self.waiting.push((peer, payload));
        self.since.get_or_insert(now);
        if self.in_a_row < STREAM || self.waiting.len() >= TOGETHER { self.take() } else { vec![] }
    }

    /// When what waits has to go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + PAUSE)
    }

    pub(super) fn take(&mut self) -> Vec<(PeerId, Payload)> {
        self.since = None;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cid::Cid;
    use cidra_content::hash::Expect;
    use tokio::sync::Semaphore;

    use super::*;

    fn payload(len: usize) -> Payload {
        let cid: Cid = "bafkqaaa".parse().unwrap();
        let budget = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Payload { expect: Expect::Cid(cid), data: vec![0; len].into(), budget }
    }

    /// How many go to the pool with each of 16 that come this long after one another.
    fn gone(len: usize, apart: Duration) -> Vec<usize> {
        let (mut gathering, begin, peer) = (Gathering::default(), Instant::now(), PeerId::random());
        (0..16).map(|number| gathering.push(peer, payload(len), begin + apart * number).len()).collect()
    }

    #[test]
    fn large_ones_that_follow_closely_go_together() {
        let mut expected = vec![1; 8];
        expected.extend([0, 0, 0, 4, 0, 0, 0, 4]);
        assert_eq!(gone(LARGE, PAUSE), expected);
    }

    #[test]
    fn small_ones_and_late_ones_go_at_once() {
        assert_eq!(gone(LARGE - 1, Duration::ZERO), vec![1; 16]);
        assert_eq!(gone(LARGE, PAUSE * 2), vec![1; 16]);
    }

    #[test]
    fn what_waits_is_due_and_a_small_one_takes_it_along() {
        let (mut gathering, begin, peer) = (Gathering::default(), Instant::now(), PeerId::random());
        (0..8).for_each(|_| assert_eq!(gathering.push(peer, payload(LARGE), begin).len(), 1));
        assert_eq!(gathering.due(), None);

        assert!(gathering.push(peer, payload(LARGE), begin).is_empty());
        assert_eq!(gathering.due(), Some(begin + PAUSE));
        assert_eq!(gathering.push(peer, payload(1), begin).len(), 2);
        assert_eq!((gathering.due(), gathering.take().len()), (None, 0));
    }
}

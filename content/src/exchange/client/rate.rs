//! How fast a peer delivers, measured only while it owes something.

use std::time::{Duration, Instant};

/// Rises at once and falls slowly, so that a pause between blocks does not close the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    value: Option<f64>,
    steady: bool,
    bytes: usize,
    busy: Duration,
    since: Option<Instant>,
}

impl Rate {
    /// Something is owed from here on.
    pub(super) fn resume(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Nothing is owed from here on.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.busy += now.duration_since(since);
        }
    }

    /// Bytes came in; a span is closed when it lasted long enough.
    pub(super) fn add(&mut self, bytes: usize, round_trip: Duration, now: Instant) {
        self.bytes += bytes;
        let running = self.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let span = self.busy + running;
        if span < round_trip.max(SPAN) {
            return;
        }
        let seen = self.bytes as f64 / span.as_secs_f64();
        self.steady = self.value.is_some_and(|old| seen < old * RISING);
        self.value = Some(self.value.map_or(seen, |old| seen.max(old * KEPT + seen * (1.0 - KEPT))));
        self.bytes = 0;
        self.busy = Duration::ZERO;
        if self.since.is_some() {
            self.since = Some(now);
        }
    }

    /// Whether the last span was still a good deal faster than those before: what the link can do is not known yet.
    pub(super) fn is_rising(&self) -> bool {
        !self.steady
    }

    /// Bytes a second; `None` before the first span is over.
    pub(super) fn get(&self) -> Option<f64> {
        self.value.map(|rate| rate.max(1.0))
    }
}

/// The shortest span over which bytes are counted (or the round trip, where that is longer).
const SPAN: Duration = Duration::from_millis(100);
/// A span that is faster by so much means that the peer can do more than it was asked for.
const RISING: f64 = 1.2;
/// How much of the old rate stays when a span was slower.
const KEPT: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let start = crate::exchange::tests::start();
        let mut rate = Rate::default();
        rate.resume(start);
        rate.add(100_000, Duration::ZERO, start + SPAN);
        assert_eq!(rate.get(), Some(1_000_000.0));
        rate.add(1_000_000, Duration::ZERO, start + 2 * SPAN);
        assert_eq!(rate.get(), Some(10_000_000.0));
        rate.add(0, Duration::ZERO, start + 3 * SPAN);
        assert_eq!(rate.get(), Some(7_000_000.0));
    }

    #[test]
    fn time_in_which_nothing_is_owed_does_not_count() {
        let start = crate::exchange::tests::start();
        let mut rate = Rate::default();
        rate.resume(start);
        rate.pause(start + SPAN / 2);
        let later = start + Duration::from_secs(60);
        rate.resume(later);
        rate.add(100_000, Duration::ZERO, later + SPAN / 2);
        assert_eq!(rate.get(), Some(1_000_000.0));
    }
}

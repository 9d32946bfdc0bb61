//! How long things took, as counts by bounds: what a program that watches many nodes can add up.

use std::time::Duration;

/// Counts of durations up to each of [`Latencies::BOUNDS`], and of longer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; Latencies::BOUNDS.len() + 1],
    sum: Duration,
}

impl Latencies {
    /// The longest duration that each count but the last takes.
    pub const BOUNDS: [Duration; 12] = {
        let bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000];
        let mut durations = [Duration::ZERO; 12];
        let mut at = 0;
        while at < bounds.len() {
            durations[at] = Duration::from_millis(bounds[at]);
            at += 1;
        }
        durations
    };

    /// One more took so long.
    pub fn count(&mut self, duration: Duration) {
        let at = Self::BOUNDS.partition_point(|bound| *bound < duration);
        self.counts[at] += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// How many took at most as long as each bound and longer than the one before; the last are those beyond all.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All durations together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_takes_what_is_no_longer() {
        let mut latencies = Latencies::default();
        for millis in [0, 1, 2, 3, 30_000, 30_001] {
            latencies.count(Duration::from_millis(millis));
        }
        assert_eq!(latencies.counts(), [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(latencies.sum(), Duration::from_millis(60_007));
        latencies.count(Duration::MAX);
        assert_eq!((latencies.counts()[12], latencies.sum()), (2, Duration::MAX));
    }
}

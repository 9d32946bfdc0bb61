//! How much may go at a time: a bucket into which so many bytes a second flow, and out of which writers and readers take.
//!
//! It is never asked for whole blocks but for slices, so that what is limited flows evenly and several that take from one bucket in
//! turns get the same. Whoever took waits until its bytes may go; who takes next waits longer.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// A limit in bytes a second, and how much of it was used.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: NonZeroU64,
    /// How long what was taken up to `at` takes at this rate, as far as it is not over.
    debt: Duration,
    at: Option<Instant>,
}

impl Bucket {
    /// A bucket of so many bytes a second.
    pub fn new(rate: NonZeroU64) -> Self {
        Self { rate, debt: Duration::ZERO, at: None }
    }

    /// How many bytes to take at a time: a sixteenth of a second's, from 1 KiB to 64 KiB.
    pub fn slice(&self) -> usize {
        usize::try_from(self.rate.get() / SLICES).unwrap_or(LARGEST_SLICE).clamp(SMALLEST_SLICE, LARGEST_SLICE)
    }

    /// Takes so many bytes, which may go at the time given. What was not used counts for a tenth of a second at most.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Instant {
        let before = self.at.unwrap_or(now);
        let now = now.max(before);
        self.debt = self.debt.saturating_sub(now.duration_since(before));
        self.at = Some(now);
        let wait = self.debt.saturating_sub(BURST);
        self.debt += Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        now + wait
    }
}

/// Slices in a second, where they are neither very small nor very large.
const SLICES: u64 = 16;
/// Below it heads of frames and calls of the system would cost more than what they carry.
const SMALLEST_SLICE: usize = 1024;
/// What a frame carries at most.
const LARGEST_SLICE: usize = 64 * 1024;
/// Long enough that a timer which is late loses nothing.
const BURST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::tests::start;

    proptest! {
        /// Takers that wait as they are told, and now and then do nothing.
        #[test]
        fn no_span_sees_more_than_the_rate_and_a_burst(
            rate in 1_000u64..100_000_000,
            pauses in proptest::collection::vec(0u64..400, 1..60),
            takers in 1usize..6,
        ) {
            let mut bucket = bucket(rate);
            let mut free = vec![start(); takers];
            let mut gone: Vec<(Instant, usize)> = vec![];
            for pause in pauses {
                let next = (0..takers).min_by_key(|taker| free[*taker]).expect("there is one");
                let now = free[next] + Duration::from_millis(if pause < 300 { 0 } else { pause });
                let at = bucket.take(bucket.slice(), now);
                prop_assert!(at >= now);
                gone.push((at, bucket.slice()));
                free[next] = at;
            }
            gone.sort();
            for (first, (begin, _)) in gone.iter().enumerate() {
                let mut sum = 0;
                for (end, bytes) in &gone[first..] {
                    sum += bytes;
                    let span = end.duration_since(*begin) + BURST;
                    let most = span.as_secs_f64() * rate as f64 + bucket.slice() as f64 + 1.0;
                    prop_assert!(sum as f64 <= most, "{} bytes in {:?}, limit {}", sum, span, rate);
                }
            }
        }
    }

    #[test]
    fn who_always_wants_more_gets_the_rate() {
        for rate in [20_000, 2_000_000, 200_000_000] {
            let mut bucket = bucket(rate);
            let (mut now, mut bytes) = (start(), 0);
            for _ in 0..100_000 {
                now = bucket.take(bucket.slice(), now);
                bytes += bucket.slice();
            }
            let reached = bytes as f64 / (now.duration_since(start()) + BURST).as_secs_f64();
            assert!(reached > 0.99 * rate as f64 && reached < 1.01 * rate as f64, "{reached} of {rate}");
        }
    }

    #[test]
    fn those_who_take_in_turns_get_the_same() {
        let mut bucket = bucket(1_000_000);
        let (mut free, mut bytes) = ([start(); 5], [0; 5]);
        for _ in 0..1000 {
            let next = (0..5).min_by_key(|taker| (free[*taker], bytes[*taker])).expect("there are five");
            free[next] = bucket.take(bucket.slice(), free[next]);
            bytes[next] += bucket.slice();
        }
        assert!(bytes.iter().all(|taken| taken.abs_diff(bytes[0]) <= bucket.slice()), "{bytes:?}");
    }

    #[test]
    fn a_slice_is_never_longer_than_a_frame_nor_too_short_to_be_worth_it() {
        let slices = [1, 100_000, 2_000_000, u64::MAX].map(|rate| bucket(rate).slice());
        assert_eq!(slices, [SMALLEST_SLICE, 6250, LARGEST_SLICE, LARGEST_SLICE]);
    }

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(rate).expect("no test limits to nothing"))
    }
}

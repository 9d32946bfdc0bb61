//! Coming back when everybody is lost: peers of the routing tables are tried, a few at a time, at once and then with growing
//! pauses, which stay short while the loss may be a cable that was pulled.

use std::time::{Duration, Instant};

/// Whether this node is alone, since when, and what it does about it.
#[derive(Debug, Default)]
pub(in crate::network) struct Rejoin {
    alone: Option<Alone>,
}

#[derive(Debug)]
struct Alone {
    since: Instant,
    due: Instant,
    pause: Duration,
}

/// What is to be done, or said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) enum Step {
    /// Everybody is gone: try some that are known.
    Begin,
    /// Somebody is there again, after so long.
    Back(Duration),
    /// Try others.
    Try,
}

impl Rejoin {
    /// Called about once a second.
    pub(in crate::network) fn tick(&mut self, is_alone: bool, now: Instant) -> Option<Step> {
        if !is_alone {
            return self.alone.take().map(|alone| Step::Back(now - alone.since));
        }
        let Some(alone) = &mut self.alone else {
            self.alone = Some(Alone { since: now, due: now + FIRST_PAUSE, pause: FIRST_PAUSE });
            return Some(Step::Begin);
        };
        if alone.due > now {
            return None;
        }
        let longest = if now - alone.since < SOON { SHORT_PAUSE } else { LONGEST_PAUSE };
        alone.pause = (alone.pause * 2).min(longest);
        alone.due = now + alone.pause;
        Some(Step::Try)
    }
}

/// Peers that are tried at a time.
pub(in crate::network) const AT_A_TIME: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// For as long as the network is likely to come back any moment …
const SOON: Duration = Duration::from_secs(10 * 60);
/// … pauses are no longer than this.
const SHORT_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_for_ever_with_pauses_that_grow_when_the_loss_lasts() {
        let start = Instant::now();
        let mut rejoin = Rejoin::default();
        let mut tries = vec![];

        assert_eq!(rejoin.tick(true, start), Some(Step::Begin));
        for second in 1..=3600 {
            if rejoin.tick(true, start + Duration::from_secs(second)) == Some(Step::Try) {
                tries.push(second);
            }
        }

        let pauses: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(tries[0], 1);
        assert_eq!(pauses[..4], [2, 4, 4, 4]);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&60));
    }

    #[test]
    fn says_when_somebody_is_there_again_and_begins_anew() {
        let start = Instant::now();
        let mut rejoin = Rejoin::default();
        assert_eq!(rejoin.tick(false, start), None);
        rejoin.tick(true, start);
        let back = start + Duration::from_secs(61);

        assert_eq!(rejoin.tick(false, back), Some(Step::Back(Duration::from_secs(61))));
        assert_eq!(rejoin.tick(false, back), None);
        assert_eq!(rejoin.tick(true, back), Some(Step::Begin));
    }
}

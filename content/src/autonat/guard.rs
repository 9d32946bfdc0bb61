//! Whom a server serves: so many requests a minute in all, so many of one client, one of a client at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Counts what clients ask of a server. `P` names a client.
#[derive(Debug)]
pub struct Guard<P> {
    asked: VecDeque<(Instant, P, bool)>,
    of_client: BTreeMap<P, usize>,
    dear: usize,
    under_way: BTreeSet<P>,
}

impl<P> Default for Guard<P> {
    fn default() -> Self {
        Self { asked: VecDeque::new(), of_client: BTreeMap::new(), dear: 0, under_way: BTreeSet::new() }
    }
}

impl<P: Ord + Clone> Guard<P> {
    /// A client asks; `dear` is a request for which it has to pay. `end` follows where it is served.
    pub fn begin(&mut self, client: &P, dear: bool, now: Instant) -> Result<(), Refusal> {
        self.forget(now);
        if self.under_way.contains(client) {
            return Err(Refusal::Busy);
        }
        let of_client = self.of_client.get(client).copied().unwrap_or_default();
        if self.asked.len() >= MOST || of_client >= MOST_OF_ONE || dear && self.dear >= MOST_DEAR {
            return Err(Refusal::TooMany);
        }
        self.asked.push_back((now, client.clone(), dear));
        *self.of_client.entry(client.clone()).or_default() += 1;
        self.dear += usize::from(dear);
        self.under_way.insert(client.clone());
        Ok(())
    }

    /// A request is answered, or its stream is gone.
    pub fn end(&mut self, client: &P) {
        self.under_way.remove(client);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, ..)) = self.asked.front()
            && now.saturating_duration_since(*at) >= MINUTE
        {
            let Some((_, client, dear)) = self.asked.pop_front() else { return };
            self.dear -= usize::from(dear);
            if let Some(count) = self.of_client.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    self.of_client.remove(&client);
                }
            }
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Requests a minute, as Go's server takes them; one more is rejected.
const MOST: usize = 60;
/// Of one client; one more is rejected.
const MOST_OF_ONE: usize = 12;
/// For which clients pay; one more is rejected.
const MOST_DEAR: usize = 12;

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client has one under way.
    Busy,
    /// There were too many within a minute.
    TooMany,
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
mod tests {
    use super::*;

    /// Asks and is served until it is not; gives how often it was.
    fn served(guard: &mut Guard<usize>, client: impl Fn(usize) -> usize, dear: bool, now: Instant) -> usize {
        (0..)
            .take_while(|number| {
                let served = guard.begin(&client(*number), dear, now);
                guard.end(&client(*number));
                assert_ne!(served, Err(Refusal::Busy));
                served.is_ok()
            })
            .count()
    }

    #[test]
    fn one_client_gets_its_share_and_others_theirs() {
        let (mut guard, now) = (Guard::default(), Instant::now());

        assert_eq!(served(&mut guard, |_| 0, false, now), MOST_OF_ONE);
        assert_eq!(served(&mut guard, |_| 1, false, now), MOST_OF_ONE);
        assert_eq!(served(&mut guard, |_| 0, false, now + MINUTE), MOST_OF_ONE);
    }

    #[test]
    fn all_together_get_no_more_than_the_most() {
        let (mut guard, now) = (Guard::default(), Instant::now());

        assert_eq!(served(&mut guard, |number| number, true, now), MOST_DEAR);
        assert_eq!(served(&mut guard, |number| number, false, now), MOST - MOST_DEAR);
        assert_eq!(guard.begin(&1000, false, now), Err(Refusal::TooMany));
        assert_eq!(served(&mut guard, |number| number, false, now + MINUTE), MOST);
    }

    #[test]
    fn a_client_has_one_request_at_a_time() {
        let (mut guard, now) = (Guard::default(), Instant::now());

        assert_eq!(guard.begin(&1, false, now), Ok(()));
        assert_eq!(guard.begin(&1, false, now), Err(Refusal::Busy));
        guard.end(&1);
        assert_eq!(guard.begin(&1, false, now), Ok(()));
    }
}

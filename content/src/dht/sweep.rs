//! When what is announced is announced again. All keys are gone through once in each period, in the order of the key space and at an
//! even pace, so that one look-up serves all keys of a region and no hour is busier than another. Where the sweep is
//! fits in a line, and goes on from there after a restart; what became due meanwhile is caught up with, each key once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How far a sweep has come. Times are since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    began: Duration,
    /// The places that are done, of all turns since it began.
    done: u128,
}

impl Sweep {
    /// One that begins at the first place.
    pub fn new(now: Duration) -> Self {
        Self { began: Duration::from_secs(now.as_secs()), done: 0 }
    }

    /// The first place of this turn that is not done.
    pub fn place(&self) -> u64 {
        self.done as u64
    }

    /// How many turns are done.
    pub fn turns(&self) -> u64 {
        (self.done >> 64) as u64
    }

    /// When a place of this turn is due.
    pub fn when(&self, place: u64) -> Duration {
        let of_period = (u128::from(place) * PERIOD.as_millis()) >> 64;
        let millis = (self.done >> 64).saturating_mul(PERIOD.as_millis()).saturating_add(of_period);
        self.began + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// All up to this place of this turn, and it too, is done.
    pub fn handle_done(&mut self, last: u64) {
        let turn = self.done & !u128::from(u64::MAX);
        self.done = self.done.max((turn | u128::from(last)) + 1);
    }

    /// What is due by now and not done has nothing in it; true when this turn ends with it.
    pub fn skip_to(&mut self, now: Duration) -> bool {
        let turn = self.done & !u128::from(u64::MAX);
        let due = self.due(now).unwrap_or_default().min(turn + TURN);
        self.done = self.done.max(due);
        self.done == turn + TURN
    }

    /// What was missed for more than a period is due once, not several times; a clock that was set back begins it anew.
    pub fn catch_up(&mut self, now: Duration) {
        match self.due(now) {
            Some(due) if self.done <= due + TURN => self.done = self.done.max(due.saturating_sub(TURN)),
            _ => *self = Self::new(now),
        }
    }

    fn due(&self, now: Duration) -> Option<u128> {
        let elapsed = now.checked_sub(self.began)?;
        Some((elapsed.as_millis().min(u64::MAX.into()) << 64) / PERIOD.as_millis())
    }
}

/// The public network keeps a record for 48 hours, and expects it again after 22.
pub const PERIOD: Duration = Duration::from_secs(22 * 3600);

/// Places of one turn.
const TURN: u128 = 1 << 64;

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:x}", self.began.as_secs(), self.done)
    }
}

impl FromStr for Sweep {
    type Err = NotASweep;

    fn from_str(text: &str) -> Result<Self, NotASweep> {
        let (began, done) = text.trim_end().split_once(' ').ok_or(NotASweep)?;
        let began: u64 = began.parse().map_err(|_| NotASweep)?;
        let done = u128::from_str_radix(done, 16).map_err(|_| NotASweep)?;
        // Nobody lives as long as the rest would last.
        if done >> 100 != 0 || began >> 48 != 0 {
            return Err(NotASweep);
        }
        Ok(Self { began: Duration::from_secs(began), done })
    }
}

/// The text is not what a sweep writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the state of a sweep")]
pub struct NotASweep;

#[cfg(test)]
mod tests;

//! The machine in virtual time: a network of nodes whose links have delay and rate.

mod bitswap;
mod chaos;
mod crowd;
mod failure;
mod fetching;
mod limits;
mod net;
mod serving;
mod watchdog;

use std::time::Instant;

/// Some time; tests count from it.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
pub(super) fn start() -> Instant {
    Instant::now()
}

//! The machine in virtual time.

use std::time::Instant;

/// Some time; tests count from it.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
pub(super) fn start() -> Instant {
    Instant::now()
}

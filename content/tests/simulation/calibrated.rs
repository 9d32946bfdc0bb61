//! What the simulation says of scenarios that real nodes play too, in seconds to the last getter. It is read by both: the simulation
//! fails where it says something else, `tests/tests/calibration.rs` where real nodes take another time.

/// 128 MiB from 4 holders, uplinks of 100 Mbit/s.
pub(crate) const FOUR_HOLDERS: f64 = 2.83;
/// 64 MiB from one holder to 8 others, uplinks of 100 Mbit/s.
pub(crate) const CROWD_OF_8: f64 = 6.77;
/// 128 MiB from 2 holders, one of which is killed after 3 s.
pub(crate) const ONE_OF_TWO_KILLED: f64 = 8.27;
/// 128 MiB from 2 holders, one of which is cut off silently after 3 s.
pub(crate) const ONE_OF_TWO_CUT_OFF: f64 = 8.27;

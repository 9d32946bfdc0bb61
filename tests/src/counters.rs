//! What the system counts of a process.

use std::fs;
use std::time::Duration;

/// A number of bytes that stands under a name in `/proc/PID/status`.
pub(crate) fn memory(process: u32, field: &str) -> Option<u64> {
    Some(counter(process, "status", field)? * 1024)
}

/// A number that the system keeps of a process.
pub(crate) fn counter(process: u32, file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Time of processors that it took so far, that of its children which have ended included. Known of one that was not waited for, too.
pub(crate) fn processor_time(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, which may hold anything, ends with the last bracket; the times are fields 14 to 17.
    let fields = text.rsplit_once(')')?.1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * TICK))
}

/// Milliseconds in a tick of the system's clocks, as Linux shows them on every machine.
const TICK: u64 = 10;

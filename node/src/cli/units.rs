//! Durations and sizes as people write and read them: Go's `1m30s`, and binary units for bytes.

use std::time::Duration;

/// Reads `30s`, `1m30s`, `1.5h`, `300ms`; a bare number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write for example 30s, 1m30s or 500ms");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// The form in which a duration is sent to the RPC: whole milliseconds.
pub(super) fn duration_argument(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// A time for people: `850 ms`, `12.3 s`, `2 min 5 s`.
pub(super) fn show_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A number of bytes for people: `17 B`, `1.5 MiB`.
pub(super) fn show_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("2", 2000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_named() {
        for text in ["", "s", "-3s", "3 s", "1d", "5x", "1.2.3s", "1e400", "NaN"] {
            assert!(parse_duration(text).is_err_and(|message| message.contains(text)), "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(show_bytes(1023), "1023 B");
        assert_eq!(show_bytes(1536 * 1024), "1.5 MiB");
        assert_eq!(show_bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn the_rpc_gets_a_duration_it_reads_back() {
        let duration = Duration::from_millis(61_250);

        assert_eq!(parse_duration(&duration_argument(duration)), Ok(duration));
    }
}

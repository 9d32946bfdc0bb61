//! When a record ends: a time of RFC 3339 to the nanosecond.

use std::fmt;
use std::time::Duration;

/// A moment from the beginning of 1970 to the end of 9999. What is before or after is taken for the first or the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    since_1970: Duration,
}

impl Moment {
    /// So long after the beginning of 1970.
    pub fn after_1970(since_1970: Duration) -> Self {
        Self { since_1970: since_1970.min(LAST) }
    }

    /// How long after the beginning of 1970.
    pub fn since_1970(&self) -> Duration {
        self.since_1970
    }

    /// So much later.
    pub fn later(&self, by: Duration) -> Self {
        Self::after_1970(self.since_1970.saturating_add(by))
    }

    /// How long it is until then; nothing when that is past.
    pub fn until(&self, then: Moment) -> Duration {
        then.since_1970.saturating_sub(self.since_1970)
    }

    /// Reads `2006-01-02T15:04:05.999999999Z`, with any part of the fraction, or an offset such as `+02:00` in place of the Z.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(19)?;
        let number = |from: usize, to: usize| {
            let digits = date.get(from..to)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| date.as_bytes()[*at] != *mark) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_of(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        let (fraction, offset) = match digits {
            0 => (0, rest),
            1..=9 => (format!("{:0<9}", &rest[1..=digits]).parse::<u32>().ok()?, &rest[digits + 1..]),
            _ => return None,
        };
        let seconds = days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset_of(offset)?;
        Some(match u64::try_from(seconds) {
            Ok(seconds) => Self::after_1970(Duration::new(seconds, fraction)),
            Err(_) => Self::default(),
        })
    }
}

/// `Z`, or so many seconds ahead of it.
fn offset_of(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse::<i64>().ok())?
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// In the Gregorian calendar, whose 400 years have 146,097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = |year: i64| year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    before(year - 1) - before(1969) + months + day - 1
}

const DAY: i64 = 24 * 3600;
/// The last nanosecond that can be written with four digits of a year.
const LAST: Duration = Duration::new(253_402_300_799, 999_999_999);

/// As the records of all have it: nine digits of the second, and `Z`.
impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.since_1970.as_secs()).expect("it is at most the year 9999");
        let (mut days, rest) = (seconds / DAY, seconds % DAY);
        let mut year = 1970 + days / 366;
        while days_since_1970(year + 1, 1, 1) <= days {
            year += 1;
        }
        days -= days_since_1970(year, 1, 1);
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        let nanosecond = self.since_1970.subsec_nanos();
        write!(formatter, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}Z", days + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in 0..=LAST.as_secs(), nanosecond in 0u32..1_000_000_000) {
            let moment = Moment::after_1970(Duration::new(seconds, nanosecond));

            prop_assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }

        #[test]
        fn any_text_is_a_moment_or_none(text: String, digits in "[0-9TZ:.+-]{18,32}") {
            let _ = Moment::parse(&text);
            let _ = Moment::parse(&digits);
        }
    }

    #[test]
    fn reads_what_go_reads() {
        let seconds = |text| Moment::parse(text).map(|moment| moment.since_1970().as_secs());

        assert_eq!(seconds("1970-01-01T00:00:00.000000001Z"), Some(0));
        assert_eq!(seconds("2024-02-29T12:00:00Z"), Some(1_709_208_000));
        assert_eq!(seconds("2024-02-29T14:00:00+02:00"), Some(1_709_208_000));
        assert_eq!(seconds("2024-02-29T11:30:00.5-00:30"), Some(1_709_208_000));
        assert_eq!(seconds("1969-12-31T23:59:59Z"), Some(0));
        assert_eq!(Moment::parse("2100-01-01T00:00:00.5Z").unwrap().to_string(), "2100-01-01T00:00:00.500000000Z");
        for wrong in ["2023-02-29T12:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(seconds("2024-01-01T00:00:00.1234567890Z"), None);
    }

    #[test]
    fn ends_with_the_year_9999() {
        let last = Moment::after_1970(Duration::MAX);

        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(last.later(Duration::from_secs(1)), last);
    }
}

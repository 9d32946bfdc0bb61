//! Moments as clocks on walls show them, in UTC: what RFC 3339 needs, and no more.

use std::fmt;

/// A moment of the years 0 to 9999, which is what RFC 3339 can write. Ordered as time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// From 0 to 9999.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0.
    pub hour: u8,
    /// From 0.
    pub minute: u8,
    /// From 0 to 59: there are no leap seconds in the time of Unix.
    pub second: u8,
    /// Below a thousand million.
    pub nanosecond: u32,
}

impl Date {
    /// So long after the beginning of 1970. `None` where the year has more than four digits, or is before 0.
    pub fn of(seconds: i64, nanosecond: u32) -> Option<Date> {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years that begin in March, so that the day that comes and goes is the last one; eras of 400 of them.
        let days = days.checked_add(DAYS_TO_1970)?;
        let (era, day) = (days.div_euclid(DAYS_OF_400), days.rem_euclid(DAYS_OF_400));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = u16::try_from(era * 400 + year + next).ok().filter(|year| *year <= 9999)?;
        let part = |number: i64| u8::try_from(number).expect("parts of a date are below 60");
        let (hour, minute, second) = (part(rest / 3600), part(rest / 60 % 60), part(rest % 60));
        Some(Date { year, month: part(month), day: part(day), hour, minute, second, nanosecond })
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Date> {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
        let part = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
        let fraction = match text.get(19..)?.strip_suffix('Z')? {
            "" => "0",
            fraction => fraction.strip_prefix('.').filter(|digits| (1..10).contains(&digits.len()))?,
        };
        Some(Date {
            year: number(0, 4)?,
            month: part(5).filter(|month| (1..=12).contains(month))?,
            day: part(8)?,
            hour: part(11)?,
            minute: part(14)?,
            second: part(17)?,
            nanosecond: format!("{fraction:0<9}").parse().ok()?,
        })
    }
}

const DAY: i64 = 86_400;
/// From the first of March of year 0.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_OF_400: i64 = 146_097;

/// As Go writes it: a fraction of a second only where there is one, without zeros at its end.
impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, hour, minute, second, nanosecond } = self;
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if *nanosecond > 0 {
            write!(formatter, ".{}", format!("{nanosecond:09}").trim_end_matches('0'))?;
        }
        formatter.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_written_as_date_writes_them() {
        for (seconds, nanosecond, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 500_000_000, "1969-12-31T23:59:59.5Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_709_251_199, 1, "2024-02-29T23:59:59.000000001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00Z"),
            (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Date::of(seconds, nanosecond).map(|date| date.to_string()).as_deref(), Some(text));
        }
        for seconds in [-62_167_219_201, 253_402_300_800, i64::MIN, i64::MAX] {
            assert_eq!(Date::of(seconds, 0), None, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_keeps_its_order(
            a in -62_167_219_200..253_402_300_800_i64, b in -62_167_219_200..253_402_300_800_i64,
            nanosecond in 0..1_000_000_000_u32,
        ) {
            let [first, other] = [a, b].map(|seconds| Date::of(seconds, nanosecond).unwrap());
            prop_assert_eq!(Date::parse(&first.to_string()), Some(first));
            prop_assert_eq!(first.cmp(&other), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = Date::parse(&text);
        }
    }
}

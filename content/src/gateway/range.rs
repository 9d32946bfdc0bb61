//! The `Range` header (RFC 9110, section 14).

use std::ops::Range;

/// What of a representation is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of it: there was no header, or none that has to be heeded.
    All,
    /// These bytes of it, in the order asked; none is empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that it has.
    Unsatisfiable,
}

impl Ranges {
    /// What the header says of a representation of `size` bytes.
    ///
    /// A header that is no range of bytes is ignored, and so is one of more than [`MAX_PARTS`] parts, or whose parts together are
    /// longer than the whole: both are how servers are made to work for nothing (RFC 9110, section 14.2 lets them).
    pub fn of(header: &str, size: u64) -> Ranges {
        let Some(list) = header.trim().strip_prefix("bytes=") else { return Ranges::All };
        let mut parts = vec![];
        for (index, spec) in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).enumerate() {
            if index == MAX_PARTS {
                return Ranges::All;
            }
            let Some(part) = part(spec, size) else { return Ranges::All };
            parts.extend(Some(part).filter(|part| !part.is_empty()));
        }
        let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.end - part.start));
        match parts.is_empty() {
            true if list.trim_matches([' ', ',']).is_empty() => Ranges::All,
            true => Ranges::Unsatisfiable,
            false if parts.len() > 1 && sum > size => Ranges::All,
            false => Ranges::Parts(parts),
        }
    }
}

/// Most parts of one answer.
pub const MAX_PARTS: usize = 32;

/// `None`: it is malformed. Empty: it is beyond the end.
fn part(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        return Some(size - number(last)?.min(size)..size);
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => number(last).filter(|last| *last >= first)?.saturating_add(1).min(size),
    };
    Some(first.min(end)..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(header: &str, size: u64) -> Vec<(u64, u64)> {
        match Ranges::of(header, size) {
            Ranges::Parts(parts) => parts.into_iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn ranges_are_counted_from_the_begin_and_from_the_end() {
        assert_eq!(parts("bytes=6-16", 31), [(6, 17)]);
        assert_eq!(parts("bytes=-3", 31), [(28, 31)]);
        assert_eq!(parts("bytes=-99", 31), [(0, 31)]);
        assert_eq!(parts("bytes=30-", 31), [(30, 31)]);
        assert_eq!(parts("bytes=0-99999999999999999999", 31), [(0, 31)]);
        assert_eq!(parts("bytes=6-16, 0-4,", 31), [(6, 17), (0, 5)]);
        assert_eq!(parts("bytes=40-50, 0-4", 31), [(0, 5)]);
    }

    #[test]
    fn what_lies_beyond_the_end_cannot_be_had() {
        for header in ["bytes=31-", "bytes=31-40,99-", "bytes=-0"] {
            assert_eq!(Ranges::of(header, 31), Ranges::Unsatisfiable, "{header}");
        }
        assert_eq!(Ranges::of("bytes=0-0", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_no_range_of_bytes_is_ignored() {
        for header in ["", "bytes", "bytes=", "bytes=,", "lines=1-2", "bytes=2-1", "bytes=a-b", "bytes=-", "bytes=+1-2"]
        {
            assert_eq!(Ranges::of(header, 31), Ranges::All, "{header}");
        }
    }

    #[test]
    fn takes_the_most_parts_and_ignores_one_more() {
        let header = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));

        assert_eq!(parts(&header(MAX_PARTS), 1000).len(), MAX_PARTS);
        assert_eq!(Ranges::of(&header(MAX_PARTS + 1), 1000), Ranges::All);
    }

    #[test]
    fn parts_that_are_more_than_the_whole_are_the_whole() {
        assert_eq!(Ranges::of("bytes=0-,0-", 10), Ranges::All);
    }

    proptest! {
        #[test]
        fn parts_lie_within(header: String, first: u64, last: u64, size: u64) {
            for header in [header, format!("bytes={first}-{last}"), format!("bytes=-{last}")] {
                if let Ranges::Parts(parts) = Ranges::of(&header, size) {
                    prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                }
            }
        }
    }
}

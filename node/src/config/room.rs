//! How much disk space may be taken: `10GB`, `500MiB`, a number of bytes, or `none` for as much as there is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A limit of disk space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// No limit.
    #[default]
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl Room {
    /// Bytes, where there is a limit.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl FromStr for Room {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size such as 10GB, 500MiB or none");
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let (_, size) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(*size).map(Self::Bytes).ok_or_else(wrong);
        }
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * *size as f64;
        // A limit of eight exbibytes is none.
        if bytes < i64::MAX as f64 { Ok(Self::Bytes(bytes as u64)) } else { Err(wrong()) }
    }
}

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl fmt::Display for Room {
    /// As it is read: the largest unit in which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = self else { return f.write_str("none") };
        let fits = |(_, size): &&(&str, u64)| *bytes > 0 && bytes % size == 0;
        let (unit, size) = UNITS.iter().filter(fits).max_by_key(|(_, size)| *size).unwrap_or(&UNITS[1]);
        write!(f, "{}{}", bytes / size, if unit.is_empty() { "B" } else { unit })
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("10GB", 10_000_000_000),
            ("500MiB", 500 << 20),
            ("1.5 gb", 1_500_000_000),
            ("4096", 4096),
            ("0", 0),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(Room::Bytes(bytes)), "{text}");
        }
        assert_eq!("none".parse(), Ok(Room::Unlimited));
        for text in ["", "GB", "-1GB", "10 parsecs", "1..5GB", "99999999999TB", "1e3"] {
            assert!(text.parse::<Room>().unwrap_err().contains(text), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [0, 1, 999, 1000, 1024, 10_000_000_000, 500 << 20, u64::MAX] {
            let room = Room::Bytes(bytes);
            assert_eq!(room.to_string().parse(), Ok(room));
        }
        assert_eq!(Room::Bytes(10_000_000_000).to_string(), "10GB");
        assert_eq!(Room::Unlimited.to_string(), "none");
    }
}

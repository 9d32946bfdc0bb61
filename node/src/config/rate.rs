//! How fast bytes may go: `2MB/s`, `500KiB/s`, a number of bytes a second, or `none` for as fast as they can.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Room;

/// A limit in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rate {
    /// No limit.
    #[default]
    Unlimited,
    /// So many bytes a second.
    Limited(NonZeroU64),
}

impl Rate {
    /// Bytes a second, where there is a limit.
    pub fn limit(self) -> Option<NonZeroU64> {
        match self {
            Self::Unlimited => None,
            Self::Limited(rate) => Some(rate),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no rate such as 2MB/s, 500KiB/s or none");
        match text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| wrong())? {
            Room::Unlimited => Ok(Self::Unlimited),
            Room::Bytes(bytes) => NonZeroU64::new(bytes).map(Self::Limited).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Rate {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("none"),
            Self::Limited(rate) => write!(f, "{}/s", Room::Bytes(rate.get())),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them_and_as_they_are_written() {
        for (text, bytes) in [("2MB/s", 2_000_000), ("500KiB/s", 500 << 10), ("1.5 mb/s", 1_500_000), ("4096", 4096)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.limit().map(NonZeroU64::get), Some(bytes), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        assert_eq!("none".parse(), Ok(Rate::Unlimited));
        for text in ["", "0", "0MB/s", "2MB/h", "fast", "-1MB/s"] {
            assert!(text.parse::<Rate>().unwrap_err().contains(text), "{text}");
        }
    }
}

//! The part of an address behind the question mark.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Names and values, in their order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=b&c=d` as browsers write it; what is no UTF-8 is replaced, what is past [`MAX_PAIRS`] left out.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS);
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Query { pairs: pairs.map(|(name, value)| (decode(name), decode(value))).collect() }
    }

    /// The first value of this name, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &value[..]).filter(|value| !value.is_empty())
    }

    /// Gives a name one value, whatever it had.
    pub fn set(&mut self, name: &str, value: &str) {
        self.pairs.retain(|(known, _)| known != name);
        self.pairs.push((name.to_owned(), value.to_owned()));
    }

    /// Takes the names and values of `other`, which count more than what is here.
    pub fn extend(&mut self, other: &Query) {
        self.pairs.retain(|(name, _)| !other.pairs.iter().any(|(theirs, _)| theirs == name));
        self.pairs.extend(other.pairs.iter().cloned());
    }

    /// As it stands in an address, with its question mark; nothing where there is nothing.
    pub fn to_suffix(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.pairs {
            let mark = if text.is_empty() { '?' } else { '&' };
            let (name, value) = (utf8_percent_encode(name, RESERVED), utf8_percent_encode(value, RESERVED));
            let _ = write!(text, "{mark}{name}={value}"); // writing to a string does not fail
        }
        text
    }
}

/// More of them are nobody's.
pub const MAX_PAIRS: usize = 64;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse("format=car&filename=a+b%20%C3%A9&download&empty=");

        assert_eq!(query.get("filename"), Some("a b é"));
        assert_eq!((query.get("download"), query.get("empty"), query.get("none")), (None, None, None));
        assert_eq!(query.to_suffix(), "?format=car&filename=a%20b%20%C3%A9&download=&empty=");
    }

    #[test]
    fn what_comes_later_counts_more() {
        let mut query = Query::parse("a=1&b=2");

        query.extend(&Query::parse("b=3&c=4"));
        query.set("a", "0");

        assert_eq!(query.to_suffix(), "?b=3&c=4&a=0");
    }

    #[test]
    fn takes_the_most_pairs_and_no_more() {
        let text = |count: usize| (0..count).map(|n| format!("n{n}=1")).collect::<Vec<_>>().join("&");

        assert_eq!(Query::parse(&text(MAX_PAIRS)).get(&format!("n{}", MAX_PAIRS - 1)), Some("1"));
        assert_eq!(Query::parse(&text(MAX_PAIRS + 1)).get(&format!("n{MAX_PAIRS}")), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_what_is_written_is_read_back(text: String) {
            let query = Query::parse(&text);
            let written = query.to_suffix();
            prop_assert_eq!(Query::parse(written.strip_prefix('?').unwrap_or("")), query);
        }
    }
}

//! dag-json: JSON in which `{"/": CID}` is a link and `{"/": {"bytes": BASE64}}` is bytes.
//!
//! Read as Kubo reads it: spaces and keys in any order, as people write them; but no key twice, no number that would be
//! another one, nothing behind the end. A map with `/` and anything more is a map. (The IPLD team's crate, which writes, takes
//! a key twice and drops what else stands beside `bytes`, and so is not used to read.)
//!
//! Written as Kubo writes it, so that the CIDs are the same: a float that is a whole number has no point, although the
//! specification wants one, and is read as an integer from then on.

mod form;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use cid::Cid;
use multibase::Base;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Ipld, MAX_DEPTH, NodeError};

/// The links in the order of the text. Reading takes some twenty times its length at most.
pub(super) fn links(bytes: &[u8]) -> Result<Vec<Cid>, NodeError> {
    let mut links = Vec::new();
    read(bytes, Some(&mut links))?;
    Ok(links)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Ipld, NodeError> {
    read(bytes, Some(&mut Vec::new()))
}

/// As [`decode`], where `/` means nothing.
pub(super) fn decode_plain(bytes: &[u8]) -> Result<Ipld, NodeError> {
    read(bytes, None)
}

/// Keys are sorted by their bytes; there is no space.
pub(super) fn encode(node: &Ipld) -> Result<Bytes, NodeError> {
    let unfit = |why| NodeError::Unfit { codec: "dag-json", why };
    if has_reserved(node) {
        return Err(unfit("a map with the key \"/\" alone would be read as a link or as bytes"));
    }
    form::write(node).map_err(|_| unfit(NO_NUMBER))
}

const NO_NUMBER: &str = "a number is too large, or no number";

/// JSON without the two special maps.
pub(super) fn encode_plain(node: &Ipld) -> Result<Bytes, NodeError> {
    if !is_plain(node) {
        return Err(NodeError::Unfit { codec: "json", why: "it has neither links nor bytes" });
    }
    form::write(node).map_err(|_| NodeError::Unfit { codec: "json", why: NO_NUMBER })
}

fn is_plain(node: &Ipld) -> bool {
    match node {
        Ipld::Link(_) | Ipld::Bytes(_) => false,
        Ipld::List(items) => items.iter().all(is_plain),
        Ipld::Map(entries) => entries.values().all(is_plain),
        _ => true,
    }
}

/// Whether a map in it has the form of a link or of bytes.
fn has_reserved(node: &Ipld) -> bool {
    match node {
        Ipld::List(items) => items.iter().any(has_reserved),
        Ipld::Map(entries) => {
            matches!(special(entries), Special::Bytes(_) | Special::Link(_)) || entries.values().any(has_reserved)
        }
        _ => false,
    }
}

fn read(bytes: &[u8], links: Option<&mut Vec<Cid>>) -> Result<Ipld, NodeError> {
    let bytes = &scan(bytes)?[..];
    let bad = |error: serde_json::Error| NodeError::Json { why: error.to_string() };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Seed { links }.deserialize(&mut deserializer).map_err(bad)?;
    deserializer.end().map_err(bad)?;
    if !is_within(&node, MAX_DEPTH) {
        return Err(NodeError::Json { why: TOO_DEEP.to_owned() });
    }
    Ok(node)
}

const TOO_DEEP: &str = "it is nested too deep";

fn is_within(node: &Ipld, depth: usize) -> bool {
    match node {
        Ipld::List(items) if !items.is_empty() => depth > 0 && items.iter().all(|item| is_within(item, depth - 1)),
        Ipld::Map(entries) if !entries.is_empty() => {
            depth > 0 && entries.values().all(|item| is_within(item, depth - 1))
        }
        _ => true,
    }
}

/// Looks for what the reader behind would not survive or would take for something else: depth, integers of more than 64 bits,
/// and `-0`, which it reads as floats; of the last it gets the 0. All else is left to it.
fn scan(bytes: &[u8]) -> Result<Cow<'_, [u8]>, NodeError> {
    let mut scanned = Cow::Borrowed(bytes);
    let malformed = |why, offset| Err(NodeError::Malformed { codec: "dag-json", why, offset });
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at + 1),
            b'[' | b'{' if depth == MAX_BRACKETS => return malformed(TOO_DEEP, at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let number = number_at(&bytes[at..]);
                let is_integer = !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
                let text = std::str::from_utf8(number).unwrap_or_default();
                if is_integer && text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
                    return malformed("an integer of more than 64 bits", at);
                }
                if text == "-0" {
                    scanned.to_mut()[at] = b' ';
                }
                at += number.len() - 1;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(scanned)
}

/// Bytes are two maps in one another, and an empty list is one more.
const MAX_BRACKETS: usize = MAX_DEPTH + 2;

/// Where the quote stands that ends a text which begins here.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

fn number_at(bytes: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    &bytes[..bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len())]
}

/// Reads one node. `links` takes the links; `None`: there are none in this language.
struct Seed<'a> {
    links: Option<&'a mut Vec<Cid>>,
}

impl Seed<'_> {
    fn below(&mut self) -> Seed<'_> {
        Seed { links: self.links.as_deref_mut() }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Ipld;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ipld, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Ipld;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of dag-json")
    }

    fn visit_unit<E>(self) -> Result<Ipld, E> {
        Ok(Ipld::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ipld, E> {
        Ok(Ipld::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Ipld, E> {
        Ok(Ipld::Integer(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Ipld, E> {
        Ok(Ipld::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Ipld, E> {
        Ok(Ipld::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Ipld, E> {
        Ok(Ipld::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Ipld, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.below())? {
            items.push(item);
        }
        Ok(Ipld::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Ipld, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self.below())?;
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            entries.insert(key, value);
        }
        let Some(links) = self.links else { return Ok(Ipld::Map(entries)) };
        match special(&entries) {
            Special::Bytes(Some(bytes)) => Ok(Ipld::Bytes(bytes)),
            Special::Bytes(None) => Err(A::Error::custom("what should be bytes is no base64")),
            Special::Link(Some(cid)) => {
                links.push(cid);
                Ok(Ipld::Link(cid))
            }
            Special::Link(None) => Err(A::Error::custom("what should be a link is no CID")),
            Special::None => Ok(Ipld::Map(entries)),
        }
    }
}

/// What a map stands for.
enum Special {
    /// For bytes, unless they cannot be read.
    Bytes(Option<Vec<u8>>),
    /// For a link, unless it cannot be read.
    Link(Option<Cid>),
    /// For itself.
    None,
}

fn special(entries: &BTreeMap<String, Ipld>) -> Special {
    match only(entries, "/") {
        Some(Ipld::String(cid)) => Special::Link(crate::path::parse_cid(cid).ok()),
        Some(Ipld::Map(inner)) => match only(inner, "bytes") {
            // Padding is not written, but read.
            Some(Ipld::String(text)) => Special::Bytes(Base::Base64.decode(text.trim_end_matches('=')).ok()),
            _ => Special::None,
        },
        _ => Special::None,
    }
}

fn only<'a>(entries: &'a BTreeMap<String, Ipld>, key: &str) -> Option<&'a Ipld> {
    entries.get(key).filter(|_| entries.len() == 1)
}

//! dag-cbor: a few kinds of CBOR, and links as tag 42.
//!
//! Read as Kubo reads it: keys in any order and floats of any width, which old writers made; but no key twice, no number
//! longer than it must be, nothing of indefinite length, no tag but 42, no NaN or infinity, nothing behind the end. Written in
//! the canonical form, as Kubo writes it. (The crate of the IPLD team reads that form alone, and writes another zero for -0.0.)

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::{Ipld, MAX_DEPTH, NodeError};

/// The links in their order, without building the node. Text need not be UTF-8, as in some blocks of Filecoin.
pub(super) fn links(bytes: &[u8]) -> Result<Vec<Cid>, NodeError> {
    let mut reader = Reader::new(bytes);
    let mut links = Vec::new();
    let mut open = [Open::default(); MAX_DEPTH];
    let mut depth = 0;
    loop {
        let is_key = depth > 0 && open[depth - 1].is_map && open[depth - 1].left % 2 == 0;
        match reader.token()? {
            Token::Text(_) => {}
            _ if is_key => return Err(reader.malformed("a key of a map is no text")),
            Token::Link(cid) => links.push(cid),
            Token::List(0) | Token::Map(0) => {}
            container @ (Token::List(_) | Token::Map(_)) => {
                if depth == MAX_DEPTH {
                    return Err(reader.malformed(TOO_DEEP));
                }
                open[depth] = match container {
                    Token::Map(length) => Open { left: length * 2, is_map: true },
                    Token::List(length) => Open { left: length, is_map: false },
                    _ => unreachable!("matched above"),
                };
                depth += 1;
                continue;
            }
            _ => {}
        }
        while depth > 0 {
            open[depth - 1].left -= 1;
            if open[depth - 1].left > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            reader.end()?;
            return Ok(links);
        }
    }
}

/// A list or map of which items are still to come, keys counted.
#[derive(Clone, Copy, Default)]
struct Open {
    left: u64,
    is_map: bool,
}

/// Reads a node. It takes some twenty times the length of its bytes at most.
pub(super) fn decode(bytes: &[u8]) -> Result<Ipld, NodeError> {
    let mut reader = Reader::new(bytes);
    let node = reader.node(0)?;
    reader.end()?;
    Ok(node)
}

/// As [`decode`], where tag 42 means nothing.
pub(super) fn decode_plain(bytes: &[u8]) -> Result<Ipld, NodeError> {
    let mut reader = Reader { plain: true, ..Reader::new(bytes) };
    let node = reader.node(0)?;
    reader.end()?;
    Ok(node)
}

/// Keys are sorted by their lengths, then by their bytes; floats have 64 bits.
pub(super) fn encode(node: &Ipld) -> Result<Bytes, NodeError> {
    let mut out = Vec::new();
    write(&mut out, node)?;
    Ok(out.into())
}

fn write(out: &mut Vec<u8>, node: &Ipld) -> Result<(), NodeError> {
    let unfit = || NodeError::Unfit { codec: "dag-cbor", why: "a number is too large, or no number" };
    match node {
        Ipld::Null => out.push(0xf6),
        Ipld::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Ipld::Integer(number @ 0..) => put_head(out, 0, u64::try_from(*number).map_err(|_| unfit())?),
        Ipld::Integer(number) => put_head(out, 1, u64::try_from(-1 - number).map_err(|_| unfit())?),
        Ipld::Float(number) if !number.is_finite() => return Err(unfit()),
        Ipld::Float(number) => {
            out.push(0xfb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Ipld::Bytes(bytes) => put_string(out, BYTES, bytes),
        Ipld::String(text) => put_string(out, TEXT, text.as_bytes()),
        Ipld::List(items) => {
            put_head(out, 4, items.len() as u64);
            items.iter().try_for_each(|item| write(out, item))?;
        }
        Ipld::Map(entries) => {
            put_head(out, 5, entries.len() as u64);
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            for (key, value) in entries {
                put_string(out, TEXT, key.as_bytes());
                write(out, value)?;
            }
        }
        Ipld::Link(cid) => {
            put_head(out, 6, 42);
            put_head(out, BYTES, 1 + cid.encoded_len() as u64);
            // The prefix of a CID in binary.
            out.push(0);
            out.extend_from_slice(&cid.to_bytes());
        }
    }
    Ok(())
}

fn put_string(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    put_head(out, kind, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A major type and its number, as short as it can be.
fn put_head(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let (low, length) = match number {
        0..24 => (number as u8, 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(kind << 5 | low);
    out.extend_from_slice(&bytes[bytes.len() - length..]);
}

enum Token<'a> {
    Bool(bool),
    Bytes(&'a [u8]),
    Float(f64),
    Integer(i128),
    Link(Cid),
    List(u64),
    Map(u64),
    Null,
    Text(&'a [u8]),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    plain: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, plain: false }
    }

    fn malformed(&self, why: &'static str) -> NodeError {
        NodeError::Malformed { codec: if self.plain { "cbor" } else { "dag-cbor" }, why, offset: self.at }
    }

    fn end(&self) -> Result<(), NodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("there is something behind the end")) }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], NodeError> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| self.malformed("it is cut short"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NodeError> {
        Ok(self.take(N as u64)?.try_into().expect("as many were taken"))
    }

    /// The number that a head carries.
    fn argument(&mut self, low: u8) -> Result<u64, NodeError> {
        let (number, least) = match low {
            0..=23 => return Ok(low.into()),
            24 => (u64::from(self.array::<1>()?[0]), 24),
            25 => (u16::from_be_bytes(self.array()?).into(), 1 << 8),
            26 => (u32::from_be_bytes(self.array()?).into(), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            31 => return Err(self.malformed("something of indefinite length")),
            _ => return Err(self.malformed("a head that there is not")),
        };
        if number < least { Err(self.malformed("a number is longer than it must be")) } else { Ok(number) }
    }

    fn token(&mut self) -> Result<Token<'a>, NodeError> {
        let head = self.array::<1>()?[0];
        let (kind, low) = (head >> 5, head & 31);
        if kind == 7 {
            return self.simple(low);
        }
        let argument = self.argument(low)?;
        match kind {
            0 => Ok(Token::Integer(argument.into())),
            1 => Ok(Token::Integer(-1 - i128::from(argument))),
            2 => Ok(Token::Bytes(self.take(argument)?)),
            3 => Ok(Token::Text(self.take(argument)?)),
            4 => self.fits(argument).map(Token::List),
            5 => self.fits(argument).map(Token::Map),
            _ if argument == 42 && !self.plain => self.link(),
            _ => Err(self.malformed("a tag other than that of links")),
        }
    }

    /// Each item takes a byte at least: so no length is believed that cannot be.
    fn fits(&self, length: u64) -> Result<u64, NodeError> {
        let left = (self.bytes.len() - self.at) as u64;
        if length <= left { Ok(length) } else { Err(self.malformed("it is cut short")) }
    }

    fn simple(&mut self, low: u8) -> Result<Token<'a>, NodeError> {
        let number = match low {
            20 => return Ok(Token::Bool(false)),
            21 => return Ok(Token::Bool(true)),
            // Undefined is read as null, as the field does.
            22 | 23 => return Ok(Token::Null),
            25 => half(u16::from_be_bytes(self.array()?)),
            26 => f32::from_be_bytes(self.array()?).into(),
            27 => f64::from_be_bytes(self.array()?),
            31 => return Err(self.malformed("something of indefinite length")),
            _ => return Err(self.malformed("a simple value that dag-cbor does not have")),
        };
        if number.is_finite() {
            Ok(Token::Float(number))
        } else {
            Err(self.malformed("a number that is infinite or none"))
        }
    }

    fn link(&mut self) -> Result<Token<'a>, NodeError> {
        let bad = "what is tagged as a link is no CID";
        // The head is looked at first: tags may stand one behind the other to the end of a block, and reading calls itself.
        if self.bytes.get(self.at).is_some_and(|head| head >> 5 != BYTES) {
            return Err(self.malformed(bad));
        }
        let Token::Bytes(bytes) = self.token()? else { return Err(self.malformed(bad)) };
        // The first byte says that the CID is in binary.
        let Some((0, mut bytes)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(self.malformed(bad));
        };
        let cid = Cid::read_bytes(&mut bytes).map_err(|_| self.malformed(bad))?;
        if bytes.is_empty() { Ok(Token::Link(cid)) } else { Err(self.malformed(bad)) }
    }

    fn node(&mut self, depth: usize) -> Result<Ipld, NodeError> {
        let token = self.token()?;
        if depth == MAX_DEPTH && matches!(token, Token::List(1..) | Token::Map(1..)) {
            return Err(self.malformed(TOO_DEEP));
        }
        Ok(match token {
            Token::Bool(value) => Ipld::Bool(value),
            Token::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
            Token::Float(number) => Ipld::Float(number),
            Token::Integer(number) => Ipld::Integer(number),
            Token::Link(cid) => Ipld::Link(cid),
            Token::Null => Ipld::Null,
            Token::Text(text) => Ipld::String(self.text(text)?),
            Token::List(length) => {
                let mut items = Vec::new();
                for _ in 0..length {
                    items.push(self.node(depth + 1)?);
                }
                Ipld::List(items)
            }
            Token::Map(length) => {
                let mut entries = BTreeMap::new();
                for _ in 0..length {
                    let Token::Text(key) = self.token()? else {
                        return Err(self.malformed("a key of a map is no text"));
                    };
                    let key = self.text(key)?;
                    let value = self.node(depth + 1)?;
                    if entries.insert(key, value).is_some() {
                        return Err(self.malformed("a key is there twice"));
                    }
                }
                Ipld::Map(entries)
            }
        })
    }

    fn text(&self, text: &[u8]) -> Result<String, NodeError> {
        let text = std::str::from_utf8(text).map_err(|_| self.malformed("text that is no UTF-8"))?;
        Ok(text.to_owned())
    }
}

/// The major types of a string of bytes and of a text (RFC 8949, section 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;

const TOO_DEEP: &str = "it is nested too deep";

/// A float of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

//! Paths of content as people write them: a CID, `/ipfs/CID/path`, `ipfs://CID/path`, or the address of a gateway page.

mod name;

use std::fmt;

use cid::{Cid, CidGeneric, Version};
use multibase::Base;
use percent_encoding::percent_decode_str;

pub use self::name::NamePath;

/// A CID and the names to follow from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentPath {
    /// How the names are read.
    pub namespace: Namespace,
    /// Where the path begins.
    pub cid: Cid,
    /// Names in folders and keys of nodes, none of them empty, `.` or `..`.
    pub segments: Vec<String>,
    /// The name that a URI proposes (`?filename=`), whatever it is: names of files need not be text.
    pub filename: Option<Vec<u8>>,
}

/// What names mean in a dag-pb node. In nodes of other codecs they are keys, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    /// Names of a folder's entries.
    #[default]
    Ipfs,
    /// Keys of the node: `Data`, `Links/0/Hash`.
    Ipld,
}

impl ContentPath {
    /// Read any of the forms. Only in URIs are percent signs, `?` and `#` more than characters of a name.
    pub fn parse(text: &str) -> Result<ContentPath, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong { length: text.len() });
        }
        let text = text.trim_start().trim_end_matches(['\r', '\n']);
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return parse_plain(text);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "ipfs" => {
                let uri = Uri::split(rest.trim_start_matches('/'));
                let (cid, path) = split_first(uri.path);
                uri.content(cid, path)
            }
            "http" | "https" => parse_gateway(rest.trim_start_matches('/')),
            "ipns" => Err(PathError::Name { text: text.into() }),
            _ => Err(PathError::Scheme { scheme: scheme.into() }),
        }
    }

    /// A path of names in folders as it stands: nothing of it is trimmed or decoded.
    pub fn below(cid: Cid, path: &str) -> Result<ContentPath, PathError> {
        if path.len() > MAX_PATH {
            return Err(PathError::TooLong { length: path.len() });
        }
        let segments = follow(path.split('/').map(|segment| Ok(segment.to_owned())))?;
        Ok(ContentPath { namespace: Namespace::Ipfs, cid, segments, filename: None })
    }
}

/// As `/ipfs/CID/path` or `/ipld/CID/path`.
impl fmt::Display for ContentPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = match self.namespace {
            Namespace::Ipfs => "ipfs",
            Namespace::Ipld => "ipld",
        };
        write!(formatter, "/{namespace}/{}", self.cid)?;
        self.segments.iter().try_for_each(|segment| write!(formatter, "/{segment}"))
    }
}

/// Longest text of a path in bytes; the command lines and request lines of others end earlier.
pub const MAX_PATH: usize = 64 * 1024;

/// Read a CID of version 0 or 1 in any multibase.
pub fn parse_cid(text: &str) -> Result<Cid, PathError> {
    let bad = |why| PathError::BadCid { text: shorten(text), why };
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.len() > MAX_CID_TEXT {
        return Err(bad("it is too long"));
    }
    if text.starts_with("Qm") {
        let bytes = Base::Base58Btc.decode(text).map_err(|_| bad("a character of it is not base58"))?;
        let cid = Cid::try_from(&bytes[..]).ok().filter(|cid| cid.version() == Version::V0 && bytes.len() == 34);
        return cid.ok_or_else(|| bad("a CID that begins with Qm has 46 characters"));
    }
    let bytes = multibase::decode(text).map(|(_, bytes)| bytes).map_err(|error| match error {
        multibase::Error::UnknownBase(_) => bad("it begins as no CID does"),
        _ => bad("a character of it is wrong, or some are missing"),
    })?;
    if bytes.first() == Some(&0x12) {
        return Err(bad("a CID of version 0 is written in base58, without a prefix"));
    }
    let mut rest = &bytes[..];
    let Ok(cid) = Cid::read_bytes(&mut rest) else {
        let longer = CidGeneric::<255>::read_bytes(&bytes[..]).is_ok();
        let why = if longer {
            "more than 64 bytes of hash are not supported"
        } else {
            "its bytes are no CID, or some are missing"
        };
        return Err(bad(why));
    };
    if rest.is_empty() { Ok(cid) } else { Err(bad("there is something after its end")) }
}

/// Longest text of a CID: one of 64 bytes of digest, written in ones and zeros, has some 600 characters.
const MAX_CID_TEXT: usize = 1024;

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
}

fn parse_plain(text: &str) -> Result<ContentPath, PathError> {
    let (namespace, text) = match text.strip_prefix("/ipfs/") {
        Some(rest) => (Namespace::Ipfs, rest),
        None if text.starts_with("/ipld/") => (Namespace::Ipld, &text["/ipld/".len()..]),
        None if text.starts_with("/ipns/") => return Err(PathError::Name { text: text.into() }),
        None if text.starts_with('/') => return Err(PathError::NotContent { text: shorten(text) }),
        None => (Namespace::Ipfs, text),
    };
    let (cid, path) = split_first(text);
    let segments = follow(path.split('/').map(|segment| Ok(segment.to_owned())))?;
    Ok(ContentPath { namespace, cid: parse_cid(cid)?, segments, filename: None })
}

/// `host/ipfs/CID/path` or `CID.ipfs.host/path`.
fn parse_gateway(text: &str) -> Result<ContentPath, PathError> {
    let uri = Uri::split(text);
    let (host, path) = split_first(uri.path);
    let mut labels = host.split('.');
    let (first, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    if second.eq_ignore_ascii_case("ipfs") {
        return uri.content(first, path);
    }
    let (kind, path) = split_first(path);
    match kind {
        "ipfs" => {
            let (cid, path) = split_first(path);
            uri.content(cid, path)
        }
        "ipns" => Err(PathError::Name { text: text.into() }),
        _ if second.eq_ignore_ascii_case("ipns") => Err(PathError::Name { text: text.into() }),
        _ => Err(PathError::NotContent { text: shorten(text) }),
    }
}

struct Uri<'a> {
    path: &'a str,
    query: &'a str,
}

impl<'a> Uri<'a> {
    fn split(text: &'a str) -> Uri<'a> {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Uri { path, query }
    }

    fn content(&self, cid: &str, path: &str) -> Result<ContentPath, PathError> {
        let cid = parse_cid(&decode(cid)?)?;
        let segments = follow(path.split('/').map(decode))?;
        Ok(ContentPath { namespace: Namespace::Ipfs, cid, segments, filename: self.filename() })
    }

    fn filename(&self) -> Option<Vec<u8>> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(key, _)| *key == "filename").map(|(_, value)| value.replace('+', " "));
        value.filter(|value| !value.is_empty()).map(|value| percent_decode_str(&value).collect())
    }
}

fn decode(text: &str) -> Result<String, PathError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| PathError::NotUtf8 { text: shorten(text) })
}

fn split_first(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}

/// Leave out what says nothing, and go up where `..` says so, though never above the CID.
fn follow(parts: impl Iterator<Item = Result<String, PathError>>) -> Result<Vec<String>, PathError> {
    let mut segments = Vec::new();
    for part in parts {
        match part?.as_str() {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or(PathError::AboveRoot)?;
            }
            name => segments.push(name.to_owned()),
        }
    }
    Ok(segments)
}

/// Enough of a text to know it by.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Most characters of a wrong input in a message: a CID in base32 and some of its path.
const SHOWN: usize = 100;

/// Why a text is no path of content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More `..` than names before them.
    #[error("the path leads above its CID (`..`)")]
    AboveRoot,
    /// Where the CID should be is something else.
    #[error("{text:?} is not a CID: {why}")]
    BadCid {
        /// The beginning of it.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Where the CID should be is nothing.
    #[error("there is no CID")]
    Empty,
    /// A name that can change what it stands for.
    #[error("{text:?} is a name (IPNS), and names are not resolved here: give a CID")]
    Name {
        /// As given.
        text: String,
    },
    /// Where a name should be is nothing.
    #[error("there is no name after /ipns/")]
    NoName,
    /// An address that does not lead to content.
    #[error("{text:?} has no CID in it: write CID, /ipfs/CID/path, ipfs://CID/path or the address of a gateway page")]
    NotContent {
        /// The beginning of it.
        text: String,
    },
    /// Percent signs that stand for bytes which are no text.
    #[error("{text:?} does not stand for UTF-8 text")]
    NotUtf8 {
        /// The beginning of it.
        text: String,
    },
    /// Another kind of URI.
    #[error("addresses that begin with {scheme}: are not known here, only ipfs:, http: and https:")]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// More than [`MAX_PATH`].
    #[error("a path of {length} bytes: the limit is {MAX_PATH}")]
    TooLong {
        /// In bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests;

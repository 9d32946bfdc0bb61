//! Paths of content as people write them: a CID, `/ipfs/CID/path`, `ipfs://CID/path`, or the address of a gateway page.

use std::fmt;

use cid::{Cid, CidGeneric, Version};
use multibase::Base;
use percent_encoding::percent_decode_str;

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
    /// A name that can change what it stands for; they come with IPNS.
    #[error("{text:?} is a name (IPNS), and names are not resolved here: give a CID")]
    Name {
        /// As given.
        text: String,
    },
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

    proptest! {
        #[test]
        fn any_text_is_a_path_or_an_error(text: String, path: String, query: String) {
            let _ = ContentPath::parse(&text);
            for prefix in ["", "/ipfs/", "ipfs://", "http://h/ipfs/"] {
                let _ = ContentPath::parse(&format!("{prefix}{text}"));
                let _ = ContentPath::parse(&format!("{prefix}{V1}/{path}?filename={query}"));
            }
            let _ = ContentPath::parse(&format!("https://{V1}.ipfs.{text}/{path}?{query}"));
        }

        #[test]
        fn what_is_shown_is_read_back(names in prop::collection::vec("[^/\\s]{1,9}", 0..5), plain: bool) {
            let namespace = if plain { Namespace::Ipld } else { Namespace::Ipfs };
            let segments = names.into_iter().filter(|name| name != "." && name != "..").collect();
            let path = ContentPath { namespace, cid: parse_cid(V1).expect("sound"), segments, filename: None };

            prop_assert_eq!(ContentPath::parse(&path.to_string()), Ok(path));
        }
    }

    #[test]
    fn reads_every_form_of_one_path() {
        for text in [
            format!("{V1}/a b/c"),
            format!("/ipfs/{V1}/a b/c"),
            format!("/ipfs/{V1}//a b/./x/../c/"),
            format!("ipfs://{V1}/a%20b/c"),
            format!("ipfs:{V1}/a%20b/c"),
            format!("IPFS://{V1}/a%20b/c#part"),
            format!("https://gateway.example/ipfs/{V1}/a%20b/c?download=true"),
            format!("http://127.0.0.1:8080/ipfs/{V1}/a%20b/c"),
            format!("http://{V1}.ipfs.localhost:8080/a%20b/c"),
            format!("  {V1}/a b/c\n"),
        ] {
            let path = ContentPath::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((path.cid, path.filename), (parse_cid(V1).expect("sound"), None), "{text}");
            assert_eq!(path.segments, ["a b", "c"], "{text}");
        }
    }

    #[test]
    fn a_path_that_stands_below_a_cid_is_taken_as_it_is() {
        let cid = parse_cid(V1).expect("sound");

        let segments = |path| ContentPath::below(cid, path).map(|path| path.segments);

        assert_eq!(segments("/ a%20//b\n"), Ok(vec![" a%20".to_owned(), "b\n".to_owned()]));
        assert_eq!(segments("/a/../.."), Err(PathError::AboveRoot));
        assert_eq!(segments(&"n".repeat(MAX_PATH + 1)), Err(PathError::TooLong { length: MAX_PATH + 1 }));
    }

    #[test]
    fn percent_signs_and_question_marks_are_names_outside_of_uris() {
        let path = ContentPath::parse(&format!("{V0}/100%25?filename=x")).expect("a plain path");

        assert_eq!(path.segments, ["100%25?filename=x"]);
        assert_eq!((path.cid.version(), path.filename), (Version::V0, None));
    }

    #[test]
    fn a_uri_may_propose_a_file_name() {
        let filename = |query| ContentPath::parse(&format!("ipfs://{V1}?{query}")).expect("sound").filename;

        assert_eq!(filename("filename=my%20caf%C3%A9.txt"), Some("my café.txt".into()));
        assert_eq!(filename("a=b&filename=x+y"), Some("x y".into()));
        assert_eq!(filename("filename="), None);
    }

    #[test]
    fn reads_a_cid_in_any_base_and_only_whole() {
        let cid = parse_cid(V1).expect("sound");
        for base in
            [Base::Base58Btc, Base::Base36Lower, Base::Base16Lower, Base::Base64Url, Base::Base2, Base::Base32Upper]
        {
            assert_eq!(parse_cid(&multibase::encode(base, cid.to_bytes())), Ok(cid));
        }
        let why = |text: &str| match parse_cid(text) {
            Err(PathError::BadCid { why, .. }) => why,
            other => panic!("{text}: {other:?}"),
        };
        assert!(why(&V0[..45]).contains("46 characters"));
        assert!(why(&V0.replace('N', "0")).contains("base58"));
        assert!(why(&V1[..50]).contains("missing"));
        assert!(
            why(&multibase::encode(Base::Base16Lower, [&cid.to_bytes()[..], &[0]].concat())).contains("after its end")
        );
        assert!(why(&multibase::encode(Base::Base16Lower, cid.hash().to_bytes())).contains("version 0"));
        assert!(why("!hello").contains("begins as no CID"));
        assert!(why(&format!("b{}", "a".repeat(MAX_CID_TEXT))).contains("too long"));
        let inline = |length: usize| {
            let hash = multihash::Multihash::<255>::wrap(0, &vec![7; length]).expect("it fits");
            multibase::encode(Base::Base32Lower, CidGeneric::new_v1(0x55, hash).to_bytes())
        };
        assert!(parse_cid(&inline(64)).is_ok());
        assert!(why(&inline(65)).contains("more than 64 bytes"));
        assert_eq!(parse_cid(""), Err(PathError::Empty));
    }

    #[test]
    fn says_what_is_wrong_with_a_path() {
        let error = |text: &str| ContentPath::parse(text).expect_err("wrong").to_string();

        assert!(error("").contains("no CID"));
        assert!(error("/ipfs/").contains("no CID"));
        assert!(error("/etc/passwd").contains("no CID in it"));
        assert!(error("https://example.com/index.html").contains("no CID in it"));
        assert!(error("/ipns/example.com").contains("IPNS"));
        assert!(error("http://example-com.ipns.localhost/").contains("IPNS"));
        assert!(error("ftp://x").contains("ftp:"));
        assert!(error(&format!("{V1}/..")).contains("above"));
        assert!(error(&format!("ipfs://{V1}/%2e%2E/x")).contains("above"));
        assert!(error(&format!("ipfs://{V1}/%ff")).contains("UTF-8"));
    }

    #[test]
    fn takes_the_longest_path_and_refuses_one_byte_more() {
        let longest = format!("{V1}/{}", "n".repeat(MAX_PATH - V1.len() - 1));

        assert!(ContentPath::parse(&longest).is_ok());
        assert_eq!(ContentPath::parse(&format!("{longest}n")), Err(PathError::TooLong { length: MAX_PATH + 1 }));
    }
}

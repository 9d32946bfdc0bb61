//! Paths that begin with a name: `/ipns/NAME/path`, `ipns://NAME/path`, or the address of a gateway page of one.

use std::fmt;

use super::{MAX_PATH, PathError, Uri, decode, follow, is_scheme, split_first};
use crate::gateway::host::{is_domain, outline};

/// A name, and the names to follow from where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePath {
    /// Of a key or of a website, as it was given.
    pub name: String,
    /// Names in folders, none of them empty, `.` or `..`.
    pub segments: Vec<String>,
    /// The name that a URI proposes (`?filename=`), whatever it is.
    pub filename: Option<Vec<u8>>,
}

impl NamePath {
    /// Reads any of the forms; `None` for what is another kind of path, or none at all.
    pub fn parse(text: &str) -> Result<Option<Self>, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong { length: text.len() });
        }
        let text = text.trim_start().trim_end_matches(['\r', '\n']);
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            let Some(rest) = text.strip_prefix("/ipns/") else { return Ok(None) };
            let (name, path) = split_first(rest);
            return Self::of(name.to_owned(), path.split('/').map(|segment| Ok(segment.to_owned())), None);
        };
        let uri = Uri::split(rest.trim_start_matches('/'));
        let (first, path) = split_first(uri.path);
        let (name, path) = match scheme.to_ascii_lowercase().as_str() {
            "ipns" => (decode(first)?, path),
            "http" | "https" => match (split_first(path), first.split_once(".ipns.")) {
                (_, Some((label, _))) => (of_label(label), path),
                (("ipns", path), None) => {
                    let (name, path) = split_first(path);
                    (decode(name)?, path)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Self::of(name, path.split('/').map(decode), uri.filename())
    }

    fn of(
        name: String,
        parts: impl Iterator<Item = Result<String, PathError>>,
        filename: Option<Vec<u8>>,
    ) -> Result<Option<Self>, PathError> {
        if name.is_empty() {
            return Err(PathError::NoName);
        }
        Ok(Some(Self { name, segments: follow(parts)?, filename }))
    }
}

/// As `/ipns/NAME/path`.
impl fmt::Display for NamePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/ipns/{}", self.name)?;
        self.segments.iter().try_for_each(|segment| write!(formatter, "/{segment}"))
    }
}

/// A website's name may be one label, so that one certificate holds for all of them.
fn of_label(label: &str) -> String {
    let outlined = outline(label);
    if !label.contains('.') && is_domain(&outlined) { outlined } else { label.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::path::ContentPath;

    const KEY: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

    #[test]
    fn reads_every_form_of_one_path() {
        for (text, name) in [
            (format!("/ipns/{KEY}/a b/c"), KEY),
            (format!("  /ipns/{KEY}//a b/./x/../c/\n"), KEY),
            (format!("ipns://{KEY}/a%20b/c"), KEY),
            (format!("IPNS:{KEY}/a%20b/c?x#part"), KEY),
            (format!("https://gateway.example/ipns/{KEY}/a%20b/c"), KEY),
            (format!("http://{KEY}.ipns.localhost:8080/a%20b/c"), KEY),
            ("ipns://en.wiki-x.org/a%20b/c".to_owned(), "en.wiki-x.org"),
            ("https://en-wiki--x-org.ipns.dweb.link/a%20b/c".to_owned(), "en.wiki-x.org"),
            ("http://en.wiki-x.org.ipns.localhost/a%20b/c".to_owned(), "en.wiki-x.org"),
        ] {
            let path = NamePath::parse(&text).expect("sound").unwrap_or_else(|| panic!("{text}"));
            assert_eq!((path.name.as_str(), &path.filename), (name, &None), "{text}");
            assert_eq!(path.segments, ["a b", "c"], "{text}");
            assert_eq!(path.to_string(), format!("/ipns/{name}/a b/c"));
        }
        let proposed = NamePath::parse(&format!("ipns://{KEY}?filename=x+y")).expect("sound").expect("a name");
        assert_eq!(proposed.filename, Some("x y".into()));
    }

    #[test]
    fn what_is_no_name_is_left_to_others() {
        let cid = "bafkqaaa";
        for text in
            [cid, "", "/ipfs/x", &format!("/ipfs/{cid}"), &format!("ipfs://{cid}"), "https://example.com/ipfs/x"]
        {
            assert_eq!(NamePath::parse(text), Ok(None), "{text}");
        }
        assert_eq!(NamePath::parse("/ipns/"), Err(PathError::NoName));
        assert_eq!(NamePath::parse("ipns://"), Err(PathError::NoName));
        assert_eq!(NamePath::parse(&format!("/ipns/{KEY}/..")), Err(PathError::AboveRoot));
        assert!(matches!(NamePath::parse("ipns://x/%ff"), Err(PathError::NotUtf8 { .. })));
        assert!(matches!(NamePath::parse(&"n".repeat(MAX_PATH + 1)), Err(PathError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn a_text_is_a_path_of_one_kind_at_most(text: String, path: String) {
            for text in [text.clone(), format!("/ipns/{text}/{path}"), format!("http://{text}/ipns/{path}")] {
                let is_name = NamePath::parse(&text).is_ok_and(|path| path.is_some());
                prop_assert!(!is_name || ContentPath::parse(&text).is_err());
            }
        }
    }
}

//! DNSLink: where the TXT records of a website's name say that its content is: <https://dnslink.dev/>.

use crate::path::{ContentPath, NamePath};

/// Whose TXT records are asked: first these, then those of the name itself, as websites had them once.
pub fn host(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.starts_with(PREFIX) {
        true => format!("{name}."),
        false => format!("{PREFIX}{name}."),
    }
}

const PREFIX: &str = "_dnslink.";

/// The path in the texts of a name. Of several that are sound the first in the order of their bytes counts, so that all who ask
/// go to the same place, whatever the order in which the records come.
pub fn path_in<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let paths = texts.into_iter().take(MAX_TEXTS).filter_map(|text| {
        let path = std::str::from_utf8(text).ok()?.trim().strip_prefix("dnslink=")?.trim();
        let is_sound = match path.starts_with('/') && path.len() <= MAX_PATH {
            true => matches!(NamePath::parse(path), Ok(Some(_))) || ContentPath::parse(path).is_ok(),
            false => false,
        };
        is_sound.then(|| path.to_owned())
    });
    paths.min()
}

/// Texts of one name that are looked at; DNS may send many.
const MAX_TEXTS: usize = 64;
/// Longest path in bytes.
const MAX_PATH: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(texts: &[&str]) -> Option<String> {
        path_in(texts.iter().map(|text| text.as_bytes()))
    }

    #[test]
    fn the_name_that_is_asked_has_a_label_of_its_own() {
        assert_eq!(host("example.org"), "_dnslink.example.org.");
        assert_eq!(host("_dnslink.example.org."), "_dnslink.example.org.");
    }

    #[test]
    fn a_path_is_found_among_other_texts() {
        assert_eq!(of(&["v=spf1 -all", "dnslink=/ipfs/bafkqaaa/docs", "x"]).as_deref(), Some("/ipfs/bafkqaaa/docs"));
        assert_eq!(of(&["dnslink=/ipns/example.org"]).as_deref(), Some("/ipns/example.org"));
        assert_eq!(
            of(&["dnslink=/ipns/b.org", "dnslink=/ipfs/bafkqaaa"]),
            of(&["dnslink=/ipfs/bafkqaaa", "dnslink=/ipns/b.org"])
        );
    }

    #[test]
    fn what_is_no_path_leads_nowhere() {
        let long = format!("dnslink=/ipfs/bafkqaaa/{}", "n".repeat(MAX_PATH));
        for text in
            ["", "dnslink=", "dnslink=bafkqaaa", "dnslink=/ipfs/nonsense", "dnslink=/ipns/", "dnslink=/swarm/x", &long]
        {
            assert_eq!(of(&[text]), None, "{text}");
        }
        let late: Vec<&str> = std::iter::repeat_n("x", MAX_TEXTS).chain(["dnslink=/ipfs/bafkqaaa"]).collect();
        assert_eq!(of(&late), None);
        assert!(of(&late[1..]).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_path_or_none(texts: Vec<Vec<u8>>, path: String) {
            let _ = path_in(texts.iter().map(Vec::as_slice));
            let _ = of(&[&format!("dnslink={path}"), &format!("dnslink=/ipfs/{path}")]);
        }
    }
}

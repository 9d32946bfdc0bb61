//! Under which name, in which folder, content is saved.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use cidra_content::path::ContentPath;

use crate::cli::failure::{Failure, Outcome};

/// A place that people named, or that follows from what they asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The folder; it is followed through symlinks, as its owner made them.
    pub(super) folder: PathBuf,
    /// One name in it.
    pub(super) name: OsString,
}

impl Target {
    /// The place for `content`, given what was said with `-o`.
    pub(super) fn choose(content: &ContentPath, output: Option<&Path>) -> Outcome<Self> {
        let Some(output) = output else {
            return Ok(Self { folder: PathBuf::from("."), name: own_name(content)? });
        };
        if output.as_os_str() == "-" || STREAMS.iter().any(|stream| output.starts_with(stream)) {
            return Err(Failure::usage("get writes files: `cidra cat` writes to standard output"));
        }
        if output.as_os_str().is_empty() {
            return Err(Failure::usage("-o: the name is empty"));
        }
        if output.as_os_str().as_bytes().ends_with(b"/") || output.is_dir() {
            return Ok(Self { folder: output.to_owned(), name: own_name(content)? });
        }
        let name = output.file_name().ok_or_else(|| Failure::usage(format!("{} names no file", output.display())))?;
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// The whole path, for people.
    pub(super) fn path(&self) -> PathBuf {
        if self.folder == Path::new(".") { PathBuf::from(&self.name) } else { self.folder.join(&self.name) }
    }

    /// The name under which it stands until it is complete. Of a name that leaves no room for the suffix, the end is left out.
    pub(super) fn part_name(&self) -> OsString {
        let name = self.name.as_bytes();
        let kept = name.len().min(MAX_NAME - PART_SUFFIX.len());
        OsString::from_vec([&name[..kept], PART_SUFFIX].concat())
    }

    /// That name with its folder.
    pub(super) fn part_path(&self) -> PathBuf {
        self.path().with_file_name(self.part_name())
    }
}

/// Names that the system has for what a process has open: `-o /dev/stdout` and `-o >(command)` of a shell.
const STREAMS: [&str; 5] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];

/// What is not complete ends in this.
const PART_SUFFIX: &[u8] = b".cidra-part";
/// Bytes of a name, on Linux and elsewhere.
const MAX_NAME: usize = 255;

fn own_name(content: &ContentPath) -> Outcome<OsString> {
    let name = match (&content.filename, content.segments.last()) {
        (Some(name), _) => OsString::from_vec(name.clone()),
        (None, Some(name)) => name.into(),
        (None, None) => content.cid.to_string().into(),
    };
    match is_plain(name.as_bytes()) {
        true => Ok(name),
        false => Err(Failure::usage(format!("{name:?} cannot be the name of a file: say where to save it with -o"))),
    }
}

/// Whether this is the name of one entry of a folder, and leads nowhere else.
pub(super) fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

/// A name that came from elsewhere, as a name of the system.
pub(super) fn os_name(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

    fn choose(content: &str, output: Option<&str>) -> Outcome<Target> {
        Target::choose(&ContentPath::parse(content).unwrap(), output.map(Path::new))
    }

    fn path(content: &str, output: Option<&str>) -> PathBuf {
        choose(content, output).unwrap().path()
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path_or_the_filename_or_the_cid() {
        assert_eq!(path(CID, None), Path::new(CID));
        assert_eq!(path(&format!("{CID}/a/b.txt"), None), Path::new("b.txt"));
        assert_eq!(path(&format!("ipfs://{CID}?filename=a%20b.txt"), None), Path::new("a b.txt"));
        assert_eq!(path(&format!("ipfs://{CID}?filename=caf%e9"), None), Path::new(OsStr::from_bytes(b"caf\xe9")));
    }

    #[test]
    fn only_an_existing_folder_or_a_slash_at_the_end_puts_it_inside() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().to_str().unwrap();

        assert_eq!(path(&format!("{CID}/x"), Some(existing)), folder.path().join("x"));
        assert_eq!(path(&format!("{CID}/x"), Some("no/such/")), Path::new("no/such/x"));
        assert_eq!(path(&format!("{CID}/x"), Some("no/such")), Path::new("no/such"));
        assert_eq!(path(&format!("{CID}/x"), Some("y")), Path::new("y"));
    }

    #[test]
    fn the_longest_name_has_a_part_that_is_not_longer() {
        let part = |length: usize| Target { folder: ".".into(), name: "x".repeat(length).into() }.part_name();
        assert_eq!(part(3), "xxx.cidra-part");
        assert_eq!((part(244).len(), part(245).len(), part(255).len()), (255, 255, 255));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["..%2F..%2Fetc%2Fpasswd", "..", "%2Fetc%2Fx", "."] {
            let failure = choose(&format!("ipfs://{CID}?filename={name}"), None).unwrap_err();
            assert!(failure.message().contains("-o"), "{name}: {}", failure.message());
        }
    }

    #[test]
    fn standard_output_is_for_cat() {
        for output in ["-", "/dev/stdout", "/dev/fd/63", "/proc/self/fd/1"] {
            let failure = choose(CID, Some(output)).unwrap_err();
            assert!(failure.message().contains("cidra cat"), "{output}: {}", failure.message());
        }
    }

    #[test]
    fn names_are_plain_or_not() {
        for name in [&b"a"[..], b"...", b"..a", b".a", b" ", b"caf\xe9", b"a\nb"] {
            assert!(is_plain(name), "{name:?}");
        }
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}

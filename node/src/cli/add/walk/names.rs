//! The names in a folder, sorted, in little memory: there may be millions.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Names that are handed out in the order of their bytes.
#[derive(Debug)]
pub(super) struct Names {
    /// Each ends with a zero, which no name contains.
    bytes: Vec<u8>,
    /// Where each begins, the last one first.
    places: Vec<usize>,
}

impl Names {
    /// Those of all entries of the folder at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (mut bytes, mut places) = (vec![], vec![]);
        for entry in path.read_dir()? {
            places.push(bytes.len());
            bytes.extend_from_slice(entry?.file_name().as_bytes());
            bytes.push(0);
        }
        places.sort_unstable_by(|one, other| name(&bytes, *other).cmp(name(&bytes, *one)));
        Ok(Self { bytes, places })
    }
}

impl Iterator for Names {
    type Item = OsString;

    fn next(&mut self) -> Option<OsString> {
        let place = self.places.pop()?;
        Some(OsStr::from_bytes(name(&self.bytes, place)).to_owned())
    }
}

fn name(bytes: &[u8], place: usize) -> &[u8] {
    let rest = &bytes[place..];
    &rest[..rest.iter().position(|byte| *byte == 0).expect("each ends with a zero")]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn names_come_in_the_order_of_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for name in [&b"b"[..], b"a", b"a.b", b"B", b"\xff", b"ab"] {
            fs::write(folder.path().join(OsStr::from_bytes(name)), "").unwrap();
        }

        let names: Vec<Vec<u8>> = Names::of(folder.path()).unwrap().map(OsStringExt::into_vec).collect();

        assert_eq!(names, [&b"B"[..], b"a", b"a.b", b"ab", b"b", b"\xff"]);
    }
}

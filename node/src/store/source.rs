//! Files that belong to somebody else and that blocks are read from where they stand: what is kept about each, a row beside
//! the roots. Nothing here makes a file again; whoever edits, moves or deletes one takes the blocks in it away.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use cid::Cid;
use cidra_content::unixfs::Wrapping;
use serde::{Deserialize, Serialize};

/// A file that blocks are read from where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute.
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    /// What its references are good for.
    pub claim: Claim,
    /// In which state it was seen last.
    pub state: State,
}

/// What a reference is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// Somebody asked for it in place of a copy (`--nocopy`): it may be pinned.
    Kept,
    /// It is what was left of a fetch. Whoever wants to keep its blocks copies them.
    Borrowed,
}

/// The state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is being written: every block is hashed whenever it is read.
    Growing {
        /// The number of its file system.
        device: u64,
        /// Its number there.
        inode: u64,
    },
    /// It should be as it was.
    Whole {
        /// How it was.
        identity: Identity,
        /// Whether every block of it was hashed from bytes read while it was exactly this, and an edit after that must have
        /// changed what the system says of it. Else every block is hashed whenever it is read.
        hashed: bool,
    },
}

/// What the system says of a file and changes with every edit, where its clock is finer than the time between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number of its file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its bytes were changed, in seconds and nanoseconds of Unix time: what programs may set as they like.
    pub mtime: (i64, u32),
    /// When anything about it was changed: what no program sets.
    pub ctime: (i64, u32),
}

/// A leaf, and where its bytes are in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The leaf.
    #[serde(with = "super::wire::cid_text")]
    pub cid: Cid,
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub length: u32,
    /// Whether something stands around them in the leaf.
    #[serde(with = "wrapping_flag")]
    pub wrapping: Wrapping,
}

impl Identity {
    /// Of a regular file; of nothing else.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Option<Identity> {
        use std::os::unix::fs::MetadataExt as _;
        // The system's nanoseconds are below a thousand million.
        let identity = Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
            ctime: (metadata.ctime(), metadata.ctime_nsec() as u32),
        };
        metadata.is_file().then_some(identity)
    }

    /// What tells an edit from none is not the same everywhere: here there are no references.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Option<Identity> {
        None
    }

    /// The same but for the time that renaming it or changing its permissions changes, too.
    pub(super) fn is_like(&self, other: &Identity) -> bool {
        *self == Identity { ctime: self.ctime, ..*other }
    }
}

impl Source {
    /// Whether the references of one are as good as those of the other.
    pub(super) fn is_same(&self, other: &Source) -> bool {
        let same = match (self.state, other.state) {
            (State::Whole { identity, .. }, State::Whole { identity: other, .. }) => identity == other,
            (one, other) => one == other,
        };
        same && self.claim == other.claim && self.path == other.path
    }

    /// Where it may stand: a fetch writes it under another name until it is whole.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.path.clone()];
        if self.claim == Claim::Borrowed {
            places.extend(other_name(&self.path));
        }
        places
    }

    #[cfg(unix)]
    pub(super) fn encode(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let (state, identity) = match self.state {
            State::Growing { device, inode } => {
                (GROWING, Identity { device, inode, size: 0, mtime: (0, 0), ctime: (0, 0) })
            }
            State::Whole { identity, hashed: false } => (WHOLE, identity),
            State::Whole { identity, hashed: true } => (HASHED, identity),
        };
        let mut bytes = vec![LAYOUT, if self.claim == Claim::Kept { KEPT } else { BORROWED }, state];
        for number in [identity.device, identity.inode, identity.size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (seconds, nanoseconds) in [identity.mtime, identity.ctime] {
            bytes.extend_from_slice(&seconds.to_le_bytes());
            bytes.extend_from_slice(&nanoseconds.to_le_bytes());
        }
        bytes.extend_from_slice(self.path.as_os_str().as_bytes());
        bytes
    }

    #[cfg(unix)]
    pub(super) fn decode(bytes: &[u8]) -> Option<Source> {
        use std::os::unix::ffi::OsStrExt as _;
        let (head, path) = bytes.split_at_checked(HEAD)?;
        let [LAYOUT, claim, state, ..] = *head else { return None };
        let claim = match claim {
            KEPT => Claim::Kept,
            BORROWED => Claim::Borrowed,
            _ => return None,
        };
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let time = |at: usize| {
            let nanoseconds = u32::from_le_bytes(head[at + 8..at + 12].try_into().expect("four bytes"));
            (number(at) as i64, nanoseconds)
        };
        let identity =
            Identity { device: number(3), inode: number(11), size: number(19), mtime: time(27), ctime: time(39) };
        let state = match state {
            GROWING => State::Growing { device: identity.device, inode: identity.inode },
            WHOLE => State::Whole { identity, hashed: false },
            HASHED => State::Whole { identity, hashed: true },
            _ => return None,
        };
        Some(Source { path: std::ffi::OsStr::from_bytes(path).into(), claim, state })
    }

    #[cfg(not(unix))]
    pub(super) fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    #[cfg(not(unix))]
    pub(super) fn decode(_: &[u8]) -> Option<Source> {
        None
    }
}

/// What the name of a file ends in while it is not whole.
pub const PART: &str = ".cidra-part";

/// With the ending where there is none, without it where there is one.
fn other_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    if path.extension().is_some_and(|extension| extension == &PART[1..]) {
        return Some(path.with_extension(""));
    }
    let mut other = name.to_owned();
    other.push(PART);
    Some(path.with_file_name(other))
}

/// Its bytes, on the wire and as a key.
#[cfg(unix)]
pub(super) fn path_key(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

#[cfg(not(unix))]
pub(super) fn path_key(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// The layout of a row: it, the claim, the state, device, inode, size, both times, and the path.
const LAYOUT: u8 = 1;
const HEAD: usize = 51;
const KEPT: u8 = 1;
const BORROWED: u8 = 2;
const GROWING: u8 = 0;
const WHOLE: u8 = 1;
const HASHED: u8 = 2;

pub(super) mod path_bytes {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::store) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        super::path_key(path).serialize(serializer)
    }

    #[cfg(unix)]
    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Ok(std::os::unix::ffi::OsStringExt::from_vec(bytes)).map(|name: std::ffi::OsString| name.into())
    }

    #[cfg(not(unix))]
    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        String::from_utf8(bytes).map(PathBuf::from).map_err(serde::de::Error::custom)
    }
}

mod wrapping_flag {
    use cidra_content::unixfs::Wrapping;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(wrapping: &Wrapping, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*wrapping == Wrapping::Node)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wrapping, D::Error> {
        bool::deserialize(deserializer).map(|wrapped| if wrapped { Wrapping::Node } else { Wrapping::Bare })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was_written(
            path: Vec<u8>, kept: bool, state in 0..3, numbers: [u64; 3], mtime: (i64, u32), ctime: (i64, u32),
        ) {
            let [device, inode, size] = numbers;
            let identity = Identity { device, inode, size, mtime, ctime };
            let state = match state {
                0 => State::Growing { device, inode },
                hashed => State::Whole { identity, hashed: hashed == 1 },
            };
            let claim = if kept { Claim::Kept } else { Claim::Borrowed };
            let source = Source { path: std::ffi::OsString::from_vec(path).into(), claim, state };

            prop_assert_eq!(Source::decode(&source.encode()), Some(source.clone()));
            let sent = serde_json::to_string(&source).unwrap();
            prop_assert_eq!(serde_json::from_str::<Source>(&sent).unwrap(), source);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Source::decode(&bytes);
        }
    }

    #[test]
    fn the_other_name_of_a_file_leads_back() {
        let other = |name: &str| other_name(Path::new(name)).unwrap();

        assert_eq!(other("/a/film.mp4"), Path::new("/a/film.mp4.cidra-part"));
        assert_eq!(other("/a/film.mp4.cidra-part"), Path::new("/a/film.mp4"));
    }
}

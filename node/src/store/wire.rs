//! What a guest and the holder of the store say to each other: a line of JSON each way, then the bytes of blocks.

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::record::DATA_MAX;
use super::roots::{Root, RootKind};
use super::source::{Part, Source};

/// A question of a guest, as it stands on its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Who asks.
    pub session: String,
    /// What.
    pub ask: Ask,
}

/// A question: a method of the store and its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are the arguments of the methods of `Store` that have these names")]
pub enum Ask {
    Announced {
        cid: CidText,
        when: SystemTime,
    },
    AnnouncementTimes,
    Announcements,
    Block {
        cid: CidText,
    },
    Commit,
    IsComplete {
        cid: CidText,
    },
    List {
        after: Option<HashText>,
        most: usize,
    },
    Load {
        cid: CidText,
    },
    Protect {
        cid: CidText,
    },
    /// CIDs and lengths; the bytes follow the line in the same order.
    Put {
        blocks: Vec<(CidText, u32)>,
    },
    QueueAnnouncement {
        cid: CidText,
    },
    Refer {
        source: Source,
        parts: Vec<Part>,
    },
    Remove {
        cids: Vec<CidText>,
    },
    RemoveRoot {
        kind: RootKind,
        key: Vec<u8>,
    },
    ReplaceRoot {
        was: Option<CidText>,
        root: Root,
    },
    Root {
        kind: RootKind,
        key: Vec<u8>,
    },
    Roots {
        kind: RootKind,
    },
    SetComplete {
        cid: CidText,
    },
    SetRoots {
        roots: Vec<Root>,
    },
    Settle {
        #[serde(with = "super::source::path_bytes")]
        was: PathBuf,
        now: Source,
    },
    SourcesOf {
        cids: Vec<CidText>,
    },
    Stat,
    Survey {
        cids: Vec<CidText>,
    },
    Unannounce {
        cid: CidText,
    },
}

impl Ask {
    /// The lengths of the blocks that follow the line; none when they are too long or too many.
    pub fn payload(&self) -> Option<Vec<u32>> {
        let Self::Put { blocks } = self else { return Some(Vec::new()) };
        let lengths: Vec<u32> = blocks.iter().map(|(_, length)| *length).collect();
        let whole: u64 = lengths.iter().copied().map(u64::from).sum();
        let fits = whole <= PAYLOAD_MAX && lengths.iter().all(|length| *length <= DATA_MAX);
        fits.then_some(lengths)
    }
}

/// The longest line of a question in bytes; a longer one is refused.
pub const LINE_MAX: usize = 4 * 1024 * 1024;
/// The most bytes of blocks behind a question; more are refused.
pub const PAYLOAD_MAX: u64 = 8 * 1024 * 1024;
/// The longest answer in bytes: all pins of a large repository are one. A longer one fails.
pub(super) const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// CIDs, blocks or roots in one question.
pub(super) const ITEMS: usize = 256;

/// Cuts blocks into questions that fit.
pub(super) fn parcels<T>(items: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parcels: Vec<Vec<T>> = Vec::new();
    let mut filled = 0;
    for item in items {
        let length = length(&item);
        match parcels.last_mut() {
            Some(parcel) if parcel.len() < ITEMS && filled + length <= PAYLOAD_MAX as usize => {
                filled += length;
                parcel.push(item);
            }
            _ => {
                filled = length;
                parcels.push(vec![item]);
            }
        }
    }
    parcels
}

/// A line, its bytes apart from what follows it; none when there is no whole line.
pub(super) fn split_line(mut bytes: Bytes) -> Option<(Bytes, Bytes)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let rest = bytes.split_off(end + 1);
    Some((bytes, rest))
}

/// A CID, text on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CidText(pub Cid);

impl From<CidText> for String {
    fn from(text: CidText) -> String {
        text.0.to_string()
    }
}

impl TryFrom<String> for CidText {
    type Error = cid::Error;

    fn try_from(text: String) -> Result<CidText, cid::Error> {
        Cid::try_from(text).map(CidText)
    }
}

/// A CID in a field, as [`CidText`].
pub(super) mod cid_text {
    use cid::Cid;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::CidText;

    pub(in crate::store) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        CidText(*cid).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        CidText::deserialize(deserializer).map(|text| text.0)
    }
}

/// A multihash, hexadecimal on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HashText(pub Multihash<64>);

impl From<HashText> for String {
    fn from(text: HashText) -> String {
        HEXLOWER.encode(&text.0.to_bytes())
    }
}

impl TryFrom<String> for HashText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<HashText, &'static str> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| "not hexadecimal")?;
        Multihash::from_bytes(&bytes).map(HashText).map_err(|_| "not a multihash")
    }
}

pub(super) fn texts(cids: &[Cid]) -> Vec<CidText> {
    cids.iter().copied().map(CidText).collect()
}

/// Back to CIDs.
pub fn cids(texts: Vec<CidText>) -> Vec<Cid> {
    texts.into_iter().map(|text| text.0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_root_reads_back_as_it_was_sent(
            key: Vec<u8>, digest: [u8; 32], recursive: bool, name: Option<String>, is_v0: bool,
        ) {
            let hash = Multihash::wrap(0x12, &digest).unwrap();
            let cid = if is_v0 { Cid::new_v0(hash).unwrap() } else { Cid::new_v1(0x55, hash) };
            let root = Root { kind: RootKind::Files, key, cid, recursive, name, expires: Some(SystemTime::now()) };
            let asked = Asked { session: "s".into(), ask: Ask::SetRoots { roots: vec![root] } };
            let line = serde_json::to_vec(&asked).unwrap();
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<Asked>(&line).unwrap().ask, asked.ask);
        }

        #[test]
        fn any_line_is_read_without_a_panic(line: Vec<u8>) {
            let _ = serde_json::from_slice::<Asked>(&line);
        }
    }

    #[test]
    fn a_question_of_the_longest_roots_fits_its_line() {
        let hash = Multihash::wrap(0x12, &[7; 64]).unwrap();
        let root = Root {
            kind: RootKind::KeptForOthers,
            key: vec![255; Root::NAME_MAX],
            cid: Cid::new_v1(u64::MAX >> 1, hash),
            recursive: true,
            name: Some("\u{1}".repeat(Root::NAME_MAX)),
            expires: Some(SystemTime::now()),
        };
        let ask = Ask::SetRoots { roots: vec![root; ITEMS] };

        let line = serde_json::to_vec(&Asked { session: "s".repeat(64), ask }).unwrap();

        assert!(line.len() < LINE_MAX, "{}", line.len());
    }

    #[test]
    fn blocks_past_the_limit_are_no_question() {
        let cid = CidText(Cid::new_v1(0x55, Multihash::wrap(0x12, &[7; 32]).unwrap()));
        let of = |lengths: &[u32]| Ask::Put { blocks: lengths.iter().map(|length| (cid, *length)).collect() }.payload();

        assert_eq!(of(&[DATA_MAX, DATA_MAX]), Some(vec![DATA_MAX, DATA_MAX]));
        assert_eq!(of(&[DATA_MAX, DATA_MAX, 1]), None);
        assert_eq!(of(&[DATA_MAX + 1]), None);
    }

    #[test]
    fn parcels_keep_the_order_and_fit() {
        let lengths = [3 << 20, 4 << 20, 2 << 20, 4 << 20, 4 << 20, 1];

        let cut = parcels(lengths.to_vec(), |length| *length);

        assert_eq!(cut, [vec![3 << 20, 4 << 20], vec![2 << 20, 4 << 20], vec![4 << 20, 1]]);
        assert_eq!(parcels(vec![0; ITEMS + 1], |_| 0).len(), 2);
    }
}

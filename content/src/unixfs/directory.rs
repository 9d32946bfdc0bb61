//! Names and CIDs in, blocks out: a folder, in one block or, past the threshold, in shards.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::hamt::{self, MURMUR3_X64_64};
use super::message::{Message, Metadata, Type};
use super::node::is_plain_name;
use super::parameters::{Measure, SHARD_THRESHOLD};
use super::{Leaf, Parameters, Root, interior};
use crate::block::Block;
use crate::dag_pb::{Link, Node};

/// One folder on its way into blocks. The same entries in any order give the same CID.
#[derive(Debug)]
pub struct DirectoryImporter {
    parameters: Parameters,
    metadata: Metadata,
    entries: BTreeMap<Bytes, (Cid, u64)>,
}

impl DirectoryImporter {
    /// An empty folder so far.
    pub fn new(parameters: Parameters) -> DirectoryImporter {
        DirectoryImporter::with_metadata(parameters, Metadata::default())
    }

    /// The same with permissions and time, which its root will hold.
    pub fn with_metadata(parameters: Parameters, metadata: Metadata) -> DirectoryImporter {
        DirectoryImporter { parameters, metadata, entries: BTreeMap::new() }
    }

    /// Add an entry; `tsize` is that of the root it leads to.
    pub fn add(&mut self, name: &[u8], cid: Cid, tsize: u64) -> Result<(), DirectoryError> {
        if !is_plain_name(name) {
            return Err(DirectoryError::BadName { name: lossy(name) });
        }
        if name.len() > MAX_NAME {
            return Err(DirectoryError::LongName { length: name.len() });
        }
        if self.entries.contains_key(name) {
            return Err(DirectoryError::Duplicate { name: lossy(name) });
        }
        self.entries.insert(Bytes::copy_from_slice(name), (cid, tsize));
        Ok(())
    }

    /// All blocks, children before parents, and the root.
    pub fn finish(self) -> Result<(Vec<Block>, Root), DirectoryError> {
        let (parameters, metadata) = (self.parameters, self.metadata);
        let links = self.entries.into_iter().map(|(name, (cid, tsize))| Link { cid, name, tsize });
        let links: Vec<Link> = links.collect();
        let message = Message { metadata, ..Message::new(Type::Directory) };
        if !is_large(&parameters, &links, &message) {
            let below: u64 = tsize_below(&links);
            let block = interior(&parameters, links, &message);
            let root = Root { cid: *block.cid(), size: 0, tsize: below.saturating_add(block.data().len() as u64) };
            return Ok((vec![block], root));
        }
        let mut entries: Vec<(u64, Link)> = links.into_iter().map(|link| (hamt::murmur3(&link.name), link)).collect();
        entries.sort_by_key(|(hash, _)| *hash);
        let mut blocks = Vec::new();
        let root = shard(&parameters, metadata, &entries, 0, &mut blocks)?;
        Ok((blocks, Root { cid: root.cid, size: 0, tsize: root.tsize }))
    }
}

/// Longest name in bytes, as file systems have it.
pub const MAX_NAME: usize = 255;

fn is_large(parameters: &Parameters, links: &[Link], message: &Message) -> bool {
    let size: usize = match parameters.measure() {
        Measure::NamesAndCids => links.iter().map(|link| link.name.len() + link.cid.encoded_len()).sum(),
        Measure::Block => {
            let empty = Node { links: Vec::new(), data: Some(message.encode()) };
            empty.encoded_len() + links.iter().map(Link::encoded_len_within_node).sum::<usize>()
        }
    };
    size > SHARD_THRESHOLD
}

/// The shard of `entries`, which are sorted by hash and agree in its first `used` bits, and of all shards below it.
fn shard(
    parameters: &Parameters,
    metadata: Metadata,
    entries: &[(u64, Link)],
    used: u32,
    blocks: &mut Vec<Block>,
) -> Result<Leaf, DirectoryError> {
    let bits = parameters.fanout().ilog2();
    let slot_of = |hash: u64| hamt::slot(hash, used, bits);
    if slot_of(0).is_none() {
        return Err(DirectoryError::Collision { name: lossy(&entries[0].1.name) });
    }
    let mut links = Vec::new();
    let mut slots = Vec::new();
    for group in entries.chunk_by(|(left, _), (right, _)| slot_of(*left) == slot_of(*right)) {
        let slot = slot_of(group[0].0).expect("checked above");
        slots.push(slot);
        let prefix = format!("{slot:0width$X}", width = bits.div_ceil(4) as usize);
        links.push(match group {
            [(_, entry)] => Link { name: [prefix.as_bytes(), &entry.name].concat().into(), ..entry.clone() },
            _ => {
                let below = shard(parameters, Metadata::default(), group, used + bits, blocks)?;
                Link { cid: below.cid, name: prefix.into(), tsize: below.tsize }
            }
        });
    }
    let message = Message {
        data: Some(hamt::bitfield(slots.into_iter(), parameters.fanout()).into()),
        hash_type: Some(MURMUR3_X64_64),
        fanout: Some(u64::from(parameters.fanout())),
        metadata,
        ..Message::new(Type::HamtShard)
    };
    let below = tsize_below(&links);
    let block = interior(parameters, links, &message);
    let tsize = below.saturating_add(block.data().len() as u64);
    let leaf = Leaf { cid: *block.cid(), tsize, size: 0 };
    blocks.push(block);
    Ok(leaf)
}

/// Nobody proves these numbers, so a sum past 64 bits is no reason to fail.
fn tsize_below(links: &[Link]) -> u64 {
    links.iter().fold(0, |sum, link| sum.saturating_add(link.tsize))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Why a folder cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Empty, `.`, `..`, or with a slash or a zero in it.
    #[error("{name:?} cannot be a name in a folder")]
    BadName {
        /// As far as it can be shown.
        name: String,
    },
    /// Two names whose 64-bit hashes are the same: a large folder has no place for both.
    #[error("{name:?} and another name of this large folder have the same hash")]
    Collision {
        /// One of them.
        name: String,
    },
    /// Two entries of one name.
    #[error("{name:?} is in the folder already")]
    Duplicate {
        /// As far as it can be shown.
        name: String,
    },
    /// More than [`MAX_NAME`] bytes.
    #[error("a name of {length} bytes: the limit is {MAX_NAME}")]
    LongName {
        /// In bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::RAW;
    use crate::unixfs::Entity;

    #[test]
    fn the_empty_folder_is_the_published_one() {
        let cid = |parameters| DirectoryImporter::new(parameters).finish().expect("empty").1.cid.to_string();

        assert_eq!(cid(Parameters::V0_2015), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
        assert_eq!(cid(Parameters::V1_2025), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    }

    #[test]
    fn entries_are_sorted_by_the_bytes_of_their_names() {
        let mut importer = DirectoryImporter::new(Parameters::default());
        let block = Block::new(RAW, Bytes::from_static(b"x"));
        for name in ["b", "B", "a.b", "a", "ä"] {
            importer.add(name.as_bytes(), *block.cid(), 1).expect("plain and different");
        }

        let (blocks, root) = importer.finish().expect("small");

        let Ok(Entity::Directory(directory)) = Entity::parse(&blocks[0]) else { panic!("a folder") };
        let names: Vec<_> = directory.entries().iter().map(|entry| &entry.name[..]).collect();
        assert_eq!(names, [b"B", b"a", b"a.b", b"b", "ä".as_bytes()] as [&[u8]; 5]);
        assert_eq!(directory.find(b"b").map(|entry| entry.cid), Some(*block.cid()));
        assert_eq!(root.tsize, 5 + blocks[0].data().len() as u64);
    }

    #[test]
    fn refuses_names_that_a_folder_cannot_have() {
        let mut importer = DirectoryImporter::new(Parameters::default());
        let cid = *Block::new(RAW, Bytes::new()).cid();
        let mut add = |name: &str| importer.add(name.as_bytes(), cid, 0);

        assert_eq!(add("../x"), Err(DirectoryError::BadName { name: "../x".into() }));
        assert_eq!(add("x"), Ok(()));
        assert_eq!(add("x"), Err(DirectoryError::Duplicate { name: "x".into() }));
        assert_eq!(add(&"n".repeat(MAX_NAME)), Ok(()));
        assert_eq!(add(&"n".repeat(MAX_NAME + 1)), Err(DirectoryError::LongName { length: MAX_NAME + 1 }));
    }
}

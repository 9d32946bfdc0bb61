//! What a block is in terms of files and folders. Whatever can be checked within one block is checked here.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use super::message::{Message, MessageError, Metadata, Type};
use super::shard::{ShardError, ShardNode};
use crate::block::{Block, DAG_PB, RAW};
use crate::dag_pb::{self, DecodeError};

/// A block, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A file or a part of one, in a dag-pb node.
    File(FileNode),
    /// A folder in one block.
    Directory(DirectoryNode),
    /// A folder, or a part of one, in many blocks.
    Shard(ShardNode),
    /// A symbolic link.
    Symlink(SymlinkNode),
    /// A file or a part of one, as it is.
    Raw(Bytes),
}

impl Entity {
    /// Understand a block of codec raw or dag-pb.
    pub fn parse(block: &Block) -> Result<Entity, NodeError> {
        let cid = *block.cid();
        match cid.codec() {
            RAW => return Ok(Entity::Raw(block.data().clone())),
            DAG_PB => {}
            codec => return Err(NodeError::ForeignCodec { cid, codec }),
        }
        let node = dag_pb::Node::decode(block.data()).map_err(|source| NodeError::NotDagPb { cid, source })?;
        let data = node.data.ok_or(NodeError::NotUnixFs { cid })?;
        let message = Message::decode(&data).map_err(|source| NodeError::BadMessage { cid, source })?;
        match message.kind {
            Type::File | Type::Raw => FileNode::new(cid, message, &node.links).map(Entity::File),
            Type::Directory => Ok(Entity::Directory(DirectoryNode { entries: node.links, metadata: message.metadata })),
            Type::HamtShard => {
                let shard = ShardNode::new(message, node.links);
                shard.map(Entity::Shard).map_err(|source| NodeError::BadShard { cid, source })
            }
            Type::Symlink => Ok(Entity::Symlink(SymlinkNode {
                target: message.data.unwrap_or_default(),
                metadata: message.metadata,
            })),
        }
    }

    /// Permissions and time, when they were kept.
    pub fn metadata(&self) -> Metadata {
        match self {
            Entity::File(file) => file.metadata,
            Entity::Directory(directory) => directory.metadata,
            Entity::Shard(shard) => shard.metadata(),
            Entity::Symlink(symlink) => symlink.metadata,
            Entity::Raw(_) => Metadata::default(),
        }
    }

    /// A file in one of its two forms; nothing else.
    pub fn into_file(self) -> Option<FileNode> {
        match self {
            Entity::File(file) => Some(file),
            Entity::Raw(data) => {
                Some(FileNode { size: data.len() as u64, data, children: Vec::new(), metadata: Metadata::default() })
            }
            Entity::Directory(_) | Entity::Shard(_) | Entity::Symlink(_) => None,
        }
    }
}

/// A file, or a part of one. Its sizes agree with one another; what they say of the children is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNode {
    data: Bytes,
    children: Vec<Child>,
    size: u64,
    metadata: Metadata,
}

/// A part of a file below a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its block.
    pub cid: Cid,
    /// Which bytes it claims to be, counted from the first byte of its parent.
    pub range: Range<u64>,
}

impl FileNode {
    fn new(cid: Cid, message: Message, links: &[dag_pb::Link]) -> Result<FileNode, NodeError> {
        if links.len() != message.block_sizes.len() {
            return Err(NodeError::LinkCount { cid, links: links.len(), sizes: message.block_sizes.len() });
        }
        let data = message.data.unwrap_or_default();
        let mut children = Vec::with_capacity(links.len());
        let mut end = data.len() as u64;
        for (link, size) in links.iter().zip(message.block_sizes) {
            let start = end;
            end = start.checked_add(size).ok_or(NodeError::TooLong { cid })?;
            children.push(Child { cid: link.cid, range: start..end });
        }
        if let Some(claimed) = message.file_size.filter(|&claimed| claimed != end) {
            return Err(NodeError::SizeSum { cid, claimed, sum: end });
        }
        Ok(FileNode { data, children, size: end, metadata: message.metadata })
    }

    /// Bytes in and below this node.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes in the node itself, which come before those of its children.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The children with bytes in `range`, in order; both are counted from the first byte of this node.
    pub fn children(&self, range: Range<u64>) -> impl DoubleEndedIterator<Item = &Child> {
        let first = self.children.partition_point(|child| child.range.end <= range.start);
        let end = self.children.partition_point(|child| child.range.start < range.end).max(first);
        self.children[first..end].iter().filter(|child| !child.range.is_empty())
    }

    /// Whether there are children without bytes, which `children` leaves out.
    pub fn has_empty_children(&self) -> bool {
        self.children.iter().any(|child| child.range.is_empty())
    }

    /// Permissions and time, when they were kept.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }
}

/// A folder in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryNode {
    entries: Vec<Entry>,
    metadata: Metadata,
}

impl DirectoryNode {
    /// As the block has them: nobody promises that names are sorted, different, or [plain](is_plain_name).
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries, without a copy.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The first entry of this name.
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Permissions and time, when they were kept.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }
}

/// A symbolic link, which nobody follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymlinkNode {
    /// As it is stored: any bytes.
    pub target: Bytes,
    /// Permissions and time, when they were kept.
    pub metadata: Metadata,
}

/// A name in a folder and what it stands for.
pub type Entry = dag_pb::Link;

/// Can this be the name of a file in a folder on a disk, and of nothing outside of the folder?
pub fn is_plain_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// The bytes of a part of a file that has no parts itself.
pub fn leaf_data(block: &Block) -> Result<Bytes, NodeError> {
    match Entity::parse(block)? {
        Entity::Raw(data) => Ok(data),
        Entity::File(file) if file.children.is_empty() => Ok(file.data),
        _ => Err(NodeError::NotLeaf { cid: *block.cid() }),
    }
}

/// Why a block is neither file nor folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The UnixFS message cannot be read.
    #[error("node {cid}: its UnixFS message cannot be read")]
    BadMessage {
        /// Which block.
        cid: Cid,
        /// What is wrong with it.
        source: MessageError,
    },
    /// A part of a large folder that is not as it must be.
    #[error("node {cid}: not a shard of a folder")]
    BadShard {
        /// Which block.
        cid: Cid,
        /// What is wrong with it.
        source: ShardError,
    },
    /// Neither raw nor dag-pb.
    #[error("block {cid}: codec {codec:#x} is neither file nor folder")]
    ForeignCodec {
        /// Which block.
        cid: Cid,
        /// Its codec.
        codec: u64,
    },
    /// There must be a size for each link.
    #[error("node {cid}: {links} links, but sizes for {sizes}")]
    LinkCount {
        /// Which block.
        cid: Cid,
        /// How many links.
        links: usize,
        /// How many sizes.
        sizes: usize,
    },
    /// The CID says dag-pb, the bytes do not.
    #[error("node {cid}: not a dag-pb node")]
    NotDagPb {
        /// Which block.
        cid: Cid,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A part of a file with parts, a folder or a symbolic link.
    #[error("node {cid}: not a leaf of a file")]
    NotLeaf {
        /// Which block.
        cid: Cid,
    },
    /// A dag-pb node without data.
    #[error("node {cid}: neither file nor folder (no UnixFS message)")]
    NotUnixFs {
        /// Which block.
        cid: Cid,
    },
    /// The size of the whole is not the sum of the sizes of the parts.
    #[error("node {cid}: claims {claimed} bytes, its parts sum up to {sum}")]
    SizeSum {
        /// Which block.
        cid: Cid,
        /// What it says.
        claimed: u64,
        /// What its parts say.
        sum: u64,
    },
    /// More bytes than 64 bits can count.
    #[error("node {cid}: claims more bytes than there can be")]
    TooLong {
        /// Which block.
        cid: Cid,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::{Parameters, interior, symlink};

    #[test]
    fn children_are_those_with_bytes_in_the_range() {
        let block = file(b"head", &[3, 0, 5, 1], None);
        let file = Entity::parse(&block).expect("sound").into_file().expect("a file");
        let ranges = |range| file.children(range).map(|child| (child.range.start, child.range.end)).collect::<Vec<_>>();

        assert_eq!((file.size(), &file.data()[..]), (13, &b"head"[..]));
        assert_eq!(ranges(0..u64::MAX), [(4, 7), (7, 12), (12, 13)]);
        assert_eq!(ranges(0..4), []);
        assert_eq!(ranges(6..7), [(4, 7)]);
        assert_eq!(ranges(6..8), [(4, 7), (7, 12)]);
        assert_eq!(ranges(12..12), []);
        assert_eq!(ranges(13..20), []);
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = ranges(9..2);
        assert_eq!(reversed, []);
    }

    #[test]
    fn sizes_that_do_not_agree_are_refused() {
        let parse = |block: &Block| Entity::parse(block).expect_err("lies");

        let sum = file(b"", &[3, 4], Some(8));
        assert_eq!(parse(&sum), NodeError::SizeSum { cid: *sum.cid(), claimed: 8, sum: 7 });
        let long = file(b"x", &[u64::MAX], None);
        assert_eq!(parse(&long), NodeError::TooLong { cid: *long.cid() });
        assert!(Entity::parse(&file(b"", &[u64::MAX], None)).is_ok());

        let message = Message { block_sizes: vec![1, 2], ..Message::new(Type::File) };
        let count = interior(&Parameters::default(), vec![link()], &message);
        assert_eq!(parse(&count), NodeError::LinkCount { cid: *count.cid(), links: 1, sizes: 2 });
    }

    #[test]
    fn tells_apart_what_is_no_file() {
        let cbor = Block::new(0x71, Bytes::from_static(&[0xa0]));
        assert_eq!(Entity::parse(&cbor), Err(NodeError::ForeignCodec { cid: *cbor.cid(), codec: 0x71 }));
        let bare = Block::new(DAG_PB, Bytes::new());
        assert_eq!(Entity::parse(&bare), Err(NodeError::NotUnixFs { cid: *bare.cid() }));
        let target = symlink(b"../other", Metadata::default(), &Parameters::V0_2015);
        let Ok(Entity::Symlink(found)) = Entity::parse(&target) else { panic!("a symbolic link") };
        assert_eq!(&found.target[..], b"../other");
        assert_eq!(leaf_data(&target), Err(NodeError::NotLeaf { cid: *target.cid() }));
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_plain() {
        for name in ["", ".", "..", "a/b", "/x", "../x", "a\0"] {
            assert!(!is_plain_name(name.as_bytes()), "{name:?}");
        }
        for name in ["...", "..dots", ".hidden", "a\\b", "ä"] {
            assert!(is_plain_name(name.as_bytes()), "{name:?}");
        }
    }

    fn file(data: &'static [u8], sizes: &[u64], file_size: Option<u64>) -> Block {
        let message = Message {
            data: Some(Bytes::from_static(data)),
            block_sizes: sizes.to_vec(),
            file_size,
            ..Message::new(Type::File)
        };
        interior(&Parameters::default(), vec![link(); sizes.len()], &message)
    }

    fn link() -> dag_pb::Link {
        dag_pb::Link { cid: *Block::new(RAW, Bytes::new()).cid(), name: Bytes::new(), tsize: 0 }
    }
}

//! Changes of files and folders that are there: a tree of blocks in, another tree out, and no block changed.
//!
//! Each function is given the blocks in hand. Where one is missing it stops and names it; the caller brings it and calls
//! again. So nothing is read but what a change needs, and a folder of a million names is changed through three blocks.
//!
//! What comes out has the CIDs that Kubo's `files` gives for the same steps, with the rules of boxo's `mfs` and `mod`.

mod append;
mod file;
mod folder;
mod path;
mod shard;
mod tree;

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::{Cid, Version};

use super::message::{Message, Type};
use super::node::NodeError;
use crate::block::{Block, DAG_PB, RAW};
use crate::dag_pb;
use crate::hash::{Function, LeafKind};
pub use append::{MAX_LINKS, SPARSE_CHUNK};
pub use file::{FileEdit, Overwritten, file_size};
pub use folder::{Child, find, is_folder};
pub use path::{FilesPath, FilesPathError};
pub use tree::{Place, insert, lookup, make_folder, refashion, remove, rename, restat, swap};

/// The blocks in hand, and those that a change made.
#[derive(Debug, Default)]
pub struct Blocks {
    here: BTreeMap<Cid, Block>,
    made: BTreeMap<Cid, Block>,
}

impl Blocks {
    /// One that was missing.
    pub fn insert(&mut self, block: Block) {
        self.here.insert(*block.cid(), block);
    }

    /// What was made since this was last asked; the blocks stay in hand.
    pub fn take_made(&mut self) -> Vec<Block> {
        let made = std::mem::take(&mut self.made);
        self.here.extend(made.iter().map(|(cid, block)| (*cid, block.clone())));
        made.into_values().collect()
    }

    fn get(&self, cid: &Cid) -> Result<Block, Stop> {
        if let Some(block) = self.made.get(cid).or_else(|| self.here.get(cid)) {
            return Ok(block.clone());
        }
        Block::inline(*cid).ok_or_else(|| Stop::Missing(vec![*cid]))
    }

    fn has(&self, cid: &Cid) -> bool {
        self.made.contains_key(cid) || self.here.contains_key(cid) || crate::block::is_inline(cid)
    }

    fn keep(&mut self, block: Block) -> Cid {
        let cid = *block.cid();
        self.made.insert(cid, block);
        cid
    }

    /// Makes the block of a node, and the link to it.
    fn write(&mut self, fashion: Fashion, node: &Node) -> Child {
        let data = Some(node.message.encode());
        let encoded = dag_pb::Node { links: node.links.clone(), data }.encode();
        let tsize = node.links.iter().fold(encoded.len() as u64, |sum, link| sum.saturating_add(link.tsize));
        let cid = self.keep(Block::of(fashion.kind(DAG_PB), encoded));
        Child { cid, tsize }
    }
}

/// How nodes are named: the version of their CIDs, and the hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fashion {
    /// Of dag-pb nodes; raw ones are always of version 1.
    pub version: Version,
    /// Of all nodes.
    pub hash: Function,
}

impl Fashion {
    /// What Kubo makes unless it is told otherwise.
    pub const V0: Fashion = Fashion { version: Version::V0, hash: Function::Sha2_256 };

    /// The one of a node that is there.
    pub fn of(cid: &Cid) -> Result<Fashion, Stop> {
        let hash = Function::from_code(cid.hash().code()).ok_or(EditError::Hash { cid: *cid })?;
        Ok(Fashion { version: cid.version(), hash })
    }

    /// The same as a kind of leaves.
    pub fn kind(self, codec: u64) -> LeafKind {
        let version = if codec == RAW || self.hash != Function::Sha2_256 { Version::V1 } else { self.version };
        LeafKind { codec, version, hash: self.hash }
    }
}

/// A dag-pb node with a UnixFS message, open for a change.
#[derive(Clone, Debug)]
struct Node {
    links: Vec<dag_pb::Link>,
    message: Message,
}

impl Node {
    fn read(block: &Block) -> Result<Node, EditError> {
        let cid = *block.cid();
        if cid.codec() != DAG_PB {
            return Err(EditError::NotUnixFs { cid });
        }
        let node = dag_pb::Node::decode(block.data()).map_err(|source| EditError::NotDagPb { cid, source })?;
        let data = node.data.ok_or(EditError::NotUnixFs { cid })?;
        let message = Message::decode(&data).map_err(|source| NodeError::BadMessage { cid, source })?;
        let is_file = matches!(message.kind, Type::File | Type::Raw);
        if is_file && message.block_sizes.len() != node.links.len() {
            let (links, sizes) = (node.links.len(), message.block_sizes.len());
            return Err(NodeError::LinkCount { cid, links, sizes }.into());
        }
        Ok(Node { links: node.links, message })
    }

    fn data(&self) -> Bytes {
        self.message.data.clone().unwrap_or_default()
    }
}

/// Why a function did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Call again with these blocks in hand.
    Missing(Vec<Cid>),
    /// It cannot be done.
    Refused(Box<EditError>),
}

impl Stop {
    fn is_not_found(&self) -> bool {
        matches!(self, Stop::Refused(error) if **error == EditError::NotFound)
    }
}

impl<E: Into<EditError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Refused(Box::new(error.into()))
    }
}

/// Why files and folders cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// What stands at a path is not what it was when the change of it began.
    #[error("{path} was changed by somebody else meanwhile")]
    Changed {
        /// Which one.
        path: String,
    },
    /// The names of a folder, as they are, fit into no folder that we make.
    #[error(transparent)]
    Directory(#[from] super::DirectoryError),
    /// Something of that name is there.
    #[error("directory already has entry by that name")]
    Exists,
    /// The same, told as making a folder tells it.
    #[error("file already exists")]
    FileExists,
    /// New nodes cannot be named by that function.
    #[error("node {cid}: its hash function is not one that new nodes can be named by")]
    Hash {
        /// Which block.
        cid: Cid,
    },
    /// A folder would be within itself.
    #[error("cannot move {from} into itself")]
    IntoItself {
        /// The folder.
        from: String,
    },
    /// The root cannot be removed, moved or replaced.
    #[error("cannot {verb} the root")]
    IsRoot {
        /// What was asked for.
        verb: &'static str,
    },
    /// A block that is not as it must be.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The CID says dag-pb, the bytes do not.
    #[error("node {cid}: not a dag-pb node")]
    NotDagPb {
        /// Which block.
        cid: Cid,
        /// What is wrong with it.
        source: dag_pb::DecodeError,
    },
    /// A path goes on below what is no folder.
    #[error("cannot access {path}: Not a directory")]
    NotDirectory {
        /// As far as it goes.
        path: String,
    },
    /// Only folders can be changed so.
    #[error("can only update directories")]
    NotFolder,
    /// A folder, a symbolic link or something else.
    #[error("{path} was not a file")]
    NotFile {
        /// Its path or CID.
        path: String,
    },
    /// There is no such name.
    #[error("file does not exist")]
    NotFound,
    /// Neither file nor folder.
    #[error("node {cid}: neither file nor folder")]
    NotUnixFs {
        /// Which block.
        cid: Cid,
    },
    /// More levels than a file has that was written in earnest.
    #[error("the file has too many levels")]
    TooDeep,
    /// More bytes than 64 bits can count.
    #[error("a file of so many bytes cannot be")]
    TooLong,
}

#[cfg(test)]
mod tests;

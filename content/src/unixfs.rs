//! Files and folders as blocks, and back.
//!
//! `importer` and `directory` turn bytes and names into blocks, `node` says what a block is, `reader` and `shard` walk
//! the blocks of a file and of a large folder. All are machines: the caller brings the bytes and the blocks.

pub mod directory;
pub mod edit;
mod hamt;
pub mod importer;
pub mod message;
pub mod node;
pub mod parameters;
pub mod reader;
pub mod shard;
pub mod wrapping;

use bytes::Bytes;
use cid::Cid;

use crate::block::{Block, DAG_PB};
use crate::dag_pb;
use crate::hash::LeafKind;
pub use directory::{DirectoryError, DirectoryImporter, DirectoryWriter, Written};
pub use importer::{FileImporter, Layout, Leaf};
pub use message::{Message, Metadata, Time, Type};
pub use node::{Child, DirectoryNode, Entity, Entry, FileNode, NodeError, SymlinkNode, leaf_data};
pub use parameters::{Parameters, ParametersError};
pub use reader::{ReadError, Reader, Step};
pub use shard::{DirectoryReader, DirectoryStep, ShardNode};
pub use wrapping::Wrapping;

/// What an import ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The name of the whole.
    pub cid: Cid,
    /// Bytes of the file; 0 for a folder.
    pub size: u64,
    /// Bytes of all blocks, with repetitions: what a link to this root claims.
    pub tsize: u64,
}

/// A symbolic link with this target, which nobody interprets. Of the metadata it has the time only.
pub fn symlink(target: &[u8], metadata: Metadata, parameters: &Parameters) -> Block {
    let metadata = Metadata { mode: None, ..metadata };
    let message = Message { data: Some(Bytes::copy_from_slice(target)), metadata, ..Message::new(Type::Symlink) };
    interior(parameters, Vec::new(), &message)
}

/// The block of a node that is no leaf.
fn interior(parameters: &Parameters, links: Vec<dag_pb::Link>, message: &Message) -> Block {
    let kind = LeafKind { codec: DAG_PB, version: parameters.cid_version(), hash: parameters.hash() };
    let bytes = dag_pb::Node { links, data: Some(message.encode()) }.encode();
    Block::of(parameters.inlined(kind, bytes.len()).unwrap_or(kind), bytes)
}

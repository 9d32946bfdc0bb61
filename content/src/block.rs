//! A block: bytes that match their CID.

use std::sync::Arc;

use bytes::Bytes;
use cid::{Cid, Version};

use crate::hash::{self, Expect, Function, LeafKind, Proven};
use crate::ipld;

/// Bytes and the CID that they match. There is no way to make one whose bytes do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// Our own bytes: hashed with sha2-256 under a CIDv1. Whoever makes blocks keeps them within [`MAX_BLOCK_SIZE`].
    pub fn new(codec: u64, data: Bytes) -> Block {
        Block::of(LeafKind { codec, version: Version::V1, hash: Function::Sha2_256 }, data)
    }

    /// Our own dag-pb bytes under a CIDv0.
    pub fn new_v0(data: Bytes) -> Block {
        Block::of(LeafKind { codec: DAG_PB, version: Version::V0, hash: Function::Sha2_256 }, data)
    }

    /// Somebody else's bytes: fails when they do not match `cid`, are too many, or the hash is not one we speak.
    pub fn verify(cid: Cid, data: Bytes) -> Result<Block, BlockError> {
        hash::prove(Expect::Cid(cid), data).map(Block::from)
    }

    /// The block of a CID that holds its bytes itself (identity hash): nobody needs to be asked for it.
    pub fn inline(cid: Cid) -> Option<Block> {
        is_inline(&cid).then(|| Block::verify(cid, Bytes::copy_from_slice(cid.hash().digest())).ok())?
    }

    /// The block of no bytes, if it is what the CID names: it can be made, and there are nodes that never send it.
    pub fn empty(cid: Cid) -> Option<Block> {
        Block::verify(cid, Bytes::new()).ok()
    }

    pub(crate) fn of(kind: LeafKind, data: Bytes) -> Block {
        Block::from(hash::make(kind, data))
    }

    /// What the bytes are known by.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The bytes, without a copy.
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// The blocks this one names, in its order, with repetitions; an error where its codec is not known here.
    pub fn links(&self) -> Result<Links, BlockError> {
        ipld::links(self.cid.codec(), &self.data).map_err(|source| BlockError::BadNode { cid: self.cid, source })
    }
}

impl From<Proven> for Block {
    fn from(proven: Proven) -> Block {
        let (cid, data) = proven.into_parts();
        Block { cid, data }
    }
}

/// Whether the CID holds its block itself (identity hash).
pub fn is_inline(cid: &Cid) -> bool {
    cid.hash().code() == Function::Identity.code()
}

/// The links of a block in order, as parsed once where the block was verified; empty for a leaf.
pub type Links = Arc<[Cid]>;

/// The largest block that is made, asked for, served or accepted, in bytes (Bitswap specification, "Block Sizes").
pub const MAX_BLOCK_SIZE: usize = 2 * 1024 * 1024;

/// Multicodec of a block without links.
pub const RAW: u64 = 0x55;
/// Multicodec of a dag-pb node.
pub const DAG_PB: u64 = 0x70;

/// Why bytes are not the block that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes match, but they are no node of their codec.
    #[error("block {cid} cannot be followed")]
    BadNode {
        /// Which block.
        cid: Cid,
        /// What is wrong with it.
        source: ipld::NodeError,
    },
    /// A prefix names a CID that cannot be.
    #[error("no CID has version {version}, codec {codec:#x}, hash {code:#x} and {length} bytes of digest")]
    BadPrefix {
        /// Of the CID.
        version: u64,
        /// Of the CID.
        codec: u64,
        /// Of the hash function.
        code: u64,
        /// Of the digest.
        length: usize,
    },
    /// The bytes are not those of the CID.
    #[error("block {cid}: the {length} bytes do not match the hash")]
    HashMismatch {
        /// The CID that they came under.
        cid: Cid,
        /// How many bytes came.
        length: usize,
    },
    /// More than [`MAX_BLOCK_SIZE`].
    #[error("a block of {length} bytes: the limit is {MAX_BLOCK_SIZE}")]
    TooLarge {
        /// How many bytes came.
        length: usize,
    },
    /// A hash that cannot be checked here, or is too short to prove anything.
    #[error("hash function {code:#x} with {length} bytes of digest is not supported")]
    UnsupportedHash {
        /// Multihash code.
        code: u64,
        /// Of the digest.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_published_names_of_hello_world() {
        let raw = Block::new(RAW, Bytes::from_static(b"hello world"));
        assert_eq!(raw.cid().to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");

        let empty_directory = Block::new_v0(Bytes::from_static(&[0x0a, 2, 8, 1]));
        assert_eq!(empty_directory.cid().to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    }

    #[test]
    fn refuses_other_bytes_than_the_cid_names() {
        let cid = *Block::new(RAW, Bytes::from_static(b"a")).cid();

        assert!(Block::verify(cid, Bytes::from_static(b"a")).is_ok());
        assert_eq!(Block::verify(cid, Bytes::from_static(b"b")), Err(BlockError::HashMismatch { cid, length: 1 }));
    }

    #[test]
    fn takes_the_largest_block_and_refuses_one_byte_more() {
        let data = Bytes::from(vec![7; MAX_BLOCK_SIZE + 1]);
        let largest = Block::new(RAW, data.slice(1..));
        let larger = Block::new(RAW, data.clone());

        assert!(Block::verify(*largest.cid(), data.slice(1..)).is_ok());
        assert_eq!(Block::verify(*larger.cid(), data), Err(BlockError::TooLarge { length: MAX_BLOCK_SIZE + 1 }));
    }
}

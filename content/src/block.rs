//! A block: bytes that match their CID.

use bytes::Bytes;
use cid::Cid;

/// Bytes and the CID that they match. There is no way to make one whose bytes do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

/// The largest block that is made, asked for, served or accepted, in bytes (Bitswap specification, "Block Sizes").
pub const MAX_BLOCK_SIZE: usize = 2 * 1024 * 1024;

/// Multicodec of a block without links.
pub const RAW: u64 = 0x55;
/// Multicodec of a dag-pb node.
pub const DAG_PB: u64 = 0x70;

/// The links of a block in order, as parsed once where the block was verified; empty for a leaf.
pub type Links = std::sync::Arc<[Cid]>;

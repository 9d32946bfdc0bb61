//! Bitswap 1.2.0, and how it was before: the IPFS specification "Bitswap Protocol", as boxo speaks it.
//!
//! A stream carries messages one way only: each is its length (a varint) and a protobuf. Wants go on a stream of the peer that
//! wants, answers on streams that the other side opens. A message lists wants and cancels, blocks with what their CID is made of
//! but the digest, and words on which blocks are there. Requests have no ids: both sides keep the list of what the other wants
//! ([`Wants`]). Strict about what would cost memory: a message is at most 4 MiB, a block at most 2 MiB, by their announced lengths.
//! Lenient about the rest: what cannot be read of a list (a CID of over 168 bytes, a hash of another time) is left out, and
//! fields nobody knows are skipped.

mod decode;
mod dialect;
mod encode;
#[cfg(test)]
mod tests;
mod wants;

use cid::Cid;

pub use self::decode::{Decoder, WireError};
pub use self::dialect::{Dialect, PROTOCOLS};
pub use self::encode::{encode, heads};
pub use self::wants::{Taken, Wants};
use crate::exchange::message::Kind;
use crate::hash::Prefix;

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A block whose bytes came is whole; what its CID is made of but the digest.
    Block(Prefix),
    /// The next bytes of a block.
    Data {
        /// Of the whole block; at most 2 MiB.
        len: usize,
        /// What has come of it, which may be cut anywhere.
        data: &'a [u8],
    },
    /// A message ended: all of it but its blocks, which came before.
    Message(Message),
}

/// What stands in a message beside blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The entries are all that the sender wants: what it asked for before is forgotten.
    pub full: bool,
    /// At most [`MAX_ENTRIES`].
    pub entries: Vec<Entry>,
    /// Blocks that the sender has; with those of `dont_haves` at most [`MAX_PRESENCES`].
    pub haves: Vec<Cid>,
    /// Blocks that it does not have, or does not give.
    pub dont_haves: Vec<Cid>,
    /// What it has queued for the receiver beyond this message, in bytes.
    pub pending: u64,
}

impl Message {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One line of a list of wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of the block.
    pub cid: Cid,
    /// Wanted, or no longer.
    pub wish: Wish,
    /// Higher first.
    pub priority: i32,
    /// Whether to answer that the block is not there.
    pub send_dont_have: bool,
}

/// What an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No longer wanted.
    Cancel,
    /// The block, or only whether it is there.
    Want(Kind),
}

/// Longest message, in bytes (specification, "Message Size"). What announces more ends its stream.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Most entries taken from one message; those beyond it are left out. Kubo takes 1,024 wants, and says no more at a time.
pub const MAX_ENTRIES: usize = 8 * 1024;
/// Most words on which blocks are there that are taken from one message; those beyond it are left out.
pub const MAX_PRESENCES: usize = 8 * 1024;
/// A longer entry, presence or prefix is left out: the longest CID and the other fields take half of it.
const MAX_ITEM: usize = 512;

// Fields of a message.
const WANTLIST: u32 = 1;
const BLOCKS: u32 = 2;
const PAYLOAD: u32 = 3;
const PRESENCES: u32 = 4;
const PENDING: u32 = 5;
// Of a list of wants.
const ENTRIES: u32 = 1;
const FULL: u32 = 2;
// Of an entry.
const ENTRY_CID: u32 = 1;
const ENTRY_PRIORITY: u32 = 2;
const ENTRY_CANCEL: u32 = 3;
const ENTRY_TYPE: u32 = 4;
const ENTRY_SEND_DONT_HAVE: u32 = 5;
const TYPE_HAVE: u64 = 1;
// Of a block.
const PAYLOAD_PREFIX: u32 = 1;
const PAYLOAD_DATA: u32 = 2;
// Of a presence.
const PRESENCE_CID: u32 = 1;
const PRESENCE_TYPE: u32 = 2;
const TYPE_DONT_HAVE: u64 = 1;

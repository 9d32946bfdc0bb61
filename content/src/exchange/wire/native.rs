//! `/cidra/blocks/1.0.0`, the specification.
//!
//! A stream is a sequence of frames, each way on its own; either side may ask. A frame is its kind (one byte), the length
//! of its payload (four bytes, big-endian) and the payload. Numbers are unsigned varints (multiformats, minimal), a CID is
//! its length and its binary form (at most 168 bytes), a list is its count and its items.
//!
//! | Kind | Payload |
//! |---|---|
//! | 0 Data, bulk lane; 1 Data, urgent lane | the next bytes of the block of that lane; 1 to 65,536 of them |
//! | 2 Want | request, flags (one byte: 1 root, 2 ask whether, 4 credit), priority (four bytes, two's complement), credit if flagged, root CID if flagged, CIDs |
//! | 3 Cancel | request, CIDs; none: the whole request |
//! | 4 Have | CIDs |
//! | 5 DontHave | request, CIDs; none: nothing more comes of the request |
//! | 6 BlockHeader | request, length of the block (at most 2 MiB), CID |
//! | 7 Refer | root CID, list of (peer id, signed peer record), each with its length |
//! | 8 Pending | bytes queued for the receiver |
//! | 128 to 255 | for later; skipped by those who do not know them |
//!
//! Requests are numbered by who sends them, rising from 1. At most 1,024 CIDs stand in a list and 16 peers in a referral; a
//! payload that is no Data is at most 196,608 bytes; what breaks a limit, an unknown kind below 128 or bytes left over end
//! the stream. Data frames carry a block whose header came before. There are two lanes, each with one block at a time: raw
//! leaves travel in the bulk lane, all other blocks in the urgent one, and frames of both and messages may stand in any
//! order, so that a cancel, a refusal or a block with children never waits behind more than one frame of a leaf. A header
//! for a lane whose block is unfinished abandons that block. A block of no bytes is its header alone.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use cid::Cid;

pub use self::decode::{Decoder, WireError};
pub use self::encode::{data_frame_head, encode, encode_refer};
use crate::block::RAW;
use crate::exchange::message::Message;

/// The protocol's name in negotiation.
pub const PROTOCOL: &str = "/cidra/blocks/1.0.0";

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Something said; for `Exchange::handle_message`.
    Message(Message),
    /// The next bytes of the block that the last header in this lane announced (none for an empty block).
    Data {
        /// Where its header came.
        lane: Lane,
        /// At most [`MAX_DATA`]; what has come of a frame, which may be cut anywhere.
        data: &'a [u8],
        /// The block is whole with these.
        last: bool,
    },
    /// Others that ask for `root` now; for `Exchange::handle_referred` when their records are checked.
    Refer {
        /// What they ask for.
        root: Cid,
        /// At most 16.
        peers: Vec<Referral>,
    },
}

/// Which of the two blocks under way on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Raw leaves.
    Bulk,
    /// Blocks that may have children: they go before the rest of a leaf.
    Urgent,
}

impl Lane {
    /// The lane in which this block travels.
    pub fn of(cid: &Cid) -> Self {
        if cid.codec() == RAW { Self::Bulk } else { Self::Urgent }
    }
}

/// A peer and how to reach it, as signed by that peer (an envelope with a libp2p peer record): opaque bytes here; who
/// receives it checks the signature and the addresses before it dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    /// Its peer id, in binary; at most [`MAX_PEER_ID`].
    pub peer: Vec<u8>,
    /// At most [`MAX_RECORD`].
    pub signed_record: Vec<u8>,
}

/// Most bytes in a Data frame: what a cancel or a block with children may have to wait for.
pub const MAX_DATA: usize = 64 * 1024;
/// Most bytes in the payload of any other frame: 1,024 of the longest CIDs fit. What is longer ends the stream.
pub const MAX_PAYLOAD: usize = 192 * 1024;
/// Longest peer id in a referral.
pub const MAX_PEER_ID: usize = 128;
/// Longest signed record in a referral.
pub const MAX_RECORD: usize = 4096;

const HEAD: usize = 5;
const DATA_BULK: u8 = 0;
const DATA_URGENT: u8 = 1;
const WANT: u8 = 2;
const CANCEL: u8 = 3;
const HAVE: u8 = 4;
const DONT_HAVE: u8 = 5;
const BLOCK_HEADER: u8 = 6;
const REFER: u8 = 7;
const PENDING: u8 = 8;
/// From this kind on, what is not known is skipped.
const SKIPPED: u8 = 128;
const FLAG_ROOT: u8 = 1;
const FLAG_HAVE: u8 = 2;
const FLAG_CREDIT: u8 = 4;

//! What peers say to one another, in one form for all wires.
//!
//! The native wire says all of it; Bitswap has no request ids, credits, headers and referrals, and its translator
//! makes do (`Protocol` tells the machine what a peer understands). The bytes of a block never stand in a message: see
//! `Exchange::handle_arrived`.

use cid::Cid;

/// Names a request among those one side sent to the other on one connection. Ids rise; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing said. A frame of a wire may carry several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Send me these": see [`Want`].
    Want(Want),
    /// The request is no longer of interest, or only some of its blocks are no longer.
    Cancel { request: RequestId, cids: Vec<Cid> },
    /// The sender of this holds these blocks (an answer to a want for `Kind::Have`, or news to a neighbour of a crowd).
    Have { cids: Vec<Cid> },
    /// An answer to a want: these blocks are not here.
    DontHave { request: RequestId, cids: Vec<Cid> },
    /// The bytes of `cid`, `len` of them, follow as (part of) the answer to `request`.
    BlockHeader { request: RequestId, cid: Cid, len: u32 },
    /// Others that ask for `root` now, drawn from the whole crowd: at most [`MAX_REFERRALS`].
    Refer { root: Cid, peers: Vec<Referral> },
    /// How much the sender has still queued for the receiver, in bytes; it is alive though nothing comes.
    Pending { bytes: u64 },
}

/// A request for blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub request: RequestId,
    /// The root that this download is for: the same for all its requests, so that a source knows who is in the same
    /// crowd, and so that the answer to a root can bring its children along.
    pub root: Option<Cid>,
    pub cids: Vec<Cid>,
    /// How many of `cids` may be sent: all of them, or "any so many", and then the source chooses.
    pub credit: Credit,
    pub kind: Kind,
    /// Higher first, among the requests of one peer.
    pub priority: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    All,
    Any(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send the blocks.
    Block,
    /// Say only whether they are there.
    Have,
}

/// A peer and how to reach it, as signed by that peer (an envelope with a libp2p peer record). To the machine both are
/// opaque bytes; the driver checks the signature and the addresses before it dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    pub peer: Vec<u8>,
    pub signed_record: Vec<u8>,
}

/// Most peers named in one `Refer`.
pub const MAX_REFERRALS: usize = 16;
/// Most CIDs in one message.
pub const MAX_CIDS: usize = 1024;
/// Longest CID in a message, in bytes, as Bitswap's `MaximumAllowedCid`.
pub const MAX_CID_LENGTH: usize = 168;

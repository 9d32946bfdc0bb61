//! What peers say to one another, in one form for all wires.
//!
//! The native wire says all of it; Bitswap has no request ids, credits and headers, and its translator makes do: it
//! gives each list of wants it reads the next id of that peer, and from such a peer (`Protocol::native` is false) the
//! machine goes by CIDs and ignores ids. The bytes of a block never stand in a message: see `Exchange::handle_arrived`.
//! Referrals name peers, so each wire has its own form of them: `Action::Refer`, `Exchange::handle_referred`.

use cid::Cid;

/// Names a request among those one side sent to the other on one connection. Ids rise; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing said.
#[expect(missing_docs, reason = "the variants speak of their fields")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Send me these": see [`Want`].
    Want(Want),
    /// These blocks of the request are no longer of interest, also one that is being sent; an empty list means all of it.
    Cancel { request: RequestId, cids: Vec<Cid> },
    /// The sender of this holds these blocks (an answer to a want for `Kind::Have`, or news to a neighbour of a crowd).
    Have { cids: Vec<Cid> },
    /// An answer to a want: these blocks are not here, or are refused. The sender owes them no longer.
    DontHave { request: RequestId, cids: Vec<Cid> },
    /// The bytes of `cid`, `len` of them, follow as (part of) the answer to `request`.
    BlockHeader { request: RequestId, cid: Cid, len: u32 },
    /// How much the sender has still queued for the receiver, in bytes; it is alive though nothing comes.
    Pending { bytes: u64 },
}

/// A request for blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Named in the answers, and to cancel.
    pub request: RequestId,
    /// The root that this download is for: the same for all its requests, so that a source knows who is in the same crowd.
    pub root: Option<Cid>,
    /// At most [`MAX_CIDS`].
    pub cids: Vec<Cid>,
    /// How many of `cids` may be sent.
    pub credit: Credit,
    /// The blocks, or only whether they are there.
    pub kind: Kind,
    /// Higher first, among the requests of one peer.
    pub priority: i32,
}

/// How many blocks of a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// All of them.
    All,
    /// Any so many, and the source chooses which.
    Any(u32),
}

/// What a request asks to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send the blocks.
    Block,
    /// Say only whether they are there.
    Have,
}

/// Most peers named in one referral.
pub const MAX_REFERRALS: usize = 16;
/// Most CIDs in one message.
pub const MAX_CIDS: usize = 1024;
/// Longest CID in a message, in bytes, as Bitswap's `MaximumAllowedCid`.
pub const MAX_CID_LENGTH: usize = 168;

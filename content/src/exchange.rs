//! The block exchange, both halves: whom to ask for a block, and what to answer.
//!
//! A machine: verbs the application calls, `handle_*` for what happened, `poll` for what to do about it. `P` names a
//! peer. Time is an argument. Bytes of blocks never enter it: the driver hands payloads to the hashing pool and tells the
//! machine what came of them.

pub mod message;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cid::Cid;

use crate::block::Links;
use message::{Message, Referral, RequestId};

/// Both halves of the exchange with every peer.
pub struct Exchange<P> {
    _peers: BTreeMap<P, ()>,
}

/// Names one download within an `Exchange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a peer understands, as negotiated on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Requests have ids, answers have headers; credits, cancels within a block, referrals.
    pub native: bool,
    /// HAVE and DONT_HAVE (native, and Bitswap 1.2.0).
    pub presence: bool,
}

/// How a download wants its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As soon as possible, whatever the order.
    Any,
    /// The highest priority first (a reader waits for it).
    Priority,
}

/// What to do. The driver carries it out and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Dial this peer (it was found as a provider, or referred).
    Connect { peer: P, referral: Option<Referral> },
    /// Look for providers of `cid` until told to stop; each finding comes back by `handle_providers`, the end by
    /// `handle_search_end`.
    Search { cid: Cid },
    StopSearch { cid: Cid },
    /// Say this to the peer, ahead of blocks.
    Send { peer: P, message: Message },
    /// Which of `cids` are in the store, and how long: answer with `handle_located`.
    Locate { peer: P, request: RequestId, cids: Vec<Cid> },
    /// Read this block and send it to the peer as (part of) the answer to `request`, its header first; report with
    /// `handle_sent` as it leaves, or `handle_load_failed`.
    Load { peer: P, request: RequestId, cid: Cid },
    /// Stop sending this block, also in the middle of it.
    Abort { peer: P, request: RequestId, cid: Cid },
    /// The block of a want is verified and in the store.
    Delivered { session: SessionId, cid: Cid, links: Links },
    /// Nobody delivers this one; the search goes on with growing pauses. Told once per round so that people can be told.
    Missing { session: SessionId, cid: Cid, report: Report<P> },
    /// This peer lied or broke the rules: drop the connection, and do not dial it again for so long.
    Ban { peer: P, lasting: Duration, why: String },
}

/// Whom we asked for a block, and what each said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<P> {
    pub asked: Vec<(P, String)>,
    /// How many searches for providers ended.
    pub searches: u32,
}

/// Limits and patience. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most bytes loading or unsent, per peer and in all.
    pub serving_per_peer: usize,
    pub serving_total: usize,
    /// Most bytes asked for and not yet stored, in all.
    pub window_total: usize,
    /// Blocks sent at a time by a whole source to a crowd (facts: 4).
    pub slots: usize,
    pub referrals: bool,
}

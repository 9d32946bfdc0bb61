//! What the machine tells people: why a block is missing, how a download goes, what a peer gave and took.

use std::time::Duration;

use cid::Cid;

use super::Latencies;

/// Whom we asked for a block, and what each said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<P> {
    /// At most 64 peers, each with what it said or why it could not be asked.
    pub asked: Vec<(P, String)>,
    /// How many searches for providers of this block or of its root have ended.
    pub searches: u32,
}

/// One download, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport<P> {
    /// Its peers, those it is dialling, and those that failed.
    pub peers: Vec<PeerReport<P>>,
    /// Blocks wanted and not delivered.
    pub wants: usize,
    /// Of these, owed by a peer or on their way into the store.
    pub asked: usize,
    /// Blocks delivered so far, and their bytes.
    pub blocks: u64,
    /// Bytes of the blocks delivered so far.
    pub bytes: u64,
    /// Whether providers are being looked for.
    pub searching: bool,
}

/// One peer of a download.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerReport<P> {
    /// Which.
    pub peer: P,
    /// What it is to the download.
    pub state: PeerState,
    /// Bytes of blocks it sent for this download.
    pub bytes: u64,
    /// Bytes a second while it owed something.
    pub rate: Option<u64>,
    /// As measured by ping or by answers.
    pub round_trip: Option<Duration>,
}

/// What a peer is to a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Nothing is owed by it.
    Idle,
    /// It owes us so many blocks.
    Owing(usize),
    /// It owes us something and is silent: asked for nothing more until a byte comes.
    Doubted,
    /// Being dialled.
    Dialling,
    /// Known, not connected.
    Away,
    /// Could not be reached, and why.
    Failed(String),
}

/// What went to and fro between us and one peer since it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Bytes of blocks.
    pub bytes_received: u64,
    /// Whole blocks.
    pub blocks_received: u64,
    /// Bytes of blocks.
    pub bytes_sent: u64,
    /// Whole blocks.
    pub blocks_sent: u64,
}

/// What went to one peer of a root that is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Bytes of blocks, since it is watched.
    pub bytes: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// The last of them: it says how far a peer is that had the beginning already.
    pub last: Option<Cid>,
}

/// What was done since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `Connect` actions.
    pub dials: u64,
    /// `Search` actions.
    pub searches: u64,
    /// Bytes of blocks that came in, useful or not.
    pub bytes_received: u64,
    /// Blocks verified and wanted.
    pub blocks_received: u64,
    /// Bytes of whole blocks that came and were of no use.
    pub bytes_wasted: u64,
    /// Bytes of blocks taken by connections.
    pub bytes_sent: u64,
    /// Blocks wholly sent.
    pub blocks_sent: u64,
    /// From asking a peer for a block to the beginning of it.
    pub answers: Latencies,
}

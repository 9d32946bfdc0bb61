//! The block exchange, both halves: whom to ask for a block, and what to answer.
//!
//! A machine: verbs the application calls, `handle_*` for what happened, `poll` for what to do about it. `P` names a
//! peer. Time is an argument. Bytes of blocks never enter it: the driver hands payloads to the hashing pool and tells the
//! machine what came of them. After inputs, call `poll` until it gives `None`, then sleep until `poll_timeout`: what is
//! asked of whom is decided in `poll`, once for all the inputs before it.

mod client;
mod latencies;
pub mod limit;
pub mod message;
mod random;
mod report;
mod server;
#[cfg(test)]
mod tests;
pub mod wire;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use cid::Cid;

use crate::block::Links;
use client::Client;
pub use latencies::Latencies;
use message::{Message, RequestId};
pub use report::{Counters, Ledger, PeerReport, PeerState, Report, Served, SessionReport};
use server::Server;

/// Both halves of the exchange with every peer.
pub struct Exchange<P> {
    client: Client<P>,
    server: Server<P>,
    now: Option<Instant>,
}

impl<P: Peer> Exchange<P> {
    /// A machine that knows nobody yet. The same `seed` and the same inputs give the same actions.
    pub fn new(config: Config, seed: u64) -> Self {
        Self { client: Client::new(config.clone(), seed), server: Server::new(config, !seed), now: None }
    }

    /// Begins a download. `root` is what its requests carry as their root, and what is searched for first.
    pub fn open(&mut self, root: Cid, order: Order, now: Instant) -> SessionId {
        let now = self.at(now);
        self.client.open(root, order, now)
    }

    /// Wants a block for a session. Of a block that it wants already only the priority changes (higher first).
    pub fn want(&mut self, session: SessionId, cid: Cid, priority: i32, now: Instant) {
        let now = self.at(now);
        self.client.want(session, cid, priority, now);
    }

    /// No longer wants a block for a session; cancelled at peers when nobody else wants it.
    pub fn unwant(&mut self, session: SessionId, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.client.unwant(session, cid, now);
    }

    /// Adds peers that the user named or that are known to hold the root.
    pub fn add_holders(&mut self, session: SessionId, peers: Vec<P>, now: Instant) {
        let now = self.at(now);
        self.client.add_holders(session, peers, now);
    }

    /// Ends a download: what nobody else wants is cancelled at peers, searches for it are stopped.
    pub fn close(&mut self, session: SessionId, now: Instant) {
        let now = self.at(now);
        self.client.close(session, now);
    }

    /// A connection on which blocks can be exchanged is there (the first one, whoever dialled; again when the protocol of
    /// a connected peer turns out better). Answers a `Connect`.
    pub fn handle_connected(&mut self, peer: P, protocol: Protocol, round_trip: Option<Duration>, now: Instant) {
        let now = self.at(now);
        if self.server.handle_connected(peer.clone(), protocol, now) {
            self.client.handle_connected(peer, protocol, round_trip, now);
        }
    }

    /// The last connection to the peer is gone.
    pub fn handle_disconnected(&mut self, peer: &P, now: Instant) {
        let now = self.at(now);
        self.client.handle_disconnected(peer, now);
        self.server.handle_disconnected(peer, now);
    }

    /// A `Connect` failed, or the peer has no protocol for blocks. `why` is shown to people.
    pub fn handle_connect_failed(&mut self, peer: &P, why: String, now: Instant) {
        let now = self.at(now);
        self.client.handle_connect_failed(peer, why, now);
    }

    /// A ping came back.
    pub fn handle_round_trip(&mut self, peer: &P, round_trip: Duration, now: Instant) {
        let now = self.at(now);
        self.client.handle_round_trip(peer, round_trip, now);
    }

    /// The peer said this. Messages of peers that are not connected are ignored.
    pub fn handle_message(&mut self, peer: &P, message: Message, now: Instant) {
        let now = self.at(now);
        self.client.handle_heard(peer, now);
        match message {
            Message::Want(want) => {
                if let Some(root) = want.root {
                    self.client.handle_asker(peer, &root, now);
                }
                self.server.handle_want(peer, want, now);
            }
            Message::Cancel { request, cids } => self.server.handle_cancel(peer, request, &cids, now),
            Message::Have { cids } => self.client.handle_have(peer, cids),
            Message::DontHave { request, cids } => self.client.handle_dont_have(peer, request, &cids, now),
            Message::BlockHeader { request, cid, len } => self.client.handle_header(peer, request, &cid, len, now),
            Message::Pending { .. } => {}
        }
    }

    /// The peer referred us to others that ask for `root` now. The driver has checked their records.
    pub fn handle_referred(&mut self, peer: &P, root: &Cid, others: Vec<P>, now: Instant) {
        let now = self.at(now);
        self.client.handle_referred(peer, root, others, now);
    }

    /// Part of a block came in: so many bytes of it since the last call.
    pub fn handle_progress(&mut self, peer: &P, bytes: usize, now: Instant) {
        let now = self.at(now);
        self.client.handle_progress(peer, bytes, now);
    }

    /// A whole payload came in; `cid` is `None` where the wire does not name it (Bitswap). Its bytes were reported by
    /// `handle_progress` before. False: it is of no use, do not verify it. True: `handle_verified` or `handle_bad` must follow.
    pub fn handle_arrived(&mut self, peer: &P, cid: Option<&Cid>, len: usize, now: Instant) -> bool {
        let now = self.at(now);
        self.client.handle_arrived(peer, cid, len, now)
    }

    /// The payload matches this CID. False: nobody wants it any more, drop it. True: store it; `handle_stored` or
    /// `handle_store_failed` must follow.
    pub fn handle_verified(&mut self, peer: &P, cid: &Cid, len: usize, links: Links, now: Instant) -> bool {
        let now = self.at(now);
        self.client.handle_verified(peer, cid, len, links, now)
    }

    /// The payload does not match the CID under which it came.
    pub fn handle_bad(&mut self, peer: &P, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.client.handle_bad(peer, cid, now);
    }

    /// A verified block is in the store and can be read.
    pub fn handle_stored(&mut self, cid: &Cid, now: Instant) {
        let now = self.at(now);
        if let Some(len) = self.client.handle_stored(cid) {
            self.server.handle_available(cid, len, now);
        }
    }

    /// The store could not take a verified block; it is asked for again after a pause, unless the driver ends the session.
    pub fn handle_store_failed(&mut self, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.client.handle_store_failed(cid, now);
    }

    /// A block came into the store by another way (`add`, an import).
    pub fn handle_added(&mut self, cid: &Cid, len: usize, links: Links, now: Instant) {
        let now = self.at(now);
        self.client.handle_added(cid, len, links, now);
        self.server.handle_available(cid, len, now);
    }

    /// Answers `Locate`: the length of each block, or that it is not here.
    pub fn handle_located(&mut self, peer: &P, request: RequestId, found: Vec<(Cid, Option<u32>)>, now: Instant) {
        let now = self.at(now);
        self.server.handle_located(peer, request, found, now);
    }

    /// What an `Abort` was for is gone: nothing of the block is being read or waits to be sent.
    pub fn handle_aborted(&mut self, peer: &P, request: RequestId, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.server.handle_aborted(peer, request, cid, now);
    }

    /// A `Load` failed: the block is not readable after all.
    pub fn handle_load_failed(&mut self, peer: &P, request: RequestId, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.server.handle_load_failed(peer, request, cid, now);
    }

    /// So many bytes of a loaded block were taken by the peer's connection since the last call; `last` ends the block.
    /// A block that was aborted needs none.
    pub fn handle_sent(&mut self, peer: &P, request: RequestId, cid: &Cid, bytes: usize, last: bool, now: Instant) {
        let now = self.at(now);
        self.server.handle_sent(peer, request, cid, bytes, last, now);
    }

    /// A search found these.
    pub fn handle_providers(&mut self, cid: &Cid, peers: Vec<P>, now: Instant) {
        let now = self.at(now);
        self.client.handle_providers(cid, peers, now);
    }

    /// A search ended by itself. Not called for one that was stopped.
    pub fn handle_search_end(&mut self, cid: &Cid, now: Instant) {
        let now = self.at(now);
        self.client.handle_search_end(cid, now);
    }

    /// The time of `poll_timeout` has come. Calling it early or late does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.at(now);
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
    }

    /// The next thing to do, or `None` until the next input.
    pub fn poll(&mut self) -> Option<Action<P>> {
        let now = self.now?;
        self.client.poll(now).or_else(|| self.server.poll(now))
    }

    /// When `handle_timeout` is due, if nothing else happens before. Asked after `poll` has given `None`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min()
    }

    /// For people: the peers of a download and what it waits for.
    pub fn session_report(&self, session: SessionId) -> Option<SessionReport<P>> {
        self.client.session_report(session)
    }

    /// From here on it is counted how much of what is asked for under `root` goes to whom.
    pub fn watch(&mut self, root: &Cid) {
        self.server.audience.watch(root);
    }

    /// Ends that, and forgets what was counted.
    pub fn unwatch(&mut self, root: &Cid) {
        self.server.audience.unwatch(root);
    }

    /// For people: who asked for blocks under a root that is watched, and what went to them; at most 1,024 peers.
    pub fn audience(&self, root: &Cid) -> Vec<(P, Served)> {
        self.server.audience.of(root)
    }

    /// What went to and fro between us and a connected peer.
    pub fn ledger(&self, peer: &P) -> Option<Ledger> {
        let received = self.client.received(peer)?;
        let (bytes_sent, blocks_sent) = self.server.sent(peer).unwrap_or_default();
        Some(Ledger { bytes_sent, blocks_sent, ..received })
    }

    /// Downloads that are open.
    pub fn sessions(&self) -> usize {
        self.client.sessions()
    }

    /// What was done since the machine was made.
    pub fn counters(&self) -> Counters {
        let served = self.server.counters();
        Counters { bytes_sent: served.0, blocks_sent: served.1, ..self.client.counters() }
    }

    #[cfg(test)]
    fn unattended(&self) -> Vec<String> {
        self.now.map(|now| self.client.unattended(now)).unwrap_or_default()
    }

    /// The time of an input; it never runs backwards here, whatever the clocks of the caller's threads say.
    fn at(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        now
    }
}

/// What may name a peer.
pub trait Peer: Ord + Clone + Debug {}

impl<T: Ord + Clone + Debug> Peer for T {}

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

impl Protocol {
    /// `/cidra/blocks/1.0.0`.
    pub const NATIVE: Self = Self { native: true, presence: true };
    /// `/ipfs/bitswap/1.2.0`.
    pub const BITSWAP: Self = Self { native: false, presence: true };
    /// Bitswap before 1.2.0.
    pub const OLD_BITSWAP: Self = Self { native: false, presence: false };
}

/// How a download wants its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As soon as possible, whatever the order; blocks with children before leaves.
    Any,
    /// The highest priority first (a reader waits for it).
    #[default]
    Priority,
}

/// What to do. The driver carries it out and decides nothing.
#[expect(missing_docs, reason = "fields are named after their types")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Dial this peer (it was found as a provider, or referred). `handle_connected` or `handle_connect_failed` follows.
    Connect { peer: P },
    /// Look for providers of `cid` until told to stop; each finding comes back by `handle_providers`, the end by
    /// `handle_search_end`.
    Search { cid: Cid },
    /// Stop looking; nothing more is expected of this search.
    StopSearch { cid: Cid },
    /// Say this to the peer, ahead of blocks.
    Send { peer: P, message: Message },
    /// Tell the peer who else asks for `root`, with the signed records of those that have one.
    Refer { peer: P, root: Cid, others: Vec<P> },
    /// Which of `cids` are in the store, and how long: answer with `handle_located`.
    Locate { peer: P, request: RequestId, cids: Vec<Cid> },
    /// Read this block and send it to the peer as (part of) the answer to `request`, its header first; report with
    /// `handle_sent` as it leaves, or `handle_load_failed`. An urgent block goes before the rest of one that is not. `root` is
    /// what the peer asks under.
    Load { peer: P, request: RequestId, cid: Cid, root: Option<Cid>, urgent: bool },
    /// Stop sending this block, also in the middle of it; report with `handle_aborted` when nothing of it is left.
    Abort { peer: P, request: RequestId, cid: Cid },
    /// The block of a want is verified and in the store. The want is over.
    Delivered { session: SessionId, cid: Cid, links: Links },
    /// Nobody delivers this one; the search goes on with growing pauses. Told once per round so that people can be told.
    Missing { session: SessionId, cid: Cid, report: Report<P> },
    /// This peer lied or broke the rules: drop the connection, and do not dial or accept it for so long.
    Ban { peer: P, lasting: Duration, why: String },
}

/// Limits and patience. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most bytes loading or unsent for one peer, before one more block is loaded.
    pub serving_per_peer: usize,
    /// The same for all peers together.
    pub serving_total: usize,
    /// Most bytes asked for and not yet stored, in all.
    pub window_total: usize,
    /// Receivers served at a time when many ask.
    pub slots: usize,
    /// Whether to refer peers that ask for the same root to each other, and to follow referrals.
    pub referrals: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serving_per_peer: 4 * 1024 * 1024,
            serving_total: 32 * 1024 * 1024,
            window_total: 32 * 1024 * 1024,
            slots: 4,
            referrals: true,
        }
    }
}

//! What people and programs ask of the network; each with a slot for the answer.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Weak;
use std::time::Duration;

use cid::Cid;
use cidra_content::exchange::{Order, SessionId, SessionReport};
use cidra_content::reach::Reachability;
use libp2p::identity::PublicKey;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

use super::audience::Receiver;
use super::discovery::{Closest, Finder, Side};
use super::session::Session;
use super::{ConnectError, OpenStreamError, ProvideError, Stats};

/// A request to the task that owns the swarm.
pub(super) enum Command {
    AnnouncedAddresses {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    /// So many peers nearest to a key of the DHT, or those found until then.
    Closest {
        key: Vec<u8>,
        count: NonZeroUsize,
        patience: Option<Duration>,
        reply: oneshot::Sender<Result<Closest, ProvideError>>,
    },
    CloseSession {
        session: SessionId,
    },
    Dial {
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        reply: oneshot::Sender<Result<PeerId, ConnectError>>,
    },
    Disconnect {
        peer: PeerId,
        reply: oneshot::Sender<bool>,
    },
    FindPeer {
        peer: PeerId,
        reply: mpsc::Sender<Vec<Multiaddr>>,
    },
    FindProviders {
        cid: Cid,
        finder: Finder,
    },
    Identify {
        peer: PeerId,
        reply: oneshot::Sender<PeerIdentity>,
    },
    /// Keeps this node's own records among those of others.
    KeepOwn {
        side: Side,
        names: Vec<Vec<u8>>,
    },
    KnownAddresses {
        reply: oneshot::Sender<BTreeMap<PeerId, Vec<Multiaddr>>>,
    },
    /// A download is to get no more than so many bytes a second.
    LimitSession {
        session: SessionId,
        rate: NonZeroU64,
    },
    ListenAddresses {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    /// The peers of each DHT that are nearest to a key.
    Nearest {
        key: Vec<u8>,
        reply: mpsc::Sender<Closest>,
    },
    OpenSession {
        root: Cid,
        order: Order,
        holders: Vec<Multiaddr>,
        reply: oneshot::Sender<Session>,
    },
    OpenStream {
        peer: PeerId,
        protocol: StreamProtocol,
        reply: oneshot::Sender<Result<Stream, OpenStreamError>>,
    },
    Peers {
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    Protocols {
        reply: oneshot::Sender<Vec<String>>,
    },
    Reachability {
        reply: oneshot::Sender<Reached>,
    },
    Receivers {
        root: Cid,
        reply: oneshot::Sender<Vec<Receiver>>,
    },
    Report {
        session: SessionId,
        reply: oneshot::Sender<Option<SessionReport<PeerId>>>,
    },
    SetBootstrap {
        addresses: Vec<Multiaddr>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
    Stats {
        reply: oneshot::Sender<Stats>,
    },
    Unwant {
        session: SessionId,
        cids: Vec<Cid>,
    },
    Want {
        session: SessionId,
        wants: Vec<(Cid, i32)>,
    },
    /// Count what of the root goes to whom, while anybody has an interest in it.
    Watch {
        root: Cid,
        limit: Option<NonZeroU64>,
        interest: Weak<()>,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

/// A peer that is connected.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Which.
    pub peer: PeerId,
    /// Where it is, as seen from here.
    pub address: Multiaddr,
    /// Who dialled.
    pub direction: Direction,
    /// The last round trip that was measured.
    pub latency: Option<Duration>,
    /// What it speaks; empty until it has said so.
    pub protocols: Vec<String>,
    /// What it calls itself; empty until it has said so.
    pub agent: String,
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This node.
    Outbound,
}

/// Whether others can reach this node, and how.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// What they found when they dialled it.
    pub reachability: Reachability<Multiaddr>,
    /// Addresses that lead to it on its own networks, as others there found.
    pub nearby: Vec<Multiaddr>,
    /// The relays through which they reach it.
    pub relays: Vec<PeerId>,
}

/// What a peer says of itself.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    /// Proven by the connection.
    pub public_key: PublicKey,
    /// What it calls itself.
    pub agent: String,
    /// What it speaks.
    pub protocols: Vec<String>,
    /// Where it listens, by its own words.
    pub addresses: Vec<Multiaddr>,
}

/// A peer that has content, and where it was said to be (perhaps nowhere).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Which.
    pub peer: PeerId,
    /// Where.
    pub addresses: Vec<Multiaddr>,
}

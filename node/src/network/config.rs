//! How a node takes part in the network.

use std::num::NonZeroU64;
use std::time::Duration;

use cidra_content::exchange;
use libp2p::{Multiaddr, PeerId};

use super::swarm_key::SwarmKey;
use crate::config::DenyLists;

/// What the network is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; a port that is taken is replaced by a free one.
    pub listen: Vec<Multiaddr>,
    /// Whom to meet first; without `/p2p/…`, whoever answers is taken.
    pub bootstrap: Vec<Multiaddr>,
    /// Whom to be connected with all the time; each with `/p2p/…`.
    pub peering: Vec<Multiaddr>,
    /// The only peers to connect with, and to let connect; none: all.
    pub allow: Vec<PeerId>,
    /// Peers to never connect with, nor to let connect.
    pub deny: Vec<PeerId>,
    /// Part in the DHT.
    pub routing: Routing,
    /// Of a private network: nobody without it is spoken to, over TCP alone.
    pub swarm_key: Option<SwarmKey>,
    /// Whether blocks are served.
    pub serve: bool,
    /// Whether what the store lists for announcing is announced, and announced again.
    pub announce: bool,
    /// What of it.
    pub strategy: Strategy,
    /// What is neither served nor announced, nor told by the DHT.
    pub deny_lists: DenyLists,
    /// Idle connections are closed down to this many …
    pub low_water: u32,
    /// … once there are more than this many.
    pub high_water: u32,
    /// Whether to relay for others, a little, and to check for others whether they can be dialled.
    pub relay_service: Option<RelayLimits>,
    /// Whether to ask relays for a place where nobody can dial this node, and to make holes in what is in the way.
    pub relay_client: bool,
    /// Whether to ask the router for ports.
    pub port_mapping: bool,
    /// Taken for granted: nobody can dial this node.
    pub hidden: bool,
    /// Bytes of blocks a second that go out, at most.
    pub limit_up: Option<NonZeroU64>,
    /// Bytes of blocks a second that come in, at most.
    pub limit_down: Option<NonZeroU64>,
    /// The exchange of blocks.
    pub exchange: exchange::Config,
    /// Whether to look for peers on the local network, and to be found there.
    pub mdns: bool,
    /// What this node calls itself.
    pub agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![],
            bootstrap: vec![],
            peering: vec![],
            allow: vec![],
            deny: vec![],
            routing: Routing::Server,
            swarm_key: None,
            serve: true,
            announce: false,
            strategy: Strategy::default(),
            deny_lists: DenyLists::default(),
            low_water: 96,
            high_water: 160,
            relay_service: None,
            relay_client: true,
            port_mapping: false,
            hidden: false,
            limit_up: None,
            limit_down: None,
            exchange: exchange::Config::default(),
            mdns: false,
            agent: concat!("cidra/", env!("CARGO_PKG_VERSION"), "/").to_owned(),
        }
    }
}

/// What a relay gives to others; one more is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Nodes that have a place at a time.
    pub reservations: usize,
    /// Connections that are relayed at a time.
    pub circuits: usize,
    /// Bytes that go over one of them, each way.
    pub bytes: u64,
    /// How long one of them lasts.
    pub duration: Duration,
}

impl Default for RelayLimits {
    /// Enough to make a hole, and no more.
    fn default() -> Self {
        Self { reservations: 128, circuits: 16, bytes: 128 * 1024, duration: Duration::from_secs(120) }
    }
}

/// Part in the DHT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// A server in the DHT of local networks, and in that of all once others are known to reach this node; in both of a private
    /// network.
    #[default]
    Auto,
    /// Asks, and keeps no records for others.
    Client,
    /// None: only peers that are named or that connect.
    None,
    /// Asks, answers and keeps records.
    Server,
}

/// What is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Every block.
    All,
    /// Roots, and every block that a pin protects.
    Pinned,
    /// What was added or pinned, by its root: whoever finds the root asks there for the rest.
    #[default]
    Roots,
}

//! `[swarm]`: listening, connections, and whom to trust.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Rate, addresses, texts};

/// `[swarm]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwarmSection {
    /// The only peers to have anything to do with; none: all.
    #[serde(deserialize_with = "peers", serialize_with = "names")]
    pub allow: Vec<PeerId>,
    /// Peers to have nothing to do with.
    #[serde(deserialize_with = "peers", serialize_with = "names")]
    pub deny: Vec<PeerId>,
    /// Where peers reach this node.
    #[serde(deserialize_with = "addresses", serialize_with = "texts")]
    pub listen: Vec<Multiaddr>,
    /// Idle connections are closed down to this many …
    pub low_water: u32,
    /// … once there are more than this many.
    pub high_water: u32,
    /// How fast blocks come from others, at most.
    pub limit_down: Rate,
    /// How fast blocks go to others, at most.
    pub limit_up: Rate,
    /// Whether to look for peers on the local network, and to be found there.
    pub mdns: bool,
    /// Peers to be connected with all the time: where they are, and who.
    #[serde(deserialize_with = "named", serialize_with = "texts")]
    pub peering: Vec<Multiaddr>,
    /// Whether a daemon asks the router for ports.
    pub port_mapping: bool,
    /// Whether to be reached through relays, and through holes, where nobody can dial this node.
    pub relay_client: bool,
}

impl Default for SwarmSection {
    fn default() -> Self {
        let listen =
            ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/udp/4001/quic-v1"];
        let listen = listen.map(|text| text.parse().expect("a literal address")).to_vec();
        Self {
            allow: vec![],
            deny: vec![],
            listen,
            low_water: 96,
            high_water: 160,
            limit_down: Rate::Unlimited,
            limit_up: Rate::Unlimited,
            mdns: true,
            peering: vec![],
            port_mapping: true,
            relay_client: true,
        }
    }
}

fn names<S: Serializer>(peers: &[PeerId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(peers.iter().map(PeerId::to_string))
}

fn peers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerId>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let peer = |name: &String| {
        name.parse().map_err(|_| de::Error::custom(format!("{name:?} is no peer id: `cidra id` on that node says it")))
    };
    names.iter().map(peer).collect()
}

/// Addresses that say who is there.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Multiaddr>, D::Error> {
    let addresses = addresses(deserializer)?;
    match addresses.iter().find(|address| !matches!(address.iter().last(), Some(Protocol::P2p(_)))) {
        Some(address) => Err(de::Error::custom(format!("{address} does not say who is there: end it with /p2p/PEER"))),
        None => Ok(addresses),
    }
}

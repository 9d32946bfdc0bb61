//! What this node speaks on every connection, composed of libp2p's behaviours and ours.

use std::time::Duration;

use libp2p::allow_block_list::{self, AllowedPeers, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, dcutr, identify, ping, relay};

use super::config::{Config, RelayLimits};
use super::discovery::{Dht, Side};
use super::streams;

/// All behaviours. Limits and bans come first: they refuse a connection before others hear of it.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    /// Those who lied, for a while.
    pub(super) bans: allow_block_list::Behaviour<BlockedPeers>,
    denied: allow_block_list::Behaviour<BlockedPeers>,
    allowed: Toggle<allow_block_list::Behaviour<AllowedPeers>>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) wan: Toggle<Dht>,
    pub(super) lan: Toggle<Dht>,
    pub(super) streams: streams::Behaviour,
    pub(super) relay: Toggle<relay::Behaviour>,
    relay_client: relay::client::Behaviour,
    holes: Toggle<dcutr::Behaviour>,
}

impl Behaviour {
    pub(super) fn new(
        keypair: &Keypair,
        config: &Config,
        (wan, lan): (Option<Dht>, Option<Dht>),
        streams: streams::Behaviour,
        relay_client: relay::client::Behaviour,
    ) -> Self {
        let here = PeerId::from(keypair.public());
        let identify = identify::Config::new_with_signed_peer_record(IDENTIFY_VERSION.to_owned(), keypair)
            .with_agent_version(config.agent.clone())
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        let mut denied = allow_block_list::Behaviour::<BlockedPeers>::default();
        for peer in &config.deny {
            denied.block_peer(*peer);
        }
        let allowed = (!config.allow.is_empty()).then(|| {
            let mut allowed = allow_block_list::Behaviour::<AllowedPeers>::default();
            for peer in &config.allow {
                allowed.allow_peer(*peer);
            }
            allowed
        });
        Self {
            limits: connection_limits::Behaviour::new(limits(config)),
            bans: allow_block_list::Behaviour::default(),
            denied,
            allowed: allowed.into(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_PATIENCE)),
            wan: wan.into(),
            lan: lan.into(),
            streams,
            relay: config.relay_service.as_ref().map(|limits| service(here, limits)).into(),
            relay_client,
            holes: config.relay_client.then(|| dcutr::Behaviour::new(here)).into(),
        }
    }

    /// The networks in which this node looks for others, the public one first.
    pub(super) fn dhts(&mut self) -> impl Iterator<Item = &mut Dht> {
        [self.wan.as_mut(), self.lan.as_mut()].into_iter().flatten()
    }

    /// One of them.
    pub(super) fn dht(&mut self, side: Side) -> Option<&mut Dht> {
        match side {
            Side::Lan => self.lan.as_mut(),
            Side::Wan => self.wan.as_mut(),
        }
    }
}

/// A relay for others, whatever this node knows of where it is.
fn service(here: PeerId, limits: &RelayLimits) -> relay::Behaviour {
    let config = relay::Config {
        max_reservations: limits.reservations,
        max_circuits: limits.circuits,
        max_circuit_bytes: limits.bytes,
        max_circuit_duration: limits.duration,
        ..relay::Config::default()
    };
    let mut relay = relay::Behaviour::new(here, config);
    relay.set_status(Some(relay::Status::Enable));
    relay
}

/// Connections beyond these are refused.
fn limits(config: &Config) -> ConnectionLimits {
    let most = config.high_water.saturating_mul(2).saturating_add(HEADROOM);
    ConnectionLimits::default()
        .with_max_established(Some(most))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        .with_max_pending_outgoing(Some(MAX_PENDING_OUTGOING))
}

/// Look-ups need some connections beyond the high water mark while they run.
const HEADROOM: u32 = 128;
/// Two sides that dial each other at once make two; one more for a dead one that nobody has noticed.
const MAX_PER_PEER: u32 = 4;
const MAX_PENDING_INCOMING: u32 = 128;
const MAX_PENDING_OUTGOING: u32 = 512;
/// As Kubo says it.
const IDENTIFY_VERSION: &str = "ipfs/0.1.0";
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);

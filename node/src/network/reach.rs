//! Whether others can reach this node, and the ways for them where they cannot dial it: AutoNAT v2 on both sides, places at relays.
//!
//! What is tested and what answers mean is decided by `content::reach`; here are the streams, and what the driver has to remember.

mod asking;
mod checking;
mod frame;
mod mapping;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cidra_content::autonat::{self, Guard, Response};
use cidra_content::dht::Range;
use cidra_content::reach::{Answer, Prober, Reachability, Relays, Scope};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

pub(super) use self::asking::{ask, confirm, hear};
pub(super) use self::checking::{Request, answer, read, say_back, take_payment};
use self::mapping::Port;
pub(super) use self::mapping::{Mappings, open};
use super::address::{ip, is_circuit};
use super::command::Reached;
use super::streams::StreamRequest;

/// What the driver knows of how this node is reached.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) prober: Prober<Multiaddr, PeerId>,
    pub(super) relays: Relays<PeerId>,
    /// What was said last.
    pub(super) said: Reachability<Multiaddr>,
    /// Taken for granted: nobody can dial this node.
    pub(super) hidden: bool,
    /// Who spoke last of where it sees this node.
    pub(super) observer: Option<PeerId>,
    /// Streams that are being opened for tests.
    pub(super) asking: HashMap<StreamRequest, (u64, Multiaddr)>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) guard: Guard<PeerId>,
    /// Dials on behalf of others, and the streams on which the nonce is to be said.
    pub(super) dialling: HashMap<ConnectionId, (Request, Instant)>,
    pub(super) saying: HashMap<StreamRequest, (ConnectionId, Request)>,
    pub(super) listeners: HashMap<ListenerId, PeerId>,
    pub(super) mappings: Mappings,
    /// What relays said that they carry, in bytes each way; none: no limit.
    pub(super) limits: BTreeMap<PeerId, Option<u64>>,
    /// Peers behind relays, and until when a direct connection to each is waited for.
    pub(super) awaited: BTreeMap<PeerId, (ConnectionId, Instant)>,
    /// Connections through relays that are of no more use.
    pub(super) idle: Vec<(ConnectionId, Instant)>,
}

/// A stream that has said something, or is done.
pub(super) enum Done {
    Answered {
        nonce: u64,
        answer: Answer,
    },
    Asked(Request),
    /// What came of a request; none where the client did not pay. With a connection that was made for it.
    Checked {
        request: Request,
        response: Option<Response>,
        dialled: Option<ConnectionId>,
    },
    DialledBack {
        nonce: u64,
        stream: Stream,
    },
    Nothing,
    /// The router was asked for a port, and says what others reach it by, if it opened it.
    Opened {
        port: Port,
        address: Option<Multiaddr>,
    },
    Paid(Request),
}

impl Reach {
    pub(super) fn new(hidden: bool) -> Self {
        Self { hidden, ..Self::default() }
    }

    /// Whether others can reach this node.
    pub(super) fn reachability(&self) -> Reachability<Multiaddr> {
        if self.hidden { Reachability::Private } else { self.prober.reachability() }
    }

    /// The same for people.
    pub(super) fn reached(&self) -> Reached {
        let relays = self.relays.held().copied().collect();
        Reached { reachability: self.reachability(), nearby: self.prober.confirmed(Scope::Local), relays }
    }

    /// Remembers what a relay carries.
    pub(super) fn learn_limit(&mut self, relay: PeerId, bytes: Option<u64>) {
        if self.limits.len() < MAX_LIMITS || self.limits.contains_key(&relay) {
            self.limits.insert(relay, bytes);
        }
    }

    /// What goes through a relay each way.
    pub(super) fn limit_of(&self, relay: &PeerId) -> Option<u64> {
        // A relay without a limit carries more than anybody sends.
        self.limits.get(relay).map(|limit| limit.unwrap_or(u64::MAX))
    }

    pub(super) fn has_room(&self) -> bool {
        self.work.len() < MAX_WORK
    }
}

/// The protocols of inbound streams, and how many of each a peer may have open on a connection: who has its answer may ask anew while
/// the stream of the last request is still being closed.
pub(super) fn protocols() -> [(StreamProtocol, usize); 2] {
    [(StreamProtocol::new(autonat::DIAL_BACK), 1), (StreamProtocol::new(autonat::DIAL_REQUEST), 2)]
}

/// From where an address can be dialled; none: it is not worth a test.
pub(super) fn scope(address: &Multiaddr) -> Option<Scope> {
    if is_circuit(address) {
        return None;
    }
    match Range::of(ip(address)?) {
        Range::Private => Some(Scope::Local),
        Range::Public => Some(Scope::Public),
        Range::Loopback | Range::Unroutable => None,
    }
}

/// Whether a server may dial an address for a client that comes from `client`: what is not public, only on the client itself.
pub(super) fn may_dial(address: &Multiaddr, client: Option<IpAddr>) -> bool {
    let Some(host) = ip(address) else { return false };
    let is_itself = client == Some(host);
    match scope(address) {
        Some(Scope::Public) => true,
        Some(Scope::Local) => is_itself,
        None => is_itself && host.is_loopback() && !is_circuit(address),
    }
}

/// The port of an address, where it is not 0.
pub(super) fn has_port(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Tcp(port) | Protocol::Udp(port) if port != 0))
}

/// Streams of tests under way at a time, ours and of others; one more is dropped.
const MAX_WORK: usize = 64;
/// Relays whose limits are remembered; those of others are taken to be the usual ones.
const MAX_LIMITS: usize = 256;
/// Addresses at relays that are told to others; one more is left out.
pub(super) const MAX_CIRCUITS: usize = 16;
/// For a dial on behalf of others.
pub(super) const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a direct connection is waited for, before blocks go through a relay: a hole is made within two round trips, or late.
pub(super) const HOLE_PATIENCE: Duration = Duration::from_secs(5);
/// After which a circuit that a direct connection has replaced is closed.
pub(super) const CIRCUIT_REST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_may_lead_here_from_elsewhere_are_tested() {
        let circuit = format!("/ip4/1.2.3.4/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        for (address, expected) in [
            ("/ip4/1.2.3.4/tcp/4001", Some(Scope::Public)),
            ("/ip6/2600::1/udp/4001/quic-v1", Some(Scope::Public)),
            ("/ip4/10.1.2.3/tcp/4001", Some(Scope::Local)),
            ("/ip4/172.16.0.1/tcp/4001", Some(Scope::Local)),
            ("/ip4/100.64.0.1/tcp/4001", Some(Scope::Local)),
            ("/ip6/fd00::1/tcp/4001", Some(Scope::Local)),
            ("/ip4/127.0.0.1/tcp/4001", None),
            ("/ip4/0.0.0.0/tcp/4001", None),
            ("/ip4/198.18.0.1/tcp/4001", None),
            ("/ip4/240.0.0.1/tcp/4001", None),
            ("/ip6/::1/tcp/4001", None),
            ("/ip6/2001:db8::1/tcp/4001", None),
            ("/dns4/example.org/tcp/4001", None),
            (&circuit, None),
        ] {
            assert_eq!(scope(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_server_dials_no_host_of_a_private_network_but_the_client() {
        let client = Some("10.0.0.1".parse().unwrap());
        for (address, expected) in [
            ("/ip4/10.0.0.1/tcp/4001", true),
            ("/ip4/10.0.0.2/tcp/4001", false),
            ("/ip4/127.0.0.1/tcp/4001", false),
            ("/ip4/1.2.3.4/tcp/4001", true),
            ("/dns4/example.org/tcp/4001", false),
        ] {
            assert_eq!(may_dial(&address.parse().unwrap(), client), expected, "{address}");
        }
    }

    #[test]
    fn no_more_limits_of_relays_are_remembered_than_the_most() {
        let mut reach = Reach::new(false);

        for _ in 0..MAX_LIMITS + 1 {
            reach.learn_limit(PeerId::random(), Some(1));
        }

        assert_eq!(reach.limits.len(), MAX_LIMITS);
    }
}

//! The peers that are connected, what is known of them, who waits for a connection, and where others were said to be.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use cidra_content::dht::Range;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, identify};
use tokio::sync::oneshot;

use super::ConnectError;
use super::address::{is_circuit, is_loopback, is_unspecified, range};
use super::blocks::rank;
use super::command::{Direction, PeerIdentity, PeerInfo};

/// The table of connected peers.
#[derive(Default)]
pub(super) struct Connections {
    peers: BTreeMap<PeerId, Connected>,
    waiting: BTreeMap<PeerId, Vec<Waiter>>,
    nameless: HashMap<ConnectionId, Waiter>,
    identifying: Vec<(PeerId, oneshot::Sender<PeerIdentity>)>,
    pub(super) dials: u64,
    pub(super) dials_made: u64,
    pub(super) accepted: u64,
}

/// A peer that is connected.
pub(super) struct Connected {
    connections: Vec<Connection>,
    pub(super) latency: Option<Duration>,
    pub(super) identity: Option<Identity>,
    /// Pings in a row that did not come back.
    pub(super) unanswered: u32,
    /// What it says that it speaks became more.
    has_grown: bool,
    /// It was, because it began to exchange blocks late; once is enough, as anybody can say so again and again.
    pub(super) is_met_anew: bool,
    since: Instant,
}

struct Connection {
    id: ConnectionId,
    address: Multiaddr,
    direction: Direction,
    /// Through this relay.
    relay: Option<PeerId>,
}

/// What a peer said of itself.
pub(super) struct Identity {
    pub(super) said: PeerIdentity,
    /// Its addresses as signed by it, for others.
    pub(super) signed_record: Option<Vec<u8>>,
}

/// Who waits for a connection.
pub(super) enum Waiter {
    Bootstrap(Multiaddr),
    Trusted(Multiaddr),
    Caller(oneshot::Sender<Result<PeerId, ConnectError>>),
    /// Whoever answers is a holder for this download.
    Holder(cidra_content::exchange::SessionId),
    /// Said to be on the local network.
    Neighbour(PeerId),
    /// A connection that may be dead: it is when no other can be made.
    Probe(PeerId, ConnectionId),
    /// One in the place of that one, from before the peer exchanged blocks.
    Late(PeerId, ConnectionId),
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Connected> {
        self.peers.get_mut(peer)
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Connected> {
        self.peers.get(peer)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &Connected)> {
        self.peers.iter()
    }

    /// A connection was made; gives who waited for it.
    pub(super) fn handle_made(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
        now: Instant,
    ) -> Vec<Waiter> {
        let direction = if endpoint.is_dialer() { Direction::Outbound } else { Direction::Inbound };
        match direction {
            Direction::Outbound => self.dials_made += 1,
            Direction::Inbound => self.accepted += 1,
        }
        let fresh = || Connected {
            connections: vec![],
            latency: None,
            identity: None,
            unanswered: 0,
            has_grown: false,
            is_met_anew: false,
            since: now,
        };
        let address = match endpoint {
            // A relay says who comes, and not from where.
            ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => {
                local_addr.clone().with(Protocol::P2p(peer))
            }
            _ => endpoint.get_remote_address().clone(),
        };
        let relay = relay_of(endpoint);
        let connections = &mut self.peers.entry(peer).or_insert_with(fresh).connections;
        // Streams are opened on the first one: those through relays come last.
        let at = if relay.is_some() {
            connections.len()
        } else {
            connections.iter().take_while(|connection| connection.relay.is_none()).count()
        };
        connections.insert(at, Connection { id, address, direction, relay });
        let mut waiters = self.waiting.remove(&peer).unwrap_or_default();
        waiters.extend(self.nameless.remove(&id));
        waiters
    }

    /// A connection is gone; true when it was the peer's last one.
    pub(super) fn handle_gone(&mut self, peer: &PeerId, id: ConnectionId) -> bool {
        let Some(connected) = self.peers.get_mut(peer) else { return false };
        connected.connections.retain(|connection| connection.id != id);
        if !connected.connections.is_empty() {
            return false;
        }
        self.peers.remove(peer);
        self.identifying.retain(|(waited_for, _)| waited_for != peer);
        true
    }

    /// A dial failed; gives who waited for it.
    pub(super) fn handle_failed(&mut self, peer: Option<&PeerId>, id: ConnectionId) -> Vec<Waiter> {
        let mut waiters = peer.and_then(|peer| self.waiting.remove(peer)).unwrap_or_default();
        waiters.extend(self.nameless.remove(&id));
        waiters
    }

    /// A peer said who it is.
    pub(super) fn handle_identified(&mut self, peer: &PeerId, info: identify::Info) {
        let Some(connected) = self.peers.get_mut(peer) else { return };
        let signed_record = info.signed_peer_record.map(|envelope| envelope.into_protobuf_encoding());
        let protocols = info.protocols.iter().take(MAX_PROTOCOLS).map(|name| name.as_ref().to_owned()).collect();
        let addresses = info.listen_addrs.into_iter().take(MAX_ADDRESSES).collect();
        let said = PeerIdentity { public_key: info.public_key, agent: info.agent_version, protocols, addresses };
        for (_, reply) in self.identifying.extract_if(.., |(waited_for, _)| waited_for == peer) {
            let _ = reply.send(said.clone()); // nobody waits: the caller went away
        }
        let before = connected.identity.replace(Identity { said, signed_record });
        connected.has_grown |= before.is_some_and(|before| connected.rank() < before.rank());
    }

    /// Answers when the peer has said who it is; dropped when it goes before.
    pub(super) fn identify(&mut self, peer: PeerId, reply: oneshot::Sender<PeerIdentity>) {
        let Some(connected) = self.peers.get(&peer) else { return };
        match &connected.identity {
            Some(identity) => drop(reply.send(identity.said.clone())),
            None => {
                self.identifying.retain(|(_, reply)| !reply.is_closed());
                self.identifying.push((peer, reply));
            }
        }
    }

    pub(super) fn wait(&mut self, peer: PeerId, waiter: Waiter) {
        self.waiting.entry(peer).or_default().push(waiter);
    }

    pub(super) fn wait_for_anybody(&mut self, id: ConnectionId, waiter: Waiter) {
        self.nameless.insert(id, waiter);
    }

    /// The peers that may be closed to come down to `most`, the longest connected first.
    pub(super) fn surplus(&self, most: usize, spared: &BTreeSet<PeerId>, now: Instant) -> Vec<PeerId> {
        let idle =
            self.peers.iter().filter(|(peer, connected)| !spared.contains(*peer) && connected.since + GRACE < now);
        let mut idle: Vec<_> = idle.map(|(peer, connected)| (connected.since, *peer)).collect();
        idle.sort();
        idle.truncate(self.peers.len().saturating_sub(most));
        idle.into_iter().map(|(_, peer)| peer).collect()
    }

    pub(super) fn infos(&self) -> Vec<PeerInfo> {
        let info = |(peer, connected): (&PeerId, &Connected)| {
            let said = connected.identity.as_ref().map(|identity| &identity.said);
            let (protocols, agent) = said.map(|said| (said.protocols.clone(), said.agent.clone())).unwrap_or_default();
            let (peer, latency) = (*peer, connected.latency);
            let about = move |connection: &Connection| PeerInfo {
                peer,
                address: connection.address.clone(),
                direction: connection.direction,
                latency,
                protocols: protocols.clone(),
                agent: agent.clone(),
            };
            connected.connections.iter().map(about).collect::<Vec<_>>()
        };
        self.peers.iter().flat_map(info).collect()
    }
}

impl Connected {
    /// The connection that streams are opened on.
    pub(super) fn connection(&self) -> ConnectionId {
        self.connections.first().expect("a peer without connections is removed").id
    }

    /// Whether it exchanges blocks better than when it was met, by what it says, and was not met anew for it.
    pub(super) fn is_late(&self, spoken: usize) -> bool {
        !self.is_met_anew && (self.has_grown || self.rank() < spoken)
    }

    fn rank(&self) -> usize {
        self.identity.as_ref().map_or(usize::MAX, Identity::rank)
    }

    /// A connection that leads to it without a relay.
    pub(super) fn direct(&self) -> Option<ConnectionId> {
        self.connections.iter().find(|connection| connection.relay.is_none()).map(|connection| connection.id)
    }

    /// The last one of these, other than that one.
    pub(super) fn direct_but(&self, id: ConnectionId) -> Option<ConnectionId> {
        let mut others = self.connections.iter().filter(|connection| connection.relay.is_none() && connection.id != id);
        others.next_back().map(|connection| connection.id)
    }

    /// The relay that a connection leads through.
    pub(super) fn relay(&self, id: ConnectionId) -> Option<PeerId> {
        self.connections.iter().find(|connection| connection.id == id)?.relay
    }

    /// Where it was dialled without a relay.
    pub(super) fn dialled(&self) -> Option<(ConnectionId, &Multiaddr)> {
        let is_dialled =
            |connection: &&Connection| connection.relay.is_none() && connection.direction == Direction::Outbound;
        self.connections.iter().find(is_dialled).map(|connection| (connection.id, &connection.address))
    }

    /// From where a connection comes.
    pub(super) fn address_of(&self, id: ConnectionId) -> Option<&Multiaddr> {
        self.connections.iter().find(|connection| connection.id == id).map(|connection| &connection.address)
    }

    /// Where it is, as seen from here.
    pub(super) fn remote_address(&self) -> &Multiaddr {
        &self.connections.first().expect("a peer without connections is removed").address
    }

    /// Whether it is on this machine, so that loopback addresses lead to it.
    pub(super) fn is_here(&self) -> bool {
        self.connections.iter().any(|connection| is_loopback(&connection.address))
    }

    /// From where it is connected.
    pub(super) fn ranges(&self) -> Vec<Range> {
        self.connections.iter().map(|connection| range(&connection.address)).collect()
    }

    /// The addresses that it gave and that can lead to it from elsewhere; loopback ones only if it is on this machine.
    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        let said = self.identity.iter().flat_map(|identity| &identity.said.addresses);
        let here = self.is_here();
        said.filter(|address| !is_unspecified(address) && (here || !is_loopback(address))).cloned().collect()
    }
}

impl Identity {
    /// The best of what it speaks for blocks.
    fn rank(&self) -> usize {
        rank(self.said.protocols.iter().map(String::as_str))
    }
}

/// The relay that is named before a circuit, on the side of the connection where the circuit stands.
fn relay_of(endpoint: &ConnectedPoint) -> Option<PeerId> {
    let address = match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    let before = address.iter().take_while(|part| *part != Protocol::P2pCircuit);
    let relay = before.filter_map(|part| if let Protocol::P2p(relay) = part { Some(relay) } else { None }).last();
    relay.filter(|_| is_circuit(address))
}

/// Of what a peer says of itself, the rest is left out.
const MAX_PROTOCOLS: usize = 128;
const MAX_ADDRESSES: usize = 32;
/// A connection this young is not closed for being idle: the other side is likely to look something up.
const GRACE: Duration = Duration::from_secs(10);

/// Where peers that are not connected were said to be: by whoever named them, by records, by referrals.
#[derive(Default)]
pub(super) struct AddressBook {
    peers: BTreeMap<PeerId, Vec<Multiaddr>>,
    order: VecDeque<PeerId>,
}

impl AddressBook {
    pub(super) fn add(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        if !self.peers.contains_key(&peer) {
            self.order.push_back(peer);
            if self.order.len() > MAX_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.peers.remove(&oldest);
            }
        }
        let known = self.peers.entry(peer).or_default();
        for address in addresses {
            if !known.contains(&address) {
                known.insert(0, address);
            }
        }
        known.truncate(MAX_OF_ONE);
    }

    pub(super) fn of(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |addresses| addresses)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Vec<Multiaddr>)> {
        self.peers.iter()
    }
}

/// Peers whose addresses are remembered; one more takes the place of the one that came first.
const MAX_KNOWN: usize = 2048;
/// Addresses of one peer; the ones that came last stay.
const MAX_OF_ONE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_book_keeps_to_its_limits() {
        let mut book = AddressBook::default();
        let first = PeerId::random();
        book.add(first, (0..MAX_OF_ONE + 1).map(|port| format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()));
        assert_eq!(book.of(&first).len(), MAX_OF_ONE);

        for _ in 0..MAX_KNOWN {
            book.add(PeerId::random(), []);
        }

        assert_eq!(book.peers.len(), MAX_KNOWN);
        assert!(book.of(&first).is_empty());
    }
}

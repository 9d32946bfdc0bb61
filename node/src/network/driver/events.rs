//! What the swarm tells.

use std::error::Error;
use std::time::Instant;

use cidra_content::dht::Range;
use libp2p::core::transport::TransportError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, kad, ping};

use super::super::address::{is_circuit, range};
use super::super::behaviour::BehaviourEvent;
use super::super::blocks::{Inbound, PartnerState};
use super::super::config::Routing;
use super::super::connections::Waiter;
use super::super::discovery::{Finding, Located, Side};
use super::super::{ConnectError, streams};
use super::Driver;

impl Driver {
    pub(in crate::network) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.on_identify(event),
            SwarmEvent::Behaviour(BehaviourEvent::Lan(event)) => self.on_kad(Side::Lan, event, now),
            SwarmEvent::Behaviour(BehaviourEvent::Wan(event)) => self.on_kad(Side::Wan, event, now),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event, now),
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.on_stream(event, now),
            SwarmEvent::Behaviour(BehaviourEvent::RelayClient(event)) => self.on_relay_client(event),
            SwarmEvent::Behaviour(BehaviourEvent::Holes(event)) => self.on_hole(event),
            SwarmEvent::NewExternalAddrCandidate { address } => self.on_candidate(address, self.reach.observer),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                tracing::debug!(peer = %peer_id, address = %endpoint.get_remote_address(), "connected");
                let waiters = self.connections.handle_made(peer_id, connection_id, &endpoint, now);
                if !self.on_dialled_back(connection_id) {
                    self.meet(peer_id, connection_id, &endpoint, now);
                }
                waiters.into_iter().for_each(|waiter| self.tell_made(waiter, peer_id));
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "disconnected");
                self.on_closed(peer_id, connection_id, now);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                let why = plain(&error);
                tracing::debug!(peer = ?peer_id, why, "cannot connect");
                if self.on_dial_back_failed(connection_id) {
                    return;
                }
                if let (Some(peer), true) = (&peer_id, self.connections.len() > 0) {
                    self.forget_unreachable(peer, &error);
                }
                for waiter in self.connections.handle_failed(peer_id.as_ref(), connection_id) {
                    self.tell_failed(waiter, ConnectError::Failed { why: why.clone() });
                }
            }
            SwarmEvent::Dialing { .. } => self.connections.dials += 1,
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.retain(|known| *known != address);
                self.speak_where_listening();
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.speak_where_listening();
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.listening.retain(|known| !addresses.contains(known));
                self.speak_where_listening();
                if self.reach.listeners.contains_key(&listener_id) {
                    self.on_listener_closed(listener_id, now);
                } else if let Err(error) = reason {
                    tracing::warn!(?addresses, %error, "no longer listening");
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(address = %send_back_addr, %error, "refused a connection");
            }
            _ => {}
        }
    }

    fn on_listening(&mut self, address: Multiaddr) {
        tracing::debug!(%address, "listening");
        if self.is_surplus_circuit(&address) {
            return;
        }
        self.on_candidate(address.clone(), None);
        if !self.listening.contains(&address) {
            self.listening.push(address.clone());
        }
        self.tell_relay(&address);
        self.speak_where_listening();
    }

    pub(super) fn speak_where_listening(&mut self) {
        if let Some(mdns) = &mut self.mdns {
            mdns.handle_listening(&self.listening);
        }
        let addresses = self.announced();
        let is_reachable = self.swarm.external_addresses().any(is_public);
        for dht in self.swarm.behaviour_mut().dhts() {
            dht.handle_addresses(&addresses);
        }
        if let (Routing::Auto, None, Some(wan)) =
            (self.config.routing, &self.config.swarm_key, self.swarm.behaviour_mut().wan.as_mut())
        {
            wan.serve(is_reachable);
        }
    }

    /// Where others are told that this node is: where it listens, and where it was found to be reachable.
    pub(super) fn announced(&self) -> Vec<Multiaddr> {
        let confirmed = self.swarm.external_addresses().filter(|address| !self.listening.contains(address));
        self.listening.iter().chain(confirmed).cloned().collect()
    }

    fn on_closed(&mut self, peer: PeerId, connection: libp2p::swarm::ConnectionId, now: Instant) {
        let was_last = self.connections.handle_gone(&peer, connection);
        if self.reach.awaited.get(&peer).is_some_and(|(circuit, _)| *circuit == connection) {
            self.reach.awaited.remove(&peer);
        }
        if self.blocks.as_ref().is_some_and(|blocks| was_last || blocks.was_used(&peer, connection)) {
            self.part(peer, now);
        }
        if was_last {
            self.forget_services(&peer);
            let alone = self.connections.len() == 0;
            self.bootstrap.handle_lost(&peer, alone, now);
            self.trusted.handle_lost(&peer, alone, now);
        }
    }

    fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id: peer, info, .. } = event else { return };
        let protocols = info.protocols.clone();
        self.connections.handle_identified(&peer, info);
        self.on_services(peer, &protocols, Instant::now());
        self.meet_late(peer, Instant::now());
        let Some(connected) = self.connections.get(&peer) else { return };
        let (addresses, remotes) = (connected.addresses(), connected.ranges());
        let mut dhts: Vec<_> = self.swarm.behaviour_mut().dhts().collect();
        for dht in &mut dhts {
            dht.handle_identified(peer, &protocols, &addresses, &remotes);
        }
        if dhts.iter_mut().any(|dht| !dht.is_empty()) {
            dhts.into_iter().for_each(|dht| dht.hope_less(Instant::now()));
        }
    }

    fn on_kad(&mut self, side: Side, event: kad::Event, now: Instant) {
        if let kad::Event::RoutingUpdated { is_new_peer: true, peer, .. } = &event {
            tracing::debug!(%peer, dht = side.name(), "is in the routing table");
            self.network.shared.announce.notify_one();
        }
        let Some(dht) = self.swarm.behaviour_mut().dht(side) else { return };
        let connections = &self.connections;
        let locate = |peer: &PeerId| match connections.get(peer) {
            Some(connected) => Located { addresses: connected.addresses(), here: connected.is_here() },
            None => Located::default(),
        };
        let findings = dht.handle_event(event, locate);
        self.on_findings(findings, now);
    }

    pub(super) fn on_findings(&mut self, findings: Vec<Finding>, now: Instant) {
        let Some(blocks) = &mut self.blocks else { return };
        for finding in findings {
            match finding {
                // The other DHT may know more.
                Finding::End { cid } if self.swarm.behaviour_mut().dhts().any(|dht| dht.is_searching(&cid)) => {}
                Finding::End { cid } => blocks.machine.handle_search_end(&cid, now),
                Finding::Providers { cid, providers } => {
                    let here = *self.swarm.local_peer_id();
                    let others: Vec<_> = providers.into_iter().filter(|provider| provider.peer != here).collect();
                    let peers = others.iter().map(|provider| provider.peer).collect();
                    others.into_iter().for_each(|provider| self.book.add(provider.peer, provider.addresses));
                    blocks.machine.handle_providers(&cid, peers, now);
                }
            }
        }
    }

    /// A peer that does not answer while others do is looked for elsewhere.
    fn forget_unreachable(&mut self, peer: &PeerId, error: &DialError) {
        let is_gone = matches!(error, DialError::Transport(_) | DialError::WrongPeerId { .. });
        if is_gone && !self.connections.contains(peer) {
            for dht in self.swarm.behaviour_mut().dhts() {
                dht.handle_unreachable(peer);
            }
        }
    }

    fn on_ping(&mut self, ping::Event { peer, connection, result }: ping::Event, now: Instant) {
        match result {
            Ok(round_trip) => {
                if let Some(connected) = self.connections.get_mut(&peer) {
                    connected.latency = Some(round_trip);
                    connected.unanswered = 0;
                }
                if let Some(blocks) = &mut self.blocks {
                    blocks.machine.handle_round_trip(&peer, round_trip, now);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                let Some(connected) = self.connections.get_mut(&peer) else { return };
                connected.unanswered += 1;
                if connected.unanswered >= MAX_UNANSWERED {
                    tracing::debug!(%peer, %error, "closing a connection that is dead");
                    self.swarm.close_connection(connection);
                } else if self.swarm.dial(DialOpts::peer_id(peer).condition(PeerCondition::NotDialing).build()).is_ok()
                {
                    self.connections.wait(peer, Waiter::Probe(peer, connection));
                }
            }
        }
    }

    fn on_stream(&mut self, event: streams::Event, now: Instant) {
        match event {
            streams::Event::Inbound { peer, connection, protocol, stream, slot } => {
                let inbound = Inbound { connection, protocol, stream, slot };
                let Some(inbound) = self.on_check_stream(peer, inbound) else { return };
                self.settle_for_circuit(peer);
                let circuit = self.connections.get(&peer).and_then(|connected| connected.relay(connection));
                if let Some(blocks) = &mut self.blocks
                    && (circuit.is_none() || blocks.circuit(&peer).is_some())
                {
                    blocks.on_inbound(peer, inbound);
                }
            }
            streams::Event::Outbound { peer, request, result, .. } => {
                let Some(result) = self.on_own_stream(request, result) else { return };
                if let Some(reply) = self.opening.remove(&request) {
                    return drop(reply.send(result.map(|(stream, _)| stream))); // nobody waits: the stream is reset
                }
                self.on_blocks_stream(peer, request, result, now);
            }
        }
    }

    fn on_blocks_stream(
        &mut self,
        peer: PeerId,
        opened: streams::StreamRequest,
        result: Result<(libp2p::Stream, libp2p::StreamProtocol), super::OpenStreamError>,
        now: Instant,
    ) {
        let round_trip = self.connections.get(&peer).and_then(|connected| connected.latency);
        let Some(blocks) = &mut self.blocks else { return };
        if blocks.awaits_stream(&peer, opened) {
            let stream =
                result.map(|(stream, _)| stream).inspect_err(|error| tracing::debug!(%peer, %error, "no stream"));
            if !blocks.on_answer_stream(&peer, opened, stream.ok()) {
                self.drop_partner(peer);
            }
            return;
        }
        let state = blocks.partners.get(&peer).map(|partner| &partner.state);
        if !matches!(state, Some(PartnerState::Opening { request, .. }) if *request == opened) {
            return;
        }
        match result {
            Ok(opened) => blocks.on_open(peer, opened, round_trip, now),
            Err(super::OpenStreamError::Unsupported) => {
                blocks.on_mute(peer, "it speaks no protocol for blocks that this node knows".to_owned(), now);
            }
            Err(error) => blocks.on_mute(peer, error.to_string(), now),
        }
        self.meet_late(peer, now);
    }

    /// The swarm has made the connection that somebody waited for.
    pub(super) fn tell_made(&mut self, waiter: Waiter, peer: PeerId) {
        match waiter {
            Waiter::Bootstrap(address) => {
                tracing::info!(%peer, %address, "met a bootstrap node");
                self.bootstrap.handle_met(&address, peer);
            }
            Waiter::Trusted(address) => {
                tracing::info!(%peer, %address, "met a trusted peer");
                self.trusted.handle_met(&address, peer);
            }
            Waiter::Caller(reply) => drop(reply.send(Ok(peer))), // nobody waits: the connection stays
            Waiter::Holder(session) => {
                let Some(blocks) = &mut self.blocks else { return };
                blocks.machine.add_holders(session, vec![peer], Instant::now());
            }
            Waiter::Neighbour(peer) => {
                tracing::info!(%peer, "met a peer on the local network");
                self.neighbours.handle_met(&peer, Instant::now());
            }
            Waiter::Late(peer, old) => self.on_late_dialled(peer, old, Instant::now()),
            Waiter::Probe(..) => {}
        }
    }

    /// There will be no connection.
    pub(super) fn tell_failed(&mut self, waiter: Waiter, error: ConnectError) {
        match waiter {
            Waiter::Bootstrap(address) => {
                let pause = self.bootstrap.handle_failed(&address, self.connections.len() == 0, Instant::now());
                tracing::info!(%address, %error, again_in = ?pause, "cannot reach a bootstrap node");
            }
            Waiter::Trusted(address) => {
                let pause = self.trusted.handle_failed(&address, true, Instant::now());
                tracing::info!(%address, %error, again_in = ?pause, "cannot reach a trusted peer");
            }
            Waiter::Caller(reply) => drop(reply.send(Err(error))), // nobody waits
            Waiter::Holder(_) => tracing::info!(%error, "cannot reach a named holder"),
            // Anybody can say anything there, and a private network's nodes are strangers to others.
            Waiter::Neighbour(peer) => {
                tracing::debug!(%peer, %error, "cannot reach a peer of the local network");
                self.neighbours.handle_failed(&peer, Instant::now());
            }
            Waiter::Late(peer, old) => self.on_late_dialled(peer, old, Instant::now()),
            Waiter::Probe(peer, connection) => {
                if self.connections.get(&peer).is_some_and(|connected| connected.unanswered > 0) {
                    tracing::debug!(%peer, %error, "closing a connection that is dead");
                    self.swarm.close_connection(connection);
                }
            }
        }
    }
}

/// Whether everybody can dial it, without help.
fn is_public(address: &Multiaddr) -> bool {
    range(address) == Range::Public && !is_circuit(address)
}

/// Pings in a row without an answer, after which a connection is dead. After one it is only if no other can be made: one may be
/// lost to a busy machine.
const MAX_UNANSWERED: u32 = 2;

/// Why a dial failed, in words for people.
pub(super) fn plain(error: &DialError) -> String {
    match error {
        DialError::Transport(failed) => {
            let each = failed.iter().map(|(address, error)| match error {
                TransportError::MultiaddrNotSupported(_) => format!("{address}: no transport leads there"),
                TransportError::Other(error) => format!("{address}: {}", innermost(error)),
            });
            each.collect::<Vec<_>>().join("; ")
        }
        DialError::WrongPeerId { obtained, address } => {
            format!("{address}: another peer answers there, {obtained}")
        }
        DialError::LocalPeerId { address } => format!("{address}: that is this node itself"),
        DialError::NoAddresses => "no address of it is known".to_owned(),
        DialError::Denied { cause } => innermost(cause),
        error => error.to_string(),
    }
}

/// Wrappers of wrappers say little; the last cause says what happened.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

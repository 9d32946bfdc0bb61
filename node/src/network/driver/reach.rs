//! How this node is reached: tests of its addresses, tests for others, places at relays, and what comes through them.

use std::time::Instant;

use cidra_content::autonat::{DIAL_BACK, DIAL_REQUEST, Response, price};
use cidra_content::reach::{Action, Answer, Reachability, Scope, Step};
use futures::FutureExt;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::ExternalAddrConfirmed;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, FromSwarm, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol, relay};

use super::super::address::{ip, is_circuit, is_loopback, without_peer};
use super::super::blocks::Inbound;
use super::super::reach::{self, DIAL_PATIENCE, Done, MAX_CIRCUITS, Request};
use super::super::streams::StreamRequest;
use super::super::{OpenStreamError, transport};
use super::Driver;

impl Driver {
    pub(super) fn reach_tick(&mut self, now: Instant) {
        for action in self.reach.prober.tick(now, rand::random) {
            self.on_reach_action(action, now);
        }
        let reachability = self.reach.reachability();
        self.reach.relays.want(self.config.relay_client && reachability == Reachability::Private);
        for step in self.reach.relays.tick(now) {
            match step {
                Step::Ask(relay) => self.ask_relay(relay, now),
                Step::Leave(relay) => self.leave_relay(&relay),
            }
        }
        if self.config.port_mapping {
            for port in self.reach.mappings.due(&self.listening, now) {
                self.reach.work.push(reach::open(port).boxed());
            }
        }
        self.end_waits(now);
        let late = self.reach.dialling.iter().filter(|(_, (_, until))| *until <= now);
        for connection in late.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            self.on_dial_back_failed(connection);
        }
        self.say_reachability();
    }

    fn on_reach_action(&mut self, action: Action<Multiaddr, PeerId>, now: Instant) {
        match action {
            Action::Confirmed(address) => {
                tracing::debug!(%address, "others reach this node here");
                if reach::scope(&address) == Some(Scope::Public) {
                    self.swarm.add_external_address(address);
                    self.speak_where_listening();
                }
            }
            Action::Expired(address) => {
                tracing::debug!(%address, "others no longer reach this node here");
                self.swarm.remove_external_address(&address);
                self.speak_where_listening();
            }
            Action::Test { server, address, nonce } => {
                let connection = self.connections.get(&server).and_then(|connected| connected.direct());
                match connection.filter(|_| self.reach.has_room()) {
                    Some(connection) => {
                        let name = StreamProtocol::new(DIAL_REQUEST);
                        let request = self.swarm.behaviour_mut().streams.open(server, connection, vec![name]);
                        self.reach.asking.insert(request, (nonce, address));
                    }
                    None => drop(self.reach.prober.handle_answer(nonce, Answer::Failed, now)),
                }
            }
        }
    }

    /// Says to people when it changes, and takes the parts that come with it.
    fn say_reachability(&mut self) {
        let reachability = self.reach.reachability();
        if reachability == self.reach.said {
            return;
        }
        match &reachability {
            Reachability::Public(addresses) => {
                let at = addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>().join(", ");
                tracing::info!(at, "others can reach this node");
            }
            Reachability::Private => tracing::info!(
                "others cannot dial this node: they reach it through relays, slowly. Opening its port in the router or firewall helps"
            ),
            Reachability::Unknown => tracing::info!("nothing says any more that others can reach this node"),
        }
        let serves = self.config.relay_service.is_some() || matches!(reachability, Reachability::Public(_));
        self.swarm.behaviour_mut().streams.set_accepting(DIAL_REQUEST, serves);
        self.reach.said = reachability;
    }

    /// Somebody sees this node there.
    pub(super) fn on_candidate(&mut self, address: Multiaddr, observer: Option<PeerId>) {
        let address = without_peer(&address);
        let Some(scope) = reach::scope(&address).filter(|_| reach::has_port(&address)) else { return };
        if transport::understands(&address, self.config.swarm_key.is_some()) {
            self.reach.prober.handle_candidate(address, scope, observer, Instant::now());
        }
    }

    /// A connected peer said what it speaks.
    pub(super) fn on_services(&mut self, peer: PeerId, protocols: &[StreamProtocol], now: Instant) {
        self.reach.observer = Some(peer);
        let speaks = |name: &str| protocols.iter().any(|protocol| protocol.as_ref() == name);
        let is_direct = self.connections.get(&peer).is_some_and(|connected| connected.direct().is_some());
        match speaks(DIAL_REQUEST) && is_direct {
            true => self.reach.prober.handle_server(peer, now),
            false => self.reach.prober.handle_gone(&peer),
        }
        match speaks(relay::HOP_PROTOCOL_NAME.as_ref()) && is_direct {
            true => self.reach.relays.handle_relay(peer, self.bootstrap.contains(&peer), now),
            false => self.reach.relays.handle_gone(&peer),
        }
    }

    /// A peer's last connection is gone.
    pub(super) fn forget_services(&mut self, peer: &PeerId) {
        self.reach.prober.handle_gone(peer);
        self.reach.relays.handle_gone(peer);
        self.reach.awaited.remove(peer);
    }

    fn ask_relay(&mut self, relay: PeerId, now: Instant) {
        let private = self.config.swarm_key.is_some();
        let address = self.connections.get(&relay).and_then(|connected| match connected.dialled() {
            Some((_, address)) => Some(address.clone()),
            // It dialled us: what it says of where it is has to do.
            None => connected.addresses().into_iter().find(|address| transport::understands(address, private)),
        });
        let Some(address) = address.filter(|address| !is_circuit(address)) else {
            return self.reach.relays.handle_lost(&relay, now);
        };
        let address = without_peer(&address).with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(address.clone()) {
            Ok(listener) => drop(self.reach.listeners.insert(listener, relay)),
            Err(error) => {
                tracing::debug!(%address, %error, "cannot ask a relay");
                self.reach.relays.handle_lost(&relay, now);
            }
        }
    }

    fn leave_relay(&mut self, relay: &PeerId) {
        let listeners: Vec<ListenerId> =
            self.reach.listeners.extract_if(|_, at| at == relay).map(|(listener, _)| listener).collect();
        for listener in listeners {
            self.swarm.remove_listener(listener);
        }
    }

    /// A listener is gone; a place at a relay is asked for again.
    pub(super) fn on_listener_closed(&mut self, listener: ListenerId, now: Instant) {
        let Some(relay) = self.reach.listeners.remove(&listener) else { return };
        tracing::debug!(%relay, "no place at a relay any more");
        self.reach.relays.handle_lost(&relay, now);
    }

    pub(super) fn on_relay_client(&mut self, event: relay::client::Event) {
        match event {
            relay::client::Event::ReservationReqAccepted { relay_peer_id: relay, renewal, limit } => {
                self.reach.learn_limit(relay, limit.and_then(|limit| limit.data_in_bytes()));
                self.reach.relays.handle_held(&relay);
                if !renewal {
                    tracing::info!(%relay, "others reach this node through a relay");
                }
            }
            relay::client::Event::OutboundCircuitEstablished { relay_peer_id: relay, limit } => {
                self.reach.learn_limit(relay, limit.and_then(|limit| limit.data_in_bytes()));
            }
            relay::client::Event::InboundCircuitEstablished { .. } => {}
        }
    }

    /// Addresses of relays are listened at as others are, but not more of them than a few.
    pub(super) fn is_surplus_circuit(&self, address: &Multiaddr) -> bool {
        let circuits = self.listening.iter().filter(|known| is_circuit(known)).count();
        is_circuit(address) && circuits >= MAX_CIRCUITS
    }

    /// What this node's own relay tells those who have a place at it: where it is.
    pub(super) fn tell_relay(&mut self, addr: &Multiaddr) {
        let is_elsewhere = |address: &Multiaddr| !is_loopback(address) && !is_circuit(address);
        if is_circuit(addr) || is_loopback(addr) && self.listening.iter().any(is_elsewhere) {
            return;
        }
        if let Some(relay) = self.swarm.behaviour_mut().relay.as_mut() {
            relay.on_swarm_event(FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr }));
        }
    }

    /// A stream of AutoNAT that a peer opened.
    pub(super) fn on_check_stream(&mut self, peer: PeerId, inbound: Inbound) -> Option<Inbound> {
        let is_nonce = inbound.protocol.as_ref() == DIAL_BACK;
        if !is_nonce && inbound.protocol.as_ref() != DIAL_REQUEST {
            return Some(inbound);
        }
        let Inbound { connection, stream, slot, .. } = inbound;
        if self.reach.has_room() {
            self.reach.work.push(match is_nonce {
                true => reach::hear(stream, slot).boxed(),
                false => reach::read(peer, connection, stream, slot).boxed(),
            });
        }
        None
    }

    /// A stream that was asked for here; given back when it was asked for by somebody else.
    pub(super) fn on_own_stream(
        &mut self,
        opened: StreamRequest,
        result: Result<(libp2p::Stream, StreamProtocol), OpenStreamError>,
    ) -> Option<Result<(libp2p::Stream, StreamProtocol), OpenStreamError>> {
        if let Some((nonce, address)) = self.reach.asking.remove(&opened) {
            match result {
                Ok((stream, _)) => self.reach.work.push(reach::ask(stream, address, nonce).boxed()),
                Err(_) => drop(self.reach.prober.handle_answer(nonce, Answer::Failed, Instant::now())),
            }
            return None;
        }
        if let Some((dialled, request)) = self.reach.saying.remove(&opened) {
            let index = request.index;
            match result {
                Ok((stream, _)) => self.reach.work.push(reach::say_back(stream, dialled, request).boxed()),
                Err(_) => self.on_checked(request, Some(Response::Unreachable { index }), Some(dialled)),
            }
            return None;
        }
        Some(result)
    }

    pub(super) fn on_reach_done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Answered { nonce, answer } => {
                for action in self.reach.prober.handle_answer(nonce, answer, now) {
                    self.on_reach_action(action, now);
                }
                self.say_reachability();
            }
            Done::Asked(request) => self.on_asked(request, now),
            Done::Checked { request, response, dialled } => self.on_checked(request, response, dialled),
            Done::DialledBack { nonce, stream } => {
                if self.reach.prober.handle_dial_back(nonce) && self.reach.has_room() {
                    self.reach.work.push(reach::confirm(stream).boxed());
                }
            }
            Done::Nothing => {}
            Done::Opened { port, address } => {
                self.reach.mappings.handle_answer(port, address.is_some(), now);
                let Some(address) = address else { return };
                tracing::info!(%address, "the router has opened a port");
                if let Some(scope) = reach::scope(&address) {
                    self.reach.prober.handle_opened(address, scope, now);
                }
            }
            Done::Paid(request) => self.dial_back(request),
        }
    }

    /// A client asks to be dialled.
    fn on_asked(&mut self, mut request: Request, now: Instant) {
        let client = request.client;
        let connected = self.connections.get(&client);
        let remote = connected.and_then(|connected| connected.address_of(request.connection)).and_then(ip);
        let private = self.config.swarm_key.is_some();
        let fits = |address: &Multiaddr| reach::may_dial(address, remote) && transport::understands(address, private);
        let first = (0..request.addresses.len()).find_map(|index| Some((index, request.address(index).filter(fits)?)));
        let Some((index, address)) = first else {
            return self.reach.work.push(reach::answer(request, Response::DialRefused).boxed());
        };
        request.index = index;
        let price = ip(&address).and_then(|host| price(remote.as_ref(), &host, rand::random()));
        if let Err(why) = self.reach.guard.begin(&client, price.is_some(), now) {
            tracing::debug!(peer = %client, ?why, "rejected a request to test an address");
            // Not ended at the guard: one of its requests may be under way.
            return self.reach.work.push(reach::answer(request, Response::Rejected).boxed());
        }
        match price {
            Some(bytes) => self.reach.work.push(reach::take_payment(request, bytes).boxed()),
            None => self.dial_back(request),
        }
    }

    fn dial_back(&mut self, request: Request) {
        let Some(address) = request.address(request.index) else { return };
        let options = DialOpts::peer_id(request.client)
            .addresses(vec![address])
            .condition(PeerCondition::Always)
            .allocate_new_port()
            .build();
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => drop(self.reach.dialling.insert(id, (request, Instant::now() + DIAL_PATIENCE))),
            Err(_) => self.on_checked(request, Some(Response::Failed), None),
        }
    }

    /// A connection was made; true: it was made on behalf of the peer, to say a nonce.
    pub(super) fn on_dialled_back(&mut self, connection: ConnectionId) -> bool {
        let Some((request, _)) = self.reach.dialling.remove(&connection) else { return false };
        let name = StreamProtocol::new(DIAL_BACK);
        let opening = self.swarm.behaviour_mut().streams.open(request.client, connection, vec![name]);
        self.reach.saying.insert(opening, (connection, request));
        true
    }

    /// A connection could not be made; true: it was to be made on behalf of the peer.
    pub(super) fn on_dial_back_failed(&mut self, connection: ConnectionId) -> bool {
        let Some((request, _)) = self.reach.dialling.remove(&connection) else { return false };
        let index = request.index;
        self.on_checked(request, Some(Response::Unreachable { index }), None);
        true
    }

    /// The client may ask anew from here on: it does as soon as it has its answer.
    fn on_checked(&mut self, request: reach::Request, response: Option<Response>, dialled: Option<ConnectionId>) {
        self.reach.guard.end(&request.client);
        if let Some(dialled) = dialled {
            self.swarm.close_connection(dialled);
        }
        if let Some(response) = response {
            self.reach.work.push(reach::answer(request, response).boxed());
        }
    }
}

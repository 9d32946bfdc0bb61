//! Peers that are met through relays: first a direct connection is waited for, and as soon as there is one, blocks go there.

use std::time::Instant;

use cidra_content::reach::Allowance;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, dcutr};

use super::super::blocks;
use super::super::reach::{CIRCUIT_REST, HOLE_PATIENCE};
use super::Driver;

impl Driver {
    /// A connection to a peer was made: blocks may be exchanged on it, if it is the first one or better than the one before.
    pub(super) fn meet(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint, now: Instant) {
        let Some(blocks) = &mut self.blocks else { return };
        let Some(connected) = self.connections.get(&peer) else { return };
        let is_partner = blocks.partners.contains_key(&peer);
        if endpoint.is_relayed() {
            if !is_partner && connected.direct().is_none() && !self.reach.awaited.contains_key(&peer) {
                self.reach.awaited.insert(peer, (connection, now + HOLE_PATIENCE));
            }
            return;
        }
        if let Some((circuit, _)) = self.reach.awaited.remove(&peer) {
            self.reach.idle.push((circuit, now + CIRCUIT_REST));
        }
        match blocks.circuit(&peer) {
            Some(circuit) => {
                tracing::debug!(%peer, "a direct connection takes the place of one through a relay");
                blocks.end(&peer, now);
                self.reach.idle.push((circuit, now + CIRCUIT_REST));
                self.begin(peer, connection);
            }
            None if !is_partner && connected.direct() == Some(connection) => self.begin(peer, connection),
            None => {}
        }
    }

    /// Opens our stream for blocks on a connection.
    pub(super) fn begin(&mut self, peer: PeerId, connection: ConnectionId) {
        let relay = self.connections.get(&peer).and_then(|connected| connected.relay(connection));
        let allowance = relay.map(|relay| Allowance::of(self.reach.limit_of(&relay)));
        let Some(blocks) = &mut self.blocks else { return };
        let names = blocks::protocols().into_iter().map(|(name, _)| name).collect();
        let request = self.swarm.behaviour_mut().streams.open(peer, connection, names);
        blocks.begin(peer, connection, allowance, request);
    }

    /// The peer behind a relay does not wait for a direct connection, or there is none to come.
    pub(super) fn settle_for_circuit(&mut self, peer: PeerId) {
        if let Some((circuit, _)) = self.reach.awaited.remove(&peer) {
            self.begin(peer, circuit);
        }
    }

    pub(super) fn on_hole(&mut self, event: dcutr::Event) {
        let peer = event.remote_peer_id;
        match event.result {
            Ok(_) => tracing::debug!(%peer, "a direct connection was made with the help of a relay"),
            Err(error) => {
                tracing::debug!(%peer, %error, "no direct connection to a peer behind a relay");
                self.settle_for_circuit(peer);
            }
        }
    }

    /// What waited long enough: peers without a direct connection, and circuits that nobody uses.
    pub(super) fn end_waits(&mut self, now: Instant) {
        let due = self.reach.awaited.iter().filter(|(_, (_, until))| *until <= now);
        for peer in due.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.settle_for_circuit(peer);
        }
        for (circuit, _) in self.reach.idle.extract_if(.., |(_, until)| *until <= now).collect::<Vec<_>>() {
            self.swarm.close_connection(circuit);
        }
    }

    /// Blocks are no longer exchanged on a connection that is gone or of no use. Where it led through a relay and another one does
    /// not, that one is used; else both sides have to forget what was asked, as with another connection left the peer would not know.
    pub(super) fn part(&mut self, peer: PeerId, now: Instant) {
        let Some(blocks) = &mut self.blocks else { return };
        let circuit = blocks.circuit(&peer);
        blocks.end(&peer, now);
        let direct = self.connections.get(&peer).and_then(|connected| connected.direct());
        match (circuit, direct) {
            (Some(circuit), Some(direct)) => {
                self.swarm.close_connection(circuit);
                self.begin(peer, direct);
            }
            (Some(circuit), None) => drop(self.swarm.close_connection(circuit)),
            (None, _) => drop(self.swarm.disconnect_peer_id(peer)), // there may be none left
        }
    }
}

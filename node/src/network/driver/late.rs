//! Peers that begin to exchange blocks once they are connected. Kubo connects while it starts, and its exchange is told only of
//! connections that are made after it began: on one from before, it would neither ask this node nor be asked.

use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::super::address::{ip, is_circuit};
use super::super::blocks::{self, PartnerState};
use super::super::connections::Waiter;
use super::super::transport;
use super::Driver;

impl Driver {
    /// Meets a peer anew that speaks more by now than was agreed on with it: over another connection where one can be made, else
    /// over the one that is there.
    pub(super) fn meet_late(&mut self, peer: PeerId, now: Instant) {
        let Some(partner) = self.blocks.as_ref().and_then(|blocks| blocks.partners.get(&peer)) else { return };
        let spoken = match &partner.state {
            PartnerState::Opening { .. } => return,
            PartnerState::Mute => None,
            PartnerState::Open(speaker) => Some(speaker.name()),
        };
        let (old, spoken) = (partner.connection, blocks::rank(spoken));
        let Some(connected) = self.connections.get_mut(&peer) else { return };
        if !connected.is_late(spoken) {
            return;
        }
        tracing::debug!(%peer, "began to exchange blocks after it was connected: meeting it anew");
        connected.is_met_anew = true;
        let private = self.config.swarm_key.is_some();
        let host = connected.address_of(old).filter(|address| !is_circuit(address)).and_then(ip);
        // It says where it listens; it is dialled on its own host alone.
        let leads_there = |address: &Multiaddr| {
            host.is_some() && ip(address) == host && !is_circuit(address) && transport::understands(address, private)
        };
        let addresses: Vec<_> = connected.addresses().into_iter().filter(leads_there).collect();
        let options = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::NotDialing);
        // From the port of the listener there may be a connection to that address already.
        match self.swarm.dial(options.allocate_new_port().build()) {
            Ok(()) => {
                self.connections.dials += 1;
                self.connections.wait(peer, Waiter::Late(peer, old));
            }
            Err(_) => self.meet_over(peer, old, now),
        }
    }

    /// There is another connection to such a peer, or none can be made.
    pub(super) fn on_late_dialled(&mut self, peer: PeerId, old: ConnectionId, now: Instant) {
        let Some(connected) = self.connections.get(&peer) else { return };
        // It may have gone meanwhile, and the peer with it; then it was met again as any other.
        if connected.address_of(old).is_none() {
            return;
        }
        match connected.direct_but(old) {
            Some(fresh) => {
                self.meet_over(peer, fresh, now);
                self.swarm.close_connection(old);
            }
            None => self.meet_over(peer, old, now),
        }
    }

    fn meet_over(&mut self, peer: PeerId, connection: ConnectionId, now: Instant) {
        if let Some(blocks) = &mut self.blocks {
            blocks.end(&peer, now);
        }
        self.begin(peer, connection);
    }
}

//! What is asked by handles.

use std::collections::BTreeMap;
use std::time::Instant;

use cid::Cid;
use cidra_content::autonat;
use cidra_content::exchange::{Order, SessionId, wire};
use cidra_content::reach::Reachability;
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

use super::super::address::{peer_of, without_peer};
use super::super::audience::Receiver;
use super::super::command::Command;
use super::super::connections::Waiter;
use super::super::contacts::Contacts;
use super::super::discovery::{Closest, Finder, Side};
use super::super::mdns::Mdns;
use super::super::session::{MAX_PENDING, Session};
use super::super::{OpenStreamError, ProvideError, Stats};
use super::Driver;

// Whoever asked may have gone: answers that nobody waits for are dropped.
impl Driver {
    pub(super) fn on_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::AnnouncedAddresses { reply } => drop(reply.send(self.announced())),
            Command::Closest { key, count, patience, reply } => {
                // The public DHT keeps what all may find; what it cannot be told, or by whom nobody comes, goes to the local one.
                let mut dhts: Vec<_> = self.swarm.behaviour_mut().dhts().collect();
                let best = dhts.iter_mut().position(|dht| dht.takes_announcements());
                match (best, dhts.len()) {
                    (_, 0) => drop(reply.send(Err(ProvideError::NoRouting))),
                    (best, all) => dhts[best.unwrap_or(all - 1)].closest(key, count, patience, reply),
                }
            }
            Command::CloseSession { session } => self.close(session, now),
            Command::Dial { peer, addresses, reply } => self.dial(peer, addresses, Waiter::Caller(reply)),
            Command::Disconnect { peer, reply } => drop(reply.send(self.swarm.disconnect_peer_id(peer).is_ok())),
            Command::FindPeer { peer, reply } => self.find_peer(peer, reply),
            Command::FindProviders { cid, finder } => self.find_providers(cid, finder),
            Command::Identify { peer, reply } => self.connections.identify(peer, reply),
            Command::KeepOwn { side, names } => {
                if let Some(dht) = self.swarm.behaviour_mut().dht(side) {
                    dht.keep_own(names);
                }
            }
            Command::KnownAddresses { reply } => drop(reply.send(self.known_addresses())),
            Command::LimitSession { session, rate } => {
                let Some(blocks) = &mut self.blocks else { return };
                blocks.limits.limit_session(session, rate);
            }
            Command::ListenAddresses { reply } => drop(reply.send(self.listening.clone())),
            Command::Nearest { key, reply } => self.find_nearest(key, reply),
            Command::OpenSession { root, order, holders, reply } => self.open(root, order, holders, reply, now),
            Command::OpenStream { peer, protocol, reply } => self.open_stream(peer, protocol, reply),
            Command::Peers { reply } => drop(reply.send(self.connections.infos())),
            Command::Protocols { reply } => drop(reply.send(self.protocols())),
            Command::Reachability { reply } => drop(reply.send(self.reach.reached())),
            Command::Receivers { root, reply } => drop(reply.send(self.receivers(&root))),
            Command::Report { session, reply } => {
                let blocks = self.blocks.as_ref();
                drop(reply.send(blocks.and_then(|blocks| blocks.machine.session_report(session))));
            }
            Command::SetBootstrap { addresses } => self.bootstrap = Contacts::bootstrap(addresses, now),
            Command::Shutdown { .. } => unreachable!("the loop ends with it"),
            Command::Stats { reply } => drop(reply.send(self.stats())),
            Command::Unwant { session, cids } => {
                let Some(blocks) = &mut self.blocks else { return };
                for cid in &cids {
                    blocks.machine.unwant(session, cid, now);
                    blocks.limits.wants_no_longer(session, cid);
                }
            }
            Command::Want { session, wants } => {
                let Some(blocks) = &mut self.blocks else { return };
                blocks.limits.wants(session, wants.iter().map(|(cid, _)| *cid));
                wants.into_iter().for_each(|(cid, priority)| blocks.want(session, cid, priority, now));
            }
            Command::Watch { root, limit, interest } => {
                let Some(blocks) = &mut self.blocks else { return };
                blocks.machine.watch(&root);
                blocks.limits.limit_root(&root, limit);
                self.watching.push((root, interest));
            }
        }
    }

    /// Whether nobody is known yet to ask, and somebody may come.
    fn is_hopeful(&mut self) -> bool {
        let local = self.mdns.as_ref().is_some_and(Mdns::is_at_work);
        let is_alone = self.swarm.behaviour_mut().dhts().all(|dht| dht.is_empty());
        is_alone && (self.bootstrap.is_hopeful() || local || self.connections.len() > 0)
    }

    fn find_nearest(&mut self, key: Vec<u8>, reply: mpsc::Sender<Closest>) {
        let hopeful = self.is_hopeful();
        for dht in self.swarm.behaviour_mut().dhts() {
            dht.find_nearest(key.clone(), reply.clone(), hopeful);
        }
    }

    pub(super) fn find_providers(&mut self, cid: Cid, finder: Finder) {
        let hopeful = self.is_hopeful();
        let mut asked = false;
        if self.config.deny_lists.current().block(&cid).is_some() {
            if let (Finder::Exchange, Some(blocks)) = (finder, &mut self.blocks) {
                blocks.machine.handle_search_end(&cid, Instant::now());
            }
            return;
        }
        for dht in self.swarm.behaviour_mut().dhts() {
            dht.find_providers(cid, finder.clone(), hopeful);
            asked = true;
        }
        if let (false, Finder::Exchange, Some(blocks)) = (asked, finder, &mut self.blocks) {
            blocks.machine.handle_search_end(&cid, Instant::now());
        }
    }

    fn find_peer(&mut self, peer: PeerId, reply: mpsc::Sender<Vec<Multiaddr>>) {
        if let Some(connected) = self.connections.get(&peer) {
            let addresses = connected.addresses();
            if !addresses.is_empty() {
                return drop(reply.try_send(addresses));
            }
        }
        for dht in self.swarm.behaviour_mut().dhts() {
            dht.find_peer(peer, reply.clone());
        }
    }

    fn open(
        &mut self,
        root: Cid,
        order: Order,
        holders: Vec<Multiaddr>,
        reply: oneshot::Sender<Session>,
        now: Instant,
    ) {
        let Some(commands) = self.network.commands.upgrade() else { return };
        let Some(blocks) = &mut self.blocks else { return };
        let id = blocks.machine.open(root, order, now);
        let (sender, events) = mpsc::channel(MAX_PENDING);
        blocks.sessions.insert(id, sender);
        let named = holders.iter().filter_map(|address| Some((peer_of(address)?, address.clone())));
        let named: Vec<(PeerId, Multiaddr)> = named.collect();
        for (peer, address) in &named {
            self.book.add(*peer, [address.clone()]);
        }
        blocks.machine.add_holders(id, named.into_iter().map(|(peer, _)| peer).collect(), now);
        for address in holders.into_iter().filter(|address| peer_of(address).is_none()) {
            self.dial(None, vec![address], Waiter::Holder(id));
        }
        // Not taken: dropping the session closes it.
        let _ = reply.send(Session { id, commands, events });
    }

    pub(super) fn close(&mut self, session: SessionId, now: Instant) {
        let Some(blocks) = &mut self.blocks else { return };
        blocks.sessions.remove(&session);
        blocks.limits.end_session(session);
        blocks.machine.close(session, now);
    }

    fn open_stream(
        &mut self,
        peer: PeerId,
        protocol: StreamProtocol,
        reply: oneshot::Sender<Result<libp2p::Stream, OpenStreamError>>,
    ) {
        let Some(connected) = self.connections.get(&peer) else {
            return drop(reply.send(Err(OpenStreamError::Closed)));
        };
        let connection = connected.connection();
        let request = self.swarm.behaviour_mut().streams.open(peer, connection, vec![protocol]);
        self.opening.insert(request, reply);
    }

    fn receivers(&self, root: &Cid) -> Vec<Receiver> {
        let audience = self.blocks.as_ref().map(|blocks| blocks.machine.audience(root)).unwrap_or_default();
        let receiver = |(peer, served)| {
            let address = self.connections.get(&peer).map(|connected| connected.remote_address().clone());
            Receiver { peer, address, served }
        };
        audience.into_iter().map(receiver).collect()
    }

    /// What nobody has an interest in any more is not counted.
    pub(super) fn end_watches(&mut self) {
        let Some(blocks) = &mut self.blocks else { return };
        let gone: Vec<Cid> =
            self.watching.extract_if(.., |(_, interest)| interest.strong_count() == 0).map(|(root, _)| root).collect();
        for root in gone {
            if !self.watching.iter().any(|(watched, _)| watched.hash() == root.hash()) {
                blocks.machine.unwatch(&root);
                blocks.limits.limit_root(&root, None);
            }
        }
    }

    fn known_addresses(&mut self) -> BTreeMap<PeerId, Vec<Multiaddr>> {
        let mut known: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        let routed = self.upkeep_peers();
        let connected = self.connections.peers().map(|(peer, connected)| (*peer, connected.addresses()));
        let heard = self.book.iter().map(|(peer, addresses)| (*peer, addresses.clone()));
        for (peer, addresses) in connected.chain(heard).chain(routed) {
            let of_peer = known.entry(peer).or_default();
            for address in addresses {
                let address = without_peer(&address);
                if !of_peer.contains(&address) {
                    of_peer.push(address);
                }
            }
        }
        known
    }

    fn protocols(&self) -> Vec<String> {
        let mut protocols = vec!["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"];
        let behaviour = self.swarm.behaviour();
        for (dht, side) in [(&behaviour.wan, Side::Wan), (&behaviour.lan, Side::Lan)] {
            if dht.as_ref().is_some_and(|dht| dht.is_server()) {
                protocols.push(side.name());
            }
        }
        if self.blocks.is_some() {
            protocols.push(wire::native::PROTOCOL);
            protocols.extend(wire::bitswap::PROTOCOLS);
        }
        protocols.push(autonat::DIAL_BACK);
        if self.config.relay_service.is_some() {
            protocols.push("/libp2p/circuit/relay/0.2.0/hop");
        }
        if self.config.relay_service.is_some() || matches!(self.reach.said, Reachability::Public(_)) {
            protocols.push(autonat::DIAL_REQUEST);
        }
        if self.config.relay_client {
            protocols.extend(["/libp2p/circuit/relay/0.2.0/stop", "/libp2p/dcutr"]);
        }
        protocols.into_iter().map(str::to_owned).collect()
    }

    fn stats(&mut self) -> Stats {
        let records = self.swarm.behaviour_mut().dhts().map(|dht| dht.records()).sum();
        Stats {
            exchange: self.blocks.as_ref().map(|blocks| blocks.machine.counters()).unwrap_or_default(),
            sessions: self.blocks.as_ref().map_or(0, |blocks| blocks.machine.sessions()),
            peers: self.connections.len(),
            dials: self.connections.dials,
            dials_made: self.connections.dials_made,
            accepted: self.connections.accepted,
            provider_records: records,
        }
    }
}

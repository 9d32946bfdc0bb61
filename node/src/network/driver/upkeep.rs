//! What is done by the clock: meeting bootstrap nodes, closing idle connections, ending bans, remembering peers; and the end.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use rand::seq::SliceRandom;
use tokio::time::timeout;

use super::super::address::peer_of;
use super::super::connections::Waiter;
use super::super::discovery::known_peers::KnownPeers;
use super::super::discovery::rejoin::{AT_A_TIME, Rejoin, Step};
use super::super::mdns::Found;
use super::super::transport;
use super::Driver;

/// What the clock has to do with.
pub(in crate::network) struct Upkeep {
    known_peers: Option<KnownPeers>,
    rejoin: Rejoin,
    save_due: Instant,
    saving: Option<tokio::task::JoinHandle<()>>,
    looking: Option<tokio::task::JoinHandle<()>>,
    bans: VecDeque<(PeerId, Instant)>,
}

impl Upkeep {
    pub(super) fn new(known_peers: Option<KnownPeers>, now: Instant) -> Self {
        let rejoin = Rejoin::default();
        Self { known_peers, rejoin, save_due: now + FIRST_SAVE, saving: None, looking: None, bans: VecDeque::new() }
    }

    /// Remembers when a ban ends; gives those that end now because there are too many.
    pub(super) fn ban(&mut self, peer: PeerId, until: Instant) -> Vec<PeerId> {
        self.bans.retain(|(banned, _)| *banned != peer);
        self.bans.push_back((peer, until));
        let surplus = self.bans.len().saturating_sub(MAX_BANS);
        self.bans.drain(..surplus).map(|(pardoned, _)| pardoned).collect()
    }

    fn pardoned(&mut self, now: Instant) -> Vec<PeerId> {
        let over: Vec<PeerId> = self.bans.iter().filter(|(_, until)| *until <= now).map(|(peer, _)| *peer).collect();
        self.bans.retain(|(_, until)| *until > now);
        over
    }
}

/// Who is alone for less has only begun, or was between two peers.
const WORTH_SAYING: Duration = Duration::from_secs(5);
/// Bans that stand at a time; one more ends the oldest.
const MAX_BANS: usize = 1024;
const FIRST_SAVE: Duration = Duration::from_secs(30);
const SAVE_EVERY: Duration = Duration::from_secs(5 * 60);

impl Driver {
    pub(super) fn on_tick(&mut self) {
        let now = Instant::now();
        let connections = &self.connections;
        for address in self.bootstrap.due(now, |peer| connections.contains(peer)) {
            self.dial(peer_of(&address), vec![address.clone()], Waiter::Bootstrap(address));
        }
        let connections = &self.connections;
        for address in self.trusted.due(now, |peer| connections.contains(peer)) {
            self.dial(peer_of(&address), vec![address.clone()], Waiter::Trusted(address));
        }
        self.rejoin(now);
        self.neighbours.tick(now);
        self.dial_neighbours(now);
        self.reach_tick(now);
        for peer in self.upkeep.pardoned(now) {
            self.swarm.behaviour_mut().bans.unblock_peer(peer);
        }
        let findings = self.swarm.behaviour_mut().dhts().flat_map(|dht| dht.tick(now)).collect();
        self.on_findings(findings, now);
        self.network.shared.meter.tick(now);
        self.look_at_deny_lists();
        self.close_dropped_sessions(now);
        self.end_watches();
        self.trim(now);
        if self.upkeep.save_due <= now {
            self.upkeep.save_due = now + SAVE_EVERY;
            self.save_known_peers();
        }
    }

    /// Files may be on a slow disk.
    fn look_at_deny_lists(&mut self) {
        let is_looking = self.upkeep.looking.as_ref().is_some_and(|looking| !looking.is_finished());
        if !self.config.deny_lists.is_empty() && !is_looking {
            let lists = self.config.deny_lists.clone();
            self.upkeep.looking = Some(tokio::task::spawn_blocking(move || lists.refresh()));
        }
    }

    /// When everybody is lost, those of the routing tables are tried until somebody answers.
    fn rejoin(&mut self, now: Instant) {
        let Some(step) = self.upkeep.rejoin.tick(self.connections.len() == 0, now) else { return };
        let mut peers: Vec<PeerId> = self.upkeep_peers().map(|(peer, _)| peer).collect();
        match step {
            Step::Back(after) if after < WORTH_SAYING => return,
            Step::Back(after) => return tracing::info!(?after, "connected with others again"),
            Step::Begin if peers.is_empty() => return, // it has just begun: there is nobody to miss
            Step::Begin => tracing::info!(known = peers.len(), "connected with nobody: trying those that were known"),
            Step::Try => tracing::debug!(known = peers.len(), "still connected with nobody"),
        }
        peers.shuffle(&mut rand::rng());
        for peer in peers.into_iter().take(AT_A_TIME) {
            // The tables know the addresses; being dialled already is as good.
            if self.swarm.dial(peer).is_ok() {
                self.connections.dials += 1;
            }
        }
    }

    pub(super) fn on_found(&mut self, Found { peer, addresses }: Found) {
        let now = Instant::now();
        let private = self.config.swarm_key.is_some();
        let addresses: Vec<Multiaddr> =
            addresses.into_iter().filter(|address| transport::understands(address, private)).collect();
        if !addresses.is_empty() {
            self.neighbours.handle_heard(peer, addresses, now);
            self.dial_neighbours(now);
        }
    }

    /// Below the low water mark, those on the local network are met without a further reason.
    fn dial_neighbours(&mut self, now: Instant) {
        if self.connections.len() >= self.config.low_water as usize {
            return;
        }
        let connections = &self.connections;
        for (peer, addresses) in self.neighbours.due(now, |peer| connections.contains(peer)) {
            // Not into the book, which a flood of forged peers would empty of others.
            let options = DialOpts::peer_id(peer).addresses(addresses).build();
            match self.swarm.dial(options) {
                Ok(()) => {
                    self.connections.dials += 1;
                    self.connections.wait(peer, Waiter::Neighbour(peer));
                }
                Err(DialError::DialPeerConditionFalse(_)) => {
                    self.connections.wait(peer, Waiter::Neighbour(peer));
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "cannot reach a peer of the local network");
                    self.neighbours.handle_failed(&peer, now);
                }
            }
        }
    }

    fn close_dropped_sessions(&mut self, now: Instant) {
        let Some(blocks) = &self.blocks else { return };
        let dropped = blocks.sessions.iter().filter(|(_, sender)| sender.is_closed());
        for session in dropped.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.close(session, now);
        }
    }

    /// Above the high water mark, idle connections are closed down to the low one, while nobody looks anything up.
    fn trim(&mut self, now: Instant) {
        if self.connections.len() <= self.config.high_water as usize || self.is_looking_up() {
            return;
        }
        let mut spared = self.blocks.as_ref().map(|blocks| blocks.busy(now)).unwrap_or_default();
        let met: BTreeSet<PeerId> =
            self.connections.peers().map(|(peer, _)| *peer).filter(|peer| self.is_wanted(peer)).collect();
        spared.extend(met);
        for peer in self.connections.surplus(self.config.low_water as usize, &spared, now) {
            tracing::debug!(%peer, "closing an idle connection");
            let _ = self.swarm.disconnect_peer_id(peer); // it is gone already
        }
    }

    fn is_wanted(&self, peer: &PeerId) -> bool {
        let is_relay = self.reach.relays.held().any(|relay| relay == peer);
        self.bootstrap.contains(peer) || self.trusted.contains(peer) || is_relay
    }

    /// Whether anything is being looked up, Kademlia's own refreshing of its table included.
    fn is_looking_up(&mut self) -> bool {
        self.swarm.behaviour_mut().dhts().any(|dht| dht.is_looking_up())
    }

    fn save_known_peers(&mut self) {
        let Some(file) = self.upkeep.known_peers.clone() else { return };
        if self.upkeep.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        let peers: Vec<_> = self.upkeep_peers().collect();
        if peers.is_empty() {
            // Those of the last run are better than none.
            return;
        }
        self.upkeep.saving = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = file.save(&peers) {
                tracing::warn!(%error, "cannot keep the list of known peers");
            }
        }));
    }

    /// The peers in the routing tables, with addresses: of both in turn, those that are connected first.
    pub(super) fn upkeep_peers(&mut self) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> + use<> {
        let tables = self.swarm.behaviour_mut().dhts().map(|dht| dht.peers());
        let mut peers: Vec<_> = tables.flat_map(|table| table.into_iter().enumerate()).collect();
        peers.sort_by_key(|(place, _)| *place);
        peers.into_iter().map(|(_, peer)| peer)
    }

    /// Says good-bye to everybody.
    pub(super) async fn stop(&mut self) {
        self.save_known_peers();
        for peer in self.swarm.connected_peers().copied().collect::<Vec<_>>() {
            let _ = self.swarm.disconnect_peer_id(peer); // it is gone already
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                if let SwarmEvent::ConnectionEstablished { peer_id, .. } = self.swarm.select_next_some().await {
                    let _ = self.swarm.disconnect_peer_id(peer_id); // it is gone already
                }
            }
        };
        let _ = timeout(GOOD_BYE, closing).await; // who has not heard it by now will notice
        if let Some(saving) = self.upkeep.saving.take() {
            let _ = saving.await; // it has told what went wrong
        }
    }
}

/// For connections to close.
const GOOD_BYE: Duration = Duration::from_millis(500);

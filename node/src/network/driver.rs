//! The task that owns the swarm. It carries out what people and machines say, and decides nothing.

mod circuits;
mod commands;
mod events;
mod exchange;
mod late;
mod reach;
mod upkeep;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Weak;
use std::time::{Duration, Instant};

use cid::Cid;
use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, Swarm};
use libp2p::{Multiaddr, PeerId, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use self::events::plain;
use self::upkeep::Upkeep;
use super::behaviour::Behaviour;
use super::blocks::{Blocks, Done, Report};
use super::command::Command;
use super::config::Config;
use super::connections::{AddressBook, Connections, Waiter};
use super::contacts::Contacts;
use super::discovery::known_peers::KnownPeers;
use super::mdns::{Found, Mdns, Neighbours};
use super::reach::Reach;
use super::streams::StreamRequest;
use super::{ConnectError, OpenStreamError, WeakNetwork, transport};

/// Everything that the task owns.
pub(super) struct Driver {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) blocks: Option<Blocks>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) network: WeakNetwork,
    pub(super) config: Config,
    pub(super) connections: Connections,
    pub(super) book: AddressBook,
    pub(super) bootstrap: Contacts,
    pub(super) trusted: Contacts,
    pub(super) mdns: Option<Mdns>,
    pub(super) neighbours: Neighbours,
    pub(super) reach: Reach,
    pub(super) watching: Vec<(Cid, Weak<()>)>,
    pub(super) opening: HashMap<StreamRequest, oneshot::Sender<Result<Stream, OpenStreamError>>>,
    pub(super) listening: Vec<Multiaddr>,
    pub(super) upkeep: Upkeep,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        (blocks, reports): (Option<Blocks>, mpsc::Receiver<Report>),
        network: WeakNetwork,
        config: Config,
        known_peers: Option<KnownPeers>,
    ) -> Self {
        let now = Instant::now();
        let mdns = config.mdns.then(|| Mdns::new(*swarm.local_peer_id()));
        Self {
            swarm,
            blocks,
            reports,
            network,
            connections: Connections::default(),
            book: AddressBook::default(),
            bootstrap: Contacts::bootstrap(config.bootstrap.clone(), now),
            trusted: Contacts::trusted(config.peering.clone(), now),
            mdns,
            neighbours: Neighbours::default(),
            reach: Reach::new(config.hidden),
            watching: vec![],
            config,
            opening: HashMap::new(),
            listening: vec![],
            upkeep: Upkeep::new(known_peers, now),
        }
    }

    /// Runs until the last handle is gone, or until it is told to stop.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reports = Vec::with_capacity(REPORTS_AT_ONCE);
        loop {
            let timeout = self.blocks.as_ref().and_then(Blocks::timeout);
            let mut alarm = pin!(sleep_until(timeout.unwrap_or_else(far).into()));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Shutdown { reply }) => {
                        self.stop().await;
                        drop(self);
                        let _ = reply.send(()); // nobody waits: it has stopped all the same
                        return;
                    }
                    Some(command) => {
                        self.on_command(command);
                        self.act();
                        // No turn: whoever gave it knows of it, and most only ask.
                        continue;
                    }
                    None => return self.stop().await,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                _ = self.reports.recv_many(&mut reports, REPORTS_AT_ONCE), if self.blocks.is_some() => {
                    reports.drain(..).for_each(|report| self.on_report(report));
                }
                done = next_done(&mut self.blocks) => self.on_done(done),
                found = next_found(&mut self.mdns) => self.on_found(found),
                Some(done) = self.reach.work.next(), if !self.reach.work.is_empty() => self.on_reach_done(done),
                () = &mut alarm => self.on_timeout(),
                _ = tick.tick() => self.on_tick(),
            }
            self.act();
            self.network.shared.turns.notify_waiters();
        }
    }

    /// Connects to a peer, or to whoever answers at an address, and tells the waiter.
    fn dial(&mut self, peer: Option<PeerId>, addresses: Vec<Multiaddr>, waiter: Waiter) {
        if let Err(error) = self.check(peer, &addresses) {
            return self.tell_failed(waiter, error);
        }
        let Some(peer) = peer else {
            let [address] = &addresses[..] else { return };
            let options = DialOpts::unknown_peer_id().address(address.clone()).build();
            let id = options.connection_id();
            self.connections.dials += 1;
            return match self.swarm.dial(options) {
                Ok(()) => self.connections.wait_for_anybody(id, waiter),
                Err(error) => self.tell_failed(waiter, ConnectError::Failed { why: plain(&error) }),
            };
        };
        if self.connections.contains(&peer) {
            return self.tell_made(waiter, peer);
        }
        self.book.add(peer, addresses);
        let known = self.addresses_of(&peer);
        let options =
            DialOpts::peer_id(peer).addresses(known).condition(PeerCondition::DisconnectedAndNotDialing).build();
        self.connections.dials += 1;
        match self.swarm.dial(options) {
            Ok(()) => self.connections.wait(peer, waiter),
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.connections.dials -= 1;
                self.connections.wait(peer, waiter);
            }
            Err(DialError::NoAddresses) => {
                self.connections.dials -= 1;
                self.tell_failed(waiter, ConnectError::NoAddress { peer });
            }
            Err(error) => self.tell_failed(waiter, ConnectError::Failed { why: plain(&error) }),
        }
    }

    fn check(&self, peer: Option<PeerId>, addresses: &[Multiaddr]) -> Result<(), ConnectError> {
        if peer == Some(*self.swarm.local_peer_id()) {
            return Err(ConnectError::Itself);
        }
        let private = self.config.swarm_key.is_some();
        let Some(first) = addresses.first() else { return Ok(()) };
        if addresses.iter().any(|address| transport::understands(address, private)) {
            return Ok(());
        }
        let why = match private && transport::understands(first, false) {
            true => "a private network uses TCP only",
            false => "only /tcp/PORT and /udp/PORT/quic-v1 can be dialled",
        };
        Err(ConnectError::Unsupported { address: first.clone(), why })
    }

    /// Every address of a peer that somebody told of.
    fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addresses = self.book.of(peer).to_vec();
        addresses.extend_from_slice(self.neighbours.addresses(peer));
        for dht in self.swarm.behaviour_mut().dhts() {
            addresses.extend(dht.addresses_of(peer));
        }
        let mut seen = std::collections::BTreeSet::new();
        let private = self.config.swarm_key.is_some();
        addresses.retain(|address| transport::understands(address, private) && seen.insert(address.clone()));
        addresses
    }
}

/// Housekeeping.
const TICK: Duration = Duration::from_secs(1);
/// Reports of streams that are taken before the machine is asked what to do.
const REPORTS_AT_ONCE: usize = 64;

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

async fn next_done(blocks: &mut Option<Blocks>) -> Done {
    match blocks {
        Some(blocks) if !blocks.work.is_empty() => blocks.work.select_next_some().await,
        _ => std::future::pending().await,
    }
}

async fn next_found(mdns: &mut Option<Mdns>) -> Found {
    match mdns {
        Some(mdns) => mdns.next().await,
        None => std::future::pending().await,
    }
}

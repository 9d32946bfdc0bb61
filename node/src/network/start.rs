//! Bringing the network up: transports, behaviours, listeners, the peers of the last run, the tasks.

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cidra_content::autonat::DIAL_REQUEST;
use futures::StreamExt;
use libp2p::core::transport::TransportError;
use libp2p::identity::Keypair;
use libp2p::kad::Mode;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, relay};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::bandwidth::Meter;
use super::behaviour::Behaviour;
use super::blocks::{self, Blocks};
use super::config::{Config, Routing};
use super::discovery::announcer::Announcer;
use super::discovery::known_peers::KnownPeers;
use super::discovery::records::Records;
use super::discovery::sweeper::SweepStats;
use super::discovery::{Dht, Side};
use super::driver::Driver;
use super::throttle::Limits;
use super::transport::{self, SecurityError};
use super::{Network, Shared, reach, streams};
use crate::pool::Pool;
use crate::store::Store;

impl Network {
    /// Listens, and begins to meet peers. `data` is a folder for what is kept of them across restarts (made when missing);
    /// `blocks` is where blocks come from and go to: without, none are exchanged.
    pub async fn start(
        config: Config,
        keypair: Keypair,
        data: &Path,
        blocks: Option<(Store, Pool)>,
    ) -> Result<Self, StartError> {
        let here = PeerId::from(keypair.public());
        std::fs::create_dir_all(data).map_err(|source| StartError::Data { path: data.to_owned(), source })?;
        let dhts = (dht(Side::Wan, here, &config, data)?, dht(Side::Lan, here, &config, data)?);
        let mut accept = if blocks.is_some() { blocks::protocols() } else { vec![] };
        accept.extend(reach::protocols());
        let streams = streams::Behaviour::new(accept);
        streams.set_accepting(DIAL_REQUEST, config.relay_service.is_some());
        let (circuits, relay_client) = relay::client::new(here);
        let behaviour = Behaviour::new(&keypair, &config, dhts, streams, relay_client);
        let meter = Arc::new(Meter::default());
        let transport = transport::build(&keypair, config.swarm_key, circuits, meter.clone())?;
        let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
        let swarm = Swarm::new(transport, behaviour, here, settings);

        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (told, sweep) = watch::channel(SweepStats::default());
        let network = Self {
            commands,
            shared: Arc::new(Shared { peer_id: here, announce: Notify::new(), turns: Arc::default(), meter, sweep }),
        };
        let announcer = match (&blocks, config.announce) {
            (Some((store, _)), true) => {
                let file = data.join(SWEEP);
                Some({
                    let what = (config.strategy, config.deny_lists.clone());
                    Announcer::spawn(network.downgrade(), store.clone(), what, file, told)
                })
            }
            _ => None,
        };
        let known_peers = KnownPeers::new(data.join(KNOWN_PEERS));
        let exchange = match blocks {
            Some((store, pool)) => {
                let limits = Limits::new(config.limit_up, config.limit_down);
                let (blocks, reports) =
                    Blocks::new(store, pool, config.exchange.clone(), config.serve, config.deny_lists.clone(), limits);
                (Some(blocks), reports)
            }
            None => (None, mpsc::channel(1).1),
        };
        let weak = network.downgrade();
        let mut driver = Driver::new(swarm, exchange, weak, config, Some(known_peers.clone()));
        driver.listen().await?;
        driver.remember(&known_peers);
        tokio::spawn(async move {
            driver.run(receiver).await;
            drop(announcer);
        });
        Ok(network)
    }
}

/// A DHT with the records it kept. In the public one only those that can be reached keep records, which time will show; nobody else
/// does so in a private network.
fn dht(side: Side, here: PeerId, config: &Config, data: &Path) -> Result<Option<Dht>, StartError> {
    let mode = match (config.routing, side) {
        (Routing::None, _) => return Ok(None),
        (Routing::Client, _) => Mode::Client,
        (Routing::Auto, Side::Wan) if config.swarm_key.is_none() => Mode::Client,
        (Routing::Auto | Routing::Server, _) => Mode::Server,
    };
    let path = data.join(match side {
        Side::Lan => RECORDS,
        Side::Wan => PUBLIC_RECORDS,
    });
    let mut records = Records::open(here, Some(&path)).map_err(|source| StartError::Data { path, source })?;
    records.deny(config.deny_lists.clone());
    Ok(Some(Dht::new(side, here, records, mode)))
}

const RECORDS: &str = "provider-records";
const PUBLIC_RECORDS: &str = "provider-records-public";
const SWEEP: &str = "sweep";
const KNOWN_PEERS: &str = "known-peers";
/// Commands that wait for the driver; then handles wait.
const COMMANDS: usize = 256;
/// Idle connections are closed by the water marks; this is for nodes that never reach them.
const IDLE: Duration = Duration::from_secs(24 * 3600);

impl Driver {
    /// Listens at all addresses and waits until the real ports are known.
    async fn listen(&mut self) -> Result<(), StartError> {
        let private = self.config.swarm_key.is_some();
        let (usable, others): (Vec<_>, Vec<_>) =
            self.config.listen.clone().into_iter().partition(|address| transport::understands(address, private));
        for address in others {
            match transport::understands(&address, false) {
                true => tracing::info!(%address, "not listening: a private network uses TCP only"),
                false => return Err(StartError::Unsupported { address }),
            }
        }
        if usable.is_empty() && !self.config.listen.is_empty() {
            return Err(StartError::NothingPrivate);
        }
        // All are probed before any is bound, as one that is bound would be in the way of others.
        let usable: Vec<Multiaddr> = usable.into_iter().map(free).collect();
        let mut listeners = Vec::with_capacity(usable.len());
        let mut failed = None;
        for address in &usable {
            match self.listen_at(address.clone()) {
                Ok(listener) => listeners.push(listener),
                // A machine without IPv6 is no reason to stop.
                Err(source) => {
                    tracing::info!(%address, error = %source, "cannot listen");
                    failed = Some(StartError::Listen { address: address.clone(), source });
                }
            }
        }
        if let (true, Some(error)) = (listeners.is_empty(), failed) {
            return Err(error);
        }
        let at_all_interfaces = usable.iter().any(is_unspecified);
        let deadline = Instant::now() + LISTENERS_UP;
        while !listeners.is_empty() {
            let Ok(event) = timeout_at(deadline, self.swarm.select_next_some()).await else { break };
            if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
                listeners.retain(|listener| listener != listener_id);
            }
            self.on_event(event);
        }
        if !at_all_interfaces {
            return Ok(());
        }
        // The addresses of the other interfaces are ready as well.
        let deadline = Instant::now() + SAME_LISTENERS;
        while let Ok(event) = timeout_at(deadline, self.swarm.select_next_some()).await {
            self.on_event(event);
        }
        Ok(())
    }

    fn listen_at(&mut self, address: Multiaddr) -> io::Result<libp2p::core::transport::ListenerId> {
        let failed = |error| match error {
            TransportError::MultiaddrNotSupported(_) => io::Error::from(io::ErrorKind::Unsupported),
            TransportError::Other(error) => error,
        };
        match self.swarm.listen_on(address.clone()).map_err(failed) {
            Err(error) if is_taken(&error) => {
                tracing::info!(%address, "the port is taken: listening on a free one");
                self.swarm.listen_on(with_any_port(&address)).map_err(failed)
            }
            result => result,
        }
    }

    /// Tries peers of the last run.
    fn remember(&mut self, known_peers: &KnownPeers) {
        for (peer, addresses) in known_peers.seeds() {
            for dht in self.swarm.behaviour_mut().dhts() {
                dht.remember(peer, addresses.clone());
            }
        }
    }
}

/// For listeners to say where they are.
const LISTENERS_UP: Duration = Duration::from_secs(2);
const SAME_LISTENERS: Duration = Duration::from_millis(20);

fn is_unspecified(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

fn is_taken(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            return true;
        }
        // An error of the system hides inside one that only says "other".
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// The address, or with any port when its own is taken. libp2p shares a port with other processes of the same user, who
/// would get some of the connections meant for us: so it is tried without sharing.
fn free(address: Multiaddr) -> Multiaddr {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return address,
    };
    let bound = match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        Some(Protocol::Udp(port)) if port != 0 => UdpSocket::bind((ip, port)).map(drop),
        _ => Ok(()),
    };
    match bound {
        Err(error) if is_taken(&error) => {
            tracing::info!(%address, "the port is taken: listening on a free one");
            with_any_port(&address)
        }
        _ => address,
    }
}

fn with_any_port(address: &Multiaddr) -> Multiaddr {
    let any = |part| match part {
        Protocol::Tcp(_) => Protocol::Tcp(0),
        Protocol::Udp(_) => Protocol::Udp(0),
        part => part,
    };
    address.iter().map(any).collect()
}

/// Why the network does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder for what is kept across restarts cannot be used.
    #[error("cannot use {}", path.display())]
    Data {
        /// The folder or a file in it.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No address can be listened at; this is one of them.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// Why.
        source: io::Error,
    },
    /// All addresses to listen at are of transports that private networks do not have.
    #[error("a private network uses TCP only, and no TCP address is given to listen on")]
    NothingPrivate,
    /// The key is of no use for encryption.
    #[error("this node's key cannot be used")]
    Security(#[from] SecurityError),
    /// No transport can listen there.
    #[error("cannot listen on {address}: only /ip4|ip6/…/tcp/PORT and /ip4|ip6/…/udp/PORT/quic-v1 are known")]
    Unsupported {
        /// Where.
        address: Multiaddr,
    },
}

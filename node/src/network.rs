//! The network: one task owns the swarm, everybody else holds a [`Network`] and sends it commands.
//!
//! What to ask of whom is decided by `content::exchange`; here are the sockets, the streams, the DHT and the clock. Besides
//! the driver, tasks are spawned for the streams of partners and for announcing, and end with it.

mod address;
mod audience;
mod bandwidth;
mod behaviour;
mod blocks;
mod command;
mod config;
mod connections;
mod contacts;
mod discovery;
mod driver;
mod mdns;
mod ping;
mod reach;
mod session;
mod start;
mod streams;
mod swarm_key;
mod throttle;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use cidra_content::exchange::{Counters, Order};
use futures::Stream;
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::audience::{Audience, Receiver};
pub use self::bandwidth::Bandwidth;
use self::bandwidth::Meter;
use self::command::Command;
pub use self::command::{Direction, PeerIdentity, PeerInfo, Provider, Reached};
pub use self::config::{Config, RelayLimits, Routing, Strategy};
pub use self::discovery::sweeper::SweepStats;
use self::discovery::{Finder, Side, provide};
pub use self::session::{MAX_PENDING, Session, SessionEvent};
pub use self::start::StartError;
pub use self::streams::OpenStreamError;
pub use self::swarm_key::{SwarmKey, SwarmKeyError};
pub use self::transport::SecurityError;

/// A handle on the network, which ends with the last handle, session included, or by [`Network::shutdown`].
///
/// Dropping a future of one of its methods gives up what was asked; a connection that was made stays.
#[derive(Clone, Debug)]
pub struct Network {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer_id: PeerId,
    /// Something is to be announced, or somebody is there to be told.
    announce: Notify,
    /// Peers, the disk or the clock made the network do something.
    turns: Arc<Notify>,
    meter: Arc<Meter>,
    sweep: watch::Receiver<SweepStats>,
}

impl Network {
    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// Where it listens: real ports, and each address of the machine's interfaces.
    pub async fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.ask(|reply| Command::ListenAddresses { reply }).await.unwrap_or_default()
    }

    /// Where it tells others that it is.
    pub async fn announced_addresses(&self) -> Vec<Multiaddr> {
        self.ask(|reply| Command::AnnouncedAddresses { reply }).await.unwrap_or_default()
    }

    /// Whether others can reach it.
    pub async fn reachability(&self) -> Reached {
        self.ask(|reply| Command::Reachability { reply }).await.unwrap_or_default()
    }

    /// What it speaks.
    pub async fn protocols(&self) -> Vec<String> {
        self.ask(|reply| Command::Protocols { reply }).await.unwrap_or_default()
    }

    /// Connects to whoever answers at the address, or to the peer that it names.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId, ConnectError> {
        let peer = address::peer_of(&address);
        if let (Some(peer), true) = (peer, address.iter().count() == 1) {
            return self.reach(peer).await.map(|()| peer);
        }
        self.dial(peer, vec![address]).await
    }

    /// Connects to a peer, wherever it is: by addresses that are known, else by those that the DHT knows.
    pub async fn reach(&self, peer: PeerId) -> Result<(), ConnectError> {
        let Err(error) = self.dial(Some(peer), vec![]).await else { return Ok(()) };
        if matches!(error, ConnectError::Itself | ConnectError::Ended) {
            return Err(error);
        }
        let addresses = self.find_peer(peer).await?;
        if addresses.is_empty() {
            return Err(error);
        }
        self.dial(Some(peer), addresses).await.map(|_| ())
    }

    /// Closes all connections with a peer; false when there was none.
    pub async fn disconnect(&self, peer: PeerId) -> bool {
        self.ask(|reply| Command::Disconnect { peer, reply }).await.unwrap_or(false)
    }

    /// The peers that are connected, each connection for itself.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(|reply| Command::Peers { reply }).await.unwrap_or_default()
    }

    /// The addresses of all peers that are known.
    pub async fn known_addresses(&self) -> BTreeMap<PeerId, Vec<Multiaddr>> {
        self.ask(|reply| Command::KnownAddresses { reply }).await.unwrap_or_default()
    }

    /// Asks a peer for a sign of life; gives the time it took.
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, PingError> {
        match self.try_to_ping(peer).await {
            // Where both sides dialled at once, one of the two connections is closed just then.
            Err(PingError::Broken(_) | PingError::Refused(_)) => self.try_to_ping(peer).await,
            result => result,
        }
    }

    async fn try_to_ping(&self, peer: PeerId) -> Result<Duration, PingError> {
        self.reach(peer).await?;
        let protocol = StreamProtocol::new(ping::PROTOCOL);
        let stream = self.ask(|reply| Command::OpenStream { peer, protocol, reply }).await;
        ping::ping(stream.ok_or(ConnectError::Ended)??).await
    }

    /// Connects to a peer and waits for it to say who it is.
    pub async fn identify(&self, peer: PeerId) -> Result<PeerIdentity, ConnectError> {
        self.reach(peer).await?;
        let identity = self.ask(|reply| Command::Identify { peer, reply });
        match tokio::time::timeout(IDENTIFY, identity).await {
            Ok(Some(identity)) => Ok(identity),
            _ => Err(ConnectError::Failed { why: format!("{peer} does not say who it is") }),
        }
    }

    /// Looks for peers that have a block, at most `most` of them; the stream ends with the search. Dropping it ends it too.
    pub fn find_providers(&self, cid: Cid, most: usize) -> impl Stream<Item = Provider> + Send + 'static {
        let network = self.clone();
        let most = most.clamp(1, MAX_PROVIDERS);
        let (sink, found) = mpsc::channel(most);
        let mut begin = Some(async move {
            let finder = Finder::Caller { sink, most };
            let _ = network.commands.send(Command::FindProviders { cid, finder }).await; // the network ended: nobody found
        });
        let seen = BTreeSet::new();
        futures::stream::unfold((found, begin.take(), seen), move |(mut found, begin, mut seen)| async move {
            if let Some(begin) = begin {
                begin.await;
            }
            // Each DHT may know of the same.
            while seen.len() < most {
                let provider: Provider = found.recv().await?;
                if seen.insert(provider.peer) {
                    return Some((provider, (found, None, seen)));
                }
            }
            None
        })
    }

    /// Where a peer is, as far as the DHT knows; empty when it does not.
    pub async fn find_peer(&self, peer: PeerId) -> Result<Vec<Multiaddr>, ConnectError> {
        let (reply, mut answers) = mpsc::channel(1);
        let asked = self.commands.send(Command::FindPeer { peer, reply }).await;
        asked.map_err(|_| ConnectError::Ended)?;
        // The senders are dropped where nobody knows, or no DHT is asked.
        Ok(answers.recv().await.unwrap_or_default())
    }

    /// Tells the peers that keep the records of this block that it is here; gives how many were told.
    pub async fn provide(&self, cid: Cid) -> Result<usize, ProvideError> {
        provide::provide(self, &cid, None).await.map(|told| told.peers)
    }

    /// The peers that keep what has this name in the DHT, and how many were asked to find them.
    pub async fn closest_peers(&self, name: Vec<u8>) -> Result<(Vec<Provider>, u32), ProvideError> {
        provide::closest(self, name).await.map(|closest| (closest.peers, closest.requests))
    }

    /// What announcing again came to so far.
    pub fn sweep(&self) -> SweepStats {
        *self.shared.sweep.borrow()
    }

    /// Announces what the store has queued, within a second if anybody is connected.
    pub fn announce_soon(&self) {
        self.shared.announce.notify_one();
    }

    /// Begins a download. `root` is what is searched for first; `holders` are addresses of peers that are said to have it.
    pub async fn open(&self, root: Cid, order: Order, holders: Vec<Multiaddr>) -> Session {
        let opened = self.ask(|reply| Command::OpenSession { root, order, holders, reply }).await;
        opened.unwrap_or_else(|| Session {
            id: cidra_content::exchange::SessionId(0),
            commands: self.commands.clone(),
            events: mpsc::channel(1).1,
        })
    }

    /// Counts from here on how much of what is asked for under `root` goes to whom.
    /// With a limit, no more than so many bytes a second of it go out.
    pub async fn watch(&self, root: Cid, limit: Option<NonZeroU64>) -> Audience {
        let interest = Arc::new(());
        let watching = Arc::downgrade(&interest);
        let _ = self.commands.send(Command::Watch { root, limit, interest: watching }).await; // the network ended: nobody fetches
        Audience { root, commands: self.commands.clone(), _interest: interest }
    }

    /// Changes whom this node meets first.
    pub async fn set_bootstrap(&self, addresses: Vec<Multiaddr>) {
        let _ = self.commands.send(Command::SetBootstrap { addresses }).await; // the network ended
    }

    /// Resolves when something happened to the network after this call that may change what it says: a peer, the disk or the clock
    /// made it act. At least once a second, for as long as it runs.
    pub fn turn(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.turns.clone().notified_owned()
    }

    /// What was done since the start.
    pub async fn stats(&self) -> Stats {
        self.ask(|reply| Command::Stats { reply }).await.unwrap_or_default()
    }

    /// How many bytes went to and fro since the start, in all or with one peer while it is connected.
    pub fn bandwidth(&self, peer: Option<PeerId>) -> Bandwidth {
        self.shared.meter.bandwidth(peer)
    }

    /// How many bytes went to and fro since the start in streams of this protocol.
    pub fn bandwidth_of(&self, protocol: &str) -> Bandwidth {
        self.shared.meter.bandwidth_of(protocol)
    }

    /// Closes all connections, keeps what is worth keeping on disk, and ends the network for all handles.
    pub async fn shutdown(&self) {
        self.ask(|reply| Command::Shutdown { reply }).await;
    }

    async fn keep_own(&self, side: Side, names: Vec<Vec<u8>>) {
        let _ = self.commands.send(Command::KeepOwn { side, names }).await; // the network ended
    }

    async fn dial(&self, peer: Option<PeerId>, addresses: Vec<Multiaddr>) -> Result<PeerId, ConnectError> {
        self.ask(|reply| Command::Dial { peer, addresses, reply }).await.unwrap_or(Err(ConnectError::Ended))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    fn downgrade(&self) -> WeakNetwork {
        WeakNetwork { commands: self.commands.downgrade(), shared: self.shared.clone() }
    }
}

/// For a peer to say who it is after it is connected.
const IDENTIFY: Duration = Duration::from_secs(10);
/// Providers of one search.
const MAX_PROVIDERS: usize = 1000;

/// A handle that keeps no network alive.
#[derive(Clone, Debug)]
struct WeakNetwork {
    commands: mpsc::WeakSender<Command>,
    shared: Arc<Shared>,
}

impl WeakNetwork {
    fn upgrade(&self) -> Option<Network> {
        Some(Network { commands: self.commands.upgrade()?, shared: self.shared.clone() })
    }
}

/// What was done since the network started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The exchange of blocks.
    pub exchange: Counters,
    /// Downloads that are open.
    pub sessions: usize,
    /// Peers that are connected.
    pub peers: usize,
    /// Connections that were tried from here.
    pub dials: u64,
    /// Those of them that were made.
    pub dials_made: u64,
    /// Connections that were made from there.
    pub accepted: u64,
    /// Provider records held, our own among them.
    pub provider_records: usize,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network has ended.
    #[error("the network has ended")]
    Ended,
    /// All addresses were tried; each with what came of it.
    #[error("{why}")]
    Failed {
        /// In words for people.
        why: String,
    },
    /// It is this node.
    #[error("that is this node itself")]
    Itself,
    /// Nothing says where it is.
    #[error("no address of {peer} is known")]
    NoAddress {
        /// Whom.
        peer: PeerId,
    },
    /// No transport of this node leads there.
    #[error("cannot dial {address}: {why}")]
    Unsupported {
        /// Where.
        address: Multiaddr,
        /// In words for people.
        why: &'static str,
    },
}

/// Why a ping did not come back.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// The stream broke.
    #[error("the stream broke")]
    Broken(#[from] std::io::Error),
    /// The peer cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The peer takes no stream for it.
    #[error("it answers no ping")]
    Refused(#[from] OpenStreamError),
    /// Not in time.
    #[error("no answer within {} s", ping::PATIENCE.as_secs())]
    Timeout,
    /// With other bytes than were sent.
    #[error("the answer is not what was sent")]
    Wrong,
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum ProvideError {
    /// The DHT has no peers.
    #[error("nobody to tell: no peer of the DHT is known")]
    Alone,
    /// The network has ended.
    #[error("the network has ended")]
    Ended,
    /// This node takes no part in the DHT.
    #[error("this node takes no part in the DHT (--routing none)")]
    NoRouting,
}

//! A node: its store, its hashing threads and, once it is needed, its network.
//!
//! The handle that the API, the gateway and programs hold. The network of a daemon starts with it; that of a single command
//! when first something is not in the store.

mod archive;
mod configure;
mod dag;
mod files;
mod handover;
mod listing;
mod online;
mod read;
mod tarball;
mod verbosity;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cid::Cid;
use cidra_content::deny::Deny;
use cidra_content::exchange::Order;
use cidra_content::fetch::Selector;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OnceCell, watch};

use crate::add::{Import, ImportError, ImportOptions};
use crate::config::{Config, DenyListError, DenyLists, Routing, Strategy, is_public_introducer};
use crate::download::{Crowd, Download, FetchError, FetchOptions};
use crate::identity::{self, IdentityError};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::names::Names;
pub use crate::network::SwarmKey;
use crate::network::{self, Network};
use crate::pool::Pool;
use crate::repository::{Repository, RepositoryError};
pub use crate::store::Ticket;
use crate::store::guests::Guests;
use crate::store::{self, Root, RootKind, Store, StoreError};
pub use archive::{ArchiveError, ArchiveImport};
pub use configure::Tokens;
pub use dag::DagReader;
pub use files::{Changing, FileWriter, FilesError, WriteOptions};
pub use handover::Settled;
pub use listing::{Kind, Listed, Listing};
pub use read::Resolved;
pub use tarball::Tarball;
pub use verbosity::{change_log, log_directives, log_is_changed_by};

/// A node. Clones are handles of the same one.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    settings: Settings,
    keypair: Keypair,
    keys: Keys,
    names: Names,
    store: Store,
    guests: Arc<Guests>,
    pool: Pool,
    network: OnceCell<Network>,
    /// The bootstrap list as it stands, for the API to change.
    bootstrap: Mutex<Vec<Multiaddr>>,
    tokens: Tokens,
    metrics: Metrics,
    deny: DenyLists,
    crowd: Arc<Crowd>,
    files: files::Files,
    /// Held while the configuration file is changed.
    configuring: Mutex<()>,
    stopping: watch::Sender<bool>,
    /// Dropped last: with it goes the lock.
    repository: Repository,
}

/// What a node is to be: the configuration, and what flags and the environment lay over it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The configuration file's settings.
    pub config: Config,
    /// Whether it serves, announces and keeps connections, or lives for one command.
    pub role: Role,
    /// Never speak to peers.
    pub offline: bool,
    /// Where to listen, in place of `swarm.listen`.
    pub listen: Option<Vec<Multiaddr>>,
    /// Whom to meet first, in place of `bootstrap.peers`.
    pub bootstrap: Option<Vec<Multiaddr>>,
    /// The file of a private network's key, in place of the repository's `swarm.key`.
    pub swarm_key: Option<PathBuf>,
    /// Part in the DHT, in place of `routing.mode`.
    pub routing: Option<Routing>,
    /// Whether to serve what was only fetched, in place of `store.keep`.
    pub keep: Option<bool>,
    /// Whether to look for peers on the local network, in place of `swarm.mdns`.
    pub mdns: Option<bool>,
    /// Where names of websites lead (`/ipfs/CID`, `/ipns/name`), whatever DNS says.
    pub names: BTreeMap<String, String>,
}

/// How long a node lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// For one command: asks the DHT, announces nothing, listens on free ports.
    #[default]
    Command,
    /// Until it is stopped.
    Daemon,
    /// For one command that others come to: as the first, on a port that stays the same where it is free.
    Sender,
}

impl Node {
    /// Opens what the repository holds. Blocks the calling thread for the time that the store takes to open.
    pub fn open(repository: Repository, settings: Settings) -> Result<Self, NodeError> {
        let keypair = identity::load_or_make(&repository.identity())?;
        let store = Store::open(&repository.store(), store::Options::default())?;
        if let (Role::Daemon, Some(most)) = (settings.role, settings.config.store.max.bytes()) {
            store.limit(most);
        }
        let is_private = settings.swarm_key.is_some() || repository.swarm_key().exists();
        let bootstrap = settings.bootstrap.clone().unwrap_or_else(|| settings.config.bootstrap.peers.clone());
        let bootstrap = bootstrap.into_iter().filter(|peer| !(is_private && is_public_introducer(peer))).collect();
        Ok(Self(Arc::new(Inner {
            keys: Keys::new(repository.keys(), keypair.clone()),
            names: Names::new(settings.names.clone(), settings.config.dns.servers.clone(), repository.names()),
            keypair,
            guests: Arc::new(Guests::new(store.clone())),
            store,
            pool: Pool::new(hashing_threads()).map_err(NodeError::Threads)?,
            network: OnceCell::new(),
            bootstrap: Mutex::new(bootstrap),
            tokens: Tokens::new(settings.config.api.tokens.clone()),
            metrics: Metrics::default(),
            deny: DenyLists::open(&settings.config.deny.lists)?,
            crowd: Arc::default(),
            files: files::Files::default(),
            configuring: Mutex::new(()),
            stopping: watch::channel(false).0,
            repository,
            settings,
        })))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Those who handed the repository over to this node.
    pub fn guests(&self) -> &Arc<Guests> {
        &self.0.guests
    }

    /// The hashing threads.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// What is counted while it lives.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The downloads that are open.
    pub(crate) fn crowd(&self) -> &Arc<Crowd> {
        &self.0.crowd
    }

    /// Whether so much is being downloaded that each download holds no more than a piece.
    pub fn is_crowded(&self) -> bool {
        self.0.crowd.is_large()
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.settings.config
    }

    /// Who it is.
    pub fn keypair(&self) -> &Keypair {
        &self.0.keypair
    }

    /// The keys of names.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// What it knows of names.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Its name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.0.keypair.public().to_peer_id()
    }

    /// The repository's folder.
    pub fn repository_path(&self) -> &Path {
        self.0.repository.path()
    }

    /// The repository it holds.
    pub fn repository(&self) -> &Repository {
        &self.0.repository
    }

    /// What it neither serves nor fetches nor shows, as of now.
    pub fn denied(&self) -> Arc<Deny> {
        self.0.deny.current()
    }

    /// What it announces.
    pub fn strategy(&self) -> Strategy {
        self.0.settings.config.provide.strategy
    }

    /// Whether it lives until it is stopped.
    pub fn is_daemon(&self) -> bool {
        self.0.settings.role == Role::Daemon
    }

    /// Begins an import.
    pub async fn import(&self, options: ImportOptions) -> Result<Import, ImportError> {
        Import::new(self.0.store.clone(), self.0.pool.clone(), options).await
    }

    /// Has the roots announced: at once where a daemon runs, else when one does.
    pub async fn announce(&self, roots: &[Cid]) -> Result<(), StoreError> {
        for root in roots {
            self.0.store.queue_announcement(*root).await?;
        }
        if let (true, Some(network)) = (self.is_daemon(), self.running_network()) {
            network.announce_soon();
        }
        Ok(())
    }

    /// Begins a download of what `selector` names under `root`.
    pub fn download(&self, root: Cid, selector: Selector, options: FetchOptions) -> Download {
        Download::new(self.clone(), root, selector, options)
    }

    /// Protects a DAG, or a single block, from collection. What is missing is fetched first.
    pub async fn pin(
        &self,
        cid: Cid,
        recursive: bool,
        name: Option<String>,
        options: FetchOptions,
    ) -> Result<(), FetchError> {
        // First, so that a collection which does not know of it deletes nothing of it any more.
        let lease = self.0.store.lease().await;
        lease.protect(cid).await?;
        let selector = if recursive { Selector::Dag } else { Selector::Block };
        if !recursive || !self.0.store.is_complete(cid).await? {
            self.download(cid, selector, FetchOptions { keep: true, order: Order::Any, ..options }).complete().await?;
        }
        Ok(self.record_pin(cid, recursive, name).await?)
    }

    /// Records a pin of what is in the store already. Without a name, one that is pinned keeps the name that it has.
    pub async fn record_pin(&self, cid: Cid, recursive: bool, name: Option<String>) -> Result<(), StoreError> {
        let name = match name {
            Some(name) => Some(name),
            None => self.0.store.root(RootKind::Pin, &pin_key(&cid)).await?.and_then(|pin| pin.name),
        };
        let root = Root { kind: RootKind::Pin, key: pin_key(&cid), cid, recursive, name, expires: None };
        self.0.store.set_roots(vec![root]).await
    }

    /// Takes a pin away; false when there is none.
    pub async fn unpin(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.0.store.remove_root(RootKind::Pin, &pin_key(cid)).await
    }

    /// All pins.
    pub async fn pins(&self) -> Result<Vec<Root>, StoreError> {
        self.0.store.roots(RootKind::Pin).await
    }

    /// Asks the process to end.
    pub fn stop(&self) {
        let _ = self.0.stopping.send(true); // nobody waits: nothing to stop
    }

    /// Ends when somebody asked the process to end.
    pub async fn stopped(&self) {
        let mut stopping = self.0.stopping.subscribe();
        let _ = stopping.wait_for(|stopping| *stopping).await; // the sender lives as long as `self`
    }

    /// Stops the network, makes all that was put durable and closes the store: the next holder of the repository may be another
    /// process. What is asked of the store later fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        if let Err(error) = self.flush_files().await {
            tracing::error!(%error, "what was changed of the files and not flushed is lost");
        }
        if let Some(network) = self.running_network() {
            let _ = tokio::time::timeout(STOP_WITHIN, network.shutdown()).await; // it ends with the process
        }
        self.0.store.clone().close().await
    }
}

/// A network that does not stop in this time is left to the end of the process.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Pins are kept by multihash, so that all CIDs of the same bytes name one pin.
pub(crate) fn pin_key(cid: &Cid) -> Vec<u8> {
    cid.hash().to_bytes()
}

/// One thread less than there are cores, as another one moves the bytes; at least one, at most eight.
fn hashing_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).clamp(1, 8)
}

/// Why a node cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It keeps its repository.
    #[error("a daemon holds this repository, and does not give it up")]
    Daemon,
    /// A list of what it must not do is not there.
    #[error(transparent)]
    DenyList(#[from] DenyListError),
    /// It has no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The network does not start.
    #[error(transparent)]
    Network(#[from] network::StartError),
    /// It was told not to speak to peers.
    #[error("this needs the network, and --offline forbids it")]
    Offline,
    /// The repository cannot be taken again.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The store failed.
    #[error(transparent)]
    Storing(#[from] StoreError),
    /// The key of the private network cannot be used.
    #[error(transparent)]
    SwarmKey(#[from] network::SwarmKeyError),
    /// The hashing threads do not start.
    #[error("cannot start the hashing threads")]
    Threads(#[source] std::io::Error),
}

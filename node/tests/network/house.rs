//! A node for tests: a store in a temporary folder, and a network on loopback.

use std::path::Path;
use std::time::Duration;

use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_content::exchange::Order;
use cidra_node::network::{Config, Network, Routing, Session, SessionEvent};
use cidra_node::pool::Pool;
use cidra_node::store::{self, Store};
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use tempfile::TempDir;

/// A node and what it keeps.
pub(crate) struct House {
    pub(crate) network: Network,
    pub(crate) store: Store,
    keypair: Keypair,
    folder: TempDir,
}

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

impl House {
    /// A node that listens over TCP and knows these.
    pub(crate) async fn new(bootstrap: &[&House]) -> Self {
        let mut addresses = vec![];
        for house in bootstrap {
            addresses.push(house.address().await);
        }
        Self::with(Config { bootstrap: addresses, ..config(TCP) }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), store::Options::default()).unwrap();
        let keypair = Keypair::generate_ed25519();
        let network = start(config, &keypair, folder.path(), &store).await;
        Self { network, store, keypair, folder }
    }

    /// Ends the network and begins it anew: same key, same folder.
    pub(crate) async fn restart(&mut self, config: Config) {
        self.network.shutdown().await;
        self.network = start(config, &self.keypair, self.folder.path(), &self.store).await;
    }

    /// Where it is, with its name.
    pub(crate) async fn address(&self) -> Multiaddr {
        let address = self.network.listen_addresses().await.remove(0);
        address.with(Protocol::P2p(self.network.peer_id()))
    }

    /// Keeps a raw block of so many bytes that are like no other.
    pub(crate) async fn keep(&self, len: usize) -> Block {
        let mut bytes = vec![0; len];
        rand::fill(&mut bytes[..]);
        self.keep_block(Block::new(RAW, bytes.into())).await
    }

    pub(crate) async fn keep_block(&self, block: Block) -> Block {
        self.store.put(vec![block.clone()]).await.unwrap();
        block
    }

    /// Fetches blocks and waits until all are in its store.
    pub(crate) async fn fetch(&self, blocks: &[Block], holders: Vec<Multiaddr>) {
        let mut session = self.network.open(*blocks[0].cid(), Order::Any, holders).await;
        session.want(blocks.iter().map(|block| (*block.cid(), 0)).collect()).await;
        for _ in blocks {
            delivered(&mut session).await;
        }
        for block in blocks {
            assert_eq!(self.store.block(block.cid()).await.unwrap().as_ref(), Some(block));
        }
    }
}

pub(crate) fn config(listen: &str) -> Config {
    Config { listen: vec![listen.parse().unwrap()], routing: Routing::Server, ..Config::default() }
}

async fn start(config: Config, keypair: &Keypair, folder: &Path, store: &Store) -> Network {
    let blocks = Some((store.clone(), Pool::new(1).unwrap()));
    Network::start(config, keypair.clone(), &folder.join("network"), blocks).await.unwrap()
}

/// Waits for the next block, whatever is said to be missing meanwhile.
pub(crate) async fn delivered(session: &mut Session) -> cidra_content::Cid {
    let next = async {
        loop {
            match session.next().await.expect("the network runs") {
                SessionEvent::Delivered { cid, .. } => return cid,
                SessionEvent::Missing { .. } => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("delivered in time")
}

/// Waits until something holds that this network has a part in: looked at whenever it did something.
pub(crate) async fn until<F: Future<Output = bool>>(network: &Network, what: &str, mut holds: impl FnMut() -> F) {
    let held = async {
        loop {
            let turn = network.turn();
            if holds().await {
                return;
            }
            turn.await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, held).await.is_ok(), "not in time: {what}");
}

/// On a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

//! Many nodes of one DHT in one process: each with sockets, tables and records of its own, on loopback.

use std::path::Path;
use std::time::Duration;

use cidra_node::network::{Config, Network, Routing};
use futures::{StreamExt, stream};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tempfile::TempDir;

/// The nodes. They hold no content; they keep records.
pub struct Crowd {
    /// Those that live.
    pub nodes: Vec<Network>,
    folder: TempDir,
}

impl Crowd {
    /// So many nodes, each of which has filled its table.
    pub async fn of(count: usize) -> Crowd {
        let mut crowd = Crowd { nodes: vec![], folder: tempfile::tempdir().expect("a temporary folder") };
        let first = crowd.start(0, vec![]).await;
        let bootstrap = address(&first).await;
        crowd.nodes.push(first);
        let rest: Vec<Network> = stream::iter(1..count)
            .map(|number| crowd.start(number, vec![bootstrap.clone()]))
            .buffered(8)
            .collect()
            .await;
        crowd.nodes.extend(rest);
        let enough = (count - 1).min(ENOUGH);
        for node in &crowd.nodes {
            until(node, "it knows enough of the others", || async { node.known_addresses().await.len() >= enough })
                .await;
        }
        crowd
    }

    /// Where one of the nodes is.
    pub async fn address(&self, number: usize) -> Multiaddr {
        address(&self.nodes[number]).await
    }

    /// Ends nodes, by what stays.
    pub async fn keep(&mut self, stays: impl Fn(usize) -> bool) {
        let (mut kept, mut ended) = (vec![], vec![]);
        for (number, node) in self.nodes.drain(..).enumerate() {
            if stays(number) { kept.push(node) } else { ended.push(node) }
        }
        self.nodes = kept;
        stream::iter(ended).for_each_concurrent(8, |node| async move { node.shutdown().await }).await;
    }

    async fn start(&self, number: usize, bootstrap: Vec<Multiaddr>) -> Network {
        let data = self.folder.path().join(number.to_string());
        start(Config { bootstrap, ..config() }, &data).await
    }
}

/// A table of so many is enough to begin with.
const ENOUGH: usize = 10;

/// Of a node on loopback that keeps records.
pub fn config() -> Config {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("a literal address")];
    Config { listen, routing: Routing::Server, ..Config::default() }
}

async fn start(config: Config, data: &Path) -> Network {
    Network::start(config, Keypair::generate_ed25519(), data, None).await.expect("loopback has free ports")
}

async fn address(node: &Network) -> Multiaddr {
    let address = node.listen_addresses().await.remove(0);
    address.with(Protocol::P2p(node.peer_id()))
}

/// Who says to have it, as a node finds them.
pub async fn providers(node: &Network, cid: cid::Cid) -> Vec<PeerId> {
    node.find_providers(cid, 20).map(|provider| provider.peer).collect().await
}

/// Waits until something holds that this network has a part in: looked at whenever it did something.
pub async fn until<F: Future<Output = bool>>(network: &Network, what: &str, mut holds: impl FnMut() -> F) {
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
const PATIENCE: Duration = Duration::from_secs(300);

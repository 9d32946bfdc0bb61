//! Many nodes in one process, over real sockets: what one node knows of the others, and how it finds what it does not know.

use std::time::Duration;

use bytes::Bytes;
use cidra_content::Cid;
use cidra_content::fetch::Selector;
use cidra_content::unixfs::Parameters;
use cidra_node::add::{Entry, ImportOptions, Pin};
use cidra_node::config::Config;
use cidra_node::download::{DownloadEvent, FetchOptions};
use cidra_node::network::Network;
use cidra_node::node::{Node, Role, Settings};
use cidra_node::repository::{Opening, Repository};
use futures::future::join_all;
use libp2p::Multiaddr;
use tempfile::TempDir;

/// Nodes, each of which keeps few connections, fetch from holders that they have to find and dial.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_nodes_with_six_connections_find_and_dial_who_has_a_block() {
    let cluster = Cluster::start(30).await;
    let mut contents = vec![];
    for holder in [5, 11, 17, 23, 29] {
        let data = sample(holder, 300_000);
        let root = cluster.add(holder, &data).await;
        let told = cluster.network(holder).await.provide(root).await.unwrap();
        assert!(told > 0, "nobody keeps a record of what node {holder} has");
        contents.push((holder, root, data));
    }
    for number in 1..30 {
        cluster.until(number, |peers| peers <= KEPT).await;
    }

    for (holder, root, data) in contents {
        let getter = cluster.stranger_of(holder).await;
        let before = cluster.network(getter).await.stats().await.dials_made;

        let fetched = cluster.get(getter, root).await;

        let after = cluster.network(getter).await.stats().await.dials_made;
        assert!(fetched == data, "node {getter} got other bytes than node {holder} has");
        assert!(after > before, "node {getter} dialled nobody, and yet it was not connected to node {holder}");
    }
}

/// Connections that a node of the cluster keeps when it looks nothing up.
const KEPT: usize = 6;

struct Cluster {
    nodes: Vec<Node>,
    _folders: Vec<TempDir>,
}

impl Cluster {
    /// The first node introduces the others to one another.
    async fn start(count: usize) -> Self {
        let mut cluster = Self { nodes: vec![], _folders: vec![] };
        let first = cluster.node(vec![]).await;
        let address = first.network().await.unwrap().listen_addresses().await.remove(0);
        let address = address.with_p2p(first.peer_id()).unwrap_or_else(|address| address);
        cluster.nodes.push(first);
        for _ in 1..count {
            let node = cluster.node(vec![address.clone()]).await;
            cluster.nodes.push(node);
        }
        for number in 1..count {
            cluster.until(number, |peers| peers > 0).await;
        }
        cluster
    }

    async fn node(&mut self, bootstrap: Vec<Multiaddr>) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let Opening::Held(repository) = Repository::open(folder.path()).unwrap() else { panic!("it is ours alone") };
        let mut config = Config::default();
        config.swarm.low_water = KEPT as u32;
        config.swarm.high_water = KEPT as u32;
        let listen = Some(vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()]);
        let settings =
            Settings { config, role: Role::Daemon, listen, bootstrap: Some(bootstrap), ..Settings::default() };
        self._folders.push(folder);
        let node = Node::open(repository, settings).unwrap();
        node.network().await.unwrap();
        node
    }

    async fn network(&self, number: usize) -> Network {
        self.nodes[number].network().await.unwrap()
    }

    async fn add(&self, number: usize, data: &[u8]) -> Cid {
        let parameters = Parameters::V1_2025.with_chunk_size(65_536).unwrap();
        let options = ImportOptions {
            parameters,
            only_hash: false,
            pin: Pin::Yes { name: None },
            wrap: None,
            empty_folders: true,
            revisits: false,
        };
        let mut import = self.nodes[number].import(options).await.unwrap();
        import.entry(b"sample", Entry::File).await.unwrap();
        import.data(Bytes::copy_from_slice(data)).await.unwrap();
        import.finish().await.unwrap().pop().unwrap().cid
    }

    async fn get(&self, number: usize, root: Cid) -> Vec<u8> {
        let options = FetchOptions { timeout: Some(Duration::from_secs(60)), ..FetchOptions::default() };
        let mut download = self.nodes[number].download(root, Selector::Entity { range: None }, options);
        let mut data = vec![];
        while let Some(event) = download.next().await {
            if let DownloadEvent::Bytes(bytes) = event.unwrap() {
                data.extend_from_slice(&bytes);
            }
        }
        data
    }

    /// A node that is not connected to `holder`, and was asked for nothing before.
    async fn stranger_of(&self, holder: usize) -> usize {
        let peer = self.nodes[holder].peer_id();
        for number in (1..self.nodes.len()).filter(|number| *number != holder) {
            let peers = self.network(number).await.peers().await;
            if peers.iter().all(|info| info.peer != peer) {
                return number;
            }
        }
        panic!("every node is connected to node {holder}");
    }

    /// Waits until the number of peers of a node is as it should be.
    async fn until(&self, number: usize, is_right: impl Fn(usize) -> bool) {
        let network = self.network(number).await;
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let waited = async {
            while !is_right(network.stats().await.peers) {
                looks.tick().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), waited).await.is_err() {
            panic!("node {number} has {} peers after a minute", network.stats().await.peers);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(join_all(nodes.iter().map(|node| async { node.network().await.unwrap().shutdown().await })));
        });
    }
}

fn sample(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + place / 251 + seed * 101 + place / 65_521) as u8).collect()
}

//! A DHT of many nodes: content is found whoever asks, also when many nodes went away, and announcing costs little.

use std::time::Instant;

use cid::Cid;
use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_content::ipld::{self, Ipld};
use cidra_node::network::{Config, Network, Strategy};
use cidra_node::pool::Pool;
use cidra_node::store::{self, Store};
use cidra_tests::crowd::{config, providers, until};
use cidra_tests::{Crowd, Suite};
use futures::{StreamExt, stream};
use libp2p::PeerId;
use libp2p::identity::Keypair;

const DAG_CBOR: u64 = 0x71;

fn block(number: usize) -> Block {
    Block::new(RAW, format!("content {number}").into_bytes().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_from_everywhere_also_when_nodes_die() {
    let suite = Suite::chosen();
    let (nodes, contents) = (suite.of(12, 40, 200), suite.of(12, 100, 1000));
    let begun = Instant::now();
    let mut crowd = Crowd::of(nodes).await;
    println!("{nodes} nodes know each other after {:.1?}", begun.elapsed());
    // Those that announce are among those that stay.
    let announced: Vec<(Cid, PeerId)> = stream::iter(0..contents)
        .map(|number| {
            let (node, cid) = (&crowd.nodes[number % (nodes / 2)], *block(number).cid());
            async move {
                assert!(node.provide(cid).await.unwrap() >= (nodes - 1).min(20) / 2);
                (cid, node.peer_id())
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;

    let begun = Instant::now();
    all_are_found(&crowd, &announced).await;
    println!("{contents} contents are found from 5 of {nodes} nodes in {:.1?}", begun.elapsed());
    messages(&crowd).await;

    crowd.keep(|number| number < nodes * 7 / 10).await;
    all_are_found(&crowd, &announced).await;
    println!("they are when 30 % of the nodes have gone, too");
}

async fn all_are_found(crowd: &Crowd, announced: &[(Cid, PeerId)]) {
    let askers = crowd.nodes.iter().step_by(crowd.nodes.len().div_ceil(5));
    let asked = askers.flat_map(|asker| announced.iter().map(move |(cid, holder)| (asker, *cid, *holder)));
    let found = stream::iter(asked).map(|(asker, cid, holder)| async move {
        // Who announced it knows without asking, and is not its own provider.
        asker.peer_id() == holder || providers(asker, cid).await.contains(&holder)
    });
    let missed = found.buffer_unordered(16).filter(|found| std::future::ready(!found)).count().await;
    assert_eq!(missed, 0, "of {} searches", announced.len() * 5);
}

/// How many peers a look-up asks, beside the logarithm of the network.
async fn messages(crowd: &Crowd) {
    let count = crowd.nodes.len();
    let (bytes, begun) = (bytes_of(crowd), Instant::now());
    let asked = stream::iter(0..50usize).map(|number| async move {
        let node = &crowd.nodes[number * 7 % count];
        let (_, requests) = node.closest_peers(format!("look-up {number}").into_bytes()).await.unwrap();
        requests
    });
    let mut asked: Vec<u32> = asked.buffer_unordered(8).collect().await;
    asked.sort_unstable();
    let mean = f64::from(asked.iter().sum::<u32>()) / asked.len() as f64;
    println!("{count} nodes, log2 {:.1}: {mean:.1} requests a look-up, at most {}", (count as f64).log2(), asked[49]);
    let bytes = bytes_of(crowd) - bytes;
    println!(
        "{} bytes a request with its answer; 50 look-ups in {:.1?}",
        bytes / u64::from(asked.iter().sum::<u32>()),
        begun.elapsed()
    );
    assert!(asked[49] <= 120, "{asked:?}");
}

/// What all nodes sent in the DHT.
fn bytes_of(crowd: &Crowd) -> u64 {
    crowd.nodes.iter().map(|node| node.bandwidth_of(LAN).sent).sum()
}

const LAN: &str = "/ipfs/lan/kad/1.0.0";

/// What this process holds, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_announced_with_few_look_ups() {
    let suite = Suite::chosen();
    let (nodes, keys) = (suite.of(12, 60, 200), suite.of(200, 2000, 10_000));
    let crowd = Crowd::of(nodes).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), store::Options::default()).unwrap();
    let blocks: Vec<Block> = (0..keys).map(block).collect();
    let links = Ipld::List(blocks.iter().map(|block| Ipld::Link(*block.cid())).collect());
    let root = Block::new(DAG_CBOR, ipld::encode(DAG_CBOR, &links).unwrap());
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    for some in blocks.chunks(500) {
        store.put(some.to_vec()).await.unwrap();
    }
    store.put(vec![root.clone()]).await.unwrap();
    let config =
        Config { bootstrap: vec![crowd.address(0).await], announce: true, strategy: Strategy::All, ..config() };
    let blocks = Some((store.clone(), Pool::new(1).unwrap()));
    let holder =
        Network::start(config, Keypair::generate_ed25519(), &folder.path().join("network"), blocks).await.unwrap();
    let knows = (nodes - 1).min(20);
    until(&holder, "it knows others", || async { holder.known_addresses().await.len() >= knows }).await;
    let (begun, held) = (Instant::now(), resident());
    println!("{} KB resident for each of {nodes} nodes", held / 1000 / nodes as u64);
    store.queue_announcement(*root.cid()).await.unwrap();
    holder.announce_soon();

    until(&holder, "all is announced", || async { holder.sweep().names > keys as u64 }).await;

    let sweep = holder.sweep();
    println!(
        "{} keys to {nodes} nodes in {:.1?}: {} regions, {} requests, {} records",
        sweep.names,
        begun.elapsed(),
        sweep.regions,
        sweep.requests,
        sweep.records
    );
    println!(
        "{} bytes sent and {} bytes of memory at its keeper for a record",
        holder.bandwidth_of(LAN).sent / sweep.records,
        resident().saturating_sub(held) / sweep.records
    );
    assert!(sweep.requests <= 5 * nodes as u64, "{sweep:?}");
    let told = (nodes as u64).min(20);
    assert!(sweep.records >= keys as u64 * told * 9 / 10, "{sweep:?}");
    for cid in cids.iter().step_by(cids.len() / 10) {
        assert_eq!(providers(&crowd.nodes[nodes / 2], *cid).await, [holder.peer_id()]);
    }
}

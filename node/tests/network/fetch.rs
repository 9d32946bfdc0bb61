use std::fs::File;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::exchange::Order;
use cidra_content::fetch::Place;
use cidra_content::unixfs::{FileImporter, Parameters};
use cidra_content::{Block, Cid};
use cidra_node::network::{Config, ConnectError, Session, SwarmKey};
use cidra_node::store::PartFile;

use crate::house::{House, QUIC, TCP, config, delivered, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_comes_over_tcp_from_a_named_holder() {
    let (alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let block = alice.keep(1_000_000).await;

    bob.fetch(&[block], vec![alice.address().await]).await;

    assert_eq!(bob.network.stats().await.exchange.blocks_received, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_block_are_counted_on_both_sides() {
    for listen in [TCP, QUIC] {
        let (alice, bob) = (House::with(config(listen)).await, House::with(config(listen)).await);
        let block = alice.keep(1_000_000).await;

        bob.fetch(&[block], vec![alice.address().await]).await;

        let received = bob.network.bandwidth(None).received;
        assert!((1_000_000..1_100_000).contains(&received), "{listen}: {received}");
        let of_bob = alice.network.bandwidth(Some(bob.network.peer_id()));
        assert!((1_000_000..1_100_000).contains(&of_bob.sent), "{listen}: {of_bob:?}");
        let of_blocks = alice.network.bandwidth_of("/cidra/blocks/1.0.0");
        assert!(
            (1_000_000..=of_bob.sent).contains(&of_blocks.sent) && of_blocks.received > 0,
            "{listen}: {of_blocks:?}"
        );
        let received = bob.network.bandwidth_of("/cidra/blocks/1.0.0").received;
        assert!((1_000_000..1_100_000).contains(&received), "{listen}: {received}");
        let of_identify = bob.network.bandwidth_of("/ipfs/id/1.0.0");
        assert!((1..10_000).contains(&of_identify.received), "{of_identify:?}");
        assert_eq!(bob.network.bandwidth_of("/no/such").received, 0);
        assert_eq!(alice.network.bandwidth(Some(alice.network.peer_id())).sent, 0, "nobody is connected to itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_comes_over_quic() {
    let (alice, bob) = (House::with(config(QUIC)).await, House::with(config(QUIC)).await);
    let block = alice.keep(1_000_000).await;

    bob.fetch(&[block], vec![alice.address().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_may_be_named_by_its_address_alone() {
    let (alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let block = alice.keep(100).await;
    let mut address = alice.address().await;
    address.pop();

    bob.fetch(&[block], vec![address]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blocks_of_all_sizes_come_whole() {
    let (alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let mut blocks = vec![alice.keep_block(Block::new(RAW, Bytes::new())).await];
    for len in [1, 65_535, 65_536, 65_537, 262_144, 2 * 1024 * 1024] {
        blocks.push(alice.keep(len).await);
    }
    for _ in 0..200 {
        blocks.push(alice.keep(3_000).await);
    }

    bob.fetch(&blocks[1..], vec![alice.address().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_for_a_part_file_stands_there_alone_and_is_served_from_there() {
    let houses = [House::with(config(TCP)).await, House::with(config(TCP)).await, House::with(config(TCP)).await];
    let [alice, bob, carol] = &houses;
    let (leaf, other) = (alice.keep(300_000).await, alice.keep(300_000).await);
    let wrapped = Block::new(DAG_PB, FileImporter::new(Parameters::V0_2015).wrap_leaf(vec![7; 1_000].into()));
    let wrapped = alice.keep_block(wrapped).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("film.cidra-part");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let part = Arc::new(PartFile::new(file, path.clone()).unwrap().unwrap());
    bob.store.fill(&part);
    part.expect(leaf.cid(), Place { at: 5_000, len: 300_000 });
    part.expect(wrapped.cid(), Place { at: 1_000, len: 1_000 });
    // Not as long as it is said to be: it stands nowhere.
    part.expect(other.cid(), Place { at: 400_000, len: 1 });

    bob.fetch(&[leaf.clone(), wrapped.clone(), other.clone()], vec![alice.address().await]).await;

    let written = std::fs::read(&path).unwrap();
    assert_eq!(written.len(), 305_000);
    assert_eq!(written[5_000..], leaf.data()[..]);
    assert_eq!(written[1_000..2_000], [7; 1_000]);
    let cids = [&leaf, &wrapped, &other].map(|block| *block.cid());
    let located = bob.store.look_up(cids.to_vec()).await.unwrap();
    assert_eq!(located.iter().map(|found| found.unwrap().is_borrowed).collect::<Vec<_>>(), [true, true, false]);
    carol.fetch(&[leaf.clone(), wrapped], vec![bob.address().await]).await;

    // Whoever lets go of the file gets the next ones as ever.
    drop(part);
    let late = alice.keep(100).await;
    bob.fetch(std::slice::from_ref(&late), vec![alice.address().await]).await;
    assert_eq!(bob.store.sources_of(vec![*late.cid()]).await.unwrap(), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_followed_from_its_root_to_its_leaves() {
    let (alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let leaves = [alice.keep(300_000).await, alice.keep(300_000).await];
    let root = alice.keep_block(node(&[*leaves[0].cid(), *leaves[1].cid()])).await;
    let mut session = bob.network.open(*root.cid(), Order::Any, vec![alice.address().await]).await;

    session.want(vec![(*root.cid(), 0)]).await;
    let links = loop {
        if let Some(cidra_node::network::SessionEvent::Delivered { links, .. }) = session.next().await {
            break links;
        }
    };
    session.want(links.iter().map(|cid| (*cid, 0)).collect()).await;

    let mut came = [delivered(&mut session).await, delivered(&mut session).await];
    came.sort();
    let mut expected = leaves.map(|leaf| *leaf.cid());
    expected.sort();
    assert_eq!(came, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_serve_each_other_on_one_connection() {
    let (alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let (from_alice, from_bob) = (alice.keep(500_000).await, bob.keep(500_000).await);
    let address = alice.address().await;
    bob.network.connect(address.clone()).await.unwrap();

    bob.fetch(&[from_alice], vec![address]).await;
    alice.fetch(&[from_bob], vec![bob.address().await]).await;

    assert_eq!(alice.network.peers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_session_is_forgotten() {
    let bob = House::with(config(TCP)).await;
    let unknown = Block::new(RAW, Bytes::from_static(b"nobody has this"));
    let session: Session = bob.network.open(*unknown.cid(), Order::Any, vec![]).await;
    session.want(vec![(*unknown.cid(), 0)]).await;
    assert_eq!(session.report().await.unwrap().wants, 1);

    drop(session);

    assert_eq!(bob.network.stats().await.sessions, 0);
}

/// Slower it may be, on a machine that has other things to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_limited_comes_no_faster() {
    let rate = NonZeroU64::new(1_000_000);
    let limited = |up, down| Config { limit_up: up, limit_down: down, ..config(TCP) };
    for (case, up, down) in
        [("sender", rate, None), ("getter", None, rate), ("download", None, None), ("root", None, None)]
    {
        let (alice, bob) = (House::with(limited(up, None)).await, House::with(limited(None, down)).await);
        let block = alice.keep(600_000).await;
        let of_root = if case == "root" { rate } else { None };
        let _audience = alice.network.watch(*block.cid(), of_root).await;
        let mut session = bob.network.open(*block.cid(), Order::Any, vec![alice.address().await]).await;
        if case == "download" {
            session.limit(rate.unwrap()).await;
        }
        let began = Instant::now();

        session.want(vec![(*block.cid(), 0)]).await;
        delivered(&mut session).await;

        // What comes at once is a tenth of a second's, and two slices.
        let took = began.elapsed();
        assert!(took > Duration::from_millis(600 - 100 - 2 * 63), "limit of the {case}: it took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_network_lets_nobody_else_in() {
    let key = Some(SwarmKey::generate());
    let alice = House::with(Config { swarm_key: key, ..config(TCP) }).await;
    let bob = House::with(Config { swarm_key: key, ..config(TCP) }).await;
    let other = House::with(Config { swarm_key: Some(SwarmKey::generate()), ..config(TCP) }).await;
    let public = House::with(config(TCP)).await;
    let block = alice.keep(1000).await;
    let address = alice.address().await;

    assert!(matches!(other.network.connect(address.clone()).await, Err(ConnectError::Failed { .. })));
    assert!(matches!(public.network.connect(address.clone()).await, Err(ConnectError::Failed { .. })));
    bob.fetch(&[block], vec![address]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_goes_and_comes_back_is_asked_again() {
    let (mut alice, bob) = (House::with(config(TCP)).await, House::with(config(TCP)).await);
    let block = alice.keep(1000).await;
    let address = alice.address().await;
    bob.network.connect(address.clone()).await.unwrap();

    let mut here = config(TCP);
    let mut listen = address.clone();
    listen.pop();
    here.listen = vec![listen];
    alice.restart(here).await;
    until(&bob.network, "bob has noticed", || async { bob.network.peers().await.is_empty() }).await;

    bob.fetch(&[block], vec![address]).await;
}

fn node(links: &[Cid]) -> Block {
    let mut bytes = vec![];
    for cid in links {
        let cid = cid.to_bytes();
        let link = [&[0x0a, cid.len() as u8][..], &cid, &[0x12, 0, 0x18, 0]].concat();
        bytes.extend_from_slice(&[0x12, link.len() as u8]);
        bytes.extend_from_slice(&link);
    }
    Block::new(DAG_PB, bytes.into())
}

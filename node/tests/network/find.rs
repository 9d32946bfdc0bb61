use std::time::{Duration, Instant};

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_content::exchange::Order;
use cidra_node::network::{Config, Network, Routing};
use futures::StreamExt;
use libp2p::PeerId;

use crate::house::{House, PATIENCE, TCP, config, until};

async fn in_table(house: &House, others: &[&House]) {
    until(&house.network, "they know each other", || async {
        let known = house.network.known_addresses().await;
        others.iter().all(|other| known.get(&other.network.peer_id()).is_some_and(|known| !known.is_empty()))
    })
    .await;
    for other in others {
        // Connected is not enough: it comes into the table when it has said who it is.
        house.network.identify(other.network.peer_id()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_found_through_a_third_node() {
    let carol = House::new(&[]).await;
    let (alice, bob) = (House::new(&[&carol]).await, House::new(&[&carol]).await);
    in_table(&alice, &[&carol]).await;
    let block = alice.keep(10_000).await;
    assert!(alice.network.provide(*block.cid()).await.unwrap() >= 1);

    bob.fetch(&[block], vec![]).await;

    // Whichever of them dialled the other.
    assert!(bob.network.peers().await.iter().any(|peer| peer.peer == alice.network.peer_id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_come_with_their_addresses() {
    let carol = House::new(&[]).await;
    let (alice, bob) = (House::new(&[&carol]).await, House::new(&[&carol]).await);
    in_table(&alice, &[&carol]).await;
    in_table(&bob, &[&carol]).await;
    let block = alice.keep(10).await;
    alice.network.provide(*block.cid()).await.unwrap();

    let found: Vec<_> = bob.network.find_providers(*block.cid(), 5).collect().await;

    assert_eq!(found.len(), 1);
    assert_eq!(found[0].peer, alice.network.peer_id());
    assert!(!found[0].addresses.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_ends_when_nobody_has_it() {
    let carol = House::new(&[]).await;
    let bob = House::new(&[&carol]).await;
    in_table(&bob, &[&carol]).await;
    let block = House::new(&[]).await.keep(10).await;

    let found: Vec<_> = bob.network.find_providers(*block.cid(), 5).collect().await;

    assert!(found.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_begins_before_anybody_is_known_waits_for_them() {
    let carol = House::new(&[]).await;
    let alice = House::new(&[&carol]).await;
    in_table(&alice, &[&carol]).await;
    let block = alice.keep(10).await;
    alice.network.provide(*block.cid()).await.unwrap();

    let client =
        House::with(Config { bootstrap: vec![carol.address().await], routing: Routing::Client, ..config(TCP) });
    let found: Vec<_> = client.await.network.find_providers(*block.cid(), 1).collect().await;

    assert_eq!(found.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_found_by_its_name_pinged_and_identified() {
    let carol = House::new(&[]).await;
    let (alice, bob) = (House::new(&[&carol]).await, House::new(&[&carol]).await);
    in_table(&carol, &[&alice, &bob]).await;
    in_table(&bob, &[&carol]).await;
    let peer = alice.network.peer_id();

    assert!(!bob.network.find_peer(peer).await.unwrap().is_empty());
    assert!(bob.network.ping(peer).await.unwrap() < PATIENCE);
    let identity = bob.network.identify(peer).await.unwrap();

    assert_eq!(PeerId::from(identity.public_key), peer);
    assert!(identity.agent.starts_with("cidra/"));
    assert!(identity.protocols.iter().any(|name| name == "/cidra/blocks/1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_one_for_the_same_root_meet() {
    let without_records = || Config { routing: Routing::None, ..config(TCP) };
    let alice = House::with(without_records()).await;
    let (bob, carol) = (House::with(without_records()).await, House::with(without_records()).await);
    let root = *Block::new(RAW, Bytes::from_static(b"nobody has this")).cid();
    let mut sessions = vec![];
    for house in [&bob, &carol] {
        let session = house.network.open(root, Order::Any, vec![alice.address().await]).await;
        session.want(vec![(root, 0)]).await;
        sessions.push(session);
    }

    let carol = carol.network.peer_id();
    let met = || async { bob.network.peers().await.iter().any(|info| info.peer == carol) };
    until(&bob.network, "bob is referred to carol, or she to him", met).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_node_that_comes_later_is_met() {
    let carol = House::new(&[]).await;
    let address = carol.address().await;
    let mut listen = address.clone();
    listen.pop();
    carol.network.shutdown().await;

    let begun = Instant::now();
    let alice = House::with(Config { bootstrap: vec![address], ..config(TCP) }).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "it starts at once");
    let _late = House::with(Config { listen: vec![listen.clone()], ..config(TCP) }).await;
    alice.network.set_bootstrap(vec![listen]).await;

    until(&alice.network, "met", || async { alice.network.peers().await.len() == 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_known_peers_survive_a_restart() {
    let mut carol = House::new(&[]).await;
    let alice = House::new(&[&carol]).await;
    in_table(&alice, &[&carol]).await;
    in_table(&carol, &[&alice]).await;
    let block = alice.keep(10).await;
    alice.network.provide(*block.cid()).await.unwrap();
    until(&carol.network, "carol has it", || async { carol.network.stats().await.provider_records == 1 }).await;

    carol.restart(config(TCP)).await;

    assert_eq!(carol.network.stats().await.provider_records, 1);
    in_table(&carol, &[&alice]).await;
    let found: Vec<_> = carol.network.find_providers(*block.cid(), 1).collect().await;
    assert_eq!(found[0].peer, alice.network.peer_id());
    assert!(!found[0].addresses.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_is_announced_when_somebody_is_there() {
    let alice = House::with(Config { announce: true, ..config(TCP) }).await;
    let block = alice.keep(10).await;
    alice.store.queue_announcement(*block.cid()).await.unwrap();
    alice.network.announce_soon();

    let bob = House::new(&[&alice]).await;

    until(&bob.network, "bob has the record", || async { bob.network.stats().await.provider_records == 1 }).await;
    until(&alice.network, "it is out of the queue", || async { alice.store.announcements().await.unwrap().is_empty() })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_trimmed() {
    let trimmed = House::with(Config { low_water: 2, high_water: 3, ..config(TCP) }).await;
    let mut others = vec![];
    for _ in 0..5 {
        others.push(House::new(&[&trimmed]).await);
    }
    until(&trimmed.network, "all were there", || async { trimmed.network.stats().await.accepted >= 5 }).await;

    until(&trimmed.network, "few are left", || async { trimmed.network.peers().await.len() <= 3 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_ends_with_its_last_handle() {
    let alice = House::new(&[]).await;
    let bob = House::new(&[&alice]).await;
    until(&alice.network, "they are connected", || async { alice.network.peers().await.len() == 1 }).await;

    drop(bob);

    until(&alice.network, "bob is gone", || async { alice.network.peers().await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_address_of_a_taken_port_is_not_taken_again() {
    let alice = House::new(&[]).await;
    let mut listen = alice.address().await;
    listen.pop();

    let bob = House::with(Config { listen: vec![listen.clone()], ..config(TCP) }).await;

    let address = bob.network.listen_addresses().await.remove(0);
    assert_ne!(address, listen);
    alice.network.connect(address).await.unwrap();
}

/// Handles are sent between tasks.
#[test]
fn handles_may_be_shared() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Network>();
}

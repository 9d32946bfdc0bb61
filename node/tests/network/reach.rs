//! Nodes that others cannot dial, and what a stranger may ask of those who help.

use std::time::Duration;

use cidra_content::autonat::{DIAL_REQUEST, MAX_MESSAGE, Message, Response};
use cidra_node::network::{Config, RelayLimits};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Multiaddr;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, TCP, config, until};
use crate::stranger::Stranger;

async fn relay(limits: RelayLimits) -> House {
    House::with(Config { relay_service: Some(limits), relay_client: false, ..config(TCP) }).await
}

async fn hidden(relay: &House) -> House {
    House::with(Config { hidden: true, bootstrap: vec![relay.address().await], ..config(TCP) }).await
}

/// Where others reach it through a relay.
async fn circuits(house: &House) -> Vec<Multiaddr> {
    let addresses = house.network.announced_addresses().await;
    addresses.into_iter().filter(|address| address.to_string().contains("/p2p-circuit")).collect()
}

async fn until_relayed(house: &House) {
    until(&house.network, "a place at the relay", || async { !circuits(house).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_node_is_met_through_a_relay_and_blocks_go_over_a_direct_connection() {
    let relay = relay(RelayLimits::default()).await;
    let (alice, bob) = (hidden(&relay).await, House::with(config(TCP)).await);
    until_relayed(&alice).await;
    // Far more than the relay carries.
    let block = alice.keep(1024 * 1024).await;

    let circuit = circuits(&alice).await.remove(0);
    let circuit = match circuit.iter().last() {
        Some(libp2p::multiaddr::Protocol::P2p(_)) => circuit,
        _ => circuit.with(libp2p::multiaddr::Protocol::P2p(alice.network.peer_id())),
    };
    bob.fetch(&[block], vec![circuit]).await;

    let peers = bob.network.peers().await;
    let direct = |info: &cidra_node::network::PeerInfo| !info.address.to_string().contains("/p2p-circuit");
    assert!(peers.iter().any(|info| info.peer == alice.network.peer_id() && direct(info)), "{peers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_lost_is_asked_for_again() {
    let relay = relay(RelayLimits::default()).await;
    let alice = hidden(&relay).await;
    until_relayed(&alice).await;

    assert!(relay.network.disconnect(alice.network.peer_id()).await);

    until(&alice.network, "the place is lost", || async { circuits(&alice).await.is_empty() }).await;
    until_relayed(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_has_so_many_places_and_not_one_more() {
    let relay = relay(RelayLimits { reservations: 1, ..RelayLimits::default() }).await;
    let alice = hidden(&relay).await;
    until_relayed(&alice).await;

    let bob = hidden(&relay).await;
    let asked = || async { bob.network.peers().await.iter().any(|info| !info.protocols.is_empty()) };
    until(&bob.network, "it knows the relay", asked).await;

    let refused = timeout(Duration::from_secs(3), until_relayed(&bob)).await;
    assert!(refused.is_err(), "the only place is taken");
    alice.network.shutdown().await;
    until_relayed(&bob).await;
}

/// Asks to be dialled at an address; gives the answer, or none where the stream ends.
async fn ask(stranger: &Stranger, address: &str) -> Option<Response> {
    let address: Multiaddr = address.parse().unwrap();
    say(stranger, &Message::Request { addresses: vec![address.to_vec()], nonce: 7 }.encode()).await
}

async fn say(stranger: &Stranger, message: &[u8]) -> Option<Response> {
    let mut stream = stranger.open().await;
    let length = [message.len() as u8 & 0x7f | 0x80, (message.len() >> 7) as u8];
    stream.write_all(&[&length, message].concat()).await.ok()?;
    stream.flush().await.ok()?;
    let mut length = [0];
    timeout(PATIENCE, stream.read_exact(&mut length)).await.expect("an answer in time").ok()?;
    let mut answer = vec![0; usize::from(length[0])];
    stream.read_exact(&mut answer).await.ok()?;
    match Message::decode(&answer) {
        Ok(Message::Response(response)) => Some(response),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_have_other_hosts_of_a_private_network_dialled() {
    let helper = relay(RelayLimits::default()).await;
    let stranger = Stranger::connect(helper.address().await, DIAL_REQUEST).await;
    let dials = helper.network.stats().await.dials;

    for address in
        ["/ip4/10.0.0.7/tcp/22", "/ip4/192.168.1.1/tcp/80", "/dns4/localhost/tcp/80", "/ip4/127.0.0.2/tcp/80"]
    {
        assert_eq!(ask(&stranger, address).await, Some(Response::DialRefused), "{address}");
    }

    assert_eq!(helper.network.stats().await.dials, dials);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_test_too_many_within_a_minute_is_rejected() {
    let helper = relay(RelayLimits::default()).await;
    let stranger = Stranger::connect(helper.address().await, DIAL_REQUEST).await;
    // Nobody listens at port 1.
    for _ in 0..12 {
        assert_eq!(ask(&stranger, "/ip4/127.0.0.1/tcp/1").await, Some(Response::Unreachable { index: 0 }));
    }

    assert_eq!(ask(&stranger, "/ip4/127.0.0.1/tcp/1").await, Some(Response::Rejected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_one_byte_too_long_is_not_read() {
    let helper = relay(RelayLimits::default()).await;
    let stranger = Stranger::connect(helper.address().await, DIAL_REQUEST).await;
    let padded = |length: usize| {
        let mut message = Message::Request { addresses: vec![], nonce: 7 }.encode();
        // A field that nobody knows.
        let filling = length - message.len() - 3;
        message.extend([0x7a, filling as u8 & 0x7f | 0x80, (filling >> 7) as u8]);
        message.resize(length, 0);
        message
    };

    assert_eq!(say(&stranger, &padded(MAX_MESSAGE)).await, Some(Response::DialRefused));
    assert_eq!(say(&stranger, &padded(MAX_MESSAGE + 1)).await, None);
}

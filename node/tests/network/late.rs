//! Peers that begin to exchange blocks after they were connected, as Kubo does that connects while it starts.

use libp2p::Multiaddr;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, TCP, config, until};
use crate::stranger::{BITSWAP, Stranger};

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_begins_late_is_met_anew() {
    let alice = House::with(config(TCP)).await;
    let (listener, address) = listener().await;
    let mut kubo = Stranger::late(alice.address().await, BITSWAP, address).await;
    kubo.until_refused().await;
    identified(&alice).await;

    kubo.begin().await;

    // Nothing is heard there: what is there has to do.
    drop(timeout(PATIENCE, listener.accept()).await.expect("dialled in time").unwrap());
    timeout(PATIENCE, kubo.accepted.recv()).await.expect("asked in time").expect("the connection lives");
    assert_eq!(alice.network.peers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_says_so_again_and_again_is_dialled_once() {
    let alice = House::with(config(TCP)).await;
    let (listener, address) = listener().await;
    let kubo = Stranger::late(alice.address().await, BITSWAP, address).await;
    kubo.until_refused().await;
    identified(&alice).await;
    let before = alice.network.stats().await.dials;

    // It says so, and speaks it no more than before.
    kubo.push(&[BITSWAP]).await;
    drop(timeout(PATIENCE, listener.accept()).await.expect("dialled in time").unwrap());
    drop(listener);
    kubo.until_refused().await;
    for names in [&["/none"][..], &[BITSWAP], &["/none"], &[BITSWAP], &["/done"]] {
        kubo.push(names).await;
        let said = || async { alice.network.peers().await[0].protocols == names };
        until(&alice.network, "it was heard", said).await;
    }

    assert_eq!(alice.network.stats().await.dials - before, 1);
}

async fn listener() -> (TcpListener, Multiaddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port());
    (listener, address.parse().unwrap())
}

async fn identified(alice: &House) {
    until(&alice.network, "it said who it is", || async { !alice.network.peers().await[0].protocols.is_empty() }).await;
}

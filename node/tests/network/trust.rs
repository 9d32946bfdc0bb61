//! Peers that one trusts, and those that one has nothing to do with.

use cidra_node::network::{Config, Routing};
use libp2p::PeerId;

use crate::house::{House, TCP, config, until};

fn quiet() -> Config {
    Config { routing: Routing::None, ..config(TCP) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peer_is_met_again_whenever_it_is_gone_and_never_closed_for_room() {
    let mut friend = House::with(quiet()).await;
    let port = friend.address().await;
    let here = House::with(Config { peering: vec![port.clone()], low_water: 0, high_water: 0, ..quiet() }).await;
    let name = friend.network.peer_id();
    let is_here = async || here.network.peers().await.iter().any(|info| info.peer == name);
    until(&here.network, "they meet", is_here).await;
    let before = here.network.stats().await.dials_made;

    let same_port = port.iter().take(2).collect();
    friend.restart(Config { listen: vec![same_port], ..quiet() }).await;

    let met_again = async || here.network.stats().await.dials_made > before && is_here().await;
    until(&here.network, "they meet again", met_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_denied_comes_in_or_is_gone_to() {
    let (friend, foe) = (House::with(quiet()).await, House::with(quiet()).await);
    let here = House::with(Config { deny: vec![foe.network.peer_id()], ..quiet() }).await;

    assert!(here.network.connect(foe.address().await).await.is_err());
    // The other side may believe for a moment that it is connected.
    let _ = foe.network.connect(here.address().await).await;
    here.network.connect(friend.address().await).await.unwrap();

    let there: Vec<PeerId> = here.network.peers().await.iter().map(|info| info.peer).collect();
    assert_eq!(there, [friend.network.peer_id()]);
    let gone = async || foe.network.peers().await.is_empty();
    until(&foe.network, "it notices", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_list_of_those_allowed_nobody_else_is_let_in() {
    let (friend, stranger) = (House::with(quiet()).await, House::with(quiet()).await);
    let here = House::with(Config { allow: vec![friend.network.peer_id()], ..quiet() }).await;

    assert!(here.network.connect(stranger.address().await).await.is_err());
    let _ = stranger.network.connect(here.address().await).await; // as above
    friend.network.connect(here.address().await).await.unwrap();

    let in_time = async || here.network.peers().await.iter().any(|info| info.peer == friend.network.peer_id());
    until(&here.network, "the friend is let in", in_time).await;
    assert_eq!(here.network.peers().await.len(), 1);
}

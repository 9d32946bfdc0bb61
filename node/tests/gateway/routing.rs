//! Delegated routing: <https://specs.ipfs.tech/routing/http-routing-v1/>.

use cidra_node::config::Routing;
use cidra_node::keys::name_of;
use cidra_node::names::{Publishing, verify};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde_json::Value;

use super::house::{Answer, House};

/// A gateway that routes, on a node of the local DHT.
async fn router(bootstrap: Vec<Multiaddr>) -> House {
    House::with(|settings| {
        settings.offline = false;
        settings.mdns = Some(false);
        settings.routing = Some(Routing::Server);
        settings.listen = Some(vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()]);
        settings.bootstrap = Some(bootstrap);
        settings.config.gateway.expose_routing = true;
    })
    .await
}

async fn address(house: &House) -> Multiaddr {
    let network = house.node.network().await.unwrap();
    network.listen_addresses().await.remove(0).with(Protocol::P2p(house.node.peer_id()))
}

fn json(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_and_peers_are_told_as_a_list_and_as_a_stream() {
    let house = router(vec![]).await;
    let provider = router(vec![address(&house).await]).await;
    let block = provider.raw("content").await;
    let network = provider.node.network().await.unwrap();
    network.connect(address(&house).await).await.unwrap();
    // Until the peer has said that it is of this DHT there is nobody to tell.
    network.identify(house.node.peer_id()).await.unwrap();
    while network.provide(block).await.is_err() {
        network.turn().await;
    }
    let peer = provider.node.peer_id().to_string();

    let providers = house.get(&format!("/routing/v1/providers/{block}")).await;
    let list = &json(&providers)["Providers"];
    assert_eq!((&list[0]["Schema"], &list[0]["ID"]), (&"peer".into(), &peer.clone().into()));
    assert!(list[0]["Addrs"][0].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{list}");
    assert!(providers.header("cache-control").contains("max-age=300"), "{providers:?}");
    assert_eq!((providers.header("vary"), providers.header("access-control-allow-origin")), ("Accept", "*"));

    let lines = [("Accept", "application/x-ndjson")];
    let stream = house.ask("GET", &format!("/routing/v1/providers/{block}"), &lines).await;
    assert_eq!((stream.status, stream.header("content-type")), (200, "application/x-ndjson"));
    assert!(stream.is_whole);
    let first: Value = serde_json::from_str(stream.text().lines().next().unwrap()).unwrap();
    assert_eq!(first["ID"], peer);

    let filtered = house.get(&format!("/routing/v1/providers/{block}?filter-addrs=quic-v1")).await;
    assert_eq!(json(&filtered)["Providers"], Value::Array(vec![]));
    assert!(filtered.header("cache-control").contains("max-age=15"), "{filtered:?}");
    let other = house.get(&format!("/routing/v1/providers/{block}?filter-protocols=transport-x")).await;
    assert_eq!(json(&other)["Providers"], Value::Array(vec![]));

    let found = house.get(&format!("/routing/v1/peers/{peer}")).await;
    assert_eq!(json(&found)["Peers"][0]["ID"], peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_name_is_told_to_who_asks_for_its_type() {
    let house = router(vec![]).await;
    let publishing = Publishing { allow_offline: true, ..Publishing::of("/ipfs/bafkqaaa".to_owned()) };
    let key = house.node.keys().find("self").unwrap();
    house.node.publish(&key, &publishing).await.unwrap();
    let name = name_of(&key.keypair);
    let accept = [("Accept", "application/vnd.ipfs.ipns-record")];

    let answer = house.ask("GET", &format!("/routing/v1/ipns/{name}"), &accept).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, accept[0].1));
    assert_eq!(verify(&name, &answer.body).unwrap().path(), "/ipfs/bafkqaaa");
    assert!(answer.header("cache-control").starts_with("public, max-age=300, stale-while-revalidate="), "{answer:?}");
    let again = [accept[0], ("If-None-Match", answer.header("etag"))];
    assert_eq!(house.ask("GET", &format!("/routing/v1/ipns/{name}"), &again).await.status, 304);

    assert_eq!(house.get(&format!("/routing/v1/ipns/{name}")).await.status, 406);
    let unknown = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
    let none = house.ask("GET", &format!("/routing/v1/ipns/{unknown}"), &accept).await;
    assert_eq!((none.status, none.header("content-type")), (200, "text/plain; charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_and_nothing_is_told_unless_it_is_switched_on() {
    let house = router(vec![]).await;
    for (path, status) in [
        ("providers/nonsense", 422),
        ("peers/nonsense", 422),
        ("peers/bafkqaaa", 422),
        ("other/bafkqaaa", 501),
        ("providers", 501),
    ] {
        assert_eq!(house.get(&format!("/routing/v1/{path}")).await.status, status, "{path}");
    }
    let accept = [("Accept", "application/vnd.ipfs.ipns-record")];
    assert_eq!(house.ask("GET", "/routing/v1/ipns/nonsense", &accept).await.status, 400);

    let silent = House::new().await;
    assert_eq!(silent.get("/routing/v1/providers/bafkqaaa").await.status, 404);
}

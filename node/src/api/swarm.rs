//! `swarm/…`: connections to peers. These speak of a running node.

use std::collections::BTreeMap;

use axum::extract::State;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};

use super::answer::{Answer, Failure, one};
use super::call::{Call, Piped, peer};
use super::id::{printable, with_peer};
use crate::http::describe;
use crate::network::{Direction, Network, PeerInfo};
use crate::node::Node;

/// The network of a node that runs.
pub(super) fn running(node: &Node) -> Result<Network, Failure> {
    node.running_network().filter(|_| node.is_daemon()).ok_or_else(|| {
        Failure::failed(
            "no node is running here: start one with `cidra daemon` (this command must be run in online mode)",
        )
    })
}

pub(super) async fn peers(State(node): State<Node>, call: Call) -> Answer {
    let verbose = call.is("verbose")?;
    let show = Show {
        latency: verbose || call.is("latency")?,
        direction: verbose || call.is("direction")?,
        streams: verbose || call.is("streams")?,
        identify: verbose || call.is("identify")?,
    };
    let mut peers = running(&node)?.peers().await;
    peers.sort_by_cached_key(|info| info.address.to_string());
    let peers: Vec<Value> = peers.iter().map(|info| show.connection(info)).collect();
    Ok(one(&json!({"Peers": peers})))
}

/// What is told of a connection.
struct Show {
    latency: bool,
    direction: bool,
    streams: bool,
    identify: bool,
}

impl Show {
    fn connection(&self, info: &PeerInfo) -> Value {
        let address: Multiaddr =
            info.address.iter().filter(|part| !matches!(part, Protocol::P2p(id) if *id == info.peer)).collect();
        let mut shown = json!({
            "Addr": address.to_string(),
            "Peer": info.peer.to_string(),
            "Identify": {"ID": "", "PublicKey": "", "Addresses": null, "AgentVersion": "", "Protocols": null},
        });
        if self.latency {
            shown["Latency"] = info.latency.map_or_else(|| "n/a".to_owned(), |latency| format!("{latency:?}")).into();
        }
        if self.direction {
            // The numbers of go-libp2p.
            shown["Direction"] = match info.direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            }
            .into();
        }
        if self.streams {
            shown["Streams"] = info.protocols.iter().map(|name| json!({"Protocol": printable(name)})).collect();
        }
        if self.identify {
            let protocols: Vec<String> = info.protocols.iter().map(|name| printable(name)).collect();
            shown["Identify"] = json!({
                "ID": info.peer.to_string(),
                "PublicKey": "",
                "Addresses": [with_peer(info.address.clone(), info.peer).to_string()],
                "AgentVersion": printable(&info.agent),
                "Protocols": protocols,
            });
        }
        shown
    }
}

pub(super) async fn connect(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let addresses = call.addresses("address")?;
    let network = running(&node)?;
    let mut lines = vec![];
    for address in addresses {
        let named = peer_of(&address).map_or_else(|| address.to_string(), |peer| peer.to_string());
        match network.connect(address).await {
            Ok(peer) => lines.push(format!("connect {peer} success")),
            Err(error) => return Err(Failure::failed(format!("connect {named} failure: {}", describe(&error)))),
        }
    }
    Ok(one(&json!({"Strings": lines})))
}

pub(super) async fn disconnect(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let mut peers = vec![];
    for text in call.arguments("address")? {
        // Kubo takes addresses; a peer id says as much.
        peers.push(match text.starts_with('/') {
            true => peer_of(&super::call::address(text)?)
                .ok_or_else(|| Failure::usage(format!("{text} does not say which peer: it ends without /p2p/…")))?,
            false => peer(text)?,
        });
    }
    let network = running(&node)?;
    let mut lines = vec![];
    for peer in peers {
        lines.push(match network.disconnect(peer).await {
            true => format!("disconnect {peer} success"),
            false => format!("disconnect {peer} failure: conn not found"),
        });
    }
    Ok(one(&json!({"Strings": lines})))
}

pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

/// The addresses of all peers that are known.
pub(super) async fn addrs(State(node): State<Node>) -> Answer {
    let known = running(&node)?.known_addresses().await;
    let known: BTreeMap<String, Vec<String>> = known
        .iter()
        .map(|(peer, addresses)| (peer.to_string(), addresses.iter().map(Multiaddr::to_string).collect()))
        .collect();
    Ok(one(&json!({"Addrs": known})))
}

/// The addresses that this node tells others.
pub(super) async fn local(State(node): State<Node>, call: Call) -> Answer {
    let show_id = call.is("id")?;
    let addresses = running(&node)?.announced_addresses().await.into_iter();
    Ok(strings(addresses.map(|address| if show_id { with_peer(address, node.peer_id()) } else { address })))
}

/// The addresses that this node listens on.
pub(super) async fn listen(State(node): State<Node>) -> Answer {
    Ok(strings(running(&node)?.listen_addresses().await))
}

fn strings(addresses: impl IntoIterator<Item = Multiaddr>) -> axum::response::Response {
    let mut lines: Vec<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    lines.sort();
    one(&json!({"Strings": lines}))
}

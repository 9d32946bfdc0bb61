//! `bootstrap/…`: whom this node meets first.

use axum::extract::State;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde_json::json;

use super::answer::{Answer, Failure, one};
use super::call::{Piped, address};
use crate::config::public_introducers;
use crate::node::Node;

pub(super) async fn list(State(node): State<Node>) -> Answer {
    Ok(listed(&node.bootstrap()))
}

/// Answers with what was named; what was there already is not there twice.
pub(super) async fn add(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let texts = match call.optional_arguments() {
        [] => return Err(Failure::usage("no bootstrap peers to add")),
        texts => texts,
    };
    let mut added = vec![];
    for text in texts {
        if is_default(text) {
            added.extend(
                public_introducers().into_iter().filter(|address| !added.contains(address)).collect::<Vec<_>>(),
            );
            continue;
        }
        let address = address(text)?;
        if !has_transport(&address) {
            return Err(Failure::usage(format!("bootstrap address without a transport: {text}")));
        }
        if !added.contains(&address) {
            added.push(address);
        }
    }
    put_first(&node, &added).await?;
    Ok(listed(&added))
}

async fn put_first(node: &Node, added: &[Multiaddr]) -> Result<(), Failure> {
    let to_front = |peers: &mut Vec<Multiaddr>| {
        peers.retain(|peer| !added.contains(peer));
        peers.splice(..0, added.iter().cloned());
    };
    Ok(node.change_bootstrap(to_front).await?)
}

/// Adds those of the public network.
pub(super) async fn add_default(State(node): State<Node>) -> Answer {
    let added = public_introducers();
    put_first(&node, &added).await?;
    Ok(listed(&added))
}

/// Kubo's words for its default list.
fn is_default(text: &str) -> bool {
    matches!(text, "default" | "auto")
}

/// Removes the addresses named; `/p2p/PEER` alone removes all addresses of a peer.
pub(super) async fn rm(State(node): State<Node>, Piped(call): Piped) -> Answer {
    if call.is("all")? {
        return rm_all(State(node)).await;
    }
    let named = call.optional_arguments().iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
    let matches =
        |peer: &Multiaddr| named.iter().any(|named| peer == named || (!has_transport(named) && peer.ends_with(named)));
    let removed: Vec<_> = everywhere(&node)?.into_iter().filter(|peer| matches(peer)).collect();
    if !removed.is_empty() {
        node.change_bootstrap(|peers| peers.retain(|peer| !matches(peer))).await?;
    }
    Ok(listed(&removed))
}

pub(super) async fn rm_all(State(node): State<Node>) -> Answer {
    let removed = everywhere(&node)?;
    node.change_bootstrap(Vec::clear).await?;
    Ok(listed(&removed))
}

/// What this node uses, and what stands in its file where a flag gave it another list.
fn everywhere(node: &Node) -> Result<Vec<Multiaddr>, Failure> {
    let mut peers = node.bootstrap();
    peers.extend(node.document()?.config().bootstrap.peers.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    peers.retain(|peer| seen.insert(peer.clone()));
    Ok(peers)
}

fn has_transport(address: &Multiaddr) -> bool {
    address.iter().next().is_some_and(|first| !matches!(first, Protocol::P2p(_)))
}

fn listed(peers: &[Multiaddr]) -> axum::response::Response {
    let peers: Vec<String> = peers.iter().map(Multiaddr::to_string).collect();
    one(&json!({"Peers": peers}))
}

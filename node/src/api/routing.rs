//! `routing/…`, and `dht/…` as it was called before: the answers are Kubo's stream of events.

use std::collections::BTreeSet;

use axum::extract::State;
use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Shape, stream};
use super::call::{Call, Piped, cid_only};
use super::walk::Walk;
use crate::http::describe;
use crate::node::Node;

/// The kinds of events, by Kubo's numbers.
const FINAL_PEER: u8 = 2;
const QUERY_ERROR: u8 = 3;
const PROVIDER: u8 = 4;

pub(super) async fn find_providers(State(node): State<Node>, call: Call) -> Answer {
    let cid = cid_only(call.argument("key")?)?;
    let count = call.number::<usize>("num-providers")?.unwrap_or(20);
    if count == 0 {
        return Err(Failure::usage("number of providers must be greater than 0"));
    }
    let limit = call.duration("timeout")?;
    let network = node.network().await?;
    stream(&call, Shape::Objects, |output| async move {
        let mut found = 0;
        let search = async {
            let mut providers = std::pin::pin!(network.find_providers(cid, count));
            while let Some(provider) = providers.next().await {
                found += 1;
                output.object(&event(PROVIDER, "", &[(provider.peer, provider.addresses)])).await;
                if found >= count {
                    break;
                }
            }
        };
        within(limit, search).await
    })
    .await
}

pub(super) async fn find_peer(State(node): State<Node>, call: Call) -> Answer {
    let peer = call.peer("peerID")?;
    if peer == node.peer_id() {
        return Err(Failure::usage("finding your own node in the DHT is currently not supported"));
    }
    let limit = call.duration("timeout")?;
    let network = node.network().await?;
    stream(&call, Shape::Objects, |output| async move {
        match within(limit, network.find_peer(peer)).await? {
            Ok(addresses) if !addresses.is_empty() => {
                output.object(&event(FINAL_PEER, "", &[(peer, addresses)])).await;
                Ok(())
            }
            Ok(_) => Err(Failure::failed(format!("routing: not found: nobody knows an address of {peer}"))),
            Err(error) => {
                output.object(&event(QUERY_ERROR, &describe(&error), &[])).await;
                Err(error.into())
            }
        }
    })
    .await
}

/// Announces blocks that are here, with `recursive` all below them too.
pub(super) async fn provide(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let cids = call.arguments("key")?.iter().map(|text| cid_only(text)).collect::<Result<Vec<_>, _>>()?;
    let recursive = call.is("recursive")?;
    let lengths = node.store().locate(cids.clone()).await?;
    if let Some((cid, _)) = cids.iter().zip(lengths).find(|(_, length)| length.is_none()) {
        return Err(Failure::missing(format!("block {cid} not found locally, cannot provide")));
    }
    let limit = call.duration("timeout")?;
    let network = node.network().await?;
    stream(&call, Shape::Objects, |output| async move {
        let announce = async {
            let mut walk = Walk::default();
            for root in cids {
                let mut told = network.provide(root).await?;
                if recursive {
                    walk.begin(root);
                    while let Some(cid) = walk.next(&node).await? {
                        told = told.min(network.provide(cid).await?);
                    }
                }
                if told == 0 {
                    return Err(Failure::failed(format!(
                        "cannot provide {root}: no peer took the record; is one connected?"
                    )));
                }
                output.object(&event(FINAL_PEER, &format!("{root}: told {told} peers"), &[])).await;
            }
            Ok(())
        };
        within(limit, announce).await?
    })
    .await
}

fn event(kind: u8, extra: &str, peers: &[(PeerId, Vec<Multiaddr>)]) -> Value {
    let responses: Vec<Value> = peers
        .iter()
        .map(|(peer, addresses)| {
            // As in Kubo without the peer, which stands beside them, however they became known.
            let own = Protocol::P2p(*peer);
            let bare = |address: &Multiaddr| address.iter().filter(|part| *part != own).collect::<Multiaddr>();
            let addresses: BTreeSet<String> = addresses.iter().map(|address| bare(address).to_string()).collect();
            json!({"ID": peer.to_string(), "Addrs": addresses})
        })
        .collect();
    let id = match (kind, peers) {
        (FINAL_PEER, [(peer, _)]) => peer.to_string(),
        _ => String::new(),
    };
    let responses = if responses.is_empty() { Value::Null } else { responses.into() };
    json!({"ID": id, "Type": kind, "Responses": responses, "Extra": extra})
}

/// Kubo's words for a time that has passed are what clients look for.
pub(super) async fn within<F: Future>(limit: Option<std::time::Duration>, work: F) -> Result<F::Output, Failure> {
    let Some(limit) = limit else { return Ok(work.await) };
    let ended = tokio::time::timeout(limit, work).await;
    ended.map_err(|_| Failure::missing(format!("context deadline exceeded: it was not done within {limit:?}")))
}

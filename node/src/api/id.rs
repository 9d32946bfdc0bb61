//! `id`, `version`, `shutdown`: who this is, and its end.

use axum::extract::State;
use cid::Cid;
use cid::multibase::Base;
use data_encoding::BASE64;
use libp2p::identity::PublicKey;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::json;

use super::answer::{Answer, Failure, nothing, one};
use super::call::{Call, peer};
use crate::node::Node;

/// The version of Kubo whose RPC this follows.
pub const RPC_VERSION: &str = "0.43.0";
/// The version of that Kubo's repository, which clients show.
pub(super) const KUBO_REPOSITORY: &str = "18";
/// What we call ourselves.
pub(super) const AGENT: &str = concat!("cidra/", env!("CARGO_PKG_VERSION"), "/");

pub(super) async fn version() -> Answer {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(one(&json!({
        "Version": RPC_VERSION,
        "Commit": "",
        "Repo": KUBO_REPOSITORY,
        "System": format!("{architecture}/{}", std::env::consts::OS),
        "Golang": "",
        "AgentVersion": AGENT,
    })))
}

/// This node, or a peer that is asked.
pub(super) async fn id(State(node): State<Node>, call: Call) -> Answer {
    let base = base(call.text("peerid-base")?.unwrap_or("b58mh"))?;
    match call.optional_arguments() {
        [] => {}
        [only] if peer(only)? == node.peer_id() => {}
        [only] => {
            let peer = peer(only)?;
            let identity = node.network().await?.identify(peer).await?;
            let agent = printable(&identity.agent);
            return Ok(described(base, peer, &identity.public_key, identity.addresses, agent, identity.protocols));
        }
        _ => return Err(Failure::usage("one argument \"peerid\" is expected")),
    }
    let (mut addresses, mut protocols) = (vec![], vec![]);
    if let Some(network) = node.running_network() {
        addresses = network.listen_addresses().await;
        protocols = network.protocols().await;
    }
    Ok(described(base, node.peer_id(), &node.keypair().public(), addresses, AGENT.to_owned(), protocols))
}

fn described(
    base: Option<Base>,
    peer: PeerId,
    key: &PublicKey,
    addresses: Vec<Multiaddr>,
    agent: String,
    protocols: Vec<String>,
) -> axum::response::Response {
    let mut addresses: Vec<String> =
        addresses.into_iter().map(|address| with_peer(address, peer).to_string()).collect();
    addresses.sort();
    let mut protocols: Vec<String> = protocols.iter().map(|protocol| printable(protocol)).collect();
    protocols.sort();
    one(&json!({
        "ID": peer_text(&peer, base),
        "PublicKey": BASE64.encode(&key.encode_protobuf()),
        "Addresses": addresses,
        "AgentVersion": agent,
        "Protocols": protocols,
    }))
}

/// The address with who is there.
pub(super) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Protocol::P2p(_)) => address,
        _ => address.with(Protocol::P2p(peer)),
    }
}

/// What a stranger says of itself, fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_PRINTED).collect()
}

/// The most characters shown of what a stranger says of itself.
const MAX_PRINTED: usize = 128;

fn base(name: &str) -> Result<Option<Base>, Failure> {
    match name {
        "b58mh" => Ok(None),
        "base36" | "k" => Ok(Some(Base::Base36Lower)),
        "base32" | "b" => Ok(Some(Base::Base32Lower)),
        "base58btc" | "z" => Ok(Some(Base::Base58Btc)),
        other => Err(Failure::usage(format!("peerid-base {other:?}: known are b58mh, base36, base32, base58btc"))),
    }
}

fn peer_text(peer: &PeerId, base: Option<Base>) -> String {
    let Some(base) = base else { return peer.to_string() };
    let hash = cid::multihash::Multihash::from_bytes(&peer.to_bytes()).expect("a peer id is a multihash");
    Cid::new_v1(LIBP2P_KEY, hash).to_string_of_base(base).expect("CIDv1 has a form in every base")
}

/// Multicodec of a peer id written as a CID.
pub(super) const LIBP2P_KEY: u64 = 0x72;

/// Asks the daemon to end; it ends after this is answered.
pub(super) async fn shutdown(State(node): State<Node>) -> Answer {
    if !node.is_daemon() {
        return Err(Failure::failed("daemon not running: a command holds this repository, and ends by itself"));
    }
    node.stop();
    Ok(nothing())
}

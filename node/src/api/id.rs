//! `id`, `version`, `shutdown`: who this is, and its end.

use axum::extract::State;
use cid::Cid;
use cid::multibase::Base;
use cidra_content::reach::Reachability;
use data_encoding::BASE64;
use libp2p::identity::PublicKey;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::json;

use super::answer::{Answer, Failure, nothing, one};
use super::call::{Call, peer};
use crate::network::Reached;
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
            let described = described(base, peer, &identity.public_key, identity.addresses, agent, identity.protocols);
            return Ok(one(&described));
        }
        _ => return Err(Failure::usage("one argument \"peerid\" is expected")),
    }
    let (mut addresses, mut protocols, mut reached) = (vec![], vec![], None);
    if let Some(network) = node.running_network() {
        addresses = network.announced_addresses().await;
        protocols = network.protocols().await;
        reached = Some(network.reachability().await);
    }
    let (key, agent) = (node.keypair().public(), AGENT.to_owned());
    let mut described = described(base, node.peer_id(), &key, addresses, agent, protocols);
    if let Some(reached) = reached {
        let (status, words) = words(&reached);
        described["Reachability"] = status.into();
        described["Reach"] = words.into();
    }
    Ok(one(&described))
}

/// Whether others can reach this node, in a word and in plain words that say what to do if not.
fn words(reached: &Reached) -> (&'static str, String) {
    let at = |addresses: &[Multiaddr]| addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>().join(", ");
    match &reached.reachability {
        Reachability::Public(addresses) => ("Public", format!("others can reach this node at {}", at(addresses))),
        Reachability::Private => {
            let way = match reached.relays.len() {
                0 => "and no relay has a place for it yet".to_owned(),
                1 => "they reach it through a relay, and directly where a way can be found".to_owned(),
                count => format!("they reach it through {count} relays, and directly where a way can be found"),
            };
            let advice = "To be dialled, open its port (swarm.listen, TCP and UDP) in the router and the firewall";
            ("Private", format!("others cannot dial this node: {way}. {advice}"))
        }
        Reachability::Unknown if !reached.nearby.is_empty() => {
            let at = at(&reached.nearby);
            ("Unknown", format!("nodes of its own network reach this node at {at}; nobody beyond has tried"))
        }
        Reachability::Unknown => ("Unknown", "nobody has tried yet whether this node can be dialled".to_owned()),
    }
}

fn described(
    base: Option<Base>,
    peer: PeerId,
    key: &PublicKey,
    addresses: Vec<Multiaddr>,
    agent: String,
    protocols: Vec<String>,
) -> serde_json::Value {
    let mut addresses: Vec<String> =
        addresses.into_iter().map(|address| with_peer(address, peer).to_string()).collect();
    addresses.sort();
    let mut protocols: Vec<String> = protocols.iter().map(|protocol| printable(protocol)).collect();
    protocols.sort();
    json!({
        "ID": peer_text(&peer, base),
        "PublicKey": BASE64.encode(&key.encode_protobuf()),
        "Addresses": addresses,
        "AgentVersion": agent,
        "Protocols": protocols,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_nobody_can_dial_is_told_what_to_do() {
        let mut reached = Reached { reachability: Reachability::Private, ..Reached::default() };
        assert!(words(&reached).1.contains("open its port"));
        reached.relays = vec![PeerId::random()];

        let (status, words) = words(&reached);

        assert_eq!(status, "Private");
        assert!(words.contains("through a relay"), "{words}");
    }

    #[test]
    fn addresses_that_work_are_named() {
        let address: Multiaddr = "/ip4/1.2.3.4/tcp/4001".parse().unwrap();
        let public = Reached { reachability: Reachability::Public(vec![address.clone()]), ..Reached::default() };
        let near = Reached { nearby: vec![address.clone()], ..Reached::default() };

        for (reached, expected) in [(public, "Public"), (near, "Unknown")] {
            let (status, words) = words(&reached);
            assert_eq!(status, expected);
            assert!(words.contains(&address.to_string()), "{words}");
        }
        assert_eq!(words(&Reached::default()).0, "Unknown");
    }
}

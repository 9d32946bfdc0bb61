//! `config`, `config/show`: the Kubo keys that clients read, for reading. Settings have names of their own, see `settings`.

use axum::extract::State;
use libp2p::Multiaddr;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, one};
use super::call::Call;
use crate::config::Routing;
use crate::node::Node;

/// One key, such as `Addresses.API`; names of keys are taken without regard to case, as in Kubo.
pub(super) async fn config(State(node): State<Node>, call: Call) -> Answer {
    let key = match call.arguments("key")? {
        [key] => key,
        _ => {
            let instead = "`cidra config set KEY VALUE`, or cidra/config/set";
            return Err(Failure::usage(format!(
                "Kubo's keys are for reading: settings have names of their own, see {instead}"
            )));
        }
    };
    let mut value = shown(&node);
    for name in key.split('.') {
        let entries = value.as_object().into_iter().flatten();
        let Some((_, found)) = entries.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Err(Failure::failed(format!(
                "failed to get config value: {key:?} is not a key that this node has"
            )));
        };
        value = found.clone();
    }
    Ok(one(&json!({"Key": key, "Value": value})))
}

pub(super) async fn show(State(node): State<Node>) -> Answer {
    Ok(one(&shown(&node)))
}

fn shown(node: &Node) -> Value {
    let config = node.config();
    let texts = |addresses: &[Multiaddr]| addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>();
    let routing = match config.routing.mode {
        Routing::Auto => "auto",
        Routing::Client => "dhtclient",
        Routing::Server => "dhtserver",
        Routing::None => "none",
    };
    json!({
        "Identity": {"PeerID": node.peer_id().to_string()},
        "Addresses": {
            "API": config.api.listen.to_string(),
            "Gateway": "",
            "Swarm": texts(&config.swarm.listen),
            "Announce": [],
            "AppendAnnounce": [],
            "NoAnnounce": [],
        },
        "API": {"HTTPHeaders": {"Access-Control-Allow-Origin": config.api.origins}},
        "Bootstrap": texts(&node.bootstrap()),
        "Routing": {"Type": routing},
        "Swarm": {"ConnMgr": {"Type": "basic", "LowWater": config.swarm.low_water, "HighWater": config.swarm.high_water}},
    })
}

//! `[gateway]`

use std::net::SocketAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};

use super::{Listen, listen, text};

/// `[gateway]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Whether visitors are told where content and peers are, and records of names (`/routing/v1`).
    pub expose_routing: bool,
    /// Whether what is not here is fetched from peers.
    pub fetch: bool,
    /// Host names below which each content root has a name of its own.
    pub hosts: Vec<String>,
    /// Where the daemon's gateway listens.
    #[serde(deserialize_with = "listen", serialize_with = "text")]
    pub listen: Listen,
    /// Seconds without anything coming from peers after which a request is given up.
    pub timeout: u32,
    /// Whether only what the visitor can prove is given: blocks, CARs, records of names.
    pub trustless: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        let listen = Listen::At("/ip4/127.0.0.1/tcp/8080".parse().expect("a literal address"));
        let hosts = vec!["localhost".to_owned()];
        Self { expose_routing: false, fetch: true, hosts, listen, timeout: 30, trustless: false }
    }
}

/// The socket of `/ip4/…/tcp/…`, `/ip6/…/tcp/…` or `/dns/localhost/tcp/…`, with `/http` behind it or without.
pub fn http_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        Protocol::Dns(name) | Protocol::Dns4(name) if name == "localhost" => [127, 0, 0, 1].into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    parts.all(|part| part == Protocol::Http).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_addresses_are_served() {
        let of = |text: &str| http_address(&text.parse().unwrap());

        assert_eq!(of("/ip4/127.0.0.1/tcp/5001"), Some("127.0.0.1:5001".parse().unwrap()));
        assert_eq!(of("/ip6/::1/tcp/0/http"), Some("[::1]:0".parse().unwrap()));
        for text in ["/ip4/127.0.0.1/udp/5001", "/dns4/example.org/tcp/1", "/ip4/127.0.0.1/tcp/1/ws", "/unix/x"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}

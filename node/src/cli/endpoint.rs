//! Where the RPC of a node elsewhere is, as `--api` names it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::BASE64;
use hyper::header::HeaderValue;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::config::multiaddr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `/ip4/127.0.0.1/tcp/5001`, the same with a name, and `http://127.0.0.1:5001`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(authority) = text.strip_prefix("http://") {
            return from_authority(authority.trim_end_matches('/'))
                .ok_or_else(|| format!("{text:?} is no address of an API: write http://HOST:PORT"));
        }
        let address = multiaddr(text)?;
        from_multiaddr(&address)
            .ok_or_else(|| format!("{text:?} is no address of an API: write /ip4/127.0.0.1/tcp/5001"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn from_authority(authority: &str) -> Option<Endpoint> {
    let (host, port) = authority.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = !host.is_empty() && !host.contains(['/', '?', '#', '@']);
    Some(Endpoint { host: host.to_owned(), port: port.parse().ok()? }).filter(|_| plain)
}

fn from_multiaddr(address: &Multiaddr) -> Option<Endpoint> {
    let mut parts = address.iter();
    let host = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip).to_string(),
        Protocol::Ip6(ip) => IpAddr::from(ip).to_string(),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    match parts.next() {
        None | Some(Protocol::Http) => Some(Endpoint { host, port }),
        Some(_) => None,
    }
}

/// The header for `--api-auth`: a token, `bearer:TOKEN`, or `basic:USER:PASSWORD` as Kubo writes it.
pub(super) fn authorization(token: &str) -> Result<HeaderValue, String> {
    let text = match token.split_once(':') {
        Some(("basic", credentials)) => format!("Basic {}", BASE64.encode(credentials.as_bytes())),
        Some(("bearer", token)) => format!("Bearer {token}"),
        _ => format!("Bearer {token}"),
    };
    let mut header = HeaderValue::from_str(&text).map_err(|_| "the token has characters that no header holds")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_are_read() {
        for (text, shown) in [
            ("/ip4/127.0.0.1/tcp/5001", "127.0.0.1:5001"),
            ("/ip6/::1/tcp/1/http", "[::1]:1"),
            ("/dns4/node1/tcp/5001", "node1:5001"),
            ("http://localhost:5001/", "localhost:5001"),
            ("http://[::1]:5001", "[::1]:5001"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_an_api_is_named() {
        for text in ["", "5001", "/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4", "http://a", "http://:1", "http://a/b:1"] {
            assert!(text.parse::<Endpoint>().is_err_and(|message| message.contains(text)), "{text}");
        }
    }

    #[test]
    fn tokens_become_headers() {
        assert_eq!(authorization("s3cret").unwrap(), "Bearer s3cret");
        assert_eq!(authorization("basic:me:pw").unwrap(), "Basic bWU6cHc=");
        assert!(authorization("a\nb").is_err());
    }
}

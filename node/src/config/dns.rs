//! `[dns]`

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `[dns]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Who is asked for the names of websites; none: whom the system asks.
    pub servers: Vec<DnsServer>,
}

/// Where a name server listens, over UDP and TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsServer(pub SocketAddr);

impl FromStr for DnsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)).or_else(|_| text.parse());
        address
            .map(Self)
            .map_err(|_| format!("{text:?} is no name server: write it like 192.0.2.53 or 192.0.2.53:5353"))
    }
}

const PORT: u16 = 53;

impl TryFrom<String> for DnsServer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DnsServer> for String {
    fn from(server: DnsServer) -> Self {
        server.to_string()
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_has_an_address_and_may_have_a_port() {
        let of = |text: &str| text.parse::<DnsServer>().map(|server| server.to_string());

        assert_eq!(of("192.0.2.53").as_deref(), Ok("192.0.2.53:53"));
        assert_eq!(of("192.0.2.53:5353").as_deref(), Ok("192.0.2.53:5353"));
        assert_eq!(of("::1").as_deref(), Ok("[::1]:53"));
        assert!(of("dns.example.org").is_err());
    }
}

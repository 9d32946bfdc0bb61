//! The line that a person carries to the other machine.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// `cidra get 'ipfs://CID?filename=NAME' --peer ADDRESS…`, which any shell takes as it is, whatever the name holds.
#[derive(Debug)]
pub(super) struct Line {
    uri: String,
    pub(super) addresses: Vec<Multiaddr>,
}

impl Line {
    /// `listening` is where the node listens, its peer id at the end of each.
    pub(super) fn new(cid: &str, name: &OsStr, listening: &[Multiaddr]) -> Self {
        let name = percent_encode(name.as_bytes(), IN_A_LINE);
        Self { uri: format!("ipfs://{cid}?filename={name}"), addresses: best(listening) }
    }

    /// Whether nobody but this machine can use it.
    pub(super) fn is_local(&self) -> bool {
        self.addresses.iter().all(|address| ip(address).is_some_and(|ip| ip.is_loopback()))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cidra get '{}'", self.uri)?;
        self.addresses.iter().try_for_each(|address| write!(f, " --peer {address}"))
    }
}

/// All that RFC 3986 reserves, all that is no ASCII, and with it all that means something to a shell.
const IN_A_LINE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The addresses that others are most likely to reach, the likeliest first.
fn best(listening: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut ranked: Vec<(u8, &Multiaddr)> =
        listening.iter().filter_map(|address| Some((rank(address)?, address))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    // The best decides of what kind all are.
    let kind = ranked.first().map_or(0, |(rank, _)| rank / KIND);
    let wanted = ranked.into_iter().filter(|(rank, _)| rank / KIND == kind);
    wanted.take(MOST_ADDRESSES).map(|(_, address)| address.clone()).collect()
}

/// More make the line hard to carry, and seldom lead anywhere else.
const MOST_ADDRESSES: usize = 4;
/// Ranks of one kind.
const KIND: u8 = 10;
/// A kind that is used where there is no other.
const QUIC: u8 = KIND;
const LOOPBACK: u8 = 2 * KIND;

/// Less is better; none where it leads nowhere. TCP passes wherever QUIC does, and is what a private network speaks: the same
/// addresses twice would make the line longer for nothing.
fn rank(address: &Multiaddr) -> Option<u8> {
    let host = match ip(address)? {
        ip if ip.is_unspecified() => return None,
        ip if ip.is_loopback() => LOOPBACK,
        IpAddr::V4(ip) => match ip.octets() {
            [192, 168, ..] => 0,
            [10, ..] => 1,
            // Carriers and overlays.
            [100, 64..=127, ..] => 4,
            // Where containers usually are.
            [172, 16..=31, ..] => 5,
            _ if ip.is_link_local() => 6,
            _ => 2,
        },
        // It needs the name of an interface, which an address cannot have.
        IpAddr::V6(ip) if ip.is_unicast_link_local() => return None,
        IpAddr::V6(_) => 3,
    };
    let is_tcp = address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    Some(if is_tcp { host } else { host + QUIC })
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| format!("{text}{PEER}").parse().unwrap()).collect()
    }

    #[test]
    fn the_addresses_that_others_reach_come_first_and_few() {
        let listening = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/172.17.0.1/tcp/1",
            "/ip4/192.168.1.7/udp/1/quic-v1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip4/192.168.1.7/tcp/1",
            "/ip4/203.0.113.5/tcp/1",
            "/ip4/10.1.2.3/tcp/1",
        ]);

        let expected =
            ["/ip4/192.168.1.7/tcp/1", "/ip4/10.1.2.3/tcp/1", "/ip4/203.0.113.5/tcp/1", "/ip6/2001:db8::1/tcp/1"];
        assert_eq!(best(&listening), addresses(&expected));
        assert!(!Line::new("bafy", OsStr::new("x"), &listening).is_local());
    }

    #[test]
    fn loopback_is_named_only_where_there_is_nothing_else() {
        let listening = addresses(&["/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1"]);

        let line = Line::new("bafy", OsStr::new("x"), &listening);

        assert!(line.is_local());
        assert_eq!(line.addresses, addresses(&["/ip4/127.0.0.1/tcp/1"]));
    }

    #[test]
    fn the_line_is_one_line_of_plain_words() {
        let line =
            Line::new("bafy", OsStr::from_bytes(b"-a '$(rm -rf ~)'\n\xff.txt"), &addresses(&["/ip4/10.0.0.1/tcp/1"]));

        let expected =
            "cidra get 'ipfs://bafy?filename=-a%20%27%24%28rm%20-rf%20~%29%27%0A%FF.txt' --peer /ip4/10.0.0.1/tcp/1";
        assert_eq!(line.to_string(), format!("{expected}{PEER}"));
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_quotes(name in prop::collection::vec(1u8.., 1..50)) {
            let line = Line::new("bafy", OsStr::from_bytes(&name), &[]).to_string();

            let inner = line.strip_prefix("cidra get '").and_then(|rest| rest.strip_suffix('\'')).unwrap();
            prop_assert!(inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/?=%-_.~".contains(&byte)), "{}", inner);
        }
    }

    #[test]
    fn every_range_has_its_rank() {
        let of = |ip: Ipv4Addr| rank(&Multiaddr::from(ip).with(Protocol::Tcp(1)));

        assert_eq!(of(Ipv4Addr::new(172, 32, 0, 1)), of(Ipv4Addr::new(8, 8, 8, 8)));
        assert_eq!(of(Ipv4Addr::UNSPECIFIED), None);
    }
}

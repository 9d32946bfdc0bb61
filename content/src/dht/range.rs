//! From where an address can be reached: the public network's table holds public addresses only, and what a stranger says is
//! never a reason to dial a private one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the machine itself.
    Loopback,
    /// From a network of its owner's, or of the owner's provider.
    Private,
    /// From everywhere.
    Public,
    /// From nowhere: documentation, multicast, "any", and what nobody has been given.
    Unroutable,
}

impl Range {
    /// Of an address of the Internet Protocol.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    /// Of a host's name: one without a dot, or of a network that is no part of the public tree, is private.
    pub fn of_name(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let below = |top: &str| name == top || name.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'));
        if below("localhost") {
            Self::Loopback
        } else if !name.contains('.') || PRIVATE_NAMES.iter().any(|top| below(top)) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, _] = ip.octets();
        if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_private() || ip.is_link_local() || a == 100 && b & 0xc0 == 64 {
            Self::Private
        } else if a == 0
            || a >= 224
            || ip.is_documentation()
            || (a, b, c) == (192, 0, 0)
            || (a, b, c) == (192, 88, 99)
            || a == 198 && b & 0xfe == 18
        {
            Self::Unroutable
        } else {
            Self::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let [first, second, ..] = ip.segments();
        if ip.is_loopback() {
            Self::Loopback
        } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 {
            Self::Private
        } else if (first, second) == (0x2001, 0x0db8) {
            Self::Unroutable
        } else if first & 0xe000 == 0x2000 || ip.octets()[..12] == NAT64 {
            Self::Public
        } else {
            Self::Unroutable
        }
    }
}

/// Names below these are of no use elsewhere.
const PRIVATE_NAMES: [&str; 5] = ["local", "internal", "lan", "home.arpa", "intranet"];
/// 64:ff9b::/96, which leads to the public IPv4.
const NAT64: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ranges_apart() {
        for (ips, range) in [
            ("127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1", Range::Loopback),
            ("10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.1.1 100.64.0.1 100.127.0.1", Range::Private),
            ("fc00::1 fd00:111::1 fe80::1 ::ffff:10.0.0.1", Range::Private),
            ("1.1.1.1 172.32.0.1 100.128.0.1 198.20.0.1 2606:4700::1 64:ff9b::101:101 ::ffff:8.8.8.8", Range::Public),
            ("0.0.0.0 0.1.2.3 224.0.0.1 255.255.255.255 192.0.2.7 198.51.100.1 203.0.113.1", Range::Unroutable),
            ("198.18.0.1 198.19.0.1 192.88.99.1 192.0.0.8 :: ff02::1 2001:db8::1 4000::1", Range::Unroutable),
        ] {
            for ip in ips.split(' ') {
                assert_eq!(Range::of(ip.parse().unwrap()), range, "{ip}");
            }
        }
    }

    #[test]
    fn names_of_the_public_tree_are_public() {
        for (names, range) in [
            ("bootstrap.libp2p.io example.org. LOCAL.example.org", Range::Public),
            ("node1 printer.local db.internal host.LAN nas.home.arpa", Range::Private),
            ("localhost a.localhost", Range::Loopback),
        ] {
            for name in names.split(' ') {
                assert_eq!(Range::of_name(name), range, "{name}");
            }
        }
    }
}

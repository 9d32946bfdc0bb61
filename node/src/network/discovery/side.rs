//! The two DHTs that a node of IPFS takes part in: one of all that the internet reaches, one of its own networks. Which peers
//! and which addresses belong in which is decided here, as Kubo does.

use cidra_content::dht::Range;
use libp2p::{Multiaddr, StreamProtocol};

use super::super::address::{is_circuit, range};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) enum Side {
    /// Of local and private networks.
    Lan,
    /// Of the internet, or of a private network with public addresses.
    Wan,
}

impl Side {
    pub(in crate::network) const fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
    }

    pub(in crate::network) const fn name(self) -> &'static str {
        match self {
            Self::Lan => "/ipfs/lan/kad/1.0.0",
            Self::Wan => "/ipfs/kad/1.0.0",
        }
    }

    /// Whether a peer may stand in the table with this address. Loopback ones come from peers on this machine only.
    pub(super) fn routes(self, address: &Multiaddr) -> bool {
        let is_here = match range(address) {
            Range::Loopback | Range::Private => self == Self::Lan,
            Range::Public => self == Self::Wan,
            Range::Unroutable => false,
        };
        is_here && !is_circuit(address)
    }

    /// Whether what this DHT says is a reason to dial such an address. What the public one says of private ones leads into
    /// somebody else's network, or is an attack on this one.
    pub(in crate::network) fn dials(self, address: &Multiaddr) -> bool {
        match self {
            Self::Lan => range(address) != Range::Unroutable,
            Self::Wan => range(address) == Range::Public,
        }
    }

    /// Whether a peer that is connected from there is of this network: others may list private addresses, too.
    pub(super) fn meets(self, remote: Range) -> bool {
        self == Self::Wan || matches!(remote, Range::Loopback | Range::Private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_addresses_of_its_own() {
        for (address, lan, wan) in [
            ("/ip4/10.0.0.1/tcp/4001", true, false),
            ("/ip4/127.0.0.1/tcp/4001", true, false),
            ("/ip6/fd00::1/udp/4001/quic-v1", true, false),
            ("/dns4/node1/tcp/4001", true, false),
            ("/ip4/5.6.7.8/tcp/4001", false, true),
            ("/dns4/example.org/tcp/4001", false, true),
            ("/ip4/0.0.0.0/tcp/4001", false, false),
            ("/ip4/5.6.7.8/tcp/4001/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN/p2p-circuit", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((Side::Lan.routes(&address), Side::Wan.routes(&address)), (lan, wan), "{address}");
        }
    }

    #[test]
    fn the_public_dht_is_no_reason_to_dial_a_private_address() {
        for (address, lan, wan) in [
            ("/ip4/192.168.1.1/tcp/80", true, false),
            ("/ip6/fe80::1/tcp/80", true, false),
            ("/dns4/router.local/tcp/80", true, false),
            ("/ip4/5.6.7.8/tcp/4001", true, true),
            ("/ip4/255.255.255.255/udp/9/quic-v1", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((Side::Lan.dials(&address), Side::Wan.dials(&address)), (lan, wan), "{address}");
        }
    }
}

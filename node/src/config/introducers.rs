//! `[bootstrap]`: whom a node meets first; by default those who introduce nodes to the public IPFS network.

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};

use super::{addresses, texts};

/// `[bootstrap]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Nodes that introduce this one to others.
    #[serde(deserialize_with = "addresses", serialize_with = "texts")]
    pub peers: Vec<Multiaddr>,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { peers: public_introducers() }
    }
}

/// The nodes that introduce others to the public IPFS network, as Kubo knows them.
pub fn public_introducers() -> Vec<Multiaddr> {
    PUBLIC.map(|text| text.parse().expect("a literal address")).to_vec()
}

/// Whether it is one of them.
pub fn is_public_introducer(address: &Multiaddr) -> bool {
    public_introducers().contains(address)
}

const PUBLIC: [&str; 7] = [
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
    "/ip4/104.131.131.82/udp/4001/quic-v1/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_public_network_are_known_by_name_and_by_address() {
        let introducers = public_introducers();

        assert_eq!(introducers.len(), 7);
        assert!(introducers.iter().all(is_public_introducer));
        assert!(!is_public_introducer(&"/ip4/104.131.131.82/tcp/4001".parse().unwrap()));
    }
}

//! Who stands in the routing table of a [`Dht`]: peers that say they are of this network, that can be reached from it, and that
//! answered lately; in the public network not too many of one owner.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cidra_content::dht::{Range, admits};
use libp2p::core::Endpoint;
use libp2p::kad::{KBucketKey, NodeStatus};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use super::super::address::ip;
use super::{Dht, Side};

impl Dht {
    /// A connected peer said who it is: it comes into the table if it is of this network, and leaves it if it is not.
    /// `remotes` is from where it is connected.
    pub(in crate::network) fn handle_identified(
        &mut self,
        peer: PeerId,
        protocols: &[StreamProtocol],
        addresses: &[Multiaddr],
        remotes: &[Range],
    ) {
        if !protocols.contains(&self.side.protocol()) {
            self.kad.remove_peer(&peer);
            return;
        }
        if remotes.iter().any(|remote| self.side.meets(*remote)) {
            self.admit(peer, addresses.iter().cloned());
        }
        if !self.is_empty() {
            for waiting in std::mem::take(&mut self.waiting) {
                self.start(waiting.query);
            }
        }
    }

    /// Takes a peer of the last run into the table; whether it is still there will be seen.
    pub(in crate::network) fn remember(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.admit(peer, addresses.into_iter());
    }

    /// Nobody answers at any of its addresses, while others do.
    pub(in crate::network) fn handle_unreachable(&mut self, peer: &PeerId) {
        if self.kad.remove_peer(peer).is_some() {
            tracing::debug!(%peer, dht = self.side.name(), "left the routing table: nobody answers");
        }
    }

    /// The peers in the table, those that are connected first.
    pub(in crate::network) fn peers(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut peers = vec![];
        for bucket in self.kad.kbuckets() {
            peers.extend(bucket.iter().map(|entry| {
                let addresses: Vec<Multiaddr> = entry.node.value.iter().cloned().collect();
                (entry.status != NodeStatus::Connected, *entry.node.key.preimage(), addresses)
            }));
        }
        peers.sort_by_key(|(is_away, peer, _)| (*is_away, *peer));
        peers.into_iter().map(|(_, peer, addresses)| (peer, addresses)).collect()
    }

    /// Whether the table holds nobody.
    pub(in crate::network) fn is_empty(&mut self) -> bool {
        self.kad.kbuckets().next().is_none()
    }

    /// Whether what is announced there is of use: somebody would keep it, and it says where to come.
    pub(in crate::network) fn takes_announcements(&mut self) -> bool {
        !self.is_empty() && (self.side == Side::Lan || !self.here.is_empty())
    }

    /// All that is known of where a peer is: from the table, from look-ups that run, from records.
    pub(in crate::network) fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut known = self.routed(peer);
        known.extend_from_slice(self.kad.store_mut().addresses(peer));
        let mut seen = BTreeSet::new();
        known.retain(|address| seen.insert(address.clone().with_p2p(*peer).unwrap_or_else(|as_it_is| as_it_is)));
        known.truncate(MAX_ADDRESSES);
        known
    }

    /// Where a peer is, from the table and from look-ups that run.
    pub(super) fn routed(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let id = ConnectionId::new_unchecked(usize::MAX);
        self.handle_pending_outbound_connection(id, Some(*peer), &[], Endpoint::Dialer).unwrap_or_default()
    }

    /// Kademlia notes the address that it dialled, which may be one that others cannot use.
    pub(super) fn prune<'a>(&mut self, peer: &PeerId, addresses: impl Iterator<Item = &'a Multiaddr>) {
        for address in addresses.filter(|address| !self.side.routes(address)).cloned().collect::<Vec<_>>() {
            self.kad.remove_address(peer, &address);
        }
    }

    fn admit(&mut self, peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) {
        let addresses: Vec<Multiaddr> =
            addresses.filter(|address| self.side.routes(address)).take(MAX_ADDRESSES).collect();
        if self.side == Side::Wan && !self.is_diverse(&peer, &addresses) {
            tracing::debug!(%peer, "not into the routing table: too many of its network are there");
            return;
        }
        for address in addresses {
            self.kad.add_address(&peer, address);
        }
    }

    fn is_diverse(&mut self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let here = KBucketKey::from(self.kad.store_mut().here());
        let bucket = |key: &KBucketKey<PeerId>| here.distance(key).ilog2().unwrap_or_default();
        let ips = |addresses: &[Multiaddr]| addresses.iter().filter_map(ip).collect::<Vec<IpAddr>>();
        let others = self.peers().into_iter().filter(|(other, _)| other != peer);
        let others = others.map(|(other, addresses)| (bucket(&KBucketKey::from(other)), ips(&addresses)));
        admits(bucket(&KBucketKey::from(*peer)), &ips(addresses), others)
    }
}

/// Addresses of a peer that are taken into the table; the rest is left out.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use libp2p::kad::Mode;

    use super::super::records::Records;
    use super::*;

    fn dht(side: Side) -> Dht {
        let here = PeerId::random();
        Dht::new(side, here, Records::open(here, None).unwrap(), Mode::Server)
    }

    fn addresses(text: &str) -> Vec<Multiaddr> {
        text.split(' ').map(|address| address.parse().unwrap()).collect()
    }

    fn meet(dht: &mut Dht, text: &str, remote: Range) -> PeerId {
        let peer = PeerId::random();
        dht.handle_identified(peer, &[dht.side.protocol()], &addresses(text), &[remote]);
        peer
    }

    const BOTH: &str = "/ip4/10.0.0.7/tcp/4001 /ip4/5.6.7.8/tcp/4001 /ip4/0.0.0.0/tcp/4001";

    #[test]
    fn a_peer_stands_in_the_public_table_with_public_addresses_alone() {
        let mut wan = dht(Side::Wan);

        let peer = meet(&mut wan, BOTH, Range::Private);
        meet(&mut wan, "/ip4/10.0.0.8/tcp/4001", Range::Public);

        let public = addresses(&format!("/ip4/5.6.7.8/tcp/4001/p2p/{peer}"));
        assert_eq!(wan.peers(), [(peer, public.clone())]);
        assert_eq!(wan.addresses_of(&peer), public);
    }

    #[test]
    fn a_peer_of_the_local_network_is_connected_from_there() {
        let mut lan = dht(Side::Lan);

        meet(&mut lan, BOTH, Range::Public);
        let near = meet(&mut lan, BOTH, Range::Private);

        assert_eq!(lan.peers(), [(near, addresses(&format!("/ip4/10.0.0.7/tcp/4001/p2p/{near}")))]);
    }

    #[test]
    fn a_peer_that_ceases_to_speak_the_protocol_or_to_answer_leaves() {
        let mut wan = dht(Side::Wan);
        let (one, other) = (meet(&mut wan, BOTH, Range::Public), meet(&mut wan, BOTH, Range::Public));

        wan.handle_identified(one, &[Side::Lan.protocol()], &addresses(BOTH), &[Range::Public]);
        wan.handle_unreachable(&other);

        assert!(wan.is_empty());
    }

    #[test]
    fn the_public_table_takes_few_of_one_network_the_local_one_all() {
        let (mut wan, mut lan) = (dht(Side::Wan), dht(Side::Lan));
        for host in 1..=20 {
            meet(&mut wan, &format!("/ip4/5.6.7.{host}/tcp/4001"), Range::Public);
            meet(&mut lan, &format!("/ip4/10.0.0.{host}/tcp/4001"), Range::Private);
        }

        assert!(wan.peers().len() <= cidra_content::dht::diversity::MAX_IN_TABLE, "{}", wan.peers().len());
        assert_eq!(lan.peers().len(), 20);
    }

    #[test]
    fn what_a_table_dials_for_kademlia_is_pruned_to_what_others_can_use() {
        let mut wan = dht(Side::Wan);
        let peer = meet(&mut wan, BOTH, Range::Private);
        wan.kad.add_address(&peer, "/ip4/10.0.0.7/tcp/4001".parse().unwrap());

        let known: Vec<Multiaddr> = wan.peers().remove(0).1;
        wan.prune(&peer, known.iter());

        assert_eq!(wan.peers().remove(0).1, addresses(&format!("/ip4/5.6.7.8/tcp/4001/p2p/{peer}")));
    }

    #[test]
    fn nothing_is_announced_where_nobody_could_come() {
        let mut wan = dht(Side::Wan);
        wan.handle_addresses(&addresses("/ip4/10.0.0.1/tcp/4001"));
        assert!(!wan.takes_announcements());

        meet(&mut wan, BOTH, Range::Public);
        assert!(!wan.takes_announcements(), "it has no address that others could use");

        wan.handle_addresses(&addresses("/ip4/10.0.0.1/tcp/4001 /ip4/9.9.9.9/tcp/4001"));
        assert!(wan.takes_announcements());
    }
}

//! Who is said to be on the local network, and whom of them to dial when. Anybody there can say anything: so few are remembered,
//! few are dialled at a time, and who was dialled in vain is left alone for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// The peers that were heard of.
#[derive(Debug, Default)]
pub(in crate::network) struct Neighbours {
    peers: BTreeMap<PeerId, Neighbour>,
    /// Dials begun since the last tick.
    begun: usize,
}

#[derive(Debug)]
struct Neighbour {
    addresses: Vec<Multiaddr>,
    heard: Instant,
    due: Instant,
    pause: Duration,
    dialling: bool,
}

impl Neighbours {
    /// Somebody said that the peer is there.
    pub(in crate::network) fn handle_heard(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_NEIGHBOURS {
            let idle = self.peers.iter().filter(|(_, neighbour)| !neighbour.dialling);
            let Some(oldest) = idle.min_by_key(|(_, neighbour)| neighbour.heard).map(|(peer, _)| *peer) else { return };
            self.peers.remove(&oldest);
        }
        let fresh = || Neighbour { addresses: vec![], heard: now, due: now, pause: FIRST_PAUSE, dialling: false };
        let neighbour = self.peers.entry(peer).or_insert_with(fresh);
        neighbour.heard = now;
        // Where it was before it is no longer, or it would have said so in the same packet; what it says from an address of IPv6
        // says nothing about those of IPv4.
        let family = addresses.first().map(is_ip6);
        let others = std::mem::take(&mut neighbour.addresses).into_iter().filter(|other| Some(is_ip6(other)) != family);
        neighbour.addresses = addresses.into_iter().take(MAX_OF_FAMILY).chain(others).collect();
    }

    /// Whom to dial, and where, of those that `is_connected` says are not there.
    pub(in crate::network) fn due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let under_way = self.peers.values().filter(|neighbour| neighbour.dialling).count();
        let room = MAX_DIALS.saturating_sub(under_way).min(MAX_DIALS.saturating_sub(self.begun));
        let idle = self.peers.iter_mut().filter(|(_, neighbour)| !neighbour.dialling && neighbour.due <= now);
        let mut away: Vec<_> = idle.filter(|(peer, _)| !is_connected(peer)).collect();
        // Whoever waits longest first: a flood holds nobody up for longer than a round of all takes.
        away.sort_by_key(|(_, neighbour)| neighbour.due);
        let due: Vec<_> = away
            .into_iter()
            .take(room)
            .map(|(peer, neighbour)| {
                neighbour.dialling = true;
                (*peer, neighbour.addresses.clone())
            })
            .collect();
        self.begun += due.len();
        due
    }

    /// The peer is connected.
    pub(in crate::network) fn handle_met(&mut self, peer: &PeerId, now: Instant) {
        if let Some(neighbour) = self.peers.get_mut(peer) {
            neighbour.dialling = false;
            neighbour.pause = FIRST_PAUSE;
            // Who closes the connection at once may be short of room.
            neighbour.due = now + FIRST_PAUSE;
        }
    }

    /// The peer could not be reached.
    pub(in crate::network) fn handle_failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(neighbour) = self.peers.get_mut(peer) {
            neighbour.dialling = false;
            neighbour.due = now + neighbour.pause;
            neighbour.pause = (neighbour.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Called once a second: forgets whom nobody speaks of any more.
    pub(in crate::network) fn tick(&mut self, now: Instant) {
        self.begun = 0;
        self.peers.retain(|_, neighbour| neighbour.dialling || neighbour.heard + REMEMBERED > now);
    }

    /// Where the peer was said to be.
    pub(in crate::network) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |neighbour| &neighbour.addresses)
    }
}

/// Peers that are remembered; one more takes the place of the one that was heard of longest ago.
const MAX_NEIGHBOURS: usize = 256;
/// Addresses of IPv4, and of IPv6, of one peer; the rest is left out.
const MAX_OF_FAMILY: usize = 4;
/// Dials under way at a time, and begun within a second.
const MAX_DIALS: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Longer than the longest pause between two questions, so that one answer may be lost.
const REMEMBERED: Duration = Duration::from_secs(300);

fn is_ip6(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Ip6(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_flood_of_forged_peers_is_remembered_and_dialled_within_the_limits() {
        let now = Instant::now();
        let mut neighbours = Neighbours::default();
        for number in 0..MAX_NEIGHBOURS + 1 {
            let addresses = (0..MAX_OF_FAMILY + 1).map(address).collect();
            neighbours.handle_heard(PeerId::random(), addresses, now + SECOND * number as u32 / 1000);
        }
        assert_eq!(neighbours.peers.len(), MAX_NEIGHBOURS);
        assert!(neighbours.peers.values().all(|neighbour| neighbour.addresses.len() == MAX_OF_FAMILY));

        let first = neighbours.due(now + SECOND, |_| false);
        assert_eq!(first.len(), MAX_DIALS);
        assert!(neighbours.due(now + SECOND, |_| false).is_empty(), "so many are under way");
        first.iter().for_each(|(peer, _)| neighbours.handle_failed(peer, now + SECOND));
        assert!(neighbours.due(now + SECOND, |_| false).is_empty(), "so many were begun in this second");
        neighbours.tick(now + SECOND * 2);
        let second = neighbours.due(now + SECOND * 2, |_| false);

        assert!(second.len() == MAX_DIALS && second.iter().all(|dial| !first.contains(dial)));
    }

    #[test]
    fn whoever_waits_longest_is_dialled_first() {
        let now = Instant::now();
        for _ in 0..10 {
            let mut neighbours = Neighbours::default();
            let first = PeerId::random();
            neighbours.handle_heard(first, vec![address(1)], now);
            for _ in 0..MAX_NEIGHBOURS - 1 {
                neighbours.handle_heard(PeerId::random(), vec![address(1)], now + SECOND);
            }

            assert_eq!(neighbours.due(now + SECOND, |_| false)[0].0, first);
        }
    }

    #[test]
    fn what_a_peer_says_over_ip6_leaves_its_addresses_of_ip4() {
        let now = Instant::now();
        let (peer, ip6) = (PeerId::random(), "/ip6/fd00::1/tcp/1".parse::<Multiaddr>().unwrap());
        let mut neighbours = Neighbours::default();
        neighbours.handle_heard(peer, vec![address(1), address(2)], now);
        neighbours.handle_heard(peer, vec![ip6.clone()], now);
        assert_eq!(neighbours.addresses(&peer), [ip6.clone(), address(1), address(2)]);

        neighbours.handle_heard(peer, vec![address(3)], now);

        assert_eq!(neighbours.addresses(&peer), [address(3), ip6]);
    }

    #[test]
    fn whoever_was_heard_of_longest_ago_makes_room() {
        let now = Instant::now();
        let mut neighbours = Neighbours::default();
        let (old, dialled) = (PeerId::random(), PeerId::random());
        neighbours.handle_heard(dialled, vec![address(1)], now);
        neighbours.due(now, |_| false);
        neighbours.handle_heard(old, vec![address(2)], now);
        for _ in 0..MAX_NEIGHBOURS - 1 {
            neighbours.handle_heard(PeerId::random(), vec![], now + SECOND);
        }

        assert!(neighbours.addresses(&old).is_empty());
        assert_eq!(neighbours.addresses(&dialled), [address(1)]);
    }

    #[test]
    fn who_cannot_be_reached_is_tried_with_growing_pauses_and_forgotten_in_the_end() {
        let mut now = Instant::now();
        let mut neighbours = Neighbours::default();
        let peer = PeerId::random();
        let mut pauses = vec![];
        for _ in 0..8 {
            neighbours.handle_heard(peer, vec![address(1)], now);
            neighbours.tick(now);
            assert_eq!(neighbours.due(now, |_| false).len(), 1);
            neighbours.handle_failed(&peer, now);
            let pause = neighbours.peers[&peer].due - now;
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);

        neighbours.tick(now + REMEMBERED);

        assert!(neighbours.peers.is_empty());
    }

    #[test]
    fn who_is_connected_is_left_alone_and_found_again_when_it_goes() {
        let now = Instant::now();
        let mut neighbours = Neighbours::default();
        let peer = PeerId::random();
        neighbours.handle_heard(peer, vec![address(1)], now);
        assert!(neighbours.due(now, |connected| *connected == peer).is_empty());
        assert_eq!(neighbours.due(now, |_| false).len(), 1);
        neighbours.handle_met(&peer, now);
        neighbours.tick(now);

        assert!(neighbours.due(now, |_| false).is_empty(), "not at once");
        assert_eq!(neighbours.due(now + FIRST_PAUSE, |_| false), [(peer, vec![address(1)])]);
    }
}

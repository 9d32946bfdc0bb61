//! Whom this node wants to be connected with, and how often it tries: for ever, with growing pauses. Bootstrap nodes are tried at
//! once when nobody else is there; peers that one trusts, whenever they are gone.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::address::peer_of;

/// A list of addresses, and how it goes with each.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    entries: Vec<Entry>,
    /// How long one that went away is left alone.
    rest: Duration,
}

#[derive(Debug)]
struct Entry {
    address: Multiaddr,
    /// Who is there: named by the address, or whoever answered last.
    peer: Option<PeerId>,
    due: Instant,
    pause: Duration,
    dialling: bool,
}

impl Contacts {
    /// Nodes that introduce others.
    pub(super) fn bootstrap(addresses: Vec<Multiaddr>, now: Instant) -> Self {
        Self::new(addresses, AFTER_LOSS, now)
    }

    /// Peers to be connected with all the time.
    pub(super) fn trusted(addresses: Vec<Multiaddr>, now: Instant) -> Self {
        Self::new(addresses, FIRST_PAUSE, now)
    }

    fn new(addresses: Vec<Multiaddr>, rest: Duration, now: Instant) -> Self {
        let entry = |address: Multiaddr| {
            let peer = peer_of(&address);
            Entry { address, peer, due: now, pause: FIRST_PAUSE, dialling: false }
        };
        Self { entries: addresses.into_iter().map(entry).collect(), rest }
    }

    /// Whether somebody may yet turn up.
    pub(super) fn is_hopeful(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether it is one of the list.
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.entries.iter().any(|entry| entry.peer == Some(*peer))
    }

    /// The addresses to be dialled, of those that `is_connected` says are not there.
    pub(super) fn due(&mut self, now: Instant, is_connected: impl Fn(&PeerId) -> bool) -> Vec<Multiaddr> {
        let mut addresses = vec![];
        for entry in &mut self.entries {
            if entry.dialling || entry.peer.as_ref().is_some_and(&is_connected) {
                continue;
            }
            if entry.due <= now {
                entry.dialling = true;
                addresses.push(entry.address.clone());
            }
        }
        addresses
    }

    /// Somebody answered.
    pub(super) fn handle_met(&mut self, address: &Multiaddr, peer: PeerId) {
        for entry in self.entries.iter_mut().filter(|entry| entry.address == *address) {
            entry.peer = Some(peer);
            entry.dialling = false;
            entry.pause = FIRST_PAUSE;
        }
    }

    /// Nobody answered; gives the pause before the next try. It grows to an hour while others are connected.
    pub(super) fn handle_failed(&mut self, address: &Multiaddr, alone: bool, now: Instant) -> Option<Duration> {
        let entry = self.entries.iter_mut().find(|entry| entry.address == *address)?;
        let pause = entry.pause;
        entry.dialling = false;
        entry.due = now + pause;
        entry.pause = (pause * 2).min(if alone { LONGEST_PAUSE } else { WITH_OTHERS });
        Some(pause)
    }

    /// A peer went away: one of the list is tried again after a pause, all are at once when nobody else is connected.
    pub(super) fn handle_lost(&mut self, peer: &PeerId, alone: bool, now: Instant) {
        for entry in &mut self.entries {
            if entry.peer == Some(*peer) {
                entry.due = now + if alone { FIRST_PAUSE } else { self.rest };
            } else if alone {
                entry.due = entry.due.min(now + FIRST_PAUSE);
                entry.pause = FIRST_PAUSE;
            }
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The same while others are connected: an address that stopped answering is hardly dialled.
const WITH_OTHERS: Duration = Duration::from_secs(3600);
/// Who closed the connection may be short of room; a restarted one is found again soon enough.
const AFTER_LOSS: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn list(now: Instant) -> (Contacts, Multiaddr) {
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().unwrap();
        (Contacts::bootstrap(vec![address.clone()], now), address)
    }

    #[test]
    fn tries_for_ever_with_growing_pauses() {
        let mut now = Instant::now();
        let (mut bootstrap, address) = list(now);
        let mut pauses = vec![];

        for _ in 0..10 {
            assert_eq!(bootstrap.due(now, |_| false), std::slice::from_ref(&address));
            assert!(bootstrap.due(now, |_| false).is_empty(), "while it is dialled it is not dialled again");
            let pause = bootstrap.handle_failed(&address, true, now).unwrap();
            pauses.push(pause.as_secs());
            now += pause;
        }

        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn leaves_whoever_answered_alone_until_they_go() {
        let now = Instant::now();
        let (mut bootstrap, address) = list(now);
        let peer = PeerId::random();
        bootstrap.due(now, |_| false);
        bootstrap.handle_met(&address, peer);

        assert!(bootstrap.contains(&peer));
        assert!(bootstrap.due(now + LONGEST_PAUSE, |connected| *connected == peer).is_empty());
        bootstrap.handle_lost(&peer, false, now);
        assert!(bootstrap.due(now, |_| false).is_empty());
        assert_eq!(bootstrap.due(now + AFTER_LOSS, |_| false), [address]);
    }

    #[test]
    fn hardly_tries_one_that_does_not_answer_while_others_are_there() {
        let mut now = Instant::now();
        let (mut bootstrap, address) = list(now);
        let begun = now;
        let mut tries = 0;
        while now < begun + Duration::from_secs(24 * 3600) {
            tries += bootstrap.due(now, |_| false).len();
            now += bootstrap.handle_failed(&address, false, now).unwrap();
        }

        assert!(tries < 40, "{tries} times a day");
    }

    #[test]
    fn tries_all_at_once_when_nobody_is_left() {
        let now = Instant::now();
        let (mut bootstrap, address) = list(now);
        for _ in 0..8 {
            bootstrap.due(now, |_| false);
            bootstrap.handle_failed(&address, true, now);
        }

        bootstrap.handle_lost(&PeerId::random(), true, now);

        assert_eq!(bootstrap.due(now + FIRST_PAUSE, |_| false), [address]);
    }

    #[test]
    fn a_trusted_peer_that_goes_away_is_looked_for_at_once() {
        let now = Instant::now();
        let peer = PeerId::random();
        let address: Multiaddr = format!("/ip4/10.0.0.1/tcp/4001/p2p/{peer}").parse().unwrap();
        let mut trusted = Contacts::trusted(vec![address.clone()], now);
        trusted.due(now, |_| false);
        trusted.handle_met(&address, peer);

        trusted.handle_lost(&peer, false, now);

        assert_eq!(trusted.due(now + FIRST_PAUSE, |_| false), [address]);
    }
}

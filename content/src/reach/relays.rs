//! Which relays a node that nobody can dial asks for a place, and when again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The relays that are known, and how it goes with each. `P` names a peer.
#[derive(Debug)]
pub struct Relays<P> {
    known: BTreeMap<P, Relay>,
    wanted: bool,
}

#[derive(Debug)]
struct Relay {
    connected: bool,
    /// Whoever introduced us is asked first.
    preferred: bool,
    place: Place,
    due: Instant,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    None,
    Asked,
    Held,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<P> {
    /// Ask this relay for a place; `handle_held` or `handle_lost` follows.
    Ask(P),
    /// Give the place back.
    Leave(P),
}

impl<P> Default for Relays<P> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), wanted: false }
    }
}

impl<P: Ord + Clone> Relays<P> {
    /// Whether the node needs relays at all.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// A peer that is connected relays for others.
    pub fn handle_relay(&mut self, peer: P, preferred: bool, now: Instant) {
        if let Some(relay) = self.known.get_mut(&peer) {
            relay.connected = true;
            relay.preferred |= preferred;
            return;
        }
        if self.known.len() >= MAX_KNOWN {
            let idle = |(_, relay): &(&P, &Relay)| relay.place == Place::None && !relay.preferred;
            let Some(idle) = self.known.iter().find(idle).map(|(peer, _)| peer.clone()) else { return };
            self.known.remove(&idle);
        }
        let relay = Relay { connected: true, preferred, place: Place::None, due: now, pause: FIRST_PAUSE };
        self.known.insert(peer, relay);
    }

    /// A peer is no longer connected, or relays no more.
    pub fn handle_gone(&mut self, peer: &P) {
        match self.known.get_mut(peer) {
            // What was asked of it fails by itself.
            Some(relay) if relay.place != Place::None => relay.connected = false,
            Some(_) => drop(self.known.remove(peer)),
            None => {}
        }
    }

    /// There is a place at this relay.
    pub fn handle_held(&mut self, peer: &P) {
        if let Some(relay) = self.known.get_mut(peer) {
            relay.place = Place::Held;
            relay.pause = FIRST_PAUSE;
        }
    }

    /// There is none, or no longer: it is asked again after a pause.
    pub fn handle_lost(&mut self, peer: &P, now: Instant) {
        let Some(relay) = self.known.get_mut(peer) else { return };
        relay.place = Place::None;
        relay.due = now + relay.pause;
        relay.pause = (relay.pause * 2).min(LONGEST_PAUSE);
        if !relay.connected {
            self.known.remove(peer);
        }
    }

    /// The relays that a place is held at.
    pub fn held(&self) -> impl Iterator<Item = &P> {
        self.known.iter().filter(|(_, relay)| relay.place == Place::Held).map(|(peer, _)| peer)
    }

    /// Called about once a second: what is to be done.
    pub fn tick(&mut self, now: Instant) -> Vec<Step<P>> {
        let taken = |relay: &Relay| relay.place != Place::None;
        if !self.wanted {
            let left: Vec<P> =
                self.known.iter().filter(|(_, relay)| taken(relay)).map(|(peer, _)| peer.clone()).collect();
            for peer in &left {
                self.handle_lost(peer, now);
            }
            return left.into_iter().map(Step::Leave).collect();
        }
        let room = MAX_PLACES.saturating_sub(self.known.values().filter(|relay| taken(relay)).count());
        let free = self.known.iter_mut().filter(|(_, relay)| relay.connected && !taken(relay) && relay.due <= now);
        let mut free: Vec<(&P, &mut Relay)> = free.collect();
        free.sort_by_key(|(_, relay)| (!relay.preferred, relay.due));
        let asked = free.into_iter().take(room);
        asked
            .map(|(peer, relay)| {
                relay.place = Place::Asked;
                Step::Ask(peer.clone())
            })
            .collect()
    }
}

/// Places that are held at a time: one relay may go away.
const MAX_PLACES: usize = 2;
/// Relays that are remembered; one more takes the place of one that is of no use.
const MAX_KNOWN: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
mod tests {
    use super::*;

    fn with(peers: impl IntoIterator<Item = u32>, now: Instant) -> Relays<u32> {
        let mut relays = Relays::default();
        peers.into_iter().for_each(|peer| relays.handle_relay(peer, false, now));
        relays.want(true);
        relays
    }

    #[test]
    fn two_of_many_relays_are_asked_who_introduced_us_first() {
        let now = Instant::now();
        let mut relays = with(1..=5, now);
        relays.handle_relay(4, true, now);

        assert_eq!(relays.tick(now), [Step::Ask(4), Step::Ask(1)]);
        assert_eq!(relays.tick(now), []);
    }

    #[test]
    fn one_that_refuses_or_goes_away_is_replaced_and_asked_again_with_growing_pauses() {
        let mut now = Instant::now();
        let mut relays = with([1], now);
        for pause in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
            assert_eq!(relays.tick(now), [Step::Ask(1)]);
            relays.handle_lost(&1, now);
            assert_eq!(relays.tick(now + Duration::from_secs(pause - 1)), []);
            now += Duration::from_secs(pause);
        }
        relays.handle_relay(2, false, now);
        relays.handle_relay(3, false, now);
        relays.tick(now);
        relays.handle_held(&1);
        relays.handle_lost(&1, now);

        assert_eq!(relays.tick(now), [Step::Ask(3)]);
        assert_eq!(relays.tick(now + FIRST_PAUSE), []);
    }

    #[test]
    fn places_are_given_back_when_they_are_not_needed() {
        let now = Instant::now();
        let mut relays = with([1, 2], now);
        relays.tick(now);
        relays.handle_held(&1);
        assert_eq!(relays.held().collect::<Vec<_>>(), [&1]);

        relays.want(false);

        assert_eq!(relays.tick(now), [Step::Leave(1), Step::Leave(2)]);
        assert_eq!(relays.held().count(), 0);
    }

    #[test]
    fn no_more_than_the_most_are_remembered() {
        let now = Instant::now();
        let mut relays = with(0..MAX_KNOWN as u32 + 1, now);

        assert_eq!(relays.known.len(), MAX_KNOWN);
        assert!(relays.known.contains_key(&(MAX_KNOWN as u32)));
        for peer in 0..MAX_KNOWN as u32 {
            relays.handle_relay(peer, true, now);
        }
        assert_eq!(relays.known.len(), MAX_KNOWN);
    }

    #[test]
    fn a_relay_that_is_not_connected_is_not_asked() {
        let now = Instant::now();
        let mut relays = with([1], now);
        relays.tick(now);
        relays.handle_gone(&1);
        relays.handle_lost(&1, now);

        assert_eq!(relays.tick(now + LONGEST_PAUSE), []);
    }
}

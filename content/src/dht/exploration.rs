//! Which peers keep what lies in a region of the key space. A look-up tells of the twenty peers nearest to one key and of no others, so a
//! few are made, side by side, until there are enough peers in a region of which all are known.

use std::collections::BTreeSet;

use super::key::{Key, Region};

/// Look-ups around one key, and what they told.
#[derive(Clone, Debug)]
pub struct Exploration {
    target: Key,
    known: BTreeSet<Key>,
    covered: Vec<Region>,
    look_ups: usize,
    asked: usize,
}

impl Exploration {
    /// Around `target`; each look-up asks for so many peers, and as many are to be known in the region.
    pub fn new(target: Key, asked: usize) -> Self {
        Self { target, known: BTreeSet::new(), covered: vec![], look_ups: 0, asked }
    }

    /// A look-up for `target` told of these peers, the nearest to it.
    pub fn handle_found(&mut self, target: &Key, peers: &[Key]) {
        self.look_ups += 1;
        self.known.extend(peers);
        self.covered.push(Region::around(target, peers, self.asked));
    }

    /// A place in whose surroundings is to be looked next; none when the region is known.
    pub fn next(&self) -> Option<Region> {
        if self.look_ups == 0 {
            return Some(Region { first: self.target.place(), last: self.target.place() });
        }
        if self.look_ups >= MOST {
            return None;
        }
        let mut region = self.covered[0];
        loop {
            if let Some(gap) = self.gap(&region) {
                return Some(gap);
            }
            if region == Region::WHOLE || self.peers_in(&region) >= self.asked {
                return None;
            }
            region = region.parent();
        }
    }

    /// The largest region around the target of which all is known.
    pub fn region(&self) -> Region {
        let mut region = self.covered.first().copied().unwrap_or(Region::WHOLE);
        while region != Region::WHOLE && self.gap(&region.parent()).is_none() {
            region = region.parent();
        }
        region
    }

    fn peers_in(&self, region: &Region) -> usize {
        self.known.iter().filter(|peer| region.contains(peer)).count()
    }

    /// The first part of a region that no look-up has covered.
    fn gap(&self, region: &Region) -> Option<Region> {
        let mut first = region.first;
        while let Some(covering) = self.covered.iter().find(|covered| (covered.first..=covered.last).contains(&first)) {
            if covering.last >= region.last {
                return None;
            }
            first = covering.last + 1;
        }
        let behind = self.covered.iter().map(|covered| covered.first).filter(|place| *place > first).min();
        Some(Region { first, last: behind.map_or(region.last, |behind| (behind - 1).min(region.last)) })
    }
}

/// Look-ups for one region at most: then what is known has to do.
const MOST: usize = 8;

impl Region {
    /// Whether a key lies in it.
    pub fn contains(&self, key: &Key) -> bool {
        (self.first..=self.last).contains(&key.place())
    }

    /// The region of twice the size.
    fn parent(&self) -> Region {
        let behind = ((self.last - self.first) << 1) | 1;
        Region { first: self.first & !behind, last: self.last | behind }
    }

    /// A name whose key lies in it, for a look-up; none when so small a region is not worth the search for one.
    pub fn name(&self) -> Option<Vec<u8>> {
        let names = (0..TRIES).map(|number| number.to_be_bytes());
        names.map(Vec::from).find(|name| self.contains(&Key::of(name)))
    }
}

/// A region with a twentieth of ten million peers in it is found by a tenth of this.
const TRIES: u32 = 1 << 23;

#[cfg(test)]
mod tests {
    use super::super::key::nearest;
    use super::*;

    const ASKED: usize = 20;

    #[test]
    fn all_who_keep_a_key_of_the_region_become_known_with_a_few_look_ups() {
        let peers: Vec<Key> = (0..1000u32).map(|number| Key::of(&number.to_be_bytes())).collect();
        let mut look_ups = 0;
        for number in 0..50u32 {
            let target = Key::of(format!("target {number}").as_bytes());
            let mut exploration = Exploration::new(target, ASKED);
            while let Some(place) = exploration.next() {
                let near = if exploration.look_ups == 0 { target } else { Key::of(&place.name().unwrap()) };
                let found: Vec<Key> = nearest(&near, &peers, ASKED).into_iter().map(|peer| peers[peer]).collect();
                exploration.handle_found(&near, &found);
                look_ups += 1;
            }

            let region = exploration.region();
            assert!(region.contains(&target) && exploration.peers_in(&region) >= ASKED);
            assert!(peers.iter().filter(|peer| region.contains(peer)).all(|peer| exploration.known.contains(peer)));
        }
        assert!(look_ups <= 50 * 4, "{look_ups}");
    }

    #[test]
    fn a_network_of_a_few_is_known_at_once() {
        let target = Key([7; 32]);
        let mut exploration = Exploration::new(target, ASKED);

        exploration.handle_found(&target, &[Key([1; 32]), Key([2; 32])]);

        assert_eq!((exploration.next(), exploration.region()), (None, Region::WHOLE));
    }

    #[test]
    fn one_past_the_limit_is_not_looked_up() {
        let target = Key([0; 32]);
        let crowded: Vec<Key> = (0..ASKED as u8).map(|number| Key([number; 32])).collect();
        let mut exploration = Exploration::new(target, crowded.len());

        // Peers that lie so as if there were always more.
        for look_up in 0..MOST as u8 {
            assert!(exploration.next().is_some());
            exploration.handle_found(&Key([look_up; 32]), &vec![Key([look_up; 32]); ASKED]);
        }

        assert_eq!(exploration.next(), None);
        assert!(exploration.region().contains(&target));
    }
}

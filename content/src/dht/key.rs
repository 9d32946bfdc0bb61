//! Where peers and content stand in the key space of the DHT, and what the nearest peers tell of a part of it.

use crate::hash;

/// A place in the key space: the SHA-256 of a peer's id, or of the multihash of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The place of what the DHT knows by this name.
    pub fn of(name: &[u8]) -> Self {
        Self(hash::sha256(name))
    }

    /// Its first 64 bits.
    pub fn place(&self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("32 bytes"))
    }

    /// How far it is from another one.
    pub fn distance(&self, other: &Key) -> [u8; 32] {
        std::array::from_fn(|byte| self.0[byte] ^ other.0[byte])
    }

    /// With how many bits both begin; of the first 64.
    fn shared(&self, other: &Key) -> u32 {
        (self.place() ^ other.place()).leading_zeros()
    }
}

/// A part of the key space: all keys that begin with the same bits, by the first and the last of their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first place of it.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl Region {
    /// All keys.
    pub const WHOLE: Region = Region { first: 0, last: u64::MAX };

    /// The region around `target` of which `peers` are all the peers there are: they are the nearest to `target`, of which so many
    /// were `asked` for. Fewer are all that the network has.
    pub fn around(target: &Key, peers: &[Key], asked: usize) -> Region {
        if peers.len() < asked {
            return Region::WHOLE;
        }
        // Whoever shares more bits with the target than the farthest of these is nearer than it, and therefore one of these.
        let shared = peers.iter().map(|peer| target.shared(peer)).min().unwrap_or(0);
        let behind = u64::MAX.checked_shr(shared + 1).unwrap_or(0);
        Region { first: target.place() & !behind, last: target.place() | behind }
    }
}

/// Whom each key is told: the numbers of its `most` nearest of `peers`, the nearest first.
pub fn nearest(key: &Key, peers: &[Key], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..peers.len()).collect();
    if peers.len() > most {
        order.select_nth_unstable_by_key(most, |peer| key.distance(&peers[*peer]));
        order.truncate(most);
    }
    order.sort_by_key(|peer| key.distance(&peers[*peer]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> Key {
        let mut bytes = [0; 32];
        bytes[0] = first;
        Key(bytes)
    }

    #[test]
    fn a_region_is_what_the_farthest_peer_does_not_reach_into() {
        let target = key(0b1010_0000);
        let peers = [key(0b1010_0001), key(0b1011_0000), key(0b1000_0000)];

        let region = Region::around(&target, &peers, 3);

        assert_eq!(region, Region { first: 0b1010_0000 << 56, last: u64::MAX >> 8 | 0b1011_1111 << 56 });
        assert_eq!(Region::around(&target, &peers, 4), Region::WHOLE, "there are no more peers");
    }

    #[test]
    fn all_peers_of_a_region_are_among_the_nearest() {
        let peers: Vec<Key> = (0..500u32).map(|number| Key::of(&number.to_be_bytes())).collect();
        for number in 0..50u32 {
            let target = Key::of(&(number + 1000).to_be_bytes());
            let found: Vec<Key> = nearest(&target, &peers, 40).into_iter().map(|peer| peers[peer]).collect();

            let region = Region::around(&target, &found, 40);

            let within = |peer: &&Key| (region.first..=region.last).contains(&peer.place());
            assert!(peers.iter().filter(within).all(|peer| found.contains(peer)));
            assert!((region.first..=region.last).contains(&target.place()));
        }
    }

    #[test]
    fn the_nearest_come_in_order() {
        let peers = [key(0b1111), key(0b0001), key(0b0011)];

        assert_eq!(nearest(&key(0), &peers, 2), [1, 2]);
        assert_eq!(nearest(&key(0), &peers, 5), [1, 2, 0]);
    }

    #[test]
    fn a_region_of_one_place_has_an_end() {
        let target = Key([7; 32]);

        let region = Region::around(&target, &[target, target], 2);

        assert_eq!((region.first, region.last), (target.place(), target.place()));
    }
}

//! A set of multihashes in 17 bytes each: 125 bits of the digest and three of the user's, in sorted runs.
//!
//! The digest is multiplied by an odd number that no stranger knows, which loses nothing of it and spreads even chosen digests
//! evenly. It goes to one of 256 shards, by its first byte; a shard is one long sorted run and a short one, which is merged
//! into the long one, in place, when it is full. Two blocks of a million million are taken for one with a chance of 2^-46.

use multihash::Multihash;

/// A set of multihashes that carry three bits each.
#[derive(Clone, Debug)]
pub struct Digests {
    multiplier: u128,
    shards: Vec<Shard>,
    len: u64,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    long: Vec<u128>,
    short: Vec<u128>,
}

impl Digests {
    /// An empty set. `seed` is any number that no stranger knows.
    pub fn new(seed: u128) -> Digests {
        Digests { multiplier: seed | 1, shards: vec![Shard::default(); SHARDS], len: 0 }
    }

    /// Put a multihash in, with these bits besides those it has; gives the bits that it had when it was there.
    pub fn insert(&mut self, hash: &Multihash<64>, bits: u8) -> Option<u8> {
        let entry = self.entry(hash) | u128::from(bits & BITS);
        let shard = &mut self.shards[shard(entry)];
        let before = shard.insert(entry);
        self.len += u64::from(before.is_none());
        before
    }

    /// The bits of a multihash, when it is there.
    pub fn get(&self, hash: &Multihash<64>) -> Option<u8> {
        let entry = self.entry(hash);
        let Shard { long, short } = &self.shards[shard(entry)];
        let found = find(long, entry).map(|at| long[at]).or_else(|_| find(short, entry).map(|at| short[at]));
        found.ok().map(bits)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it takes in memory.
    pub fn memory(&self) -> usize {
        let entries: usize = self.shards.iter().map(|shard| shard.long.capacity() + shard.short.capacity()).sum();
        entries * size_of::<u128>()
    }

    /// The last 16 bytes of the digest, and which function it is of.
    fn entry(&self, hash: &Multihash<64>) -> u128 {
        let mut bytes = [0; 16];
        let digest = hash.digest();
        let last = &digest[digest.len().saturating_sub(16)..];
        bytes[16 - last.len()..].copy_from_slice(last);
        let digest = u128::from_be_bytes(bytes) ^ (u128::from(hash.code()) << 64);
        digest.wrapping_mul(self.multiplier).rotate_right(64).wrapping_mul(self.multiplier) & !u128::from(BITS)
    }
}

impl Shard {
    fn insert(&mut self, entry: u128) -> Option<u8> {
        if let Ok(at) = find(&self.long, entry) {
            return Some(add_bits(&mut self.long[at], entry));
        }
        match find(&self.short, entry) {
            Ok(at) => Some(add_bits(&mut self.short[at], entry)),
            Err(at) => {
                if self.short.is_empty() {
                    self.short.reserve_exact(SHORT);
                }
                self.short.insert(at, entry);
                if self.short.len() == SHORT {
                    self.merge();
                }
                None
            }
        }
    }

    /// Merge the short run into the long one, from the end on: nothing is moved twice, and nothing copied aside.
    fn merge(&mut self) {
        let (mut long, mut short) = (self.long.len(), self.short.len());
        if self.long.capacity() < long + short {
            self.long.reserve_exact(short.max(long / SPARE));
        }
        self.long.resize(long + short, 0);
        while short > 0 {
            let takes_long = long > 0 && self.long[long - 1] > self.short[short - 1];
            let entry = if takes_long { self.long[long - 1] } else { self.short[short - 1] };
            self.long[long + short - 1] = entry;
            if takes_long { long -= 1 } else { short -= 1 }
        }
        self.short.clear();
    }
}

fn find(run: &[u128], entry: u128) -> Result<usize, usize> {
    run.binary_search_by_key(&(entry >> BITS.count_ones()), |other| other >> BITS.count_ones())
}

fn add_bits(place: &mut u128, entry: u128) -> u8 {
    let before = bits(*place);
    *place |= entry;
    before
}

fn bits(entry: u128) -> u8 {
    (entry & u128::from(BITS)) as u8
}

fn shard(entry: u128) -> usize {
    usize::from(entry.to_be_bytes()[0])
}

/// The bits of an entry that are the user's.
const BITS: u8 = 0b111;
const SHARDS: usize = 256;
/// Entries of a short run: 2 MiB in all.
const SHORT: usize = 512;
/// A long run that grows gets a sixteenth of its length to spare.
const SPARE: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(code: u64, digest: &[u8]) -> Multihash<64> {
        Multihash::wrap(code, digest).unwrap()
    }

    fn numbered(number: u64) -> Multihash<64> {
        let mut digest = [0; 32];
        digest[24..].copy_from_slice(&number.to_be_bytes());
        hash(0x12, &digest)
    }

    proptest! {
        #[test]
        fn it_says_what_a_map_says(operations in prop::collection::vec((0u64..3000, 0u8..8), 0..2000), seed: u128) {
            let (mut digests, mut map) = (Digests::new(seed), BTreeMap::<u64, u8>::new());
            for (number, bits) in operations {
                let before = map.get(&number).copied();
                prop_assert_eq!(digests.insert(&numbered(number), bits), before);
                map.insert(number, before.unwrap_or_default() | bits);
            }
            for number in 0..3000 {
                prop_assert_eq!(digests.get(&numbered(number)), map.get(&number).copied());
            }
            prop_assert_eq!(digests.len(), map.len() as u64);
        }

        #[test]
        fn any_multihash_is_taken(code: u64, digest in prop::collection::vec(any::<u8>(), 0..=64)) {
            let mut digests = Digests::new(9);
            let hash = hash(code, &digest);
            prop_assert_eq!(digests.insert(&hash, 5), None);
            prop_assert_eq!(digests.get(&hash), Some(5));
        }
    }

    #[test]
    fn digests_chosen_to_meet_are_spread_and_take_17_bytes_each() {
        let mut digests = Digests::new(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for number in 0..1_000_000 {
            digests.insert(&numbered(number), 0);
        }
        let longest = digests.shards.iter().map(|shard| shard.long.len() + shard.short.len()).max().unwrap();
        assert!(longest < 2 * 1_000_000 / SHARDS, "{longest} in one shard");
        let runs: usize = digests.shards.iter().map(|shard| shard.long.capacity()).sum();
        assert!(runs * 16 <= 18 * 1_000_000, "{runs} entries");
        assert!(digests.memory() <= 21 * 1_000_000, "{} bytes", digests.memory());
        assert!((0..1_000_000).all(|number| digests.get(&numbered(number)) == Some(0)));
        assert_eq!(digests.get(&numbered(1_000_000)), None);
    }
}

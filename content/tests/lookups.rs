//! How far a look-up goes in networks that no test could start: the routing of Kademlia (k 20, alpha 10) among peers whose tables
//! are as full as they can be, message by message.

use std::collections::{BTreeMap, BTreeSet};

use cidra_content::dht::{Key, nearest};

const K: usize = 20;
const ALPHA: usize = 10;

#[test]
fn look_ups_grow_with_the_logarithm_of_the_network() {
    println!("| Peers | log2 | Rounds | Requests |");
    let mut last = 0.0;
    for count in [100, 1000, 10_000, 100_000] {
        let network = Network::of(count);
        let (mut rounds, mut requests) = (0, 0);
        for number in 0..LOOK_UPS {
            let target = Key::of(format!("target {number}").as_bytes());
            let from = number * 7919 % count;
            let looked = network.look_up(from, &target);
            rounds += looked.rounds;
            requests += looked.requests;
            let nearest = network.closest(&target);
            let found = looked.found.iter().filter(|peer| nearest.contains(peer)).count();
            assert!(found >= K - 2, "{found} of the {K} nearest among {count}");
        }
        let mean = |sum: usize| sum as f64 / LOOK_UPS as f64;
        println!("| {count} | {:.1} | {:.1} | {:.1} |", (count as f64).log2(), mean(rounds), mean(requests));
        assert!(mean(rounds) <= (count as f64).log2() / 2.0 + 2.0 && mean(rounds) >= last);
        last = mean(rounds) - 0.5;
    }
}

const LOOK_UPS: usize = 20;

/// All peers in the order of their keys.
struct Network {
    keys: Vec<Key>,
}

struct Looked {
    rounds: usize,
    requests: usize,
    found: Vec<usize>,
}

impl Network {
    fn of(count: usize) -> Network {
        let mut keys: Vec<Key> = (0..count).map(|number| Key::of(&number.to_be_bytes())).collect();
        keys.sort();
        Network { keys }
    }

    /// The peers that share this many bits with a key and differ in the next: a bucket, by its limits.
    fn bucket(&self, key: &Key, bits: u32) -> (usize, usize) {
        let flipped = key.place() ^ (1 << (63 - bits));
        let behind = (1u64 << (63 - bits)) - 1;
        let place = |place: u64| self.keys.partition_point(|key| key.place() < place);
        let last = flipped | behind;
        (place(flipped & !behind), self.keys.partition_point(|key| key.place() <= last))
    }

    /// Whom a peer names for a target: the nearest of its table, which has at most 20 of each bucket, here those that a hash chooses.
    fn answer(&self, peer: usize, target: &Key) -> Vec<usize> {
        let mut table = vec![];
        for bits in 0..40 {
            let (first, end) = self.bucket(&self.keys[peer], bits);
            if end - first <= K {
                table.extend(first..end);
            } else {
                let step = (end - first) / K;
                let shift =
                    Key::of(&[peer.to_be_bytes(), (bits as usize).to_be_bytes()].concat()).place() as usize % step;
                table.extend((0..K).map(|number| first + number * step + shift));
            }
        }
        let keys: Vec<Key> = table.iter().map(|peer| self.keys[*peer]).collect();
        nearest(target, &keys, K).into_iter().map(|place| table[place]).collect()
    }

    fn look_up(&self, from: usize, target: &Key) -> Looked {
        let mut known: BTreeMap<[u8; 32], usize> =
            self.answer(from, target).into_iter().map(|peer| (target.distance(&self.keys[peer]), peer)).collect();
        let mut asked = BTreeSet::new();
        let mut rounds = 0;
        loop {
            let next: Vec<usize> =
                known.values().take(K).filter(|peer| !asked.contains(*peer)).take(ALPHA).copied().collect();
            if next.is_empty() {
                let found = known.values().take(K).copied().collect();
                return Looked { rounds, requests: asked.len(), found };
            }
            rounds += 1;
            for peer in next {
                asked.insert(peer);
                for told in self.answer(peer, target) {
                    known.insert(target.distance(&self.keys[told]), told);
                }
            }
        }
    }

    fn closest(&self, target: &Key) -> Vec<usize> {
        nearest(target, &self.keys, K)
    }
}

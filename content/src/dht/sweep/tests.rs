use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::dht::exploration::Exploration;
use crate::dht::key::{Key, nearest};

const START: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
/// Peers that keep a record, and that a look-up tells of.
const KEPT: usize = 20;

/// A network, what is announced in it, and when it was.
struct World {
    peers: Vec<Key>,
    keys: Vec<Key>,
    sweep: Sweep,
    now: Duration,
    announced: BTreeMap<Key, Vec<Duration>>,
    told: BTreeMap<Key, Vec<Key>>,
    lookups: usize,
}

impl World {
    fn of(peers: u32, keys: u32) -> Self {
        let mut keys: Vec<Key> = (0..keys).map(|number| Key::of(format!("key {number}").as_bytes())).collect();
        keys.sort();
        Self {
            peers: (0..peers).map(|number| Key::of(format!("peer {number}").as_bytes())).collect(),
            keys,
            sweep: Sweep::new(START),
            now: START,
            announced: BTreeMap::new(),
            told: BTreeMap::new(),
            lookups: 0,
        }
    }

    /// Lets time pass, and does what becomes due.
    fn run(&mut self, hours: u32) {
        let end = self.now + HOUR * hours;
        self.sweep.catch_up(self.now);
        loop {
            let place = self.sweep.place();
            let first = self.keys.iter().find(|key| key.place() >= place).copied();
            let due = first.map(|first| self.sweep.when(first.place()));
            if let (Some(first), true) = (first, due.is_some_and(|due| due <= end)) {
                self.now = self.now.max(due.unwrap());
                self.announce_region(&first, place);
            } else if !self.sweep.skip_to(end) {
                break;
            }
        }
        self.now = end;
    }

    fn announce_region(&mut self, target: &Key, from: u64) {
        let mut exploration = Exploration::new(*target, KEPT);
        let mut found: Vec<Key> = vec![];
        while let Some(place) = exploration.next() {
            self.lookups += 1;
            let near = if found.is_empty() { *target } else { Key::of(&place.name().unwrap()) };
            let peers: Vec<Key> = nearest(&near, &self.peers, KEPT).into_iter().map(|peer| self.peers[peer]).collect();
            exploration.handle_found(&near, &peers);
            found.extend(peers);
        }
        found.sort();
        found.dedup();
        let region = exploration.region();
        for key in self.keys.iter().filter(|key| (from..=region.last).contains(&key.place())) {
            self.announced.entry(*key).or_default().push(self.now);
            self.told.insert(*key, nearest(key, &found, KEPT).into_iter().map(|peer| found[peer]).collect());
        }
        self.sweep.handle_done(region.last);
    }
}

#[test]
fn every_key_is_announced_in_every_period_with_one_look_up_a_region() {
    let mut world = World::of(200, 10_000);

    world.run(22 * 3);

    assert_eq!(world.announced.len(), 10_000);
    for times in world.announced.values() {
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(times.len() >= 3 && gaps.clone().all(|gap| gap <= PERIOD + HOUR), "{times:?}");
    }
    // Each look-up asks little more than the 20 it finds: 5 x 200 requests a period are some 45 look-ups.
    assert!(world.lookups <= 35 * 3, "{} look-ups", world.lookups);
}

#[test]
fn records_go_to_the_peers_that_are_asked_for_them() {
    let mut world = World::of(1000, 2_000);

    world.run(22);

    let mut missed = 0;
    for (key, told) in &world.told {
        let sought: Vec<Key> = nearest(key, &world.peers, KEPT).into_iter().map(|peer| world.peers[peer]).collect();
        missed += sought.iter().filter(|peer| !told.contains(peer)).count();
        assert!(told.contains(&sought[0]), "the nearest is always told");
    }
    assert_eq!(missed, 0, "of {}", KEPT * world.told.len());
}

#[test]
fn a_network_of_a_few_is_told_everything_after_one_look_up() {
    let mut world = World::of(3, 1000);

    world.run(22);

    assert_eq!(world.lookups, 1);
    assert!(world.told.values().all(|told| told.len() == 3));
}

#[test]
fn a_sweep_that_was_stopped_goes_on_where_it_was() {
    let (mut whole, mut stopped) = (World::of(200, 2000), World::of(200, 2000));

    whole.run(22);
    stopped.run(7);
    stopped.sweep = stopped.sweep.to_string().parse().unwrap();
    stopped.run(15);

    assert_eq!(stopped.announced.len(), 2000);
    assert!(stopped.announced.values().all(|times| times.len() == 1));
    assert_eq!(stopped.lookups, whole.lookups);
}

#[test]
fn what_was_missed_is_caught_up_with_once() {
    let mut world = World::of(200, 2000);
    world.run(5);
    world.announced.clear();

    world.now += Duration::from_secs(3600 * 24 * 30);
    let back = world.now;
    world.run(0);

    assert_eq!(world.announced.len(), 2000);
    assert!(world.announced.values().flatten().all(|time| *time == back), "at once");
    // But for those of the region in which the sweep stood.
    assert!(world.announced.values().filter(|times| times.len() > 1).count() < 400);
    assert!(world.announced.values().all(|times| times.len() <= 2));
}

#[test]
fn what_comes_later_is_announced_a_period_after_it_came_at_the_latest() {
    let mut world = World::of(200, 0);
    world.run(5);
    world.keys = World::of(0, 500).keys;

    world.run(22);

    assert_eq!(world.announced.len(), 500);
}

#[test]
fn a_clock_that_was_set_back_begins_anew() {
    let mut sweep = Sweep::new(START);
    sweep.handle_done(u64::MAX);

    sweep.catch_up(START - HOUR);
    assert_eq!(sweep, Sweep::new(START - HOUR));

    let mut sweep: Sweep = "1800000000 ffffffffffffffffffffff".parse().unwrap();
    sweep.catch_up(START);
    assert_eq!(sweep, Sweep::new(START));
}

proptest! {
    #[test]
    fn a_sweep_reads_back_as_it_was_written(began in 0..1u64 << 40, done in 0..1u128 << 100) {
        let sweep = Sweep { began: Duration::from_secs(began), done };
        prop_assert_eq!(sweep.to_string().parse(), Ok(sweep));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text: String, began: u64, done: u128, now in 0..u64::MAX / 2000) {
        let _ = text.parse::<Sweep>();
        if let Ok(mut sweep) = format!("{began} {done:x}").parse::<Sweep>() {
            sweep.catch_up(Duration::from_secs(now));
            sweep.handle_done(u64::MAX);
            let _ = sweep.when(u64::MAX);
        }
    }
}

//! Many that want the same at the same time and know only the one that has it.

use crate::calibrated::CROWD_OF_8;
use crate::node::Link;
use crate::scenario::{Bound, Figures, MIB, Row, judge};
use crate::world::{Id, MILLISECOND, SECOND, World};

/// 64 MiB from one origin to `count` peers, all links 100 Mbit/s.
fn crowd(count: usize, seed: u64) -> Figures {
    let mut world = World::new(seed);
    let root = world.library.add_file(64 * MIB, MIB);
    let origin = world.add_node(Link::of(100.0, 100.0));
    world.give(origin, &root);
    let getters: Vec<Id> = (0..count).map(|_| world.add_node(Link::of(100.0, 100.0))).collect();
    for getter in &getters {
        let at = world.random.below(10 * MILLISECOND);
        world.will_get(*getter, root, vec![origin], at);
    }
    world.figures(&getters, &root, 300 * SECOND)
}

/// 32 MiB from one origin to 32 peers of four kinds, up and down in Mbit/s.
fn unlike(kinds: [(f64, f64); 4]) -> Figures {
    let mut world = World::new(1);
    let root = world.library.add_file(32 * MIB, MIB);
    let origin = world.add_node(Link::of(100.0, 100.0));
    world.give(origin, &root);
    let links = kinds.iter().cycle().take(32).map(|(up, down)| Link::of(*up, *down));
    let getters: Vec<Id> = links.map(|link| world.add_node(link)).collect();
    getters.iter().for_each(|getter| world.will_get(*getter, root, vec![origin], 0));
    world.figures(&getters, &root, 300 * SECOND)
}

/// 1.5 × (file ÷ uplink + log2 N × block ÷ uplink), in seconds.
fn asked(count: usize) -> f64 {
    let block = MIB as f64 / 12.5e6;
    1.5 * (64.0 * block + (count as f64).log2() * block)
}

fn row(count: usize, runs: u64, bound: Bound) -> Row {
    let runs: Vec<Figures> = (0..runs).map(|seed| crowd(count, seed)).collect();
    Row::new(format!("{count} peers, 64 MiB, one seed"), &runs, bound.asked(asked(count)))
}

#[test]
fn a_crowd_grows_by_few_block_times_a_doubling() {
    judge(&[
        row(8, 3, Bound::of(7.1, 0.4).calibrated(CROWD_OF_8)),
        row(32, 2, Bound::of(8.75, 1.3)),
        row(128, 1, Bound::of(9.4, 2.0)),
    ]);
}

#[test]
fn slow_peers_do_not_hold_up_fast_ones() {
    let dsl = unlike([(100.0, 100.0), (20.0, 100.0), (100.0, 20.0), (5.0, 50.0)]);
    let mobile = unlike([(100.0, 1000.0), (100.0, 1000.0), (20.0, 1000.0), (2.0, 10.0)]);
    judge(&[
        Row::new("32 peers, 32 MiB, 100/100, 20/100, 100/20, 5/50 Mbit/s", &[dsl], Bound::of(21.0, 3.0).mean(13.8)),
        Row::new("… 100/1000 (twice as many), 20/1000, 2/10", &[mobile], Bound::of(43.5, 3.0).mean(15.7)),
    ]);
}

/// With `CIDRA_SUITE` set, as CI has it: it takes a minute of one core.
#[test]
fn a_crowd_of_a_thousand_ends() {
    match std::env::var_os("CIDRA_SUITE") {
        Some(_) => judge(&[row(1000, 1, Bound::of(11.5, 3.0))]),
        None => println!("skipped: CIDRA_SUITE is not set"),
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(crowd(12, 7), crowd(12, 7));
    assert_ne!(crowd(12, 7), crowd(12, 8));
}

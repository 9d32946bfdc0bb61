//! Whatever happens when, no want is ever outstanding with nobody at work on it, and every fetch ends or says what is missing.
//!
//! The network looks for forgotten wants after every step of every node (`Net::checked_every`). Here are random schedules; in
//! `chaos` one peer stays sound, here perhaps nobody has a block at all.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::net::{Name, Net};
use crate::exchange::random::Random;
use crate::exchange::{Order, Protocol};

const GETTERS: [Name; 2] = ["alice", "anna"];
const OTHERS: [Name; 6] = ["b1", "b2", "b3", "b4", "b5", "b6"];

/// What happens to one of the others, or to its link with one of the getters.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Cut,
    Kill,
    Learn,
    Lie,
    Mend,
    Mute,
    Start,
}

const BLOWS: [Blow; 7] = [Blow::Cut, Blow::Kill, Blow::Learn, Blow::Lie, Blow::Mend, Blow::Mute, Blow::Start];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_fetch_ends_or_says_what_is_missing(
        seed: u64,
        file in (1usize..30, prop::sample::select(vec![300, 60_000, 1_000_000])),
        // In percent.
        share in prop::sample::select(vec![0, 10, 50, 100]),
        blows in vec((0u64..900, prop::sample::select(BLOWS.to_vec()), 0usize..2, 0usize..6), 0..30),
    ) {
        let mut net = begin(seed, file, share);
        for (pause, blow, getter, other) in blows {
            net.run(Duration::from_millis(pause));
            strike(&mut net, blow, GETTERS[getter], OTHERS[other]);
        }
        let heard = |net: &Net, getter: Name| (net.nodes[getter].missing.len(), net.delivered(getter).len());
        let before = GETTERS.map(|getter| heard(&net, getter));
        net.run(LONGEST_ROUND);
        for (getter, before) in GETTERS.into_iter().zip(before) {
            let more = heard(&net, getter) != before;
            prop_assert!(net.has_all(getter) || more, "{} waits, and says nothing", getter);
        }
    }
}

/// In this time blocks come, or people are told which does not.
const LONGEST_ROUND: Duration = Duration::from_secs(300);

/// Two getters, and others that have a share of the file, are found or connected, and speak what they speak.
fn begin(seed: u64, (leaves, len): (usize, usize), share: usize) -> Net {
    let mut random = Random::new(seed);
    let mut net = Net::of([GETTERS[0], GETTERS[1], "b1", "b2", "b3", "b4", "b5", "b6"]);
    net.search_time = Duration::from_millis(20 + random.below(1500) as u64);
    let root = net.file(leaves, len);
    for name in OTHERS {
        let blocks: Vec<_> = std::iter::once(root).chain(net.children(&root).iter().copied()).collect();
        for block in blocks.iter().filter(|_| random.below(100) < share) {
            net.store(name, block);
        }
        if random.below(3) > 0 {
            net.announce(name, &root);
        }
        let node = net.nodes.get_mut(name).expect("it was named");
        node.up = [50e3, 1e6, 50e6][random.below(3)];
        node.protocol = [Protocol::NATIVE, Protocol::NATIVE, Protocol::BITSWAP, Protocol::OLD_BITSWAP][random.below(4)];
        if random.below(2) == 0 {
            net.connect(GETTERS[random.below(2)], name);
        }
    }
    for (getter, order) in GETTERS.into_iter().zip([Order::Any, Order::Priority]) {
        let holders = &OTHERS[..random.below(4)];
        net.get_from(getter, root, holders, order);
    }
    net
}

fn strike(net: &mut Net, blow: Blow, getter: Name, other: Name) {
    match blow {
        Blow::Cut => net.cut(getter, other),
        Blow::Kill => net.kill(other),
        Blow::Learn => net.announce_all(other),
        Blow::Lie => net.nodes.get_mut(other).expect("it was named").lies ^= true,
        Blow::Mend => net.mend(getter, other),
        Blow::Mute => net.nodes.get_mut(other).expect("it was named").mute ^= true,
        Blow::Start => net.start(other),
    }
}

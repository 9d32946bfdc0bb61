//! Whatever peers do, every fetch ends as long as one sound peer has it all and can be found.

use std::time::Duration;

use super::net::{Name, Net};
use crate::exchange::random::Random;
use crate::exchange::{Order, Protocol};

const NAMES: [Name; 9] = ["alice", "anna", "sound", "b1", "b2", "b3", "b4", "b5", "b6"];
const OTHERS: std::ops::Range<usize> = 3..9;

#[test]
fn every_fetch_ends_among_liars_mutes_leavers_and_cut_links() {
    let mut longest = Duration::ZERO;
    for seed in 0..40 {
        let time = play(seed);
        longest = longest.max(time);
    }
    println!("the longest of 40 fetches among bad peers took {longest:?}");
}

/// Two getters, one sound holder, six others of all kinds; things happen to the six and to links at random times.
fn play(seed: u64) -> Duration {
    let mut random = Random::new(seed);
    let mut net = Net::of(NAMES);
    net.checked_every = 16;
    net.search_time = Duration::from_millis(50 + random.below(2000) as u64);
    let (leaves, len) = ([5, 40, 300][random.below(3)], [500, 100_000, 1_000_000][random.below(3)]);
    let root = net.file(leaves, len);
    net.store_all("sound", &root);
    net.announce("sound", &root);
    for name in &NAMES[OTHERS] {
        make_somebody(&mut net, name, &root, &mut random);
        if random.below(2) == 0 {
            net.connect(["alice", "anna"][random.below(2)], name);
        }
    }
    for (getter, order) in [("alice", Order::Any), ("anna", Order::Priority)] {
        let holders = [&NAMES[OTHERS][..random.below(4)], &[]][random.below(2)];
        net.get_from(getter, root, holders, order);
    }
    for _ in 0..12 {
        net.run(Duration::from_millis(random.below(700) as u64));
        disturb(&mut net, &mut random);
    }
    for getter in ["alice", "anna"] {
        for other in NAMES {
            net.mend(getter, other);
        }
    }
    net.run_until_done(&["alice", "anna"], Duration::from_secs(300))
}

fn make_somebody(net: &mut Net, name: Name, root: &cid::Cid, random: &mut Random) {
    let whole = random.below(3);
    let leaves = net.children(root);
    net.store(name, root);
    for leaf in leaves.iter().filter(|_| whole == 0 || random.below(3) == 0) {
        net.store(name, leaf);
    }
    net.announce(name, root);
    let node = net.nodes.get_mut(name).expect("known");
    node.lies = random.below(5) == 0;
    node.mute = random.below(5) == 0;
    node.up = [50e3, 1e6, 50e6][random.below(3)];
    node.protocol = [Protocol::NATIVE, Protocol::NATIVE, Protocol::BITSWAP, Protocol::OLD_BITSWAP][random.below(4)];
}

fn disturb(net: &mut Net, random: &mut Random) {
    let getter = ["alice", "anna"][random.below(2)];
    let other = NAMES[OTHERS][random.below(6)];
    match random.below(5) {
        0 => net.kill(other),
        1 => net.cut(getter, other),
        2 => net.cut(getter, "sound"),
        3 => net.mend(getter, "sound"),
        _ => net.mend(getter, other),
    }
}

//! Peers that leave, fall silent, lie, or do not have it.

use std::time::Duration;

use super::net::{Name, Net};
use crate::exchange::{Order, PeerState};

const MIB: usize = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);

/// Alice gets 128 MiB from Bob and Carol, 100 Mbit/s each: 10.7 s from one, 5.4 s from both.
fn two_seeds() -> Net {
    let mut net = Net::of(["alice", "bob", "carol"]);
    let root = net.file(128, MIB);
    for holder in ["bob", "carol"] {
        net.nodes.get_mut(holder).unwrap().up = 12.5e6;
        net.store_all(holder, &root);
    }
    net.get_from("alice", root, &["bob", "carol"], Order::Any);
    net
}

fn longest_pause(net: &Net, getter: Name) -> Duration {
    let came = &net.nodes[getter].came;
    came.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default()
}

#[test]
fn a_killed_seed_costs_no_stall_and_only_what_it_owed_is_asked_again() {
    let mut net = two_seeds();
    net.run(3 * SECOND);
    net.kill("bob");
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("one of two seeds killed at 3 s: {time:?} (limit 7.74 s), pause {:?}", longest_pause(&net, "alice"));
    assert!(time < Duration::from_millis(8100), "{time:?}");
    assert!(longest_pause(&net, "alice") < Duration::from_millis(100));
    let counters = net.nodes["alice"].exchange.counters();
    assert!(counters.bytes_received < 131 * MIB as u64, "{counters:?}");
}

#[test]
fn a_silently_cut_seed_is_given_up_and_heard_again_when_it_comes_back() {
    let mut net = two_seeds();
    net.run(3 * SECOND);
    net.cut("alice", "bob");
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("one of two links cut at 3 s: {time:?}, pause {:?}", longest_pause(&net, "alice"));
    assert!(time < Duration::from_millis(8300), "{time:?}");
    assert!(longest_pause(&net, "alice") < Duration::from_millis(300));
}

#[test]
fn a_link_that_is_mended_is_used_again() {
    let mut net = two_seeds();
    net.run(2 * SECOND);
    net.cut("alice", "bob");
    net.run(2 * SECOND);
    net.mend("alice", "bob");
    net.run(Duration::from_millis(1500));
    let before = net.now;
    net.run_until_done(&["alice"], 60 * SECOND);

    let from_bob = net.nodes["alice"].came.iter().filter(|(at, from, _)| *at > before && *from == "bob").count();
    assert!(from_bob > 0, "nothing came from bob after the link was mended");
}

#[test]
fn the_only_seed_may_be_cut_for_long_and_the_fetch_goes_on() {
    let mut net = Net::of(["alice", "bob"]);
    net.nodes.get_mut("bob").unwrap().up = 12.5e6;
    let root = net.file(64, MIB);
    net.store_all("bob", &root);
    net.get_from("alice", root, &["bob"], Order::Any);
    net.run(2 * SECOND);
    net.cut("alice", "bob");
    net.run(40 * SECOND);
    assert!(!net.nodes["alice"].missing.is_empty());
    net.mend("alice", "bob");
    net.run_until_done(&["alice"], 100 * SECOND);
}

#[test]
fn a_liar_costs_a_few_blocks_and_is_banned() {
    let mut net = two_seeds();
    net.nodes.get_mut("bob").unwrap().lies = true;
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("one of two seeds lies: {time:?} (limit 10.7 s)");
    assert_eq!(net.nodes["alice"].banned, ["bob"]);
    assert!(time < Duration::from_millis(11_300), "{time:?}");
    let from_bob: usize = net.nodes["alice"].came.iter().filter(|came| came.1 == "bob").map(|came| came.2).sum();
    assert!(from_bob <= 2 * MIB, "{from_bob} bytes of lies");
}

#[test]
fn a_peer_with_a_part_is_used_for_that_part() {
    let mut net = Net::of(["alice", "whole", "part"]);
    let root = net.file(100, MIB);
    net.store_all("whole", &root);
    net.store("part", &root);
    for leaf in net.children(&root).iter().step_by(3) {
        net.store("part", leaf);
    }
    for holder in ["whole", "part"] {
        net.nodes.get_mut(holder).unwrap().up = 12.5e6;
    }
    net.get_from("alice", root, &["part", "whole"], Order::Any);
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    let from_part: usize = net.nodes["alice"].came.iter().filter(|came| came.1 == "part").map(|came| came.2).sum();
    println!("whole and a third: {time:?} (limit 5.6 s), {} MiB from the third", from_part / MIB);
    assert!(from_part > 20 * MIB, "{from_part}");
    assert!(time < Duration::from_millis(7000), "{time:?}");
}

#[test]
fn a_mute_peer_is_left_for_another_in_a_moment() {
    let mut net = Net::of(["alice", "mute", "bob"]);
    net.nodes.get_mut("mute").unwrap().mute = true;
    let root = net.file(50, 100_000);
    net.store_all("bob", &root);
    net.connect("alice", "mute");
    net.connect("alice", "bob");
    net.get_from("alice", root, &["mute", "bob"], Order::Any);
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("a mute holder beside a sound one: {time:?}");
    assert!(time < Duration::from_millis(1500), "{time:?}");
}

#[test]
fn nobody_has_it_is_told_with_whom_we_asked_and_what_each_said() {
    let mut net = Net::of(["alice", "bob", "mute", "gone"]);
    net.nodes.get_mut("mute").unwrap().mute = true;
    let block = net.leaf(10);
    net.announce("gone", &block);
    net.kill("gone");
    net.connect("alice", "bob");
    net.connect("alice", "mute");
    net.get("alice", block);
    net.run(5 * SECOND);

    let (cid, report) = &net.nodes["alice"].missing[0];
    assert_eq!(*cid, block);
    assert_eq!(report.searches, 1);
    let asked: Vec<(Name, &str)> = report.asked.iter().map(|(peer, said)| (*peer, said.as_str())).collect();
    assert_eq!(asked[0], ("bob", "does not have it"));
    assert!(["is silent", "did not answer"].contains(&asked[1].1), "{asked:?}");
    assert_eq!(asked[2..], [("gone", "could not be reached: connection refused")]);
}

#[test]
fn the_search_goes_on_with_growing_pauses_until_somebody_has_it() {
    let mut net = Net::of(["alice", "bob"]);
    let block = net.leaf(10);
    net.get("alice", block);
    net.run(100 * SECOND);
    let searched = net.nodes["alice"].searched.len();
    assert!((5..=8).contains(&searched), "{searched} searches in 100 s");

    net.store("bob", &block);
    net.announce("bob", &block);
    net.run_until_done(&["alice"], 61 * SECOND);
}

#[test]
fn a_block_that_the_holder_of_the_root_lacks_is_searched_by_its_own_cid_few_at_a_time() {
    let mut net = Net::of(["alice", "bob", "carol"]);
    let root = net.file(20, 1000);
    net.store("bob", &root);
    for leaf in net.children(&root).iter() {
        net.store("carol", leaf);
    }
    let last = *net.children(&root).last().unwrap();
    net.announce("bob", &root);
    net.announce("carol", &last);
    net.search_time = SECOND;
    net.get("alice", root);
    net.run(Duration::from_millis(1900));
    assert_eq!(net.nodes["alice"].searched.len(), 1 + 4);

    net.run_until_done(&["alice"], 20 * SECOND);
    assert_eq!(net.delivered("alice").len(), 21);
}

#[test]
fn many_providers_are_dialled_few_at_a_time() {
    let names: Vec<Name> = (0..40).map(|n| &*Box::leak(format!("dead{n:02}").into_boxed_str())).collect();
    let mut all = vec!["alice", "zoe"];
    all.extend(&names);
    let mut net = Net::with(&all, crate::exchange::Config::default());
    let block = net.leaf(10);
    for name in &names {
        net.announce(name, &block);
        net.kill(name);
        net.set_delay("alice", name, SECOND);
    }
    net.announce("zoe", &block);
    net.store("zoe", &block);
    net.get("alice", block);
    net.run(SECOND);
    assert_eq!(net.nodes["alice"].dialled.len(), 8);
    net.run_until_done(&["alice"], 60 * SECOND);
}

#[test]
fn a_holder_that_was_named_is_dialled_until_it_is_there() {
    let mut net = Net::of(["alice", "bob"]);
    let root = net.file(4, MIB);
    net.store_all("bob", &root);
    net.kill("bob");
    let session = net.get_from("alice", root, &["bob"], Order::Any);
    net.run(50 * SECOND);
    let report = net.nodes["alice"].exchange.session_report(session).unwrap();
    assert_eq!(report.peers[0].state, PeerState::Failed("connection refused".to_owned()));
    let dialled = net.nodes["alice"].dialled.len();
    net.start("bob");
    net.run_until_done(&["alice"], 10 * SECOND);

    assert!((6..20).contains(&dialled), "{dialled} times in 50 s");
}

#[test]
fn a_full_store_pauses_the_want_and_it_is_asked_again() {
    let mut net = Net::of(["alice", "bob"]);
    let block = net.leaf(10);
    net.store("bob", &block);
    net.nodes.get_mut("alice").unwrap().store_time = 100 * SECOND;
    net.get_from("alice", block, &["bob"], Order::Any);
    net.run(SECOND);
    let now = net.now;
    net.nodes.get_mut("alice").unwrap().exchange.handle_store_failed(&block, now);
    net.nodes.get_mut("alice").unwrap().store_time = Duration::ZERO;
    net.carry_out("alice");
    assert_eq!(net.delivered("alice"), []);
    net.run_until_done(&["alice"], 2 * SECOND);
}

#[test]
fn a_slow_holder_does_not_delay_the_end() {
    let mut net = Net::of(["alice", "f1", "f2", "slow"]);
    let root = net.file(128, MIB);
    for (holder, up) in [("f1", 12.5e6), ("f2", 12.5e6), ("slow", 0.25e6)] {
        net.nodes.get_mut(holder).unwrap().up = up;
        net.store_all(holder, &root);
    }
    net.get_from("alice", root, &["f1", "f2", "slow"], Order::Any);
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("100, 100 and 2 Mbit/s: {time:?} (limit 5.31 s)");
    assert!(time < Duration::from_millis(5700), "{time:?}");
}

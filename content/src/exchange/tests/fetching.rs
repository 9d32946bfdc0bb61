//! One getter whose holders all live.

use std::time::Duration;

use super::net::Net;
use crate::exchange::message::Kind;
use crate::exchange::{Order, PeerState, Protocol};

const MIB: usize = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn gets_a_block_from_a_named_holder_without_a_search() {
    let mut net = Net::of(["alice", "bob"]);
    let block = net.leaf(4096);
    net.store("bob", &block);

    net.get_from("alice", block, &["bob"], Order::Any);
    net.run_until_done(&["alice"], SECOND);

    assert_eq!(net.delivered("alice"), [block]);
    assert_eq!(net.nodes["alice"].searched, []);
    assert_eq!(net.nodes["alice"].dialled, ["bob"]);
}

#[test]
fn asks_a_connected_peer_at_once() {
    let mut net = Net::of(["alice", "bob"]);
    let block = net.leaf(4096);
    net.store("bob", &block);
    net.connect("alice", "bob");

    net.get("alice", block);
    let time = net.run_until_done(&["alice"], SECOND);

    assert!(time < Duration::from_millis(10), "{time:?}");
    assert_eq!(net.nodes["alice"].said["want"], 1);
}

#[test]
fn dials_providers_that_a_search_finds() {
    let mut net = Net::of(["alice", "bob", "carol"]);
    let root = net.file(20, 100_000);
    net.store_all("carol", &root);
    net.announce("carol", &root);
    net.connect("alice", "bob");

    net.get("alice", root);
    net.run_until_done(&["alice"], 2 * SECOND);

    assert_eq!(net.delivered("alice").len(), 21);
    assert_eq!(net.nodes["alice"].dialled, ["carol"]);
    assert_eq!(net.nodes["alice"].exchange.counters().dials, 1);
    assert_eq!(net.nodes["alice"].exchange.counters().searches, 1);
}

#[test]
fn asks_the_next_provider_when_the_first_lacks_the_block() {
    let mut net = Net::of(["alice", "bob", "carol"]);
    let block = net.leaf(1000);
    net.store("carol", &block);

    net.get_from("alice", block, &["bob", "carol"], Order::Any);
    let time = net.run_until_done(&["alice"], SECOND);

    assert!(time < Duration::from_millis(20), "{time:?}");
    assert_eq!(net.delivered("alice"), [block]);
}

#[test]
fn a_peer_that_speaks_only_bitswap_serves_and_is_served() {
    for protocol in [Protocol::BITSWAP, Protocol::OLD_BITSWAP] {
        let mut net = Net::of(["alice", "kubo"]);
        net.nodes.get_mut("kubo").unwrap().protocol = protocol;
        let (theirs, ours) = (net.file(30, 300_000), net.file(30, 300_000));
        net.store_all("kubo", &theirs);
        net.store_all("alice", &ours);
        net.connect("alice", "kubo");

        net.get("alice", theirs);
        net.get("kubo", ours);
        net.run_until_done(&["alice", "kubo"], 2 * SECOND);

        assert_eq!(net.nodes["alice"].exchange.counters().bytes_wasted, 0);
        assert_eq!(net.nodes["kubo"].exchange.counters().bytes_wasted, 0);
    }
}

#[test]
fn bitswap_peers_get_what_they_asked_for_when_it_comes_later() {
    let mut net = Net::of(["alice", "kubo", "carol"]);
    net.nodes.get_mut("kubo").unwrap().protocol = Protocol::BITSWAP;
    net.search_time = 30 * SECOND;
    let block = net.leaf(1000);
    net.connect("kubo", "alice");
    net.get("kubo", block);
    net.run(SECOND);

    net.store("carol", &block);
    net.get_from("alice", block, &["carol"], Order::Any);
    net.run(SECOND);

    assert_eq!(net.delivered("kubo"), [block]);
}

#[test]
fn the_window_follows_rate_and_round_trip() {
    for (delay, rate, limit) in [(50, 12.5e6, 1.15), (1, 12.5e6, 1.05), (150, 125e6, 2.0), (1, 125e6, 1.1)] {
        let mut net = Net::of(["alice", "bob"]);
        net.checked_every = 1000;
        net.set_delay("alice", "bob", Duration::from_millis(delay));
        net.nodes.get_mut("bob").unwrap().up = rate;
        let root = net.file(128, MIB);
        net.store_all("bob", &root);

        net.get_from("alice", root, &["bob"], Order::Any);
        let time = net.run_until_done(&["alice"], 60 * SECOND);

        let best = 128.0 * MIB as f64 / rate + 8.0 * delay as f64 / 1000.0;
        println!("128 MiB at {rate:e} B/s, {delay} ms one way: {time:?}, limit {best:.2} s");
        assert!(time.as_secs_f64() < best * limit, "{time:?} for {best:.2} s");
    }
}

#[test]
fn a_slow_disk_lowers_asking() {
    let mut net = Net::of(["alice", "bob"]);
    net.nodes.get_mut("alice").unwrap().store_time = 5 * SECOND;
    let root = net.file(200, MIB);
    net.store_all("bob", &root);
    net.get_from("alice", root, &["bob"], Order::Any);
    net.run(9 * SECOND);

    let came: usize = net.nodes["alice"].came.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(came <= 33 * MIB, "{came} bytes came while none was stored");
}

#[test]
fn several_holders_share_the_work_by_their_speed() {
    let mut net = Net::of(["alice", "fast", "slow"]);
    net.nodes.get_mut("fast").unwrap().up = 10e6;
    net.nodes.get_mut("slow").unwrap().up = 2.5e6;
    let root = net.file(128, MIB);
    net.store_all("fast", &root);
    net.store_all("slow", &root);

    let session = net.get_from("alice", root, &["fast", "slow"], Order::Any);
    net.run(2 * SECOND);
    let report = net.nodes["alice"].exchange.session_report(session).unwrap();
    assert!(report.peers.iter().all(|peer| matches!(peer.state, PeerState::Owing(_))), "{report:?}");
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    let best = 128.0 * MIB as f64 / 12.5e6;
    println!("128 MiB from 10 and 2.5 MB/s: {time:?}, limit {best:.2} s");
    assert!(time.as_secs_f64() < best * 1.06, "{time:?}");
    let wasted = net.nodes["alice"].exchange.counters().bytes_wasted;
    assert!(wasted <= 2 * MIB as u64, "{wasted} bytes wasted");
}

#[test]
fn four_holders_of_the_same_speed_are_used_to_the_full() {
    let mut net = Net::of(["alice", "b1", "b2", "b3", "b4"]);
    let root = net.file(128, MIB);
    for holder in ["b1", "b2", "b3", "b4"] {
        net.nodes.get_mut(holder).unwrap().up = 12.5e6;
        net.store_all(holder, &root);
    }
    net.get_from("alice", root, &["b1", "b2", "b3", "b4"], Order::Any);
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    println!("128 MiB from 4 × 100 Mbit/s: {time:?}, limit 2.68 s");
    assert!(time < Duration::from_millis(2900), "{time:?}");
}

#[test]
fn ten_thousand_small_blocks_are_asked_for_in_few_requests() {
    let mut net = Net::of(["alice", "bob"]);
    net.checked_every = 1000;
    net.set_delay("alice", "bob", Duration::from_millis(10));
    net.nodes.get_mut("bob").unwrap().up = 12.5e6;
    let root = net.file(10_000, 4096);
    net.store_all("bob", &root);

    net.get_from("alice", root, &["bob"], Order::Any);
    let time = net.run_until_done(&["alice"], 60 * SECOND);

    let requests = net.nodes["alice"].said["want"];
    println!("10,000 × 4 KiB at 100 Mbit/s and 20 ms: {time:?}, {requests} requests");
    assert!(time < Duration::from_millis(4100), "{time:?}");
    assert!(requests < 500, "{requests} requests");
}

#[test]
fn a_reader_gets_its_blocks_in_order() {
    let mut net = Net::of(["alice", "b1", "b2"]);
    let root = net.file(64, MIB);
    for holder in ["b1", "b2"] {
        net.nodes.get_mut(holder).unwrap().up = 12.5e6;
        net.store_all(holder, &root);
    }
    net.get_from("alice", root, &["b1", "b2"], Order::Priority);
    net.run_until_done(&["alice"], 60 * SECOND);

    let leaves = net.children(&root);
    for (position, cid) in net.delivered("alice")[1..].iter().enumerate() {
        let index = leaves.iter().position(|leaf| leaf == cid).unwrap();
        assert!(position.abs_diff(index) <= 6, "leaf {index} came as number {position}");
    }
}

#[test]
fn unwanted_and_closed_blocks_are_cancelled() {
    let mut net = Net::of(["alice", "bob"]);
    net.nodes.get_mut("bob").unwrap().up = 1e6;
    let root = net.file(8, MIB);
    net.store_all("bob", &root);
    let session = net.get_from("alice", root, &["bob"], Order::Any);
    net.run(SECOND / 2);

    net.close("alice", session);
    net.run(10 * SECOND);

    let came: usize = net.nodes["alice"].came.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(came < MIB, "{came} bytes came");
    assert!(net.nodes["alice"].said["cancel"] >= 1);
    assert_eq!(net.nodes["alice"].exchange.poll_timeout(), None);
}

#[test]
fn two_downloads_that_want_the_same_block_share_it() {
    let mut net = Net::of(["alice", "bob"]);
    let block = net.leaf(MIB);
    net.store("bob", &block);
    net.connect("alice", "bob");
    let (first, _) = (net.get("alice", block), net.get("alice", block));
    net.close("alice", first);
    net.run(SECOND);

    assert_eq!(net.delivered("alice"), [block]);
    assert_eq!(net.nodes["bob"].exchange.counters().blocks_sent, 1);
}

#[test]
fn a_block_added_here_is_delivered_and_cancelled_elsewhere() {
    let mut net = Net::of(["alice", "bob"]);
    net.nodes.get_mut("bob").unwrap().up = 1000.0;
    let block = net.leaf(MIB);
    net.store("bob", &block);
    net.get_from("alice", block, &["bob"], Order::Any);
    net.run(SECOND);
    let (now, links) = (net.now, net.children(&block));
    net.nodes.get_mut("alice").unwrap().exchange.handle_added(&block, MIB, links, now);
    net.carry_out("alice");

    assert_eq!(net.delivered("alice"), [block]);
    assert_eq!(net.nodes["alice"].said["cancel"], 1);
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    let play = || {
        let mut net = Net::of(["alice", "bob", "carol", "dave"]);
        net.log = Some(Vec::new());
        let root = net.file(40, 300_000);
        net.store_all("bob", &root);
        net.announce("bob", &root);
        net.connect("carol", "alice");
        for getter in ["alice", "carol", "dave"] {
            net.get(getter, root);
        }
        net.run(SECOND);
        net.kill("dave");
        net.run_until_done(&["alice", "carol"], 60 * SECOND);
        net.log.unwrap()
    };
    assert_eq!(play(), play());
}

#[test]
fn a_request_says_only_what_the_peer_understands() {
    let mut net = Net::of(["alice", "old"]);
    net.nodes.get_mut("old").unwrap().protocol = Protocol::OLD_BITSWAP;
    net.connect("alice", "old");
    net.log = Some(Vec::new());
    let block = net.leaf(10);
    net.get("alice", block);
    net.run(SECOND);
    let asked_whether = format!("kind: {:?}", Kind::Have);
    assert!(net.log.unwrap().iter().all(|line| !line.contains(&asked_whether)));
}

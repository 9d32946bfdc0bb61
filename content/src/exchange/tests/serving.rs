//! The answering half, driven by hand: limits, turns, cancels.

use std::time::{Duration, Instant};

use cid::Cid;
use multihash::Multihash;

use super::start;
use crate::block::{DAG_PB, MAX_BLOCK_SIZE, RAW};
use crate::exchange::message::{Credit, Kind, Message, RequestId, Want};
use crate::exchange::{Action, Config, Exchange, Protocol};

type Machine = Exchange<u32>;

#[test]
fn sends_what_is_here_and_refuses_what_is_not_or_is_too_large() {
    let (mut machine, now) = serving(1);
    let (here, gone, large) = (leaf(1), leaf(2), leaf(3));
    ask(&mut machine, 0, 1, vec![here, gone, large], now);
    let found = vec![(here, Some(1000)), (gone, None), (large, Some(MAX_BLOCK_SIZE as u32 + 1))];
    machine.handle_located(&0, RequestId(1), found, now);

    let actions = all(&mut machine);
    let refusal = Message::DontHave { request: RequestId(1), cids: vec![gone, large] };
    assert!(actions.contains(&Action::Send { peer: 0, message: refusal }), "{actions:?}");
    assert_eq!(loads(&actions), [(0, here)]);
}

#[test]
fn says_whether_a_block_is_here_without_sending_it() {
    let (mut machine, now) = serving(1);
    let (here, gone) = (leaf(1), leaf(2));
    let want = Want { kind: Kind::Have, ..want(1, vec![here, gone]) };
    machine.handle_message(&0, Message::Want(want), now);
    machine.handle_located(&0, RequestId(1), vec![(here, Some(1000)), (gone, None)], now);

    let said: Vec<Message> = messages(&all(&mut machine));
    let refusal = Message::DontHave { request: RequestId(1), cids: vec![gone] };
    assert_eq!(said, [Message::Have { cids: vec![here] }, refusal]);
}

#[test]
fn one_name_over_1024_is_refused_the_least_important_first() {
    let (mut machine, now) = serving(1);
    let cids: Vec<Cid> = (0..1024).map(leaf).collect();
    serve(&mut machine, 0, 1, &cids, MAX_BLOCK_SIZE as u32, now);
    // Whatever the window took out of the queue is room; fill it up again.
    let sending = loads(&all(&mut machine)).len() as u64;
    let more: Vec<Cid> = (2000..2000 + sending).map(leaf).collect();
    serve(&mut machine, 0, 2, &more, MAX_BLOCK_SIZE as u32, now);
    assert!(!all(&mut machine).iter().any(|action| matches!(action, Action::Load { .. } | Action::Send { .. })));
    let (same, urgent) = (leaf(5000), leaf(5001));
    ask(&mut machine, 0, 3, vec![same], now);
    let refused = Message::DontHave { request: RequestId(3), cids: vec![same] };
    assert_eq!(messages(&all(&mut machine)), [refused]);

    machine.handle_message(&0, Message::Want(Want { priority: 9, ..want(4, vec![urgent]) }), now);
    let actions = all(&mut machine);
    assert!(
        matches!(&messages(&actions)[..], [Message::DontHave { cids, .. }] if cids.len() == 1 && cids[0] != urgent)
    );
    assert!(actions.contains(&Action::Locate { peer: 0, request: RequestId(4), cids: vec![urgent] }));
}

#[test]
fn a_thousand_and_one_requests_of_one_name_are_one_too_many() {
    let (mut machine, now) = serving(1);
    for request in 1..=1025 {
        ask(&mut machine, 0, request, vec![leaf(request)], now);
    }
    let said = messages(&all(&mut machine));
    assert_eq!(said, [Message::DontHave { request: RequestId(1025), cids: vec![leaf(1025)] }]);
}

#[test]
fn a_peer_over_the_limit_is_not_served() {
    let (mut machine, now) = serving(4096);
    machine.handle_connected(4096, Protocol::NATIVE, None, now);
    ask(&mut machine, 4096, 1, vec![leaf(1)], now);
    assert_eq!(all(&mut machine), []);
    machine.handle_disconnected(&7, now);
    machine.handle_connected(4096, Protocol::NATIVE, None, now);
    ask(&mut machine, 4096, 1, vec![leaf(1)], now);
    assert_eq!(all(&mut machine).len(), 1);
}

#[test]
fn bytes_loading_or_unsent_are_bounded_for_a_peer_and_in_all() {
    let config = Config { serving_per_peer: 3_000_000, serving_total: 5_000_000, ..Config::default() };
    let mut machine = Machine::new(config, 1);
    let now = start();
    for peer in 0..2 {
        machine.handle_connected(peer, Protocol::NATIVE, None, now);
    }
    let cids: Vec<Cid> = (0..10).map(leaf).collect();
    serve(&mut machine, 0, 1, &cids, 1_000_000, now);
    assert_eq!(loads(&all(&mut machine)).len(), 3);
    serve(&mut machine, 1, 1, &cids, 1_000_000, now);
    assert_eq!(loads(&all(&mut machine)).len(), 2);

    machine.handle_sent(&0, RequestId(1), &cids[0], 1_000_000, true, now);
    assert_eq!(loads(&all(&mut machine)).len(), 1);
}

#[test]
fn tiny_blocks_count_for_4_kib_each() {
    let config = Config { serving_per_peer: 10 * 4096, ..Config::default() };
    let mut machine = Machine::new(config, 1);
    let now = start();
    machine.handle_connected(0, Protocol::NATIVE, None, now);
    let cids: Vec<Cid> = (0..11).map(leaf).collect();
    serve(&mut machine, 0, 1, &cids, 0, now);
    assert_eq!(loads(&all(&mut machine)).len(), 10);
    machine.handle_sent(&0, RequestId(1), &cids[0], 0, true, now);
    assert_eq!(loads(&all(&mut machine)), [(0, cids[10])]);
}

#[test]
fn look_ups_of_cancelled_requests_count_until_they_are_answered() {
    let (mut machine, now) = serving(1);
    ask(&mut machine, 0, 1, (0..1024).map(leaf).collect(), now);
    machine.handle_message(&0, Message::Cancel { request: RequestId(1), cids: vec![] }, now);
    all(&mut machine);
    ask(&mut machine, 0, 2, vec![leaf(1)], now);
    assert_eq!(messages(&all(&mut machine)), [Message::DontHave { request: RequestId(2), cids: vec![leaf(1)] }]);
    machine.handle_located(&0, RequestId(1), vec![], now);
    ask(&mut machine, 0, 3, vec![leaf(1)], now);
    let locate = Action::Locate { peer: 0, request: RequestId(3), cids: vec![leaf(1)] };
    assert_eq!(all(&mut machine), [locate]);
}

#[test]
fn four_receivers_at_a_time_one_block_each_and_the_longest_waiting_next() {
    let (mut machine, now) = serving(6);
    let cids: Vec<Cid> = (0..3).map(leaf).collect();
    for peer in 0..6 {
        serve(&mut machine, peer, 1, &cids, 1_000_000, now);
    }
    let first = loads(&all(&mut machine));
    // The first asked alone and was served ahead; nobody else has more than one.
    let others: Vec<u32> = first.iter().map(|(peer, _)| *peer).filter(|peer| *peer > 0).collect();
    assert_eq!(others, [1, 2, 3]);
    machine.handle_sent(&2, RequestId(1), &cids[0], 1_000_000, true, now);
    assert_eq!(loads(&all(&mut machine)), [(4, cids[0])]);
    machine.handle_sent(&1, RequestId(1), &cids[0], 1_000_000, true, now);
    assert_eq!(loads(&all(&mut machine)), [(5, cids[0])]);
    machine.handle_sent(&3, RequestId(1), &cids[0], 1_000_000, true, now);
    assert_eq!(loads(&all(&mut machine)), [(1, cids[1])]);
}

#[test]
fn a_slow_receiver_holds_no_slot() {
    let (mut machine, mut now) = serving(9);
    let cids: Vec<Cid> = (0..64).map(leaf).collect();
    // One receiver shows what the uplink can do.
    serve(&mut machine, 8, 1, &cids, 1_000_000, now);
    for _ in 0..40 {
        for (peer, cid) in loads(&all(&mut machine)) {
            now += Duration::from_millis(20);
            machine.handle_sent(&peer, RequestId(1), &cid, 1_000_000, true, now);
        }
    }
    machine.handle_disconnected(&8, now);
    for peer in 0..8 {
        serve(&mut machine, peer, 1, &cids, 1_000_000, now);
    }
    let at_once: Vec<u32> = loads(&all(&mut machine)).iter().map(|(peer, _)| *peer).collect();
    assert!(!at_once.contains(&5), "{at_once:?}");
    now += Duration::from_secs(1);
    machine.handle_timeout(now);
    let then: Vec<u32> = loads(&all(&mut machine)).iter().map(|(peer, _)| *peer).collect();
    assert_eq!(then, [4, 5, 6, 7]);
}

#[test]
fn a_cancel_stops_a_block_in_the_middle_and_frees_its_bytes() {
    let (mut machine, now) = serving(1);
    let cids: Vec<Cid> = (0..8).map(leaf).collect();
    serve(&mut machine, 0, 1, &cids, 1_000_000, now);
    assert_eq!(loads(&all(&mut machine)).len(), 5);
    machine.handle_sent(&0, RequestId(1), &cids[0], 65_536, false, now);
    machine.handle_message(&0, Message::Cancel { request: RequestId(1), cids: vec![cids[0], cids[7]] }, now);

    let actions = all(&mut machine);
    assert!(actions.contains(&Action::Abort { peer: 0, request: RequestId(1), cid: cids[0] }));
    assert_eq!(loads(&actions), []);
    machine.handle_aborted(&0, RequestId(1), &cids[0], now);
    assert_eq!(loads(&all(&mut machine)), [(0, cids[5])]);
    machine.handle_message(&0, Message::Cancel { request: RequestId(1), cids: vec![] }, now);
    assert_eq!(all(&mut machine).len(), 5);
    assert_eq!(machine.counters().bytes_sent, 65_536);
}

#[test]
fn who_asks_and_cancels_in_a_loop_has_no_more_read_for_it_than_others() {
    let (mut machine, now) = serving(1);
    let cids: Vec<Cid> = (0..8).map(leaf).collect();
    let mut under_way = Vec::new();
    for round in 1..=100 {
        serve(&mut machine, 0, round, &cids, 1_000_000, now);
        under_way.extend(loads(&all(&mut machine)).into_iter().map(|(_, cid)| (RequestId(round), cid)));
        machine.handle_message(&0, Message::Cancel { request: RequestId(round), cids: vec![] }, now);
        all(&mut machine);
    }
    assert_eq!(under_way.len(), 5);

    under_way.iter().for_each(|(request, cid)| machine.handle_aborted(&0, *request, cid, now));
    serve(&mut machine, 0, 101, &cids, 1_000_000, now);
    assert_eq!(loads(&all(&mut machine)).len(), 5);
}

#[test]
fn blocks_with_children_go_before_leaves_and_high_priority_before_low() {
    let (mut machine, now) = serving(1);
    let node = Cid::new_v1(DAG_PB, *leaf(9).hash());
    let low: Vec<Cid> = (0..8).map(leaf).collect();
    serve(&mut machine, 0, 1, &low, 2_000_000, now);
    all(&mut machine);
    serve(&mut machine, 0, 2, &[leaf(20)], 2_000_000, now);
    machine.handle_message(&0, Message::Want(Want { priority: 5, ..want(3, vec![leaf(30)]) }), now);
    machine.handle_located(&0, RequestId(3), vec![(leaf(30), Some(1000))], now);
    serve(&mut machine, 0, 4, &[node], 1000, now);
    machine.handle_message(&0, Message::Cancel { request: RequestId(1), cids: vec![] }, now);
    low.iter().for_each(|cid| machine.handle_aborted(&0, RequestId(1), cid, now));
    let order: Vec<Cid> = loads(&all(&mut machine)).into_iter().map(|(_, cid)| cid).collect();
    assert_eq!(order, [leaf(30), node, leaf(20)]);
}

#[test]
fn a_credit_is_spent_on_what_was_sent_least() {
    let (mut machine, now) = serving(3);
    let cids: Vec<Cid> = (0..6).map(leaf).collect();
    let mut sent = Vec::new();
    for peer in 0..3 {
        let want = Want { credit: Credit::Any(2), root: Some(leaf(99)), ..want(1, cids.clone()) };
        machine.handle_message(&peer, Message::Want(want), now);
        machine.handle_located(&peer, RequestId(1), cids.iter().map(|cid| (*cid, Some(1000))).collect(), now);
        sent.extend(loads(&all(&mut machine)).into_iter().map(|(_, cid)| cid));
    }
    sent.sort();
    let mut each_once = cids;
    each_once.sort();
    assert_eq!(sent, each_once);
}

#[test]
fn a_failed_load_is_refused_and_its_credit_closed() {
    let (mut machine, now) = serving(1);
    let cids: Vec<Cid> = (0..3).map(leaf).collect();
    let want = Want { credit: Credit::Any(1), ..want(1, cids.clone()) };
    machine.handle_message(&0, Message::Want(want), now);
    machine.handle_located(&0, RequestId(1), cids.iter().map(|cid| (*cid, Some(1000))).collect(), now);
    let (_, cid) = loads(&all(&mut machine))[0];
    machine.handle_load_failed(&0, RequestId(1), &cid, now);
    let refusal = |cids| Message::DontHave { request: RequestId(1), cids };
    assert_eq!(messages(&all(&mut machine)), [refusal(vec![cid]), refusal(vec![])]);
}

#[test]
fn peers_that_ask_for_the_same_root_are_referred_to_each_other_and_16_at_most() {
    let (mut machine, mut now) = serving(20);
    let root = leaf(99);
    for peer in 0..20 {
        machine.handle_message(&peer, Message::Want(Want { root: Some(root), ..want(1, vec![root]) }), now);
    }
    all(&mut machine);
    now += Duration::from_millis(60);
    machine.handle_timeout(now);
    let mut told = 0;
    for action in all(&mut machine) {
        if let Action::Refer { peer, root: of, others } = action {
            assert_eq!((of, others.len()), (root, 16));
            assert!(!others.contains(&peer));
            told += 1;
        }
    }
    assert_eq!(told, 20);
}

#[test]
fn who_asks_no_more_is_named_to_nobody() {
    let (mut machine, mut now) = serving(3);
    let root = leaf(99);
    let asks = |machine: &mut Machine, peer: u32, now: Instant| {
        machine.handle_message(&peer, Message::Want(Want { root: Some(root), ..want(1, vec![root]) }), now);
    };
    asks(&mut machine, 0, now);
    now += Duration::from_secs(11);
    asks(&mut machine, 1, now);
    now += Duration::from_millis(200);
    machine.handle_timeout(now);
    assert!(!all(&mut machine).iter().any(|action| matches!(action, Action::Refer { .. })));
}

#[test]
fn who_waits_for_a_turn_hears_that_it_is_not_forgotten() {
    let (mut machine, mut now) = serving(6);
    for peer in 0..6 {
        serve(&mut machine, peer, 1, &[leaf(1), leaf(2)], 1_000_000, now);
    }
    all(&mut machine);
    now += Duration::from_millis(500);
    machine.handle_timeout(now);
    let told = messages(&all(&mut machine));
    assert_eq!(told, [Message::Pending { bytes: 2_000_000 }, Message::Pending { bytes: 2_000_000 }]);
}

#[test]
fn one_who_asks_alone_gets_what_it_listed_first_and_nothing_twice() {
    let (mut machine, now) = serving(1);
    let listed: Vec<Cid> = [7, 3, 9, 1].map(leaf).to_vec();
    let any = Want { credit: Credit::Any(2), root: Some(leaf(99)), ..want(1, listed.clone()) };
    machine.handle_message(&0, Message::Want(any), now);
    let found = |cids: &[Cid]| cids.iter().map(|cid| (*cid, Some(1_000_000))).collect::<Vec<_>>();
    machine.handle_located(&0, RequestId(1), found(&listed), now);
    assert_eq!(loads(&all(&mut machine)), [(0, listed[0]), (0, listed[1])]);

    // It has not heard yet what was chosen.
    serve(&mut machine, 0, 2, &listed, 1_000_000, now);

    let actions = all(&mut machine);
    assert_eq!(loads(&actions), [(0, listed[2]), (0, listed[3])]);
    assert_eq!(messages(&actions), []);
}

fn serving(peers: u32) -> (Machine, Instant) {
    let mut machine = Machine::new(Config::default(), 1);
    let now = start();
    for peer in 0..peers {
        machine.handle_connected(peer, Protocol::NATIVE, None, now);
    }
    (machine, now)
}

fn leaf(seed: u64) -> Cid {
    let mut digest = [0; 32];
    digest[24..].copy_from_slice(&seed.to_be_bytes());
    Cid::new_v1(RAW, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
}

fn want(request: u64, cids: Vec<Cid>) -> Want {
    let request = RequestId(request);
    Want { request, root: None, cids, credit: Credit::All, kind: Kind::Block, priority: 0 }
}

fn ask(machine: &mut Machine, peer: u32, request: u64, cids: Vec<Cid>, now: Instant) {
    machine.handle_message(&peer, Message::Want(want(request, cids)), now);
}

/// The peer asks for blocks that are all here.
fn serve(machine: &mut Machine, peer: u32, request: u64, cids: &[Cid], len: u32, now: Instant) {
    ask(machine, peer, request, cids.to_vec(), now);
    machine.handle_located(&peer, RequestId(request), cids.iter().map(|cid| (*cid, Some(len))).collect(), now);
}

fn all(machine: &mut Machine) -> Vec<Action<u32>> {
    std::iter::from_fn(|| machine.poll()).collect()
}

fn loads(actions: &[Action<u32>]) -> Vec<(u32, Cid)> {
    let load = |action: &Action<u32>| match action {
        Action::Load { peer, cid, .. } => Some((*peer, *cid)),
        _ => None,
    };
    actions.iter().filter_map(load).collect()
}

fn messages(actions: &[Action<u32>]) -> Vec<Message> {
    let message = |action: &Action<u32>| match action {
        Action::Send { message, .. } => Some(message.clone()),
        _ => None,
    };
    actions.iter().filter_map(message).collect()
}

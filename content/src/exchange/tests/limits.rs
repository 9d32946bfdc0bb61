//! What strangers could make grow on the asking side, one past its limit.

use std::time::{Duration, Instant};

use cid::Cid;
use multihash::Multihash;

use super::start;
use crate::block::{DAG_PB, RAW};
use crate::exchange::message::{Credit, Kind, Message, RequestId, Want};
use crate::exchange::{Action, Config, Exchange, Order, Protocol, SessionId};

type Machine = Exchange<u32>;

#[test]
fn of_257_providers_one_is_dropped() {
    let (mut machine, session, root, now) = getting();
    machine.handle_providers(&root, (0..257).collect(), now);
    assert_eq!(machine.session_report(session).unwrap().peers.len(), 256);
}

#[test]
fn at_most_8_are_dialled_at_a_time() {
    let (mut machine, _, root, now) = getting();
    machine.handle_providers(&root, (0..20).collect(), now);
    let dials = dials(&mut machine);
    assert_eq!(dials.len(), 8);
    machine.handle_connect_failed(&dials[0], "refused".to_owned(), now);
    assert_eq!(self::dials(&mut machine), [8]);
}

#[test]
fn a_dial_that_never_ends_is_given_up() {
    let (mut machine, _, root, now) = getting();
    machine.handle_providers(&root, (0..9).collect(), now);
    assert_eq!(dials(&mut machine).len(), 8);
    machine.handle_timeout(now + Duration::from_secs(31));
    assert_eq!(dials(&mut machine), [8]);
}

#[test]
fn of_129_that_say_they_have_it_one_takes_no_part() {
    let (mut machine, session, root, now) = getting();
    for peer in 0..129 {
        machine.handle_connected(peer, Protocol::NATIVE, None, now);
        machine.handle_message(&peer, Message::Have { cids: vec![root] }, now);
    }
    assert_eq!(machine.session_report(session).unwrap().peers.len(), 128);
}

#[test]
fn referrals_lead_to_16_dials_and_not_to_17() {
    let (mut machine, _, root, mut now) = getting();
    machine.handle_connected(1000, Protocol::NATIVE, None, now);
    for list in 0..4_u32 {
        machine.handle_referred(&1000, &root, (list * 16..list * 16 + 16).collect(), now);
        for peer in dials(&mut machine) {
            machine.handle_connect_failed(&peer, "refused".to_owned(), now);
        }
        now += Duration::from_secs(1);
        machine.handle_timeout(now);
    }
    dials(&mut machine);
    assert_eq!(machine.counters().dials, 16);
}

#[test]
fn of_33_askers_for_our_root_32_are_neighbours() {
    let (mut machine, _, root, now) = getting();
    all(&mut machine);
    for peer in 0..33 {
        machine.handle_connected(peer, Protocol::NATIVE, None, now);
        all(&mut machine);
        let want = Want {
            request: RequestId(1),
            root: Some(root),
            cids: vec![root],
            credit: Credit::All,
            kind: Kind::Block,
            priority: 0,
        };
        machine.handle_message(&peer, Message::Want(want), now);
        let greeted = all(&mut machine).iter().any(
            |action| matches!(action, Action::Send { message: Message::Want(want), .. } if want.kind == Kind::Have),
        );
        assert_eq!(greeted, peer < 32, "{peer}");
    }
}

#[test]
fn the_word_of_32_connected_strangers_is_asked_for_and_of_no_more() {
    let now = start();
    let mut machine = Machine::new(Config::default(), 1);
    for peer in 0..40 {
        machine.handle_connected(peer, Protocol::NATIVE, None, now);
    }
    let session = machine.open(cid(RAW, 1), Order::Any, now);
    machine.want(session, cid(RAW, 1), 0, now);
    let asked = all(&mut machine).iter().filter(|action| matches!(action, Action::Send { .. })).count();
    assert_eq!(asked, 32);
}

#[test]
fn blocks_that_nobody_asked_for_are_not_verified() {
    let (mut machine, _, root, now) = getting();
    machine.handle_connected(1, Protocol::BITSWAP, None, now);
    let stray = cid(RAW, 77);
    assert!(!machine.handle_arrived(&1, Some(&stray), 10, now));
    machine.handle_message(&1, Message::BlockHeader { request: RequestId(9), cid: stray, len: 10 }, now);
    let cancel = Message::Cancel { request: RequestId(9), cids: vec![stray] };
    assert!(all(&mut machine).contains(&Action::Send { peer: 1, message: cancel }));
    assert!(!machine.handle_arrived(&2, Some(&root), 10, now), "from a peer that is not connected");
    assert!(!machine.handle_verified(&1, &stray, 10, [].into(), now));
    assert_eq!(machine.counters().bytes_wasted, 20);
}

fn getting() -> (Machine, SessionId, Cid, Instant) {
    let now = start();
    let mut machine = Machine::new(Config::default(), 1);
    let root = cid(DAG_PB, 1);
    let session = machine.open(root, Order::Any, now);
    machine.want(session, root, 0, now);
    all(&mut machine);
    (machine, session, root, now)
}

fn cid(codec: u64, seed: u8) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &[seed; 32]).expect("32 bytes fit"))
}

fn all(machine: &mut Machine) -> Vec<Action<u32>> {
    std::iter::from_fn(|| machine.poll()).collect()
}

fn dials(machine: &mut Machine) -> Vec<u32> {
    let dial = |action: Action<u32>| match action {
        Action::Connect { peer } => Some(peer),
        _ => None,
    };
    all(machine).into_iter().filter_map(dial).collect()
}

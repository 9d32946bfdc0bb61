//! Peers that speak only Bitswap, where they are no worse than others only because we mind.

use std::time::Duration;

use super::net::Net;
use crate::exchange::message::{Credit, Kind, Message, RequestId, Want};
use crate::exchange::{Action, Config, Exchange, Order, Protocol};

#[test]
fn a_want_that_was_lost_is_said_again_after_two_seconds() {
    let mut net = Net::of(["alice", "kubo"]);
    let block = kubo_with_a_block(&mut net);
    net.search_time = Duration::from_secs(60);
    net.nodes.get_mut("kubo").unwrap().mute = true;
    net.get_from("alice", block, &["kubo"], Order::Any);
    net.run(SECOND);
    net.nodes.get_mut("kubo").unwrap().mute = false;

    net.run_until_done(&["alice"], 2 * SECOND);

    assert_eq!(net.delivered("alice"), [block]);
}

#[test]
fn who_never_answers_does_not_keep_us_from_saying_so() {
    let mut net = Net::of(["alice", "kubo", "helia"]);
    let block = kubo_with_a_block(&mut net);
    net.nodes.get_mut("helia").unwrap().protocol = Protocol::BITSWAP;
    net.connect("alice", "helia");
    for mute in ["kubo", "helia"] {
        net.nodes.get_mut(mute).unwrap().mute = true;
    }
    net.get("alice", block);

    net.run(15 * SECOND);

    let (cid, report) = net.nodes["alice"].missing.first().expect("people are told");
    assert_eq!((cid, report.asked.len()), (&block, 2));
    assert!(net.nodes["alice"].said["want"] >= 2, "one was asked for it, the other whether it has it");
    net.nodes.get_mut("kubo").unwrap().mute = false;
    net.run_until_done(&["alice"], 60 * SECOND);
}

#[test]
fn a_small_block_is_the_answer_to_whether_it_is_there() {
    let now = super::start();
    let mut machine: Exchange<&str> = Exchange::new(Config::default(), 1);
    machine.handle_connected("kubo", Protocol::BITSWAP, None, now);
    machine.handle_connected("cidra", Protocol::NATIVE, None, now);
    let small = *crate::Block::new(crate::block::RAW, vec![1; 1024].into()).cid();
    let large = *crate::Block::new(crate::block::RAW, vec![1; 1025].into()).cid();
    for peer in ["kubo", "cidra"] {
        let (request, cids) = (RequestId(1), vec![small, large]);
        let want = Want { request, root: None, cids, credit: Credit::All, kind: Kind::Have, priority: 0 };
        machine.handle_message(&peer, Message::Want(want), now);
        machine.handle_located(&peer, request, vec![(small, Some(1024)), (large, Some(1025))], now);
    }

    let actions: Vec<_> = std::iter::from_fn(|| machine.poll()).collect();

    let said = |peer, cids| Action::Send { peer, message: Message::Have { cids } };
    assert!(actions.contains(&said("kubo", vec![large])) && actions.contains(&said("cidra", vec![small, large])));
    let loads = actions.iter().filter_map(|action| match action {
        Action::Load { peer, cid, .. } => Some((*peer, *cid)),
        _ => None,
    });
    assert_eq!(loads.collect::<Vec<_>>(), [("kubo", small)]);
}

fn kubo_with_a_block(net: &mut Net) -> cid::Cid {
    net.nodes.get_mut("kubo").unwrap().protocol = Protocol::BITSWAP;
    let block = net.leaf(50_000);
    net.store("kubo", &block);
    net.connect("alice", "kubo");
    block
}

const SECOND: Duration = Duration::from_secs(1);

//! What a peer wants of us, as the machine is told of it.

use super::*;
use crate::exchange::message::{self, Kind, MAX_CIDS};

#[test]
fn wants_come_by_priority_and_kind_with_rising_ids() {
    let mut wants = Wants::default();
    let list = [(1, Kind::Block, 5), (2, Kind::Have, 9), (3, Kind::Block, 7)];
    let entries =
        list.iter().map(|(seed, kind, priority)| Entry { priority: *priority, ..want(*seed, *kind) }).collect();

    let said = wants.handle_message(Message { entries, ..Message::default() }).said;

    let asked: Vec<_> = said.iter().map(asked).collect();
    assert_eq!(asked, [(1, Kind::Have, 9, vec![cid(2)]), (2, Kind::Block, 7, vec![cid(3), cid(1)])]);
}

#[test]
fn what_is_owed_is_not_asked_for_twice_and_what_was_refused_is() {
    let mut wants = Wants::default();
    let list = |seeds: &[u16]| Message {
        entries: seeds.iter().map(|seed| want(*seed, Kind::Block)).collect(),
        ..Message::default()
    };
    wants.handle_message(list(&[1, 2]));
    assert_eq!(wants.handle_message(list(&[1, 2])), Taken::default());

    let refusal = wants.translate(message::Message::DontHave { request: NO_ID, cids: vec![cid(1)] });
    assert_eq!(refusal.unwrap().dont_haves, [cid(1)]);
    let again = wants.handle_message(list(&[1, 2])).said;
    assert_eq!(again[0], message::Message::Cancel { request: NO_ID, cids: vec![cid(1)] });
    assert_eq!(asked(&again[1]).3, [cid(1)]);

    wants.handle_sent(&cid(2));
    assert_eq!(asked(&wants.handle_message(list(&[1, 2])).said[0]).3, [cid(2)]);
}

#[test]
fn a_full_list_takes_back_what_it_does_not_name() {
    let mut wants = Wants::default();
    let list = |full, seeds: &[u16]| Message {
        full,
        entries: seeds.iter().map(|seed| want(*seed, Kind::Block)).collect(),
        ..Message::default()
    };
    wants.handle_message(list(false, &[1, 2, 3]));

    let said = wants.handle_message(list(true, &[2, 4])).said;

    let mut gone = vec![cid(1), cid(3)];
    gone.sort();
    assert_eq!(said[0], message::Message::Cancel { request: NO_ID, cids: gone });
    assert_eq!(asked(&said[1]).3, [cid(4)]);
}

#[test]
fn a_cancel_of_what_nobody_wants_is_not_passed_on_and_one_of_a_want_is() {
    let mut wants = Wants::default();
    let cancel = |seed| Entry { wish: Wish::Cancel, ..want(seed, Kind::Block) };
    wants.handle_message(Message { entries: vec![want(1, Kind::Block)], ..Message::default() });

    let entries = vec![cancel(9), cancel(1), want(2, Kind::Block), cancel(2)];
    let said = wants.handle_message(Message { entries, ..Message::default() }).said;

    let mut cids = vec![cid(1), cid(2)];
    cids.sort();
    assert_eq!(said, [message::Message::Cancel { request: NO_ID, cids }]);
}

#[test]
fn who_asked_for_the_block_after_asking_whether_it_is_there_gets_it() {
    let mut wants = Wants::default();
    wants.handle_message(Message { entries: vec![want(1, Kind::Have)], ..Message::default() });
    let said = wants.handle_message(Message { entries: vec![want(1, Kind::Block)], ..Message::default() }).said;
    assert_eq!(asked(&said[1]).1, Kind::Block);

    let more = wants.handle_message(Message { entries: vec![want(1, Kind::Have)], ..Message::default() });
    assert_eq!(more, Taken::default(), "the block is owed, which answers it");
}

#[test]
fn nobody_is_told_what_he_did_not_ask_to_hear() {
    let mut wants = Wants::default();
    let entry = Entry { send_dont_have: false, ..want(1, Kind::Have) };
    wants.handle_message(Message { entries: vec![entry, want(2, Kind::Have)], ..Message::default() });
    let cids = vec![cid(1), cid(2), cid(3)];
    let refusal = wants.translate(message::Message::DontHave { request: NO_ID, cids }).unwrap();
    assert_eq!(refusal, Message { dont_haves: vec![cid(2)], ..Message::default() });
}

#[test]
fn of_ten_thousand_wants_1024_are_kept_and_the_refused_make_room() {
    let mut wants = Wants::default();
    let entries = (0..10_000).map(|seed| want(seed, Kind::Block)).collect();
    let taken = wants.handle_message(Message { entries, ..Message::default() });
    let kept: Vec<Cid> = taken.said.iter().flat_map(|said| asked(said).3).collect();
    assert_eq!(kept.len(), Wants::MOST);
    assert_eq!(taken.answer.unwrap().dont_haves.len(), 10_000 - Wants::MOST);

    wants.translate(message::Message::DontHave { request: NO_ID, cids: vec![kept[7]] });
    let entries = vec![want(20_000, Kind::Block), want(20_001, Kind::Block)];
    let taken = wants.handle_message(Message { entries, ..Message::default() });
    assert_eq!(taken.said[0], message::Message::Cancel { request: NO_ID, cids: vec![kept[7]] });
    assert_eq!(asked(&taken.said[1]).3, [cid(20_000)]);
    assert_eq!(taken.answer.unwrap().dont_haves, [cid(20_001)]);
}

#[test]
fn long_lists_reach_the_machine_within_its_limits() {
    let dont_haves: Vec<Cid> = (0..MAX_CIDS as u16 + 1).map(cid).collect();
    let said = Wants::default().handle_message(Message { dont_haves, ..Message::default() }).said;
    let lengths = said.iter().map(|said| match said {
        message::Message::DontHave { cids, .. } => cids.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [MAX_CIDS, 1]);
}

#[test]
fn what_the_machine_says_is_said_in_entries_and_presences() {
    let mut wants = Wants::default();
    let said = message::Message::Want(message::Want {
        request: message::RequestId(4),
        root: Some(cid(9)),
        cids: vec![cid(1)],
        credit: message::Credit::All,
        kind: Kind::Have,
        priority: -3,
    });
    let entry = Entry { cid: cid(1), wish: Wish::Want(Kind::Have), priority: -3, send_dont_have: true };
    assert_eq!(wants.translate(said).unwrap().entries, [entry]);
    let cancel = wants.translate(message::Message::Cancel { request: message::RequestId(4), cids: vec![cid(1)] });
    assert_eq!(cancel.unwrap().entries, [Entry { wish: Wish::Cancel, priority: 0, send_dont_have: false, ..entry }]);
    assert_eq!(wants.translate(message::Message::Pending { bytes: 3 }), None);
}

fn asked(said: &message::Message) -> (u64, Kind, i32, Vec<Cid>) {
    match said {
        message::Message::Want(want) => (want.request.0, want.kind, want.priority, want.cids.clone()),
        other => panic!("{other:?} is no want"),
    }
}

const NO_ID: message::RequestId = message::RequestId(0);

fn want(seed: u16, kind: Kind) -> Entry {
    Entry { cid: cid(seed), wish: Wish::Want(kind), priority: 1, send_dont_have: true }
}

fn cid(seed: u16) -> Cid {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&seed.to_be_bytes());
    Cid::new_v1(RAW, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
}

use std::time::Duration;

use bytes::Bytes;
use multibase::Base;
use proptest::prelude::*;

use super::*;
use crate::dag_pb::wire::{put_bytes, put_varint};
use crate::hash::sha256;
use crate::ipld::{self, DAG_CBOR, Ipld};
use crate::path::parse_cid;

/// A key so small that its name holds it, and one so large that its name is a hash.
const SMALL: &[u8] = &[7; 36];
const LARGE: &[u8] = &[9; 91];

/// Signatures that anybody can make: what keys do is tested where keys are.
fn signature(public_key: &[u8], message: &[u8]) -> Vec<u8> {
    sha256(&[public_key, message].concat()).to_vec()
}

fn check(claim: Claim<'_>) -> bool {
    claim.signature == signature(claim.public_key, claim.message)
}

fn sign(draft: &Draft, key: &[u8]) -> Bytes {
    draft.sign(key, |message| Ok::<_, RecordError>(signature(key, message))).expect("it can be signed")
}

fn draft() -> Draft {
    Draft { value: VALUE.to_owned(), validity: at(1000), sequence: 3, ttl: Duration::from_secs(60), version_1: true }
}

const VALUE: &str = "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

fn at(seconds: u64) -> Moment {
    Moment::after_1970(Duration::from_secs(seconds))
}

fn verify(key: &[u8], bytes: &[u8]) -> Result<Record, RecordError> {
    Record::verify(&Name::of_public_key(key), bytes, at(1000), check)
}

proptest! {
    #[test]
    fn what_is_made_is_read_back(
        value in "/ip[fn]s/[a-z0-9/]{1,90}", seconds in 1000u64..9_999_999, sequence in 0..=MAX_SEQUENCE, ttl in 0..=MAX_SEQUENCE,
        version_1: bool, large: bool,
    ) {
        let key = if large { LARGE } else { SMALL };
        let draft = Draft { value, validity: at(seconds), sequence, ttl: Duration::from_nanos(ttl), version_1 };
        let bytes = sign(&draft, key);

        let record = verify(key, &bytes).expect("it is sound");

        prop_assert_eq!(record.path(), draft.value);
        prop_assert_eq!((record.validity(), record.sequence(), record.ttl()), (draft.validity, sequence, draft.ttl));
        prop_assert_eq!((record.name(), record.bytes()), (&Name::of_public_key(key), &bytes));
        prop_assert_eq!(Entry::parse(&bytes).expect("sound").has_version_1(), version_1);
    }

    #[test]
    fn no_byte_of_a_record_can_be_changed(place: prop::sample::Index, change in 1u8..) {
        let mut bytes = sign(&Draft { version_1: false, ..draft() }, SMALL).to_vec();
        let whole = bytes.clone();
        let place = place.index(bytes.len());
        bytes[place] ^= change;

        // Fields that readers leave out may hold anything; what they read is what was signed.
        if let Ok(record) = verify(SMALL, &bytes) {
            let sound = verify(SMALL, &whole).expect("sound");
            prop_assert_eq!((record.path(), record.sequence()), (sound.path(), sound.sequence()));
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes: Vec<u8>, text: String) {
        let _ = Entry::parse(&bytes);
        let _ = verify(SMALL, &bytes);
        let _ = Name::of_routing_key(&bytes);
        let _ = Name::parse(&text);
    }
}

#[test]
fn a_record_of_version_1_alone_is_refused() {
    let mut bytes = vec![];
    put_bytes(&mut bytes, 1, VALUE.as_bytes());
    put_bytes(&mut bytes, 2, &signature(SMALL, VALUE.as_bytes()));

    assert_eq!(verify(SMALL, &bytes), Err(RecordError::Missing { field: "data" }));
}

#[test]
fn a_copy_of_version_1_that_says_something_else_is_refused() {
    let sound = sign(&draft(), SMALL);
    let contradicting = |field: u32, change: &dyn Fn(&mut Vec<u8>)| {
        // The last field of a number is the one that counts.
        let mut bytes = sound.to_vec();
        change(&mut bytes);
        let Err(RecordError::Contradiction { field: found }) = verify(SMALL, &bytes) else { panic!("field {field}") };
        found
    };

    assert_eq!(contradicting(1, &|bytes| put_bytes(bytes, 1, b"/ipfs/other")), "Value");
    assert_eq!(contradicting(3, &|bytes| put_varint(bytes, 3, 1)), "ValidityType");
    assert_eq!(contradicting(4, &|bytes| put_bytes(bytes, 4, b"2099-01-01T00:00:00Z")), "Validity");
    assert_eq!(contradicting(5, &|bytes| put_varint(bytes, 5, 4)), "Sequence");
    assert_eq!(contradicting(6, &|bytes| put_varint(bytes, 6, 1)), "TTL");
}

#[test]
fn a_broken_signature_of_version_1_does_not_matter() {
    let mut bytes = sign(&draft(), SMALL).to_vec();
    put_bytes(&mut bytes, 2, b"broken");

    assert!(verify(SMALL, &bytes).is_ok());
}

#[test]
fn a_broken_or_missing_signature_of_version_2_is_refused() {
    let mut bytes = sign(&draft(), SMALL).to_vec();
    put_bytes(&mut bytes, 8, b"broken");
    assert!(matches!(verify(SMALL, &bytes), Err(RecordError::Forged { .. })));

    put_bytes(&mut bytes, 8, b"");
    assert!(matches!(verify(SMALL, &bytes), Err(RecordError::Missing { .. })));
}

#[test]
fn a_record_of_another_name_is_refused() {
    let name = |key| Name::of_public_key(key);

    let of_small = sign(&draft(), SMALL);
    assert!(matches!(verify(&[8; 36], &of_small), Err(RecordError::Forged { .. })));
    assert_eq!(verify(LARGE, &of_small), Err(RecordError::NoKey { name: name(LARGE) }));

    let of_large = sign(&draft(), LARGE);
    assert_eq!(verify(SMALL, &of_large), Err(RecordError::ForeignKey { name: name(SMALL) }));
    assert_eq!(verify(&[8; 91], &of_large), Err(RecordError::ForeignKey { name: name(&[8; 91]) }));
}

#[test]
fn a_record_is_valid_up_to_its_last_moment() {
    let bytes = sign(&draft(), SMALL);
    let verify = |now| Record::verify(&Name::of_public_key(SMALL), &bytes, now, check);

    assert!(verify(at(1000)).is_ok());
    let after = at(1000).later(Duration::from_nanos(1));
    assert_eq!(verify(after), Err(RecordError::Expired { at: at(1000) }));
}

#[test]
fn a_record_of_10_kib_is_taken_and_one_byte_more_refused() {
    let of_length = |extra: usize| {
        let draft = Draft { value: format!("/ipfs/{}", "n".repeat(extra)), version_1: false, ..draft() };
        draft.sign(SMALL, |message| Ok::<_, RecordError>(signature(SMALL, message)))
    };
    let around = of_length(5000).expect("it is below").len() - 5000;
    let longest = of_length(MAX_RECORD - around).expect("as long as it may be");

    assert_eq!(longest.len(), MAX_RECORD);
    assert!(verify(SMALL, &longest).is_ok());
    assert_eq!(of_length(MAX_RECORD - around + 1), Err(RecordError::TooLarge { length: MAX_RECORD + 1 }));
    let longer = [&longest[..], &[0]].concat();
    assert_eq!(verify(SMALL, &longer), Err(RecordError::TooLarge { length: MAX_RECORD + 1 }));
}

#[test]
fn the_better_record_has_the_higher_number_then_the_longer_life_then_the_greater_bytes() {
    let record = |draft: &Draft| verify(SMALL, &sign(draft, SMALL)).expect("sound");
    let (first, later) = (record(&draft()), record(&Draft { sequence: 4, ..draft() }));
    let longer = record(&Draft { validity: at(2000), ..draft() });
    let other = record(&Draft { value: format!("{VALUE}/x"), ..draft() });

    assert!(later.is_better_than(&first) && !first.is_better_than(&later));
    assert!(longer.is_better_than(&first) && !first.is_better_than(&longer));
    assert!(later.is_better_than(&longer) && !longer.is_better_than(&later));
    assert_ne!(other.is_better_than(&first), first.is_better_than(&other));
    assert!(!first.is_better_than(&first));
}

#[test]
fn a_value_may_be_text_a_binary_cid_or_nothing() {
    let cid = parse_cid("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy").expect("sound");

    assert_eq!(record::path_of(VALUE.as_bytes()).as_deref(), Ok(VALUE));
    assert_eq!(record::path_of(&cid.to_bytes()).as_deref(), Ok(VALUE));
    assert_eq!(record::path_of(b"").as_deref(), Ok("/ipfs/bafkqaaa"));
    assert_eq!(record::path_of(b"neither"), Err(RecordError::Value));
    assert_eq!(record::path_of(b"/ipfs/\xff"), Err(RecordError::Value));
}

#[test]
fn a_number_above_63_bits_is_refused_as_others_refuse_it() {
    let node = |sequence: i128| {
        let fields = [
            ("Value", Ipld::Bytes(VALUE.into())),
            ("Validity", Ipld::Bytes(at(1000).to_string().into_bytes())),
            ("ValidityType", Ipld::Integer(0)),
            ("Sequence", Ipld::Integer(sequence)),
            ("TTL", Ipld::Integer(0)),
        ];
        let node = Ipld::Map(fields.map(|(field, value)| (field.to_owned(), value)).into());
        ipld::encode(DAG_CBOR, &node).expect("it has a form")
    };
    for sequence in [i128::from(MAX_SEQUENCE), i128::from(MAX_SEQUENCE) + 1, -1] {
        let mut bytes = vec![];
        let data = node(sequence);
        put_bytes(&mut bytes, 8, &signature(SMALL, &[record::SIGNED, &data].concat()));
        put_bytes(&mut bytes, 9, &data);
        let expected = (sequence == i128::from(MAX_SEQUENCE)).then_some(MAX_SEQUENCE);
        assert_eq!(verify(SMALL, &bytes).ok().map(|record| record.sequence()), expected, "{sequence}");
    }
}

#[test]
fn a_name_is_read_in_all_of_its_forms() {
    for key in [SMALL, LARGE] {
        let name = Name::of_public_key(key);
        let forms = [
            name.to_string(),
            name.peer_id(),
            format!("/ipns/{name}"),
            name.in_base(Base::Base32Lower),
            name.in_base(Base::Base58Btc),
            name.in_base(Base::Base16Upper),
        ];
        for form in forms {
            assert_eq!(Name::parse(&form), Ok(name), "{form}");
        }
        assert!(name.to_string().starts_with('k'));
        assert_eq!(Name::of_routing_key(&name.routing_key()), Some(name));
        assert_eq!(name.public_key(), Some(SMALL).filter(|small| *small == key));
    }
    let of_go = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
    assert_eq!(Name::parse(of_go).expect("sound").to_string(), of_go);
}

#[test]
fn what_is_no_name_is_told() {
    assert_eq!(Name::parse(&VALUE[6..]), Err(BadName::Codec { codec: 0x55 }));
    assert!(matches!(Name::parse("example.com"), Err(BadName::NoCid(_))));
    assert!(matches!(Name::parse(""), Err(BadName::NoCid(_))));
    assert_eq!(Name::parse("12D3Koo0"), Err(BadName::Hash));
    assert_eq!(Name::parse(&"1".repeat(101)), Err(BadName::Hash));
    assert_eq!(Name::of_multihash(&[0x12, 1, 1]), Err(BadName::Hash));
    assert_eq!(Name::of_multihash(&[0, 0]), Err(BadName::Hash));
    assert_eq!(Name::of_routing_key(b"/pk/\x00\x01\x01"), None);
}

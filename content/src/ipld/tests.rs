//! What is read, what is refused, and that what is written comes back.

use std::collections::BTreeMap;

use cid::Cid;
use proptest::prelude::*;

use super::*;
use crate::block::{Block, MAX_BLOCK_SIZE};
use crate::dag_pb::{Link, Node};

const INLINE: &[u8] = &[0xd8, 0x2a, 0x45, 0, 1, 0x55, 0, 0];

fn cbor(bytes: &[u8]) -> Result<Ipld, NodeError> {
    let data = Bytes::copy_from_slice(bytes);
    let node = decode(DAG_CBOR, &data);
    // Both readers agree about what there is, but for what only the one that builds can see.
    match (&node, links(DAG_CBOR, &data)) {
        (Ok(node), links) => assert_eq!(links.expect("it was read").len(), links_of(node).len()),
        (Err(NodeError::Malformed { why, .. }), links) => {
            assert!(links.is_err() || why.contains("UTF-8") || why.contains("twice"), "{bytes:02x?}");
        }
        (Err(other), _) => panic!("{other}"),
    }
    node
}

fn links_of(node: &Ipld) -> Vec<Cid> {
    match node {
        Ipld::Link(cid) => vec![*cid],
        Ipld::List(items) => items.iter().flat_map(links_of).collect(),
        Ipld::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            entries.into_iter().flat_map(|(_, value)| links_of(value)).collect()
        }
        _ => Vec::new(),
    }
}

fn json(text: &str) -> Result<Ipld, NodeError> {
    decode(DAG_JSON, &Bytes::copy_from_slice(text.as_bytes()))
}

fn node() -> impl Strategy<Value = Ipld> {
    let cid = prop::collection::vec(any::<u8>(), 0..9).prop_map(|data| *Block::new(RAW, data.into()).cid());
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|number| Ipld::Integer(number.into())),
        any::<u64>().prop_map(|number| Ipld::Integer(number.into())),
        prop::num::f64::NORMAL.prop_map(Ipld::Float),
        any::<String>().prop_map(Ipld::String),
        any::<Vec<u8>>().prop_map(Ipld::Bytes),
        cid.prop_map(Ipld::Link),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let key = prop_oneof!["[a-z]{0,3}", any::<String>(), Just("/".to_owned()), Just("bytes".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Ipld::List),
            prop::collection::btree_map(key, inner, 0..6).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #[test]
    fn nodes_come_back_in_both_languages(node in node()) {
        let bytes = encode(DAG_CBOR, &node).expect("dag-cbor has all of it");
        prop_assert_eq!(&decode(DAG_CBOR, &bytes).expect("written here"), &node);
        prop_assert_eq!(links(DAG_CBOR, &bytes).expect("written here").to_vec(), links_of(&node));
        let strict: Ipld = serde_ipld_dagcbor::from_slice(&bytes).expect("canonical");
        prop_assert_eq!(&strict, &node);

        if let Ok(text) = encode(DAG_JSON, &node) {
            prop_assert_eq!(decode(DAG_JSON, &text).expect("written here"), with_whole_numbers(node.clone()));
            let mut found = links(DAG_JSON, &text).expect("written here").to_vec();
            let mut expected = links_of(&node);
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }

    /// What the strict reader of the IPLD team's crate takes, this one takes for the same.
    #[test]
    fn any_bytes_are_a_node_or_an_error(bytes: Vec<u8>, text: String) {
        let ours = cbor(&bytes);
        if let Ok(theirs) = serde_ipld_dagcbor::from_slice::<Ipld>(&bytes) {
            prop_assert_eq!(ours.expect("canonical"), theirs);
        }
        let _ = json(&text);
    }
}

/// What becomes of floats in dag-json.
fn with_whole_numbers(node: Ipld) -> Ipld {
    match node {
        Ipld::Float(number) if number.fract() == 0.0 && number.abs() < 2f64.powi(63) => {
            Ipld::Integer(number.to_string().parse().expect("digits"))
        }
        Ipld::List(items) => Ipld::List(items.into_iter().map(with_whole_numbers).collect()),
        Ipld::Map(entries) => {
            Ipld::Map(entries.into_iter().map(|(key, value)| (key, with_whole_numbers(value))).collect())
        }
        node => node,
    }
}

/// `ipfs dag put --input-codec dag-json` of Kubo 0.43, with `--store-codec` dag-json and dag-cbor.
#[test]
fn numbers_and_texts_are_written_as_kubo_writes_them() {
    let expected = [
        (r#"1.5"#, r#"1.5"#, "fb3ff8000000000000"),
        (r#"1.0"#, r#"1"#, "fb3ff0000000000000"),
        (r#"-1.0"#, r#"-1"#, "fbbff0000000000000"),
        (r#"-0.0"#, r#"-0"#, "fb8000000000000000"),
        (r#"-0"#, r#"0"#, "00"),
        (r#"0.0"#, r#"0"#, "fb0000000000000000"),
        (r#"[-0,-0.0,-0.5]"#, r#"[0,-0,-0.5]"#, "8300fb8000000000000000fbbfe0000000000000"),
        (r#"0.1"#, r#"0.1"#, "fb3fb999999999999a"),
        (r#"1e3"#, r#"1000"#, "fb408f400000000000"),
        (r#"1E3"#, r#"1000"#, "fb408f400000000000"),
        (r#"1e-7"#, r#"1e-7"#, "fb3e7ad7f29abcaf48"),
        (r#"1.5e-7"#, r#"1.5e-7"#, "fb3e8421f5f40d8376"),
        (r#"0.000001"#, r#"0.000001"#, "fb3eb0c6f7a0b5ed8d"),
        (r#"1e-400"#, r#"0"#, "fb0000000000000000"),
        (r#"0.30000000000000004"#, r#"0.30000000000000004"#, "fb3fd3333333333334"),
        (r#"4.35"#, r#"4.35"#, "fb4011666666666666"),
        (r#"1234567.0"#, r#"1234567"#, "fb4132d68700000000"),
        (r#"12345678901234567.0"#, r#"12345678901234568"#, "fb4345ee2a2eb5a5c4"),
        (r#"9007199254740993.0"#, r#"9007199254740992"#, "fb4340000000000000"),
        (r#"4611686018427387904.0"#, r#"4611686018427388000"#, "fb43d0000000000000"),
        (r#"1e18"#, r#"1000000000000000000"#, "fb43abc16d674ec800"),
        (r#"1e21"#, r#"1e+21"#, "fb444b1ae4d6e2ef50"),
        (r#"1.5e300"#, r#"1.5e+300"#, "fb7e41eb2d66005835"),
        (r#"-1e21"#, r#"-1e+21"#, "fbc44b1ae4d6e2ef50"),
        (r#"1.7976931348623157e308"#, r#"1.7976931348623157e+308"#, "fb7fefffffffffffff"),
        (r#"5e-324"#, r#"5e-324"#, "fb0000000000000001"),
        (r#"2.2250738585072014e-308"#, r#"2.2250738585072014e-308"#, "fb0010000000000000"),
        (r#"-9223372036854775808"#, r#"-9223372036854775808"#, "3b7fffffffffffffff"),
        (r#"9223372036854775807"#, r#"9223372036854775807"#, "1b7fffffffffffffff"),
        (r#"[1.0,2.50,100.0]"#, r#"[1,2.5,100]"#, "83fb3ff0000000000000fb4004000000000000fb4059000000000000"),
        (r#"{"b":1.0e2,"aa":[],"a":{}}"#, r#"{"a":{},"aa":[],"b":100}"#, "a36161a06162fb405900000000000062616180"),
        (
            r#""a\nb\tc\rd\be\ff\u0000\u001f""#,
            r#""a\nb\tc\rd\u0008e\u000cf\u0000\u001f""#,
            "6d610a6209630d6408650c66001f",
        ),
        (r#""<>&\/\\ \"""#, r#""<>&/\\ \"""#, "673c3e262f5c2022"),
        (r#""\u2028 \u2029""#, r#""\u2028 \u2029""#, "67e280a820e280a9"),
        (r#""é\u00e9😀\ud83d\ude00""#, r#""éé😀😀""#, "6cc3a9c3a9f09f9880f09f9880"),
        (r#"{"\u2028":null,"\b":true}"#, r#"{"\u0008":true,"\u2028":null}"#, "a26108f563e280a8f6"),
        (r#"{"/":{"bytes":"AQI"}}"#, r#"{"/":{"bytes":"AQI"}}"#, "420102"),
        (r#"{"/":"bafkqaaa"}"#, r#"{"/":"bafkqaaa"}"#, "d82a450001550000"),
        (r#"{"é":1,"z":2,"Z":3}"#, r#"{"Z":3,"z":2,"é":1}"#, "a3615a03617a0262c3a901"),
        (
            r#"[0,23,24,255,256,65535,65536,4294967295,4294967296,-1,-24,-25,-256,-257]"#,
            r#"[0,23,24,255,256,65535,65536,4294967295,4294967296,-1,-24,-25,-256,-257]"#,
            "8e0017181818ff19010019ffff1a000100001affffffff1b00000001000000002037381838ff390100",
        ),
    ];
    for (given, in_json, in_cbor) in expected {
        let node = json(given).expect(given);
        assert_eq!(encode(DAG_JSON, &node).expect(given)[..], *in_json.as_bytes(), "{given}");
        let in_cbor = data_encoding::HEXLOWER.decode(in_cbor.as_bytes()).expect("hexadecimal");
        assert_eq!(encode(DAG_CBOR, &node).expect(given)[..], in_cbor, "{given}");
    }
    // Kubo writes an integer that is too large to be read again.
    for large in ["1e+20", "9.223372036854776e+18", "-9.223372036854776e+18"] {
        let node = json(large).expect("a float");
        assert_eq!(encode(DAG_JSON, &node).expect("a float")[..], *large.as_bytes());
    }
}

/// What Kubo 0.43 takes.
#[test]
fn reads_dag_cbor_that_is_not_canonical_where_the_field_does() {
    let map = |entries: &[(&str, i128)]| {
        Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), Ipld::Integer(*value))).collect())
    };
    assert_eq!(cbor(&[0xa2, 0x62, b'a', b'a', 1, 0x61, b'b', 2]), Ok(map(&[("aa", 1), ("b", 2)])));
    for one in [&[0xf9, 0x3c, 0][..], &[0xfa, 0x3f, 0x80, 0, 0], &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(cbor(one), Ok(Ipld::Float(1.0)));
        assert_eq!(encode(DAG_CBOR, &Ipld::Float(1.0)).expect("finite")[..], [0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(cbor(&[0xf9, 0x00, 0x01]), Ok(Ipld::Float(2f64.powi(-24))));
    assert_eq!(cbor(&[0xf7]), Ok(Ipld::Null));
    assert_eq!(cbor(INLINE), Ok(Ipld::Link("bafkqaaa".parse().expect("a CID"))));
    assert_eq!(cbor(&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Ok(Ipld::Integer(-(1 << 64))));
}

#[test]
fn refuses_what_no_writer_of_dag_cbor_may_write() {
    let why = |bytes: &[u8]| match cbor(bytes) {
        Err(NodeError::Malformed { why, .. }) => why,
        other => panic!("{bytes:02x?}: {other:?}"),
    };
    for indefinite in [&[0x9f, 1, 0xff][..], &[0xbf, 0x61, b'a', 1, 0xff], &[0x7f, 0x61, b'a', 0xff], &[0x5f, 0xff]] {
        assert!(why(indefinite).contains("indefinite"));
    }
    for long in
        [&[0x18, 0x17][..], &[0x19, 0, 0xff], &[0x1a, 0, 0, 0xff, 0xff], &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]
    {
        assert!(why(long).contains("longer than it must be"));
    }
    assert!(why(&[0x58, 1, 0]).contains("longer") && why(&[0xd9, 0, 0x2a, 0x41, 0]).contains("longer"));
    assert!(why(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]).contains("twice"));
    assert!(why(&[0xa1, 1, 2]).contains("key"));
    assert!(why(&[0xf9, 0x7e, 0]).contains("infinite") && why(&[0xfa, 0x7f, 0x80, 0, 0]).contains("infinite"));
    assert!(why(&[0xc1, 1]).contains("tag") && why(&[0xd8, 0x2b, 0x41, 0]).contains("tag"));
    for bad in [
        &[0xd8, 0x2a, 0x44, 1, 0x55, 0, 0][..],
        &[0xd8, 0x2a, 0x40],
        &[0xd8, 0x2a, 1],
        &[0xd8, 0x2a, 0x46, 0, 1, 0x55, 0, 0, 0],
    ] {
        assert!(why(bad).contains("CID"));
    }
    assert!(why(&[1, 1]).contains("behind the end"));
    assert!(
        why(&[]).contains("cut short")
            && why(&[0x42, 1]).contains("cut short")
            && why(&[0x9b, 0xff, 0, 0, 0, 0, 0, 0, 0]).contains("cut short")
    );
    assert!(why(&[0xe0]).contains("simple") && why(&[0xf8, 0x20]).contains("simple") && why(&[0x1c]).contains("head"));
    assert!(why(&[0x61, 0xff]).contains("UTF-8"));
}

#[test]
fn reads_the_deepest_node_and_refuses_one_level_more() {
    let nested = |depth: usize| [vec![0x81; depth], vec![1]].concat();
    assert!(cbor(&nested(MAX_DEPTH)).is_ok());
    assert!(cbor(&nested(MAX_DEPTH + 1)).is_err());

    let text = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    for inner in ["1", "{\"/\":\"bafkqaaa\"}", "{\"/\":{\"bytes\":\"\"}}", "[]"] {
        let deepest = json(&text(MAX_DEPTH, inner)).expect("at the limit");
        let written = encode(DAG_CBOR, &deepest).expect("it has a form");
        assert_eq!(decode(DAG_CBOR, &written), Ok(deepest));
        assert!(json(&text(MAX_DEPTH + 1, inner)).is_err());
    }
    assert!(json(&"[".repeat(1 << 20)).is_err() && json(&"{\"a\":".repeat(1 << 18)).is_err());
    assert!(cbor(&[0x81].repeat(1 << 20)).is_err());
}

/// Each would be a call within a call: a stack has room for some ten thousand.
#[test]
fn tags_one_behind_the_other_are_refused_at_the_second() {
    let block = Bytes::from([0xd8, 42].repeat(MAX_BLOCK_SIZE / 2));

    assert!(decode(DAG_CBOR, &block).is_err());
    assert!(links(DAG_CBOR, &block).is_err());
}

/// A length is never believed: nothing is set aside for what is not there.
#[test]
fn a_head_that_lies_about_its_length_is_refused_at_once() {
    for head in [0x9a, 0xba, 0x5a, 0x7a] {
        assert!(cbor(&[head, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
    assert!(cbor(&[[0x9a, 0, 0x20, 0, 0].as_slice(), &[0x9a, 0, 0x1f, 0, 0]].concat()).is_err());
}

#[test]
fn reads_dag_json_as_people_write_it() {
    assert_eq!(json(" { \"b\" : 1 , \"a\" : [ true, null ] } "), json("{\"a\":[true,null],\"b\":1}"));
    assert_eq!(json("{\"/\":\"bafkqaaa\"}"), Ok(Ipld::Link("bafkqaaa".parse().expect("a CID"))));
    for text in ["{\"/\":{\"bytes\":\"aGVsbG8\"}}", "{\"/\":{\"bytes\":\"aGVsbG8=\"}}"] {
        assert_eq!(json(text), Ok(Ipld::Bytes(b"hello".to_vec())));
    }
    for map in ["{\"/\":1}", "{\"/\":\"bafkqaaa\",\"x\":1}", "{\"/\":{\"bytes\":\"aGVsbG8\",\"x\":1}}", "{\"/\":{}}"] {
        let node = json(map).expect("a map");
        assert!(matches!(node, Ipld::Map(_)), "{map}");
        assert_eq!(encode(DAG_JSON, &node).expect("it is not reserved")[..], *map.as_bytes());
    }
    assert_eq!(json("18446744073709551615"), Ok(Ipld::Integer(u64::MAX.into())));
    assert_eq!(json("1e3"), Ok(Ipld::Float(1000.0)));
    assert_eq!(json("\"1234567890123456789012\\\"345\""), Ok(Ipld::String("1234567890123456789012\"345".to_owned())));
}

#[test]
fn refuses_dag_json_that_would_be_read_as_something_else() {
    for text in [
        "{\"a\":1,\"a\":2}",
        "{\"/\":\"no CID\"}",
        "{\"/\":{\"bytes\":\"%\"}}",
        "18446744073709551616",
        "-9223372036854775809",
        "1e999",
        "NaN",
        "[1,2] x",
        "[1,]",
        "",
        "{1:2}",
        "\"\\ud800\"",
        "\u{feff}1",
    ] {
        assert!(json(text).is_err(), "{text}");
    }
    assert!(decode(DAG_JSON, &Bytes::from_static(b"\"\xff\"")).is_err());
}

#[test]
fn a_map_that_dag_json_has_no_form_for_is_not_written() {
    let map = |key: &str, value| Ipld::Map(BTreeMap::from([(key.to_owned(), value)]));
    let text = Ipld::String("aGVsbG8".to_owned());

    assert!(encode(DAG_JSON, &map("/", text.clone())).is_err());
    assert!(encode(DAG_JSON, &Ipld::List(vec![map("/", map("bytes", text))])).is_err());
    assert!(
        encode(DAG_JSON, &Ipld::Float(f64::NAN)).is_err() && encode(DAG_CBOR, &Ipld::Float(f64::INFINITY)).is_err()
    );
}

#[test]
fn dag_pb_has_the_keys_of_its_specification() {
    let cid = *Block::new(RAW, Bytes::from_static(b"leaf")).cid();
    let link = |name: &'static str, tsize| Link { cid, name: Bytes::from_static(name.as_bytes()), tsize };
    let pb = Node { links: vec![link("a", 4), link("b", 5)], data: Some(Bytes::from_static(&[8, 1])) };

    let node = decode(DAG_PB, &pb.encode()).expect("written here");

    let text = encode(DAG_JSON, &node).expect("it has a form");
    let link = |name, tsize| format!("{{\"Hash\":{{\"/\":\"{cid}\"}},\"Name\":\"{name}\",\"Tsize\":{tsize}}}");
    let expected =
        format!("{{\"Data\":{{\"/\":{{\"bytes\":\"CAE\"}}}},\"Links\":[{},{}]}}", link("a", 4), link("b", 5));
    assert_eq!(text, expected.as_bytes());
    assert_eq!(encode(DAG_PB, &node), Ok(pb.encode()));
    for wrong in
        ["{}", "[]", "{\"Links\":[],\"x\":1}", "{\"Links\":[{\"Name\":\"a\"}]}", "{\"Links\":[],\"Data\":\"x\"}"]
    {
        assert!(encode(DAG_PB, &json(wrong).expect("JSON")).is_err(), "{wrong}");
    }
}

#[test]
fn codecs_without_links_have_none_and_unknown_ones_say_so() {
    let data = Bytes::from_static(b"{\"/\":\"bafkqaaa\"}");
    for codec in [RAW, CBOR, JSON, LIBP2P_KEY] {
        assert_eq!(links(codec, &data).map(|links| links.len()), Ok(0));
    }
    assert_eq!(links(DAG_JSON, &data).map(|links| links.len()), Ok(1));
    assert!(matches!(decode(JSON, &data), Ok(Ipld::Map(_))));
    assert_eq!(links(0x85, &data), Err(NodeError::UnknownCodec { code: 0x85 }));
    assert!(Block::new(0x78, data).links().is_err());
}

#[test]
fn paths_lead_to_values_and_end_at_links() {
    let node = json("{\"a\":{\"b\":[1,{\"/\":\"bafkqaaa\"},{\"x\":2}]},\"0\":null}").expect("JSON");
    let cid: Cid = "bafkqaaa".parse().expect("a CID");
    let path = |text: &str| text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let to = |text: &str| walk(&node, &path(text));

    assert_eq!(to("a/b/0"), Ok(Walked::Value(&Ipld::Integer(1))));
    assert_eq!(to("0"), Ok(Walked::Value(&Ipld::Null)));
    assert_eq!(to(""), Ok(Walked::Value(&node)));
    assert_eq!(to("a/b/1"), Ok(Walked::Link { cid, used: 3 }));
    assert_eq!(to("a/b/1/further/down"), Ok(Walked::Link { cid, used: 3 }));
    assert_eq!(to("a/b/3"), Err(PathFailure::NoSuchKey { segment: "3".to_owned() }));
    assert_eq!(to("z"), Err(PathFailure::NoSuchKey { segment: "z".to_owned() }));
    assert_eq!(to("0/x"), Err(PathFailure::NotAContainer { segment: "x".to_owned() }));
}

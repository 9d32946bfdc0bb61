mod list;

use bytes::{BufMut, BytesMut};
use cid::Cid;
use multihash::Multihash;
use proptest::prelude::*;

use super::*;
use crate::Block;
use crate::block::{DAG_PB, MAX_BLOCK_SIZE, RAW};
use crate::hash::{Expect, verify_many};

/// Written by boxo 0.42.1, of the raw blocks "a" and "b".
#[test]
fn what_boxo_writes_is_read() {
    let (a, b) = (block(b"a"), block(b"b"));
    let entry = |cid: &Block, wish, priority, send_dont_have| Message {
        entries: vec![Entry { cid: *cid.cid(), wish, priority, send_dont_have }],
        ..Message::default()
    };
    let want = Message { full: true, ..entry(&a, Wish::Want(Kind::Block), 7, true) };
    let messages = [
        ("300a2e0a2a0a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb100728011001", want),
        (
            "370a350a330a24015512203e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d10ffffffffffffffffff012001",
            entry(&b, Wish::Want(Kind::Have), -1, false),
        ),
        (
            "2c0a2a0a280a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb1801",
            entry(&a, Wish::Cancel, 0, false),
        ),
        (
            "2a0a0022260a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
            Message { haves: vec![*a.cid()], ..Message::default() },
        ),
        (
            "2c0a0022280a24015512203e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d1001",
            Message { dont_haves: vec![*b.cid()], ..Message::default() },
        ),
        ("040a021001", Message { full: true, ..Message::default() }),
    ];
    for (hex, message) in messages {
        assert_eq!(read_all(&unhex(hex)).unwrap(), [Read::Message(message)], "{hex}");
    }

    let pending = Read::Message(Message { pending: 300, ..Message::default() });
    assert_eq!(read_all(&unhex("100a001a090a040155122012016128ac02")).unwrap(), [Read::Block(a), pending]);
    assert_eq!(read_all(&unhex("050a00120161")).unwrap(), [Read::Block(Block::new_v0(b"a".to_vec().into()))]);
    assert_eq!(read_all(&unhex("0a0a001a060a0401551220")).unwrap(), [Read::Block(block(b""))]);
}

#[test]
fn blocks_come_back_in_every_dialect() {
    let blocks = [block(b"leaf"), Block::new_v0(b"node".to_vec().into()), block(&vec![7; MAX_BLOCK_SIZE]), block(b"")];
    for name in PROTOCOLS {
        let dialect = Dialect::of(name).unwrap();
        let read = read_all(&bundle(&blocks, 9, dialect)).unwrap();

        let bare = |block: &Block| Block::new_v0(block.data().clone());
        let sent = blocks.iter().map(|block| if dialect == Dialect::Bare { bare(block) } else { block.clone() });
        let mut expected: Vec<Read> = sent.map(Read::Block).collect();
        if dialect == Dialect::Presence {
            expected.push(Read::Message(Message { pending: 9, ..Message::default() }));
        }
        assert!(read == expected, "{name}");
    }
    assert_eq!(Dialect::of("/ipfs/bitswap/1.3.0"), None);
}

#[test]
fn a_message_of_100_megabytes_is_refused_when_it_is_announced() {
    let announce = |len: usize| {
        let mut head = BytesMut::new();
        put_number(len as u64, &mut head);
        read_all(&head)
    };
    assert_eq!(announce(MAX_MESSAGE).unwrap(), []);
    assert!(matches!(announce(MAX_MESSAGE + 1), Err(WireError::MessageTooLarge { .. })));
    assert!(matches!(announce(100_000_000), Err(WireError::MessageTooLarge { len: 100_000_000 })));
}

#[test]
fn a_block_of_3_mebibytes_is_refused_when_it_is_announced() {
    let announce = |len: usize, dialect| {
        let head = heads(&[(*block(b"a").cid(), len)], 0, dialect).remove(0);
        read_all(&head)
    };
    for dialect in [Dialect::Presence, Dialect::Prefixed, Dialect::Bare] {
        assert_eq!(announce(MAX_BLOCK_SIZE, dialect).unwrap(), []);
        assert!(matches!(announce(MAX_BLOCK_SIZE + 1, dialect), Err(WireError::BlockTooLarge { .. })));
        assert!(matches!(announce(3 << 20, dialect), Err(WireError::BlockTooLarge { len: 3_145_728 })));
    }
}

#[test]
fn a_cid_of_200_bytes_is_left_out_and_the_others_of_its_message_are_not() {
    let other = *block(b"a").cid();
    let mut long = vec![0x01, 0x55, 0x00];
    put_number(194, &mut long);
    long.resize(200, 7);
    for bytes in [long, vec![7; 600], vec![], other.to_bytes()[..20].to_vec()] {
        let mut list = Vec::new();
        for cid in [&bytes, &other.to_bytes()] {
            let mut entry = Vec::new();
            put_field(1, cid, &mut entry);
            put_field(1, &entry, &mut list);
        }
        let mut message = Vec::new();
        put_field(1, &list, &mut message);
        put_field(
            4,
            &{
                let mut presence = Vec::new();
                put_field(1, &bytes, &mut presence);
                presence
            },
            &mut message,
        );
        let mut framed = Vec::new();
        put_number(message.len() as u64, &mut framed);
        framed.extend_from_slice(&message);

        let read = read_all(&framed).unwrap();

        let entry = Entry { cid: other, wish: Wish::Want(Kind::Block), priority: 0, send_dont_have: false };
        assert_eq!(read, [Read::Message(Message { entries: vec![entry], ..Message::default() })]);
    }
}

#[test]
fn what_is_beyond_the_limits_of_a_message_is_left_out() {
    let cid = *block(b"a").cid();
    let entry = Entry { cid, wish: Wish::Cancel, priority: 0, send_dont_have: false };
    let message = Message {
        entries: vec![entry; MAX_ENTRIES + 1],
        haves: vec![cid; MAX_PRESENCES],
        dont_haves: vec![cid],
        ..Message::default()
    };
    let mut out = BytesMut::new();
    encode(&message, Dialect::Presence, &mut out);
    let [Read::Message(read)] = &read_all(&out).unwrap()[..] else { panic!("one message") };
    assert_eq!((read.entries.len(), read.haves.len(), read.dont_haves.len()), (MAX_ENTRIES, MAX_PRESENCES, 0));
}

#[test]
fn fields_that_nobody_knows_are_passed_over_and_lies_about_lengths_are_not() {
    let mut message = Vec::new();
    put_field(9, &[7; 2000], &mut message);
    message.extend_from_slice(&[0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4d, 1, 2, 3, 4, 0x48, 5, 0x28, 3]);
    let mut framed = Vec::new();
    put_number(message.len() as u64, &mut framed);
    framed.extend_from_slice(&message);
    let expected = Read::Message(Message { pending: 3, ..Message::default() });
    assert_eq!(read_all(&framed).unwrap(), [expected]);

    for hex in ["020a05", "0112", "030a0112", "021a09", "050a00120261", "010b"] {
        assert!(read_all(&unhex(hex)).is_err(), "{hex}");
    }
    for hex in ["031a010a", "051a03120161", "071a050a030155a1"] {
        assert!(read_all(&unhex(hex)).is_err(), "{hex}: a block without a prefix");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        messages in prop::collection::vec(any_message(), 0..6),
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..6),
        cut in 1_usize..2000,
    ) {
        let blocks: Vec<Block> = blocks.iter().map(|data| block(data)).collect();
        let mut out = BytesMut::new();
        messages.iter().for_each(|message| encode(message, Dialect::Presence, &mut out));
        out.extend_from_slice(&bundle(&blocks, 0, Dialect::Presence));

        let written = messages.into_iter().filter(|message| !message.is_empty()).map(Read::Message);
        let written: Vec<Read> = written.chain(blocks.into_iter().map(Read::Block)).collect();

        prop_assert_eq!(&read_all(&out).unwrap(), &written);
        prop_assert_eq!(&read_in_pieces(&out, cut).unwrap(), &written);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_all(&bytes);
        let mut framed = BytesMut::new();
        put_number(bytes.len() as u64, &mut framed);
        framed.extend_from_slice(&bytes);
        let _ = read_all(&framed);
    }
}

/// A frame, a block put together.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Block(Block),
    Message(Message),
}

fn read_all(bytes: &[u8]) -> Result<Vec<Read>, WireError> {
    read_in_pieces(bytes, usize::MAX)
}

fn read_in_pieces(bytes: &[u8], cut: usize) -> Result<Vec<Read>, WireError> {
    let (mut decoder, mut held, mut data, mut read) = (Decoder::default(), vec![], vec![], vec![]);
    for piece in bytes.chunks(cut.min(bytes.len()).max(1)) {
        held.extend_from_slice(piece);
        let mut rest = &held[..];
        while let Some(frame) = decoder.decode(&mut rest)? {
            match frame {
                Frame::Data { len, data: piece } => {
                    data.extend_from_slice(piece);
                    assert!(data.len() <= len);
                }
                Frame::Block(prefix) => {
                    let proven =
                        verify_many(vec![(Expect::Prefix(prefix), std::mem::take(&mut data).into())]).remove(0);
                    read.extend(proven.ok().map(Read::Block));
                }
                Frame::Message(message) => read.push(Read::Message(message)),
            }
        }
        assert!(rest.len() <= 1024, "{} bytes are waited for", rest.len());
        held = rest.to_vec();
    }
    Ok(read)
}

fn bundle(blocks: &[Block], pending: u64, dialect: Dialect) -> Vec<u8> {
    let lengths: Vec<(Cid, usize)> = blocks.iter().map(|block| (*block.cid(), block.data().len())).collect();
    let heads = heads(&lengths, pending, dialect);
    heads.iter().zip(blocks).flat_map(|(head, block)| [&head[..], &block.data()[..]].concat()).collect()
}

fn put_field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_number(number << 3 | 2, out);
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_number(number: u64, out: &mut impl BufMut) {
    out.put_slice(unsigned_varint::encode::u64(number, &mut unsigned_varint::encode::u64_buffer()));
}

fn unhex(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn block(data: &[u8]) -> Block {
    Block::new(RAW, data.to_vec().into())
}

fn any_cid() -> impl Strategy<Value = Cid> {
    (prop_oneof![Just(RAW), Just(DAG_PB)], any::<u8>())
        .prop_map(|(codec, seed)| Cid::new_v1(codec, Multihash::wrap(0x12, &[seed; 32]).expect("32 bytes fit")))
}

fn any_message() -> impl Strategy<Value = Message> {
    let wish = prop_oneof![Just(Wish::Cancel), Just(Wish::Want(Kind::Have)), Just(Wish::Want(Kind::Block))];
    let entry = (any_cid(), wish, any::<i32>(), any::<bool>())
        .prop_map(|(cid, wish, priority, send_dont_have)| Entry { cid, wish, priority, send_dont_have });
    let cids = || prop::collection::vec(any_cid(), 0..20);
    (any::<bool>(), prop::collection::vec(entry, 0..40), cids(), cids(), 0..u64::from(i32::MAX as u32))
        .prop_map(|(full, entries, haves, dont_haves, pending)| Message { full, entries, haves, dont_haves, pending })
}

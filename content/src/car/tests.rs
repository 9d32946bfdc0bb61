//! What comes back, and what files of strangers may not do.

use bytes::Bytes;
use cid::{Cid, Version};
use proptest::prelude::*;

use super::*;
use crate::block::{Block, RAW};
use crate::hash::{Function, LeafKind};
use crate::ipld;

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20),
        v0: bool,
        roots in 0usize..4,
        piece in 1usize..700,
        wrapped: bool,
    ) {
        let block = |data: Vec<u8>| if v0 { Block::new_v0(data.into()) } else { Block::new(RAW, data.into()) };
        let blocks: Vec<Block> = data.into_iter().map(block).collect();
        let roots: Vec<Cid> = cids(&blocks).into_iter().take(roots).collect();
        let file = write(&roots, &blocks);
        let file = if wrapped { wrap(&file) } else { file };

        let (sections, found, end) = read(&file, piece);

        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(found, roots);
        let same = sections.iter().zip(&blocks).all(|(a, b)| a.cid == *b.cid() && a.data == b.data());
        prop_assert!(same && sections.len() == blocks.len());
    }

    #[test]
    fn any_bytes_come_to_an_end(file: Vec<u8>, piece in 1usize..40) {
        let (sections, ..) = read(&file, piece);
        prop_assert!(sections.len() <= file.len());
    }
}

#[test]
fn a_file_cut_short_anywhere_gives_what_is_whole_and_an_error() {
    let blocks = blocks();
    let file = write(&cids(&blocks)[..1], &blocks);
    let ends: Vec<usize> = (0..=blocks.len()).map(|count| write(&cids(&blocks)[..1], &blocks[..count]).len()).collect();
    for cut in 0..file.len() {
        for (file, shift) in [(&file[..cut], 0), (&wrap(&file)[..cut + WINDOW], WINDOW)] {
            let (sections, _, end) = read(file, 37);

            assert_eq!(sections.len(), ends[1..].iter().filter(|end| **end <= cut).count(), "cut at {cut}");
            let last = sections.last().map(|section| section.cid);
            let is_whole = shift == 0 && ends.contains(&cut);
            let expected = CarError::CutShort { offset: (cut + shift) as u64, last };
            assert_eq!(end, if is_whole { Ok(()) } else { Err(expected) }, "cut at {cut} of {shift}");
        }
    }
}

#[test]
fn a_section_is_refused_by_what_it_claims_before_its_bytes_come() {
    let head = |length: u64| {
        let mut buffer = unsigned_varint::encode::u64_buffer();
        [&header(&[])[..], unsigned_varint::encode::u64(length, &mut buffer)].concat()
    };
    let offset = header(&[]).len() as u64;
    for length in [MAX_SECTION as u64 + 1, 10_000_000_000, u64::MAX >> 1] {
        assert_eq!(read(&head(length), 1).2, Err(CarError::TooLarge { offset, length, last: None }));
    }
    assert!(matches!(read(&head(MAX_SECTION as u64), 1).2, Err(CarError::CutShort { .. })));
    assert_eq!(read(&head(0), 1).2, Err(CarError::BadCid { offset }));
}

#[test]
fn takes_the_largest_block_and_refuses_one_byte_more() {
    let data = Bytes::from(vec![7; MAX_BLOCK_SIZE + 1]);
    let file = |data: Bytes| write(&[], &[Block::new(RAW, data)]);

    assert_eq!(read(&file(data.slice(1..)), 65_536).2, Ok(()));
    assert!(matches!(read(&file(data), 65_536).2, Err(CarError::TooLarge { last: None, .. })));
}

#[test]
fn lengths_are_as_short_as_they_can_be() {
    let offset = header(&[]).len() as u64;
    for varint in [&[0x80, 0][..], &[0xff; 9], &[0xa5, 0x80, 0]] {
        let file = [&header(&[])[..], varint].concat();
        assert_eq!(read(&file, 1).2, Err(CarError::Varint { offset, last: None }), "{varint:?}");
        assert_eq!(read(varint, 1).2, Err(CarError::Varint { offset: 0, last: None }), "{varint:?}");
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let file = |body: &[u8]| [&[body.len() as u8][..], body].concat();
    let cbor = |text: &str| {
        let node = ipld::decode(ipld::DAG_JSON, &Bytes::copy_from_slice(text.as_bytes())).expect("JSON");
        file(&ipld::encode(ipld::DAG_CBOR, &node).expect("it has a form"))
    };
    for text in [
        "{}",
        "[]",
        "{\"roots\":[]}",
        "{\"version\":1}",
        "{\"version\":1,\"roots\":{}}",
        "{\"version\":1,\"roots\":[\"bafkqaaa\"]}",
        "{\"version\":\"1\",\"roots\":[]}",
        "{\"version\":1,\"roots\":[],\"x\":1}",
        "{\"version\":2,\"roots\":[]}",
    ] {
        assert!(matches!(read(&cbor(text), 9).2, Err(CarError::BadHeader { .. })), "{text}");
    }
    assert_eq!(read(&cbor("{\"version\":3,\"roots\":[]}"), 9).2, Err(CarError::Version { version: 3 }));
    assert!(matches!(read(&file(&[0xff]), 9).2, Err(CarError::BadHeader { .. })));
    assert!(matches!(read(&[0], 9).2, Err(CarError::BadHeader { .. })));
    assert!(matches!(read(&[0xff, 0xff, 0xff, 0xff, 0x7f], 9).2, Err(CarError::HeaderTooLong { .. })));
    for other in [&b"<!DOCTYPE html>"[..], b"hello\n", b"\x1f\x8b\x08", b"PK\x03\x04"] {
        assert!(matches!(read(other, 9).2, Err(CarError::BadHeader { .. })), "{other:?}");
    }
    // What comes behind a header of no bytes is not looked at, however the file is cut.
    assert_eq!(read(&[0, b'x'], 1), read(&[0, b'x'], 9));
    assert_eq!(read(&[], 9).2, Err(CarError::CutShort { offset: 0, last: None }));
}

#[test]
fn no_roots_and_many_roots_are_read_up_to_the_limit() {
    let cid = *blocks()[0].cid();
    assert_eq!(read(&header(&[]), 5), (vec![], vec![], Ok(())));
    let many = vec![cid; 20_000];
    assert_eq!(read(&header(&many), 65_536).1, many);
    assert!(matches!(read(&header(&vec![cid; 30_000]), 65_536).2, Err(CarError::HeaderTooLong { .. })));
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let inner = write(&[], &blocks());
    let (at, size) = (WINDOW as u64, inner.len() as u64);

    for (offset, size) in [(0, size), (50, size), (u64::MAX, 2)] {
        assert_eq!(read(&window(&inner, offset, size), 9).2, Err(CarError::BadWindow { offset, size }));
    }
    for (offset, size) in [(1 << 40, size), (at, 0), (at, size - 1), (at, 10)] {
        assert!(matches!(read(&window(&inner, offset, size), 9).2, Err(CarError::CutShort { .. })), "{offset} {size}");
    }
    // What stands behind the blocks is taken for one, and is none.
    assert!(read(&window(&inner, at, size + 1000), 9).2.is_err());
    assert!(matches!(read(&wrap(&wrap(&inner)), 9).2, Err(CarError::BadHeader { .. })));
}

#[test]
fn a_section_that_lies_whole_in_a_push_is_not_copied() {
    let file = Bytes::from(write(&[], &blocks()));
    let mut reader = Reader::default();
    reader.push(file.clone());

    let section = reader.poll().expect("sound").expect("it is there");

    let place = section.data.as_ptr() as usize - file.as_ptr() as usize;
    assert_eq!(&file[place..place + 3], b"one");
}

#[test]
fn a_section_without_a_cid_is_named_by_its_place() {
    let offset = header(&[]).len() as u64;
    for section in [&[1u8, 0x55, 0x12, 0x20, 0][..], &[9, 9, 9], &[1, 0x55, 0, 65], &[0x12, 0x20]] {
        let file = [&header(&[])[..], &[section.len() as u8], section].concat();
        assert_eq!(read(&file, 50).2, Err(CarError::BadCid { offset }), "{section:?}");
    }
}

/// All that a reader gives, with the file in pieces of `piece` bytes.
fn read(file: &[u8], piece: usize) -> (Vec<Section>, Vec<Cid>, Result<(), CarError>) {
    let mut reader = Reader::default();
    let mut sections = Vec::new();
    for bytes in file.chunks(piece) {
        reader.push(Bytes::copy_from_slice(bytes));
        loop {
            match reader.poll() {
                Ok(Some(section)) => sections.push(section),
                Ok(None) => break,
                Err(error) => return (sections, reader.roots().to_vec(), Err(error)),
            }
        }
    }
    let end = reader.finish();
    (sections, reader.roots().to_vec(), end)
}

fn write(roots: &[Cid], blocks: &[Block]) -> Vec<u8> {
    let mut file = header(roots).to_vec();
    for block in blocks {
        file.extend_from_slice(&section_head(block.cid(), block.data().len()));
        file.extend_from_slice(block.data());
    }
    file
}

/// A CARv2 about a CARv1, with some bytes between and an index behind.
fn wrap(inner: &[u8]) -> Vec<u8> {
    window(inner, WINDOW as u64, inner.len() as u64)
}

fn window(inner: &[u8], offset: u64, size: u64) -> Vec<u8> {
    let mut file = PRAGMA.to_vec();
    file.extend_from_slice(&[0; 16]);
    for number in [offset, size, offset.wrapping_add(size)] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    file.extend_from_slice(&[0xee; WINDOW - 51]);
    file.extend_from_slice(inner);
    file.extend_from_slice(&[0xff; 100]);
    file
}

/// As the specification has it: a header of ten bytes, `{"version": 2}`.
const PRAGMA: [u8; 11] = [0x0a, 0xa1, 0x67, b'v', b'e', b'r', b's', b'i', b'o', b'n', 2];
/// Where `wrap` puts the blocks: seven bytes behind the fixed header.
const WINDOW: usize = 58;

fn blocks() -> Vec<Block> {
    let kind = LeafKind { codec: RAW, version: Version::V1, hash: Function::Blake3 };
    vec![
        Block::new(RAW, Bytes::from_static(b"one")),
        Block::new_v0(Bytes::from_static(&[0x0a, 2, 8, 1])),
        Block::new(RAW, Bytes::new()),
        Block::of(kind, vec![7; 300].into()),
    ]
}

fn cids(blocks: &[Block]) -> Vec<Cid> {
    blocks.iter().map(|block| *block.cid()).collect()
}

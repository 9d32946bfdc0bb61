//! Files and a folder that Kubo 0.43 made in ways in which nothing here writes by itself, read byte for byte.
//!
//! Made by `ipfs add` with the flags that each test names, on what [`content`] gives, and `ipfs dag export`; of the one cut by
//! buzhash, whose parts have 128 KiB at least, only the root (`--local-only`, the leaves removed).

use bytes::Bytes;
use cidra_content::unixfs::Entity;
use cidra_content::{Block, Cid, block, car};

use super::shelf::Shelf;

/// `--chunker=rabin-64-256-1024`
#[test]
fn a_file_cut_by_rabin_is_read() {
    let (shelf, root) = import(include_bytes!("kubo/rabin.car"));
    let content = content(12_000, 1);

    assert_eq!(root.to_string(), "QmZC3WpAyuYiTjwqQ218awo56QBuaUREdP6MzVBzenZHqw");
    assert_eq!(shelf.read(root, 0..u64::MAX), Ok((content.clone(), 44)));
    assert_eq!(shelf.read(root, 5000..5001).map(|(bytes, _)| bytes), Ok(content[5000..5001].to_vec()));
}

/// `--trickle --chunker=size-200 --max-file-links=4`
#[test]
fn a_trickle_file_is_read() {
    let (shelf, root) = import(include_bytes!("kubo/trickle.car"));
    let content = content(12_000, 2);

    assert_eq!(root.to_string(), "QmXnegoBLpeRwrm51trGydTXocrT8NjsQanfbEKU9vGPob");
    assert_eq!(shelf.read(root, 0..u64::MAX).map(|(bytes, _)| bytes), Ok(content.clone()));
    for at in [0, 199, 800, 4000, 7999, 11_999] {
        let range = at..at + 400;
        let expected = content[at as usize..content.len().min(range.end as usize)].to_vec();
        let (read, blocks) = shelf.read(root, range).expect("it is whole");
        assert!(read == expected && blocks < 12, "{at}: {blocks} blocks");
    }
}

/// `--chunker=buzhash --cid-version=1`: the hashes that Kubo gave its leaves prove that they are cut as its root says.
#[test]
fn a_file_cut_by_buzhash_is_read() {
    let (mut shelf, root) = import(include_bytes!("kubo/buzhash.car"));
    let content = content(700_000, 3);
    let file = Entity::parse(&shelf.0[&root]).expect("a file").into_file().expect("a file");
    let ranges: Vec<_> = file.children(0..file.size()).map(|child| child.range.clone()).collect();
    assert_eq!(ranges, [0..226_252, 226_252..482_015, 482_015..700_000]);

    for range in ranges {
        let leaf = content[range.start as usize..range.end as usize].to_vec();
        shelf.put(Block::new(block::RAW, leaf.into()));
    }

    assert_eq!(root.to_string(), "bafybeiha3woefyi6mhcau4tow46bgsehbm7cbdfbtogkj7cundek7ay2qe");
    assert_eq!(shelf.read(root, 0..u64::MAX), Ok((content, 4)));
}

/// `-r --max-directory-links=4 --max-hamt-fanout=8 --preserve-mode`
#[test]
fn a_folder_of_shards_of_eight_slots_is_read() {
    let (shelf, root) = import(include_bytes!("kubo/folder.car"));

    let (entries, blocks) = shelf.list(root).expect("a folder");

    assert!(entries.len() == 30 && blocks > 8, "{} entries in {blocks} blocks", entries.len());
    for number in 0..30 {
        let name = format!("name {number}");
        let cid = shelf.find(root, &name).unwrap_or_else(|| panic!("{name} is not found"));
        assert!(entries.iter().any(|entry| entry.name == name.as_bytes() && entry.cid == cid));
        assert_eq!(shelf.read(cid, 0..99).map(|(bytes, _)| bytes), Ok(format!("file {number}\n").into_bytes()));
        let metadata = Entity::parse(&shelf.0[&cid]).expect("a file").metadata();
        assert_eq!(metadata.mode, Some(0o644), "{name}");
    }
}

fn import(file: &'static [u8]) -> (Shelf, Cid) {
    let (mut shelf, mut reader) = (Shelf::default(), car::Reader::default());
    reader.push(Bytes::from_static(file));
    while let Some(section) = reader.poll().expect("a CAR file") {
        shelf.put(Block::verify(section.cid, section.data).expect("its own bytes"));
    }
    reader.finish().expect("whole");
    (shelf, reader.roots()[0])
}

/// Bytes that no two parts have in common.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    bytes.take(length).collect()
}

//! What goes in comes out, whole and by range.

use cid::Version;
use cidra_content::hash::Function;
use cidra_content::unixfs::{Parameters, ReadError, Reader, Step, leaf_data};
use cidra_content::{Block, block};
use proptest::prelude::*;

use super::shelf::Shelf;

proptest! {
    #[test]
    fn every_range_is_the_slice(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        parameters in parameters(),
        start in 0..3500u64,
        length in 0..3500u64,
    ) {
        let mut shelf = Shelf::default();
        let root = shelf.add_file(&content, parameters);
        prop_assert_eq!(root.size, content.len() as u64);

        let end = start + length;
        let slice = &content[content.len().min(start as usize)..content.len().min(end as usize)];
        prop_assert_eq!(shelf.read(root.cid, start..end).map(|(bytes, _)| bytes), Ok(slice.to_vec()));
        prop_assert_eq!(shelf.read(root.cid, 0..u64::MAX).map(|(bytes, _)| bytes), Ok(content));
    }

    #[test]
    fn the_claimed_size_of_a_root_is_that_of_its_blocks(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        parameters in parameters(),
    ) {
        let mut shelf = Shelf::default();
        let root = shelf.add_file(&content, parameters);

        let mut sum = 0;
        let mut pending = vec![root.cid];
        while let Some(cid) = pending.pop() {
            let block = &shelf.0[&cid];
            sum += block.data().len() as u64;
            pending.extend(block.links().expect("sound").iter());
        }
        prop_assert_eq!(root.tsize, sum);
    }
}

#[test]
fn a_range_takes_only_the_blocks_on_its_way() {
    let mut shelf = Shelf::default();
    let content: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
    let parameters = small(10, 10);
    let root = shelf.add_file(&content, parameters);

    let (bytes, blocks) = shelf.read(root.cid, 54_321..54_323).expect("sound");

    assert_eq!(bytes, content[54_321..54_323]);
    assert_eq!(blocks, 5);
    assert_eq!(shelf.read(root.cid, 100_000..100_001), Ok((vec![], 1)));
}

#[test]
fn the_size_is_known_once_the_root_is() {
    let mut shelf = Shelf::default();
    let root = shelf.add_file(&[7; 100], small(10, 3));
    let mut reader = Reader::new(root.cid, 50..60);
    assert_eq!((reader.size(), reader.poll()), (None, Step::Need(root.cid)));

    reader.handle_block(&shelf.0[&root.cid]).expect("the root");

    assert_eq!(reader.size(), Some(100));
    assert_eq!(reader.upcoming(10).count(), 1);
}

#[test]
fn a_block_that_was_not_asked_for_is_refused() {
    let mut shelf = Shelf::default();
    let root = shelf.add_file(&[7; 100], small(10, 3));
    let other = Block::new(block::RAW, vec![1].into());
    let mut reader = Reader::new(root.cid, 0..100);

    assert_eq!(reader.handle_block(&other), Err(ReadError::NotAsked { cid: *other.cid() }));
    assert_eq!(reader.poll(), Step::Need(root.cid));
    assert_eq!(reader.handle_block(&shelf.0[&root.cid]), Ok(()));
}

#[test]
fn a_leaf_gives_its_bytes_in_either_form() {
    let mut shelf = Shelf::default();
    for raw in [true, false] {
        let root = shelf.add_file(b"leaf", small(10, 3).with_raw_leaves(raw));
        assert_eq!(leaf_data(&shelf.0[&root.cid]).as_deref(), Ok(&b"leaf"[..]));
    }
    let node = shelf.add_file(&[7; 100], small(10, 3));
    assert!(leaf_data(&shelf.0[&node.cid]).is_err());
}

#[test]
fn short_leaves_can_be_within_their_cids() {
    let mut shelf = Shelf::default();
    let root = shelf.add_file(&[7; 60], small(30, 3).with_hash(Function::Identity));
    shelf.0.retain(|cid, _| cid.hash().code() != 0 || *cid == root.cid);

    let mut reader = Reader::new(root.cid, 0..60);
    let mut content = Vec::new();
    loop {
        match reader.poll() {
            Step::Bytes(bytes) => content.extend_from_slice(&bytes),
            Step::Need(cid) => {
                let block = Block::inline(cid).or_else(|| shelf.0.get(&cid).cloned()).expect("inline or stored");
                reader.handle_block(&block).expect("sound");
            }
            Step::Done => break,
        }
    }
    assert_eq!(content, [7; 60]);
}

fn small(chunk_size: usize, max_links: usize) -> Parameters {
    let parameters = Parameters::V1_2025.with_chunk_size(chunk_size).expect("in range");
    parameters.with_max_links(max_links).expect("in range")
}

fn parameters() -> impl Strategy<Value = Parameters> {
    (1..400usize, 2..12usize, any::<bool>(), any::<bool>()).prop_map(|(chunk_size, max_links, raw, first)| {
        let version = if first { Version::V0 } else { Version::V1 };
        small(chunk_size, max_links).with_raw_leaves(raw).with_cid_version(version).expect("sha2-256")
    })
}

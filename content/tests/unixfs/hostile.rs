//! Files and folders that were made to cost much or to mislead.

use bytes::Bytes;
use cidra_content::unixfs::reader::{MAX_LEVELS, MAX_PENDING};
use cidra_content::unixfs::{Message, Metadata, Parameters, Type, symlink};
use cidra_content::{Block, Cid, block, dag_pb};

use super::shelf::{Shelf, file_node, node};

#[test]
fn one_child_a_thousand_times_on_six_levels_costs_what_is_read_of_it() {
    let mut shelf = Shelf::default();
    let root = tower(&mut shelf, b"a", 1000, 6);

    assert_eq!(shelf.read(root, 0..3), Ok((b"aaa".to_vec(), 6 + 3)));
    assert_eq!(shelf.read(root, 999_999_999_999_999_999..u64::MAX), Ok((b"a".to_vec(), 7)));
}

#[test]
fn one_child_a_thousand_times_but_one_on_forty_levels_is_longer_than_a_file_can_be() {
    let mut shelf = Shelf::default();
    let mut child = (shelf.put(Block::new(block::RAW, Bytes::from_static(b"a"))), 1u64);
    for _ in 0..40 {
        child = (shelf.put(claim(&[child; 999])), child.1.wrapping_mul(999));
    }

    let error = shelf.read(child.0, 0..3).expect_err("more than 64 bits");
    assert!(error.contains("more bytes than there can be"), "{error}");
}

#[test]
fn parts_without_bytes_are_not_visited() {
    let mut shelf = Shelf::default();
    let root = tower(&mut shelf, b"", 1000, 40);

    assert_eq!(shelf.read(root, 0..u64::MAX), Ok((vec![], 1)));
}

#[test]
fn the_most_levels_are_read_and_one_more_is_refused() {
    let mut shelf = Shelf::default();
    let most = tower(&mut shelf, b"a", 1, MAX_LEVELS - 1);
    let more = tower(&mut shelf, b"a", 1, MAX_LEVELS);

    assert_eq!(shelf.read(most, 0..9), Ok((b"a".to_vec(), MAX_LEVELS)));
    assert!(shelf.read(more, 0..9).expect_err("too deep").contains("levels"));
}

#[test]
fn wide_nodes_above_one_another_are_read_up_to_a_bound() {
    let mut shelf = Shelf::default();
    let inline = |byte| Cid::new_v1(block::RAW, cidra_content::Multihash::wrap(0, &[byte]).expect("short"));
    let mut wide = |below: Option<(Cid, u64)>| {
        let mut children = vec![(inline(b'a'), 1); dag_pb::MAX_LINKS];
        let mut size = children.len() as u64;
        if let Some(first) = below {
            size += first.1 - 1;
            children[0] = first;
        }
        (shelf.put(file_node(&children)), size)
    };
    let mut root = wide(None);
    let levels = MAX_PENDING.div_ceil(dag_pb::MAX_LINKS);
    let mut within = root;
    for _ in 0..levels {
        within = root;
        root = wide(Some(root));
    }
    shelf.put(Block::inline(inline(b'a')).expect("inline"));

    assert_eq!(shelf.read(within.0, 0..1).map(|(bytes, _)| bytes), Ok(b"a".to_vec()));
    assert!(shelf.read(root.0, 0..1).is_ok(), "a short range knows of few parts");
    assert!(shelf.read(root.0, 0..u64::MAX).expect_err("too wide").contains("parts at a time"));
}

#[test]
fn a_part_that_is_longer_or_shorter_than_its_parent_says_is_refused() {
    let mut shelf = Shelf::default();
    let leaf = shelf.put(Block::new(block::RAW, Bytes::from_static(b"four")));
    let inner = shelf.put(file_node(&[(leaf, 4)]));
    for child in [leaf, inner] {
        for claimed in [3, 5] {
            let root = shelf.put(file_node(&[(child, claimed)]));
            let error = shelf.read(root, 0..9).expect_err("a lie");
            assert!(error.contains(&format!("has 4 bytes of the file, the node above it claims {claimed}")), "{error}");
        }
    }
}

#[test]
fn a_file_with_a_folder_or_a_link_as_its_part_is_refused() {
    let mut shelf = Shelf::default();
    let folder = shelf.put(node(std::iter::empty(), &Message::new(Type::Directory)));
    let link = shelf.put(symlink(b"/etc/passwd", Metadata::default(), &Parameters::default()));
    for child in [folder, link] {
        let root = shelf.put(file_node(&[(child, 4)]));
        assert!(shelf.read(root, 0..9).expect_err("no file").contains("not a file"));
        assert!(shelf.read(child, 0..9).expect_err("no file").contains("not a file"));
    }
}

#[test]
fn a_shard_in_every_slot_of_another_fails_at_its_second_visit() {
    let mut shelf = Shelf::default();
    let entry = shelf.put(Block::new(block::RAW, Bytes::new()));
    // The name "hello" has the hash cb d8 a7 …: at home in slot cb of the root and slot d8 of the shard there.
    let below = shelf.put(shard(&[(0xd8, "hello")], entry));
    let honest = shelf.put(shard(&[(0xcb, "")], below));
    let doubled = shelf.put(shard(&[(0xcb, ""), (0xcc, "")], below));

    assert_eq!(shelf.list(honest).map(|(entries, blocks)| (entries.len(), blocks)), Ok((1, 2)));
    assert!(shelf.list(doubled).expect_err("one name in two places").contains("does not belong where it stands"));
}

#[test]
fn shards_without_names_end_before_the_hash_does() {
    let mut shelf = Shelf::default();
    let every: Vec<(u32, &str)> = (0..256).map(|slot| (slot, "")).collect();
    let mut child = shelf.put(shard(&[], *Block::new(block::RAW, Bytes::new()).cid()));
    let bottom = child;
    let mut levels = vec![];
    for _ in 0..40 {
        child = shelf.put(shard(&every, child));
        levels.push(child);
    }

    assert!(shelf.list(levels[39]).expect_err("deep").contains("does not belong where it stands"));
    assert!(shelf.list(levels[0]).expect_err("an empty shard").contains(&bottom.to_string()));
    assert_eq!(shelf.list(bottom).map(|(entries, _)| entries.len()), Ok(0));
}

#[test]
fn a_shard_whose_links_and_bit_field_disagree_is_refused() {
    let mut shelf = Shelf::default();
    let cid = *Block::new(block::RAW, Bytes::new()).cid();
    let broken = [
        shard_of(&["CBa"], cid, &[1], 256),
        shard_of(&["CBa", "CBb"], cid, &[2], 256),
        shard_of(&["02a", "01b"], cid, &[6], 256),
        shard_of(&["0"], cid, &[1], 256),
        shard_of(&["0ga"], cid, &[1], 256),
        shard_of(&["0aa"], cid, &[4, 0], 256),
        shard_of(&["9a"], cid, &[2], 8),
        shard_of(&[], cid, &[1; 40], 256),
    ];
    for block in broken {
        let root = shelf.put(block);
        assert!(shelf.list(root).expect_err("broken").contains("not a shard"));
    }
    for fanout in [0, 1, 4, 100, 2048, u64::MAX] {
        let root = shelf.put(shard_of(&[], cid, &[], fanout));
        assert!(shelf.list(root).is_err(), "{fanout}");
    }
    for fanout in [8, 16, 1024] {
        let root = shelf.put(shard_of(&[], cid, &[], fanout));
        assert!(shelf.list(root).is_ok(), "{fanout}");
    }
    let padded = shelf.put(shard_of(&["00\0"], cid, &[0, 0, 1], 256));
    assert!(shelf.list(padded).expect_err("another place").contains("does not belong"), "zeros in front are no fault");
}

/// `height` nodes above one leaf, each with the one below it `width` times.
fn tower(shelf: &mut Shelf, leaf: &'static [u8], width: usize, height: usize) -> Cid {
    let mut child = (shelf.put(Block::new(block::RAW, Bytes::from_static(leaf))), leaf.len() as u64);
    for _ in 0..height {
        child = (shelf.put(file_node(&vec![child; width])), child.1 * width as u64);
    }
    child.0
}

/// As `file_node`, but with sums that go round past 64 bits.
fn claim(children: &[(Cid, u64)]) -> Block {
    let size = children.iter().fold(0u64, |sum, (_, size)| sum.wrapping_add(*size));
    let block_sizes = children.iter().map(|(_, size)| *size).collect();
    let message = Message { file_size: Some(size), block_sizes, ..Message::new(Type::File) };
    node(children.iter().map(|(cid, _)| (*cid, Bytes::new())), &message)
}

fn shard(slots: &[(u32, &str)], cid: Cid) -> Block {
    let mut field = vec![0u8; 32];
    slots.iter().for_each(|(slot, _)| field[31 - (slot / 8) as usize] |= 1 << (slot % 8));
    let names: Vec<String> = slots.iter().map(|(slot, name)| format!("{slot:02X}{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    shard_of(&names, cid, &field, 256)
}

fn shard_of(names: &[&str], cid: Cid, field: &[u8], fanout: u64) -> Block {
    let message = Message {
        data: Some(Bytes::copy_from_slice(field)),
        hash_type: Some(0x22),
        fanout: Some(fanout),
        ..Message::new(Type::HamtShard)
    };
    node(names.iter().map(|name| (cid, Bytes::copy_from_slice(name.as_bytes()))), &message)
}

//! Folders of one block and of many, the large ones beside a plain recursive maker of shards.

use proptest::prelude::*;

use super::*;
use crate::block::RAW;
use crate::unixfs::{Entity, hamt, interior};

#[test]
fn the_empty_folder_is_the_published_one() {
    let cid = |parameters| DirectoryImporter::new(parameters).finish().expect("empty").1.cid.to_string();

    assert_eq!(cid(Parameters::V0_2015), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    assert_eq!(cid(Parameters::V1_2025), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
}

#[test]
fn entries_are_sorted_by_the_bytes_of_their_names() {
    let mut importer = DirectoryImporter::new(Parameters::default());
    let block = Block::new(RAW, Bytes::from_static(b"x"));
    for name in ["b", "B", "a.b", "a", "ä"] {
        importer.add(name.as_bytes(), *block.cid(), 1).expect("plain and different");
    }

    let (blocks, root) = importer.finish().expect("small");

    let Ok(Entity::Directory(directory)) = Entity::parse(&blocks[0]) else { panic!("a folder") };
    let names: Vec<_> = directory.entries().iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names, [b"B", b"a", b"a.b", b"b", "ä".as_bytes()] as [&[u8]; 5]);
    assert_eq!(directory.find(b"b").map(|entry| entry.cid), Some(*block.cid()));
    assert_eq!(root.tsize, 5 + blocks[0].data().len() as u64);
}

#[test]
fn refuses_names_that_a_folder_cannot_have() {
    let mut importer = DirectoryImporter::new(Parameters::default());
    let cid = *Block::new(RAW, Bytes::new()).cid();
    let mut add = |name: &str| importer.add(name.as_bytes(), cid, 0);

    assert_eq!(add("../x"), Err(DirectoryError::BadName { name: "../x".into() }));
    assert_eq!(add("x"), Ok(()));
    assert_eq!(add("x"), Err(DirectoryError::Duplicate { name: "x".into() }));
    assert_eq!(add(&"n".repeat(MAX_NAME)), Ok(()));
    assert_eq!(add(&"n".repeat(MAX_NAME + 1)), Err(DirectoryError::LongName { length: MAX_NAME + 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_large_folder_is_the_same_however_it_is_written(
        names in proptest::collection::btree_set("[a-c]{200,255}", 1_300..1_600),
        bits in 3u32..=10,
        seed: u64,
    ) {
        let parameters = Parameters::V1_2025.with_fanout(1 << bits).unwrap();
        let links: Vec<Link> = names.iter().map(|name| link(name.as_bytes())).collect();
        let mut shuffled = links.clone();
        shuffled.sort_by_key(|link| hamt::murmur3(&link.name).wrapping_mul(seed | 1));
        let mut importer = DirectoryImporter::new(parameters);
        shuffled.iter().for_each(|link| importer.add(&link.name, link.cid, link.tsize).unwrap());

        let (blocks, root) = importer.finish().unwrap();

        let (expected, cid) = recursive(&parameters, &links);
        prop_assert_eq!(root.cid, cid);
        prop_assert_eq!(blocks, expected);
    }
}

#[test]
fn runs_that_are_kept_elsewhere_change_nothing() {
    let names = (0..100_000u32).map(|number| format!("file {}", number.wrapping_mul(2_654_435_761)));
    let links: Vec<Link> = names.map(|name| link(name.as_bytes())).collect();
    let mut importer = DirectoryImporter::new(Parameters::default());
    let mut kept: Vec<Bytes> = vec![];
    for link in &links {
        importer.add(&link.name, link.cid, link.tsize).unwrap();
        kept.extend(std::iter::from_fn(|| importer.take_run()));
    }
    assert!(kept.len() > 3, "{} runs", kept.len());

    let (mut blocks, mut pieces, mut writer) = (vec![], 0, importer.into_writer());
    let root = loop {
        match writer.poll().unwrap() {
            Written::Block(block) => blocks.push(block),
            Written::Done(root) => break root,
            Written::Need { run, range } => {
                pieces += 1;
                // A short read.
                let end = range.end.min(range.start + 20_001);
                writer.handle_run(run, &kept[run][range.start as usize..end as usize]).unwrap();
            }
        }
    };

    let (expected, cid) = recursive(&Parameters::default(), &links);
    assert!(pieces > 100, "{pieces} pieces");
    assert_eq!(root.cid, cid);
    assert!(blocks == expected, "other blocks, or in another order");
}

#[test]
fn a_run_that_comes_back_changed_is_an_error() {
    for change in [|bytes: &mut Vec<u8>| bytes.truncate(7), |bytes: &mut Vec<u8>| bytes.fill(255)] {
        let mut importer = DirectoryImporter::new(Parameters::default());
        let mut kept: Vec<Bytes> = vec![];
        for number in 0..100_000 {
            let link = link(format!("file {number}").as_bytes());
            importer.add(&link.name, link.cid, link.tsize).unwrap();
            kept.extend(importer.take_run());
        }
        let mut changed = kept[0].to_vec();
        change(&mut changed);

        let mut writer = importer.into_writer();
        let failed = loop {
            match writer.poll() {
                Ok(Written::Need { run: 0, range }) => {
                    let part = changed.get(range.start as usize..).unwrap_or_default();
                    let part = &part[..part.len().min((range.end - range.start) as usize)];
                    if let Err(error) = writer.handle_run(0, part) {
                        break error;
                    }
                }
                Ok(Written::Need { run, range }) => {
                    writer.handle_run(run, &kept[run][range.start as usize..range.end as usize]).unwrap();
                }
                Ok(Written::Block(_)) => {}
                Ok(Written::Done(_)) => panic!("a folder of wrong entries"),
                Err(error) => break error,
            }
        };

        assert_eq!(failed, DirectoryError::Run);
    }
}

#[test]
fn a_name_that_comes_twice_into_a_large_folder_is_refused_when_it_is_written() {
    let mut importer = DirectoryImporter::new(Parameters::default());
    for number in (0..20_000).chain([17]) {
        let link = link(format!("file {number}").as_bytes());
        importer.add(&link.name, link.cid, link.tsize).unwrap();
    }

    assert_eq!(importer.finish().unwrap_err(), DirectoryError::Duplicate { name: "file 17".into() });
}

fn link(name: &[u8]) -> Link {
    let block = Block::new(RAW, Bytes::copy_from_slice(&name[..name.len().min(9)]));
    Link { cid: *block.cid(), name: Bytes::copy_from_slice(name), tsize: block.data().len() as u64 }
}

/// The blocks, children first, and the root of a folder in shards, all of it in memory.
fn recursive(parameters: &Parameters, links: &[Link]) -> (Vec<Block>, Cid) {
    let mut entries: Vec<(u64, Link)> = links.iter().map(|link| (hamt::murmur3(&link.name), link.clone())).collect();
    entries.sort_by_key(|(hash, _)| *hash);
    let mut blocks = vec![];
    let root = shard(parameters, &entries, 0, &mut blocks);
    (blocks, root.cid)
}

fn shard(parameters: &Parameters, entries: &[(u64, Link)], used: u32, blocks: &mut Vec<Block>) -> Link {
    let bits = parameters.fanout().ilog2();
    let slot_of = |hash: u64| hamt::slot(hash, used, bits).expect("no two hashes are the same");
    let (mut links, mut slots) = (vec![], vec![]);
    for group in entries.chunk_by(|(left, _), (right, _)| slot_of(*left) == slot_of(*right)) {
        let slot = slot_of(group[0].0);
        let prefix = format!("{slot:0width$X}", width = bits.div_ceil(4) as usize);
        let link = match group {
            [(_, entry)] => entry.clone(),
            _ => shard(parameters, group, used + bits, blocks),
        };
        slots.push(slot);
        links.push(Link { name: [prefix.as_bytes(), &link.name].concat().into(), ..link });
    }
    let message = Message {
        data: Some(hamt::bitfield(slots.into_iter(), parameters.fanout()).into()),
        hash_type: Some(hamt::MURMUR3_X64_64),
        fanout: Some(u64::from(parameters.fanout())),
        ..Message::new(Type::HamtShard)
    };
    let below: u64 = links.iter().map(|link| link.tsize).sum();
    let block = interior(parameters, links, &message);
    let link = Link { cid: *block.cid(), name: Bytes::new(), tsize: below + block.data().len() as u64 };
    blocks.push(block);
    link
}

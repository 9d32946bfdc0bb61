//! Folders of one block and of many: every name is found, listed once, and nothing else is.

use std::collections::BTreeSet;

use cidra_content::unixfs::{DirectoryImporter, Entity, Parameters, Root};

use super::shelf::Shelf;

#[test]
fn every_name_is_found_and_listed_once() {
    for parameters in [Parameters::V0_2015, Parameters::V1_2025] {
        for count in [0, 1, 300, 20_000] {
            let mut shelf = Shelf::default();
            let root = folder(&mut shelf, count, parameters);

            let (entries, _) = shelf.list(root.cid).expect("sound");
            let listed: BTreeSet<_> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into()).collect();
            assert_eq!(entries.len(), count);
            assert_eq!(listed, (0..count).map(name).collect::<BTreeSet<String>>());
            for index in (0..count).step_by(97) {
                assert!(shelf.find(root.cid, &name(index)).is_some(), "{index} of {count}");
            }
            for index in count..count + 100 {
                assert_eq!(shelf.find(root.cid, &name(index)), None, "{index} of {count}");
            }
        }
    }
}

#[test]
fn a_large_folder_is_the_same_whatever_the_order_of_its_names() {
    let (mut shelf, mut other) = (Shelf::default(), Shelf::default());
    let forward = folder(&mut shelf, 8_000, Parameters::V1_2025);
    let content = other.add_file(b"x", Parameters::V1_2025);

    let backward = other.add_folder((0..8_000).rev().map(|index| (name(index), content)), Parameters::V1_2025);

    assert_eq!(forward, backward);
    assert!(matches!(Entity::parse(&shelf.0[&forward.cid]), Ok(Entity::Shard(_))));
}

#[test]
fn the_claimed_size_of_a_large_folder_is_that_of_its_blocks() {
    let mut shelf = Shelf::default();
    let root = folder(&mut shelf, 8_000, Parameters::V1_2025);
    let mut sum = 0;
    let mut pending = vec![root.cid];
    while let Some(cid) = pending.pop() {
        let block = &shelf.0[&cid];
        sum += block.data().len() as u64;
        pending.extend(block.links().expect("sound").iter());
    }
    assert_eq!(root.tsize, sum);
}

#[test]
fn children_come_before_their_parents() {
    let mut shelf = Shelf::default();
    let content = shelf.add_file(b"x", Parameters::V1_2025);
    let mut importer = DirectoryImporter::new(Parameters::V1_2025);
    (0..20_000).for_each(|index| importer.add(name(index).as_bytes(), content.cid, 1).expect("different"));

    let (blocks, root) = importer.finish().expect("no collision");

    let mut seen = BTreeSet::from([content.cid]);
    for block in &blocks {
        assert!(block.links().expect("sound").iter().all(|link| seen.contains(link)));
        seen.insert(*block.cid());
    }
    assert_eq!(blocks.last().map(|block| *block.cid()), Some(root.cid));
}

fn folder(shelf: &mut Shelf, count: usize, parameters: Parameters) -> Root {
    let content = shelf.add_file(b"x", parameters);
    shelf.add_folder((0..count).map(|index| (name(index), content)), parameters)
}

fn name(index: usize) -> String {
    format!("file number {index}.txt")
}

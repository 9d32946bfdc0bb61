//! Markings of random DAGs against a naive walk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::dag_pb::{Link, Node};

proptest! {
    #[test]
    fn it_marks_what_a_naive_walk_reaches(world in world(), seed: u128) {
        let mut marking = Marking::new(seed);
        for (root, recursive) in &world.roots {
            marking.protect(*root, *recursive);
        }
        world.answer(&mut marking);

        let (reached, walked) = world.reached(&world.roots);
        for cid in &world.cids {
            prop_assert_eq!(marking.is_marked(cid.hash()), reached.contains(&cid.hash().to_bytes()));
            prop_assert_eq!(marking.covers(cid) , walked.contains(cid));
        }
        prop_assert_eq!(marking.marked(), reached.len() as u64);
    }

    #[test]
    fn a_root_that_comes_late_is_marked_as_one_that_was_there(world in world(), late in 0usize..6) {
        let mut marking = Marking::new(7);
        let (early, late) = world.roots.split_at(late.min(world.roots.len()));
        for roots in [early, late] {
            roots.iter().for_each(|(root, recursive)| marking.protect(*root, *recursive));
            world.answer(&mut marking);
        }

        let (reached, _) = world.reached(&world.roots);
        for cid in &world.cids {
            prop_assert_eq!(marking.is_marked(cid.hash()), reached.contains(&cid.hash().to_bytes()));
        }
    }
}

#[test]
fn the_same_bytes_are_walked_under_each_codec_that_names_them() {
    let mut world = World::default();
    let leaf = world.put(RAW, b"leaf");
    let node = world.node(&[leaf], "node");
    let raw = Cid::new_v1(RAW, *node.hash());
    let mut marking = Marking::new(1);

    marking.protect(raw, true);
    world.answer(&mut marking);
    assert!(marking.is_marked(node.hash()) && marking.covers(&raw));
    assert!(!marking.is_marked(leaf.hash()) && !marking.covers(&node));

    marking.protect(node, true);
    world.answer(&mut marking);
    assert!(marking.is_marked(leaf.hash()) && marking.covers(&node));
}

#[test]
fn a_direct_root_protects_one_block() {
    let mut world = World::default();
    let leaf = world.put(RAW, b"leaf");
    let node = world.node(&[leaf], "node");
    let mut marking = Marking::new(1);
    marking.protect(node, false);
    world.answer(&mut marking);
    assert!(marking.is_marked(node.hash()) && !marking.is_marked(leaf.hash()) && !marking.covers(&node));
}

#[test]
fn a_block_that_is_no_node_keeps_itself_and_is_counted() {
    let mut world = World::default();
    let broken = world.put(DAG_PB, b"not dag-pb");
    let root = world.node(&[broken], "root");
    let mut marking = Marking::new(1);
    marking.protect(root, true);
    world.answer(&mut marking);
    assert!(marking.is_marked(broken.hash()));
    assert_eq!((marking.marked(), marking.unreadable()), (2, 1));
}

#[test]
fn what_an_inline_block_leads_to_is_protected() {
    let mut world = World::default();
    // Shorter than a sha2-256, or it would not go into a CID.
    let leaf = Cid::new_v1(RAW, Multihash::wrap(0xb220, &[7; 20]).unwrap());
    world.here.insert(leaf.hash().to_bytes(), Bytes::from_static(b"leaf"));
    let node = Node { links: vec![Link { cid: leaf, name: Bytes::new(), tsize: 1 }], data: None };
    let inline = Cid::new_v1(DAG_PB, Multihash::wrap(0, &node.encode()).unwrap());
    let root = world.node(&[inline], "root");
    let mut marking = Marking::new(1);
    marking.protect(root, true);
    world.answer(&mut marking);
    assert!(marking.is_marked(leaf.hash()));
    assert_eq!(marking.marked(), 2);
}

#[test]
fn blocks_that_are_not_here_are_asked_for_and_cost_no_memory() {
    let mut world = World::default();
    for turn in 0..40u64 {
        let absent: Vec<Cid> = (0..1000).map(|number| *Block::new(RAW, absent_data(turn, number)).cid()).collect();
        let node = world.node(&absent, "node");
        world.roots.push((node, true));
    }
    let mut marking = Marking::new(1);
    let empty = marking.marks.memory();
    world.roots.iter().for_each(|(root, recursive)| marking.protect(*root, *recursive));
    let most_named = world.answer(&mut marking);
    assert_eq!(marking.marked(), 40);
    assert!(marking.marks.memory() - empty <= 40 * digests_short(), "{}", marking.marks.memory());
    assert!(most_named <= READ * 1000, "{most_named} CIDs waited at a time");
}

/// Bytes that the first entry of a shard takes.
fn digests_short() -> usize {
    512 * 16
}

fn absent_data(turn: u64, number: u64) -> Bytes {
    Bytes::from([turn.to_le_bytes(), number.to_le_bytes()].concat())
}

#[test]
fn a_dag_that_expands_is_walked_once_a_block() {
    let mut world = World::default();
    let mut below = world.put(RAW, b"leaf");
    for level in 0..40 {
        below = world.node(&vec![below; 1000], &level.to_string());
    }
    let mut marking = Marking::new(1);
    marking.protect(below, true);
    world.answer(&mut marking);
    assert_eq!(marking.marked(), 41);
}

/// Blocks, some of them here, and roots.
#[derive(Debug, Default)]
struct World {
    here: BTreeMap<Vec<u8>, Bytes>,
    cids: Vec<Cid>,
    roots: Vec<(Cid, bool)>,
}

impl World {
    fn put(&mut self, codec: u64, data: &[u8]) -> Cid {
        let block = Block::new(codec, Bytes::copy_from_slice(data));
        self.here.insert(block.cid().hash().to_bytes(), block.data().clone());
        self.cids.push(*block.cid());
        *block.cid()
    }

    fn node(&mut self, links: &[Cid], text: &str) -> Cid {
        let links = links.iter().map(|cid| Link { cid: *cid, name: Bytes::new(), tsize: 1 }).collect();
        let node = Node { links, data: Some(Bytes::copy_from_slice(text.as_bytes())) };
        self.put(DAG_PB, &node.encode())
    }

    /// Answers until nothing is asked; gives how many CIDs waited at most.
    fn answer(&self, marking: &mut Marking) -> usize {
        let mut most = 0;
        while let Some(question) = marking.poll() {
            match question {
                Question::Here(cids) => {
                    assert!(cids.len() <= LOOK_UP);
                    let here = |cid: &Cid| self.here.contains_key(&cid.hash().to_bytes());
                    marking.handle_here(cids.into_iter().filter(here));
                }
                Question::Links(cids) => {
                    assert!(cids.len() <= READ);
                    for cid in cids {
                        match self.block(&cid).links() {
                            Ok(links) => marking.handle_links(&links),
                            Err(_) => marking.handle_unreadable(),
                        }
                    }
                }
            }
            most = most.max(marking.named.len());
        }
        most
    }

    fn block(&self, cid: &Cid) -> Block {
        Block::verify(*cid, self.here[&cid.hash().to_bytes()].clone()).unwrap()
    }

    /// The naive walk: multihashes that are reached, and CIDs that were walked from.
    fn reached(&self, roots: &[(Cid, bool)]) -> (BTreeSet<Vec<u8>>, BTreeSet<Cid>) {
        let (mut reached, mut walked) = (BTreeSet::new(), BTreeSet::new());
        let mut ahead = Vec::new();
        for (root, recursive) in roots.iter().filter(|(root, _)| self.here.contains_key(&root.hash().to_bytes())) {
            reached.insert(root.hash().to_bytes());
            if *recursive {
                ahead.push(*root);
            } else if root.codec() == RAW {
                walked.insert(*root);
            }
        }
        while let Some(cid) = ahead.pop() {
            if !self.here.contains_key(&cid.hash().to_bytes()) || !walked.insert(cid) {
                continue;
            }
            reached.insert(cid.hash().to_bytes());
            if let Ok(links) = self.block(&cid).links() {
                ahead.extend(links.iter());
            }
        }
        (reached, walked)
    }
}

/// Up to sixty blocks, each of which leads to some of those before it; some are missing, some are no nodes.
fn world() -> impl Strategy<Value = World> {
    let links = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let blocks = prop::collection::vec((links, 0u8..10), 1..60);
    let roots = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6);
    (blocks, roots).prop_map(|(blocks, roots)| {
        let mut world = World::default();
        let mut missing = Vec::new();
        for (number, (links, kind)) in blocks.into_iter().enumerate() {
            let below: Vec<Cid> = match world.cids.is_empty() {
                true => Vec::new(),
                false => links.iter().map(|link| *link.get(&world.cids)).collect(),
            };
            let cid = match kind {
                0 => world.put(DAG_PB, format!("{number} is no node").as_bytes()),
                1..4 => world.put(RAW, format!("leaf {number}").as_bytes()),
                _ => world.node(&below, &number.to_string()),
            };
            if kind == 9 {
                missing.push(cid);
            }
        }
        for cid in missing {
            world.here.remove(&cid.hash().to_bytes());
        }
        world.roots = roots.iter().map(|(root, recursive)| (*root.get(&world.cids), *recursive)).collect();
        world
    })
}

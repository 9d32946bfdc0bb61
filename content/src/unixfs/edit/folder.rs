//! One folder: what a name in it leads to, and the folder with a name more or less.
//!
//! A folder is cut into shards, or becomes one block again, by the sum of its names and CIDs, as with Kubo's defaults. The same
//! entries give the same CID whatever was done in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::{Blocks, EditError, Fashion, Node, Stop, shard};
use crate::block::DAG_PB;
use crate::dag_pb::Link;
use crate::unixfs::message::{Message, Type};
use crate::unixfs::node::Entity;
use crate::unixfs::parameters::SHARD_THRESHOLD;
use crate::unixfs::shard::{Found, ShardLookup};
use crate::unixfs::{DirectoryImporter, Parameters};

/// A node as a folder or a file links to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its block.
    pub cid: Cid,
    /// Bytes of all blocks from it down, as far as its own links say.
    pub tsize: u64,
}

impl Child {
    /// A node whose block is in hand.
    pub fn of(blocks: &Blocks, cid: &Cid) -> Result<Child, Stop> {
        let block = blocks.get(cid)?;
        let own = block.data().len() as u64;
        let tsize = match cid.codec() {
            DAG_PB => Node::read(&block)?.links.iter().fold(own, |sum, link| sum.saturating_add(link.tsize)),
            _ => own,
        };
        Ok(Child { cid: *cid, tsize })
    }

    pub(super) fn link(self, name: &[u8]) -> Link {
        Link { cid: self.cid, name: Bytes::copy_from_slice(name), tsize: self.tsize }
    }
}

/// What a name in a folder leads to.
pub fn find(blocks: &Blocks, folder: &Cid, name: &[u8]) -> Result<Option<Child>, Stop> {
    let mut cid = *folder;
    let mut lookup = ShardLookup::new(name);
    let child = |link: &Link| Child { cid: link.cid, tsize: link.tsize };
    loop {
        match Entity::parse(&blocks.get(&cid)?)? {
            Entity::Directory(directory) => return Ok(directory.find(name).map(child)),
            Entity::Shard(shard) => match lookup.step(&shard) {
                Found::Absent => return Ok(None),
                Found::Entry(entry) => return Ok(Some(child(&entry))),
                Found::Shard(below) => cid = below,
            },
            Entity::File(_) | Entity::Raw(_) | Entity::Symlink(_) => return Err(EditError::NotFolder.into()),
        }
    }
}

/// Whether a node is a folder.
pub fn is_folder(blocks: &Blocks, cid: &Cid) -> Result<bool, Stop> {
    if cid.codec() != DAG_PB {
        return Ok(false);
    }
    Ok(matches!(Node::read(&blocks.get(cid)?)?.message.kind, Type::Directory | Type::HamtShard))
}

/// A folder without entries.
pub(super) fn empty(blocks: &mut Blocks, fashion: Fashion) -> Child {
    blocks.write(fashion, &Node { links: Vec::new(), message: Message::new(Type::Directory) })
}

/// The folder with this entry, which takes the place of one of its name.
pub(super) fn put(blocks: &mut Blocks, folder: &Cid, name: &[u8], child: Child) -> Result<Child, Stop> {
    let fashion = Fashion::of(folder)?;
    let mut node = Node::read(&blocks.get(folder)?)?;
    match node.message.kind {
        Type::Directory => {
            node.links.retain(|link| link.name != name);
            node.links.push(child.link(name));
            if measure(&node.links) > SHARD_THRESHOLD {
                return into_shards(blocks, fashion, node);
            }
            node.links.sort_by(|left, right| left.name.cmp(&right.name));
            Ok(blocks.write(fashion, &node))
        }
        Type::HamtShard => {
            let (root, old) = shard::change(blocks, folder, name, Some(child))?;
            let shrinks = old.is_some_and(|old| old.cid.encoded_len() > child.cid.encoded_len());
            if shrinks { into_one(blocks, root) } else { Ok(root) }
        }
        _ => Err(EditError::NotFolder.into()),
    }
}

/// The folder without a name that is in it.
pub(super) fn take(blocks: &mut Blocks, folder: &Cid, name: &[u8]) -> Result<Child, Stop> {
    let fashion = Fashion::of(folder)?;
    let mut node = Node::read(&blocks.get(folder)?)?;
    match node.message.kind {
        Type::Directory => {
            node.links.retain(|link| link.name != name);
            node.links.sort_by(|left, right| left.name.cmp(&right.name));
            Ok(blocks.write(fashion, &node))
        }
        Type::HamtShard => {
            let (root, _) = shard::change(blocks, folder, name, None)?;
            into_one(blocks, root)
        }
        _ => Err(EditError::NotFolder.into()),
    }
}

/// The same folder under CIDs of another fashion; of a large one only the root changes, as in Kubo.
pub(super) fn refashion(blocks: &mut Blocks, folder: &Cid, fashion: Fashion) -> Result<Child, Stop> {
    let node = Node::read(&blocks.get(folder)?)?;
    match node.message.kind {
        Type::Directory | Type::HamtShard => Ok(blocks.write(fashion, &node)),
        _ => Err(EditError::NotFolder.into()),
    }
}

fn into_shards(blocks: &mut Blocks, fashion: Fashion, node: Node) -> Result<Child, Stop> {
    let parameters = Parameters::V0_2015.with_hash(fashion.hash);
    let parameters = parameters.with_cid_version(fashion.kind(DAG_PB).version).unwrap_or(parameters);
    let mut importer = DirectoryImporter::with_metadata(parameters, node.message.metadata);
    for link in &node.links {
        importer.add(&link.name, link.cid, link.tsize)?;
    }
    let (made, root) = importer.finish()?;
    for block in made {
        blocks.keep(block);
    }
    Ok(Child { cid: root.cid, tsize: root.tsize })
}

/// A folder of shards as one block, where it fits. Reads no more of it than it takes to see that it does not.
fn into_one(blocks: &mut Blocks, root: Child) -> Result<Child, Stop> {
    let Some(entries) = shard::entries(blocks, &root.cid, SHARD_THRESHOLD)? else { return Ok(root) };
    let sorted: BTreeMap<Bytes, Link> = entries.into_iter().map(|link| (link.name.clone(), link)).collect();
    let metadata = Node::read(&blocks.get(&root.cid)?)?.message.metadata;
    let node =
        Node { links: sorted.into_values().collect(), message: Message { metadata, ..Message::new(Type::Directory) } };
    Ok(blocks.write(Fashion::of(&root.cid)?, &node))
}

/// What decides whether a folder is one block.
fn measure(links: &[Link]) -> usize {
    links.iter().map(cost).sum()
}

pub(super) fn cost(link: &Link) -> usize {
    link.name.len() + link.cid.encoded_len()
}

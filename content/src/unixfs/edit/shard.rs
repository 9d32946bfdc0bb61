//! A folder in many blocks: the shards on the way to one name, changed.

use std::collections::VecDeque;

use cid::Cid;

use super::folder::{Child, cost};
use super::{Blocks, EditError, Fashion, Node, Stop};
use crate::dag_pb::Link;
use crate::unixfs::DirectoryError;
use crate::unixfs::hamt;
use crate::unixfs::message::{Message, Metadata, Type};
use crate::unixfs::node::NodeError;
use crate::unixfs::shard::{ShardLink, ShardNode};

/// One shard, open. Names of links are without their slots; that of a shard is empty.
struct Shard {
    bits: u32,
    slots: Vec<(u32, Link)>,
    message: Message,
}

impl Shard {
    fn read(blocks: &Blocks, cid: &Cid) -> Result<Shard, Stop> {
        let block = blocks.get(cid)?;
        let Node { links, message } = Node::read(&block)?;
        if message.kind != Type::HamtShard {
            return Err(EditError::NotFolder.into());
        }
        let checked = ShardNode::new(message.clone(), links.clone());
        checked.map_err(|source| NodeError::BadShard { cid: *cid, source })?;
        let bits = message.fanout.expect("it was checked").ilog2();
        let width = bits.div_ceil(4) as usize;
        let slots = links.into_iter().map(|link| {
            let digits = std::str::from_utf8(&link.name[..width]).expect("it was checked");
            let slot = u32::from_str_radix(digits, 16).expect("it was checked");
            (slot, Link { name: link.name.slice(width..), ..link })
        });
        Ok(Shard { bits, slots: slots.collect(), message })
    }

    /// One below this with nothing in it.
    fn below(&self) -> Shard {
        let message = Message { metadata: Metadata::default(), ..self.message.clone() };
        Shard { bits: self.bits, slots: Vec::new(), message }
    }

    fn write(self, blocks: &mut Blocks, fashion: Fashion) -> Child {
        let width = self.bits.div_ceil(4) as usize;
        let field = hamt::bitfield(self.slots.iter().map(|(slot, _)| *slot), 1 << self.bits);
        let links = self.slots.into_iter().map(|(slot, link)| {
            let name = [format!("{slot:0width$X}").as_bytes(), &link.name].concat();
            Link { name: name.into(), ..link }
        });
        let node = Node { links: links.collect(), message: Message { data: Some(field.into()), ..self.message } };
        blocks.write(fashion, &node)
    }
}

/// Puts or takes a name below the shard `root`: the new root, and what the name led to before.
pub(super) fn change(
    blocks: &mut Blocks,
    root: &Cid,
    name: &[u8],
    child: Option<Child>,
) -> Result<(Child, Option<Child>), Stop> {
    let mut shard = Shard::read(blocks, root)?;
    let change = Change { hash: hamt::murmur3(name), name, child };
    let old = change.within(blocks, &mut shard, Fashion::of(root)?, 0)?;
    Ok((shard.write(blocks, Fashion::of(root)?), old))
}

struct Change<'a> {
    hash: u64,
    name: &'a [u8],
    child: Option<Child>,
}

impl Change<'_> {
    fn within(
        &self,
        blocks: &mut Blocks,
        shard: &mut Shard,
        fashion: Fashion,
        used: u32,
    ) -> Result<Option<Child>, Stop> {
        let slot = hamt::slot(self.hash, used, shard.bits).ok_or_else(|| self.collision())?;
        let index = match (shard.slots.binary_search_by_key(&slot, |(slot, _)| *slot), self.child) {
            (Ok(index), _) => index,
            (Err(_), None) => return Err(EditError::NotFound.into()),
            (Err(index), Some(child)) => {
                shard.slots.insert(index, (slot, child.link(self.name)));
                return Ok(None);
            }
        };
        let there = shard.slots[index].1.clone();
        let old = Child { cid: there.cid, tsize: there.tsize };
        if there.name.is_empty() {
            return self.below(blocks, shard, index, old, used + shard.bits);
        }
        match self.child {
            Some(child) if there.name == self.name => shard.slots[index].1 = child.link(self.name),
            Some(child) => {
                let fork = self.fork(blocks, shard.below(), fashion, used + shard.bits, there, child)?;
                shard.slots[index].1 = fork.link(b"");
                return Ok(None);
            }
            None if there.name == self.name => drop(shard.slots.remove(index)),
            None => return Err(EditError::NotFound.into()),
        }
        Ok(Some(old))
    }

    /// Goes on in the shard that the slot at `index` leads to.
    fn below(
        &self,
        blocks: &mut Blocks,
        shard: &mut Shard,
        index: usize,
        at: Child,
        used: u32,
    ) -> Result<Option<Child>, Stop> {
        let fashion = Fashion::of(&at.cid)?;
        let mut below = Shard::read(blocks, &at.cid)?;
        let old = self.within(blocks, &mut below, fashion, used)?;
        match &below.slots[..] {
            // None is left that a walk could go through for nothing.
            [] => drop(shard.slots.remove(index)),
            [(_, only)] if self.child.is_none() && !only.name.is_empty() => shard.slots[index].1 = only.clone(),
            _ => shard.slots[index].1 = below.write(blocks, fashion).link(b""),
        }
        Ok(old)
    }

    /// A shard with two names that share all slots above it.
    fn fork(
        &self,
        blocks: &mut Blocks,
        mut shard: Shard,
        fashion: Fashion,
        used: u32,
        there: Link,
        child: Child,
    ) -> Result<Child, Stop> {
        let slot = |hash| hamt::slot(hash, used, shard.bits).ok_or_else(|| self.collision());
        let (theirs, ours) = (slot(hamt::murmur3(&there.name))?, slot(self.hash)?);
        if theirs == ours {
            let below = self.fork(blocks, shard.below(), fashion, used + shard.bits, there, child)?;
            shard.slots = vec![(ours, below.link(b""))];
        } else {
            shard.slots = vec![(theirs, there), (ours, child.link(self.name))];
            shard.slots.sort_by_key(|(slot, _)| *slot);
        }
        Ok(shard.write(blocks, fashion))
    }

    fn collision(&self) -> EditError {
        DirectoryError::Collision { name: String::from_utf8_lossy(self.name).into_owned() }.into()
    }
}

/// All entries, unless their names and CIDs are more than `limit` bytes.
pub(super) fn entries(blocks: &Blocks, root: &Cid, limit: usize) -> Result<Option<Vec<Link>>, Stop> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    // Level by level: most names of a large folder stand in few of the upper shards.
    let mut open = VecDeque::from([(*root, hamt::Prefix::default())]);
    let mut missing = Vec::new();
    while let Some((cid, prefix)) = open.pop_front() {
        if !blocks.has(&cid) {
            missing.push(cid);
            if missing.len() == TOGETHER {
                break;
            }
            continue;
        }
        let Node { links, message } = Node::read(&blocks.get(&cid)?)?;
        let shard = ShardNode::new(message, links).map_err(|source| NodeError::BadShard { cid, source })?;
        let placed = shard.placed(prefix).map_err(|_| EditError::NotUnixFs { cid })?;
        if placed.is_empty() && cid != *root {
            return Err(EditError::NotUnixFs { cid }.into());
        }
        for (prefix, link) in placed {
            match link {
                ShardLink::Shard(below) => open.push_back((*below, prefix)),
                ShardLink::Entry(entry) => {
                    bytes += cost(entry);
                    entries.push(entry.clone());
                }
            }
        }
        if bytes > limit {
            return Ok(None);
        }
    }
    if missing.is_empty() { Ok(Some(entries)) } else { Err(Stop::Missing(missing)) }
}

/// Shards asked for at a time.
const TOGETHER: usize = 32;

//! The blocks of a folder, one after the other: of a large one no more is held than the shards that lead to the next entry.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::run::{Merge, Merged, Run};
use super::{DirectoryError, lossy, tsize_below};
use crate::block::Block;
use crate::dag_pb::Link;
use crate::unixfs::hamt::{self, MURMUR3_X64_64};
use crate::unixfs::message::{Message, Metadata, Type};
use crate::unixfs::{Parameters, Root, interior};

/// Gives the blocks of a folder whose entries are all known.
#[derive(Debug)]
pub struct DirectoryWriter {
    blocks: VecDeque<Block>,
    shards: Option<(Merge, Shards)>,
    root: Option<Root>,
}

/// What a writer gives or needs.
#[derive(Debug)]
pub enum Written {
    /// A block; children come before parents.
    Block(Block),
    /// All blocks were given.
    Done(Root),
    /// Nothing goes on without these bytes of a run that [`take_run`](super::DirectoryImporter::take_run) gave.
    Need {
        /// How many runs were given before it.
        run: usize,
        /// Where in it.
        range: Range<u64>,
    },
}

impl DirectoryWriter {
    pub(super) fn of_one_block(parameters: &Parameters, links: Vec<Link>, message: &Message) -> Self {
        let below = tsize_below(&links);
        let block = interior(parameters, links, message);
        let root = Root { cid: *block.cid(), size: 0, tsize: below.saturating_add(block.data().len() as u64) };
        Self { blocks: [block].into(), shards: None, root: Some(root) }
    }

    pub(super) fn of_shards(parameters: Parameters, metadata: Metadata, runs: Vec<Run>) -> Self {
        let shards = Shards::new(parameters, metadata);
        Self { blocks: VecDeque::new(), shards: Some((Merge::new(runs), shards)), root: None }
    }

    /// The next block, or what is missing. After an error nothing more comes of it.
    pub fn poll(&mut self) -> Result<Written, DirectoryError> {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                return Ok(Written::Block(block));
            }
            if let Some(root) = self.root {
                return Ok(Written::Done(root));
            }
            let (merge, shards) = self.shards.as_mut().expect("what has no root yet has shards");
            match merge.next()? {
                Merged::Need(run, range) => return Ok(Written::Need { run, range }),
                Merged::Entry(hash, link) => shards.push(hash, link, &mut self.blocks)?,
                Merged::End => self.root = Some(shards.finish(&mut self.blocks)),
            }
        }
    }

    /// Bytes of a run that are needed; fewer than were asked for will do.
    pub fn handle_run(&mut self, run: usize, part: &[u8]) -> Result<(), DirectoryError> {
        match &mut self.shards {
            Some((merge, _)) => merge.extend(run, part),
            None => Ok(()),
        }
    }
}

/// Shards out of entries that come in the order of their hashes.
#[derive(Debug)]
struct Shards {
    parameters: Parameters,
    metadata: Metadata,
    bits: u32,
    /// The open shards from the root down.
    open: Vec<Shard>,
    /// The last entry, whose depth its successor decides, and how many slots it shares with its predecessor.
    last: Option<(Placed, usize)>,
}

#[derive(Debug)]
struct Placed {
    hash: u64,
    link: Link,
}

#[derive(Debug, Default)]
struct Shard {
    /// Of any name in it: where it stands.
    hash: u64,
    links: Vec<Link>,
    slots: Vec<u32>,
}

impl Shards {
    fn new(parameters: Parameters, metadata: Metadata) -> Self {
        let bits = parameters.fanout().ilog2();
        Self { parameters, metadata, bits, open: vec![], last: None }
    }

    fn push(&mut self, hash: u64, link: Link, blocks: &mut VecDeque<Block>) -> Result<(), DirectoryError> {
        let mut shared = 0;
        if let Some((last, before)) = self.last.take() {
            shared = self.shared(last.hash, hash);
            if shared == self.deepest() {
                return Err(match last.link.name == link.name {
                    true => DirectoryError::Duplicate { name: lossy(&link.name) },
                    false => DirectoryError::Collision { name: lossy(&last.link.name) },
                });
            }
            self.place(last, shared.max(before));
            self.close(shared, blocks);
        }
        self.last = Some((Placed { hash, link }, shared));
        Ok(())
    }

    fn finish(&mut self, blocks: &mut VecDeque<Block>) -> Root {
        let (last, before) = self.last.take().expect("a folder without entries is no large one");
        self.place(last, before);
        self.close(0, blocks);
        let root = self.open.pop().expect("the root is open until here");
        let link = self.write(root, self.metadata, blocks);
        Root { cid: link.cid, size: 0, tsize: link.tsize }
    }

    /// How many slots two hashes share.
    fn shared(&self, left: u64, right: u64) -> usize {
        ((left ^ right).leading_zeros() as usize / self.bits as usize).min(self.deepest())
    }

    /// How many slots a hash has.
    fn deepest(&self) -> usize {
        (u64::BITS / self.bits) as usize
    }

    fn slot(&self, hash: u64, depth: usize) -> u32 {
        hamt::slot(hash, depth as u32 * self.bits, self.bits).expect("deeper than the last slot nothing is placed")
    }

    fn prefix(&self, slot: u32) -> String {
        format!("{slot:0width$X}", width = self.bits.div_ceil(4) as usize)
    }

    /// Puts an entry into the shard at `depth`, opening it and those above it.
    fn place(&mut self, Placed { hash, link }: Placed, depth: usize) {
        while self.open.len() <= depth {
            self.open.push(Shard { hash, ..Shard::default() });
        }
        let slot = self.slot(hash, depth);
        let name = [self.prefix(slot).as_bytes(), &link.name].concat().into();
        self.open[depth].take(slot, Link { name, ..link });
    }

    /// Writes the shards that are deeper than `depth`.
    fn close(&mut self, depth: usize, blocks: &mut VecDeque<Block>) {
        while self.open.len() > depth + 1 {
            let shard = self.open.pop().expect("there are more");
            let above = self.open.len() - 1;
            let slot = self.slot(shard.hash, above);
            let link = Link { name: Bytes::from(self.prefix(slot)), ..self.write(shard, Metadata::default(), blocks) };
            self.open[above].take(slot, link);
        }
    }

    /// A link without a name to the block of a shard.
    fn write(&self, Shard { links, slots, .. }: Shard, metadata: Metadata, blocks: &mut VecDeque<Block>) -> Link {
        let fanout = self.parameters.fanout();
        let message = Message {
            data: Some(hamt::bitfield(slots.into_iter(), fanout).into()),
            hash_type: Some(MURMUR3_X64_64),
            fanout: Some(u64::from(fanout)),
            metadata,
            ..Message::new(Type::HamtShard)
        };
        let below = tsize_below(&links);
        let block = interior(&self.parameters, links, &message);
        let link =
            Link { cid: *block.cid(), name: Bytes::new(), tsize: below.saturating_add(block.data().len() as u64) };
        blocks.push_back(block);
        link
    }
}

impl Shard {
    fn take(&mut self, slot: u32, link: Link) {
        self.slots.push(slot);
        self.links.push(link);
    }
}

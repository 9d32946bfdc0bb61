//! A folder in many blocks (HAMT): one shard, the way to a name, and the list of all names.
//!
//! A hostile folder could link to one shard from every slot of another, many levels deep. It cannot make anybody walk
//! far: each name must hash to the place where it stands, a shard below the root has at least one link, and so the
//! second visit of a shard fails at its first name.

use std::collections::VecDeque;

use cid::Cid;

pub use super::hamt::Prefix;
use super::hamt::{self, MURMUR3_X64_64, Place};
use super::message::{Message, Metadata};
use super::node::{Entity, Entry, NodeError};
use crate::block::Block;
use crate::dag_pb::Link;

/// One block of a large folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    bits: u32,
    /// By slot, ascending.
    slots: Vec<(u32, ShardLink)>,
    metadata: Metadata,
}

/// What stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardLink {
    /// A name.
    Entry(Entry),
    /// A shard with all names of this slot.
    Shard(Cid),
}

impl ShardNode {
    pub(super) fn new(message: Message, links: Vec<Link>) -> Result<ShardNode, ShardError> {
        if message.hash_type != Some(MURMUR3_X64_64) {
            return Err(ShardError::HashType { hash_type: message.hash_type });
        }
        let fanout = message.fanout.and_then(|fanout| u32::try_from(fanout).ok());
        let fanout = fanout.filter(|fanout| fanout.is_power_of_two() && (8..=MAX_FANOUT).contains(fanout));
        let fanout = fanout.ok_or(ShardError::Fanout { fanout: message.fanout })?;
        let bits = fanout.ilog2();
        let mut slots: Vec<(u32, ShardLink)> = Vec::with_capacity(links.len());
        for link in links {
            let (slot, link) = read_slot(link, bits)?;
            if slot >= fanout || slots.last().is_some_and(|(last, _)| *last >= slot) {
                return Err(ShardError::Slots);
            }
            slots.push((slot, link));
        }
        let field = hamt::bitfield(slots.iter().map(|(slot, _)| *slot), fanout);
        let claimed = message.data.unwrap_or_default();
        let zeros = claimed.iter().take_while(|&&byte| byte == 0).count();
        if claimed[zeros..] != field {
            return Err(ShardError::Slots);
        }
        Ok(ShardNode { bits, slots, metadata: message.metadata })
    }

    /// What stands in the slots that are taken, in their order.
    pub fn links(&self) -> impl Iterator<Item = &ShardLink> {
        self.slots.iter().map(|(_, link)| link)
    }

    /// Permissions and time, when they were kept; of the whole folder when this is its root.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// As `links`, each with its place, where this shard stands at `place`. An error where a name does not hash to where it
    /// stands, or a hash has no bits left.
    pub fn placed(&self, place: Prefix) -> Result<Vec<(Prefix, &ShardLink)>, PlaceError> {
        let mut placed = Vec::with_capacity(self.slots.len());
        for (slot, link) in &self.slots {
            let below = place.with(*slot, self.bits).ok_or(PlaceError::TooDeep)?;
            match link {
                ShardLink::Entry(entry) if !below.holds(&entry.name) => return Err(PlaceError::Misplaced),
                link => placed.push((below, link)),
            }
        }
        Ok(placed)
    }

    fn at(&self, slot: u32) -> Option<&ShardLink> {
        let index = self.slots.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(&self.slots[index].1)
    }
}

/// Most slots of a shard, as boxo has it; its own folders have 256.
pub const MAX_FANOUT: u32 = 1024;

/// A link's name begins with its slot in upper-case hexadecimal digits; the rest is the entry's name, if it is one.
fn read_slot(mut link: Link, bits: u32) -> Result<(u32, ShardLink), ShardError> {
    let width = bits.div_ceil(4) as usize;
    if link.name.len() < width {
        return Err(ShardError::Slots);
    }
    let digits = link.name.split_to(width);
    let mut slot = 0;
    for &digit in &digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return Err(ShardError::Slots),
        };
        slot = slot << 4 | u32::from(value);
    }
    Ok((slot, if link.name.is_empty() { ShardLink::Shard(link.cid) } else { ShardLink::Entry(link) }))
}

/// The way to one name: give it the root, then each shard that it asks for.
#[derive(Clone, Debug)]
pub struct ShardLookup {
    name: Vec<u8>,
    place: Place,
}

/// What one shard says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The folder has no such name.
    Absent,
    /// Here it is.
    Entry(Entry),
    /// Ask this shard.
    Shard(Cid),
}

impl ShardLookup {
    /// From the root.
    pub fn new(name: &[u8]) -> ShardLookup {
        ShardLookup { name: name.to_vec(), place: Place::of(name) }
    }

    /// What the next shard says. After at most 21 of them the hash is used up, and the name is absent.
    pub fn step(&mut self, shard: &ShardNode) -> Found {
        match self.place.next(shard.bits).and_then(|slot| shard.at(slot)) {
            Some(ShardLink::Entry(entry)) if entry.name == self.name => Found::Entry(entry.clone()),
            Some(ShardLink::Shard(cid)) => Found::Shard(*cid),
            Some(ShardLink::Entry(_)) | None => Found::Absent,
        }
    }
}

/// The list of a folder's entries, of one block or many. It holds the open shard of each level.
#[derive(Debug)]
pub struct DirectoryReader {
    /// What is to be visited; the next one last.
    pending: Vec<(Cid, Prefix)>,
    root: Option<Cid>,
    entries: VecDeque<Entry>,
}

/// What a `DirectoryReader` has or needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryStep {
    /// The next entry: in the block's order where there is one block, in none that means something where there are many.
    Entry(Entry),
    /// Nothing goes on without this block.
    Need(Cid),
    /// That was all.
    Done,
}

impl DirectoryReader {
    /// From the root of the folder.
    pub fn new(root: Cid) -> DirectoryReader {
        DirectoryReader { pending: vec![(root, Prefix::default())], root: Some(root), entries: VecDeque::new() }
    }

    /// Of what has no entries.
    pub fn ended() -> DirectoryReader {
        DirectoryReader { pending: Vec::new(), root: None, entries: VecDeque::new() }
    }

    /// What comes next; `Need` is repeated until the block was given.
    pub fn poll(&mut self) -> DirectoryStep {
        if let Some(entry) = self.entries.pop_front() {
            return DirectoryStep::Entry(entry);
        }
        self.pending.last().map_or(DirectoryStep::Done, |(cid, _)| DirectoryStep::Need(*cid))
    }

    /// The blocks that will be needed next, for those who fetch ahead: at most `most` of them, in order.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = Cid> {
        self.pending.iter().rev().take(most).map(|(cid, _)| *cid)
    }

    /// The block that was needed.
    pub fn handle_block(&mut self, block: &Block) -> Result<(), DirectoryReadError> {
        let cid = *block.cid();
        let Some((_, prefix)) = self.pending.pop_if(|(needed, _)| *needed == cid) else {
            return Err(DirectoryReadError::NotAsked { cid });
        };
        let is_root = self.root.take().is_some();
        match Entity::parse(block)? {
            Entity::Directory(directory) if is_root => self.entries.extend(directory.into_entries()),
            Entity::Shard(shard) if is_root || !shard.slots.is_empty() => self.open(cid, shard, prefix)?,
            _ => return Err(DirectoryReadError::NotDirectory { cid }),
        }
        Ok(())
    }

    fn open(&mut self, cid: Cid, shard: ShardNode, prefix: Prefix) -> Result<(), DirectoryReadError> {
        let open = self.pending.len();
        let placed = shard.placed(prefix).map_err(|source| DirectoryReadError::Misplaced { cid, source })?;
        for (place, link) in placed {
            match link {
                ShardLink::Entry(entry) => self.entries.push_back(entry.clone()),
                ShardLink::Shard(below) => self.pending.push((*below, place)),
            }
        }
        self.pending[open..].reverse();
        Ok(())
    }
}

/// Why a folder cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryReadError {
    /// Its links do not belong where it stands.
    #[error("shard {cid} does not belong where it stands")]
    Misplaced {
        /// Which block.
        cid: Cid,
        /// What is wrong.
        source: PlaceError,
    },
    /// One of the blocks cannot be understood.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Another block than the one that was needed.
    #[error("block {cid} was not asked for")]
    NotAsked {
        /// Which block.
        cid: Cid,
    },
    /// A file, a symbolic link, or a shard without links.
    #[error("node {cid}: not a folder")]
    NotDirectory {
        /// Which block.
        cid: Cid,
    },
}

/// Why a shard does not belong where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A name does not hash to where it stands.
    #[error("a name does not hash to its place")]
    Misplaced,
    /// More levels than a hash has bits for.
    #[error("it is deeper than a folder can be")]
    TooDeep,
}

/// Why a node is not a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not a power of two from 8 to [`MAX_FANOUT`].
    #[error("a fan-out of {fanout:?}")]
    Fanout {
        /// As it stands there.
        fanout: Option<u64>,
    },
    /// Another function than murmur3-x64-64.
    #[error("names placed by hash function {hash_type:x?}")]
    HashType {
        /// As it stands there.
        hash_type: Option<u64>,
    },
    /// The links, their names and the bit field do not agree.
    #[error("links and bit field do not agree")]
    Slots,
}

#[cfg(test)]
mod tests;

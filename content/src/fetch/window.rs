//! The pieces of the content that are under way, in order: each needs a block or is ready to be put out.
//!
//! A piece is keyed by its place, the indexes of the links that lead to it, so that the order of keys is the order of the content
//! and a node's children take the node's place.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cid::Cid;

use super::{Limits, Output, Path};
use crate::block::MAX_BLOCK_SIZE;
use crate::unixfs::shard::Prefix;

/// The indexes of the links from the root to a piece.
pub(super) type Key = Vec<u32>;

#[derive(Clone, Debug)]
pub(super) enum Item {
    /// An entry of a folder, or the root: what it is, its block says. `guess` is its length as its folder gives it.
    Entity { cid: Cid, path: Path, guess: Option<u64> },
    /// A leaf of a file, `size` bytes long, of which `take` after `skip` are put out.
    Leaf { cid: Cid, size: u64, skip: u64, take: u64 },
    /// A block of a DAG of any kind.
    Link { cid: Cid },
    /// An interior node of a file, `size` bytes long, of which `take` after `skip` are put out.
    Part { cid: Cid, size: u64, skip: u64, take: u64 },
    /// Here, and waiting for its turn.
    Ready(Output),
    /// A shard of the folder at `path`, with names of this place.
    Shard { cid: Cid, path: Path, place: Prefix },
}

impl Item {
    fn cid(&self) -> Option<Cid> {
        match self {
            Self::Entity { cid, .. }
            | Self::Leaf { cid, .. }
            | Self::Link { cid }
            | Self::Part { cid, .. }
            | Self::Shard { cid, .. } => Some(*cid),
            Self::Ready(_) => None,
        }
    }

    /// What it counts against the bytes that may be ahead. A folder's word for a length is a guess and is taken within a block.
    fn weight(&self) -> u64 {
        match self {
            Self::Entity { guess, .. } => guess.unwrap_or(ENTRY_WEIGHT).clamp(1, MAX_BLOCK_SIZE as u64),
            Self::Leaf { size, .. } => (*size).min(MAX_BLOCK_SIZE as u64),
            Self::Link { .. } | Self::Part { .. } | Self::Shard { .. } => ENTRY_WEIGHT,
            Self::Ready(Output::Bytes { len, .. }) => *len,
            Self::Ready(_) => 0,
        }
    }
}

/// A quarter of a mebibyte stands for a block of which nothing is known.
const ENTRY_WEIGHT: u64 = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Window {
    items: BTreeMap<Key, Item>,
    unasked: BTreeSet<Key>,
    /// Weight and number of the pieces that were asked for or are here.
    bytes: u64,
    pieces: usize,
}

impl Window {
    pub(super) fn insert(&mut self, key: Key, item: Item) {
        if item.cid().is_some() {
            self.unasked.insert(key.clone());
        } else {
            self.count(&item);
        }
        self.items.insert(key, item);
    }

    /// The first piece that needs a block which was not asked for, if it is first of all or there is room ahead.
    pub(super) fn next_unasked(&mut self, limits: &Limits) -> Option<(Key, Cid)> {
        let key = self.unasked.first()?;
        let is_first = self.items.first_key_value().is_some_and(|(first, _)| first == key);
        let item = &self.items[key];
        let fits = self.pieces < limits.pieces_ahead
            && self.bytes + item.weight() <= limits.bytes_ahead
            && self.items.len() < MAX_ITEMS;
        if !is_first && !fits {
            return None;
        }
        let cid = item.cid().expect("only what needs a block is unasked");
        let item = item.clone();
        let key = self.unasked.pop_first().expect("looked at above");
        self.count(&item);
        Some((key, cid))
    }

    /// Takes a piece whose block came.
    pub(super) fn take(&mut self, key: &Key) -> Item {
        let item = self.items.remove(key).expect("who waits for a block stays until it comes");
        self.uncount(&item);
        item
    }

    /// Takes the first piece if it is ready.
    pub(super) fn pop_ready(&mut self) -> Option<Output> {
        let first = self.items.first_entry()?;
        if !matches!(first.get(), Item::Ready(_)) {
            return None;
        }
        let item = first.remove();
        self.uncount(&item);
        let Item::Ready(output) = item else { unreachable!("looked at above") };
        Some(output)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn count(&mut self, item: &Item) {
        self.bytes += item.weight();
        self.pieces += 1;
    }

    fn uncount(&mut self, item: &Item) {
        self.bytes -= item.weight();
        self.pieces -= 1;
    }
}

/// Beyond so many known pieces only the first is looked into: what is wide everywhere is walked one node at a time.
const MAX_ITEMS: usize = 65_536;

/// A path and one more name.
pub(super) fn join(path: &Path, name: &Bytes) -> Path {
    let mut joined = path.clone();
    joined.push(name.clone());
    joined
}

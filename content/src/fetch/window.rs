//! The pieces of the content that are under way, in order: each needs a block or is ready to be put out.
//!
//! A piece is keyed by its place, the indexes of the links that lead to it, so that the order of keys is the order of the content
//! and a node's children take the node's place.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cid::Cid;

use super::{DagError, Limits, Output, Path, Place};
use crate::block::{MAX_BLOCK_SIZE, RAW};
use crate::unixfs::shard::Prefix;

/// The indexes of the links from the root to a piece.
pub(super) type Key = Vec<u32>;

#[derive(Clone, Debug)]
pub(super) enum Item {
    /// An entry of a folder, or the root: what it is, its block says. `guess` is its length as its folder gives it.
    Entity { cid: Cid, path: Path, guess: Option<u64> },
    /// A file of `size` bytes of which nothing is asked for before it has begun.
    Held { cid: Cid, size: u64 },
    /// A leaf of a file, `size` bytes long, of which `take` after `skip` are put out; `at` is its place in the file that began.
    Leaf { cid: Cid, size: u64, skip: u64, take: u64, at: Option<u64> },
    /// A block of a DAG of any kind.
    Link { cid: Cid },
    /// An interior node of a file, or a leaf with something around it, in the same way.
    Part { cid: Cid, size: u64, skip: u64, take: u64, at: Option<u64> },
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
            Self::Held { .. } | Self::Ready(_) => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match *self {
            Self::Leaf { size, at, .. } | Self::Part { size, at, .. } => at.map(|at| Place { at, len: size }),
            _ => None,
        }
    }

    /// About as many bytes as it takes in memory; a key stands in two places. Names count with each piece below them: whichever
    /// of these stays longest keeps them.
    fn memory(&self, key: &Key) -> usize {
        let names = |path: &Path| path.iter().map(|name| size_of::<Bytes>() + name.len()).sum();
        let own = match self {
            Self::Entity { path, .. } | Self::Shard { path, .. } => names(path),
            Self::Ready(Output::Directory { path, .. } | Output::File { path, .. }) => names(path),
            Self::Ready(Output::Symlink { path, target, .. }) => names(path) + target.len(),
            Self::Held { .. } | Self::Leaf { .. } | Self::Link { .. } | Self::Part { .. } => 0,
            Self::Ready(Output::Bytes { .. }) => 0,
        };
        let keys = 2 * (size_of::<Key>() + size_of_val(&key[..]));
        size_of::<Self>() + keys + own
    }

    /// What it counts against the bytes that may be ahead. A folder's word for a length is a guess and is taken within a block.
    fn weight(&self) -> u64 {
        match self {
            Self::Entity { guess, .. } => guess.unwrap_or(ENTRY_WEIGHT).clamp(1, MAX_BLOCK_SIZE as u64),
            Self::Leaf { size, .. } => (*size).min(MAX_BLOCK_SIZE as u64),
            Self::Link { .. } | Self::Part { .. } | Self::Shard { .. } => ENTRY_WEIGHT,
            Self::Ready(Output::Bytes { len, .. }) => *len,
            Self::Held { .. } | Self::Ready(_) => 0,
        }
    }
}

/// A quarter of a mebibyte stands for a block of which nothing is known.
const ENTRY_WEIGHT: u64 = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Window {
    items: BTreeMap<Key, Item>,
    unasked: BTreeSet<Key>,
    put_back: BTreeSet<Key>,
    /// Weight and number of the pieces that were asked for or are here.
    bytes: u64,
    pieces: usize,
    /// What all pieces take in memory.
    memory: usize,
}

impl Window {
    pub(super) fn insert(&mut self, key: Key, item: Item) {
        self.memory += item.memory(&key);
        if item.cid().is_some() {
            self.unasked.insert(key.clone());
        } else {
            self.count(&item);
        }
        self.items.insert(key, item);
    }

    /// The first piece that needs a block which was not asked for, if it is first of all or there is room ahead. A leaf needs no
    /// room for what is below it.
    pub(super) fn next_unasked(&mut self, limits: &Limits) -> Option<(Key, Cid, Option<Place>)> {
        let first = self.items.first_key_value().map(|(key, _)| key)?;
        let key = match self.put_back.take(first) {
            Some(key) => key,
            None => {
                let key = self.unasked.first()?;
                if key != first && !self.fits(&self.items[key], limits) {
                    return None;
                }
                self.unasked.pop_first().expect("looked at above")
            }
        };
        let item = self.items[&key].clone();
        self.count(&item);
        Some((key, item.cid().expect("only what needs a block is asked for"), item.place()))
    }

    fn fits(&self, item: &Item, limits: &Limits) -> bool {
        let is_leaf = item.cid().is_some_and(|cid| cid.codec() == RAW);
        self.pieces < limits.pieces_ahead
            && self.bytes + item.weight() <= limits.bytes_ahead
            && (is_leaf || !self.is_crowded(limits))
    }

    /// Whether so much is known that only what comes first is looked into: what is wide everywhere is walked one node at a time.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        self.items.len() >= MAX_ITEMS || self.memory > limits.memory / 2
    }

    /// Whether this piece comes first of all.
    pub(super) fn is_first(&self, key: &Key) -> bool {
        self.items.first_key_value().is_some_and(|(first, _)| first == key)
    }

    /// This piece was asked for, and is asked for again when it comes first: sooner, all that was put back would be asked for
    /// whenever there is room for one of them.
    pub(super) fn put_back(&mut self, key: Key) {
        let item = self.items[&key].clone();
        self.uncount(&item);
        self.put_back.insert(key);
    }

    /// If what comes first is held back, it may be asked for; true if it was.
    pub(super) fn release(&mut self) -> bool {
        let Some(first) = self.items.first_entry() else { return false };
        let Item::Held { cid, size } = *first.get() else { return false };
        let (key, held) = first.remove_entry();
        self.uncount(&held);
        self.memory -= held.memory(&key);
        self.insert(key, Item::Part { cid, size, skip: 0, take: size, at: Some(0) });
        true
    }

    /// Takes a piece whose block came.
    pub(super) fn take(&mut self, key: &Key) -> Item {
        let item = self.items.remove(key).expect("who waits for a block stays until it comes");
        self.uncount(&item);
        self.memory -= item.memory(key);
        item
    }

    /// Fails when what is known of the content takes too much memory.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), DagError> {
        match self.memory > limits.memory {
            true => Err(DagError::Wide { limit: limits.memory as u64, what: "bytes of names and links at a time" }),
            false => Ok(()),
        }
    }

    /// Takes the first piece if it is ready.
    pub(super) fn pop_ready(&mut self) -> Option<Output> {
        let first = self.items.first_entry()?;
        if !matches!(first.get(), Item::Ready(_)) {
            return None;
        }
        let (key, item) = first.remove_entry();
        self.uncount(&item);
        self.memory -= item.memory(&key);
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

/// Known pieces from which on a window is crowded.
const MAX_ITEMS: usize = 65_536;

/// A path and one more name, copied: as a slice it would keep its whole block in memory.
pub(super) fn join(path: &Path, name: &Bytes) -> Path {
    let mut joined = path.clone();
    joined.push(Bytes::copy_from_slice(name));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::Metadata;

    #[test]
    fn what_was_put_out_takes_no_memory_any_more() {
        let mut window = Window::default();
        let path = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        window.insert(vec![0], Item::Entity { cid: Cid::default(), path: path.clone(), guess: None });
        window.insert(vec![0, 1], Item::Link { cid: Cid::default() });
        let (key, ..) = window.next_unasked(&Limits::default()).expect("one is first");
        let (link, ..) = window.next_unasked(&Limits::default()).expect("there is room ahead");
        assert!(window.memory > 2 * size_of::<Item>() && window.check(&Limits::default()).is_ok());
        assert!(window.check(&Limits { memory: window.memory - 1, ..Limits::default() }).is_err());

        window.take(&key);
        window.insert(key, Item::Ready(Output::Directory { path, metadata: Metadata::default() }));
        window.pop_ready().expect("it is first");
        window.take(&link);

        assert_eq!(window.memory, 0);
    }

    #[test]
    fn names_and_targets_count_with_their_bytes() {
        let mut window = Window::default();
        let path = vec![Bytes::from(vec![b'a'; 1000])];
        let insert = |window: &mut Window, key, target: &Bytes| {
            let (before, path, target) = (window.memory, path.clone(), target.clone());
            window.insert(vec![key], Item::Ready(Output::Symlink { path, target, metadata: Metadata::default() }));
            window.memory - before
        };

        let short = insert(&mut window, 0, &Bytes::new());
        let long = insert(&mut window, 1, &Bytes::from(vec![b'a'; 5000]));

        assert!(short > 1000);
        assert_eq!(long - short, 5000);
    }

    #[test]
    fn in_a_crowd_only_leaves_and_what_comes_first_are_asked_for() {
        let node: Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse().unwrap();
        let leaf = *crate::Block::new(RAW, Bytes::new()).cid();
        let mut window = Window::default();
        for (number, cid) in [node, leaf, leaf, node, leaf].into_iter().enumerate() {
            window.insert(vec![number as u32], Item::Link { cid });
        }
        let limits = |memory| Limits { memory, ..Limits::default() };
        let (roomy, crowded) = (limits(2 * window.memory), limits(2 * window.memory - 2));

        let asked: Vec<Key> = std::iter::from_fn(|| window.next_unasked(&crowded)).map(|(key, ..)| key).collect();

        assert_eq!(asked, [[0], [1], [2]]);
        assert_eq!(window.next_unasked(&roomy).map(|(key, ..)| key), Some(vec![3]));
    }
}

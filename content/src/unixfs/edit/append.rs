//! Leaves at the end of a file: the trickle layout as boxo's `trickle.Append` goes on with it.
//!
//! It differs from a file imported at once in where some subtrees begin, and so do the CIDs; both read the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::file::{FileEdit, MAX_DEPTH, read_file};
use super::{Blocks, Child, EditError, Fashion, Node, Stop};
use crate::block::{Block, DAG_PB, RAW};
use crate::dag_pb::Link;
use crate::unixfs::importer::Leaf;
use crate::unixfs::message::{Message, Type, wrap_as};

/// Most leaves of a node before subtrees follow (boxo's `DefaultLinksPerBlock`).
pub const MAX_LINKS: usize = 174;
/// A hole is filled with leaves of so many zeros.
pub const SPARSE_CHUNK: u64 = 4096;
/// Subtrees of each depth.
const REPEAT: usize = 4;

impl FileEdit {
    /// The file with these leaves behind its end.
    pub fn append(&self, blocks: &mut Blocks, file: &Cid, leaves: &[Leaf]) -> Result<Cid, Stop> {
        let leaves = Leaves { own: leaves, zeros: 0, zero: None, last: None };
        self.append_all(blocks, file, leaves)
    }

    /// The file with so many zeros behind its end.
    pub fn append_zeros(&self, blocks: &mut Blocks, file: &Cid, zeros: u64) -> Result<Cid, Stop> {
        if zeros == 0 {
            return Ok(*file);
        }
        let raw = self.leaves_are_raw(file);
        let rest = zeros % SPARSE_CHUNK;
        let zero = (zeros >= SPARSE_CHUNK).then(|| self.zero_leaf(blocks, raw, SPARSE_CHUNK));
        let last = (rest > 0).then(|| self.zero_leaf(blocks, raw, rest));
        let leaves = Leaves { own: &[], zeros: zeros / SPARSE_CHUNK, zero, last };
        self.append_all(blocks, file, leaves)
    }

    /// Whether leaves behind the end of `file` are raw.
    pub fn leaves_are_raw(&self, file: &Cid) -> bool {
        self.raw_leaves || file.codec() == RAW
    }

    /// The bytes of a leaf block for a chunk.
    pub fn wrap_leaf(&self, raw: bool, chunk: Bytes) -> Bytes {
        if raw { chunk } else { wrap_as(Type::Raw, &chunk) }
    }

    fn zero_leaf(&self, blocks: &mut Blocks, raw: bool, length: u64) -> Leaf {
        let zeros = Bytes::from(vec![0; usize::try_from(length).expect("at most a chunk")]);
        let kind = self.fashion.kind(if raw { RAW } else { DAG_PB });
        let block = Block::of(kind, self.wrap_leaf(raw, zeros));
        let tsize = block.data().len() as u64;
        Leaf { cid: blocks.keep(block), tsize, size: length }
    }

    fn append_all(&self, blocks: &mut Blocks, file: &Cid, leaves: Leaves<'_>) -> Result<Cid, Stop> {
        let (fashion, mut node) = if file.codec() == RAW {
            // What is there becomes the first leaf.
            let block = blocks.get(file)?;
            let size = block.data().len() as u64;
            let mut node = Node { links: Vec::new(), message: new_file() };
            add(&mut node, Leaf { cid: *file, tsize: size, size })?;
            (self.fashion, node)
        } else {
            (Fashion::of(file)?, read_file(blocks, file)?)
        };
        let mut append = Append { blocks, fashion: self.fashion, leaves, same: BTreeMap::new(), level: 0 };
        append.root(&mut node)?;
        Ok(append.blocks.write(fashion, &node).cid)
    }
}

/// Leaves that are to come: different ones, then many equal ones of zeros, then a shorter one.
struct Leaves<'a> {
    own: &'a [Leaf],
    zeros: u64,
    zero: Option<Leaf>,
    last: Option<Leaf>,
}

impl Leaves<'_> {
    fn is_over(&self) -> bool {
        self.own.is_empty() && self.zeros == 0 && self.last.is_none()
    }

    fn next(&mut self) -> Option<Leaf> {
        if let [first, rest @ ..] = self.own {
            self.own = rest;
            return Some(*first);
        }
        if self.zeros > 0 {
            self.zeros -= 1;
            return self.zero;
        }
        self.last.take()
    }
}

struct Append<'a> {
    blocks: &'a mut Blocks,
    fashion: Fashion,
    leaves: Leaves<'a>,
    /// Full subtrees of zeros by their depth: each is written once.
    same: BTreeMap<i64, Leaf>,
    /// Subtrees that are open.
    level: usize,
}

impl Append<'_> {
    fn root(&mut self, node: &mut Node) -> Result<(), Stop> {
        let (mut depth, repeat) = depth_of(node);
        if depth == 0 {
            self.fill_layer(node)?;
            if self.leaves.is_over() {
                return Ok(());
            }
            depth += 1;
        }
        self.fill_last(node, depth - 1, repeat)?;
        if !self.leaves.is_over() {
            depth += 1;
        }
        self.fill_below(node, depth, i64::MAX)
    }

    /// Four subtrees of each depth from `from` on below `to`, as long as there are leaves.
    fn fill_below(&mut self, node: &mut Node, from: i64, to: i64) -> Result<(), Stop> {
        let mut depth = from;
        while depth < to && !self.leaves.is_over() {
            for _ in 0..REPEAT {
                if !self.leaves.is_over() {
                    let tree = self.tree(depth)?;
                    add(node, tree)?;
                }
            }
            depth += 1;
        }
        Ok(())
    }

    fn fill_layer(&mut self, node: &mut Node) -> Result<(), Stop> {
        while node.links.len() < MAX_LINKS
            && let Some(leaf) = self.leaves.next()
        {
            add(node, leaf)?;
        }
        Ok(())
    }

    /// A subtree of at most this depth.
    fn tree(&mut self, depth: i64) -> Result<Leaf, Stop> {
        let capacity = if self.leaves.own.is_empty() { capacity(depth) } else { None };
        let is_same = capacity.is_some_and(|capacity| capacity <= self.leaves.zeros);
        if is_same && let Some(tree) = self.same.get(&depth) {
            self.leaves.zeros -= capacity.expect("it is full");
            return Ok(*tree);
        }
        let mut node = Node { links: Vec::new(), message: new_file() };
        self.fill_layer(&mut node)?;
        self.fill_below(&mut node, 1, depth)?;
        let tree = self.close(&node);
        if is_same {
            self.same.insert(depth, tree);
        }
        Ok(tree)
    }

    fn close(&mut self, node: &Node) -> Leaf {
        let Child { cid, tsize } = self.blocks.write(self.fashion, node);
        Leaf { cid, tsize, size: node.message.file_size.unwrap_or_default() }
    }

    /// The last subtree may not be full.
    fn fill_last(&mut self, node: &mut Node, depth: i64, repeat: usize) -> Result<(), Stop> {
        if node.links.len() <= MAX_LINKS {
            return Ok(());
        }
        let last = node.links[node.links.len() - 1].clone();
        // Of a file that was laid out otherwise the last child may be a leaf: it stays as it is.
        if last.cid.codec() == DAG_PB {
            let mut child = read_file(self.blocks, &last.cid)?;
            if !child.links.is_empty() {
                self.go_on(&mut child, depth - 1)?;
                let filled = self.rewrite(&last, &child)?;
                node.links.pop();
                let size = node.message.block_sizes.pop().unwrap_or_default();
                node.message.file_size = node.message.file_size.map(|whole| whole.saturating_sub(size));
                add(node, filled)?;
            }
        }
        if repeat != 0 {
            for _ in repeat..REPEAT {
                if !self.leaves.is_over() {
                    let tree = self.tree(depth)?;
                    add(node, tree)?;
                }
            }
        }
        Ok(())
    }

    fn rewrite(&mut self, was: &Link, child: &Node) -> Result<Leaf, Stop> {
        let Child { cid, tsize } = self.blocks.write(Fashion::of(&was.cid)?, child);
        Ok(Leaf { cid, tsize, size: child.message.file_size.unwrap_or_default() })
    }

    /// Fills a subtree that was begun.
    fn go_on(&mut self, node: &mut Node, most: i64) -> Result<(), Stop> {
        if most == 0 || self.leaves.is_over() {
            return Ok(());
        }
        self.level += 1;
        if self.level > MAX_DEPTH {
            return Err(EditError::TooDeep.into());
        }
        let (mut depth, repeat) = depth_of(node);
        if depth == 0 {
            self.fill_layer(node)?;
            depth += 1;
        }
        if depth == most {
            return Ok(());
        }
        self.fill_last(node, depth, repeat)?;
        if !self.leaves.is_over() {
            depth += 1;
        }
        self.fill_below(node, depth, most)
    }
}

/// The depth of the subtrees that are being added to a node, and how many of it there are.
fn depth_of(node: &Node) -> (i64, usize) {
    match node.links.len().checked_sub(MAX_LINKS) {
        None => (0, 0),
        Some(trees) => ((trees / REPEAT) as i64 + 1, trees % REPEAT),
    }
}

/// Leaves of a full subtree of this depth; none where they cannot be counted.
fn capacity(depth: i64) -> Option<u64> {
    let times = (REPEAT as u64 + 1).checked_pow(u32::try_from(depth - 1).unwrap_or_default())?;
    times.checked_mul(MAX_LINKS as u64)
}

fn new_file() -> Message {
    Message { file_size: Some(0), ..Message::new(Type::File) }
}

/// A child behind the last one.
fn add(node: &mut Node, child: Leaf) -> Result<(), Stop> {
    let whole = node.message.file_size.unwrap_or_default().checked_add(child.size).ok_or(EditError::TooLong)?;
    node.message.file_size = Some(whole);
    node.message.block_sizes.push(child.size);
    node.links.push(Link { cid: child.cid, name: Bytes::new(), tsize: child.tsize });
    Ok(())
}

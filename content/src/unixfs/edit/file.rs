//! A file, changed in place: bytes over others, cut off, and what a change ends in. `append` has what comes behind its end.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use super::{Blocks, Child, EditError, Fashion, Node, Stop};
use crate::block::{Block, DAG_PB, RAW};
use crate::unixfs::importer::Leaf;
use crate::unixfs::message::{Message, Metadata, Time, Type};
use crate::unixfs::node::NodeError;

/// What decides how new parts of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// How new nodes are named.
    pub fashion: Fashion,
    /// New leaves are the bytes and nothing else.
    pub raw_leaves: bool,
}

/// What was written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwritten {
    /// The file as it is after that.
    pub file: Cid,
    /// How many of the bytes went into it; the rest is behind its end, or too much for one step.
    pub taken: usize,
}

/// The bytes of a file; fails on what is none.
pub fn file_size(blocks: &Blocks, file: &Cid) -> Result<u64, Stop> {
    if file.codec() == RAW {
        return Ok(blocks.get(file)?.data().len() as u64);
    }
    let node = read_file(blocks, file)?;
    Ok(end_of(&node))
}

impl FileEdit {
    /// An edit that goes on as the file was begun; `raw_leaves` where it is not as its version has them.
    pub fn of(file: &Cid, raw_leaves: Option<bool>) -> Result<FileEdit, Stop> {
        let fashion = Fashion::of(file)?;
        let raw_leaves = raw_leaves.unwrap_or(fashion.version != cid::Version::V0);
        Ok(FileEdit { fashion, raw_leaves })
    }

    /// A file of no bytes.
    pub fn empty(blocks: &mut Blocks, fashion: Fashion) -> Child {
        let message = Message { file_size: Some(0), ..Message::new(Type::File) };
        blocks.write(fashion, &Node { links: Vec::new(), message })
    }

    /// Writes bytes over those of the file from `offset` on, as far as it goes.
    pub fn overwrite(&self, blocks: &mut Blocks, file: &Cid, offset: u64, bytes: &[u8]) -> Result<Overwritten, Stop> {
        let end = offset.saturating_add(bytes.len() as u64).min(file_size(blocks, file)?);
        if end <= offset {
            return Ok(Overwritten { file: *file, taken: 0 });
        }
        let mut touched = Touched { leaves: 0, missing: Vec::new(), end: offset };
        touched.visit(blocks, file, offset..end, 0, 0)?;
        if !touched.missing.is_empty() {
            return Err(Stop::Missing(touched.missing));
        }
        let taken = usize::try_from(touched.end - offset).expect("no more than there are bytes");
        let file = write_over(blocks, file, offset, &bytes[..taken])?;
        Ok(Overwritten { file, taken })
    }

    /// The file cut off at `size`, which is within it.
    pub fn truncate(&self, blocks: &mut Blocks, file: &Cid, size: u64) -> Result<Cid, Stop> {
        if size >= file_size(blocks, file)? {
            return Ok(*file);
        }
        Ok(cut(blocks, file, size, 0)?.cid)
    }

    /// What is linked to once all is written: a file of one raw leaf is that leaf, and one that keeps the time of its last
    /// change is given this one.
    pub fn finish(&self, blocks: &mut Blocks, file: &Cid, changed: Option<Time>) -> Result<Child, Stop> {
        if file.codec() != DAG_PB {
            return Child::of(blocks, file);
        }
        let mut node = read_file(blocks, file)?;
        if let (Some(_), Some(now)) = (node.message.metadata.mtime, changed) {
            node.message.metadata.mtime = Some(now);
            return Ok(blocks.write(Fashion::of(file)?, &node));
        }
        match &node.links[..] {
            [only]
                if self.raw_leaves
                    && only.cid.codec() == RAW
                    && node.message.metadata == Metadata::default()
                    && node.data().is_empty() =>
            {
                Ok(Child { cid: only.cid, tsize: only.tsize })
            }
            _ => Child::of(blocks, file),
        }
    }
}

/// A dag-pb node of a file.
pub(super) fn read_file(blocks: &Blocks, cid: &Cid) -> Result<Node, Stop> {
    let node = Node::read(&blocks.get(cid)?)?;
    match node.message.kind {
        Type::File | Type::Raw => Ok(node),
        _ => Err(EditError::NotFile { path: cid.to_string() }.into()),
    }
}

/// Where each child ends, counted from the first byte of the node.
fn ends(node: &Node) -> impl Iterator<Item = Range<u64>> {
    node.message.block_sizes.iter().scan(node.data().len() as u64, |at, size| {
        let start = *at;
        *at = at.saturating_add(*size);
        Some(start..*at)
    })
}

fn end_of(node: &Node) -> u64 {
    node.message.block_sizes.iter().fold(node.data().len() as u64, |sum, size| sum.saturating_add(*size))
}

/// What of a file a write goes through: as much as one step takes.
struct Touched {
    leaves: usize,
    missing: Vec<Cid>,
    /// The end of what is written in this step.
    end: u64,
}

impl Touched {
    /// `range` and `base` count from the first byte of the file, which is `base` at the first byte of this node.
    fn visit(&mut self, blocks: &Blocks, cid: &Cid, range: Range<u64>, base: u64, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(EditError::TooDeep.into());
        }
        if !blocks.has(cid) {
            self.missing.push(*cid);
            self.end = range.end;
            return Ok(());
        }
        if cid.codec() == RAW {
            self.leaf(range.end);
            return Ok(());
        }
        let node = read_file(blocks, cid)?;
        if node.links.is_empty() || range.start < base + node.data().len() as u64 {
            self.leaf(range.end.min(base + node.data().len() as u64));
        }
        for (link, child) in node.links.iter().zip(ends(&node)) {
            let (start, end) = (base + child.start, base + child.end);
            let within = range.start.max(start)..range.end.min(end);
            if within.is_empty() {
                continue;
            }
            if self.leaves + self.missing.len() >= MOST_LEAVES {
                break;
            }
            if blocks.has(&link.cid) {
                check(blocks, &link.cid, child.end - child.start)?;
            }
            self.visit(blocks, &link.cid, within, start, depth + 1)?;
        }
        Ok(())
    }

    fn leaf(&mut self, end: u64) {
        self.leaves += 1;
        self.end = end;
    }
}

/// A part of a file has as many bytes as its parent says.
fn check(blocks: &Blocks, cid: &Cid, claimed: u64) -> Result<(), Stop> {
    let sum = file_size(blocks, cid)?;
    if sum == claimed { Ok(()) } else { Err(NodeError::SizeSum { cid: *cid, claimed, sum }.into()) }
}

/// Levels of a file that is changed; one of 2^64 bytes that anybody wrote in earnest has fewer.
pub(super) const MAX_DEPTH: usize = 64;

/// Leaves in hand at a time: a file can have many small ones.
const MOST_LEAVES: usize = 1024;

/// `at` counts from the first byte of this node; all of the bytes fit into it.
fn write_over(blocks: &mut Blocks, cid: &Cid, at: u64, bytes: &[u8]) -> Result<Cid, Stop> {
    let fashion = Fashion::of(cid)?;
    if cid.codec() == RAW {
        let data = patched(blocks.get(cid)?.data(), at, bytes);
        return Ok(blocks.keep(Block::of(fashion.kind(RAW), data)));
    }
    let mut node = read_file(blocks, cid)?;
    let own = node.data();
    let end = at + bytes.len() as u64;
    if at < own.len() as u64 {
        let fit = (own.len() as u64 - at).min(bytes.len() as u64) as usize;
        node.message.data = Some(patched(&own, at, &bytes[..fit]));
    }
    let children: Vec<Range<u64>> = ends(&node).collect();
    for (index, child) in children.into_iter().enumerate() {
        let (from, to) = (at.max(child.start), end.min(child.end));
        if from < to {
            let part = &bytes[(from - at) as usize..(to - at) as usize];
            let below = node.links[index].cid;
            node.links[index].cid = write_over(blocks, &below, from - child.start, part)?;
        }
    }
    Ok(blocks.write(fashion, &node).cid)
}

fn patched(data: &Bytes, at: u64, bytes: &[u8]) -> Bytes {
    let mut patched = data.to_vec();
    let at = usize::try_from(at).expect("within a block");
    patched[at..at + bytes.len()].copy_from_slice(bytes);
    patched.into()
}

/// The node without what is behind `size`, of which it has more.
fn cut(blocks: &mut Blocks, cid: &Cid, size: u64, depth: usize) -> Result<Leaf, Stop> {
    if depth > MAX_DEPTH {
        return Err(EditError::TooDeep.into());
    }
    let fashion = Fashion::of(cid)?;
    if cid.codec() == RAW {
        let data = blocks.get(cid)?.data().slice(..usize::try_from(size).expect("within a block"));
        let cid = blocks.keep(Block::of(fashion.kind(RAW), data));
        return Ok(Leaf { cid, tsize: size, size });
    }
    let mut node = read_file(blocks, cid)?;
    let own = node.data();
    if node.links.is_empty() || size < own.len() as u64 {
        node.message.data = Some(own.slice(..usize::try_from(size).expect("within a block")));
        node.message.file_size = Some(size);
        node.message.block_sizes.clear();
        node.links.clear();
        // As in Kubo: a leaf that was cut is named as any new node is.
        let Child { cid, tsize } = blocks.write(Fashion::V0, &node);
        return Ok(Leaf { cid, tsize, size });
    }
    let cut_in = ends(&node).position(|child| size < child.end);
    let (index, start) = cut_in.and_then(|index| Some((index, ends(&node).nth(index)?.start))).unwrap_or_default();
    let below = node.links[index].cid;
    check(blocks, &below, node.message.block_sizes[index])?;
    let child = cut(blocks, &below, size - start, depth + 1)?;
    node.links.truncate(index + 1);
    node.message.block_sizes.truncate(index + 1);
    node.links[index].cid = child.cid;
    node.links[index].tsize = child.tsize;
    node.message.block_sizes[index] = child.size;
    node.message.file_size = Some(end_of(&node));
    let Child { cid, tsize } = blocks.write(fashion, &node);
    Ok(Leaf { cid, tsize, size })
}
